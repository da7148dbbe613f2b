//! The signals that stop a run, or the caller's cancellation in their place, and SIGXFSZ, which must not
//! end a run.
//!
//! Owns the handlers, and the rule by which several signals are one stop. Knows nothing of the work
//! that is stopped. Invariants: a signal that was ignored when the process started (nohup,
//! background jobs) stays ignored; a child process inherits every other signal with its default,
//! since handlers do not outlast exec; the next poll after a signal returns it, whether or not the
//! runtime has processed it.

use std::pin::Pin;
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

/// The signals whose default is to end the process, except those that report a fault within it: an
/// upload that stays open costs money. Of several pending signals the first in this order counts.
const STOPPING: [i32; 11] = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGIO,
];

/// Signals within this time after the first are one stop: `timeout` signals its child and then the
/// group, the shell and the kernel both report a closed terminal, and systemd adds SIGHUP to
/// SIGTERM.
const ONE_STOP: Duration = Duration::from_secs(1);

/// The handlers of all stop signals that the process does not ignore.
pub struct Signals {
    listeners: Vec<SignalListener>,
    /// What stops a run of the library.
    cancellation: Option<Cancellation>,
}

/// Ends when the caller cancels the run.
type Cancellation = Pin<Box<dyn Future<Output = ()> + Send>>;

struct SignalListener {
    number: i32,
    /// Set by the handler itself; the runtime may pass the signal to `stream` later.
    received: Arc<AtomicBool>,
    /// Wakes the task.
    stream: Signal,
}

impl Signals {
    /// Registers the handlers. Fails where the system refuses one.
    pub fn subscribe() -> Result<Signals, Error> {
        let ignored = ignored_at_start();
        let listeners = STOPPING
            .into_iter()
            .filter(|number| !is_in(ignored, *number))
            .map(SignalListener::new)
            .collect::<Result<_, Error>>()?;
        Ok(Signals { listeners, cancellation: None })
    }

    /// No signal at all: the end of `cancellation` stops the run, once.
    pub(crate) fn of_cancellation(
        cancellation: impl Future<Output = ()> + Send + 'static,
    ) -> Signals {
        Signals { listeners: Vec::new(), cancellation: Some(Box::pin(cancellation)) }
    }

    /// Waits for the next signal and returns the error that the run ends with.
    pub(crate) async fn next(&mut self) -> Error {
        std::future::poll_fn(|context| {
            for listener in &mut self.listeners {
                // The stream may hold signals that `received` has reported already.
                while listener.stream.poll_recv(context).is_ready() {}
            }
            let received =
                |listener: &&SignalListener| listener.received.swap(false, Ordering::SeqCst);
            if let Some(listener) = self.listeners.iter().find(received) {
                return Poll::Ready(listener.error());
            }
            let Some(cancellation) = &mut self.cancellation else { return Poll::Pending };
            if cancellation.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.cancellation = None;
            Poll::Ready(Error::new(ErrorKind::Cancelled, "cancelled by the caller"))
        })
        .await
    }
}

impl SignalListener {
    fn new(number: i32) -> Result<SignalListener, Error> {
        let kind = ErrorKind::Signal(number);
        let refused = |error| {
            let name = kind.signal_name().unwrap_or("a signal");
            Error::new(ErrorKind::Internal, format!("{name} cannot be handled: {error}"))
        };
        let received = Arc::new(AtomicBool::new(false));
        // Handlers run in the order of registration: the flag is set before the task is woken to
        // read it.
        signal_hook::flag::register(number, Arc::clone(&received)).map_err(refused)?;
        let stream = signal(SignalKind::from_raw(number)).map_err(refused)?;
        Ok(SignalListener { number, received, stream })
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

/// Makes a write beyond the limit on file sizes (`ulimit -f`) an error; the default of SIGXFSZ
/// would kill the process without a cleanup.
pub(crate) fn outlive_file_size_limit() {
    if !is_in(ignored_at_start(), SIGXFSZ) {
        // Without the handler such a write still ends the run, though without a cleanup.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    }
}

/// Groups signals into stops.
#[derive(Debug, Default)]
pub(crate) struct StopCounter {
    first: Option<Duration>,
}

/// The meaning of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopRequest {
    /// Abort the upload and end.
    First,
    /// The same stop as the first signal.
    Repeated,
    /// End at once, without waiting for the cleanup.
    Immediate,
}

impl StopCounter {
    /// Counts a signal at `now`, the time since the run began.
    pub(crate) fn signal(&mut self, now: Duration) -> StopRequest {
        match self.first {
            None => {
                self.first = Some(now);
                StopRequest::First
            }
            Some(first) if now.saturating_sub(first) <= ONE_STOP => StopRequest::Repeated,
            Some(_) => StopRequest::Immediate,
        }
    }

    /// Whether a signal was counted.
    pub(crate) fn any(&self) -> bool {
        self.first.is_some()
    }
}

fn is_in(mask: u64, number: i32) -> bool {
    mask & (1 << (number - 1)) != 0
}

/// The mask of ignored signals; empty on a system without /proc.
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
            // The second is counted from the first signal, so that repeated ones do not extend it.
            assert_eq!(stops.signal(begin + 1001 * MS), StopRequest::Immediate);
            assert_eq!(stops.signal(begin + 9000 * MS), StopRequest::Immediate);
        }
    }

    #[tokio::test]
    async fn the_next_poll_returns_a_signal_without_the_runtime() {
        let mut signals =
            Signals { listeners: vec![SignalListener::new(SIGUSR2).unwrap()], cancellation: None };
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2)
            .unwrap();
        // The handler may run on another thread.
        while !signals.listeners[0].received.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let error = poll_once(signals.next()).expect("it is there");
        assert_eq!(error.kind, ErrorKind::Signal(SIGUSR2));
        // The runtime passes the same signal to the stream, which is no second signal.
        tokio::time::sleep(50 * MS).await;
        assert!(poll_once(signals.next()).is_none());
    }

    fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}
