//! Files that other processes write: whole, in pieces, wrong for a moment, with another key.
//!
//! With `--no-refresh` only what another process writes keeps an upload alive.

use std::io::Write;
use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::fixture::{Fixture, LONG, write_private};
use crate::together;

together!(what_another_process_writes_is_taken_up {
    a_token_replaced_at_once: replaced_while_idle();
    a_token_written_in_pieces: written_in_pieces();
    tokens_written_in_pieces_for_several_lives: rotated_for_several_lives();
    a_key_and_then_its_token: a_new_login([true, false]);
    a_token_and_then_its_key: a_new_login([false, true]);
    files_that_are_wrong_for_a_moment: wrong_for_a_moment();
    a_token_whose_predecessor_is_refused: the_predecessor_is_refused();
    a_part_on_its_way_with_the_predecessor: a_part_is_on_its_way();
    an_api_key_that_was_rotated: an_api_key_is_rotated();
});

/// Until little is left of a token of four seconds.
const NEARLY_A_LIFE: Duration = Duration::from_millis(2400);

/// The producer writes nothing for three token lives, and another process renews the token.
/// 401s allowed: none.
fn replaced_while_idle() {
    let fixture = Fixture::new(4);
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh"));
    fixture.store_part(&mut stream);
    for _ in 0..4 {
        std::thread::sleep(NEARLY_A_LIFE);
        fixture.log_in();
        fixture.copy_token();
    }
    fixture.store_part(&mut stream);
    fixture.finish(stream, 0).stderr_lacks("warning");
    assert_eq!(fixture.generations().len(), 2);
    assert_eq!(fixture.refreshes().len(), 0);
}

/// As `oci session refresh` writes it, and slower: parts are sent all the time, and those who look
/// see an empty file, half a token, and a token. 401s allowed: none.
fn rotated_for_several_lives() {
    let fixture = Fixture::new(5);
    let run = fixture.put().args("--no-refresh --bwlimit 8MiB --parallel-upload-count 2");
    let mut stream = fixture.start_stream(run);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..5 {
                std::thread::sleep(NEARLY_A_LIFE);
                let token = fixture.log_in();
                let mut file = fixture.truncate_token();
                for piece in token.as_bytes().chunks(700) {
                    std::thread::sleep(Duration::from_millis(100));
                    file.write_all(piece).unwrap();
                }
            }
        });
        while fixture.generations().len() < 5 {
            fixture.store_part(&mut stream);
        }
    });
    fixture.finish(stream, 0).stderr_lacks("waits since");
    assert_eq!(fixture.refreshes().len(), 0);
}

/// The same, with a part sent in each state of the file. 401s allowed: none.
fn written_in_pieces() {
    let fixture = Fixture::new(LONG);
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh"));
    for round in 1..=3 {
        fixture.store_part(&mut stream);
        let token = fixture.log_in();
        let mut file = fixture.truncate_token();
        fixture.store_part(&mut stream);
        let (first, rest) = token.split_at(token.len() / 2);
        file.write_all(first.as_bytes()).unwrap();
        fixture.store_part(&mut stream);
        file.write_all(rest.as_bytes()).unwrap();
        fixture.store_part(&mut stream);
        assert_eq!(fixture.generations().len(), round + 1, "the new one is used at once");
    }
    fixture.finish(stream, 0).stderr_lacks("waits since");
    assert_eq!(fixture.refreshes().len(), 0);
}

/// A login that replaces both files, one after the other. 401s allowed: none.
fn a_new_login(key_first: [bool; 2]) {
    let fixture = Fixture::new(LONG);
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    fixture.log_in_with_new_key();
    for (done, key) in key_first.into_iter().enumerate() {
        assert_eq!(fixture.generations().len(), 1);
        if key {
            fixture.copy_key()
        } else {
            fixture.copy_token()
        }
        fixture.store_part(&mut stream);
        assert_eq!(fixture.generations().len(), 1 + done);
    }
    fixture.finish(stream, 0).stderr_lacks("waits since");
}

