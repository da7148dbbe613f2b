//! A browser at a login: it opens the printed address, is redirected, and hands over the fragment.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use emulator::Server;
use tempfile::TempDir;

use crate::common::run::{Done, Ocipipe, Running, ocipipe};
use crate::common::store::Store;

const REGION: &str = "us-ashburn-1";

/// The port of the login, for as long as the value lives: other processes may test as well.
pub struct LoginPort {
    _lock: File,
}

impl LoginPort {
    pub fn take() -> LoginPort {
        let path = std::env::temp_dir().join("ocipipe-test-8181.lock");
        let file = File::options().create(true).append(true).open(path).unwrap();
        file.lock().unwrap();
        LoginPort { _lock: file }
    }
}

/// A home folder without a config file.
pub struct Home {
    folder: TempDir,
}

impl Home {
    pub fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    pub fn write_config(&self, text: &str) {
        fs::create_dir_all(self.path(".oci")).unwrap();
        fs::write(self.path(".oci/config"), text).unwrap();
    }

    /// `ocipipe COMMAND` with this home folder.
    pub fn ocipipe(&self, command: &str) -> Ocipipe {
        ocipipe(command.split_whitespace()).var("HOME", self.folder.path())
    }

    /// A login in a profile, at the login page of this store.
    pub fn authenticate(&self, server: &Server, profile: &str) -> Ocipipe {
        let line = format!("session authenticate --profile-name {profile} --region {REGION}");
        self.ocipipe(&line).args("--no-browser --auth-endpoint").arg(server.url())
    }

    /// `ocipipe put` with a profile of this home folder.
    pub fn put(&self, store: &Store, profile: &str, name: &str) -> Ocipipe {
        let url = store.server().url();
        self.ocipipe(&format!("put --profile {profile} --endpoint {url} oci://backups/{name}"))
    }
}

/// The mode of a file, without its type.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The address that a login prints.
pub fn address(login: &Running) -> String {
    login.wait_for_stderr("redirect_uri=");
    login.wait_for_stderr("8181\n");
    let stderr = login.stderr_so_far();
    let line = stderr.lines().find(|line| line.contains("/v1/oauth2/authorize?")).unwrap();
    line.trim().to_owned()
}

/// One request; returns the status and the whole answer.
pub fn get(authority: &str, host: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(authority).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer}")), answer)
}

/// The fragment that the login page redirects to.
pub fn redirect(address: &str) -> String {
    let rest = address.strip_prefix("http://").unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    let (status, answer) = get(authority, authority, &rest[authority.len()..]);
    assert_eq!(status, 302, "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let (page, fragment) = location.trim().split_once('#').unwrap();
    assert_eq!(page, "http://localhost:8181/");
    fragment.to_owned()
}

/// Requests a target of the listener, as a browser does.
pub fn call_back(target: &str) -> (u16, String) {
    get("127.0.0.1:8181", "localhost:8181", target)
}

/// Signs in, as a browser does, and waits for the end of the login.
pub fn sign_in(login: Running) -> Done {
    let fragment = redirect(&address(&login));
    let (status, page) = call_back("/");
    assert!(status == 200 && page.contains("\"/token?\" + fragment"), "{page}");
    let (status, answer) = call_back(&format!("/token?{fragment}"));
    let done = login.wait();
    assert_eq!(status, 200, "{answer}\n{}", done.stderr);
    for secret in fragment.split('&').map(|pair| pair.split_once('=').unwrap().1) {
        let start = &secret[..20];
        assert!(!done.stderr.contains(start) && !done.stdout.contains(start), "{}", done.stderr);
    }
    done
}
