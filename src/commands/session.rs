//! The `session` command: `session show` and `session refresh`.
//!
//! Owns what goes to stdout. Must not know how a session is read or refreshed. Invariant: what is
//! printed has passed `printable`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::error::Error;
use proto::printable;

use super::block_on_until_stopped;
use crate::auth::environment::Environment;
use crate::auth::profile::Identity;
use crate::auth::session::report;
use crate::cli::{SessionAction, SessionCommand};
use crate::net::Transport;
use crate::term::progress::{OutputOptions, Reporter};
use crate::term::startup_fds;
use crate::transfer::client::SessionTransport;

/// A refresh that makes no progress for this long has failed.
const REFRESH_STALL: Duration = Duration::from_secs(20);

pub fn session(command: SessionCommand, environment: &Environment) -> Result<(), Error> {
    let identity = Identity::resolve(&command.service, environment)?;
    let reporter = Reporter::new(OutputOptions::default(), false);
    for warning in &identity.warnings {
        reporter.warn(warning);
    }
    match command.action {
        SessionAction::Show { json } => {
            let report = report::show(&identity, SystemTime::now(), json);
            let shown = if json { printable::json } else { printable::text };
            startup_fds::print_result(&format!("{}\n", shown(&report.text)));
            report.error.map_or(Ok(()), Err)
        }
        SessionAction::Refresh => {
            let transport = Arc::new(Transport::new(&command.service.network, REFRESH_STALL)?);
            let carrier = Arc::new(SessionTransport { transport });
            let said = block_on_until_stopped(report::refresh(identity, carrier))?;
            startup_fds::print_result(&format!("{}\n", printable::text(&said)));
            Ok(())
        }
    }
}
