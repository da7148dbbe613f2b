//! Carries a command out.
//!
//! Owns the runtime and what goes to stdout. Decides nothing else. Invariant: once an object is
//! committed, a stdout that cannot be written changes nothing about the exit code.

use std::io::{ErrorKind, Write};

use tokio::runtime::Runtime;

use crate::cli::{Command, Environment, PutCommand, Source};
use crate::error::{Error, Kind};
use crate::{put, serve, stdio, uploads};

pub fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    match command {
        Command::Put(command) => store(*command, environment),
        Command::Uploads(command) => {
            let list = runtime()?.block_on(uploads::uploads(*command, environment))?;
            print(&format!("{list}\n"))
        }
        Command::Serve(command) => runtime()?.block_on(serve::serve(command)),
        other => Err(Error::new(Kind::Unforeseen, format!("nothing carries out {other:?}"))),
    }
}

fn store(command: PutCommand, environment: &Environment) -> Result<(), Error> {
    stdio::check(command.source == Source::Stdin, true)?;
    let receipt = runtime()?.block_on(put::put(command, environment))?.to_json();
    if let Err(error) = print(&receipt) {
        let _ = writeln!(std::io::stderr(), "ocipipe: {error}; the receipt:\n{receipt}");
    }
    Ok(())
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Unforeseen, format!("no runtime: {e}")))
}

/// Writes a text and a newline to stdout.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Unforeseen, format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
