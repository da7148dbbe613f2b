//! The command `serve` as a process: its output, its end, and its files.

// Code here runs only in tests, where a panic is how to say that something is wrong.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[path = "common/disposition.rs"]
mod disposition;

fn serve(dir: &Path, args: &[&str], environment: &[(&str, &Path)]) -> Child {
    disposition::handle_ignored_signals();
    Command::new(env!("CARGO_BIN_EXE_ocipipe"))
        .args(["serve", "--dir", dir.to_str().unwrap()])
        .args(args)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The first line of stdout, which the server prints when it is ready.
fn url(server: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn request_namespace(url: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /n HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn signal(server: &Child, name: &str) {
    let pid = server.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[test]
fn the_url_is_alone_on_stdout_and_a_signal_ends_it_well() {
    for name in ["-INT", "-TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = serve(&dir.path().join("new"), &[], &[]);
        let url = url(&mut server);
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        assert!(request_namespace(&url).starts_with("HTTP/1.1 401"));
        signal(&server, name);
        let ended = server.wait_with_output().unwrap();
        assert!(ended.status.success(), "{:?}", ended.status);
        assert!(ended.stdout.is_empty());
        let help = String::from_utf8(ended.stderr).unwrap();
        let config = dir.path().join("new").canonicalize().unwrap().join("config");
        assert!(help.contains(&format!("--config-file {}", config.display())), "{help}");
        assert!(help.contains(&format!("--endpoint {url}")), "{help}");
        for file in ["config", "key.pem", "token", "ca.pem", "env/oke_workload_identity"] {
            assert!(dir.path().join("new").join(file).is_file(), "{file}");
        }
        let folder = config.with_file_name("env");
        let line = format!("| env $(cat {}/oke_workload_identity) ocipipe put", folder.display());
        assert!(help.contains(&line), "{help}");
    }
}

#[test]
fn a_folder_whose_name_a_shell_would_split_is_not_offered_for_env() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = serve(&dir.path().join("with blanks"), &[], &[]);
    url(&mut server);
    signal(&server, "-TERM");
    let help = String::from_utf8(server.wait_with_output().unwrap().stderr).unwrap();
    assert!(!help.contains("| env $(cat") && help.contains("without blanks"), "{help}");
}

#[test]
fn a_port_that_is_in_use_is_a_usage_error_that_names_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = serve(dir.path(), &["--port", &port], &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stdout.is_empty());
    assert!(String::from_utf8(ended.stderr).unwrap().contains("--port"));
    let ended = serve(dir.path(), &["--oke-port", &port], &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("--oke-port"));
}

#[test]
fn a_plan_of_faults_and_a_log_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.json");
    let refusal = r#"{"faults": [{"action": {"early": {"status": 429}}}]}"#;
    std::fs::write(&plan, refusal).unwrap();
    let option = ["--faults", plan.to_str().unwrap()];
    let log = [("OCIPIPE_SERVE_LOG", Path::new("1"))];
    let mut server = serve(dir.path(), &option, &log);
    assert!(request_namespace(&url(&mut server)).starts_with("HTTP/1.1 429"));
    signal(&server, "-TERM");
    assert!(server.wait().unwrap().success());
    let log = std::fs::read_to_string(dir.path().join("requests.jsonl")).unwrap();
    assert!(log.contains(r#""operation":"GetNamespace""#) && log.contains(r#""status":429"#));

    // The variable that named the file in earlier versions has no effect.
    let variable = [("OCIPIPE_SERVE_FAULTS", plan.as_path())];
    let mut server = serve(dir.path(), &[], &variable);
    assert!(request_namespace(&url(&mut server)).starts_with("HTTP/1.1 401"));
    signal(&server, "-TERM");
    assert!(server.wait().unwrap().success());

    std::fs::write(&plan, r#"{"rights": ["OBJECT_WRITE"]}"#).unwrap();
    let ended = serve(dir.path(), &option, &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert!(stderr.contains("OBJECT_WRITE"), "{stderr}");
    std::fs::write(&plan, "{").unwrap();
    let ended = serve(dir.path(), &option, &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
}
