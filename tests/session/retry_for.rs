//! Rejected credentials: `--retry-for` during a stream, and an immediate end at the start.

use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::common::run::Ocipipe;
use crate::common::store::{BUCKET, UnreadStdin};
use crate::common::stream::ramp;
use crate::fixture::{Fixture, LONG};
use crate::together;

together!(rejected_credentials_during_a_stream_are_waited_for {
    until_retry_for_with_a_rejected_token: a_rejected_token_stays_rejected();
    until_retry_for_with_an_expired_session: a_session_stays_expired();
    until_retry_for_naming_why_the_token_was_not_refreshed: a_token_that_could_not_be_refreshed();
    although_nothing_was_sent_yet: waits_from_the_first_byte_on();
    that_expire_in_an_outage_at_the_start: a_token_expires_while_the_start_is_retried();
});

together!(at_the_start_rejected_credentials_end_the_run_before_the_stream_is_read {
    a_token: rejected_at_the_start(LONG, "", |fixture| {
        let token = std::fs::read_to_string(fixture.token()).unwrap();
        fixture.store.server().revoke(&token);
    });
    a_token_with_force: rejected_at_the_start(LONG, "--force", |fixture| {
        let token = std::fs::read_to_string(fixture.token()).unwrap();
        fixture.store.server().revoke(&token);
    });
    a_token_that_stays_rejected_after_each_refresh: rejected_at_the_start(LONG, "", |fixture| {
        let rule = FaultRule::on(Operation::HeadObject, Fault::Refuse(FaultResponse::status(401)));
        fixture.store.server().set_faults(FaultPlan::new().with(rule));
    });
    an_api_key: rejected_at_the_start(LONG, "--profile API_KEY --auth api_key", |fixture| {
        fixture.log_in_with_new_key();
        fixture.store.server().forget_older_keys();
    });
    an_api_key_after_an_outage:
        rejected_at_the_start(LONG, "--profile API_KEY --auth api_key", |fixture| {
            fixture.log_in_with_new_key();
            fixture.store.server().forget_older_keys();
            let unavailable = Fault::Refuse(FaultResponse::status(503));
            let once = FaultRule::on(Operation::HeadObject, unavailable).when(Trigger::Requests(1));
            fixture.store.server().set_faults(FaultPlan::new().with(once));
        });
    an_api_key_with_force:
        rejected_at_the_start(LONG, "--profile API_KEY --auth api_key --force", |fixture| {
            fixture.log_in_with_new_key();
            fixture.store.server().forget_older_keys();
        });
});

/// 401s allowed: the part, one probe after 1 s (the next would come 10 s later), and one abort.
fn a_rejected_token_stays_rejected() {
    let rule =
        FaultRule::on(Operation::UploadPart, Fault::RevokeToken).part(2).when(Trigger::Attempt(1));
    let fixture = Fixture::with(LONG, |options| options.faults = FaultPlan::new().with(rule));
    let mut stream =
        fixture.start_stream(fixture.put().args("--retry-for 4s --parallel-upload-count 1"));
    fixture.store_part(&mut stream);
    stream.send_part();
    let done = stream.run.wait_with_open_stdin().fails(3);
    assert!(done.took > Duration::from_secs(4), "it ended after {:?}", done.took);
    let open = fixture.store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.within_seconds(30).stderr_has(&[
        &open[0].2,
        "ocipipe uploads abort",
        "oci session authenticate",
    ]);
    assert_eq!(fixture.store.requests_of(Operation::AbortMultipartUpload).len(), 1);
    let count = fixture.store.requests().into_iter().filter(crate::fixture::is_401).count();
    assert!(count <= 3, "{count} 401s");
}

/// 401s allowed: none. The auth service cannot be reached, so that the token ends.
fn a_token_that_could_not_be_refreshed() {
    let fixture = Fixture::new(4);
    // The last of two options counts.
    let options = "--retry-for 5s --auth-endpoint http://127.0.0.1:1";
    let mut stream = fixture.start_stream(fixture.put().args(options));
    fixture.store_part(&mut stream);
    stream.run.wait_for_stderr("the credentials have expired");
    stream.send_part();
    let done = stream.run.wait_with_open_stdin().fails(3);
    let words = ["expired at", "could not be refreshed: ", "127.0.0.1:1", "begin a new session"];
    let last = done.stderr.rsplit("error: ").next().unwrap();
    assert!(words.iter().all(|word| last.contains(word)), "{}", done.stderr);
    assert_eq!(done.stderr.matches("gives up at").count(), 1, "{}", done.stderr);
    fixture.assert_max_401s(0, &done);
}

/// 401s allowed: none. Neither the service nor the auth service answers before the token has expired.
fn a_token_expires_while_the_start_is_retried() {
    let fixture = Fixture::new(4);
    let unavailable =
        |operation| FaultRule::on(operation, Fault::Refuse(FaultResponse::status(503)));
    let outage = FaultPlan::new()
        .with(unavailable(Operation::HeadObject))
        .with(unavailable(Operation::RefreshToken));
    fixture.store.server().set_faults(outage);
    let mut stream = fixture.start_stream(fixture.put());
    stream.run.wait_for_stderr("gives up at");
    fixture.store.server().set_faults(FaultPlan::new());
    fixture.log_in();
    fixture.copy_token();
    fixture.store_part(&mut stream);
    fixture.finish(stream, 0).stderr_has(&["the upload goes on"]);
}

/// 401s allowed: none, because nothing is sent with an expired token.
fn a_session_stays_expired() {
    let fixture = Fixture::with(3, |options| options.session = Duration::from_secs(3));
    let mut stream = fixture.start_stream(fixture.put().args("--retry-for 4s"));
    fixture.store_part(&mut stream);
    stream.run.wait_for_stderr("the credentials have expired");
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    let done = stream.run.wait_with_open_stdin().fails(3);
    let open = fixture.store.server().open_uploads();
    assert_eq!(open.len(), 1);
    let words = [&open[0].2, "ocipipe uploads abort", "expired", "oci session authenticate"];
    fixture.assert_max_401s(0, &done.within_seconds(30).stderr_has(&words));
}

fn rejected_at_the_start(life: u64, options: &str, reject: impl FnOnce(&Fixture)) {
    let fixture = Fixture::new(life);
    reject(&fixture);
    let (unread, stdin) = UnreadStdin::new(fixture.store.folder());
    let namespace = fixture.store.server().namespace();
    let run: Ocipipe = fixture
        .ocipipe("put")
        .args(options)
        .args(&format!("--bucket-name {BUCKET} --name x --namespace {namespace}"));
    let done = run.stdin_from(stdin).run().fails(3).within_seconds(15);
    let hint = if options.contains("api_key") {
        "API keys of the user"
    } else {
        "ocipipe session authenticate --profile-name SESSION"
    };
    done.stderr_has(&["401", hint]).stderr_lacks("has been waiting since");
    unread.assert_unread();
    fixture.store.assert_not_stored("x");
}

/// 401s allowed: none.
fn waits_from_the_first_byte_on() {
    let fixture = Fixture::with(3, |options| options.session = Duration::from_secs(3));
    let mut run = fixture.put().stdin_pipe().start();
    run.write(&ramp(17));
    // No request is necessary before the stream ends, which is after the expiry of the token.
    std::thread::sleep(Duration::from_millis(3500));
    run.close_stdin();
    run.wait_for_stderr("gives up at");
    fixture.log_in();
    fixture.copy_token();
    let done = run.wait().exits(0);
    assert_eq!(fixture.store.object("x").unwrap(), ramp(17));
    fixture.assert_max_401s(0, &done);
}
