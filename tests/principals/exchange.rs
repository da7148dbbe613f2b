//! Tokens of another issuer, exchanged at an identity domain.

use std::fs;
use std::time::Duration;

use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use emulator::{CallKind, Operation};

use crate::host::{Feed, Host, LONG, refuse};

const MODE: &str = "token_exchange";
const JWT: &str = "OCIPIPE_EXCHANGE_JWT_FILE";

#[test]
fn the_jwt_and_the_client_secret_are_read_again_at_each_exchange() {
    let host = Host::new(MODE, 4);
    let server = host.store.server();
    let mut feed = Feed::start(&host, host.put("x"));
    let first = fs::read_to_string(server.subject_jwt_path()).unwrap();
    while host.tokens(Operation::UploadPart).len() < 4 {
        feed.part();
        server.replace_subject_jwt().unwrap();
        server.revoke(&first);
        server.replace_client_secret().unwrap();
        std::thread::sleep(Duration::from_millis(800));
    }
    feed.finish();
    assert_eq!(host.rejected(), 0);
}

#[test]
fn a_refused_exchange_names_the_reason_of_the_identity_domain() {
    let host = Host::new(MODE, LONG);
    let secret = host.store.file("secret", "wrong");
    let host = host.var("OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE", secret.to_str().unwrap());
    let done = host.put("x").stdin("x").run().fails(3).within_seconds(30);
    done.stderr_has(&["the identity domain", "invalid_client"]).stderr_lacks("wrong");
    assert_eq!(host.count(CallKind::Exchange), 1);
}

#[test]
fn an_expired_jwt_is_told_without_a_request_and_awaited_during_an_upload() {
    let host = Host::new(MODE, 5);
    let server = host.store.server();
    let current = server.subject_jwt_path();
    // The host has a copy that the emulator does not replace.
    server.set_outside_jwt_ttl(Duration::from_secs(2)).unwrap();
    let jwt = host.store.file("jwt", fs::read(&current).unwrap());
    let host = host.var(JWT, jwt.to_str().unwrap());
    let server = host.store.server();
    let mut feed = Feed::start(&host, host.put("x"));
    feed.part();
    feed.run.wait_for_stderr("the JWT in");
    feed.run.wait_for_stderr("the credentials have expired");
    feed.write();
    feed.run.wait_for_stderr("the upload has been waiting since");
    feed.run.wait_for_stderr("let the job write a valid JWT to");
    server.set_outside_jwt_ttl(Duration::from_secs(LONG)).unwrap();
    fs::write(&jwt, fs::read(&current).unwrap()).unwrap();
    feed.finish();
    let expired = host.store.file("expired", "x.y.z");
    let host = host.var(JWT, expired.to_str().unwrap());
    let before = host.count(CallKind::Exchange);
    host.put("y").stdin("y").run().fails(3);
    assert!(host.count(CallKind::Exchange) <= before + 1);
}

#[test]
fn a_clock_that_is_ahead_does_not_make_the_jwt_expire() {
    let host = Host::with(MODE, LONG, |options| options.clock_offset = -2 * LONG as i64);
    host.put("x").stdin("x").run().exits(0);
    assert_eq!((host.count(CallKind::Exchange), host.rejected()), (1, 0));
}

#[test]
fn a_silent_domain_does_not_exceed_a_small_retry_for() {
    let host = Host::with(MODE, LONG, |options| {
        let silent = Fault::StallAnswer { ms: None };
        options.faults.faults = vec![FaultRule::on(Operation::ExchangeToken, silent)];
    });
    let done = host.put("x").args("--retry-for 1s").stdin("x").run().fails(3).within_seconds(15);
    done.stderr_has(&["the identity domain gives no answer", "no answer within 5 s"]);
}

#[test]
fn the_pause_that_the_domain_asks_for_is_kept() {
    let host = Host::with(MODE, LONG, |options| {
        let busy =
            FaultResponse { retry_after: Some("3".to_owned()), ..FaultResponse::status(503) };
        let busy = FaultRule::on(Operation::ExchangeToken, Fault::Refuse(busy));
        options.faults.faults = vec![busy.when(Trigger::First(1))];
    });
    let done = host.put("x").stdin("x").run().exits(0);
    let pause = done.stderr.split("again in ").nth(1).and_then(|rest| rest.split(' ').next());
    let seconds: f64 = pause.unwrap_or_else(|| panic!("{}", done.stderr)).parse().unwrap();
    // A random part of at most the same length spreads the hosts that were asked together.
    assert!((3.0..=6.0).contains(&seconds), "{}", done.stderr);
}

#[test]
fn no_redirect_is_followed() {
    let host = Host::with(MODE, LONG, |options| {
        let moved = Fault::Refuse(FaultResponse::status(307));
        options.faults.faults = vec![FaultRule::on(Operation::ExchangeToken, moved)];
    });
    let done = host.put("x").stdin("x").run().fails(3);
    done.stderr_has(&["307", "redirects are not followed"]);
    assert_eq!(host.count(CallKind::Exchange), 1);
}

#[test]
fn a_domain_that_is_out_of_order_at_the_start_is_asked_again() {
    let host = Host::with(MODE, LONG, |options| {
        options.faults.faults = vec![refuse(Operation::ExchangeToken, 503).when(Trigger::First(2))];
    });
    host.put("x").stdin("x").run().exits(0);
    assert_eq!(host.count(CallKind::Exchange), 3);
}

#[test]
fn the_url_must_be_https_except_on_this_machine() {
    let host = Host::new(MODE, LONG).var("OCIPIPE_EXCHANGE_URL", "http://idcs.example");
    let done = host.put("x").stdin("x").run().fails(2);
    done.stderr_has(&["OCIPIPE_EXCHANGE_URL", "http://"]);
}

#[test]
fn an_id_of_the_client_that_is_none_is_a_usage_error_that_names_its_origin() {
    for id in [" ", "a:b", "a\nb"] {
        let host = Host::new(MODE, LONG).var("OCIPIPE_EXCHANGE_CLIENT_ID", id);
        host.put("x").stdin("x").run().fails(2).stderr_has(&["OCIPIPE_EXCHANGE_CLIENT_ID"]);
        assert_eq!(host.count(CallKind::Exchange), 0);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_start_at_once() {
    let host = Host::new(MODE, LONG);
    let url = host.store.server().https_url();
    let host = host.var("OCIPIPE_EXCHANGE_URL", &url).var("OCI_CLI_CERT_BUNDLE", "");
    let done = host.put("x").stdin("x").run().fails(3).within_seconds(20);
    done.stderr_has(&["the identity domain", "certificate", "--cert-bundle"]);
    assert_eq!(host.count(CallKind::Exchange), 0);
}
