//! The OCI CLI's file of default options, and the file of `serve --faults`: any text is refused with a usage error
//! or a message, or gives settings within their bounds. What the command line has is never replaced. And a former
//! file of metrics: one that may be replaced has only lines of ocipipe.
//!
//! The first byte selects the file: `0` the default options, `1` the faults, `2` the metrics.

#![no_main]

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use emulator::ServerConfig;
use emulator::fault::FaultRule;
use libfuzzer_sys::fuzz_target;
use ocipipe::internals::auth::environment::Environment;
use ocipipe::internals::cli;
use proto::error::ErrorKind;
use proto::run_metrics::Former;

/// A file of this process, in memory where the system has such a folder.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("ocipipe-fuzz-{}", std::process::id()))
});

fn default_options(text: &[u8]) {
    std::fs::write(&*FILE, text).expect("the file can be written");
    let mut argv: Vec<OsString> =
        ["put", "oci://bucket/name", "--max-memory", "777MiB"].map(OsString::from).to_vec();
    argv.extend(["--cli-rc-file".into(), FILE.clone().into_os_string()]);
    match cli::parse(argv, &Environment::default()) {
        Ok(command) => {
            let shown = format!("{command:?}");
            assert!(shown.contains("max_memory: Some(814743552)"), "{shown}");
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Usage);
            assert!(!error.message.is_empty());
        }
    }
    std::fs::remove_file(&*FILE).expect("the file is there");
}

fn faults(text: &[u8]) {
    match ServerConfig::parse(text) {
        Ok(config) => {
            assert!(config.principal_token_life.is_none_or(|seconds| seconds > 0));
            let written = serde_json::to_vec(&config.faults).expect("rules can be written");
            let read: Vec<FaultRule> = serde_json::from_slice(&written).expect("they can be read");
            assert_eq!(read, config.faults);
        }
        Err(message) => assert!(!message.is_empty()),
    }
}

fn metrics(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match Former::read(text, "a \"job\"") {
        Ok(Former::Nothing) => assert!(text.is_empty()),
        Ok(Former::Ours { last_success }) => {
            assert!(last_success.parse::<f64>().is_ok_and(f64::is_finite));
            assert!(text.contains(&last_success));
            let own = ["ocipipe_", "# HELP ocipipe_", "# TYPE ocipipe_"];
            assert!(text.lines().all(|line| own.iter().any(|start| line.starts_with(start))));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((choice, text)) => match choice % 3 {
            0 => default_options(text),
            1 => faults(text),
            _ => metrics(text),
        },
        None => {}
    }
});