/// 401s allowed: none.
fn wrong_for_a_moment() {
    let fixture = Fixture::new(LONG);
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    let whole = std::fs::read_to_string(fixture.token()).unwrap();
    let other = fixture.log_in();
    for wrong in ["", "\n", "eyJ", &whole[..whole.len() - 700], "a.b.c", "\0\0\0", "<html>"] {
        write_private(&fixture.token(), wrong);
        fixture.store_part(&mut stream);
    }
    std::fs::remove_file(fixture.token()).unwrap();
    fixture.store_part(&mut stream);
    assert_eq!(fixture.generations().len(), 1);
    write_private(&fixture.token(), format!("{other}\r\n"));
    fixture.store_part(&mut stream);
    assert_eq!(fixture.generations().len(), 2);
    // A ruin stays one: the key is kept while it is in use.
    write_private(&fixture.key(), "-----BEGIN PRIVATE KEY-----\n");
    fixture.store_part(&mut stream);
    std::fs::remove_file(fixture.key()).unwrap();
    fixture.store_part(&mut stream);
    fixture.finish(stream, 0).stderr_lacks("waits since");
}

/// As in the report: a token is refused long before its end, some time after it was replaced.
/// 401s allowed: none, since the file was looked at.
fn the_predecessor_is_refused() {
    let fixture = Fixture::new(LONG);
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh"));
    for round in 1..=3 {
        fixture.store_part(&mut stream);
        let old = std::fs::read_to_string(fixture.token()).unwrap();
        fixture.log_in();
        fixture.copy_token();
        fixture.store.server().revoke(&old);
        fixture.store_part(&mut stream);
        assert_eq!(fixture.generations().len(), round + 1);
    }
    fixture.finish(stream, 0).stderr_lacks("warning");
}

/// The old token is refused while a part is under way that was signed with it.
/// 401s allowed: one, of that part, which is simply sent again.
fn a_part_is_on_its_way() {
    let slow = Fault::StallBody { bytes: 1_000_000, ms: Some(3000) };
    let rule = FaultRule::on(Operation::UploadPart, slow).part(2).when(Trigger::Attempt(1));
    let fixture = Fixture::with(LONG, |options| {
        options.faults = FaultPlan::new().with(rule);
        options.recheck_token_after_body = true;
    });
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh --debug"));
    fixture.store_part(&mut stream);
    stream.send_part();
    // When the third is there, the second is on its way.
    stream.send_part();
    fixture.store.wait_for_requests(Operation::UploadPart, 2);
    let old = std::fs::read_to_string(fixture.token()).unwrap();
    fixture.log_in();
    fixture.copy_token();
    fixture.store.server().revoke(&old);
    let done = fixture.finish(stream, 1).stderr_lacks("waits since");
    assert_eq!(fixture.store.requests_of(Operation::UploadPart).len(), 4 + 1, "{}", done.stderr);
}

/// 401s allowed: one, that of the plan. It changes nothing of what the key is known by.
fn an_api_key_is_rotated() {
    let fixture = Fixture::new(LONG);
    let run = fixture.put().args("--profile API_KEY --auth api_key");
    let mut stream = fixture.start_stream(run);
    fixture.store_part(&mut stream);
    for _ in 0..2 {
        fixture.log_in_with_new_key();
        fixture.copy_key();
        fixture.store.server().forget_older_keys();
        fixture.store_part(&mut stream);
    }
    let spurious = Fault::Refuse(FaultResponse::status(401));
    let rule = FaultRule::on(Operation::UploadPart, spurious).when(Trigger::Requests(1));
    fixture.store.server().set_faults(FaultPlan::new().with(rule));
    fixture.store_part(&mut stream);
    fixture.finish(stream, 1).stderr_lacks("waits since");
}
