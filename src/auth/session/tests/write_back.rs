//! The token file after a new token is written back.

use super::token_file::{WriteBack, write_back};
use super::*;

/// Reads key and token, runs `meanwhile` as another process, and writes a new token back. Returns
/// the result and the contents of the token file.
fn refresh_during(home: &Home, meanwhile: Change, fresh: &str) -> (WriteBack, Option<Vec<u8>>) {
    let identity = home.identity(&[]);
    let before = credential_files::read(&identity, None).unwrap();
    meanwhile(home);
    let fresh = proto::token::Token::parse(fresh).unwrap();
    let result = write_back(&identity, &home.path("token"), &before, &fresh);
    (result, fs::read(home.path("token")).ok())
}

#[test]
fn a_login_that_is_being_written_is_left_alone() {
    let fresh = token(&vector_key(), now() + 3600);
    let cases: [Change; 4] = [
        |home| fs::write(home.path("token"), b"").unwrap(),
        |home| fs::write(home.path("token"), b"eyJhbGciOi").unwrap(),
        |home| fs::remove_file(home.path("token")).unwrap(),
        |home| home.write("key.pem", OTHER_KEY),
    ];
    for meanwhile in cases {
        let home = Home::new(&token(&vector_key(), now() + 300));
        let untouched = Home::new(&fs::read_to_string(home.path("token")).unwrap());
        meanwhile(&untouched);
        let expected = fs::read(untouched.path("token")).ok();
        assert_eq!(refresh_during(&home, meanwhile, &fresh), (WriteBack::Superseded, expected));
    }
}

#[test]
fn no_file_is_left_beside_the_token_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(&token(&vector_key(), now() + 300));
    let fresh = token(&vector_key(), now() + 3600);
    let count = || fs::read_dir(home.0.path()).unwrap().count();
    let before = count();
    let written = (WriteBack::Written, Some(fresh.clone().into_bytes()));
    assert_eq!(refresh_during(&home, |_| (), &fresh), written);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count(), before);
}
