//! A refused token is not taken up again, although the file holds it and its successor is no use.

use super::*;

/// Refuses a pair under a good date.
fn refuse(session: &Session, credentials: &Credentials) {
    let signed = (session.signing_date(), Instant::now());
    session.on_unauthorized(credentials, signed, Some(SystemTime::now()));
}

/// The file holds the first token, then the second, then the first again; both are refused.
async fn the_first_comes_back(refused_while_it_is_used: bool) {
    let (first, second) = (token(&vector_key(), now() + 600), token(&vector_key(), now() + 700));
    let home = Home::new(&first);
    let session = home.open().unwrap();
    session.set_streaming();
    let with_first = session.credentials(SigningRequest::Small).await.unwrap();
    if refused_while_it_is_used {
        refuse(&session, &with_first);
    }
    home.write("token", second.as_bytes());
    let with_second = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(with_second.key_id.as_str(), format!("ST${second}"));
    if !refused_while_it_is_used {
        // A part that was on its way when its token was replaced.
        refuse(&session, &with_first);
    }
    home.write("token", first.as_bytes());
    assert_eq!(
        session.credentials(SigningRequest::Small).await.unwrap().key_id,
        with_second.key_id
    );
    refuse(&session, &with_second);
    assert_eq!(session.shared.state().credentials.key_id, with_second.key_id);
    // A third one is.
    let third = token(&vector_key(), now() + 500);
    home.write("token", third.as_bytes());
    let with_third = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(with_third.key_id.as_str(), format!("ST${third}"));
}

#[tokio::test]
async fn a_refused_token_that_lies_in_the_file_again_does_not_replace_its_refused_successor() {
    the_first_comes_back(true).await;
}

#[tokio::test]
async fn nor_does_one_that_was_refused_only_after_it_had_been_replaced() {
    the_first_comes_back(false).await;
}

/// A part takes its time on a slow line: it was dated well when it was signed.
#[tokio::test]
async fn a_refusal_that_comes_after_ten_minutes_speaks_of_the_token_and_not_of_the_clock() {
    let home = Home::new(&token(&vector_key(), now() + 600));
    let session = home.open().unwrap();
    session.set_streaming();
    let credentials = session.credentials(SigningRequest::Small).await.unwrap();
    let before = Duration::from_secs(600);
    let signed = (SystemTime::now() - before, Instant::now().checked_sub(before).unwrap());
    session.on_unauthorized(&credentials, signed, Some(SystemTime::now()));
    let core = &session.shared;
    // Without a keeper nobody has patience.
    assert_eq!(
        core.state().lifecycle.decide(core.now(), SigningRequest::Small),
        TokenDecision::TimedOut
    );
}
