//! Tokens that ocipipe refreshes itself, and an auth service that fails for a while.

use std::os::unix::fs::PermissionsExt;

use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{Operation, RefreshMode};

use crate::fixture::{Fixture, is_refresh};
use crate::together;

together!(a_token_is_refreshed_by_the_upload_before_it_expires {
    while_a_slow_producer_writes: refreshed_while_a_slow_producer_writes();
    while_the_producer_is_idle: refreshed_while_the_producer_is_idle();
    once_for_two_processes_on_one_profile: two_processes_on_one_profile();
    behind_a_symlink: behind_a_symlink();
    in_a_read_only_folder: in_memory_in_a_read_only_folder();
    although_the_old_one_is_rejected_soon_after: the_old_token_is_rejected_soon_after();
    before_a_transfer_that_would_outlast_it: parts_start_with_a_token_that_outlives_them();
});

together!(an_auth_service_that_fails_for_a_while_costs_no_request {
    down: auth_service(Fault::Refuse(FaultResponse::status(503)));
    silent: auth_service(Fault::StallAnswer { ms: None });
    refusing: auth_service(Fault::Refuse(FaultResponse::status(401)));
    resetting: auth_service(Fault::ResetBeforeBody);
    returning_html: auth_service(Fault::Html { status: 200 });
    granting_no_more_time: no_more_time();
});

/// Lifetime of a token in seconds; it is refreshed when a third is left, which is enough on a slow
/// machine.
const LIFE: u64 = 5;

/// 401s allowed: none.
fn refreshed_while_a_slow_producer_writes() {
    let fixture = Fixture::new(LIFE);
    let mut stream = fixture.start_stream(fixture.put());
    for round in 1..=4 {
        fixture.store_part(&mut stream);
        fixture.wait_for_refreshes(round);
    }
    let done = fixture.finish(stream, 0);
    // The last refresh may be complete at the service and not yet adopted when the upload ends.
    assert!(done.receipt()["token-refreshes"].as_u64().unwrap() >= 3, "{}", done.stdout);
    assert!(fixture.generations().len() >= 3, "{:?}", fixture.generations());
    assert!(fixture.refreshes().iter().all(|record| record.status == 200));
    fixture.token_is_private();
    done.stderr_lacks("warning");
}

/// 401s allowed: none.
fn refreshed_while_the_producer_is_idle() {
    let fixture = Fixture::new(LIFE);
    let mut stream = fixture.start_stream(fixture.put());
    // Refreshed before the first byte, and again in the middle.
    fixture.wait_for_refreshes(2);
    fixture.store_part(&mut stream);
    fixture.wait_for_refreshes(4);
    fixture.store_part(&mut stream);
    fixture.finish(stream, 0).stderr_lacks("warning");
}

/// 401s allowed: none. Each token is exchanged once.
fn two_processes_on_one_profile() {
    let fixture = Fixture::new(LIFE);
    let mut streams =
        [fixture.start_stream(fixture.put_as("x")), fixture.start_stream(fixture.put_as("y"))];
    for round in 1..=4 {
        streams.iter_mut().for_each(|stream| stream.send_part());
        fixture.wait_for_refreshes(round);
    }
    let [x, y] = streams;
    y.run.wait().exits(0);
    fixture.finish(x, 0);
    assert_eq!(fixture.store.object("x"), fixture.store.object("y"));
    let mut exchanged: Vec<_> = fixture.refreshes().iter().map(|r| r.presented).collect();
    let count = exchanged.len();
    exchanged.sort_unstable();
    exchanged.dedup();
    assert_eq!(exchanged.len(), count, "a token was exchanged twice: {:#?}", fixture.refreshes());
}

/// 401s allowed: none.
fn behind_a_symlink() {
    let fixture = Fixture::new(LIFE);
    std::fs::create_dir(fixture.home("mounted")).unwrap();
    std::fs::rename(fixture.token(), fixture.home("mounted/token")).unwrap();
    std::os::unix::fs::symlink("mounted/token", fixture.token()).unwrap();
    let before = std::fs::read(fixture.token()).unwrap();
    let mut stream = fixture.start_stream(fixture.put());
    for round in 1..=2 {
        fixture.store_part(&mut stream);
        fixture.wait_for_refreshes(round);
    }
    fixture.finish(stream, 0);
    assert!(std::fs::symlink_metadata(fixture.token()).unwrap().is_symlink());
    assert_ne!(std::fs::read(fixture.home("mounted/token")).unwrap(), before);
    fixture.token_is_private();
}

