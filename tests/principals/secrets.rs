//! The secrets of each mode appear nowhere: not in the log with `--debug`, on a command line, or in the
//! environment of the command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use emulator::Operation;

use crate::host::{Feed, Host, MODES, together};

/// Every text of at least 12 characters in the files with secrets of the emulator: tokens, keys, pass
/// phrases, JWTs and client secrets, line by line.
fn secrets(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !["buckets", "uploads", "env"].contains(&name.as_str()) {
                secrets(&path, found);
            }
            continue;
        }
        if name == "config" || name.ends_with(".crt") || name == "ca.pem" {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let lines = text.lines().filter(|line| line.len() >= 12 && !line.starts_with("-----"));
        found.extend(lines.map(str::to_owned));
    }
}

#[test]
fn no_secret_of_any_mode_is_shown_or_passed_on() {
    together(&MODES, |mode| {
        // Several tokens are issued, and the files are replaced meanwhile.
        let host = Host::new(mode, 4);
        let mut found = BTreeSet::new();
        let mut feed = Feed::start(&host, host.put("x").arg("--debug"));
        while host.tokens(Operation::UploadPart).len() < 3 {
            secrets(host.store.server().state_path(), &mut found);
            feed.part();
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        let command_line = fs::read(format!("/proc/{}/cmdline", feed.run.id())).unwrap();
        let done = feed.finish();
        let shown =
            [&done.stdout, &done.stderr, &String::from_utf8_lossy(&command_line).into_owned()]
                .map(String::as_str)
                .concat();
        for secret in &found {
            assert!(!shown.contains(secret.as_str()), "{mode}: {secret} is shown");
        }
        // A token that was issued is a JWT; the log names none.
        assert!(!shown.contains("eyJ") && !shown.contains("PRIVATE KEY"), "{mode}:\n{shown}");
        assert!(found.len() >= 2, "{mode}: there is nothing to look for");
    });
}

#[test]
fn the_command_finds_none_of_ocipipe_s_variables_and_all_of_oci_s() {
    together(&MODES, |mode| {
        let host = Host::new(mode, 3600);
        let run = host.put("x").args("-- sh -c").arg("env | sort");
        run.run().exits(0);
        let env = String::from_utf8(host.store.object("x").unwrap()).unwrap();
        assert!(!env.contains("OCIPIPE_"), "{mode}: {env}");
        assert!(env.contains("OCI_CLI_AUTH="), "{mode}: {env}");
    });
}
