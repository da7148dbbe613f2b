//! The OCI CLI's file of default options, and the file of `serve --faults`: any text is refused with a usage error
//! or a message, or gives settings within their bounds. What the command line has is never replaced.
//!
//! The first byte selects the file: an even one the default options, an odd one the faults.

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

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((choice, text)) if choice % 2 == 0 => default_options(text),
        Some((_, text)) => faults(text),
        None => {}
    }
});
