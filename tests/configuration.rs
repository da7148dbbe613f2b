//! Identity, endpoint, proxy and trusted certificates, from every source of settings.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::run::{Ocipipe, ocipipe};
use common::store::{Store, UnreadStdin};
use proto::key::Key;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// A `put` of a few bytes with an endpoint and no other setting.
fn put(store: &Store, name: &str) -> Ocipipe {
    ocipipe(["put", "--endpoint"])
        .arg(store.server().url())
        .arg(format!("oci://backups/{name}"))
        .stdin("hello")
        .within(store.folder())
}

/// The keys and values of one profile of the store's config file.
fn profile(store: &Store, name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(store.server().config_path()).unwrap();
    let section = text.split(&format!("[{name}]\n")).nth(1).unwrap();
    let lines = section.split("\n[").next().unwrap().lines();
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// A config file with a session token in DEFAULT and a complete API key in BACKUP.
fn session_in_default(store: &Store) -> PathBuf {
    let text = |name: &str| {
        let pairs = profile(store, name).into_iter();
        pairs.map(|(key, value)| format!("{key}={value}\n")).collect::<String>()
    };
    let (session, api_key) = (text("SESSION"), text("API_KEY"));
    let path = store.file("both", format!("[DEFAULT]\n{session}[BACKUP]\n{api_key}"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_profile_with_an_api_key_uses_it_although_the_session_in_default_is_revoked() {
    let store = Store::start();
    store.server().revoke(&std::fs::read_to_string(store.server().token_path()).unwrap());
    let config = session_in_default(&store);
    let run = |profile: &str| {
        put(&store, "x").arg("--config-file").arg(&config).arg("--profile").arg(profile)
    };
    run("BACKUP").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"hello");
    run("DEFAULT").arg("--force").run().fails(3);
}

#[test]
fn no_advice_erases_a_profile_that_has_a_user() {
    let store = Store::start();
    std::fs::write(store.server().token_path(), "no token").unwrap();
    let config = session_in_default(&store);
    let run = put(&store, "x").arg("--config-file").arg(&config);
    let done = run.args("--profile BACKUP --auth security_token").run().fails(3);
    done.stderr_has(&["holds a user", "--profile-name BACKUP-session ", "--config-file"])
        .stderr_lacks("--profile-name BACKUP ");
}

#[test]
fn the_default_profile_of_the_rc_file_is_used_with_its_defaults() {
    let store = Store::start();
    let home = store.folder().join("home");
    std::fs::create_dir_all(home.join(".oci")).unwrap();
    let pairs = profile(&store, "API_KEY").into_iter();
    let api_key: String = pairs.map(|(key, value)| format!("{key}={value}\n")).collect();
    // DEFAULT has a user that the service does not know.
    let unknown = api_key.replace("ocid1.user", "ocid1.nobody");
    std::fs::write(home.join(".oci/config"), format!("[DEFAULT]\n{unknown}[PROD]\n{api_key}"))
        .unwrap();
    let rc = home.join(".oci/oci_cli_rc");
    let settings = "[OCI_CLI_SETTINGS]\ndefault_profile=PROD\n";
    let defaults = format!("[PROD]\nendpoint={}\nbucket-name=backups\n", store.server().url());
    std::fs::write(&rc, format!("{settings}{defaults}")).unwrap();
    let run = |line: &str| {
        ocipipe(line.split_whitespace()).var("HOME", &home).within(store.folder()).stdin("hello")
    };
    run("put --name x").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"hello");
    run("put --name y --profile DEFAULT").run().fails(2).stderr_has(&["--bucket-name is missing"]);
    let url = store.server().url();
    let default = run("put oci://backups/y --profile DEFAULT --endpoint").arg(&url);
    default.run().fails(3);
    run("put oci://backups/y")
        .var("OCI_CLI_PROFILE", "DEFAULT")
        .arg("--endpoint")
        .arg(&url)
        .run()
        .fails(3);
    // A `force` of another file of defaults is reported on each run.
    let named = store.file("rc", format!("[PROD]\nforce=true\nendpoint={url}\n{settings}"));
    let forced = run("put oci://backups/x").var("OCI_CLI_RC_FILE", &named);
    forced.run().exits(0).stderr_has(&["force in ", "is replaced"]);
    // `--local` does not read the file.
    std::fs::write(&rc, "no rc file").unwrap();
    run("put --local here oci://b/n").run().exits(0);
    run("put oci://backups/z").run().fails(2).stderr_has(&["oci_cli_rc, line 1"]);
}

#[test]
fn a_path_of_a_config_file_need_not_be_utf_8() {
    let store = Store::start();
    let folder = store.folder().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(store.server().config_path(), folder.join("config")).unwrap();
    put(&store, "x").var("OCI_CLI_CONFIG_FILE", folder.join("config")).run().exits(0);
    std::fs::remove_file(folder.join("config")).unwrap();
    let gone = put(&store, "y").var("OCI_CLI_CONFIG_FILE", folder.join("config"));
    gone.run().fails(2).stderr_has(&["there is no config file"]);
}

/// Asserts exit 2 and a message with these texts before anything is read or sent.
#[track_caller]
fn refused(store: &Store, run: Ocipipe, words: &[&str]) {
    let (unread, stdin) = UnreadStdin::new(store.folder());
    let before = store.requests().len();
    run.stdin_from(stdin).run().fails(2).stderr_has(words).within_seconds(20);
    unread.assert_unread();
    assert_eq!(store.requests().len(), before);
}

#[test]
fn a_variable_that_cannot_be_read_is_never_ignored() {
    let store = Store::start();
    let with = |name: &str, value: &[u8]| {
        let run = put(&store, "x").arg("--config-file").arg(store.server().config_path());
        run.var(name, OsStr::from_bytes(value))
    };
    for (name, value) in [
        ("HTTPS_PROXY", &b" http://p:3128"[..]),
        ("HTTPS_PROXY", b"\"http://p:3128\""),
        ("https_proxy", b"http://me:hunter2#@p:3128"),
        ("ALL_PROXY", b"ftp://p"),
        ("HTTPS_PROXY", b"http://p\xff"),
        ("OCI_CLI_REGION", b"phx\xff"),
        ("OCI_CLI_REGION", b"bad region!"),
        ("OCI_REGION_METADATA", b"{"),
        ("OCI_CLI_PASSPHRASE", b"\xff"),
        ("OCI_CLI_AUTH", b"token"),
        ("OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED", b"yes"),
        ("OCI_DUAL_STACK_ENDPOINT_ENABLED", b"2"),
        ("REQUESTS_CA_BUNDLE", b"/no/such/file"),
        ("CURL_CA_BUNDLE", b"/no/such/file"),
        ("SSL_CERT_FILE", b"/no/such/file"),
    ] {
        refused(&store, with(name, value), &[name]);
    }
}

#[test]
fn without_home_the_user_database_is_read() {
    let home = |of: &str| {
        let line = format!("getent passwd \"{of}\" | cut -d: -f6");
        let out = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    for (path, of) in [("~", "$(id -u)"), ("~root", "root")] {
        let home = home(of);
        assert!(home.starts_with('/'));
        let run = ocipipe(["put", "oci://backups/x", "--config-file"]);
        let run = run.arg(format!("{path}/no-such-file-of-ocipipe"));
        let run = run.wrapped_by_script("sh", "unset HOME; exec \"$@\"").run();
        run.fails(2)
            .stderr_has(&[&format!("there is no config file {home}/no-such-file-of-ocipipe")]);
    }
}

#[test]
fn certificates_can_be_given_by_each_variable_and_by_folders() {
    let store = Store::start();
    let folder = store.folder().join("certificates");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(store.server().ca_path(), folder.join("store.pem")).unwrap();
    std::fs::write(folder.join("README"), "no certificate").unwrap();
    let run = || {
        ocipipe(["uploads", "list", "oci://backups", "--config-file"])
            .arg(store.server().config_path())
            .arg("--endpoint")
            .arg(store.server().https_url())
    };
    run().run().fails(4).stderr_has(&["--cert-bundle"]);
    for name in ["OCI_CLI_CERT_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"] {
        run().var(name, store.server().ca_path()).run().exits(0);
    }
    for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"] {
        run().var(name, &folder).run().exits(0);
    }
    run().arg("--cert-bundle").arg(&folder).run().exits(0);
    std::fs::remove_file(folder.join("store.pem")).unwrap();
    let none = run().var("REQUESTS_CA_BUNDLE", &folder).run().fails(2);
    none.stderr_has(&["REQUESTS_CA_BUNDLE", "no certificate"]);
}

/// A server with one fixed response; returns the heads of its requests, and its address.
fn fixed_response_server(response: &'static str) -> (Arc<Mutex<Vec<String>>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            log.lock().unwrap().push(respond(stream, response));
        }
    });
    (requests, address)
}