/// 401s allowed: none.
fn in_memory_in_a_read_only_folder() {
    let fixture = Fixture::new(LIFE);
    let before = std::fs::read(fixture.token()).unwrap();
    let home = fixture.home("");
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o500)).unwrap();
    let mut run = fixture.put();
    if rustix::process::getuid().is_root() {
        // Root may write anywhere, except without these capabilities.
        run =
            run.wrapped_by("setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all");
    }
    let mut stream = fixture.start_stream(run);
    for round in 1..=3 {
        fixture.store_part(&mut stream);
        fixture.wait_for_refreshes(round);
    }
    let done = fixture.finish(stream, 0);
    assert_eq!(std::fs::read(fixture.token()).unwrap(), before);
    assert_eq!(done.stderr.matches("kept in memory only").count(), 1, "{}", done.stderr);
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
}

/// The store checks the token of a part again when its last byte arrives, and rejects the old token
/// 100 ms after a refresh. A part takes 1.25 s, and a token is used for 1.7 s or more, so that a part that starts
/// with a new token ends with it. 401s allowed: one for each part that is in flight at a refresh.
fn the_old_token_is_rejected_soon_after() {
    let fixture = Fixture::with(3, |options| {
        options.grace = Some(std::time::Duration::from_millis(100));
        options.recheck_token_after_body = true;
    });
    let mut stream =
        fixture.start_stream(fixture.put().args("--bwlimit 16MiB --parallel-upload-count 2"));
    fixture.store_parts(&mut stream, 14);
    let rounds = fixture.refreshes().len();
    assert!(rounds >= 3, "{rounds} refreshes");
    fixture.finish(stream, 2 * (rounds + 1)).stderr_lacks("has been waiting since");
}

/// Parts that take 2 s, whose token is checked again at their last byte, and tokens of 7 s. For the
/// first part the rate is unknown. 401s allowed: one.
fn parts_start_with_a_token_that_outlives_them() {
    let fixture = Fixture::with(7, |options| options.recheck_token_after_body = true);
    let run = fixture.put().args("--bwlimit 5MiB --parallel-upload-count 1 --refresh-before 1s");
    let mut stream = fixture.start_stream(run);
    fixture.store_parts(&mut stream, 6);
    fixture.finish(stream, 1);
    // Refreshed because of the transfers, earlier than `--refresh-before 1s` requires.
    assert!(fixture.refreshes().len() <= 6, "{:#?}", fixture.refreshes());
}

/// Tokens of 6 s are refreshed from their half on, and the first attempts fail.
/// 401s of Object Storage allowed: none.
fn auth_service(fault: Fault) {
    let failures = match fault {
        Fault::StallAnswer { .. } => 1,
        _ => 3,
    };
    let rule = FaultRule::on(Operation::RefreshToken, fault).when(Trigger::Requests(failures));
    let fixture = Fixture::with(6, |options| options.faults = FaultPlan::new().with(rule));
    let mut stream = fixture.start_stream(fixture.put().args("--refresh-before 3s"));
    fixture.store_part(&mut stream);
    fixture.wait_for_refreshes(2);
    fixture.store_part(&mut stream);
    let done = fixture.finish(stream, 0);
    // Several failures cause one warning.
    assert_eq!(done.stderr.matches("could not be refreshed").count(), 1, "{}", done.stderr);
    done.stderr_lacks("has been waiting since");
}

/// A refresh does not extend the session: from the expiry of its token on the upload waits for a
/// login. 401s allowed: none.
fn no_more_time() {
    let fixture = Fixture::with(4, |options| options.refresh = RefreshMode::SameExpiry);
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    stream.run.wait_for_stderr("the credentials have expired");
    stream.send_part();
    stream.run.wait_for_stderr("gives up at");
    fixture.store.server().set_refresh(RefreshMode::Normal);
    fixture.log_in();
    fixture.copy_token();
    let done = fixture.finish(stream, 0);
    for once in ["did not extend this session", "has been waiting since"] {
        assert_eq!(done.stderr.matches(once).count(), 1, "{}", done.stderr);
    }
    let count = fixture.store.requests().iter().filter(|r| is_refresh(r)).count();
    assert!(count <= 10, "{count} refreshes in 4 s");
}
