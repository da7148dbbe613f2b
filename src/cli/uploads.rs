//! Turns the options of `uploads list` and `uploads abort` into an `UploadsCommand`.
//!
//! Owns the rule which filter an abort needs. Must not access the service. Invariant: an abort has
//! at least one filter, or `--all`.

use super::args::{RawServiceOptions, RawUploadFilters, UploadsSubcommand};
use super::command::{UploadsAction, UploadsCommand};
use super::target::RawTarget;
use super::{Environment, value};
use proto::error::Error;

/// Builds the command. Fails at the first option that is missing or malformed.
pub(super) fn command(
    sub: &UploadsSubcommand,
    environment: &Environment,
) -> Result<UploadsCommand, Error> {
    match sub {
        UploadsSubcommand::List(list) => {
            if let Some(text) = list.limit.as_deref().filter(|text| text.parse::<u32>().is_err()) {
                return Err(value::invalid_value("--limit", text, "it is a whole number"));
            }
            filtered(UploadsAction::List, list.filters(), list.quiet, list.service(), environment)
        }
        UploadsSubcommand::Abort(abort) => {
            let (filters, service) = (abort.filters(), abort.service());
            let command =
                filtered(UploadsAction::Abort, filters, abort.quiet, service, environment)?;
            let has_filter = command.place.name.is_some()
                || command.upload_id.is_some()
                || command.older_than.is_some();
            if !has_filter && !abort.all {
                return Err(Error::usage("nothing says which uploads to abort").with_hint(
                    "give --older-than 1d, --upload-id ID or --name NAME; --all means every open upload",
                ));
            }
            Ok(command)
        }
    }
}

fn filtered(
    action: UploadsAction,
    filters: RawUploadFilters<'_>,
    quiet: bool,
    service: RawServiceOptions<'_>,
    environment: &Environment,
) -> Result<UploadsCommand, Error> {
    Ok(UploadsCommand {
        action,
        place: RawTarget {
            positionals: filters.place,
            bucket: filters.bucket_name,
            namespace: filters.namespace,
            name: filters.name,
            default_name: None,
        }
        .bucket()?,
        upload_id: filters.upload_id.map(str::to_owned),
        older_than: value::duration_or_none("--older-than", filters.older_than)?,
        quiet,
        service: service.resolve(environment)?,
    })
}