fn respond(mut stream: TcpStream, response: &str) -> String {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
    let head: Vec<String> = head.collect();
    let _ = write!(stream, "{response}");
    head.join("\n")
}

#[test]
fn a_proxy_that_requires_authentication_ends_the_run_at_once() {
    let store = Store::start();
    let response = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let (requests, proxy) = fixed_response_server(response);
    let run = |region: &str| {
        ocipipe(["put", "oci://backups@ax/x", "--region", region, "--config-file"])
            .arg(store.server().config_path())
            .stdin("hello")
    };
    let done = run("phx").var("HTTPS_PROXY", format!("http://me:hunter2@{proxy}")).run();
    done.fails(4).stderr_has(&["407", "HTTPS_PROXY", &proxy]).stderr_lacks("hunter2");
    let host = "objectstorage.us-phoenix-1.oraclecloud.com:443";
    assert!(requests.lock().unwrap()[0].starts_with(&format!("CONNECT {host} ")), "{requests:?}");
}

#[test]
fn the_host_is_of_the_requested_variant() {
    let store = Store::start();
    let response = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let (requests, proxy) = fixed_response_server(response);
    let run = || {
        ocipipe(["put", "oci://backups@ax/x", "--config-file"])
            .arg(store.server().config_path())
            .args(&format!("--proxy http://{proxy}"))
            .stdin("hello")
    };
    let realm = "OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED";
    let stack = "OCI_DUAL_STACK_ENDPOINT_ENABLED";
    let phx = || run().args("--region phx");
    phx().args("--realm-specific-endpoint").run().fails(4);
    phx().var(realm, "true").var(stack, "true").run().fails(4);
    phx().var(stack, "True").run().fails(4);
    phx().var(realm, "false").run().fails(4);
    let requests: Vec<String> = requests
        .lock()
        .unwrap()
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap().into())
        .collect();
    assert_eq!(
        requests,
        [
            "ax.objectstorage.us-phoenix-1.oci.customer-oci.com:443",
            "ax.objectstorage.us-phoenix-1.ds.oci.customer-oci.com:443",
            "objectstorage.us-phoenix-1.ds.oci.oraclecloud.com:443",
            "objectstorage.us-phoenix-1.oraclecloud.com:443",
        ]
    );
    let unknown = run().args("--region ltn").var(realm, "true");
    unknown.run().fails(2).stderr_has(&[realm, "uk-gov-london-1"]);
}

