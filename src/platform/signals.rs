//! The signals that ask a run to stop, and the one that must not end it.
//!
//! Owns the handlers and what makes two signals one stop. Knows nothing of what stopping means.
//! Invariants: a signal that was ignored when the process started (nohup, background jobs) stays
//! ignored; a command that is started finds every other signal as it was, since handlers do not
//! outlast exec; a signal that has come is seen by the next poll, whatever the runtime is busy with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use signal_hook::consts::signal::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use proto::error::{Error, ErrorKind};

/// All whose default is to end the process without a word, except those that tell of a fault within
/// it: an upload left open costs money. Of several at once the first in this order counts.
const STOPPING: [i32; 11] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO,
];

/// Signals within this of the first are one stop: `timeout` signals its child and then the group, a
/// closed terminal comes from the shell and from the kernel, systemd adds SIGHUP to SIGTERM.
const ONE_STOP: Duration = Duration::from_secs(1);

pub struct Signals {
    heard: Vec<SignalListener>,
}

struct SignalListener {
    number: i32,
    /// Set by the handler itself: the stream below is told by the runtime, which may come later.
    received: Arc<AtomicBool>,
    wakes: Signal,
}

impl Signals {
    /// Subscribes to all that are not ignored.
    pub fn subscribe() -> Result<Signals, Error> {
        let ignored = ignored_at_start();
        let heard = STOPPING
            .into_iter()
            .filter(|number| !is_in(ignored, *number))
            .map(SignalListener::new)
            .collect::<Result<_, Error>>()?;
        Ok(Signals { heard })
    }

    /// The next signal, as the error to end with.
    pub async fn next(&mut self) -> Error {
        std::future::poll_fn(|context| {
            for heard in &mut self.heard {
                // Woken for a signal that was seen before: there may be more.
                while heard.wakes.poll_recv(context).is_ready() {}
            }
            let came = self.heard.iter().find(|heard| heard.received.swap(false, Ordering::SeqCst));
            came.map_or(Poll::Pending, |heard| Poll::Ready(heard.error()))
        })
        .await
    }
}

impl SignalListener {
    fn new(number: i32) -> Result<SignalListener, Error> {
        let kind = ErrorKind::Signal(number);
        let unheard = |error| {
            let name = kind.signal_name().unwrap_or("a signal");
            Error::new(ErrorKind::Internal, format!("{name} cannot be handled: {error}"))
        };
        let came = Arc::new(AtomicBool::new(false));
        // In this order: the flag is set before anybody is woken to look at it.
        signal_hook::flag::register(number, Arc::clone(&came)).map_err(unheard)?;
        let wakes = signal(SignalKind::from_raw(number)).map_err(unheard)?;
        Ok(SignalListener { number, received: came, wakes })
    }

    fn error(&self) -> Error {
        let kind = ErrorKind::Signal(self.number);
        let error =
            Error::new(kind, format!("stopped by {}", kind.signal_name().unwrap_or("a signal")));
        match self.number {
            SIGXCPU => error.with_hint("the CPU time of a process is limited here: see ulimit -t"),
            _ => error,
        }
    }
}

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error, which is cleaned up after;
/// the signal that comes with it would kill the process.
pub fn outlive_file_size_limit() {
    if !is_in(ignored_at_start(), SIGXFSZ) {
        // Where this fails the write that is too large still ends the run, only less tidily.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    }
}

/// Tells signals that are one stop from those of somebody who will not wait.
#[derive(Debug, Default)]
pub struct StopCounter {
    first: Option<Duration>,
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Stop in an orderly way.
    First,
    /// The same stop once more.
    Repeated,
    /// Leave at once.
    Immediate,
}

impl StopCounter {
    pub fn signal(&mut self, now: Duration) -> StopRequest {
        match self.first {
            None => {
                self.first = Some(now);
                StopRequest::First
            }
            Some(first) if now.saturating_sub(first) <= ONE_STOP => StopRequest::Repeated,
            Some(_) => StopRequest::Immediate,
        }
    }

    pub fn any(&self) -> bool {
        self.first.is_some()
    }
}

fn is_in(mask: u64, number: i32) -> bool {
    mask & (1 << (number - 1)) != 0
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn signals_within_a_second_of_the_first_are_one_stop() {
        for begin in [Duration::ZERO, 5000 * MS] {
            let mut stops = StopCounter::default();
            assert!(!stops.any());
            assert_eq!(stops.signal(begin), StopRequest::First);
            assert!(stops.any());
            for after in [0, 1, 500, 999, 1000] {
                assert_eq!(
                    stops.signal(begin + after * MS),
                    StopRequest::Repeated,
                    "after {after} ms"
                );
            }
            // Counted from the first, so that somebody who keeps pressing a key is heard.
            assert_eq!(stops.signal(begin + 1001 * MS), StopRequest::Immediate);
            assert_eq!(stops.signal(begin + 9000 * MS), StopRequest::Immediate);
        }
    }

    #[tokio::test]
    async fn a_signal_is_seen_by_the_next_poll_without_the_runtime() {
        let mut signals = Signals { heard: vec![SignalListener::new(SIGUSR2).unwrap()] };
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2)
            .unwrap();
        // The handler may run on another thread; the flag is all that is waited for.
        while !signals.heard[0].received.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let error = polled(signals.next()).expect("it is there");
        assert_eq!(error.kind, ErrorKind::Signal(SIGUSR2));
        // The runtime tells of it as well, now or later: that is no second signal.
        tokio::time::sleep(50 * MS).await;
        assert!(polled(signals.next()).is_none());
    }

    fn polled<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}
