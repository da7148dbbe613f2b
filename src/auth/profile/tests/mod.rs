//! Identities resolved from options, environment and config files.

mod config_file;
mod detection;
mod endpoints;
mod principals;
mod resources;

use super::*;
use crate::auth::options::{ExchangeOptions, Setting};
use proto::region::HostVariant;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const TENANCY: &str = "ocid1.tenancy.oc1..aaaa";
const USER: &str = "ocid1.user.oc1..bbbb";
const FINGERPRINT: &str = "66:11:d3:f4:e2:74:de:3c:80:fd:c8:13:69:27:dc:63";

/// A home folder in a temporary folder.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn with(config: &str) -> Home {
        let home = Home::new();
        home.write(".oci/config", config);
        home
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn environment(&self, vars: &[(&str, &str)]) -> Environment {
        Environment::of(vars.iter().copied(), Some(self.path().to_owned()))
    }

    fn resolve(&self, options: &ServiceOptions) -> Result<Identity, Error> {
        Identity::resolve(options, &self.environment(&[]))
    }

    fn error(&self, options: &ServiceOptions) -> String {
        let error = self.resolve(options).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2);
        error.to_string()
    }
}

fn api_key_profile() -> String {
    format!(
        "[DEFAULT]\ntenancy={TENANCY}\nuser={USER}\nfingerprint={FINGERPRINT}\n\
         key_file=~/key.pem\nregion=us-ashburn-1\n"
    )
}

const SESSION: &str = "[S]\nkey_file=~/key.pem\nsecurity_token_file=~/token\nregion=phx\n";

fn options() -> ServiceOptions {
    ServiceOptions::default()
}

fn given(text: &str) -> Option<Setting> {
    Some(Setting::new(text, "--option"))
}

fn key_source(identity: &Identity) -> &KeySource {
    &identity.credentials.private_key().unwrap().source
}

fn token_file_of(credentials: &CredentialSource) -> Option<&Path> {
    match credentials {
        CredentialSource::SecurityToken { token_file, .. } => Some(token_file),
        _ => None,
    }
}

fn profile(name: &str) -> ServiceOptions {
    ServiceOptions { profile: given(name), ..options() }
}

#[test]
fn a_profile_with_an_api_key_is_read_completely() {
    let home = Home::with(&format!("{}pass_phrase = a ; b\n", api_key_profile()));
    let identity = home.resolve(&options()).unwrap();
    let key = identity.credentials.private_key().unwrap().clone();
    assert_eq!(
        identity.credentials,
        CredentialSource::ApiKey {
            key: key.clone(),
            tenancy: TENANCY.into(),
            user: USER.into(),
            fingerprint: FINGERPRINT.into()
        }
    );
    assert_eq!(*key_source(&identity), KeySource::File(home.path().join("key.pem")));
    assert_eq!(key.passphrase.as_ref().map(|text| text.as_str()), Some("a ; b"));
    assert_eq!(
        identity.object_storage.unwrap().general.host,
        "objectstorage.us-ashburn-1.oraclecloud.com"
    );
    assert_eq!(identity.auth.unwrap().host, "auth.us-ashburn-1.oraclecloud.com");
    assert_eq!((identity.profile.as_str(), identity.warnings.len()), ("DEFAULT", 0));
}

#[test]
fn a_profile_with_a_token_file_means_the_session_token_unless_another_mode_is_named() {
    let home = Home::with(&format!("{}{SESSION}", api_key_profile()));
    let token_file = home.path().join("token");
    let identity = home.resolve(&profile("S")).unwrap();
    assert_eq!(token_file_of(&identity.credentials), Some(token_file.as_path()));
    let login = "`ocipipe session authenticate --profile-name S --region us-phoenix-1`";
    let hint = format!("begin a new session with {login} (or with `oci session authenticate`)");
    assert_eq!(identity.login_command(), hint);
    assert_eq!(identity.auth.unwrap().host, "auth.us-phoenix-1.oraclecloud.com");
    let named = ServiceOptions { auth: Some(AuthMode::ApiKey), ..profile("S") };
    assert!(matches!(home.resolve(&named).unwrap().credentials, CredentialSource::ApiKey { .. }));
    // A variable has the effect of the key it overrides.
    let path = token_file.to_str().unwrap();
    let environment = home.environment(&[("OCI_CLI_SECURITY_TOKEN_FILE", path)]);
    let identity = Identity::resolve(&options(), &environment).unwrap();
    assert_eq!(token_file_of(&identity.credentials), Some(token_file.as_path()));
}

