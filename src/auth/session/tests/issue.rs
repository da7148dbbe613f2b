//! Tokens that a service issues during a run: what they take over, and what they may not replace.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;
use proto::token_lifecycle::CredentialOrigin;

fn principals() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/principal-vectors.json")).unwrap()
}

/// The times of the tokens that the federation issues, one after the other, and what each waits for.
struct Issue {
    expires: u64,
    gate: Option<oneshot::Receiver<()>>,
}

/// The metadata service and the federation service of an instance.
struct InstanceServices(Mutex<VecDeque<Issue>>);

impl AuthTransport for InstanceServices {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        Box::pin(async move {
            let certificates = principals()["certificates"].clone();
            let leaf = &certificates["leaf1"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let body = match request.call.target.rsplit('/').next().unwrap() {
                "cert.pem" => text(&leaf["cert_pem"]),
                "key.pem" => text(&leaf["key_pem"]),
                "intermediate.pem" => text(&certificates["intermediate"]["cert_pem"]),
                "x509" => {
                    let issue = self.0.lock().unwrap().pop_front();
                    let Some(Issue { expires, gate }) = issue else {
                        return std::future::pending().await;
                    };
                    if let Some(gate) = gate {
                        gate.await.unwrap();
                    }
                    let body: Value = serde_json::from_slice(&request.call.body).unwrap();
                    let token = token_of(body["publicKey"].as_str().unwrap(), expires, leaf);
                    json!({ "token": token }).to_string()
                }
                // Queries of the time.
                _ => String::new(),
            };
            Ok(AuthResponse::of(200, Some(SystemTime::now()), body))
        })
    }
}

/// A token with a life of 1 h that is bound to a public key of 2048 bits on one line.
fn token_of(public_key: &str, expires: u64, leaf: &Value) -> String {
    use base64::engine::general_purpose::STANDARD;
    // The modulus follows 33 bytes of DER.
    let modulus = STANDARD.decode(public_key).unwrap()[33..33 + 256].to_vec();
    let jwk = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"}).to_string();
    let claims =
        json!({"exp": expires, "iat": expires - 3600, "jwk": jwk, "tenant": leaf["tenancy"]});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode([7; 256]);
    format!("{}.{}.{signature}", part(json!({"alg": "RS256"})), part(claims))
}

/// A running session of a user with a delegation token, on an instance.
async fn start(
    home: &Home,
    issues: impl IntoIterator<Item = Issue>,
) -> (Session, UnboundedReceiver<TokenEvent>) {
    home.write("delegation", b"first");
    let file = home.path("delegation");
    let vars = [
        ("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2"),
        ("OCI_SDK_AUTH_CLIENT_REGION_URL", "http://127.0.0.1:1"),
        ("OCI_CLI_DELEGATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let environment = Environment::of(vars, Some(home.0.path().to_owned()));
    let options = ServiceOptions {
        auth: Some(AuthMode::InstanceOboUser),
        region: Some(Setting::new("phx", "--region")),
        ..ServiceOptions::default()
    };
    let identity = Identity::resolve(&options, &environment).unwrap();
    let services = InstanceServices(Mutex::new(issues.into_iter().collect()));
    let (sender, events) = unbounded_channel();
    let config = RefreshConfig {
        transport: Arc::new(services),
        retry_for: Duration::from_secs(30),
        notify: Box::new(move |event| {
            let _ = sender.send(event);
        }),
    };
    (Session::start(identity, config).await.unwrap(), events)
}

async fn wait_for(
    events: &mut UnboundedReceiver<TokenEvent>,
    kind: impl Fn(&TokenEvent) -> bool,
) -> TokenEvent {
    let wait = async {
        loop {
            let event = events.recv().await.unwrap();
            if kind(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("no such event")
}

fn delegation(credentials: &Credentials) -> &str {
    credentials.delegation_token.as_ref().unwrap().secret()
}

#[tokio::test]
async fn a_delegation_token_that_is_replaced_during_an_issue_signs_with_the_new_token() {
    let home = Home::new("");
    let (open, gate) = oneshot::channel();
    let issues = [
        Issue { expires: now() + 300, gate: None },
        Issue { expires: now() + 3600, gate: Some(gate) },
    ];
    let (session, mut events) = start(&home, issues).await;
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(delegation(&first), "first");
    wait_for(&mut events, |event| matches!(event, TokenEvent::Refreshing { .. })).await;
    // The file is old enough that only a new stamp would show another change.
    let fresh = home.path("fresh");
    fs::write(&fresh, "second").unwrap();
    let old = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(&fresh).unwrap().set_modified(old).unwrap();
    fs::rename(fresh, home.path("delegation")).unwrap();
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(delegation(&second), "second");
    open.send(()).unwrap();
    let issued = |event: &TokenEvent| {
        matches!(event, TokenEvent::Adopted { origin: CredentialOrigin::Refresh, .. })
    };
    wait_for(&mut events, issued).await;
    let third = session.credentials(SigningRequest::Small).await.unwrap();
    assert_ne!(third.key_id.as_str(), second.key_id.as_str());
    assert_eq!(delegation(&third), "second");
}

#[tokio::test]
async fn a_token_that_ends_earlier_than_the_one_in_use_does_not_replace_it() {
    let home = Home::new("");
    let issues =
        [Issue { expires: now() + 300, gate: None }, Issue { expires: now() + 60, gate: None }];
    let (session, mut events) = start(&home, issues).await;
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    wait_for(&mut events, |event| matches!(event, TokenEvent::NotExtended { .. })).await;
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    assert!(second.key_id == first.key_id);
}
