//! A run that has ended, and what tests assert of it.
//!
//! Must not know stores. Invariant: an assertion that fails shows stderr.

use std::process::ExitStatus;
use std::time::Duration;

/// A run that has ended.
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// Maximum of resident memory, in bytes.
    pub peak: u64,
    pub took: Duration,
}

impl Done {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Done {
        assert_eq!(self.status.code(), Some(code), "{}: stderr:\n{}", self.status, self.stderr);
        self
    }

    /// Asserts the exit code and an empty stdout, which is for the receipt only.
    #[track_caller]
    pub fn fails(self, code: i32) -> Done {
        let done = self.exits(code);
        assert_eq!(done.stdout, "", "stdout is for the receipt only");
        done
    }

    /// Asserts that stderr contains all of these texts.
    #[track_caller]
    pub fn stderr_has(self, words: &[&str]) -> Done {
        for word in words {
            assert!(self.stderr.contains(word), "stderr has no {word:?}:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn stderr_lacks(self, word: &str) -> Done {
        assert!(!self.stderr.contains(word), "stderr has {word:?}:\n{}", self.stderr);
        self
    }

    /// Asserts that the run took less than this many seconds.
    #[track_caller]
    pub fn within_seconds(self, seconds: u64) -> Done {
        let took = self.took;
        assert!(took < Duration::from_secs(seconds), "it took {took:?}:\n{}", self.stderr);
        self
    }

    /// The receipt. Panics if stdout has anything else.
    #[track_caller]
    pub fn receipt(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no receipt ({error}): {:?}", self.stdout))
    }
}