/// A complete API key in the environment makes the config file unnecessary, but is not meant where an option
/// names a profile, a file or a session.
#[test]
fn an_option_comes_before_a_complete_api_key_in_the_environment() {
    let home = Home::with(&format!("{}{SESSION}", api_key_profile()));
    let environment = home.environment(&[
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_TENANCY", TENANCY),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_KEY_FILE", "/of the environment.pem"),
    ]);
    let region = Some(Setting::new("us-ashburn-1", "--region"));
    let options = ServiceOptions { region, ..options() };
    let resolve = |options: &ServiceOptions| Identity::resolve(options, &environment);
    let plain = options.clone();
    let of_environment = resolve(&options).unwrap();
    assert!(matches!(of_environment.credentials, CredentialSource::ApiKey { .. }));
    let session = Some(Setting::new("S", "--profile"));
    let named = ServiceOptions { profile: session, profile_is_given: true, ..options.clone() };
    assert!(token_file_of(&resolve(&named).unwrap().credentials).is_some());
    // Its token is bound to its own key.
    let own = home.path().join("key.pem");
    assert_eq!(*key_source(&resolve(&named).unwrap()), KeySource::File(own));
    let mode = ServiceOptions { auth: Some(AuthMode::SecurityToken), ..named };
    assert!(token_file_of(&resolve(&mode).unwrap().credentials).is_some());
    let file = Some(PathBuf::from("/nonexistent"));
    let elsewhere =
        ServiceOptions { config_file: file.clone(), config_file_is_given: true, ..options.clone() };
    let error = resolve(&elsewhere).err().unwrap();
    assert_eq!(error.kind.exit_code(), 2, "{error}");
    let by_variable = ServiceOptions { config_file: file, ..options.clone() };
    assert!(resolve(&by_variable).is_ok());
    // The rc file can have all settings of a profile that an option names.
    let profile = Some(Setting::new("BACKUP", "--profile"));
    let in_rc = ServiceOptions { profile, profile_is_given: true, ..options };
    let missing = resolve(&in_rc).err().unwrap();
    assert!(missing.message.contains("has no profile \"BACKUP\""), "{missing}");
    let in_rc = ServiceOptions { profile_in_rc: true, ..in_rc };
    assert!(resolve(&in_rc).is_ok());
    std::fs::remove_file(home.path().join(".oci/config")).unwrap();
    assert!(resolve(&in_rc).is_ok());
    // Without an option the file is not even read.
    home.write(".oci/config", "no config");
    let profile = Some(Setting::new("DEFAULT", "OCI_CLI_PROFILE"));
    for options in [plain.clone(), ServiceOptions { profile, ..plain }] {
        let identity = resolve(&options).unwrap();
        assert!(matches!(identity.credentials, CredentialSource::ApiKey { .. }));
    }
}

/// A home with a session in DEFAULT and profiles that inherit it.
fn session_in_default() -> Home {
    let api_key = api_key_profile().replace("[DEFAULT]", "[BACKUP]");
    let session = SESSION.replace("[S]", "[DEFAULT]");
    Home::with(&format!(
        "{session}{api_key}[PLAIN]\nregion=fra\n[BOTH]\nuser={USER}\nsecurity_token_file=~/own\n\
         [BACKUP-session]\n[TYPED]\nauthentication_type=security_token\n"
    ))
}

#[test]
fn a_profile_with_a_user_of_its_own_is_an_api_key_s_whatever_it_inherits() {
    let home = session_in_default();
    let token = |name: &str| match home.resolve(&profile(name)).unwrap().credentials {
        CredentialSource::SecurityToken { token_file, .. } => Some(token_file),
        _ => None,
    };
    assert_eq!(token("DEFAULT"), Some(home.path().join("token")));
    assert_eq!(token("PLAIN"), Some(home.path().join("token")));
    assert_eq!(token("BOTH"), Some(home.path().join("own")));
    assert_eq!(token("BACKUP"), None);
    // A user in the environment counts as one of the profile; a token in the environment is used.
    let with = |vars: &[(&str, &str)], name: &str| {
        Identity::resolve(&profile(name), &home.environment(vars)).unwrap().credentials
    };
    let all = [("OCI_CLI_USER", USER), ("OCI_CLI_TENANCY", TENANCY)];
    let all = [&all[..], &[("OCI_CLI_FINGERPRINT", FINGERPRINT)]].concat();
    assert!(matches!(with(&all, "PLAIN"), CredentialSource::ApiKey { .. }));
    let named = with(&[("OCI_CLI_SECURITY_TOKEN_FILE", "/t")], "BACKUP");
    assert_eq!(token_file_of(&named), Some(Path::new("/t")));
}

#[test]
fn the_authentication_type_of_a_profile_comes_before_its_other_keys() {
    let home = |text: &str| Home::with(&format!("{}{SESSION}{text}\n", api_key_profile()));
    let api_key = home("authentication_type=api_key").resolve(&profile("S")).unwrap();
    assert!(matches!(api_key.credentials, CredentialSource::ApiKey { .. }));
    let error = home("authentication_type=kerberos").error(&profile("S"));
    assert!(error.contains("authentication_type") && error.contains("kerberos"), "{error}");
    // An option comes before it, from wherever it was set.
    let named = ServiceOptions { auth: Some(AuthMode::SecurityToken), ..profile("S") };
    let session = home("authentication_type=api_key").resolve(&named).unwrap();
    assert!(matches!(session.credentials, CredentialSource::SecurityToken { .. }));
    let inherited =
        format!("{}authentication_type=security_token\n[A]\nuser={USER}\n", api_key_profile());
    let identity = Home::with(&inherited).resolve(&profile("A")).unwrap();
    assert!(matches!(identity.credentials, CredentialSource::ApiKey { .. }));
}

