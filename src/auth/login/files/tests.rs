use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/principal-vectors.json")).unwrap()
}

fn token(vectors: &Value) -> Token {
    let line = vectors["browser_login"]["callback_request_line"].as_str().unwrap();
    let rest = line.split("security_token=").nth(1).unwrap();
    Token::parse(rest.split('&').next().unwrap()).unwrap()
}

struct Home {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let none: [(&str, &str); 0] = [];
        let environment = Environment::of(none, Some(folder.path().to_owned()));
        Home { folder, environment }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn config(&self, text: &str) {
        fs::create_dir_all(self.path(".oci")).unwrap();
        fs::write(self.path(".oci/config"), text).unwrap();
    }

    fn place(&self, profile: &str) -> SessionPlace {
        SessionPlace::find(profile, None, &self.environment).unwrap()
    }
}

fn write(place: &SessionPlace) {
    try_write(place, "session1").unwrap();
}

fn try_write(place: &SessionPlace, key: &str) -> Result<(), Error> {
    let vectors = vectors();
    let key = &vectors["keys"][key];
    let session = NewSession {
        key_text: key["private_pem"].as_str().unwrap(),
        public_key: Some(key["public_pem"].as_str().unwrap().to_owned()),
        fingerprint: key["md5_fingerprint"].as_str().unwrap(),
        pass_phrase: None,
        tenancy: "ocid1.tenancy.oc1..x",
        region: "us-ashburn-1",
        token: &token(&vectors),
    };
    place.write(&session)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn names_contents_and_modes_are_those_of_the_oci_cli() {
    let home = Home::new();
    write(&home.place("NAME"));
    let vectors = vectors();
    let key = &vectors["keys"]["session1"];
    let folder = home.path(".oci/sessions/NAME");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let pem = key["private_pem"].as_str().unwrap().trim_end();
    assert_eq!(text("oci_api_key.pem"), format!("{pem}\nOCI_API_KEY"));
    assert_eq!(text("oci_api_key_public.pem"), key["public_pem"].as_str().unwrap());
    assert_eq!(text("token"), token(&vectors).secret());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    for name in ["oci_api_key.pem", "oci_api_key_public.pem", "token"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&folder), 0o700);
    let config = home.path(".oci/config");
    assert_eq!(mode(&config), 0o600);
    let written = &vectors["browser_login"]["written_profile"];
    let folder = folder.display();
    assert_eq!(
        fs::read_to_string(config).unwrap(),
        format!(
            "[NAME]\nfingerprint={}\nkey_file={folder}/oci_api_key.pem\ntenancy=ocid1.tenancy.oc1..x\n\
             region=us-ashburn-1\nsecurity_token_file={folder}/token\n",
            written["fingerprint"].as_str().unwrap()
        )
    );
}

#[test]
fn a_profile_with_a_user_is_replaced_only_if_the_caller_allows_it() {
    let home = Home::new();
    home.config("[S]\nsecurity_token_file=t\n[U]\nuser=u\n[DEFAULT]\nuser=d\n");
    assert!(home.place("S").check_login(false).is_ok());
    assert!(home.place("NEW").check_login(false).is_ok());
    for name in ["U", "DEFAULT"] {
        let error = home.place(name).check_login(false).unwrap_err();
        assert_eq!((error.kind.exit_code(), error.message.contains("holds a user")), (2, true));
        assert!(home.place(name).check_login(true).is_ok());
    }
}

#[test]
fn an_import_needs_an_unused_profile_and_folder() {
    let home = Home::new();
    home.config("[S]\nk=1\n");
    assert!(home.place("S").check_unused().is_err());
    assert!(home.place("NEW").check_unused().is_ok());
    fs::create_dir_all(home.path(".oci/sessions/NEW")).unwrap();
    assert!(home.place("NEW").check_unused().is_ok());
    symlink("/nowhere", home.path(".oci/sessions/NEW/token")).unwrap();
    let error = home.place("NEW").check_unused().unwrap_err();
    assert_eq!((error.kind.exit_code(), error.message.contains("NEW/token")), (2, true));
}

#[test]
fn a_config_file_behind_a_symlink_stays_one() {
    let home = Home::new();
    fs::write(home.path("real"), "# mine\n[A]\nk=1\n").unwrap();
    fs::create_dir(home.path(".oci")).unwrap();
    symlink("../real", home.path(".oci/config")).unwrap();
    write(&home.place("S"));
    assert!(fs::symlink_metadata(home.path(".oci/config")).unwrap().is_symlink());
    let text = fs::read_to_string(home.path("real")).unwrap();
    assert!(text.starts_with("# mine\n[A]\nk=1\n\n[S]\n"), "{text}");
    // One that leads nowhere yet is followed too.
    let place = SessionPlace { config_file: home.path("dangling"), ..home.place("S") };
    symlink("made", home.path("dangling")).unwrap();
    write(&place);
    assert!(home.path("made").is_file());
}

#[test]
fn a_second_login_replaces_whole_files_and_leaves_no_other() {
    let home = Home::new();
    let place = home.place("S");
    write(&place);
    let token = home.path(".oci/sessions/S/token");
    let before = fs::File::open(&token).unwrap().metadata().unwrap().ino();
    write(&place);
    assert_ne!(fs::metadata(&token).unwrap().ino(), before);
    assert_eq!(fs::read_dir(home.path(".oci/sessions/S")).unwrap().count(), 3);
    assert_eq!(fs::read_dir(home.path(".oci")).unwrap().count(), 2);
}

#[test]
fn a_session_that_cannot_be_written_as_a_whole_leaves_the_one_before() {
    let home = Home::new();
    let place = home.place("S");
    write(&place);
    let key = home.path(".oci/sessions/S/oci_api_key.pem");
    let before = fs::read(&key).unwrap();
    // Another program has damaged the config file since the checks of the start.
    home.config("[S\n");
    assert!(try_write(&place, "session2").is_err());
    assert_eq!(fs::read(&key).unwrap(), before);
    // The last of the new files finds no folder.
    symlink("/proc/none/config", home.path("config")).unwrap();
    let place = SessionPlace { config_file: home.path("config"), ..place };
    assert!(try_write(&place, "session2").is_err());
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(fs::read_dir(home.path(".oci/sessions/S")).unwrap().count(), 3);
}

#[test]
fn a_name_that_is_no_folder_and_a_missing_home_are_errors() {
    let home = Home::new();
    for name in ["../x", "a b", "..", ""] {
        let error = SessionPlace::find(name, None, &home.environment).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2, "{name}");
    }
    let none: [(&str, &str); 0] = [];
    let homeless = Environment::of(none, None);
    assert!(SessionPlace::find("S", None, &homeless).is_err());
}

#[test]
fn a_new_file_waits_beside_the_one_that_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let new = NewFile::prepare(&folder.path().join("config"), "text").unwrap();
    let NewFile::Beside(file) = &new else { panic!("it is no mount") };
    assert_eq!(file.path().parent(), Some(folder.path()));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "text");
    drop(new);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
