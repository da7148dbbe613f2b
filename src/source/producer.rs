//! The command after `--`, whose stdout is the stream.
//!
//! Owns the process and its group. Knows nothing of the upload. Invariants: `check_exit_status`
//! succeeds only if the command exited with 0; `end` leaves no process of the group.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::platform::{empty_input, worker};
use crate::source::child_reaper::Children;
use proto::error::Error;

/// The time between SIGTERM and SIGKILL to the group.
const SIGTERM_GRACE: Duration = Duration::from_secs(5);
/// How long another process may hold the pipe open after the command has exited.
pub(crate) const STDOUT_HELD_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of the variables `OCIPIPE_*`, of which some contain secrets.
fn own_variables() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_bytes().starts_with(b"OCIPIPE_"))
}

/// A group that is ended by SIGKILL, if there is one.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A started command.
pub struct Producer {
    name: String,
    children: Children,
    pid: Pid,
    /// `None` once the group has no members.
    group: Option<Pid>,
    exit_status: Option<ExitStatus>,
}

impl Producer {
    /// Starts the command: no shell, an empty stdin, a session and so a process group of its
    /// own, and none of the variables of ocipipe. While the system refuses a process, retries for up to 10 s. Fails where the command
    /// cannot be started.
    pub(crate) async fn start(
        command: &[OsString],
        children: &Children,
    ) -> Result<(Producer, OwnedFd), Error> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::usage("there is no command after --"));
        };
        let name = program.to_string_lossy().into_owned();
        let attempt = || {
            let mut command = Command::new(program);
            command.args(arguments).stdin(empty_input::open()?).stdout(Stdio::piped());
            for name in own_variables() {
                command.env_remove(name);
            }
            children.start(command)
        };
        let child = worker::retry_start(attempt).await.map_err(|e| {
            let error = Error::source(format!("the command {name:?} cannot be started: {e}"));
            match e.kind() {
                io::ErrorKind::WouldBlock => error.with_hint(worker::RAISE_PROCESS_LIMIT),
                io::ErrorKind::NotFound if name.contains([' ', '|', '>', ';', '$']) => error
                    .with_hint(
                        "a command line for a shell needs one: -- bash -o pipefail -c '...'; without a \
                         shell each argument is a word of its own, unquoted",
                    ),
                io::ErrorKind::NotFound => error.with_hint(
                    "no folder of PATH has it, or the interpreter of the script is missing: write the \
                     whole path",
                ),
                _ => error,
            }
        })?;
        let stdout = child
            .stdout
            .ok_or_else(|| Error::source(format!("the stdout of {name:?} cannot be read")))?;
        let (pid, children) = (child.pid, children.clone());
        Ok((Producer { name, children, pid, group: Some(pid), exit_status: None }, stdout))
    }

    /// Resolves when the command has exited. Fails where its exit status is lost.
    pub(crate) async fn exited(&mut self) -> Result<(), Error> {
        if self.exit_status.is_none() {
            let status = self.children.exited(self.pid).await.map_err(|e| {
                Error::source(format!("the command {:?} cannot be waited for: {e}", self.name))
            })?;
            self.exit_status = Some(status);
            // The kernel may give the id of a group without members to another group.
            self.group = self.group.filter(|group| test_kill_process_group(*group).is_ok());
        }
        Ok(())
    }

    /// Whether SIGPIPE ended the command, since its stdout was closed here for another reason,
    /// which the run reports.
    pub(crate) fn died_of_sigpipe(&self) -> bool {
        const SIGPIPE: i32 = 13;
        self.exit_status.is_some_and(|status| {
            status.signal() == Some(SIGPIPE) || status.code() == Some(128 + SIGPIPE)
        })
    }

    /// Fails unless the command exited with 0.
    pub(crate) fn check_exit_status(&self) -> Result<(), Error> {
        let Some(status) = self.exit_status else {
            return Err(Error::source(format!("the command {:?} has not exited", self.name)));
        };
        if status.success() {
            return Ok(());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "did not end well".to_owned(),
        };
        Err(Error::source(format!("the command {:?} {how}; nothing was committed", self.name)))
    }

    /// The error for a pipe that stays open although the command has exited.
    pub(crate) fn stdout_still_open(&self) -> Error {
        Error::source(format!(
            "the command {:?} has exited, but for {} s its stdout was held open by something that \
             may still be writing; nothing was committed",
            self.name,
            STDOUT_HELD_TIMEOUT.as_secs()
        ))
        .with_hint("wait in the command for everything it starts")
    }

    /// Ends the group at once, by SIGKILL.
    pub(crate) fn kill(self) {
        drop(KillOnDrop(self.group));
    }

    /// Ends the group: SIGTERM, and after 5 s SIGKILL, or when the future is dropped.
    pub(crate) async fn end(mut self) {
        let Some(group) = self.group else { return };
        let mut guard = KillOnDrop(Some(group));
        self.terminate(group).await;
        guard.0 = None;
    }

    async fn terminate(&mut self, group: Pid) {
        // One SIGTERM only: at a second, some programs skip their cleanup.
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = tokio::time::Instant::now() + SIGTERM_GRACE;
        let _ = tokio::time::timeout_at(deadline, self.exited()).await;
        // Members of the group may outlive its leader.
        while test_kill_process_group(group).is_ok() {
            if tokio::time::Instant::now() >= deadline {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = tokio::time::timeout(Duration::from_secs(1), self.exited()).await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
