//! Logins: what they write, what they refuse, and what a waiting upload makes of one.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use emulator::Operation;
use emulator::fault::{Fault, FaultRule, Trigger};

use crate::browser::{Home, LoginPort, address, call_back, get, mode, redirect, sign_in};
use crate::common::store::Store;
use crate::common::stream::{PART, ramp};

#[test]
fn a_login_writes_the_files_of_the_oci_cli_and_a_put_signs_with_them() {
    let _port = LoginPort::take();
    let (store, home) = (Store::start(), Home::new());
    home.write_config("# mine\n[API]\nuser = u\n");
    let done = sign_in(home.authenticate(store.server(), "NEW").start()).exits(0);
    assert!(done.stdout.starts_with(&store.server().url()), "{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), 1, "{}", done.stdout);
    done.stderr_has(&["signed in: the profile NEW", "--profile NEW"]);
    let folder = home.path(".oci/sessions/NEW");
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["oci_api_key.pem", "oci_api_key_public.pem", "token"]);
    assert_eq!(mode(&folder), 0o700);
    for name in names {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name:?}");
    }
    assert!(home.read(".oci/sessions/NEW/oci_api_key.pem").ends_with("-----\nOCI_API_KEY"));
    let config = home.read(".oci/config");
    assert!(config.starts_with("# mine\n[API]\nuser = u\n\n[NEW]\nfingerprint="), "{config}");
    assert_eq!(mode(&home.path(".oci/config")), 0o600);
    home.put(&store, "NEW", "x").stdin("bytes").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"bytes");
}

#[test]
fn only_the_redirect_of_this_login_ends_it() {
    let _port = LoginPort::take();
    let (store, home) = (Store::start(), Home::new());
    let login = home.authenticate(store.server(), "S").start();
    let url = address(&login);
    // A login of another key, and one of another nonce.
    let other = redirect(&other_key(&url));
    assert_eq!(call_back(&format!("/token?{other}")).0, 403);
    let nonce = url.split("nonce=").nth(1).unwrap().split('&').next().unwrap();
    let other = redirect(&url.replace(nonce, "00000000-0000-4000-8000-000000000000"));
    assert_eq!(call_back(&format!("/token?{other}")).0, 403);
    assert_eq!(call_back("/token?error=access_denied").0, 400);
    let fragment = redirect(&url);
    let target = format!("/token?{fragment}");
    assert_eq!(get("127.0.0.1:8181", "127.0.0.1:8181", &target).0, 421);
    assert_eq!(get("127.0.0.1:8181", "evil.example:8181", &target).0, 421);
    assert!(!home.path(".oci").exists(), "something was written");
    let done = sign_in(login).exits(0);
    done.stderr_has(&[
        "a redirect was refused, still waiting: the token belongs to the key of another login",
        "the redirect belongs to another login",
        "the login page reports: access_denied",
    ]);
}

/// The address with another key of the same length.
fn other_key(url: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE;
    let parameter = url.split("public_key=").nth(1).unwrap().split('&').next().unwrap();
    let text = URL_SAFE.decode(parameter.replace("%3D", "=")).unwrap();
    let text = String::from_utf8(text).unwrap();
    let n = text.split("\"n\": \"").nth(1).unwrap().split('"').next().unwrap();
    let middle = if &n[100..101] == "A" { "B" } else { "A" };
    let other = format!("{}{middle}{}", &n[..100], &n[101..]);
    url.replace(parameter, &URL_SAFE.encode(text.replace(n, &other)).replace('=', "%3D"))
}

