//! Carries a command out.
//!
//! Owns the runtime and what goes to stdout. Decides nothing else. Invariant: once an object is
//! committed, a stdout that cannot be written changes nothing about the exit code.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use crate::cli::{Command, Environment, ServeCommand, SessionAction, SessionCommand};
use crate::error::{Error, Kind};
use crate::http::Transport;
use crate::oci::profile::Identity;
use crate::oci::session::report;
use crate::service::Carrier;
use crate::{get, put, serve, stdio, uploads};

/// A refresh that stands still for so long has failed.
const REFRESH_STALL: Duration = Duration::from_secs(20);

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
        Command::Session(command) => session(*command, environment)?,
        // Answered from the command line alone, by main.
        Command::Completions(_) | Command::Version | Command::Help(_) => {}
    }
    Ok(())
}

fn session(command: SessionCommand, environment: &Environment) -> Result<(), Error> {
    let identity = Identity::resolve(&command.service, environment)?;
    match command.action {
        SessionAction::Show { json } => {
            let report = report::show(&identity, SystemTime::now(), json);
            stdio::deliver(&format!("{}\n", report.text));
            report.trouble.map_or(Ok(()), Err)
        }
        SessionAction::Refresh => {
            let bundle = command.service.cert_bundle.as_deref();
            let transport = Arc::new(Transport::new(bundle, REFRESH_STALL)?);
            let carrier = Arc::new(Carrier { transport });
            let said = runtime()?.block_on(report::refresh(identity, carrier))?;
            stdio::deliver(&format!("{said}\n"));
            Ok(())
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Unforeseen, format!("no runtime: {e}")))
}
