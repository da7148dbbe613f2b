//! The signals that ask a run to stop.
//!
//! Owns the subscription. Knows nothing of what stopping means. Invariant: a signal that was
//! ignored when the process started (nohup, background jobs) stays ignored.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Kind};

const STOPPING: [(i32, &str); 3] = [(2, "SIGINT"), (15, "SIGTERM"), (1, "SIGHUP")];

pub struct Signals {
    streams: Vec<(i32, &'static str, Signal)>,
}

impl Signals {
    /// Subscribes to all that are not ignored.
    pub fn subscribe() -> Result<Signals, Error> {
        let ignored = ignored_at_start();
        let mut streams = Vec::new();
        for (number, name) in STOPPING {
            if ignored & (1 << (number - 1)) == 0 {
                let stream = signal(SignalKind::from_raw(number)).map_err(|e| {
                    Error::new(Kind::Unforeseen, format!("{name} cannot be handled: {e}"))
                })?;
                streams.push((number, name, stream));
            }
        }
        Ok(Signals { streams })
    }

    /// The next signal, as the error to end with.
    pub async fn next(&mut self) -> Error {
        std::future::poll_fn(|context| {
            for (number, name, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    let error = Error::new(Kind::Signal(*number), format!("stopped by {name}"));
                    return std::task::Poll::Ready(error);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// The mask of ignored signals. Where /proc is not there, none is taken as ignored.
fn ignored_at_start() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
