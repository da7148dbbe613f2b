//! The token file after a new token is written back, by a call and by the background refresh.

use std::os::unix::fs::PermissionsExt;

use super::background_refresh::{
    is_adopted_refresh, later, soon, start, start_with, token_response,
};
use super::token_file::{WriteBack, write_back};
use super::*;
use proto::token_lifecycle::CredentialOrigin;

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
    let home = Home::new(&token(&vector_key(), now() + 300));
    let fresh = token(&vector_key(), now() + 3600);
    let count = || fs::read_dir(home.0.path()).unwrap().count();
    let before = count();
    let written = (WriteBack::Written, Some(fresh.clone().into_bytes()));
    assert_eq!(refresh_during(&home, |_| (), &fresh), written);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count(), before);
}

#[tokio::test]
async fn a_token_near_its_expiry_is_refreshed_and_written_back_for_its_owner_only() {
    let home = Home::new(&token(&vector_key(), soon()));
    let fresh = token(&vector_key(), later());
    let mut fixture = start(&home, {
        let fresh = fresh.clone();
        move |_| token_response(&fresh)
    });
    fixture.wait_for(is_adopted_refresh).await;
    let credentials = fixture.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${fresh}"));
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), fresh);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((fixture.refreshes(), fixture.session.refreshes()), (1, 1));
    let leftovers = fs::read_dir(home.0.path()).unwrap();
    assert!(
        leftovers.flatten().all(|file| !file.file_name().to_string_lossy().contains(".token-"))
    );
}

#[tokio::test]
async fn the_target_of_a_symlink_is_replaced_and_the_link_stays() {
    let home = Home::new(&token(&vector_key(), soon()));
    fs::create_dir(home.path("mounted")).unwrap();
    fs::rename(home.path("token"), home.path("mounted/token")).unwrap();
    std::os::unix::fs::symlink("mounted/token", home.path("token")).unwrap();
    let fresh = token(&vector_key(), later());
    let mut fixture = start(&home, {
        let fresh = fresh.clone();
        move |_| token_response(&fresh)
    });
    fixture.wait_for(is_adopted_refresh).await;
    assert!(fs::symlink_metadata(home.path("token")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(home.path("mounted/token")).unwrap(), fresh);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_token_that_cannot_be_written_back_lives_in_memory_and_is_a_warning() {
    use std::os::fd::AsRawFd;
    // A file without a name can be read, but not replaced.
    let home = Home::new(&token(&vector_key(), soon()));
    let open = fs::File::open(home.path("token")).unwrap();
    fs::remove_file(home.path("token")).unwrap();
    let path = format!("/proc/self/fd/{}", open.as_raw_fd());
    let fresh = token(&vector_key(), later());
    let identity = home.identity(&[("OCI_CLI_SECURITY_TOKEN_FILE", &path)]);
    let mut fixture = start_with(identity, {
        let fresh = fresh.clone();
        move |_| token_response(&fresh)
    });
    fixture.wait_for(|event| matches!(event, TokenEvent::NotWritten { .. })).await;
    let credentials = fixture.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${fresh}"));
}

#[tokio::test]
async fn a_later_token_of_another_process_is_kept_and_adopted() {
    let home = Home::new(&token(&vector_key(), soon()));
    let newer = token(&vector_key(), later() + 100);
    let mut fixture = start(&home, {
        let (newer, path) = (newer.clone(), home.path("token"));
        move |_| {
            fs::write(&path, &newer).unwrap();
            token_response(&token(&vector_key(), later()))
        }
    });
    fixture
        .wait_for(|event| {
            matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
        })
        .await;
    assert_eq!(fixture.credentials().await.unwrap().key_id.as_str(), format!("ST${newer}"));
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), newer);
}

#[tokio::test]
async fn a_login_that_replaced_the_key_during_a_refresh_is_not_overwritten() {
    let home = Home::new(&token(&vector_key(), soon()));
    let login = token(OTHER_KEY, later());
    let mut fixture = start(&home, {
        let (login, folder) = (login.clone(), home.0.path().to_owned());
        move |_| {
            fs::write(folder.join("key.pem"), OTHER_KEY).unwrap();
            fs::write(folder.join("token"), &login).unwrap();
            token_response(&token(&vector_key(), later() + 100))
        }
    });
    fixture
        .wait_for(|event| {
            matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
        })
        .await;
    let credentials = fixture.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${login}"));
    assert_eq!(credentials.key.modulus().len(), 384);
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), login);
}

#[tokio::test]
async fn the_second_process_adopts_the_token_of_the_first_without_a_request() {
    let home = Home::new(&token(&vector_key(), soon()));
    let lock = token_file::TokenFileLock::try_acquire(&home.path("token")).unwrap();
    assert!(token_file::TokenFileLock::try_acquire(&home.path("token")).is_none());
    let mut fixture = start(&home, |_| None);
    fixture.wait_for(|event| matches!(event, TokenEvent::Refreshing { .. })).await;
    let newer = token(&vector_key(), later());
    home.write("token", newer.as_bytes());
    drop(lock);
    fixture
        .wait_for(|event| {
            matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
        })
        .await;
    assert_eq!(fixture.credentials().await.unwrap().key_id.as_str(), format!("ST${newer}"));
    assert_eq!(fixture.refreshes(), 0);
}

#[tokio::test]
async fn a_token_of_another_tenancy_or_of_none_is_neither_used_nor_written_back() {
    for tenancy in [Some("ocid1.tenancy.oc1..second"), None] {
        let old = token_of(&vector_key(), soon(), 7, Some("ocid1.tenancy.oc1..first"));
        let home = Home::new(&old);
        let fresh = token_of(&vector_key(), later(), 8, tenancy);
        let mut fixture = start(&home, move |_| token_response(&fresh));
        fixture
            .wait_for(|event| match event {
                TokenEvent::RefreshFailed { why, .. } => why.contains("tenancy"),
                _ => false,
            })
            .await;
        let credentials = fixture.credentials().await.unwrap();
        assert_eq!(credentials.key_id.as_str(), format!("ST${old}"));
        assert_eq!(fs::read_to_string(home.path("token")).unwrap(), old);
    }
}