#[test]
fn a_waiting_upload_names_the_command_and_takes_up_what_it_writes() {
    let _port = LoginPort::take();
    let rule = FaultRule::on(Operation::UploadPart, Fault::RevokeToken);
    let store = Store::failing([rule.part(2).when(Trigger::Attempt(1))]);
    let home = Home::new();
    // The files of this session are elsewhere: the login writes others, and the config names them.
    home.write_config(&fs::read_to_string(store.server().config_path()).unwrap());
    let url = store.server().url();
    // An upload that does not see the new files fails instead of waiting for the default of 1 h.
    let put = home.ocipipe("put --part-size 10MiB --retry-for 40s --profile SESSION");
    let put = put.arg("oci://backups/x");
    let put = put.args(&format!("--endpoint {url} --auth-endpoint {url}"));
    let put = put.stdin(ramp(2 * PART + 1)).start();
    put.wait_for_stderr("gives up at");
    let command = "`ocipipe session authenticate --profile-name SESSION --region ";
    assert!(put.stderr_so_far().contains(command), "{}", put.stderr_so_far());
    sign_in(home.authenticate(store.server(), "SESSION").start()).exits(0);
    let since = Instant::now();
    let done = put.wait().exits(0);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    done.stderr_has(&["the upload goes on"]);
    assert_eq!(store.object("x").unwrap().len(), 2 * PART + 1);
}

#[test]
fn a_login_that_cannot_begin_is_exit_2_and_changes_nothing() {
    let _port = LoginPort::take();
    let (store, home) = (Store::start(), Home::new());
    let config = "[U]\r\nuser=u\r\n";
    home.write_config(config);
    let user = home.authenticate(store.server(), "U").run().exits(2);
    user.stderr_has(&["the profile U in ", "holds a user", "--force"]);
    home.authenticate(store.server(), "../x").run().exits(2);
    home.ocipipe("session authenticate --no-browser").run().exits(2).stderr_has(&["--region"]);
    let http = home.ocipipe("session authenticate --no-browser --region fra");
    http.args("--auth-endpoint http://example.com").run().exits(2);
    for address in ["127.0.0.1:8181", "[::1]:8181"] {
        let Ok(taken) = TcpListener::bind(address) else { continue };
        let done = home.authenticate(store.server(), "S").run().exits(2);
        done.stderr_has(&["port 8181"]);
        drop(taken);
    }
    assert_eq!(home.read(".oci/config"), config);
    assert!(!home.path(".oci/sessions").exists());
    let forced = home.authenticate(store.server(), "U").arg("--force").start();
    sign_in(forced).exits(0);
    assert!(!home.read(".oci/config").contains("user"));
}

#[test]
fn a_login_that_does_not_end_is_exit_3() {
    let _port = LoginPort::take();
    let (store, home) = (Store::start(), Home::new());
    let login = home.authenticate(store.server(), "S").args("--timeout 2s");
    login.run().exits(3).stderr_has(&["no login has ended within 2 s"]);
    assert!(!home.path(".oci").exists());
}

#[test]
fn the_browser_gets_the_address_and_no_secret() {
    let _port = LoginPort::take();
    let (store, home) = (Store::start(), Home::new());
    let program = home.path("xdg-open");
    let opened = home.path("opened");
    let script =
        format!("#!/bin/sh\n(echo \"$@\"; env) >{0}.new\nmv {0}.new {0}\n", opened.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let folder = program.parent().unwrap().display().to_string();
    let in_path = format!("PATH={folder}:$PATH exec \"$@\"");
    let line = "session authenticate --profile-name S --region us-ashburn-1 --auth-endpoint";
    let start = |display: &str| {
        let login = home.ocipipe(line).arg(store.server().url());
        let login = login.wrapped_by_script("/bin/sh", &in_path);
        let login = login.var("OCI_CLI_PASSPHRASE", "hunter2").var("OCIPIPE_X", "hunter2");
        login.var("DISPLAY", display).start()
    };
    let login = start(":9");
    let url = address(&login);
    let since = Instant::now();
    while !opened.exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "{}", login.stderr_so_far());
        std::thread::sleep(Duration::from_millis(10));
    }
    let got = fs::read_to_string(&opened).unwrap();
    assert_eq!(got.lines().next(), Some(url.as_str()));
    assert!(got.contains("DISPLAY=:9") && !got.contains("hunter2"), "{got}");
    sign_in(login).exits(0).stderr_has(&["sign in with the browser that opens"]);
    // Without a display, a browser would take over the terminal.
    fs::remove_file(&opened).unwrap();
    let done = sign_in(start("")).exits(0);
    done.stderr_has(&["no browser can be opened: open this address in one"]);
    assert!(!opened.exists());
}
