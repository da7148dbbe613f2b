//! The `session` commands: `session show` and `session refresh` here, the others in files of their own.
//!
//! Owns what is printed on stdout. Must not know how a session is read or refreshed. Invariant:
//! every printed text has passed `printable`.

mod authenticate;
mod carry;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::error::Error;
use proto::printable;

pub(super) use self::authenticate::authenticate;
pub(super) use self::carry::{export, import};
use super::{block_on_until_signal, on_heap};
use crate::auth::environment::Environment;
use crate::auth::profile::Identity;
use crate::auth::session::report::{self, ReportFormat};
use crate::auth::session::transport::AuthTransport;
use crate::cli::{SessionAction, SessionCommand};
use crate::net::Transport;
use crate::term::log::LogFormat;
use crate::term::progress::Reporter;
use crate::term::startup_fds;
use crate::transfer::session_transport::SessionTransport;

/// A refresh whose connection moves no byte for this long fails.
const REFRESH_STALL: Duration = Duration::from_secs(20);

/// Prints the report of the profile's session. Fails if the credentials cannot be used, or cannot
/// be refreshed.
pub(super) fn session(command: SessionCommand, environment: &Environment) -> Result<(), Error> {
    let identity = Identity::resolve(&command.service, environment)?;
    let reporter = Reporter::of_messages(command.quiet);
    for warning in &identity.warnings {
        reporter.warn(warning);
    }
    for note in &identity.notes {
        reporter.info(note);
    }
    let stall_timeout = command.service.read_timeout.unwrap_or(REFRESH_STALL);
    match command.action {
        SessionAction::Show { json } => {
            let (format, escape): (_, fn(&str) -> Cow<'_, str>) = if json {
                (ReportFormat::Json, printable::json)
            } else {
                (ReportFormat::Text, printable::text)
            };
            let network = command.service.network;
            let transport = || {
                let transport = Arc::new(Transport::new(&network, stall_timeout)?);
                Ok(Arc::new(SessionTransport::new(transport)) as Arc<dyn AuthTransport>)
            };
            let show = report::show(identity, transport, SystemTime::now, format);
            let report = block_on_until_signal(on_heap(|| async { Ok(show.await) }))?;
            startup_fds::print_result(&format!("{}\n", escape(&report.text)), LogFormat::Text);
            report.error.map_or(Ok(()), Err)
        }
        SessionAction::Refresh => {
            let network = &command.service.network;
            let transport = Arc::new(Transport::new(network, stall_timeout)?);
            let transport = Arc::new(SessionTransport::new(transport));
            let report = block_on_until_signal(on_heap(|| report::refresh(identity, transport)))?;
            if !command.quiet {
                let text = format!("{}\n", printable::text(&report));
                startup_fds::print_result(&text, LogFormat::Text);
            }
            Ok(())
        }
    }
}
