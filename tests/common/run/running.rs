//! A run in progress: its signals, its stderr so far, its memory, and the wait for its end.
//!
//! Must not know how it was started. Invariant: no run outlives its test, and waiting for a run ends
//! after `LIMIT`.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio_util::sync::CancellationToken;

use super::{Done, LIMIT};

/// A run in progress.
pub struct Running {
    pid: Pid,
    /// Refers to this process only, also after its end.
    handle: Arc<OwnedFd>,
    started_at: Instant,
    pub stdin: Option<ChildStdin>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
    stderr_text: Arc<(Mutex<String>, Condvar)>,
    peak: JoinHandle<u64>,
    exit: Receiver<ExitStatus>,
    exited: CancellationToken,
    ended: bool,
}

impl Running {
    pub(super) fn of(mut child: Child, stdin: Option<ChildStdin>) -> Running {
        let pid = Pid::from_child(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let stderr_text = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let received = stderr_text.clone();
        let (sender, exit) = channel();
        let exited = CancellationToken::new();
        let cancel_at_exit = exited.clone().drop_guard();
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let peak = std::thread::spawn(move || peak_of(pid));
        std::thread::spawn(move || {
            let _cancel_at_exit = cancel_at_exit;
            sender.send(child.wait().unwrap())
        });
        Running {
            pid,
            handle: Arc::new(handle),
            started_at: Instant::now(),
            stdin,
            stdout: std::thread::spawn(move || {
                let mut text = String::new();
                out.map(|mut out| out.read_to_string(&mut text).unwrap());
                text
            }),
            stderr: std::thread::spawn(move || {
                let mut piece = [0; 4096];
                let Some(mut err) = err else { return };
                loop {
                    let n = err.read(&mut piece).unwrap();
                    if n == 0 {
                        return;
                    }
                    received.0.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
                    received.1.notify_all();
                }
            }),
            stderr_text,
            peak,
            exit,
            exited,
            ended: false,
        }
    }

    /// Writes to stdin; blocks while the program does not read.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.stdin.as_mut().unwrap().write_all(bytes);
        written.unwrap_or_else(|error| panic!("{error}; stderr:\n{}", self.stderr_so_far()));
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Closes stdin.
    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// The process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).unwrap();
    }

    /// A function that sends a signal to the run, also from other threads; it has no effect after
    /// the end.
    pub fn signaller(&self) -> impl Fn(Signal) + Clone + Send + 'static {
        let handle = self.handle.clone();
        move |signal| {
            let _ = rustix::process::pidfd_send_signal(handle.as_fd(), signal);
        }
    }

    /// A future that ends when the process has ended. It borrows nothing from the run.
    pub fn exited(&self) -> impl Future<Output = ()> + Send + 'static {
        self.exited.clone().cancelled_owned()
    }

    /// Waits until stderr contains this.
    #[track_caller]
    pub fn wait_for_stderr(&self, word: &str) {
        let (text, changed) = &*self.stderr_text;
        let text = text.lock().unwrap();
        let (text, late) =
            changed.wait_timeout_while(text, LIMIT, |text| !text.contains(word)).unwrap();
        assert!(!late.timed_out(), "stderr has no {word:?}:\n{text}");
    }

    /// The text on stderr so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr_text.0.lock().unwrap().clone()
    }

    /// The running child processes.
    pub fn children(&self) -> Vec<Pid> {
        let parent = |pid: i32| -> Option<i32> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may itself contain parentheses.
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
        };
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok());
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let own = self.pid.as_raw_nonzero().get();
        pids.filter(|pid| parent(*pid) == Some(own)).filter_map(Pid::from_raw).collect()
    }

    /// Time since the start.
    pub fn age(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Closes stdin and waits for the end.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        self.close_stdin();
        self.wait_with_open_stdin()
    }

    /// Waits for the end without closing stdin.
    #[track_caller]
    pub fn wait_with_open_stdin(mut self) -> Done {
        let status = self.exit.recv_timeout(LIMIT);
        self.ended = status.is_ok();
        if !self.ended {
            self.signal(Signal::KILL);
        }
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(|| ()));
        stderr.join().unwrap();
        let stderr = self.stderr_text.0.lock().unwrap().clone();
        let status = status.unwrap_or_else(|_| panic!("the run does not end; stderr:\n{stderr}"));
        let stdout = std::mem::replace(&mut self.stdout, std::thread::spawn(String::new));
        let peak = std::mem::replace(&mut self.peak, std::thread::spawn(|| 0));
        Done {
            status,
            stdout: stdout.join().unwrap(),
            stderr,
            peak: peak.join().unwrap(),
            took: self.started_at.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended && self.exit.try_recv().is_err() {
            // The test has failed; the process must not stay behind.
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }
}

/// The maximum of resident memory, in bytes. The kernel keeps it, so polling misses only a maximum
/// in the last 2 ms.
fn peak_of(pid: Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let mut peak = 0;
    while let Ok(text) = std::fs::read_to_string(&path) {
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(line) = line else { break };
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        peak = peak.max(kib * 1024);
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}