#[test]
fn the_path_of_an_endpoint_is_a_prefix_of_every_path_and_is_signed() {
    let store = Store::start();
    let response = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                  content-length: 2\r\nconnection: close\r\n\r\n[]";
    let (requests, address) = fixed_response_server(response);
    ocipipe(["uploads", "list", "oci://backups@ax", "--config-file"])
        .arg(store.server().config_path())
        .args(&format!("--profile API_KEY --endpoint http://{address}/Oci/v1/"))
        .run()
        .exits(0);
    let head = requests.lock().unwrap()[0].clone();
    let target = head.split(' ').nth(1).unwrap();
    assert!(target.starts_with("/Oci/v1/n/ax/b/backups/u"), "{head}");
    let of = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1.to_owned()
    };
    let signed =
        format!("date: {}\n(request-target): get {target}\nhost: {}", of("date"), of("host"));
    let authorization = of("authorization");
    let signature = authorization.split("signature=\"").nth(1).unwrap().split('"').next().unwrap();
    let key = std::fs::read(store.server().key_path()).unwrap();
    UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA256,
        Key::from_pem(&key, None).unwrap().public_key(),
    )
    .verify(signed.as_bytes(), &STANDARD.decode(signature).unwrap())
    .unwrap();
}

#[test]
fn an_invalid_region_is_ignored_if_an_endpoint_is_given() {
    let store = Store::start();
    let run = || put(&store, "x").arg("--config-file").arg(store.server().config_path());
    run().args("--region a/b").run().exits(0).stderr_has(&["--region", "the region is left out"]);
}