#[test]
fn no_hint_erases_a_profile_that_holds_a_user() {
    let home = session_in_default();
    let login = |options: &ServiceOptions| home.resolve(options).unwrap().login_command();
    assert!(login(&profile("PLAIN")).contains("--profile-name PLAIN "));
    for (name, free) in [("BOTH", "BOTH-session"), ("BACKUP", "BACKUP-session-2")] {
        let hint = login(&profile(name));
        assert!(!hint.contains(&format!("--profile-name {name} ")), "{hint}");
        assert!(hint.contains(&format!("--profile-name {free} ")), "{hint}");
        assert!(hint.contains(&format!("--profile {free}")), "{hint}");
    }
    let session = ServiceOptions { auth: Some(AuthMode::SecurityToken), ..profile("BACKUP") };
    assert!(login(&session).contains("--profile-name BACKUP-session-2 "));
    // Without a config file it is unknown what the profile contains.
    let vars = [("OCI_CLI_KEY_FILE", "/k.pem"), ("OCI_CLI_SECURITY_TOKEN_FILE", "/token")];
    let options = ServiceOptions { region: given("FRA"), ..options() };
    let identity = Identity::resolve(&options, &Home::new().environment(&vars)).unwrap();
    assert!(!identity.login_command().contains("DEFAULT"), "{}", identity.login_command());
    // The hint names the config file that was read.
    let elsewhere = home.write("elsewhere", SESSION);
    let options = ServiceOptions { config_file: Some(elsewhere.clone()), ..profile("S") };
    let location = format!("--config-file {}`", elsewhere.display());
    assert!(login(&options).contains(&location), "{}", login(&options));
}

#[test]
fn a_session_needs_neither_user_nor_tenancy_nor_fingerprint() {
    assert!(Home::with(SESSION).resolve(&profile("S")).is_ok());
}

#[test]
fn each_variable_overrides_its_key_and_nothing_else() {
    let home = Home::with(&api_key_profile());
    let other = "ocid1.user.oc1..cccc";
    let environment = home.environment(&[
        ("OCI_CLI_USER", other),
        ("OCI_CLI_KEY_FILE", "~/other.pem"),
        ("OCI_CLI_PASSPHRASE", "hunter2"),
        ("OCI_CLI_TENANCY", ""),
    ]);
    let identity = Identity::resolve(&options(), &environment).unwrap();
    assert_eq!(identity.user.as_deref(), Some(other));
    assert_eq!(identity.tenancy.as_deref(), Some(TENANCY));
    assert_eq!(*key_source(&identity), KeySource::File(home.path().join("other.pem")));
    assert_eq!(
        identity.credentials.private_key().unwrap().passphrase.as_ref().map(|text| text.as_str()),
        Some("hunter2")
    );
    assert!(!format!("{identity:?} {environment:?}").contains("hunter2"));
}

#[test]
fn each_missing_or_malformed_value_has_its_own_message() {
    for (from, to, expected) in [
        (USER, "me", "user is not of the form"),
        (TENANCY, "ocid1.tenancy.oc1", "tenancy is not of the form"),
        (FINGERPRINT, "66:11", "fingerprint is not of the form"),
        (FINGERPRINT, &FINGERPRINT.to_uppercase(), "fingerprint is not of the form"),
        ("user=", "x=", "has no user"),
        ("tenancy=", "x=", "has no tenancy"),
        ("fingerprint=", "x=", "has no fingerprint"),
        ("key_file=", "x=", "has no key_file"),
        ("~/key.pem", PLACEHOLDER, "the placeholder"),
        ("key_file=", "key_content=", "key_content"),
        ("region=", "x=", "has no region"),
        ("us-ashburn-1", "a/b", "cannot be the name of a region"),
        ("[DEFAULT]", "", "line 2"),
    ] {
        let config = api_key_profile().replace(from, to);
        let error = Home::with(&config).error(&options());
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let session = ServiceOptions { auth: Some(AuthMode::SecurityToken), ..options() };
    let error = Home::with(&api_key_profile()).error(&session);
    assert!(error.contains("no security_token_file"), "{error}");
    // A login would erase the user of DEFAULT.
    assert!(error.contains("--profile-name DEFAULT-session"), "{error}");
}

#[test]
fn ocids_are_checked_as_in_the_sdk() {
    for good in [TENANCY, USER, "ocid1:user:oc1:phx:a", "a.b.c.d.e.f", "a....b", "a-_.b.c.d.e"] {
        assert!(is_ocid(good), "{good}");
    }
    for bad in ["", "a.b.c.d", ".b.c.d.e", "a.b.c.d.", "a.b.c.d.e f", "a.b.c.d.\u{e9}"] {
        assert!(!is_ocid(bad), "{bad}");
    }
}
