//! `session show` and `session refresh` of every mode.

use emulator::Operation;

use crate::host::{Host, LONG, MODES, refuse, together};

/// The name of the mode in the output.
fn auth(mode: &str) -> &str {
    mode.split("_1.").next().unwrap().split("_2.").next().unwrap()
}

/// What the rows `source` and `renewed-by` name in a mode.
fn source_and_renewal(mode: &str) -> (&'static str, &'static str) {
    match mode {
        "instance_principal" => {
            ("the metadata service at http://127.0.0.1", "the auth service http")
        }
        "instance_obo_user" => {
            ("the metadata service at http://127.0.0.1", "the delegation token by")
        }
        "resource_principal" => ("/", "the process that replaces /"),
        "resource_principal_1.1" => ("the metadata service at http://127.0.0.1", "http"),
        "oke_workload_identity" => ("the service account in /", "the token service of the cluster"),
        "token_exchange" => ("the JWT in /", "the identity domain http"),
        _ => ("the key of the resource ocid1.", "http"),
    }
}

#[test]
fn show_names_the_mode_its_source_its_renewal_its_subject_and_its_end() {
    together(&MODES, |mode| {
        let host = Host::new(mode, LONG);
        let shown = host.ocipipe("session show --json").run().exits(0);
        let report: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!(report["authentication"], auth(mode), "{report}");
        let (source, renewal) = source_and_renewal(mode);
        let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
        assert!(text("source").starts_with(source), "{mode}: {report}");
        assert!(text("renewed-by").contains(renewal), "{mode}: {report}");
        assert!(text("subject").starts_with("ocid1."), "{mode}: {report}");
        assert!(text("tenancy").starts_with("ocid1.tenancy."), "{mode}: {report}");
        assert!(text("expires").ends_with(" GMT"), "{mode}: {report}");
        let left = report["expires-in-seconds"].as_i64().unwrap();
        assert!((1..=LONG as i64).contains(&left), "{mode}: {report}");
        assert_eq!(report["valid"], true, "{mode}: {report}");

        let plain = host.ocipipe("session show").run().exits(0);
        let rows = ["authentication", "source", "renewed by", "subject", "tenancy", "expires"];
        for row in rows {
            assert!(
                plain.stdout.lines().any(|line| line.starts_with(row)),
                "{row}: {}",
                plain.stdout
            );
        }
        let valid = plain.stdout.lines().find(|line| line.starts_with("valid")).unwrap();
        assert!(valid.ends_with(" yes"), "{valid}");
        for output in [&shown, &plain] {
            let all = format!("{}{}", output.stdout, output.stderr);
            assert!(!all.contains("eyJ") && !all.contains("PRIVATE KEY"), "{mode}: {all}");
        }
    });
}

#[test]
fn show_of_a_mode_whose_service_refuses_is_not_valid_and_exits_3_with_the_reason() {
    let cases = [
        ("instance_principal", Operation::FederateInstance),
        ("instance_obo_user", Operation::FederateInstance),
        ("oke_workload_identity", Operation::GetWorkloadToken),
        ("token_exchange", Operation::ExchangeToken),
    ];
    together(&cases, |(mode, operation)| {
        for status in [401, 503] {
            let host = Host::with(mode, LONG, |options| {
                options.faults.faults = vec![refuse(operation, status)];
            });
            let shown = host.ocipipe("session show --json").run().exits(3).within_seconds(30);
            assert!(shown.stderr.contains(&status.to_string()), "{}", shown.stderr);
            let report: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
            assert_eq!(
                (&report["valid"], &report["expires"]),
                (&false.into(), &().into()),
                "{report}"
            );
        }
    });
}

#[test]
fn refresh_of_a_mode_without_a_session_is_a_usage_error_that_sends_nothing() {
    together(&MODES, |mode| {
        let host = Host::new(mode, LONG);
        let done = host.ocipipe("session refresh").run().fails(2);
        done.stderr_has(&[auth(mode), "no session"]);
        assert_eq!(host.store.requests().len(), 0, "{mode}: {:?}", host.store.requests());
    });
}

#[test]
fn a_mode_whose_tokens_a_service_issues_cannot_go_without_it() {
    let issued = MODES.iter().copied().filter(|mode| *mode != "resource_principal");
    together(&issued.collect::<Vec<_>>(), |mode| {
        let host = Host::new(mode, LONG);
        let done = host.put("x").args("--no-refresh").stdin("x").run().fails(2);
        done.stderr_has(&["--no-refresh", auth(mode)]);
        assert_eq!(host.store.requests().len(), 0, "{mode}");
    });
    // The files of this one are read again without a service.
    let host = Host::new("resource_principal", LONG);
    host.put("x").args("--no-refresh").stdin("x").run().exits(0);
}
