//! Certificates of an instance that change during a run, and a federation service that fails.

use emulator::fault::{Fault, Trigger};
use emulator::{
    CallKind, KeyEncoding, LeafTenancy, Operation, Rotation, RotationMoment, SubjectShape,
};

use crate::common::peer::{Peer, response};
use crate::common::stream::{PART, Ramp};
use crate::host::{Feed, Host, LONG, refuse, together};

/// Seconds of the tokens of a run that has several.
const LIFE: u64 = 4;

#[test]
fn both_encodings_of_the_key_and_every_shape_of_the_subject_are_read() {
    let shapes = [SubjectShape::SingleValued, SubjectShape::MultiValued, SubjectShape::OpcIdentity];
    let encodings = [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8];
    let cases: Vec<_> =
        shapes.iter().flat_map(|shape| encodings.map(|encoding| (*shape, encoding))).collect();
    together(&cases, |(shape, encoding)| {
        for final_newline in [false, true] {
            let host = Host::with("instance_principal", LONG, |options| {
                options.instance.subject = shape;
                options.instance.key_encoding = encoding;
                options.instance.final_newline = final_newline;
            });
            host.put("x").stdin("x").run().exits(0);
        }
    });
}

#[test]
fn a_certificate_that_is_replaced_during_a_run_changes_nothing_for_the_upload() {
    let moments = [RotationMoment::Now, RotationMoment::AfterNextCertificateRead];
    together(&moments, |moment| {
        let host = Host::new("instance_principal", LIFE);
        let mut feed = Feed::start(&host, host.put("x"));
        for lives in 1..=3 {
            feed.until_tokens(lives);
            let rotation = Rotation { moment, ..Rotation::default() };
            host.store.server().rotate_certificate(rotation).unwrap();
        }
        feed.finish();
        assert_eq!(host.rejected(), 0);
    });
}

/// The new certificate beside the old key, as between the two replacements of an instance.
#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_read_again_and_never_sent() {
    let host = Host::with("instance_principal", LONG, |options| {
        options.instance.torn_reads = 2;
        options.instance.rotate_every = Some(1000);
    });
    host.store.server().rotate_certificate(Rotation::default()).unwrap();
    host.put("x").stdin("x").run().exits(0);
    let federations = host.store.requests_of(Operation::FederateInstance);
    assert!(federations.iter().all(|record| record.status == 200), "{federations:?}");
}

#[test]
fn a_certificate_of_another_tenancy_is_refused_before_it_is_sent_and_the_old_token_is_used() {
    let host = Host::new("instance_principal", LIFE);
    let mut feed = Feed::start(&host, host.put("x").args("--retry-for 8s"));
    feed.part();
    let before = host.count(CallKind::Federation);
    let rotation = Rotation { tenancy: LeafTenancy::Other, ..Rotation::default() };
    host.store.server().rotate_certificate(rotation).unwrap();
    // The token in use ends, and no other comes: the run waits, and fails with the cause.
    feed.run.wait_for_stderr("is of the tenancy");
    feed.run.wait_for_stderr("the credentials have expired");
    feed.write();
    let done = feed.run.wait_with_open_stdin().fails(3);
    // Without a valid token the upload cannot be aborted: the message names the command that does.
    done.stderr_has(&["is of the tenancy", "and the run began in", "ocipipe uploads abort"]);
    assert!(host.count(CallKind::Federation) <= before + 1);
    assert!(host.store.object("x").is_none());
}

#[test]
fn a_federation_that_fails_for_a_while_keeps_the_key_and_the_token_in_use() {
    together(&[401, 429, 500, 503], |status| {
        let host = Host::with("instance_principal", 8, |options| {
            // The second call and the two after it.
            options.faults.faults = vec![
                refuse(Operation::FederateInstance, status).when(Trigger::Attempt(2)),
                refuse(Operation::FederateInstance, status).when(Trigger::Attempt(3)),
                refuse(Operation::FederateInstance, status).when(Trigger::Attempt(4)),
            ];
        });
        let mut feed = Feed::start(&host, host.put("x"));
        feed.until_tokens(3);
        let done = feed.finish();
        // No request was signed by a new key with the old token.
        assert_eq!(host.rejected(), 0, "{}", done.stderr);
        done.stderr_has(&["the instance's token could not be refreshed", &status.to_string()])
            .stderr_lacks("PRIVATE KEY");
    });
}

#[test]
fn a_federation_that_fails_at_the_start_is_retried_and_a_refusal_is_not() {
    let unavailable = Host::with("instance_principal", LONG, |options| {
        options.faults.faults =
            vec![refuse(Operation::FederateInstance, 503).when(Trigger::First(2))];
    });
    unavailable.put("x").stdin("x").run().exits(0);
    let refused = Host::with("instance_principal", LONG, |options| {
        options.faults.faults = vec![refuse(Operation::FederateInstance, 401)];
    });
    let done = refused.put("x").stdin("x").run().fails(3).within_seconds(20);
    done.stderr_has(&["the auth service", "401", "certificate"]).stderr_lacks("PRIVATE KEY");
    // The certificate may have been replaced after it was read: one more attempt.
    assert_eq!(refused.count(CallKind::Federation), 2);
}

#[test]
fn a_token_that_the_service_rejects_before_its_end_is_replaced_and_the_part_sent_again() {
    let host = Host::with("instance_principal", LONG, |options| {
        let revoke = emulator::fault::FaultRule::on(Operation::UploadPart, Fault::RevokeToken);
        options.faults.faults = vec![revoke.when(Trigger::Request(2))];
    });
    let done = host.put("x").stdin(Ramp::default().take(3 * PART)).run().exits(0);
    assert_eq!(done.receipt()["token-refreshes"], 1);
    assert_eq!(host.count(CallKind::Federation), 2);
}

#[test]
fn a_wrong_clock_of_the_host_costs_one_refused_federation() {
    let host = Host::with("instance_principal", LONG, |options| options.clock_offset = 4000);
    host.put("x").stdin("x").run().exits(0);
    assert_eq!(host.count(CallKind::Federation), 2);
}

#[test]
fn no_redirect_of_the_federation_is_followed() {
    let other = Peer::start(|_| response("200 OK", "", "{\"token\":\"t\"}"));
    let target = other.address;
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let peer = Peer::start(move |_| {
            response(status, &format!("location: http://{target}/v1/x509\r\n"), "")
        });
        let host = Host::new("instance_principal", LONG);
        let put = host.put("x").arg("--federation-endpoint");
        let put = put.arg(format!("http://{}/v1/x509", peer.address)).args("--retry-for 1s");
        let done = put.stdin("x").run().fails(3);
        assert!(peer.connections() > 0, "{}", done.stderr);
    }
    assert_eq!(other.connections(), 0);
}
