//! Carries a command out.
//!
//! Owns the runtime and what goes to stdout. Decides nothing else. Invariant: once an object is
//! committed, a stdout that cannot be written changes nothing about the exit code.

mod get;
pub mod put;
pub mod serve;
mod session;
pub mod uploads;

use std::time::Duration;

use crate::auth::environment::Environment;
use crate::cli::Command;
use crate::platform::signals::Signals;
use crate::source::child_reaper::Children;
use crate::term::startup_fds;
use proto::error::{Error, ErrorKind};

/// At the end of a run: how long a look-up of a name, or a write, may still take to come back.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

pub fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    match command {
        Command::Put(command) => {
            let children = Children::default();
            let put = put::put(*command, environment, &children);
            let receipt = block_on_with(&children, put)?;
            startup_fds::print_result(&receipt.to_json());
        }
        Command::Get(command) => block_on(get::get(*command, environment))?,
        Command::Uploads(command) => {
            let list = block_on_until_stopped(uploads::uploads(*command, environment))?;
            startup_fds::print_result(&format!("{list}\n"));
        }
        Command::Serve(command) => block_on(serve::serve(command))?,
        Command::Session(command) => session::session(*command, environment)?,
        // Answered from the command line alone, by main.
        Command::Completions(_) | Command::Version | Command::Help(_) => {}
    }
    Ok(())
}

fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    block_on_with(&Children::default(), work)
}

/// Work that may end anywhere. Process 1 of a container is ended by no signal that it does not handle.
pub(crate) fn block_on_until_stopped<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    block_on(async {
        let mut signals = Signals::subscribe()?;
        tokio::select! {
            biased;
            error = signals.next() => Err(error),
            result = work => result,
        }
    })
}

fn block_on_with<T>(
    children: &Children,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // Of this thread alone: what is decided here is little work, and connections bring threads of
    // their own. A runtime of several threads panics where the system refuses one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, format!("no runtime: {e}")))?;
    let result = runtime.block_on(async {
        children.watch_if_first().map_err(|e| {
            Error::new(ErrorKind::Internal, format!("SIGCHLD cannot be handled: {e}"))
        })?;
        work.await
    });
    // A system call cannot be called off: a name that no server resolves, a pipe that nobody reads.
    // Dropping the runtime would wait for it, whatever signal has come.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}
