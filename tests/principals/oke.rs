//! Pods: the token service of the cluster, its own certificate authority, and the account's token.

use std::fs;

use emulator::{CallKind, Operation};

use crate::host::{Feed, Host, LONG, refuse};

const MODE: &str = "oke_workload_identity";
const CA: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH";
const TOKEN: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH";

#[test]
fn both_forms_of_the_answer_are_read() {
    for quoted in [true, false] {
        let host = Host::new(MODE, LONG);
        host.store.server().set_oke_quoted(quoted).unwrap();
        host.put("x").stdin("x").run().exits(0);
    }
}

#[test]
fn the_account_s_token_is_read_again_at_each_renewal() {
    let host = Host::new(MODE, 4);
    let server = host.store.server();
    let mut feed = Feed::start(&host, host.put("x"));
    let first = fs::read_to_string(server.service_account_token_path()).unwrap();
    // A client that keeps the first one is refused from then on.
    while host.tokens(Operation::UploadPart).len() < 4 {
        feed.part();
        server.replace_service_account_token().unwrap();
        server.revoke(&first);
        std::thread::sleep(std::time::Duration::from_millis(800));
    }
    feed.finish();
    let calls = host.store.requests_of(Operation::GetWorkloadToken);
    assert!(calls.iter().all(|record| record.status == 200), "{calls:?}");
}

#[test]
fn only_the_certificate_authority_of_the_cluster_is_trusted() {
    let host = Host::new(MODE, LONG);
    let other = host.store.server().ca_path();
    let host = host.var(CA, other.to_str().unwrap());
    // A wrong authority is a wrong setting at the start, and no reason to wait for --retry-for.
    let done = host.put("x").stdin("x").run().fails(3).within_seconds(20);
    done.stderr_has(&["the token service of the cluster", "certificate", CA]);
    let host = host.var(CA, "/nonexistent/ca.crt");
    let done = host.put("x").stdin("x").run().fails(3).within_seconds(20);
    done.stderr_has(&["/nonexistent/ca.crt", "is not asked", CA]);
    assert_eq!(host.count(CallKind::Oke), 0);
}

#[test]
fn a_host_with_an_ipv6_address_needs_no_brackets() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for address in ["::1", "[::1]"] {
        let host = Host::new(MODE, LONG).var("KUBERNETES_SERVICE_HOST", address);
        host.put("x").stdin("x").run().exits(0);
    }
}

#[test]
fn an_expired_or_missing_account_token_is_an_error_before_any_request() {
    let host = Host::new(MODE, LONG);
    let server = host.store.server();
    let path = server.service_account_token_path().to_str().unwrap().to_owned();
    server.set_outside_jwt_ttl(std::time::Duration::from_secs(1)).unwrap();
    let host = host.var(TOKEN, &path);
    let old = host.store.file("old", fs::read_to_string(&path).unwrap());
    std::thread::sleep(std::time::Duration::from_secs(2));
    let host = host.var(TOKEN, old.to_str().unwrap());
    host.put("x").stdin("x").run().fails(3).stderr_has(&["expired at", "service account token"]);
    let host = host.var(TOKEN, "/nonexistent/token");
    host.put("x").stdin("x").run().fails(3).stderr_has(&["/nonexistent/token"]);
    assert_eq!(host.count(CallKind::Oke), 0);
}

#[test]
fn a_clock_that_is_ahead_does_not_make_the_account_s_token_expire() {
    let host = Host::with(MODE, LONG, |options| options.clock_offset = -2 * LONG as i64);
    host.put("x").stdin("x").run().exits(0);
    assert_eq!((host.count(CallKind::Oke), host.rejected()), (1, 0));
}

#[test]
fn a_403_names_enhanced_clusters_and_other_statuses_are_told() {
    for (status, words) in [(403, "enhanced cluster"), (401, "automountServiceAccountToken")] {
        let host = Host::with(MODE, LONG, |options| {
            options.faults.faults = vec![refuse(Operation::GetWorkloadToken, status)];
        });
        let done = host.put("x").stdin("x").run().fails(3);
        done.stderr_has(&[&status.to_string(), words]);
        assert_eq!(host.count(CallKind::Oke), 1);
    }
}
