//! Runs the real binary as a script would: no home, no variable of the host, a folder of its own.
//!
//! Knows nothing of stores. Invariant: no run outlives its test, and none waits for ever.

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

/// Nothing here takes a tenth of it on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(240);

/// The program under test: the one just built, or another build of it.
pub fn binary() -> PathBuf {
    match std::env::var_os("OCIPIPE_BIN") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_ocipipe").into(),
    }
}

/// What the program finds as its stdin.
enum Stdin {
    Bytes(Vec<u8>),
    Pipe,
    Given(Stdio),
    Closed,
}

/// A run to be.
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

/// `ocipipe WORD...` with nothing on stdin.
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
    /// One more argument.
    pub fn arg(mut self, word: impl Into<OsString>) -> Ocipipe {
        self.args.push(word.into());
        self
    }

    /// More arguments, in one line of plain words.
    pub fn args(mut self, line: &str) -> Ocipipe {
        self.args.extend(line.split_whitespace().map(OsString::from));
        self
    }

    pub fn var(mut self, name: &str, value: impl Into<OsString>) -> Ocipipe {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    /// The working folder.
    pub fn within(mut self, folder: &Path) -> Ocipipe {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs a copy of the program.
    pub fn program(mut self, path: &Path) -> Ocipipe {
        self.program = Some(path.to_owned());
        self
    }

    /// Runs the program by this command line, which ends where the program's begins.
    pub fn by(mut self, line: &str) -> Ocipipe {
        self.wrapper = line.split_whitespace().map(OsString::from).collect();
        self
    }

    /// Runs it by a line of this shell, for which it is `"$@"`.
    pub fn by_script(mut self, shell: &str, line: &str) -> Ocipipe {
        self.wrapper = [shell, "-c", line, shell].map(OsString::from).into();
        self
    }

    /// It joins this process group, as the next command of a pipeline does.
    pub fn in_group(mut self, group: Pid) -> Ocipipe {
        self.group = Some(group);
        self
    }

    /// A pipe with these bytes, then its end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Ocipipe {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// A pipe that the test writes to.
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

    /// stdout goes there and not to the test.
    pub fn stdout_to(mut self, there: impl Into<Stdio>) -> Ocipipe {
        self.stdout = Some(there.into());
        self
    }

    /// stderr goes there and not to the test.
    pub fn stderr_to(mut self, there: impl Into<Stdio>) -> Ocipipe {
        self.stderr = Some(there.into());
        self
    }

    /// Runs it to its end.
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
        // Without a HOME the list of users would be asked, and this host's own config be read.
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
            // One that stops reading early leaves the writer with a broken pipe, as it should.
            let mut pipe = pipe.take().unwrap();
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Running::of(child, pipe)
    }
}

/// A run under way.
pub struct Running {
    pid: Pid,
    /// Never means another process, also when this one is over.
    handle: Arc<OwnedFd>,
    began: Instant,
    pub stdin: Option<ChildStdin>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
    said: Arc<(Mutex<String>, Condvar)>,
    peak: JoinHandle<u64>,
    exit: Receiver<ExitStatus>,
    over: bool,
}

