//! Tokens that the service rejects before their expiry.

use std::time::{Duration, Instant};

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::fixture::{Fixture, LONG};
use crate::together;

together!(an_upload_recovers_from_a_token_that_is_rejected_before_its_expiry {
    by_a_refresh: a_refresh_helps();
    by_a_new_login: a_new_login_helps();
    by_a_new_login_with_another_key: a_new_login_with_another_key_helps();
    by_a_probe: a_probe_helps();
    by_the_date_of_the_service: the_clock_is_wrong();
    by_the_date_if_the_token_is_expired_by_the_local_clock: the_clock_was_wrong_before();
    by_a_login_after_the_end_of_the_session: the_session_is_over();
});

fn failing(life: u64, rule: FaultRule) -> Fixture {
    Fixture::with(life, |options| options.faults = FaultPlan::new().with(rule))
}

fn on_part(number: u32, action: Fault) -> FaultRule {
    FaultRule::on(Operation::UploadPart, action).part(number).when(Trigger::Attempt(1))
}

/// 401s allowed: one. The auth service still accepts the token.
fn a_refresh_helps() {
    let fixture = failing(LONG, on_part(2, Fault::DistrustToken));
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_parts(&mut stream, 3);
    let done = fixture.finish(stream, 1);
    assert_eq!(fixture.refreshes().len(), 1);
    assert_eq!(done.receipt()["token-refreshes"], 1);
    done.within_seconds(15).stderr_lacks("has been waiting since");
}

/// A login ends the wait within 5 s. 401s allowed: that of the part, and two of probes.
fn continues_after(fixture: &Fixture, log_in: impl FnOnce(&Fixture)) {
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    log_in(fixture);
    let since = Instant::now();
    // The producer continues too.
    fixture.store_part(&mut stream);
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    let done = fixture.finish(stream, 3);
    let parts = fixture.store.requests_of(Operation::UploadPart);
    assert_eq!(parts.iter().filter(|record| record.status == 401).count(), 1);
    // Refreshes follow one another with a delay.
    assert!(fixture.refreshes().len() <= 5, "{:#?}", fixture.refreshes());
    for once in [
        "the upload has been waiting since ",
        "because the credentials are refused",
        "gives up at ",
        "ocipipe session authenticate --profile-name SESSION",
        "loaded the changed credentials from disk",
        "the upload goes on",
    ] {
        assert!(done.stderr.contains(once), "{once:?} is missing on stderr:\n{}", done.stderr);
    }
    assert_eq!(
        done.stderr.matches("the upload has been waiting since ").count(),
        1,
        "{}",
        done.stderr
    );
}

fn a_new_login_helps() {
    continues_after(&failing(LONG, on_part(2, Fault::RevokeToken)), |fixture| {
        fixture.log_in();
        fixture.copy_token();
    });
}

fn a_new_login_with_another_key_helps() {
    continues_after(&failing(LONG, on_part(2, Fault::RevokeToken)), |fixture| {
        fixture.log_in_with_new_key();
        fixture.copy_token();
        fixture.copy_key();
    });
}

/// Spurious 401s without refresh: as soon as a probe succeeds, the parts are sent again.
/// 401s allowed: those of the fault plan, one for each of two parts.
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

/// The store's clock jumps; later requests are dated by the store's clock. 401s allowed: one.
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

/// By the local clock the token expired an hour ago. 401s allowed: none, because the time is
/// queried.
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
    // A refresh within 1 s of the login does not extend the token.
    fixture.ocipipe("session refresh").run().exits(0);
    // If the token is expired by both clocks, the stream is not read.
    fixture.store.server().set_clock_offset(7200);
    fixture.put().run().exits(3).stderr_has(&["expired at", "oci session authenticate"]);
    fixture.ocipipe("session refresh").run().exits(3).stderr_has(&["expired at"]);
    assert_eq!(fixture.refreshes().len(), 1);
}

/// A session of 6 s, whose last token expires with it, and a login later.
/// 401s allowed: none, because the expiry is known.
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
        "ocipipe session authenticate --profile-name SESSION",
        "loaded the changed credentials from disk",
    ]);
}
