//! A session that is kept, against an auth service that does as each test says.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;
use proto::token_lifecycle::CredentialOrigin;
use proto::token_lifecycle::events::Level;

type Answer = Box<dyn Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync>;

/// Answers refreshes and probes, and counts them; `None` is a hang.
struct Service {
    answer: Answer,
    refreshes: AtomicUsize,
    probes: AtomicUsize,
}

impl AuthTransport for Service {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        Box::pin(async move {
            match request.target.as_str() {
                "/v1/authentication/refresh" => self.refreshes.fetch_add(1, Ordering::SeqCst),
                _ => self.probes.fetch_add(1, Ordering::SeqCst),
            };
            match (self.answer)(&request) {
                Some((status, body)) => {
                    let date = Some(SystemTime::now());
                    Ok(AuthResponse { status, date, body: body.into_bytes() })
                }
                None => std::future::pending().await,
            }
        })
    }
}

struct Kept {
    session: Session,
    service: Arc<Service>,
    notices: UnboundedReceiver<TokenEvent>,
}

fn keep(
    home: &Home,
    answer: impl Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Kept {
    keep_with(home.identity(&[]), answer)
}

fn keep_with(
    identity: Identity,
    answer: impl Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Kept {
    let session = Session::open(identity).unwrap();
    let service = Arc::new(Service {
        answer: Box::new(answer),
        refreshes: AtomicUsize::new(0),
        probes: AtomicUsize::new(0),
    });
    let (sender, notices) = unbounded_channel();
    session.start_background_refresh(RefreshConfig {
        transport: service.clone(),
        retry_for: Duration::from_secs(30),
        notify: Box::new(move |notice| {
            let _ = sender.send(notice);
        }),
    });
    Kept { session, service, notices }
}

impl Kept {
    /// Waits until something of the kind is told.
    async fn told(&mut self, kind: impl Fn(&TokenEvent) -> bool) -> TokenEvent {
        let wait = async {
            loop {
                let notice = self.notices.recv().await.unwrap();
                if kind(&notice) {
                    return notice;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("not told")
    }

    async fn credentials(&self) -> Result<Arc<Credentials>, Error> {
        let asked = self.session.credentials(SigningRequest::Small);
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("no answer")
    }

    /// A request signed just now is refused.
    fn refuses(&self, credentials: &Credentials) {
        let signed = (self.session.signing_date(), Instant::now());
        self.session.on_unauthorized(credentials, signed, Some(SystemTime::now()));
    }

    fn refreshes(&self) -> usize {
        self.service.refreshes.load(Ordering::SeqCst)
    }
}

/// An answer with a token.
fn with(token: &str) -> Option<(u16, String)> {
    Some((200, json!({ "token": token }).to_string()))
}

fn is_refreshed(notice: &TokenEvent) -> bool {
    matches!(notice, TokenEvent::Adopted { origin: CredentialOrigin::Refresh, .. })
}

fn soon() -> u64 {
    now() + 300
}

fn later() -> u64 {
    now() + 3600
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_and_written_back_whole_for_the_owner_alone() {
    let home = Home::new(&token(&vector_key(), soon()));
    let fresh = token(&vector_key(), later());
    let mut kept = keep(&home, {
        let fresh = fresh.clone();
        move |_| with(&fresh)
    });
    kept.told(is_refreshed).await;
    let credentials = kept.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${fresh}"));
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), fresh);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((kept.refreshes(), kept.session.refreshes()), (1, 1));
    let leftovers = fs::read_dir(home.0.path()).unwrap();
    assert!(
        leftovers.flatten().all(|file| !file.file_name().to_string_lossy().contains(".token-"))
    );
}

#[tokio::test]
async fn a_token_with_time_left_is_not_renewed() {
    let home = Home::new(&token(&vector_key(), now() + 700));
    let kept = keep(&home, |_| None);
    assert!(kept.credentials().await.is_ok());
    assert_eq!(kept.refreshes(), 0);
}

#[tokio::test]
async fn the_target_of_a_symlink_is_replaced_and_the_link_stays() {
    let home = Home::new(&token(&vector_key(), soon()));
    fs::create_dir(home.path("mounted")).unwrap();
    fs::rename(home.path("token"), home.path("mounted/token")).unwrap();
    std::os::unix::fs::symlink("mounted/token", home.path("token")).unwrap();
    let fresh = token(&vector_key(), later());
    let mut kept = keep(&home, {
        let fresh = fresh.clone();
        move |_| with(&fresh)
    });
    kept.told(is_refreshed).await;
    assert!(fs::symlink_metadata(home.path("token")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(home.path("mounted/token")).unwrap(), fresh);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_token_that_cannot_be_written_back_lives_in_memory_and_is_a_warning() {
    use std::os::fd::AsRawFd;
    // A file that has no name any more can be read, and nothing can take its place.
    let home = Home::new(&token(&vector_key(), soon()));
    let open = fs::File::open(home.path("token")).unwrap();
    fs::remove_file(home.path("token")).unwrap();
    let path = format!("/proc/self/fd/{}", open.as_raw_fd());
    let fresh = token(&vector_key(), later());
    let identity = home.identity(&[("OCI_CLI_SECURITY_TOKEN_FILE", &path)]);
    let mut kept = keep_with(identity, {
        let fresh = fresh.clone();
        move |_| with(&fresh)
    });
    kept.told(|notice| matches!(notice, TokenEvent::NotWritten { .. })).await;
    let credentials = kept.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${fresh}"));
}

#[tokio::test]
async fn a_later_token_that_another_process_wrote_meanwhile_is_kept_and_taken_up() {
    let home = Home::new(&token(&vector_key(), soon()));
    let theirs = token(&vector_key(), later() + 100);
    let mut kept = keep(&home, {
        let (theirs, path) = (theirs.clone(), home.path("token"));
        move |_| {
            fs::write(&path, &theirs).unwrap();
            with(&token(&vector_key(), later()))
        }
    });
    kept.told(|notice| {
        matches!(notice, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
    })
    .await;
    assert_eq!(kept.credentials().await.unwrap().key_id.as_str(), format!("ST${theirs}"));
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), theirs);
}

#[tokio::test]
async fn a_login_that_replaced_the_key_during_a_refresh_is_not_overwritten() {
    let home = Home::new(&token(&vector_key(), soon()));
    let login = token(OTHER_KEY, later());
    let mut kept = keep(&home, {
        let (login, folder) = (login.clone(), home.0.path().to_owned());
        move |_| {
            fs::write(folder.join("key.pem"), OTHER_KEY).unwrap();
            fs::write(folder.join("token"), &login).unwrap();
            with(&token(&vector_key(), later() + 100))
        }
    });
    kept.told(|notice| {
        matches!(notice, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
    })
    .await;
    let credentials = kept.credentials().await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${login}"));
    assert_eq!(credentials.key.modulus().len(), 384);
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), login);
}

#[tokio::test]
async fn whoever_comes_second_reads_the_result_of_the_first_and_asks_nobody() {
    let home = Home::new(&token(&vector_key(), soon()));
    let lock = token_file::TokenFileLock::try_acquire(&home.path("token")).unwrap();
    assert!(token_file::TokenFileLock::try_acquire(&home.path("token")).is_none());
    let mut kept = keep(&home, |_| None);
    kept.told(|notice| matches!(notice, TokenEvent::Refreshing { .. })).await;
    let theirs = token(&vector_key(), later());
    home.write("token", theirs.as_bytes());
    drop(lock);
    kept.told(|notice| {
        matches!(notice, TokenEvent::Adopted { origin: CredentialOrigin::Files, .. })
    })
    .await;
    assert_eq!(kept.credentials().await.unwrap().key_id.as_str(), format!("ST${theirs}"));
    assert_eq!(kept.refreshes(), 0);
}

#[tokio::test]
async fn an_auth_service_that_hangs_holds_nobody_up() {
    let home = Home::new(&token(&vector_key(), soon()));
    let mut kept = keep(&home, |_| None);
    kept.told(|notice| matches!(notice, TokenEvent::Refreshing { .. })).await;
    for _ in 0..3 {
        assert_eq!(kept.credentials().await.unwrap().generation, 1);
    }
    assert_eq!(kept.refreshes(), 1);
}

#[tokio::test]
async fn an_answer_that_gives_no_more_time_is_said_and_the_present_token_goes_on() {
    let expires = soon();
    let home = Home::new(&token(&vector_key(), expires));
    let same = token_with(&vector_key(), expires, 9);
    let mut kept = keep(&home, move |_| with(&same));
    kept.told(|notice| matches!(notice, TokenEvent::NotExtended { .. })).await;
    kept.told(|notice| matches!(notice, TokenEvent::SessionEnds { .. })).await;
    assert_eq!(kept.credentials().await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_a_refresh_before_its_turn() {
    let home = Home::new(&token(&vector_key(), later()));
    let fresh = token_with(&vector_key(), later(), 9);
    let mut kept = keep(&home, {
        let fresh = fresh.clone();
        move |_| with(&fresh)
    });
    kept.session.set_streaming();
    let first = kept.credentials().await.unwrap();
    kept.refuses(&first);
    kept.told(is_refreshed).await;
    assert_eq!(kept.credentials().await.unwrap().key_id.as_str(), format!("ST${fresh}"));
}

#[tokio::test]
async fn at_the_start_credentials_that_stay_refused_end_the_run_at_once() {
    let home = Home::new(&token(&vector_key(), later()));
    let kept = keep(&home, |_| Some((401, String::new())));
    let first = kept.credentials().await.unwrap();
    kept.refuses(&first);
    let error = kept.credentials().await.unwrap_err();
    assert_eq!(error.kind.exit_code(), 3);
    assert!(error.to_string().contains("oci session authenticate --profile-name S"), "{error}");
    assert_eq!(kept.refreshes(), 1);
}

#[tokio::test]
async fn under_way_a_spurious_refusal_ends_with_one_probe() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut identity = home.identity(&[]);
    identity.no_refresh = true;
    let mut kept = keep_with(identity, |request| match request.target.as_str() {
        "/n/ns/b/bucket" => Some((404, String::new())),
        _ => Some((401, String::new())),
    });
    kept.session.set_streaming();
    kept.session.set_probe_request("HEAD", "/n/ns/b/bucket");
    let first = kept.credentials().await.unwrap();
    for _ in 0..4 {
        kept.refuses(&first);
    }
    assert_eq!(kept.credentials().await.unwrap().generation, 1);
    kept.told(|notice| matches!(notice, TokenEvent::Probed { .. })).await;
    assert_eq!((kept.refreshes(), kept.service.probes.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn under_way_an_expired_session_waits_for_a_new_login_with_a_new_key() {
    let home = Home::new(&token(&vector_key(), now() + 2));
    let mut kept = keep(&home, |_| Some((401, String::new())));
    kept.session.set_streaming();
    let waiting = async {
        loop {
            let credentials = kept.session.credentials(SigningRequest::Small).await.unwrap();
            if credentials.generation > 1 {
                return credentials;
            }
            tokio::task::yield_now().await;
        }
    };
    let login = token(OTHER_KEY, later());
    let at_the_desk = async {
        // A person needs to be told; and the two files never change at one moment.
        loop {
            if let notice @ TokenEvent::Waiting { .. } = kept.notices.recv().await.unwrap() {
                let command = "`oci session authenticate --profile-name S --region us-phoenix-1`";
                assert!(notice.to_string().contains(command), "{notice}");
                break;
            }
        }
        home.write("key.pem", OTHER_KEY);
        tokio::time::sleep(Duration::from_millis(300)).await;
        home.write("token", login.as_bytes());
    };
    let both = async { tokio::join!(waiting, at_the_desk).0 };
    let credentials = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${login}"));
}

#[tokio::test]
async fn files_that_are_half_written_under_way_cost_nothing_and_are_mentioned_if_they_stay_so() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut kept = keep(&home, |_| None);
    let whole = token(&vector_key(), later() + 100);
    for cut in [0, 1, whole.len() / 2] {
        fs::write(home.path("token"), &whole[..cut]).unwrap();
        assert_eq!(kept.credentials().await.unwrap().generation, 1);
    }
    let asked = async {
        loop {
            let _ = kept.session.credentials(SigningRequest::Small).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = async {
        while !matches!(kept.notices.recv().await.unwrap(), TokenEvent::FilesUnusable { .. }) {}
    };
    tokio::select! { () = told => {}, () = asked => {} }
    fs::write(home.path("token"), &whole).unwrap();
    assert_eq!(kept.credentials().await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_date_of_an_answer_and_said_once() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut kept = keep(&home, |_| None);
    let first = kept.credentials().await.unwrap();
    let theirs = SystemTime::now() + Duration::from_secs(1000);
    for _ in 0..2 {
        kept.session.on_unauthorized(&first, (SystemTime::now(), Instant::now()), Some(theirs));
    }
    let dated = kept.session.signing_date();
    assert!(dated.duration_since(SystemTime::now()).unwrap() > Duration::from_secs(990));
    // The date was the reason: the credentials are as good as before.
    assert_eq!(kept.credentials().await.unwrap().generation, 1);
    kept.told(|notice| matches!(notice, TokenEvent::Skew { seconds: 999..=1001 })).await;
    while let Ok(notice) = kept.notices.try_recv() {
        assert_eq!(notice.level(), Level::Debug, "{notice}");
    }
}

#[tokio::test]
async fn a_token_that_a_transfer_would_outlast_is_renewed_first() {
    let home = Home::new(&token(&vector_key(), now() + 900));
    let fresh = token(&vector_key(), later());
    let kept = keep(&home, move |_| with(&fresh));
    assert_eq!(kept.credentials().await.unwrap().generation, 1);
    let transfer = SigningRequest::Transfer { of: 1, takes: Some(Duration::from_secs(1200)) };
    assert_eq!(kept.session.credentials(transfer).await.unwrap().generation, 2);
    assert_eq!(kept.refreshes(), 1);
}

#[tokio::test]
async fn with_no_refresh_the_auth_service_is_never_called() {
    let home = Home::new(&token(&vector_key(), soon()));
    let mut identity = home.identity(&[]);
    identity.no_refresh = true;
    let kept = keep_with(identity, |_| None);
    let transfer = SigningRequest::Transfer { of: 1, takes: Some(Duration::from_secs(1200)) };
    assert_eq!(kept.session.credentials(transfer).await.unwrap().generation, 1);
    assert_eq!(kept.refreshes(), 0);
}
