//! Runs the real program as a script would, without a home folder and without variables of the
//! host.
//!
//! Owns the command line, the variables and the streams of a run. Knows nothing of stores. Invariant:
//! a run has only the variables that the test gives, `HOME` and `PATH`.

mod done;
mod running;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;

pub use done::Done;
pub use running::Running;

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
