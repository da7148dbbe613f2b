//! argv to a command to an exit code; the only place that prints errors.
//!
//! Must not decide anything itself. Invariant: a stderr that is closed, full or never read changes
//! no exit code, and an error is the last that is said.

use std::io::{self, Write};
use std::process::ExitCode;

use ocipipe::cli::{self, Command, Environment};
use ocipipe::platform::retrying_allocator::RetryingAllocator;
use ocipipe::platform::signals;
use ocipipe::term::startup_fds;
use ocipipe::term::stderr::{self, Priority};
use proto::error::{Error, ErrorKind};

#[global_allocator]
static HEAP: RetryingAllocator = RetryingAllocator::new();

fn main() -> ExitCode {
    signals::outlive_file_size_limit();
    let argv = std::env::args_os().skip(1).collect();
    let environment = Environment::capture();
    let outcome = match cli::parse(argv, &environment) {
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Version) => print(&format!("{}\n", cli::version())),
        Ok(Command::Completions(shell)) => print(&cli::completions::script(shell)),
        Ok(command) => startup_fds::require(command.reads_stdin(), command.writes_stdout())
            .and_then(|()| ocipipe::commands::run(command, &environment)),
        Err(error) => Err(error),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind != ErrorKind::StdoutClosed {
                stderr::shared().enqueue(format!("ocipipe: {error}\n"), Priority::Final);
            }
            ExitCode::from(error.kind.exit_code())
        }
    };
    stderr::flush_at_exit();
    code
}

/// Writes a text to stdout. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Internal, format!("writing to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
