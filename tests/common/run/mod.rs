//! Runs the real program as a script would, without a home folder and without variables of the
//! host.
//!
//! Knows nothing of stores. Invariant: no run outlives its test, and waiting for a run ends after
//! `LIMIT`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio_util::sync::CancellationToken;

/// Timeout of a wait; even on a slow machine a wait takes less than a tenth of it.
pub const LIMIT: Duration = Duration::from_secs(240);

/// The program under test: that of this build, or of `OCIPIPE_BIN`.
pub fn binary() -> PathBuf {
    match std::env::var_os("OCIPIPE_BIN") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_ocipipe").into(),
    }
}

/// What the program gets as stdin.
enum Stdin {
    Bytes(Vec<u8>),
    Pipe,
    Given(Stdio),
    Closed,
}

/// A run that is being configured.
pub struct Ocipipe {
    program: Option<PathBuf>,
    args: Vec<OsString>,
    vars: Vec<(String, OsString)>,
    stdin: Stdin,
    stdout_closed: bool,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    folder: Option<PathBuf>,
    wrapper: Vec<OsString>,
    group: Option<Pid>,
}

/// `ocipipe WORD...` with an empty stdin.
pub fn ocipipe<T: Into<OsString>>(words: impl IntoIterator<Item = T>) -> Ocipipe {
    Ocipipe {
        program: None,
        args: words.into_iter().map(Into::into).collect(),
        vars: Vec::new(),
        stdin: Stdin::Given(Stdio::null()),
        stdout_closed: false,
        stdout: None,
        stderr: None,
        folder: None,
        wrapper: Vec::new(),
        group: None,
    }
}

impl Ocipipe {
    /// Adds an argument.
    pub fn arg(mut self, word: impl Into<OsString>) -> Ocipipe {
        self.args.push(word.into());
        self
    }

    /// Adds arguments, separated by blanks.
    pub fn args(mut self, line: &str) -> Ocipipe {
        self.args.extend(line.split_whitespace().map(OsString::from));
        self
    }

    pub fn var(mut self, name: &str, value: impl Into<OsString>) -> Ocipipe {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the working folder.
    pub fn within(mut self, folder: &Path) -> Ocipipe {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs the program at this path.
    pub fn program(mut self, path: &Path) -> Ocipipe {
        self.program = Some(path.to_owned());
        self
    }

    /// Runs the program by a command whose last argument is the program's command line.
    pub fn wrapped_by(mut self, line: &str) -> Ocipipe {
        self.wrapper = line.split_whitespace().map(OsString::from).collect();
        self
    }

    /// Runs the program by a line of this shell, in which `"$@"` is its command line.
    pub fn wrapped_by_script(mut self, shell: &str, line: &str) -> Ocipipe {
        self.wrapper = [shell, "-c", line, shell].map(OsString::from).into();
        self
    }

    /// Puts the program into this process group, as a shell does in a pipeline.
    pub fn in_group(mut self, group: Pid) -> Ocipipe {
        self.group = Some(group);
        self
    }

    /// stdin is a pipe with these bytes.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Ocipipe {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// stdin is a pipe to which the test writes.
    pub fn stdin_pipe(mut self) -> Ocipipe {
        self.stdin = Stdin::Pipe;
        self
    }

    pub fn stdin_from(mut self, given: impl Into<Stdio>) -> Ocipipe {
        self.stdin = Stdin::Given(given.into());
        self
    }

    pub fn stdin_closed(mut self) -> Ocipipe {
        self.stdin = Stdin::Closed;
        self
    }

    pub fn stdout_closed(mut self) -> Ocipipe {
        self.stdout_closed = true;
        self
    }

    /// stdout goes to `target` and is not collected.
    pub fn stdout_to(mut self, target: impl Into<Stdio>) -> Ocipipe {
        self.stdout = Some(target.into());
        self
    }

    /// stderr goes to `target` and is not collected.
    pub fn stderr_to(mut self, target: impl Into<Stdio>) -> Ocipipe {
        self.stderr = Some(target.into());
        self
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run(self) -> Done {
        self.start().wait()
    }

    #[track_caller]
    pub fn start(self) -> Running {
        super::disposition::handle_ignored_signals();
        let mut closing = String::from("exec \"$0\" \"$@\"");
        if matches!(self.stdin, Stdin::Closed) {
            closing.push_str(" <&-");
        }
        if self.stdout_closed {
            closing.push_str(" >&-");
        }
        let mut words: Vec<OsString> = self.wrapper;
        if closing.ends_with('-') {
            words.extend(["sh", "-c", &closing].map(OsString::from));
        }
        words.push(self.program.unwrap_or_else(binary).into());
        words.extend(self.args);
        let mut command = Command::new(&words[0]);
        // Without HOME the program would read the home folder from the user database.
        command.args(&words[1..]).env_clear().env("HOME", "/nonexistent").envs(self.vars);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(group) = self.group {
            command.process_group(group.as_raw_nonzero().get());
        }
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        let (stdin, bytes) = match self.stdin {
            Stdin::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Stdin::Pipe => (Stdio::piped(), None),
            Stdin::Given(given) => (given, None),
            Stdin::Closed => (Stdio::null(), None),
        };
        let mut child = command
            .stdin(stdin)
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?} cannot be run: {error}"));
        let mut pipe = child.stdin.take();
        if let Some(bytes) = bytes {
            // A program that stops reading early causes a broken pipe here, which is no error.
            let mut pipe = pipe.take().unwrap();
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Running::of(child, pipe)
    }
}

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
    fn of(mut child: Child, stdin: Option<ChildStdin>) -> Running {
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

/// Fills a pipe or terminal, given by its reading and its writing end, so that a further write
/// blocks.
pub fn filled<R>((reader, writer): (R, File)) -> (R, File) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while (&writer).write(&b"x".repeat(size)).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// The reading and the writing end of a pipe.
pub fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader, writer.into())
}

/// The controlling side of a pseudo terminal, and the side that a program is given.
pub fn terminal() -> (OwnedFd, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let reader = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&reader).unwrap();
    unlockpt(&reader).unwrap();
    let name = ptsname(&reader, Vec::new()).unwrap();
    let writer = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (reader, writer)
}
