//! An upload, a listing and a download outlive six tokens in each mode, without a 401 and with one renewal
//! for each token.

use std::time::Duration;

use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{CallKind, FileReplacement, FilesAfter, Operation};

use crate::common::store::BUCKET;
use crate::common::stream::{PART, assert_same, ramp};
use crate::host::{Feed, Host, MODES, refuse, together, tokens};

/// Seconds; long enough that a renewal on a busy machine is in time.
const LIFE: u64 = 6;
const LIVES: usize = 6;

/// The calls that bring a token in a mode; `None` where the emulator replaces files.
fn renewal(mode: &str) -> Option<CallKind> {
    Some(match mode {
        "instance_principal" | "instance_obo_user" => CallKind::Federation,
        "oke_workload_identity" => CallKind::Oke,
        "token_exchange" => CallKind::Exchange,
        "resource_principal" => return None,
        _ => CallKind::ResourceSessionToken,
    })
}

/// Asserts that tokens were renewed before their end and once each: no 401, and no storm.
#[track_caller]
fn assert_one_renewal_each(host: &Host, mode: &str, used: usize, stderr: &str) {
    assert_eq!(host.rejected(), 0, "{mode}: {stderr}");
    if let Some(kind) = renewal(mode) {
        let renewals = host.count(kind) as usize;
        // The last ones may have signed no request of this kind.
        assert!((used..=used + 3).contains(&renewals), "{mode}: {renewals} for {used} tokens");
    }
}

#[test]
fn an_upload_outlives_six_tokens_of_every_mode() {
    together(&MODES, |mode| {
        let host = Host::new(mode, LIFE);
        let mut feed = Feed::start(&host, host.put("x"));
        feed.until_tokens(LIVES + 1);
        let done = feed.finish();
        let used = host.tokens(Operation::UploadPart).len();
        let receipt = done.receipt();
        let auth = mode.split("_1.").next().unwrap().split("_2.").next().unwrap();
        assert_eq!(receipt["auth"], auth);
        assert_one_renewal_each(&host, mode, used, &done.stderr);
        if renewal(mode).is_some() {
            assert!(receipt["token-refreshes"].as_u64().unwrap() >= LIVES as u64, "{receipt}");
        }
    });
}

#[test]
fn a_listing_outlives_six_tokens_of_every_mode() {
    const UPLOADS: u64 = 9;
    together(&MODES, |mode| {
        let refused = |status| Fault::Refuse(FaultResponse::status(status));
        let late = Fault::StallAnswer { ms: Some(LIFE * 800) };
        let host = Host::with(mode, LIFE, |options| {
            options.page_size = 1;
            options.faults.faults = vec![
                FaultRule::on(Operation::UploadPart, refused(400)),
                FaultRule::on(Operation::AbortMultipartUpload, refused(403)),
                // The second page and all that follow. The request is authenticated at once.
                FaultRule::on(Operation::ListMultipartUploads, late).when(Trigger::From(2)),
            ];
        });
        for name in 0..UPLOADS {
            let put = host.put(&name.to_string()).stdin(ramp(PART + 1));
            put.run().fails(4).stderr_has(&["ocipipe uploads abort"]);
        }
        let list = host.ocipipe("uploads list").arg(format!("oci://{BUCKET}")).run().exits(0);
        let listed: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
        assert_eq!(listed["data"].as_array().unwrap().len() as u64, UPLOADS);
        let pages = host.store.requests_of(Operation::ListMultipartUploads);
        assert!(tokens(&pages).len() >= LIVES, "{mode}: {} tokens", tokens(&pages).len());
        assert_eq!(host.rejected(), 0, "{mode}: {}", list.stderr);
    });
}

#[test]
fn a_download_outlives_six_tokens_of_every_mode() {
    const MIB: usize = 1 << 20;
    together(&MODES, |mode| {
        let late = Fault::StallAnswer { ms: Some(LIFE * 400) };
        let host = Host::with(mode, LIFE, |options| {
            options.faults.faults = vec![FaultRule::on(Operation::GetObject, late)];
        });
        let sent = ramp(16 * MIB);
        host.put("x").stdin(sent.clone()).run().exits(0);
        // Only the requests of the download are of interest.
        let before = host.store.requests_of(Operation::GetObject).len();
        let target = host.store.folder().join("stored");
        let get = host.ocipipe("get --part-size 1MiB --parallel-download-count 1");
        let file = std::fs::File::create(&target).unwrap();
        let done = get.arg(format!("oci://{BUCKET}/x")).stdout_to(file).run().exits(0);
        assert_same(&std::fs::read(&target).unwrap(), &sent);
        let requests = host.store.requests_of(Operation::GetObject).split_off(before);
        assert!(tokens(&requests).len() >= LIVES, "{mode}: {} tokens", tokens(&requests).len());
        assert_eq!(host.rejected(), 0, "{mode}: {}", done.stderr);
        if let Some(kind) = renewal(mode) {
            // The upload has its own token, and the last ones may have signed no request.
            let (renewals, used) = (host.count(kind) as usize, tokens(&requests).len());
            assert!(renewals <= used + 4, "{mode}: {renewals} for {used} tokens");
        }
    });
}

/// What a waiting run names as that which brings new credentials.
fn what_helps(mode: &str) -> &'static str {
    match mode {
        "instance_principal" => "check that this host reaches its metadata service",
        "instance_obo_user" => "begin a new Cloud Shell session",
        "resource_principal" => "the service that runs this resource replaces /",
        "oke_workload_identity" => "has a valid service account token",
        "token_exchange" => "let the job write a valid JWT to /",
        _ => "OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT",
    }
}

#[test]
fn a_run_of_every_mode_that_waits_names_what_brings_new_credentials_and_goes_on() {
    together(&MODES, |mode| {
        let host = Host::new(mode, LIFE);
        let server = host.store.server();
        let files = FileReplacement { automatic: false, torn: Duration::ZERO };
        server.set_file_replacement(files).unwrap();
        server.replace_resource_principal(FilesAfter::Complete).unwrap();
        let mut feed = Feed::start(&host, host.put("x").args("--retry-for 2m"));
        feed.part();
        let issues = [
            Operation::FederateInstance,
            Operation::GetWorkloadToken,
            Operation::ExchangeToken,
            Operation::GetResourceToken,
        ];
        let faults = issues.map(|operation| refuse(operation, 503)).to_vec();
        server.set_faults(FaultPlan { faults });
        feed.run.wait_for_stderr("the credentials have expired");
        feed.write();
        feed.run.wait_for_stderr("the upload has been waiting since");
        feed.run.wait_for_stderr(what_helps(mode));
        server.set_faults(FaultPlan::default());
        server.replace_resource_principal(FilesAfter::Complete).unwrap();
        feed.run.wait_for_stderr("the upload goes on");
        feed.finish();
        assert_eq!(host.rejected(), 0, "{mode}");
    });
}
