//! The session against files that other processes change.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::auth::environment::Environment;
use crate::auth::options::{ServiceOptions, Setting};

const THIRD_KEY: &[u8] = include_bytes!("../../../../tests/data/keys/rsa-4096.pem");
const OTHER_KEY: &[u8] = include_bytes!("../../../../tests/data/keys/rsa-3072.pem");
const LEGACY_KEY: &[u8] = include_bytes!("../../../../tests/data/keys/legacy-aes192.pem");

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/signing-vectors.json")).unwrap()
}

fn vector_key() -> Vec<u8> {
    vectors()["keys"]["pkcs8"]["pem"].as_str().unwrap().as_bytes().to_vec()
}

fn now() -> u64 {
    since_1970(SystemTime::now()).as_secs()
}

/// A token with a lifetime of 1 h that is bound to the key in a PEM text.
fn token(key: &[u8], expires: u64) -> String {
    token_with(key, expires, 7)
}

/// The same as `token`; tokens with the same expiry differ by `signature`.
fn token_with(key: &[u8], expires: u64, signature: u8) -> String {
    token_of(key, expires, signature, None)
}

/// The same as `token_with`, of a tenancy.
fn token_of(key: &[u8], expires: u64, signature: u8, tenancy: Option<&str>) -> String {
    let n = URL_SAFE_NO_PAD.encode(Key::from_pem(key, None).unwrap().modulus());
    let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"}).to_string();
    let claims = json!({"exp": expires, "iat": expires.saturating_sub(3600), "jwk": jwk,
        "tenant": tenancy});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode([signature; 256]);
    format!("{}.{}.{signature}", part(json!({"alg": "RS256"})), part(claims))
}

mod background_refresh;
mod clock;
mod issue;
mod rejected;
mod report;
#[cfg(shuttle)]
mod sync_models;
mod write_back;

/// A home folder with the profile S, its key and its token.
struct Home(tempfile::TempDir);

