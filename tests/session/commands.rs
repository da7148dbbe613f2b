//! The other commands and the token: `get` and `uploads list` outlive it, `session` shows and
//! refreshes it.

use std::time::Duration;

use emulator::Operation::{self, GetObject, ListMultipartUploads, RefreshToken, UploadPart};
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};
use rustix::process::Signal;

use crate::common::store::BUCKET;
use crate::common::stream::{assert_same, ramp};
use crate::fixture::{Fixture, LONG, is_401};
use crate::together;

together!(the_other_commands_outlive_a_token_too {
    a_get_whose_token_ends_between_ranges: get_across_a_refresh();
    a_get_whose_token_is_rejected: get_with_a_rejected_token();
    a_get_that_waits_for_a_new_login: get_across_a_login();
    a_list_whose_token_ends_between_pages: list_across_a_refresh();
    a_list_whose_token_is_rejected: list_with_a_rejected_token();
});

together!(the_session_commands_refresh_once_and_report_an_expired_session {
    two_refreshes_at_once_exchange_a_token_once: two_refreshes_at_once();
    an_expired_session_is_shown_and_exits_3: an_expired_session_is_shown();
});

/// `get` requests four ranges at once; this is one byte more.
const FIVE_RANGES: usize = 4 * (16 << 20) + 1;
/// Lifetime of a token in seconds; it is refreshed when a third is left.
const LIFE: u64 = 4;
/// A delay that is longer than the lifetime of a token.
const OVER_A_LIFE: Fault = Fault::StallAnswer { ms: Some(5000) };

fn set_faults(fixture: &Fixture, rule: FaultRule) {
    fixture.store.server().set_faults(FaultPlan::new().with(rule));
}

fn generations(fixture: &Fixture, operation: Operation) -> Vec<u64> {
    let of = fixture.store.requests_of(operation).into_iter();
    of.filter(|record| record.status < 300).filter_map(|record| record.generation).collect()
}

/// Downloads the object of `length` bytes; at most `max_401s` requests may get a 401.
fn get(fixture: &Fixture, length: usize, max_401s: usize) {
    let file = fixture.home("fetched");
    let run = fixture
        .ocipipe("get --quiet --retry-for 5s --part-size 16MiB --parallel-download-count 4")
        .arg("--file")
        .arg(&file)
        .arg(format!("oci://{BUCKET}/x"));
    let done = run.run().exits(0);
    assert_same(&std::fs::read(file).unwrap(), &ramp(length));
    fixture.assert_max_401s(max_401s, &done);
}

/// 401s allowed: none.
fn get_across_a_refresh() {
    let fixture = Fixture::new(LONG);
    fixture.put().stdin(ramp(FIVE_RANGES)).run().exits(0);
    fixture.store.server().set_token_ttl(Duration::from_secs(LIFE));
    set_faults(&fixture, FaultRule::on(GetObject, OVER_A_LIFE).when(Trigger::Requests(4)));
    fixture.log_in();
    fixture.copy_token();
    get(&fixture, FIVE_RANGES, 0);
    let used = generations(&fixture, GetObject);
    assert_eq!(used.len(), 5);
    assert!(used.iter().max() > used.iter().min(), "{used:?}");
}

/// 401s allowed: one for each of the two ranges that may be in flight.
fn get_with_a_rejected_token() {
    let length = (16 << 20) + 1;
    let fixture = Fixture::new(LONG);
    fixture.put().stdin(ramp(length)).run().exits(0);
    set_faults(&fixture, FaultRule::on(GetObject, Fault::DistrustToken).when(Trigger::Request(1)));
    get(&fixture, length, 2);
    assert!(fixture.store.requests().iter().any(is_401));
    assert_eq!(fixture.refreshes().len(), 1);
}

/// Only a new login gives a valid token. 401s allowed: one for each of the two ranges.
fn get_across_a_login() {
    let length = (16 << 20) + 1;
    let fixture = Fixture::new(LONG);
    fixture.put().stdin(ramp(length)).run().exits(0);
    set_faults(&fixture, FaultRule::on(GetObject, Fault::RevokeToken).when(Trigger::Request(1)));
    let file = fixture.home("fetched");
    let get = fixture.ocipipe("get --no-refresh").arg("--file").arg(&file);
    let run = get.arg(format!("oci://{BUCKET}/x")).start();
    run.wait_for_stderr("gives up at");
    fixture.log_in_with_new_key();
    fixture.copy_key();
    fixture.copy_token();
    run.wait().exits(0).stderr_has(&["loaded the changed credentials from disk"]);
    assert_same(&std::fs::read(file).unwrap(), &ramp(length));
    assert_eq!(fixture.refreshes().len(), 0);
}

