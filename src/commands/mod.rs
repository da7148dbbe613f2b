//! Executes a command: one function per command, and the runtime they run on.
//!
//! Owns the runtime and what is printed on stdout. Must not know how an object is transferred.
//! Invariant: once an object is committed, a stdout that cannot be written does not change the exit
//! code.

mod get;
mod put;
pub(crate) mod serve;
mod session;
mod uploads;
mod verify;

use std::pin::Pin;
use std::time::Duration;

use self::put::metrics::{RunFigures, RunReport};
use crate::auth::environment::Environment;
use crate::cli::{Command, PutCommand};
use crate::platform::core_dumps;
use crate::platform::signals::Signals;
use crate::source::child_reaper::Children;
use crate::term::log::LogFormat;
use crate::term::startup_fds;
use proto::error::{Error, ErrorKind};

/// At the end of a run: how long the runtime waits for blocking calls (name look-ups, file writes).
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Executes a command and prints its result on stdout. Fails with the error that becomes the exit
/// code.
pub(crate) fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    if command.holds_credentials() {
        core_dumps::disable();
    }
    let usable = startup_fds::require(command.required_fds());
    if let Command::Put(command) = command {
        let report = RunReport::begin(&command);
        let result = usable.and_then(|()| put(*command, environment, &report.figures));
        report.write(&result);
        return result;
    }
    usable?;
    match command {
        Command::Get(command) => block_on(on_heap(|| get::get(*command, environment)))?,
        Command::Verify(command) => block_on(on_heap(|| verify::verify(*command, environment)))?,
        Command::Uploads(command) => {
            let list = block_on_until_signal(on_heap(|| uploads::uploads(*command, environment)))?;
            startup_fds::print_result(&format!("{list}\n"), LogFormat::Text);
        }
        Command::Serve(command) => block_on(on_heap(|| serve::serve(command)))?,
        Command::Session(command) => session::session(*command, environment)?,
        Command::Authenticate(command) => {
            block_on_until_signal(on_heap(|| session::authenticate(*command, environment)))?;
        }
        Command::ExportSession(command) => session::export(&command, environment)?,
        Command::ImportSession(command) => session::import(&command, environment)?,
        // `program::run` handles these without a runtime.
        Command::Completions(_) | Command::Man | Command::Version | Command::Help(_) => {}
        // Handled above.
        Command::Put(_) => {}
    }
    Ok(())
}

fn put(command: PutCommand, environment: &Environment, figures: &RunFigures) -> Result<(), Error> {
    let log_format = command.output.log_format;
    let children = Children::default();
    let put = on_heap(|| put::put(command, environment, &children, figures));
    let receipt = block_on_with(&children, put)?;
    let text = match log_format {
        LogFormat::Text => receipt.to_json(),
        // The log of a pod is stdout and stderr together, a JSON object a line.
        LogFormat::Json => receipt.to_json_line(),
    };
    startup_fds::print_result(&text, log_format);
    Ok(())
}

/// What a command does.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// Makes the future of a command. The frames of those that run it have no room for it: with that of each
/// command they would have 400 KiB, and memory that the stack has used once stays in use.
#[inline(never)]
fn on_heap<'a, T, F>(make: impl FnOnce() -> F) -> Work<'a, T>
where
    F: Future<Output = Result<T, Error>> + 'a,
{
    Box::pin(make())
}

fn block_on<T>(work: Work<'_, T>) -> Result<T, Error> {
    block_on_with(&Children::default(), work)
}

/// Runs work that a signal may interrupt at any point. The signals are handled because the kernel
/// delivers none to process 1 of a container otherwise.
fn block_on_until_signal<T>(work: Work<'_, T>) -> Result<T, Error> {
    block_on(Box::pin(async {
        let mut signals = Signals::subscribe()?;
        until_signal(&mut signals, work).await
    }))
}

/// Runs work until it ends or a signal arrives; then fails with the error of that signal.
async fn until_signal<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        error = signals.next() => Err(error),
        result = work => result,
    }
}

fn block_on_with<T>(children: &Children, work: Work<'_, T>) -> Result<T, Error> {
    // One thread is enough, since connections have threads of their own. A runtime with several
    // threads panics if the system refuses to start one.
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
    // Dropping the runtime would wait for blocking calls without limit, even after a signal: for a
    // name that no server resolves, or a pipe without a reader.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}
