//! Turns the options of `get` into a `GetCommand`.
//!
//! Owns the defaults and the checks of its options. Must not access a file or the service.
//! Invariant: the command names exactly one object.

use super::args::GetArgs;
use super::command::GetCommand;
use super::output::RawOutputOptions;
use super::put::{RETRY_FOR, STALL_TIMEOUT};
use super::service::path;
use super::{Environment, target, value};
use proto::error::Error;

/// Builds the command. Fails at the first option that is missing, malformed or in contradiction to
/// another one.
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
        output: RawOutputOptions::from(get).resolve()?,
        service: get.service().resolve(environment)?,
    })
}
