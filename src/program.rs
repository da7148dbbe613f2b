//! The program `ocipipe`: parses argv, runs the command and turns its error into an exit code.
//!
//! Owns the output of errors. Must not know what a command does. Invariant: a stderr that is
//! closed, full or never read does not change the exit code, and nothing is written to stderr after
//! an error.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;

use crate::cli::{self, Command, Environment};
use crate::commands;
use crate::platform::{allocator, signals};
use crate::term::log;
use crate::term::stderr::{self, Priority};
use proto::error::{Error, ErrorKind};

/// Runs the program with the arguments and the environment of the process.
pub fn run() -> ExitCode {
    allocator::limit_arenas_to_one();
    signals::outlive_file_size_limit();
    let argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let environment = Environment::capture();
    let mut log_format = cli::log_format_of_words(&argv);
    let parsed = cli::parse(argv, &environment);
    if let Ok(command) = &parsed {
        log_format = command.log_format();
    }
    let outcome = match parsed {
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Version) => print(&format!("{}\n", cli::version())),
        Ok(Command::Completions(shell)) => print(&cli::completions::script(shell)),
        Ok(Command::Man) => print(&cli::man::page()),
        Ok(command) => commands::run(command, &environment),
        Err(error) => Err(error),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind != ErrorKind::StdoutClosed {
                let line = log::error_line(&error, log_format, Timestamp::now());
                stderr::shared().enqueue(line + "\n", Priority::Final);
            }
            ExitCode::from(error.kind.exit_code())
        }
    };
    stderr::flush_at_exit();
    code
}

/// Writes a text to stdout. Fails if the text cannot be written, except to a pipe whose reader has
/// closed it, as `head` does.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Internal, format!("writing to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
