//! The options of `uploads list` and `uploads abort`.
//!
//! Must not talk to the service. Invariant: an abort that names nothing is refused unless `--all`
//! says that everything is meant, and filters narrow one another.

use super::args::{UploadsAbortArgs, UploadsListArgs, UploadsSubcommand};
use super::command::{UploadsAction, UploadsCommand};
use super::{Environment, target, value};
use proto::error::Error;

/// Checks one of the two.
pub fn command(
    sub: &UploadsSubcommand,
    environment: &Environment,
) -> Result<UploadsCommand, Error> {
    match sub {
        UploadsSubcommand::List(list) => self::list(list, environment),
        UploadsSubcommand::Abort(abort) => self::abort(abort, environment),
    }
}

fn list(list: &UploadsListArgs, environment: &Environment) -> Result<UploadsCommand, Error> {
    Ok(UploadsCommand {
        action: UploadsAction::List,
        place: target::RawTarget {
            positionals: &list.place,
            bucket: list.bucket_name.as_deref(),
            namespace: list.namespace.as_deref(),
            name: list.name.as_deref(),
            default_name: None,
        }
        .place()?,
        upload_id: list.upload_id.clone(),
        older_than: value::duration_or_none("--older-than", list.older_than.as_deref())?,
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
        .place()?,
        upload_id: abort.upload_id.clone(),
        older_than: value::duration_or_none("--older-than", abort.older_than.as_deref())?,
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
