//! A process `ocipipe serve` for one test, and the program configured for it.
//!
//! Knows nothing of the tests. Invariant: the server ends with the test, and its log is complete after
//! `stop`.

use std::ffi::OsString;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::run::{Ocipipe, Running, ocipipe};

/// A process `ocipipe serve` with a log of its requests.
pub struct Serve {
    process: Running,
    dir: tempfile::TempDir,
    url: String,
}

impl Serve {
    /// Starts it with these options.
    pub fn start<T: Into<OsString>>(options: impl IntoIterator<Item = T>) -> Serve {
        let dir = tempfile::tempdir().unwrap();
        let run = ocipipe(["serve", "--port", "0", "--dir"]).arg(dir.path());
        let run = options.into_iter().fold(run, |run, option| run.arg(option));
        let process = run.var("OCIPIPE_SERVE_LOG", "1").start();
        process.wait_for_stderr("Stop with");
        let text = process.stderr_so_far();
        let url = text.split("--endpoint ").nth(1).unwrap().split_whitespace().next().unwrap();
        Serve { process, url: url.to_owned(), dir }
    }

    /// The folder of the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `ocipipe LINE` with the config and the session token of this server.
    pub fn command(&self, line: &str) -> Ocipipe {
        let config = self.dir.path().join("config");
        ocipipe(line.split_whitespace())
            .var("OCI_CLI_PROFILE", "SESSION")
            .arg("--config-file")
            .arg(config)
            .args(&format!("--endpoint {0} --auth-endpoint {0}", self.url))
    }

    /// The records of the requests that have had a response or lost their connection.
    pub fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.dir.path().join("requests.jsonl")).unwrap();
        // The server may be in the middle of the last line.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Stops the server; returns the records of all requests.
    pub fn stop(self) -> Vec<Value> {
        self.process.signal(Signal::TERM);
        self.process.wait_with_open_stdin().exits(0);
        let log = std::fs::read_to_string(self.dir.path().join("requests.jsonl")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
