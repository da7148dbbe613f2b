//! Tokens that are refused before their end.

use std::time::{Duration, Instant};

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::fixture::{Fixture, LONG};
use crate::together;

together!(a_token_refused_before_its_end_is_a_question {
    that_a_refresh_answers: a_refresh_helps();
    that_only_a_new_login_answers: a_new_login_helps();
    that_a_new_login_with_another_key_answers: a_new_login_with_another_key_helps();
    that_a_small_request_answers: a_probe_helps();
    that_the_date_answers: the_clock_is_wrong();
    that_is_not_even_asked_where_a_wrong_clock_ends_the_token: the_clock_was_wrong_before();
    of_a_session_that_is_over: the_session_is_over();
});

fn failing(life: u64, rule: FaultRule) -> Fixture {
    Fixture::with(life, |options| options.faults = FaultPlan::new().with(rule))
}

fn on_part(number: u32, action: Fault) -> FaultRule {
    FaultRule::on(Operation::UploadPart, action).part(number).when(Trigger::Attempt(1))
}

/// 401s allowed: one. The auth service still takes the token.
fn a_refresh_helps() {
    let fixture = failing(LONG, on_part(2, Fault::DistrustToken));
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_parts(&mut stream, 3);
    let done = fixture.finish(stream, 1);
    assert_eq!(fixture.refreshes().len(), 1);
    assert_eq!(done.receipt()["token-refreshes"], 1);
    done.within_seconds(15).stderr_lacks("waits since");
}

/// A login ends the wait within seconds. 401s allowed: that of the part, and two of probes.
fn goes_on(fixture: &Fixture, log_in: impl FnOnce(&Fixture)) {
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    log_in(fixture);
    let since = Instant::now();
    // The producer goes on as well.
    fixture.store_part(&mut stream);
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    let done = fixture.finish(stream, 3);
    let of_parts = fixture.store.requests_of(Operation::UploadPart);
    assert_eq!(of_parts.iter().filter(|record| record.status == 401).count(), 1);
    // One question to the auth service after another, with a delay between them.
    assert!(fixture.refreshes().len() <= 5, "{:#?}", fixture.refreshes());
    for once in [
        "the upload waits since ",
        "because the credentials are refused",
        "gives up at ",
        "oci session authenticate --profile-name SESSION",
        "took up the changed credentials from disk",
        "the upload goes on",
    ] {
        assert!(done.stderr.contains(once), "{once:?} is not said:\n{}", done.stderr);
    }
    assert_eq!(done.stderr.matches("the upload waits since ").count(), 1, "{}", done.stderr);
}

fn a_new_login_helps() {
    goes_on(&failing(LONG, on_part(2, Fault::RevokeToken)), |fixture| {
        fixture.log_in();
        fixture.copy_token();
    });
}

fn a_new_login_with_another_key_helps() {
    goes_on(&failing(LONG, on_part(2, Fault::RevokeToken)), |fixture| {
        fixture.log_in_with_new_key();
        fixture.copy_token();
        fixture.copy_key();
    });
}

/// Spurious refusals, with nobody to ask for another token: as soon as a small request passes the
/// parts are sent again. 401s allowed: those of the plan, one a part.
fn a_probe_helps() {
    let spurious = || Fault::Refuse(FaultResponse::status(401));
    let plan = FaultPlan::new().with(on_part(1, spurious())).with(on_part(3, spurious()));
    let fixture = Fixture::with(LONG, |options| options.faults = plan);
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh"));
    fixture.store_part(&mut stream);
    fixture.store_part(&mut stream);
    fixture.store_part(&mut stream);
    fixture.finish(stream, 2).within_seconds(20);
    assert_eq!(fixture.refreshes().len(), 0);
}

/// The store's clock jumps; requests are dated by it from then on. 401s allowed: one.
fn the_clock_is_wrong() {
    for seconds in [1000, -1000] {
        let fixture = failing(LONG, on_part(2, Fault::MoveClock(seconds)));
        let mut stream = fixture.start_stream(fixture.put());
        fixture.store_parts(&mut stream, 3);
        let done = fixture.finish(stream, 1);
        assert_eq!(done.stderr.matches("the local clock is").count(), 1, "{}", done.stderr);
        assert_eq!(fixture.refreshes().len(), 0, "{}", done.stderr);
    }
}

/// By the local clock the token ended an hour ago. 401s allowed: none: the time is asked for.
fn the_clock_was_wrong_before() {
    let fixture = Fixture::new(LONG);
    fixture.store.server().set_clock_offset(-7200);
    fixture.log_in();
    fixture.copy_token();
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_parts(&mut stream, 3);
    let done = fixture.finish(stream, 0);
    assert_eq!(done.stderr.matches("the local clock is").count(), 1, "{}", done.stderr);
    assert_eq!(fixture.refreshes().len(), 0, "{}", done.stderr);
    assert_eq!(fixture.store.requests_of(Operation::Unknown).len(), 1);
    // Within a second of the login the new token ends no later.
    fixture.ocipipe("session refresh").run().exits(0);
    // And where it is over by both clocks, nothing is read.
    fixture.store.server().set_clock_offset(7200);
    fixture.put().run().exits(3).stderr_has(&["expired at", "oci session authenticate"]);
    fixture.ocipipe("session refresh").run().exits(3).stderr_has(&["expired at"]);
    assert_eq!(fixture.refreshes().len(), 1);
}

/// A session of six seconds, whose last token is cut at its end, and a login after a while.
/// 401s allowed: none: it is known when a token ends.
fn the_session_is_over() {
    let fixture = Fixture::with(4, |options| options.session = Duration::from_secs(6));
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    stream.run.wait_for_stderr("the credentials have expired");
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    std::thread::sleep(Duration::from_secs(1));
    fixture.log_in_with_new_key();
    fixture.copy_key();
    fixture.copy_token();
    fixture.store_part(&mut stream);
    let done = fixture.finish(stream, 0);
    done.stderr_has(&[
        "this session ends at",
        "because the credentials have expired",
        "oci session authenticate --profile-name SESSION",
        "took up the changed credentials from disk",
    ]);
}
