//! Tokens that ocipipe renews itself, and an auth service that is of little help.

use std::os::unix::fs::PermissionsExt;

use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{Operation, RefreshMode};

use crate::fixture::{Fixture, is_refresh};
use crate::together;

together!(a_token_that_ends_is_renewed_by_the_upload_itself {
    while_a_slow_producer_writes: renewed_while_a_slow_producer_writes();
    while_the_producer_is_idle: renewed_while_the_producer_is_idle();
    once_for_two_processes_on_one_profile: two_processes_on_one_profile();
    behind_a_symlink: behind_a_symlink();
    in_a_folder_that_may_not_be_written: in_memory_where_it_may_not_be_written();
    though_the_old_one_is_refused_soon_after: the_old_token_is_refused_soon_after();
    before_a_transfer_that_would_outlast_it: parts_are_begun_with_a_token_that_outlives_them();
});

together!(an_auth_service_that_is_of_no_help_for_a_while_costs_nothing {
    down: auth_service(Fault::Refuse(FaultResponse::status(503)));
    silent: auth_service(Fault::StallAnswer { ms: None });
    refusing: auth_service(Fault::Refuse(FaultResponse::status(401)));
    resetting: auth_service(Fault::ResetBeforeBody);
    speaking_html: auth_service(Fault::Html { status: 200 });
    giving_no_more_time: no_more_time();
});

/// Renewed when a third of it is left, which is room enough on a slow machine.
const LIFE: u64 = 5;

/// 401s allowed: none.
fn renewed_while_a_slow_producer_writes() {
    let fixture = Fixture::new(LIFE);
    let mut stream = fixture.start_stream(fixture.put());
    for round in 1..=4 {
        fixture.store_part(&mut stream);
        fixture.wait_for_refreshes(round);
    }
    let done = fixture.finish(stream, 0);
    // The service counts the last one when it answers; the upload may end before it is taken up.
    assert!(done.receipt()["token-refreshes"].as_u64().unwrap() >= 3, "{}", done.stdout);
    assert!(fixture.generations().len() >= 3, "{:?}", fixture.generations());
    assert!(fixture.refreshes().iter().all(|record| record.status == 200));
    fixture.token_is_private();
    done.stderr_lacks("warning");
}

/// 401s allowed: none.
fn renewed_while_the_producer_is_idle() {
    let fixture = Fixture::new(LIFE);
    let mut stream = fixture.start_stream(fixture.put());
    // Before the first byte, and once more in the middle.
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
    let all = exchanged.len();
    exchanged.sort_unstable();
    exchanged.dedup();
    assert_eq!(exchanged.len(), all, "a token was exchanged twice: {:#?}", fixture.refreshes());
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
fn in_memory_where_it_may_not_be_written() {
    let fixture = Fixture::new(LIFE);
    let before = std::fs::read(fixture.token()).unwrap();
    let home = fixture.home("");
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o500)).unwrap();
    let mut run = fixture.put();
    if rustix::process::getuid().is_root() {
        // Root may write anywhere, unless it gives that up.
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

/// The store judges the token of a part again when its last byte arrives, and forgets the old one
/// at once. 401s allowed: one for each part that is on its way when the token is renewed.
fn the_old_token_is_refused_soon_after() {
    let fixture = Fixture::with(3, |options| {
        options.grace = Some(std::time::Duration::from_millis(100));
        options.recheck_token_after_body = true;
    });
    let mut stream =
        fixture.start_stream(fixture.put().args("--bwlimit 8MiB --parallel-upload-count 2"));
    fixture.store_parts(&mut stream, 8);
    let rounds = fixture.refreshes().len();
    assert!(rounds >= 3, "{rounds} refreshes");
    fixture.finish(stream, 2 * (rounds + 1)).stderr_lacks("waits since");
}

/// Parts of two seconds, judged when their last byte arrives, too, and tokens of seven. The first
/// has no rate to go by. 401s allowed: one.
fn parts_are_begun_with_a_token_that_outlives_them() {
    let fixture = Fixture::with(7, |options| options.recheck_token_after_body = true);
    let run = fixture.put().args("--bwlimit 5MiB --parallel-upload-count 1 --refresh-before 1s");
    let mut stream = fixture.start_stream(run);
    fixture.store_parts(&mut stream, 6);
    fixture.finish(stream, 1);
    // Renewed on account of transfers: a token is left with more than the second it might have had.
    assert!(fixture.refreshes().len() <= 6, "{:#?}", fixture.refreshes());
}

/// Tokens of six seconds are renewed from their half on, and the first three times in vain.
/// 401s of Object Storage allowed: none.
fn auth_service(fault: Fault) {
    let vain = match fault {
        Fault::StallAnswer { .. } => 1,
        _ => 3,
    };
    let rule = FaultRule::on(Operation::RefreshToken, fault).when(Trigger::Requests(vain));
    let fixture = Fixture::with(6, |options| options.faults = FaultPlan::new().with(rule));
    let mut stream = fixture.start_stream(fixture.put().args("--refresh-before 3s"));
    fixture.store_part(&mut stream);
    fixture.wait_for_refreshes(2);
    fixture.store_part(&mut stream);
    let done = fixture.finish(stream, 0);
    // Told once, and not each time.
    assert_eq!(done.stderr.matches("could not be refreshed").count(), 1, "{}", done.stderr);
    done.stderr_lacks("waits since");
}

/// The session gets no more time: waited for a login from the end of its token on.
/// 401s allowed: none.
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
    for once in ["gave no more time to this session", "waits since"] {
        assert_eq!(done.stderr.matches(once).count(), 1, "{}", done.stderr);
    }
    let asked = fixture.store.requests().iter().filter(|r| is_refresh(r)).count();
    assert!(asked <= 10, "{asked} refreshes in four seconds");
}
