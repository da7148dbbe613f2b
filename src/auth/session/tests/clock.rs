//! A session whose local clock is wrong, and a service that sends its date.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A service whose clock is behind the local one.
struct ClockBehind {
    hours: u32,
    queries: AtomicUsize,
}

impl AuthTransport for ClockBehind {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        assert_eq!((request.call.method, request.call.target.as_str()), ("HEAD", "/"));
        assert!(request.call.headers.iter().all(|(name, _)| *name == "host"), "it is signed");
        self.queries.fetch_add(1, Ordering::SeqCst);
        let date = Some(SystemTime::now() - HOUR * self.hours);
        Box::pin(async move { Ok(AuthResponse::of(404, date, "")) })
    }
}

fn start_refresh(session: &Session, hours: u32) -> Arc<ClockBehind> {
    let service = Arc::new(ClockBehind { hours, queries: AtomicUsize::new(0) });
    let transport = service.clone();
    session.start_background_refresh(RefreshConfig {
        transport,
        retry_for: HOUR,
        notify: Box::new(|_| ()),
    });
    service
}

async fn generation(session: &Session) -> Result<u64, Error> {
    let credentials = session.credentials(SigningRequest::Small);
    let credentials = tokio::time::timeout(Duration::from_secs(20), credentials).await;
    credentials.expect("no answer").map(|credentials| credentials.generation)
}

#[tokio::test]
async fn a_token_expired_by_a_wrong_clock_is_used_once_the_service_has_sent_its_date() {
    let home = Home::new(&token(&vector_key(), now() - 60));
    let session = home.open().unwrap();
    let service = start_refresh(&session, 2);
    for _ in 0..3 {
        assert_eq!(generation(&session).await.unwrap(), 1);
    }
    assert_eq!(service.queries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_expired_by_the_services_clock_too_ends_the_run() {
    let home = Home::new(&token(&vector_key(), now() - 3 * 3600));
    let session = home.open().unwrap();
    let service = start_refresh(&session, 2);
    let error = generation(&session).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), 3);
    assert!(error.message.contains("expired at"), "{error}");
    assert_eq!(service.queries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn files_rejected_by_a_wrong_clock_are_read_again_when_it_is_corrected() {
    let home = Home::new(&token(&vector_key(), now() - 3 * 3600));
    let session = home.open().unwrap();
    home.write("token", token(&vector_key(), now() - 3600).as_bytes());
    // Old stamps, so that only the clock is a reason to read again.
    for name in ["token", "key.pem", ".oci/config"] {
        let file = fs::File::options().write(true).open(home.path(name)).unwrap();
        file.set_modified(SystemTime::now() - HOUR).unwrap();
    }
    {
        let mut state = session.shared.state();
        session.shared.read_files(&mut state, ReadMode::IfChanged);
        assert!(state.last_read.stable && state.credentials.generation == 1);
    }
    start_refresh(&session, 2);
    assert_eq!(generation(&session).await.unwrap(), 2);
}

#[tokio::test]
async fn files_without_a_sign_of_a_change_are_read_again_only_where_the_clock_was_corrected() {
    let expires = now() + 600;
    let home = Home::new(&token(&vector_key(), expires));
    let old = SystemTime::now() - HOUR;
    let set_old = || {
        for name in ["token", "key.pem", ".oci/config"] {
            let file = fs::File::options().write(true).open(home.path(name)).unwrap();
            file.set_modified(old).unwrap();
        }
    };
    set_old();
    let session = home.open().unwrap();
    let mut state = session.shared.state();
    session.shared.read_files(&mut state, ReadMode::IfChanged);
    // Another token of the same length, in the same file and with the same time.
    fs::write(home.path("token"), token(&vector_key(), expires + 1)).unwrap();
    set_old();
    session.shared.read_files(&mut state, ReadMode::IfChanged);
    assert_eq!(state.credentials.generation, 1);
    session.shared.read_files(&mut state, ReadMode::Always);
    assert_eq!(state.credentials.generation, 2);
}
