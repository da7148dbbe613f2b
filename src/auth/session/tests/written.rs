//! What becomes of the token file when a new token is put back.

use super::token_file::{WriteBack, write_back};
use super::*;

/// Reads the pair, lets another process do something, and puts a new token back; what came of it
/// and what the file holds then.
fn put_back(home: &Home, meanwhile: Spoil, fresh: &str) -> (WriteBack, Option<Vec<u8>>) {
    let identity = home.identity(&[]);
    let before = credential_files::read(&identity, None).unwrap();
    meanwhile(home);
    let fresh = proto::token::Token::parse(fresh).unwrap();
    let stored = write_back(&identity, &home.path("token"), &before, &fresh);
    (stored, fs::read(home.path("token")).ok())
}

#[test]
fn a_login_that_is_being_written_is_left_alone() {
    let fresh = token(&vector_key(), now() + 3600);
    let cases: [Spoil; 4] = [
        |home| fs::write(home.path("token"), b"").unwrap(),
        |home| fs::write(home.path("token"), b"eyJhbGciOi").unwrap(),
        |home| fs::remove_file(home.path("token")).unwrap(),
        |home| home.write("key.pem", OTHER_KEY),
    ];
    for meanwhile in cases {
        let home = Home::new(&token(&vector_key(), now() + 300));
        let left = Home::new(&fs::read_to_string(home.path("token")).unwrap());
        meanwhile(&left);
        let there = fs::read(left.path("token")).ok();
        assert_eq!(put_back(&home, meanwhile, &fresh), (WriteBack::Superseded, there));
    }
}

#[test]
fn nothing_is_left_beside_the_token_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(&token(&vector_key(), now() + 300));
    let fresh = token(&vector_key(), now() + 3600);
    let count = || fs::read_dir(home.0.path()).unwrap().count();
    let before = count();
    let written = (WriteBack::Written, Some(fresh.clone().into_bytes()));
    assert_eq!(put_back(&home, |_| (), &fresh), written);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count(), before);
}
