//! A rejected token is not adopted again, although the file holds it and its successor is rejected.

use tokio::sync::Notify;

use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;

/// Timeout of a wait; even on a slow machine a wait takes less than a tenth of it.
const LIMIT: Duration = Duration::from_secs(20);

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

/// A service that responds to a probe only when the test releases the response.
#[derive(Default)]
struct LateService {
    received: Notify,
    release: Notify,
}

impl AuthTransport for LateService {
    fn exchange(&self, _: AuthRequest) -> Exchange<'_> {
        Box::pin(async move {
            self.received.notify_one();
            self.release.notified().await;
            Ok(AuthResponse::of(200, None, ""))
        })
    }
}

#[tokio::test]
async fn a_late_probe_response_for_a_replaced_token_does_not_clear_the_current_one() {
    let home = Home::new(&token(&vector_key(), now() + 600));
    let mut identity = home.identity(&[]);
    identity.no_refresh = true;
    let session = Session::open(identity).unwrap();
    let service = Arc::new(LateService::default());
    session.start_background_refresh(RefreshConfig {
        transport: service.clone(),
        retry_for: Duration::from_secs(3600),
        notify: Box::new(|_| ()),
    });
    session.set_streaming();
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    reject(&session, &first);
    tokio::time::timeout(LIMIT, service.received.notified()).await.expect("no probe was sent");
    home.write("token", token(&vector_key(), now() + 700).as_bytes());
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(second.generation, 2);
    reject(&session, &second);
    let shared = &session.shared;
    let changed = shared.changed.notified();
    service.release.notify_one();
    tokio::time::timeout(LIMIT, changed).await.expect("the probe has not finished");
    let decision = shared.state().lifecycle.decide(shared.now(), SigningRequest::Small);
    assert_eq!(decision, TokenDecision::Wait);
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
