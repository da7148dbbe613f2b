//! The end of patience, and the start, where there is none.

use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::common::run::Ocipipe;
use crate::common::store::{BUCKET, UnreadStdin};
use crate::common::stream::ramp;
use crate::fixture::{Fixture, LONG};
use crate::together;

together!(a_stream_under_way_is_waited_with {
    until_patience_with_a_refused_token_ends: a_refused_token_stays_refused();
    until_patience_with_a_session_that_is_over_ends: a_session_stays_over();
    though_nothing_of_it_was_sent_yet: at_stake_from_the_first_byte();
});

together!(at_the_start_refused_credentials_end_the_run_before_the_stream_is_read {
    a_token: refused_at_the_start(LONG, "", |fixture| {
        let token = std::fs::read_to_string(fixture.token()).unwrap();
        fixture.store.server().revoke(&token);
    });
    a_token_where_nothing_else_is_looked_up: refused_at_the_start(LONG, "--force", |fixture| {
        let token = std::fs::read_to_string(fixture.token()).unwrap();
        fixture.store.server().revoke(&token);
    });
    a_token_that_stays_refused_after_each_refresh: refused_at_the_start(LONG, "", |fixture| {
        let rule = FaultRule::on(Operation::HeadObject, Fault::Refuse(FaultResponse::status(401)));
        fixture.store.server().set_faults(FaultPlan::new().with(rule));
    });
    an_api_key: refused_at_the_start(LONG, "--profile API_KEY --auth api_key", |fixture| {
        fixture.log_in_with_new_key();
        fixture.store.server().forget_older_keys();
    });
    an_api_key_where_nothing_else_is_looked_up:
        refused_at_the_start(LONG, "--profile API_KEY --auth api_key --force", |fixture| {
            fixture.log_in_with_new_key();
            fixture.store.server().forget_older_keys();
        });
});

/// 401s allowed: the part, probes after one second and not again for ten, and one abort.
fn a_refused_token_stays_refused() {
    let rule =
        FaultRule::on(Operation::UploadPart, Fault::RevokeToken).part(2).when(Trigger::Attempt(1));
    let fixture = Fixture::with(LONG, |options| options.faults = FaultPlan::new().with(rule));
    let mut stream =
        fixture.start_stream(fixture.put().args("--retry-for 4s --parallel-upload-count 1"));
    fixture.store_part(&mut stream);
    stream.send_part();
    let done = stream.run.wait_with_open_stdin().fails(3);
    assert!(done.took > Duration::from_secs(4), "it gave up after {:?}", done.took);
    let open = fixture.store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.within_seconds(30).stderr_has(&[
        &open[0].2,
        "ocipipe uploads abort",
        "oci session authenticate",
    ]);
    assert_eq!(fixture.store.requests_of(Operation::AbortMultipartUpload).len(), 1);
    let refused = fixture.store.requests().into_iter().filter(crate::fixture::is_401).count();
    assert!(refused <= 3, "{refused} refusals");
}

/// 401s allowed: none, since nothing is sent with a token that is known to be over.
fn a_session_stays_over() {
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

fn refused_at_the_start(life: u64, options: &str, spoils: impl FnOnce(&Fixture)) {
    let fixture = Fixture::new(life);
    spoils(&fixture);
    let (unread, stdin) = UnreadStdin::new(fixture.store.folder());
    let namespace = fixture.store.server().namespace();
    let run: Ocipipe = fixture
        .ocipipe("put")
        .args(options)
        .args(&format!("--bucket-name {BUCKET} --name x --namespace {namespace}"));
    let done = run.stdin_from(stdin).run().fails(3).within_seconds(15);
    let command = match options.contains("api_key") {
        true => "API keys of the user",
        false => "oci session authenticate --profile-name SESSION",
    };
    done.stderr_has(&["401", command]).stderr_lacks("waits since");
    unread.assert_unread();
    fixture.store.assert_not_stored("x");
}

/// 401s allowed: none.
fn at_stake_from_the_first_byte() {
    let fixture = Fixture::with(3, |options| options.session = Duration::from_secs(3));
    let mut run = fixture.put().stdin_pipe().start();
    run.write(&ramp(17));
    // Nothing has to be sent before the stream ends, which it does after the token.
    std::thread::sleep(Duration::from_millis(3500));
    run.close_stdin();
    run.wait_for_stderr("gives up at");
    fixture.log_in();
    fixture.copy_token();
    let done = run.wait().exits(0);
    assert_eq!(fixture.store.object("x").unwrap(), ramp(17));
    fixture.assert_max_401s(0, &done);
}
