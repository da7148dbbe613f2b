//! A rejected token is not adopted again, although the file holds it and its successor is rejected.

use super::*;

/// Rejects credentials of a request with the correct date.
fn reject(session: &Session, credentials: &Credentials) {
    let signed = SignedAt { date: session.signing_date(), at: Instant::now() };
    session.on_unauthorized(credentials, signed, Some(SystemTime::now()));
}

/// The file holds the first token, then the second, then the first again; both are rejected.
async fn put_first_token_back(rejected_while_in_use: bool) {
    let (first, second) = (token(&vector_key(), now() + 600), token(&vector_key(), now() + 700));
    let home = Home::new(&first);
    let session = home.open().unwrap();
    session.set_streaming();
    let first_credentials = session.credentials(SigningRequest::Small).await.unwrap();
    if rejected_while_in_use {
        reject(&session, &first_credentials);
    }
    home.write("token", second.as_bytes());
    let second_credentials = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(second_credentials.key_id.as_str(), format!("ST${second}"));
    if !rejected_while_in_use {
        // The response to a part that was in flight when its token was replaced.
        reject(&session, &first_credentials);
    }
    home.write("token", first.as_bytes());
    assert_eq!(
        session.credentials(SigningRequest::Small).await.unwrap().key_id,
        second_credentials.key_id
    );
    reject(&session, &second_credentials);
    assert_eq!(session.shared.state().credentials.key_id, second_credentials.key_id);
    // A third token is adopted.
    let third = token(&vector_key(), now() + 500);
    home.write("token", third.as_bytes());
    let third_credentials = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(third_credentials.key_id.as_str(), format!("ST${third}"));
}

#[tokio::test]
async fn a_rejected_token_in_the_file_does_not_replace_its_rejected_successor() {
    put_first_token_back(true).await;
}

#[tokio::test]
async fn nor_does_a_token_rejected_only_after_its_replacement() {
    put_first_token_back(false).await;
}

/// A part on a slow connection: its date was correct when it was signed.
#[tokio::test]
async fn a_401_after_ten_minutes_is_about_the_token_and_not_about_the_clock() {
    let home = Home::new(&token(&vector_key(), now() + 600));
    let session = home.open().unwrap();
    session.set_streaming();
    let credentials = session.credentials(SigningRequest::Small).await.unwrap();
    let ago = Duration::from_secs(600);
    let at = Instant::now().checked_sub(ago).unwrap();
    let signed = SignedAt { date: SystemTime::now() - ago, at };
    session.on_unauthorized(&credentials, signed, Some(SystemTime::now()));
    let shared = &session.shared;
    // Without a refresher the session does not wait.
    assert_eq!(
        shared.state().lifecycle.decide(shared.now(), SigningRequest::Small),
        TokenDecision::TimedOut
    );
}