impl Home {
    fn new(token: &str) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        let config = "[S]\nkey_file=~/key.pem\nsecurity_token_file=~/token\nregion=phx\n";
        home.write(".oci/config", config.as_bytes());
        home.write("key.pem", &vector_key());
        home.write("token", token.as_bytes());
        home
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file by renaming a new one, as an editor does.
    fn write(&self, name: &str, contents: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fresh = self.path("fresh");
        fs::write(&fresh, contents).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    fn identity(&self, vars: &[(&str, &str)]) -> Identity {
        let environment = Environment::of(vars.iter().copied(), Some(self.0.path().to_owned()));
        let profile = Some(Setting::new("S", "--profile"));
        let options = ServiceOptions { profile, ..ServiceOptions::default() };
        Identity::resolve(&options, &environment).unwrap()
    }

    fn open(&self) -> Result<Session, Error> {
        Session::open(self.identity(&[]))
    }

    /// The exit code and the message of a run that cannot start.
    fn start_error(&self) -> (u8, String) {
        let ready = async { self.open()?.wait_until_ready(SigningRequest::Small).await };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let error = runtime.block_on(ready).unwrap_err();
        (error.kind.exit_code(), error.to_string())
    }
}

/// Changes the files in a home folder.
type Change = fn(&Home);

#[tokio::test]
async fn a_valid_pair_signs_with_the_token_and_its_key() {
    let text = token(&vector_key(), now() + 600);
    let session = Home::new(&format!("{text}\n")).open().unwrap();
    let credentials = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${text}"));
    assert_eq!(credentials.key.fingerprint(), vectors()["key_fingerprint_md5"].as_str().unwrap());
    assert_eq!(credentials.generation, 1);
    assert!(!format!("{credentials:?}").contains(&text[..20]));
}

#[test]
fn each_error_of_the_token_has_its_own_message_and_names_the_login() {
    let valid = token(&vector_key(), now() + 600);
    let cases: [(Change, &str); 6] = [
        (|home| fs::remove_file(home.path("token")).unwrap(), "there is no token file"),
        (|home| home.write("token", b""), "it is empty"),
        (|home| home.write("token", b"a.b"), "three parts"),
        (|home| home.write("token", b"\xff"), "it is no text"),
        (|home| home.write("token", token(&vector_key(), now()).as_bytes()), "expired at"),
        (|home| home.write("key.pem", OTHER_KEY), "is bound to another key"),
    ];
    for (change, expected) in cases {
        let home = Home::new(&valid);
        change(&home);
        let (code, message) = home.start_error();
        assert_eq!(code, 3, "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("ocipipe session authenticate --profile-name S"), "{message}");
    }
}

#[test]
fn each_error_of_the_key_has_its_own_message_and_is_a_configuration_error() {
    let valid = token(&vector_key(), now() + 600);
    let cases: [(Change, &str); 5] = [
        (|home| fs::remove_file(home.path("key.pem")).unwrap(), "there is no key file"),
        (
            |home| {
                fs::remove_file(home.path("key.pem")).unwrap();
                fs::create_dir(home.path("key.pem")).unwrap();
            },
            "cannot be read",
        ),
        (|home| home.write("key.pem", b"nonsense"), "no PEM block"),
        (|home| home.write("key.pem", LEGACY_KEY), "no pass phrase was given"),
        (|home| home.write("key.pem", &vec![b'x'; LARGER]), "longer than"),
    ];
    const LARGER: usize = proto::key::MAX_FILE + 1;
    for (change, expected) in cases {
        let home = Home::new(&valid);
        change(&home);
        let (code, message) = home.start_error();
        assert_eq!(code, 2, "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let home = Home::new(&valid);
    home.write("key.pem", LEGACY_KEY);
    let wrong = home.identity(&[("OCI_CLI_PASSPHRASE", "hunter2")]);
    let error = Session::open(wrong).err().unwrap();
    assert!(error.message.contains("the pass phrase is wrong"), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    assert!(Session::open(home.identity(&[("OCI_CLI_PASSPHRASE", "ocipipe-test-pass")])).is_ok());
}

#[tokio::test]
async fn a_replaced_pair_is_adopted_at_the_next_attempt() {
    let home = Home::new(&token(&vector_key(), now() + 600));
    let session = home.open().unwrap();
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    home.write("key.pem", OTHER_KEY);
    // The token is not bound to the new key: the old pair stays in use.
    assert_eq!(session.credentials(SigningRequest::Small).await.unwrap().key_id, first.key_id);
    let text = token(OTHER_KEY, now() + 1200);
    home.write("token", text.as_bytes());
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(second.key_id.as_str(), format!("ST${text}"));
    assert_ne!(second.key.fingerprint(), first.key.fingerprint());
    assert!(second.generation > first.generation);
}

#[tokio::test]
async fn a_replaced_api_key_is_sent_with_its_own_fingerprint() {
    let home = Home::new("");
    let configured = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff";
    let (tenancy, user) = ("ocid1.tenancy.oc1..a", "ocid1.user.oc1..b");
    let config = format!(
        "[S]\nkey_file=~/key.pem\nuser={user}\ntenancy={tenancy}\nfingerprint={configured}\n\
         region=phx\n"
    );
    home.write(".oci/config", config.as_bytes());
    let session = home.open().unwrap();
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(first.key_id.as_str(), format!("{tenancy}/{user}/{configured}"));
    assert_eq!(first.expires, None);
    home.write("key.pem", OTHER_KEY);
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    let own = second.key.fingerprint();
    assert_eq!(second.key_id.as_str(), format!("{tenancy}/{user}/{own}"));
    // Reading the file again, as after any 401, does not change that.
    session.set_streaming();
    let signed = SignedAt { date: session.signing_date(), at: Instant::now() };
    session.on_unauthorized(&second, signed, Some(SystemTime::now()));
    assert_eq!(session.shared.state().credentials.key_id, second.key_id);
}

#[tokio::test]
async fn a_change_that_leaves_the_modification_time_alone_is_noticed() {
    let home = Home::new(&token(&vector_key(), now() + 600));
    // In the future, so that the file counts as just changed however slow this test is.
    let path = home.path("token");
    let written = SystemTime::now() + Duration::from_secs(60);
    set_modified(&path, written);
    let session = home.open().unwrap();
    // The first call always reads the file; the second is tested.
    session.credentials(SigningRequest::Small).await.unwrap();
    let text = token(&vector_key(), now() + 601);
    fs::write(&path, &text).unwrap();
    set_modified(&path, written);
    let credentials = session.credentials(SigningRequest::Small).await.unwrap();
    assert_eq!(credentials.key_id.as_str(), format!("ST${text}"));
}

#[test]
fn a_file_that_is_half_written_at_the_start_is_read_again() {
    let text = token(&vector_key(), now() + 600);
    let home = Home::new(&text[..text.len() / 2]);
    let path = home.path("token");
    let writer = std::thread::spawn({
        let text = text.clone();
        move || {
            std::thread::sleep(super::start::FILE_READ_INTERVAL / 2);
            fs::write(path, text).unwrap();
        }
    });
    assert!(home.open().is_ok());
    writer.join().unwrap();
}

fn set_modified(path: &std::path::Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// An age at which an unchanged file is not read again.
fn an_hour_ago() -> SystemTime {
    SystemTime::now() - Duration::from_secs(3600)
}

#[tokio::test]
async fn a_change_of_an_old_token_file_is_noticed_by_inode_size_or_time() {
    let old = an_hour_ago();
    let home = Home::new(&token(&vector_key(), now() + 600));
    let path = home.path("token");
    set_modified(&home.path("key.pem"), old);
    set_modified(&path, old);
    let session = home.open().unwrap();
    session.credentials(SigningRequest::Small).await.unwrap();
    let assert_adopted = async |text: &str| {
        let credentials = session.credentials(SigningRequest::Small).await.unwrap();
        assert_eq!(credentials.key_id.as_str(), format!("ST${}", text.trim()));
    };
    // Another file with the same size and time.
    let text = token(&vector_key(), now() + 601);
    home.write("token", text.as_bytes());
    set_modified(&path, old);
    assert_adopted(&text).await;
    // The same file, another size.
    let text = format!("{}\n", token(&vector_key(), now() + 602));
    fs::write(&path, &text).unwrap();
    set_modified(&path, old);
    assert_adopted(&text).await;
    // The same file and size, another time.
    let text = format!("{}\n", token(&vector_key(), now() + 603));
    fs::write(&path, &text).unwrap();
    set_modified(&path, old + Duration::from_nanos(1_000_000));
    assert_adopted(&text).await;
}

#[tokio::test]
async fn a_change_of_an_old_key_file_is_noticed() {
    let home = Home::new("");
    let config = "[S]\nkey_file=~/key.pem\nuser=ocid1.user.oc1..b\ntenancy=ocid1.tenancy.oc1..a\n\
                  fingerprint=00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\nregion=phx\n";
    home.write(".oci/config", config.as_bytes());
    set_modified(&home.path("key.pem"), an_hour_ago());
    let session = home.open().unwrap();
    let first = session.credentials(SigningRequest::Small).await.unwrap();
    home.write("key.pem", OTHER_KEY);
    set_modified(&home.path("key.pem"), an_hour_ago());
    let second = session.credentials(SigningRequest::Small).await.unwrap();
    assert_ne!(second.key.fingerprint(), first.key.fingerprint());
    assert!(second.key_id.as_str().ends_with(second.key.fingerprint()));
}
