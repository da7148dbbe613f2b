//! The options of `get`.
//!
//! Must not open anything. Invariant: exactly one object is named.

use super::args::GetArgs;
use super::command::GetCommand;
use super::put::{RETRY_FOR, STALL_TIMEOUT, report};
use super::service::path;
use super::{Environment, target, value};
use proto::error::Error;

/// Checks everything that can be checked before anything is opened.
pub fn command(get: &GetArgs, environment: &Environment) -> Result<GetCommand, Error> {
    Ok(GetCommand {
        source: target::RawTarget {
            positionals: &get.source,
            bucket: get.bucket_name.as_deref(),
            namespace: get.namespace.as_deref(),
            name: get.name.as_deref(),
            default_name: None,
        }
        .object("SOURCE")?,
        file: path(environment, get.file.as_deref().filter(|file| *file != "-")),
        encryption_key_file: path(environment, get.encryption_key_file.as_deref()),
        retry_for: value::duration_or_none("--retry-for", get.retry_for.as_deref())?
            .unwrap_or(RETRY_FOR),
        stall_timeout: value::duration("--stall-timeout", get.stall_timeout.as_deref())?
            .unwrap_or(STALL_TIMEOUT),
        output: report(get.progress.as_deref(), get.quiet, get.debug)?,
        service: get.service().resolve(environment)?,
    })
}
