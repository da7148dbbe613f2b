//! The dispositions of signals that a run inherits from the test.
//!
//! Knows nothing of runs. Invariant: a run starts with the default disposition of each signal that
//! asks it to stop, also where the tests were started with these ignored (`nohup`, a background
//! job).

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Registers a handler without effect for each such signal that this process ignores: an ignored
/// signal stays ignored at exec, and a handled one becomes default.
pub fn handle_ignored_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            if mask & 1 << (signal - 1) != 0 {
                signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).unwrap();
            }
        }
    });
}
