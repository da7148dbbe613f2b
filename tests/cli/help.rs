//! Help, the version and completions.

use std::process::Command as Process;

use ocipipe::internals::auth::options::AuthMode;

use ocipipe::internals::cli::Command;

use crate::usage_errors::{ocipipe, parse, words};

/// What `--help` shows of the help of `put`.
const PUT_BRIEF: &str = include_str!("../data/help-put-brief.txt");

#[test]
fn help_equals_the_reviewed_text() {
    for (path, golden) in [
        ("", include_str!("../data/help.txt")),
        ("put", include_str!("../data/help-put.txt")),
        ("get", include_str!("../data/help-get.txt")),
        ("verify", include_str!("../data/help-verify.txt")),
        ("uploads abort", include_str!("../data/help-uploads-abort.txt")),
        ("session authenticate", include_str!("../data/help-session-authenticate.txt")),
        ("serve", include_str!("../data/help-serve.txt")),
    ] {
        let (long, short) = (format!("{path} --help"), format!("{path} -h"));
        let texts = [
            (format!("help {path}"), golden),
            (long, if path == "put" { PUT_BRIEF } else { golden }),
            (short, if path == "put" { PUT_BRIEF } else { golden }),
        ];
        for (line, golden) in texts {
            let output = ocipipe(words(&line));
            assert_eq!(output.status.code(), Some(0), "{line}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text, golden, "`ocipipe {line}` differs from tests/data");
        }
    }
}

#[test]
fn help_fits_a_terminal_and_shows_every_option() {
    let every = [
        "put",
        "get",
        "verify",
        "uploads",
        "uploads list",
        "uploads abort",
        "session",
        "session show",
        "session refresh",
        "session authenticate",
        "session export",
        "session import",
        "serve",
        "completions",
        "man",
        "help",
    ];
    for path in every {
        let Ok(Command::Help(text)) = parse(&format!("help {path}")) else { panic!("{path}") };
        assert!(text.starts_with(&format!("Usage: ocipipe {path}")), "{text}");
        for line in text.lines() {
            assert!(line.len() <= 120, "{path}: {line}");
        }
    }
    let Ok(Command::Help(text)) = parse("help put") else { panic!() };
    for option in [
        "--part-size",
        "--parallel-upload-count",
        "--max-memory",
        "--expected-size",
        "--checksum",
        "--verify-checksum",
        "--storage-tier",
        "--content-type",
        "--content-encoding",
        "--content-language",
        "--content-disposition",
        "--cache-control",
        "--metadata",
        "--encryption-key-file",
        "--opc-sse-kms-key-id",
        "--no-overwrite",
        "--force",
        "--if-match",
        "--identical-ok",
        "--no-multipart",
        "--content-md5",
        "--opc-content-sha256",
        "--opc-content-sha384",
        "--opc-content-crc32c",
        "--delete-on-mismatch",
        "--allow-empty",
        "--min-size",
        "--retry-for",
        "--stall-timeout",
        "--bwlimit",
        "--expect",
        "--metrics-file",
        "--metrics-job",
        "--progress",
        "--log-format",
        "--quiet",
        "--debug",
        "--auth",
        "--profile",
        "--config-file",
        "--cli-rc-file",
        "--region",
        "--endpoint",
        "--realm-specific-endpoint",
        "--enable-dual-stack",
        "--auth-endpoint",
        "--federation-endpoint",
        "--exchange-url",
        "--exchange-jwt-file",
        "--exchange-client-id",
        "--exchange-client-secret-file",
        "--opc-client-request-id",
        "--cert-bundle",
        "--proxy",
        "--refresh-before",
        "--no-refresh",
        "--connection-timeout",
        "--read-timeout",
        "--output",
        "--no-retry",
        "--max-retries",
        "--disable-parallel-uploads",
        "--local",
        "--file",
        "--bucket-name",
        "--name",
        "--namespace",
    ] {
        assert_eq!(text.matches(&format!("\n  {option} ")).count(), 1, "{option}");
    }
    let notes = text.split("\nNotes:\n").nth(1).unwrap();
    assert!(AuthMode::ALL.iter().all(|mode| notes.contains(mode.name())), "{notes}");
}

#[test]
fn the_version_names_the_target() {
    let output = ocipipe(words("--version"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(concat!("ocipipe ", env!("CARGO_PKG_VERSION"), " (")), "{text}");
    assert!(text.contains(std::env::consts::ARCH) && text.ends_with(")\n"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

/// The completions that bash gets for the last of these words.
fn completed(line: &str) -> Vec<String> {
    let script = "eval \"$(\"$0\" completions bash)\"; COMP_WORDS=(\"$@\"); \
                  COMP_CWORD=$(($# - 1)); _ocipipe; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Process::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_ocipipe")])
        .args(line.split(' '))
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_long_options() {
    assert!(completed("ocipipe ").contains(&"put".to_owned()));
    assert_eq!(completed("ocipipe put --part"), ["--part-size"]);
    assert_eq!(completed("ocipipe uploads abort --old"), ["--older-than"]);
    assert_eq!(completed("ocipipe session show --js"), ["--json"]);
}

#[test]
fn bash_takes_only_the_first_words_for_the_command() {
    for (line, expected) in [
        // A bucket, a file, a profile or an argument of the producer may have the name of a command.
        ("ocipipe put get --part", "--part-size"),
        ("ocipipe put uploads --part", "--part-size"),
        ("ocipipe put --file list --part", "--part-size"),
        ("ocipipe put --profile = get --part", "--part-size"),
        ("ocipipe --profile get put --part", "--part-size"),
        ("ocipipe --profile get uploads --debug abort --old", "--older-than"),
        ("ocipipe uploads abort list --old", "--older-than"),
        ("ocipipe get oci://b/x --file put --no-multi", "--no-multipart"),
        ("/usr/bin/ocipipe session show put --js", "--json"),
    ] {
        assert_eq!(completed(line), [expected], "{line}");
    }
}

#[test]
fn every_shell_gets_every_long_option() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ocipipe(words(&format!("completions {shell}")));
        let script = String::from_utf8(output.stdout).unwrap();
        for option in ["part-size", "opc-sse-kms-key-id", "older-than", "token-ttl", "json"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
        assert!(!script.contains("{{"), "the script for {shell} has a placeholder");
    }
}
