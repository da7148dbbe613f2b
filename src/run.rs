//! Carries a command out.
//!
//! Owns the runtime and what goes to stdout. Decides nothing else. Invariant: once an object is
//! committed, a stdout that cannot be written changes nothing about the exit code.

use tokio::runtime::Runtime;

use crate::cli::{Command, Environment, ServeCommand};
use crate::error::{Error, Kind};
use crate::{get, put, serve, stdio, uploads};

pub fn run(command: Command, environment: &Environment) -> Result<(), Error> {
    match command {
        Command::Put(command) => {
            let receipt = runtime()?.block_on(put::put(*command, environment))?;
            stdio::deliver(&receipt.to_json());
        }
        Command::Get(command) => runtime()?.block_on(get::get(*command, environment))?,
        Command::Uploads(command) => {
            let list = runtime()?.block_on(uploads::uploads(*command, environment))?;
            stdio::deliver(&format!("{list}\n"));
        }
        Command::Serve(ServeCommand { dir, port, token_ttl }) => {
            runtime()?.block_on(serve::serve(dir, port, Some(token_ttl)))?;
        }
        other => {
            return Err(Error::new(Kind::Unforeseen, format!("nothing carries out {other:?}")));
        }
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