/// A store with two open uploads of killed runs.
fn with_open_uploads() -> Fixture {
    let fixture = Fixture::new(LONG);
    for (name, stored) in [("x", 1), ("y", 2)] {
        let mut stream = fixture.start_stream(fixture.put_as(name));
        stream.send_part();
        fixture.store.wait_for_requests(UploadPart, stored);
        stream.run.signal(Signal::KILL);
        drop(stream);
    }
    fixture.store.server().set_page_size(1);
    fixture
}

fn list(fixture: &Fixture, max_401s: usize) {
    let done = fixture.ocipipe("uploads list").arg(format!("oci://{BUCKET}")).run().exits(0);
    for (_, _, id) in fixture.store.server().open_uploads() {
        assert!(done.stdout.contains(&id), "{id} is missing in the list: {}", done.stdout);
    }
    assert_eq!(done.receipt()["data"].as_array().unwrap().len(), 2);
    fixture.assert_max_401s(max_401s, &done);
}

/// 401s allowed: none.
fn list_across_a_refresh() {
    let fixture = with_open_uploads();
    fixture.store.server().set_token_ttl(Duration::from_secs(LIFE));
    set_faults(
        &fixture,
        FaultRule::on(ListMultipartUploads, OVER_A_LIFE).when(Trigger::Request(1)),
    );
    fixture.log_in();
    fixture.copy_token();
    list(&fixture, 0);
    let used = generations(&fixture, ListMultipartUploads);
    assert!(used.last() > used.first(), "{used:?}");
}

/// 401s allowed: one.
fn list_with_a_rejected_token() {
    let fixture = with_open_uploads();
    let distrust = FaultRule::on(ListMultipartUploads, Fault::DistrustToken);
    set_faults(&fixture, distrust.when(Trigger::Request(2)));
    list(&fixture, 1);
    assert_eq!(fixture.refreshes().len(), 1);
}

/// The second starts before the response to the first.
fn two_refreshes_at_once() {
    let slow = FaultRule::on(RefreshToken, Fault::Delay(3000)).when(Trigger::Request(1));
    let fixture = Fixture::with(LONG, |options| options.faults = FaultPlan::new().with(slow));
    let before = std::fs::read(fixture.token()).unwrap();
    let command = || {
        let url = fixture.store.server().url();
        let run = crate::common::run::ocipipe(["session", "refresh", "--auth-endpoint", &url]);
        let run = run.within(&fixture.home("")).args("--profile SESSION --config-file");
        run.arg(fixture.config()).start()
    };
    let earlier = fixture.store.server().arrived();
    let first = command();
    fixture.store.wait_until_or_exit(&first, move |_, arrived| arrived > earlier);
    let second = command();
    for run in [first, second] {
        let done = run.wait().exits(0);
        assert!(done.stdout.contains("valid until"), "{}", done.stdout);
    }
    let mut exchanged: Vec<_> = fixture.refreshes().iter().map(|r| r.presented).collect();
    let all = exchanged.len();
    exchanged.dedup();
    assert_eq!(exchanged.len(), all, "a token was exchanged twice: {:#?}", fixture.refreshes());
    assert_ne!(std::fs::read(fixture.token()).unwrap(), before);
    fixture.token_is_private();
    // The token file works for an upload.
    fixture.put().stdin(ramp(17)).run().exits(0);
}

fn an_expired_session_is_shown() {
    let fixture = Fixture::new(1);
    std::thread::sleep(Duration::from_millis(1100));
    for (option, words) in
        [("", &["valid           no", " ago)"][..]), ("--json", &["\"valid\": false"][..])]
    {
        let show = ["session", "show", "--profile", "SESSION", "--config-file"];
        let run = crate::common::run::ocipipe(show);
        let done = run.within(&fixture.home("")).arg(fixture.config()).args(option).run().exits(3);
        for word in words {
            assert!(done.stdout.contains(word), "{word:?} is missing on stdout:\n{}", done.stdout);
        }
        done.stderr_has(&["expired at", "ocipipe session authenticate --profile-name SESSION"]);
    }
}