impl Running {
    fn of(mut child: Child, stdin: Option<ChildStdin>) -> Running {
        let pid = Pid::from_child(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let saying = said.clone();
        let (tell, exit) = channel();
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let peak = std::thread::spawn(move || peak_of(pid));
        std::thread::spawn(move || tell.send(child.wait().unwrap()));
        Running {
            pid,
            handle: Arc::new(handle),
            began: Instant::now(),
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
                    saying.0.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
                    saying.1.notify_all();
                }
            }),
            said,
            peak,
            exit,
            over: false,
        }
    }

    /// Writes to its stdin; blocks while the program does not read.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.stdin.as_mut().unwrap().write_all(bytes);
        written.unwrap_or_else(|error| panic!("{error}; it said:\n{}", self.said()));
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends its stdin.
    pub fn end(&mut self) {
        drop(self.stdin.take());
    }

    /// The number of the process.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).unwrap();
    }

    /// What gives it signals from elsewhere; of a run that is over it is no matter.
    pub fn signaller(&self) -> impl Fn(Signal) + Clone + Send + 'static {
        let handle = self.handle.clone();
        move |signal| {
            let _ = rustix::process::pidfd_send_signal(handle.as_fd(), signal);
        }
    }

    /// Waits until stderr has said this.
    #[track_caller]
    pub fn waits_for_word(&self, word: &str) {
        let (said, more) = &*self.said;
        let said = said.lock().unwrap();
        let (said, late) =
            more.wait_timeout_while(said, LIMIT, |said| !said.contains(word)).unwrap();
        assert!(!late.timed_out(), "{word:?} was not said:\n{said}");
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.said.0.lock().unwrap().clone()
    }

    /// The processes it has started, as far as they are running.
    pub fn children(&self) -> Vec<Pid> {
        let parent = |pid: i32| -> Option<i32> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before it may hold anything, parentheses too.
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
        };
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok());
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = self.pid.as_raw_nonzero().get();
        pids.filter(|pid| parent(*pid) == Some(ours)).filter_map(Pid::from_raw).collect()
    }

    /// Time since it began.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Ends its stdin and waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        self.end();
        self.ends()
    }

    /// Waits for its end while its stdin stays as it is.
    #[track_caller]
    pub fn ends(mut self) -> Done {
        let status = self.exit.recv_timeout(LIMIT);
        self.over = status.is_ok();
        if !self.over {
            self.signal(Signal::KILL);
        }
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(|| ()));
        stderr.join().unwrap();
        let stderr = self.said.0.lock().unwrap().clone();
        let status = status.unwrap_or_else(|_| panic!("it does not end; it said:\n{stderr}"));
        let stdout = std::mem::replace(&mut self.stdout, std::thread::spawn(String::new));
        let peak = std::mem::replace(&mut self.peak, std::thread::spawn(|| 0));
        Done {
            status,
            stdout: stdout.join().unwrap(),
            stderr,
            peak: peak.join().unwrap(),
            took: self.began.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over && self.exit.try_recv().is_err() {
            // The test has failed already; what is left is not to leave it running.
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }
}

/// The most memory it had resident, in bytes. The kernel keeps the maximum, so looking now and then
/// misses only what is new in the last moment.
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

/// A run that is over.
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// Bytes.
    pub peak: u64,
    pub took: Duration,
}

impl Done {
    /// It ended with this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Done {
        assert_eq!(self.status.code(), Some(code), "{}: it said:\n{}", self.status, self.stderr);
        self
    }

    /// It failed with this exit code, and stdout, which is for the receipt alone, is empty.
    #[track_caller]
    pub fn fails(self, code: i32) -> Done {
        let done = self.exits(code);
        assert_eq!(done.stdout, "", "stdout is for the receipt alone");
        done
    }

    /// stderr has all of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Done {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn says_nothing_of(self, word: &str) -> Done {
        assert!(!self.stderr.contains(word), "{word:?} is said:\n{}", self.stderr);
        self
    }

    /// It was over within so many seconds.
    #[track_caller]
    pub fn within_seconds(self, seconds: u64) -> Done {
        let took = self.took;
        assert!(took < Duration::from_secs(seconds), "it took {took:?}:\n{}", self.stderr);
        self
    }

    /// The receipt, and nothing else, is on stdout.
    #[track_caller]
    pub fn receipt(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no receipt ({error}): {:?}", self.stdout))
    }
}

/// A pipe or terminal of which these are both ends, and which is full: whoever writes to it waits for
/// a reader.
pub fn filled<Ours>((ours, theirs): (Ours, File)) -> (Ours, File) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(&theirs).unwrap();
    fcntl_setfl(&theirs, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while (&theirs).write(&b"x".repeat(size)).is_ok() {}
    }
    fcntl_setfl(&theirs, flags).unwrap();
    (ours, theirs)
}

/// Both ends of a pipe: the one to read from, and the one that a program is given.
pub fn pipe() -> (OwnedFd, File) {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (ours, theirs.into())
}

/// Both ends of a terminal: ours, and the one that a program is given.
pub fn terminal() -> (OwnedFd, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (ours, theirs)
}
