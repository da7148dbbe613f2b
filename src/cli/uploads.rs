//! Turns the options of `uploads list` and `uploads abort` into an `UploadsCommand`.
//!
//! Owns the rule which filters an abort needs. Must not access the service. Invariant: an abort has
//! at least one filter, or `--all`.

use super::args::{UploadsAbortArgs, UploadsListArgs, UploadsSubcommand};
use super::command::{UploadsAction, UploadsCommand};
use super::{Environment, target, value};
use proto::error::Error;

/// Builds the command. Fails at the first option that is missing or malformed.
pub(super) fn command(
    sub: &UploadsSubcommand,
    environment: &Environment,
) -> Result<UploadsCommand, Error> {
    match sub {
        UploadsSubcommand::List(list) => self::list(list, environment),
        UploadsSubcommand::Abort(abort) => self::abort(abort, environment),
    }
}

fn list(list: &UploadsListArgs, environment: &Environment) -> Result<UploadsCommand, Error> {
    if let Some(text) = list.limit.as_deref().filter(|text| text.parse::<u32>().is_err()) {
        return Err(value::invalid_value("--limit", text, "it is a whole number"));
    }
    Ok(UploadsCommand {
        action: UploadsAction::List,
        place: target::RawTarget {
            positionals: &list.place,
            bucket: list.bucket_name.as_deref(),
            namespace: list.namespace.as_deref(),
            name: list.name.as_deref(),
            default_name: None,
        }
        .bucket()?,
        upload_id: list.upload_id.clone(),
        older_than: value::duration_or_none("--older-than", list.older_than.as_deref())?,
        quiet: list.quiet,
        service: list.service().resolve(environment)?,
    })
}

fn abort(abort: &UploadsAbortArgs, environment: &Environment) -> Result<UploadsCommand, Error> {
    let command = UploadsCommand {
        action: UploadsAction::Abort,
        place: target::RawTarget {
            positionals: &abort.place,
            bucket: abort.bucket_name.as_deref(),
            namespace: abort.namespace.as_deref(),
            name: abort.name.as_deref(),
            default_name: None,
        }
        .bucket()?,
        upload_id: abort.upload_id.clone(),
        older_than: value::duration_or_none("--older-than", abort.older_than.as_deref())?,
        quiet: abort.quiet,
        service: abort.service().resolve(environment)?,
    };
    let filtered =
        command.place.name.is_some() || command.upload_id.is_some() || command.older_than.is_some();
    if !filtered && !abort.all {
        return Err(Error::usage("nothing says which uploads to abort").with_hint(
            "give --older-than 1d, --upload-id ID or --name NAME; --all means every open upload",
        ));
    }
    Ok(command)
}
