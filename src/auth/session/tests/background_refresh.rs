//! The background refresh of a session against an auth service that each test scripts.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;
use proto::token_lifecycle::CredentialOrigin;
use proto::token_lifecycle::events::Level;

type Script = Box<dyn Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync>;

/// A service that responds to refreshes and probes by a script and counts them. A script that
/// returns `None` leaves the request without a response.
struct ScriptedService {
    script: Script,
    refreshes: AtomicUsize,
    probes: AtomicUsize,
}

impl AuthTransport for ScriptedService {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        Box::pin(async move {
            match request.call.target.as_str() {
                "/v1/authentication/refresh" => self.refreshes.fetch_add(1, Ordering::SeqCst),
                _ => self.probes.fetch_add(1, Ordering::SeqCst),
            };
            match (self.script)(&request) {
                Some((status, body)) => {
                    let date = Some(SystemTime::now());
                    Ok(AuthResponse::of(status, date, body))
                }
                None => std::future::pending().await,
            }
        })
    }
}

/// A session with a running refresher.
pub(super) struct Fixture {
    pub(super) session: Session,
    service: Arc<ScriptedService>,
    pub(super) events: UnboundedReceiver<TokenEvent>,
}

pub(super) fn start(
    home: &Home,
    script: impl Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Fixture {
    start_with(home.identity(&[]), script)
}

pub(super) fn start_with(
    identity: Identity,
    script: impl Fn(&AuthRequest) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Fixture {
    let session = Session::open(identity).unwrap();
    let service = Arc::new(ScriptedService {
        script: Box::new(script),
        refreshes: AtomicUsize::new(0),
        probes: AtomicUsize::new(0),
    });
    let (sender, events) = unbounded_channel();
    session.start_background_refresh(RefreshConfig {
        transport: service.clone(),
        retry_for: Duration::from_secs(30),
        notify: Box::new(move |event| {
            let _ = sender.send(event);
        }),
    });
    Fixture { session, service, events }
}

impl Fixture {
    /// Waits for the first event that `kind` accepts.
    pub(super) async fn wait_for(&mut self, kind: impl Fn(&TokenEvent) -> bool) -> TokenEvent {
        let wait = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if kind(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("not told")
    }

    pub(super) async fn credentials(&self) -> Result<Arc<Credentials>, Error> {
        let credentials = self.session.credentials(SigningRequest::Small);
        tokio::time::timeout(Duration::from_secs(20), credentials).await.expect("no answer")
    }

    /// Rejects a request signed just now.
    fn reject(&self, credentials: &Credentials) {
        let signed = SignedAt { date: self.session.signing_date(), at: Instant::now() };
        self.session.on_unauthorized(credentials, signed, Some(SystemTime::now()));
    }

    pub(super) fn refreshes(&self) -> usize {
        self.service.refreshes.load(Ordering::SeqCst)
    }
}

/// A response with a token.
pub(super) fn token_response(token: &str) -> Option<(u16, String)> {
    Some((200, json!({ "token": token }).to_string()))
}

pub(super) fn is_adopted_refresh(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::Refresh, .. })
}

pub(super) fn soon() -> u64 {
    now() + 300
}

pub(super) fn later() -> u64 {
    now() + 3600
}

#[tokio::test]
async fn a_token_with_time_left_is_not_refreshed() {
    let home = Home::new(&token(&vector_key(), now() + 700));
    let fixture = start(&home, |_| None);
    assert!(fixture.credentials().await.is_ok());
    assert_eq!(fixture.refreshes(), 0);
}

#[tokio::test]
async fn an_auth_service_that_hangs_delays_no_request() {
    let home = Home::new(&token(&vector_key(), soon()));
    let mut fixture = start(&home, |_| None);
    fixture.wait_for(|event| matches!(event, TokenEvent::Refreshing { .. })).await;
    for _ in 0..3 {
        assert_eq!(fixture.credentials().await.unwrap().generation, 1);
    }
    assert_eq!(fixture.refreshes(), 1);
}

#[tokio::test]
async fn a_refresh_that_extends_nothing_is_reported_and_the_current_token_stays_in_use() {
    let expires = soon();
    let home = Home::new(&token(&vector_key(), expires));
    let same = token_with(&vector_key(), expires, 9);
    let mut fixture = start(&home, move |_| token_response(&same));
    fixture.wait_for(|event| matches!(event, TokenEvent::NotExtended { .. })).await;
    fixture.wait_for(|event| matches!(event, TokenEvent::SessionEnds { .. })).await;
    assert_eq!(fixture.credentials().await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_by_an_early_refresh() {
    let home = Home::new(&token(&vector_key(), later()));
    let fresh = token_with(&vector_key(), later(), 9);
    let mut fixture = start(&home, {
        let fresh = fresh.clone();
        move |_| token_response(&fresh)
    });
    fixture.session.set_streaming();
    let first = fixture.credentials().await.unwrap();
    fixture.reject(&first);
    fixture.wait_for(is_adopted_refresh).await;
    assert_eq!(fixture.credentials().await.unwrap().key_id.as_str(), format!("ST${fresh}"));
}

#[tokio::test]
async fn before_the_stream_rejected_credentials_end_the_run_at_once() {
    let home = Home::new(&token(&vector_key(), later()));
    let fixture = start(&home, |_| Some((401, String::new())));
    let first = fixture.credentials().await.unwrap();
    fixture.reject(&first);
    let error = fixture.credentials().await.unwrap_err();
    assert_eq!(error.kind.exit_code(), 3);
    assert!(error.to_string().contains("ocipipe session authenticate --profile-name S"), "{error}");
    assert_eq!(fixture.refreshes(), 1);
}

#[tokio::test]
async fn while_streaming_a_spurious_401_ends_with_one_probe() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut identity = home.identity(&[]);
    identity.no_refresh = true;
    let mut fixture = start_with(identity, |request| match request.call.target.as_str() {
        "/n/ns/b/bucket" => Some((404, String::new())),
        _ => Some((401, String::new())),
    });
    fixture.session.set_streaming();
    fixture.session.set_probe_request("HEAD", "/n/ns/b/bucket");
    let first = fixture.credentials().await.unwrap();
    for _ in 0..4 {
        fixture.reject(&first);
    }
    assert_eq!(fixture.credentials().await.unwrap().generation, 1);
    fixture.wait_for(|event| matches!(event, TokenEvent::Probed { .. })).await;
    assert_eq!((fixture.refreshes(), fixture.service.probes.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn while_streaming_an_expired_session_waits_for_a_new_login_with_a_new_key() {
    let home = Home::new(&token(&vector_key(), now() + 2));
    let mut fixture = start(&home, |_| Some((401, String::new())));
    fixture.session.set_streaming();
    let waiting = async {
        loop {
            let credentials = fixture.session.credentials(SigningRequest::Small).await.unwrap();
            if credentials.generation > 1 {
                return credentials;
            }
            tokio::task::yield_now().await;
        }
    };
    let login = token(OTHER_KEY, later());
    let user = async {
        // The user logs in after the warning, which writes the two files one after the other.
        loop {
            if let event @ TokenEvent::Waiting { .. } = fixture.events.recv().await.unwrap() {
                let command =
                    "`ocipipe session authenticate --profile-name S --region us-phoenix-1`";
                assert!(event.text(TokenName::Session).to_string().contains(command), "{event:?}");
                break;
            }
        }
        home.write("key.pem", OTHER_KEY);
        tokio::time::sleep(Duration::from_millis(300)).await;
        home.write("token", login.as_bytes());
    };
    let both = async { tokio::join!(waiting, user).0 };
    let credentials = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${login}"));
}

#[tokio::test]
async fn half_written_files_stop_no_upload_and_are_reported_if_they_stay_so() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut fixture = start(&home, |_| None);
    let complete = token(&vector_key(), later() + 100);
    for length in [0, 1, complete.len() / 2] {
        fs::write(home.path("token"), &complete[..length]).unwrap();
        assert_eq!(fixture.credentials().await.unwrap().generation, 1);
    }
    let requests = async {
        loop {
            let _ = fixture.session.credentials(SigningRequest::Small).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reported = async {
        while !matches!(fixture.events.recv().await.unwrap(), TokenEvent::FilesUnusable { .. }) {}
    };
    tokio::select! { () = reported => {}, () = requests => {} }
    fs::write(home.path("token"), &complete).unwrap();
    assert_eq!(fixture.credentials().await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_date_of_a_response_and_reported_once() {
    let home = Home::new(&token(&vector_key(), later()));
    let mut fixture = start(&home, |_| None);
    let first = fixture.credentials().await.unwrap();
    let server_date = SystemTime::now() + Duration::from_secs(1000);
    for _ in 0..2 {
        let signed = SignedAt { date: SystemTime::now(), at: Instant::now() };
        fixture.session.on_unauthorized(&first, signed, Some(server_date));
    }
    let date = fixture.session.signing_date();
    assert!(date.duration_since(SystemTime::now()).unwrap() > Duration::from_secs(990));
    // Only the date was rejected: the credentials stay valid.
    assert_eq!(fixture.credentials().await.unwrap().generation, 1);
    fixture.wait_for(|event| matches!(event, TokenEvent::Skew { seconds: 999..=1001 })).await;
    while let Ok(event) = fixture.events.try_recv() {
        assert_eq!(event.level(), Level::Debug, "{event:?}");
    }
}

#[tokio::test]
async fn a_token_that_a_transfer_would_outlast_is_refreshed_first() {
    let home = Home::new(&token(&vector_key(), now() + 900));
    let fresh = token(&vector_key(), later());
    let fixture = start(&home, move |_| token_response(&fresh));
    assert_eq!(fixture.credentials().await.unwrap().generation, 1);
    let transfer =
        SigningRequest::Transfer { transfer_id: 1, estimate: Some(Duration::from_secs(1200)) };
    assert_eq!(fixture.session.credentials(transfer).await.unwrap().generation, 2);
    assert_eq!(fixture.refreshes(), 1);
}

#[tokio::test]
async fn with_no_refresh_the_auth_service_is_never_called() {
    let home = Home::new(&token(&vector_key(), soon()));
    let mut identity = home.identity(&[]);
    identity.no_refresh = true;
    let fixture = start_with(identity, |_| None);
    let transfer =
        SigningRequest::Transfer { transfer_id: 1, estimate: Some(Duration::from_secs(1200)) };
    assert_eq!(fixture.session.credentials(transfer).await.unwrap().generation, 1);
    assert_eq!(fixture.refreshes(), 0);
}

/// The fingerprint in the key id of a request that an API key signs.
fn fingerprint(key_id: &str) -> String {
    key_id.rsplit('/').next().unwrap().to_owned()
}

/// A config file with an API key.
fn api_key_config(fingerprint: &str) -> String {
    format!(
        "[S]\nkey_file=~/key.pem\nuser=ocid1.user.oc1..b\ntenancy=ocid1.tenancy.oc1..a\n\
         fingerprint={fingerprint}\nregion=phx\n"
    )
}

/// The key before the current one is used again.
fn is_restored(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::EarlierKey, .. })
}

/// A new key can be refused for minutes: it is uploaded later, or not known in each region yet.
#[tokio::test]
async fn while_streaming_an_api_key_that_is_refused_gives_way_to_the_one_before_it() {
    let home = Home::new("");
    let own = Key::from_pem(&vector_key(), None).unwrap().fingerprint().to_owned();
    home.write(".oci/config", api_key_config(&own).as_bytes());
    let accepted = Arc::new(std::sync::Mutex::new(own.clone()));
    let script = Arc::clone(&accepted);
    let mut fixture = start(&home, move |request| {
        let header = request.call.headers.iter().find(|(name, _)| *name == "authorization");
        let accepts = header.unwrap().1.contains(&*script.lock().unwrap());
        Some((if accepts { 200 } else { 401 }, String::new()))
    });
    fixture.session.set_streaming();
    fixture.credentials().await.unwrap();
    home.write("key.pem", OTHER_KEY);
    let new = fixture.credentials().await.unwrap();
    assert_ne!(fingerprint(new.key_id.as_str()), own);
    fixture.reject(&new);
    let restored = fixture.credentials().await.unwrap();
    assert_eq!((fingerprint(restored.key_id.as_str()), restored.generation), (own.clone(), 3));
    fixture.wait_for(is_restored).await;
    // The file still has the new key. It is used once the service refuses the old one and accepts it.
    home.write("key.pem", OTHER_KEY);
    assert_eq!(fixture.credentials().await.unwrap().generation, 3);
    *accepted.lock().unwrap() = fingerprint(new.key_id.as_str());
    fixture.reject(&restored);
    let last = fixture.credentials().await.unwrap();
    assert_eq!((last.key_id.as_str(), last.generation), (new.key_id.as_str(), 4));
    fixture.wait_for(is_restored).await;
}

#[tokio::test]
async fn two_api_keys_that_are_refused_give_way_to_the_one_before_both() {
    let home = Home::new("");
    let own = Key::from_pem(&vector_key(), None).unwrap().fingerprint().to_owned();
    home.write(".oci/config", api_key_config(&own).as_bytes());
    let accepted = own.clone();
    let mut fixture = start(&home, move |request| {
        let header = request.call.headers.iter().find(|(name, _)| *name == "authorization");
        Some((if header.unwrap().1.contains(&accepted) { 200 } else { 401 }, String::new()))
    });
    fixture.session.set_streaming();
    fixture.credentials().await.unwrap();
    for key in [OTHER_KEY, THIRD_KEY] {
        home.write("key.pem", key);
        let new = fixture.credentials().await.unwrap();
        assert_ne!(fingerprint(new.key_id.as_str()), own);
        fixture.reject(&new);
    }
    let restored = fixture.credentials().await.unwrap();
    assert_eq!((fingerprint(restored.key_id.as_str()), restored.generation), (own, 4));
    fixture.wait_for(is_restored).await;
}
