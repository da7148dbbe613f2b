//! Credential files that other processes write: at once, in pieces, temporarily invalid, with
//! another key.
//!
//! With `--no-refresh` an upload depends on the other process for a valid token.

use std::io::Write;
use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

use crate::fixture::{Fixture, LONG, write_private};
use crate::together;

together!(credentials_that_another_process_writes_are_adopted {
    a_token_replaced_at_once: replaced_while_idle();
    a_token_written_in_pieces: written_in_pieces();
    tokens_written_in_pieces_for_several_lifetimes: rotated_for_several_lifetimes();
    a_key_and_then_its_token: a_new_login([true, false]);
    a_token_and_then_its_key: a_new_login([false, true]);
    files_that_are_invalid_for_a_moment: invalid_for_a_moment();
    a_token_whose_predecessor_is_rejected: the_predecessor_is_rejected();
    a_part_in_flight_with_the_predecessor: a_part_is_in_flight();
    an_api_key_that_was_rotated: an_api_key_is_rotated();
    an_api_key_that_is_not_uploaded_yet: an_api_key_is_not_uploaded();
});

/// Most of the lifetime of a token of 4 s.
const NEARLY_A_LIFE: Duration = Duration::from_millis(2400);

/// The producer writes nothing for more than two token lifetimes, and another process replaces the
/// token. 401s allowed: none.
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

/// The token is written in place, as `oci session refresh` does, but slowly: while parts are sent,
/// the file is empty, then has a part of the token, then the token. 401s allowed: none.
fn rotated_for_several_lifetimes() {
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
    fixture.finish(stream, 0).stderr_lacks("has been waiting since");
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
        assert_eq!(
            fixture.generations().len(),
            round + 1,
            "the new token is used for the next part"
        );
    }
    fixture.finish(stream, 0).stderr_lacks("has been waiting since");
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
    fixture.finish(stream, 0).stderr_lacks("has been waiting since");
}

/// 401s allowed: none.
fn invalid_for_a_moment() {
    let fixture = Fixture::new(LONG);
    let mut stream = fixture.start_stream(fixture.put());
    fixture.store_part(&mut stream);
    let valid = std::fs::read_to_string(fixture.token()).unwrap();
    let other = fixture.log_in();
    for invalid in ["", "\n", "eyJ", &valid[..valid.len() - 700], "a.b.c", "\0\0\0", "<html>"] {
        write_private(&fixture.token(), invalid);
        fixture.store_part(&mut stream);
    }
    std::fs::remove_file(fixture.token()).unwrap();
    fixture.store_part(&mut stream);
    assert_eq!(fixture.generations().len(), 1);
    write_private(&fixture.token(), format!("{other}\r\n"));
    fixture.store_part(&mut stream);
    assert_eq!(fixture.generations().len(), 2);
    // The key file stays invalid; the upload keeps the key that it has loaded.
    write_private(&fixture.key(), "-----BEGIN PRIVATE KEY-----\n");
    fixture.store_part(&mut stream);
    std::fs::remove_file(fixture.key()).unwrap();
    fixture.store_part(&mut stream);
    fixture.finish(stream, 0).stderr_lacks("has been waiting since");
}

/// A token is rejected long before its expiry, some time after it was replaced.
/// 401s allowed: none, because the file is read before each request.
fn the_predecessor_is_rejected() {
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

/// The old token is rejected while a part that was signed with it is in flight.
/// 401s allowed: one, of that part, which is sent again.
fn a_part_is_in_flight() {
    let slow = Fault::StallBody { bytes: 1_000_000, ms: Some(3000) };
    let rule = FaultRule::on(Operation::UploadPart, slow).part(2).when(Trigger::Attempt(1));
    let fixture = Fixture::with(LONG, |options| {
        options.faults = FaultPlan::new().with(rule);
        options.recheck_token_after_body = true;
    });
    let mut stream = fixture.start_stream(fixture.put().args("--no-refresh --debug"));
    fixture.store_part(&mut stream);
    stream.send_part();
    // When the store has the third part, the second is in flight.
    stream.send_part();
    fixture.store.wait_for_requests(Operation::UploadPart, 2);
    let old = std::fs::read_to_string(fixture.token()).unwrap();
    fixture.log_in();
    fixture.copy_token();
    fixture.store.server().revoke(&old);
    let done = fixture.finish(stream, 1).stderr_lacks("has been waiting since");
    assert_eq!(fixture.store.requests_of(Operation::UploadPart).len(), 4 + 1, "{}", done.stderr);
}

/// 401s allowed: the one of the fault plan, after which the key is still used.
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
    fixture.finish(stream, 1).stderr_lacks("has been waiting since");
}

/// The client has a new key that the service does not know. 401s allowed: that of the next part, and
/// that of the probe which shows that the key is refused.
fn an_api_key_is_not_uploaded() {
    let fixture = Fixture::new(LONG);
    let run = fixture.put().args("--profile API_KEY --auth api_key --retry-for 60s");
    let mut stream = fixture.start_stream(run);
    fixture.store_part(&mut stream);
    write_private(&fixture.key(), include_bytes!("../data/keys/rsa-3072.pem"));
    fixture.store_parts(&mut stream, 2);
    let done = fixture.finish(stream, 2);
    done.stderr_has(&["accepts the one before it, which is used again"]);
}
