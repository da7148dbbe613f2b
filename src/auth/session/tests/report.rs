//! The reports of `session show` and `session refresh`.

use super::super::report::{self, ReportFormat, SessionReport};
use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;

fn show(home: &Home, format: ReportFormat) -> SessionReport {
    let identity = home.identity(&[]);
    let transport = || Err(Error::usage("a report of files needs no network"));
    let show = report::show(identity, transport, SystemTime::now, format);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(show)
}

#[test]
fn a_session_is_shown_with_its_times_its_key_and_its_files() {
    let home = Home::new(&token(&vector_key(), now() + 90));
    let SessionReport { text, error } = show(&home, ReportFormat::Text);
    assert!(error.is_none());
    for expected in
        ["profile         S", "us-phoenix-1", "(in 1 min", "key match       yes", "mode 644"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("eyJ"), "{text}");
}

#[test]
fn a_session_is_shown_as_json() {
    let home = Home::new(&token(&vector_key(), now() + 90));
    let shown: Value = serde_json::from_str(&show(&home, ReportFormat::Json).text).unwrap();
    assert_eq!(shown["profile"], "S");
    assert_eq!((&shown["key-match"], &shown["valid"]), (&json!(true), &json!(true)));
    assert!((85..=90).contains(&shown["expires-in-seconds"].as_i64().unwrap()));
    assert_eq!(shown["session-ends"], Value::Null);
    assert_eq!(shown["key-file-mode"], "644");
}

#[test]
fn an_expired_session_is_shown_and_is_an_error() {
    let cases: [(Change, u8, &str); 5] = [
        (|home| home.write("token", token(&vector_key(), now() - 9).as_bytes()), 3, " ago)"),
        (|home| home.write("token", b"x"), 3, "token file"),
        (|home| fs::remove_file(home.path("token")).unwrap(), 3, "(missing)"),
        (|home| home.write("key.pem", OTHER_KEY), 3, "key match       no"),
        (|home| home.write("key.pem", b"x"), 2, "key match       unknown"),
    ];
    for (change, code, expected) in cases {
        let home = Home::new(&token(&vector_key(), now() + 90));
        change(&home);
        let SessionReport { text, error } = show(&home, ReportFormat::Text);
        assert_eq!(error.unwrap().kind.exit_code(), code, "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(text.contains("valid           no"), "{text}");
    }
}

#[test]
fn the_report_of_an_api_key_shows_whether_its_fingerprint_matches() {
    let home = Home::new("");
    let right = vectors()["key_fingerprint_md5"].as_str().unwrap().to_owned();
    for (fingerprint, expected) in [(right.clone(), "yes"), (right.replace("d3", "d4"), "no")] {
        let rest =
            "key_file=~/key.pem\nregion=phx\nuser=ocid1.user.oc1..u\ntenancy=ocid1.tenancy.oc1..t";
        let config = format!("[S]\nfingerprint={fingerprint}\n{rest}\n");
        home.write(".oci/config", config.as_bytes());
        let SessionReport { text, error } = show(&home, ReportFormat::Text);
        assert!(text.contains(&format!("key match       {expected}\n")), "{text}");
        assert!(text.contains(&format!("valid           {expected}")), "{text}");
        assert_eq!(error.map(|error| error.kind.exit_code()), (expected == "no").then_some(3));
        assert!(text.contains("api_key") && !text.contains("token file"), "{text}");
    }
}

/// An auth service that always sends the same response.
struct FixedResponse(u16, String);

impl AuthTransport for FixedResponse {
    fn exchange(&self, _: AuthRequest) -> Exchange<'_> {
        let response = AuthResponse::of(self.0, None, self.1.clone());
        Box::pin(async move { Ok(response) })
    }
}

async fn refresh(home: &Home, status: u16, token: &str) -> Result<String, Error> {
    let body = json!({ "token": token }).to_string();
    report::refresh(home.identity(&[]), Arc::new(FixedResponse(status, body))).await
}

#[tokio::test]
async fn a_refresh_writes_the_new_token_and_reports_its_expiry() {
    let home = Home::new(&token(&vector_key(), now() + 90));
    let fresh = token(&vector_key(), now() + 3600);
    let text = refresh(&home, 200, &fresh).await.unwrap();
    assert!(text.contains("refreshed") && text.contains("in 59 min") || text.contains("1 h"));
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), fresh);
}

#[tokio::test]
async fn a_refresh_without_a_later_expiry_is_reported_and_leaves_the_file() {
    let expires = now() + 90;
    let before = token(&vector_key(), expires);
    let home = Home::new(&before);
    let text = refresh(&home, 200, &token_with(&vector_key(), expires, 9)).await.unwrap();
    assert!(text.contains("no more time"), "{text}");
    assert_eq!(fs::read_to_string(home.path("token")).unwrap(), before);
}

#[tokio::test]
async fn a_denied_refresh_and_a_failed_service_are_different_errors() {
    let home = Home::new(&token(&vector_key(), now() + 90));
    let denied = refresh(&home, 401, "").await.unwrap_err();
    assert_eq!(denied.kind.exit_code(), 3);
    assert!(denied.to_string().contains("ocipipe session authenticate --profile-name S"));
    assert_eq!(refresh(&home, 503, "").await.unwrap_err().kind.exit_code(), 4);
    let home = Home::new(&token(&vector_key(), now() - 5));
    assert_eq!(refresh(&home, 200, "").await.unwrap_err().kind.exit_code(), 3);
}
