//! The `uploads` command: lists or aborts multipart uploads that were never committed.
//!
//! Owns the selection of uploads by name, id and age. Must not know how an upload proceeds.
//! Invariant: only uploads that every given filter matches are aborted, and each failed abort is
//! reported.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::auth::environment::Environment;
use crate::cli::{UploadsAction, UploadsCommand};
use crate::term::progress::Reporter;
use crate::transfer::client::{Client, Timeouts, invalid_response};
use crate::transfer::listing::{MaxItems, list_all};
use crate::transfer::lookup::Lookup;
use proto::api::{ListedUpload, ObjectLocation, Response, parse_page, request, response};
use proto::error::{Error, ErrorKind};
use proto::printable;
use proto::retry::Operation;
use proto::shell::shell_quote;

/// How long a 404 that may be spurious is retried.
const RETRY_FOR: Duration = Duration::from_secs(3600);
/// How long other failures are: a person waits for the list.
const TRANSIENT_LIMIT: Duration = Duration::from_secs(60);
/// How long a connection may move no byte, without `--read-timeout`.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The output of `oci os multipart list`. Without an upload the OCI CLI prints nothing; `ocipipe`
/// prints an empty list, so that the output is always JSON.
#[derive(Debug, Serialize)]
struct Listing {
    data: Vec<UploadRow>,
}

/// An open upload, with the OCI CLI's keys in their order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct UploadRow {
    bucket: String,
    namespace: String,
    object: String,
    storage_tier: Option<String>,
    time_created: Option<String>,
    upload_id: String,
}

/// Lists or aborts uploads and returns them as JSON. Fails if the uploads cannot be listed or one
/// of them cannot be aborted.
pub(super) async fn uploads(
    command: UploadsCommand,
    environment: &Environment,
) -> Result<String, Error> {
    let reporter = Arc::new(Reporter::of_messages(command.quiet));
    let stall_timeout = command.service.read_timeout.unwrap_or(STALL_TIMEOUT);
    let timeouts = Timeouts { retry_for: TRANSIENT_LIMIT, stall_timeout };
    let client = Client::open_session(&command.service, environment, timeouts, &reporter).await?;
    let lookup = Lookup::new(&client, RETRY_FOR, &reporter).with_transient_limit(TRANSIENT_LIMIT);
    let bucket = &command.place;
    let object = bucket.name.as_deref().unwrap_or_default();
    let location = lookup.locate(bucket.namespace.as_deref(), &bucket.bucket, object).await?;
    let selected = match (&command.action, &command.upload_id, &command.place.name) {
        // The abort needs no more than these two; the user may lack the permission to list.
        (UploadsAction::Abort, Some(id), Some(name)) if command.older_than.is_none() => {
            vec![ListedUpload {
                bucket: None,
                object: name.clone(),
                upload_id: id.clone(),
                time_created: None,
                storage_tier: None,
            }]
        }
        _ => list(&lookup, &location, &command).await?,
    };
    if command.action == UploadsAction::Abort {
        abort_listed(&lookup, &location, &command, &selected).await?;
    }
    if command.action == UploadsAction::List {
        for upload in &selected {
            let ObjectLocation { namespace, bucket, .. } = &location;
            let [namespace, bucket, name, id] =
                [namespace, bucket, &upload.object, &upload.upload_id]
                    .map(|word| shell_quote(word));
            reporter.info(&format!(
                "the upload {} goes on with the same stream and options: ocipipe put --resume \
                 --upload-id {id} --namespace {namespace} --bucket-name {bucket} --name {name}{}",
                upload.upload_id,
                command.service.own_shell_words()
            ));
        }
    }
    let data: Vec<UploadRow> = selected
        .into_iter()
        .map(|upload| UploadRow {
            bucket: location.bucket.clone(),
            namespace: location.namespace.clone(),
            object: upload.object,
            storage_tier: upload.storage_tier,
            time_created: upload.time_created.as_deref().map(format_time),
            upload_id: upload.upload_id,
        })
        .collect();
    serde_json::to_string_pretty(&Listing { data })
        .map(|text| printable::json(&text).into_owned())
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the list cannot be written: {e}")))
}

/// A time as the OCI CLI prints it, in UTC and to the microsecond; a malformed one is left as it
/// is.
fn format_time(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let format = match time.subsec_microsecond() {
        0 => "%Y-%m-%dT%H:%M:%S+00:00",
        _ => "%Y-%m-%dT%H:%M:%S.%6f+00:00",
    };
    time.strftime(format).to_string()
}

/// The open uploads of the bucket that match every given filter, from every page.
async fn list(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    command: &UploadsCommand,
) -> Result<Vec<ListedUpload>, Error> {
    let parse =
        |response: &Response| parse_page::<ListedUpload>(response).map_err(invalid_response);
    let max = match command.place.name {
        Some(_) => MaxItems::UploadsOfObject,
        None => MaxItems::UploadsOfBucket,
    };
    // The service has written the times of creation, so that its clock counts and not the local one, which a
    // response has corrected.
    let now = || Timestamp::try_from(lookup.service_time()).ok();
    let uploads = list_all(
        max,
        |upload| matches(upload, command, now()),
        |token| async move {
            let request = request::list_uploads(location, token.as_deref());
            lookup.run(Operation::ListUploads, request, parse).await
        },
    );
    uploads.await.map_err(|failure| failure.error)
}

/// Whether an upload matches every given filter at the time `now`. One whose age is unknown is never old
/// enough.
fn matches(upload: &ListedUpload, command: &UploadsCommand, now: Option<Timestamp>) -> bool {
    let old_enough = command.older_than.is_none_or(|age| {
        let created = upload.time_created.as_deref().and_then(|text| text.parse().ok());
        now.zip(created)
            .and_then(|(now, created): (_, Timestamp)| {
                Duration::try_from(now.duration_since(created)).ok()
            })
            .is_some_and(|elapsed| elapsed >= age)
    });
    old_enough
        && command.place.name.as_ref().is_none_or(|name| *name == upload.object)
        && command.upload_id.as_ref().is_none_or(|id| *id == upload.upload_id)
}

/// Aborts the selected uploads, and reports each one that fails. Fails with the first of the
/// errors, or if `--upload-id` matches no upload.
async fn abort_listed(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    command: &UploadsCommand,
    selected: &[ListedUpload],
) -> Result<(), Error> {
    if selected.is_empty() && command.upload_id.is_some() {
        return Err(Error::service("there is no open upload with this id"));
    }
    let mut first_error = None;
    let mut failed = 0;
    for upload in selected {
        let location = ObjectLocation { object: upload.object.clone(), ..location.clone() };
        let request = request::abort(&location, &upload.upload_id);
        let parse =
            |response: &Response| response::parse_removed(response).map_err(invalid_response);
        match lookup.run(Operation::Abort, request, parse).await {
            Ok(()) => {}
            // Aborted or committed since it was listed.
            Err(failure) if failure.is_not_found() && command.upload_id.is_none() => {}
            Err(failure) => {
                failed += 1;
                let state = if failure.is_not_found() { "is not open" } else { "is still open" };
                let error = failure.error;
                let text = format!("the upload {} {state}: {}", upload.upload_id, error.message);
                lookup.reporter().warn(&text);
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        None => Ok(()),
        Some(error) => {
            let message = format!(
                "{failed} of {} uploads were not aborted: {}",
                selected.len(),
                error.message
            );
            Err(Error { message, ..error })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::format_time;

    #[test]
    fn a_time_is_printed_as_the_oci_cli_prints_it() {
        for (text, shown) in [
            ("2026-11-28T17:05:17.661Z", "2026-11-28T17:05:17.661000+00:00"),
            ("2026-11-28T17:05:17Z", "2026-11-28T17:05:17+00:00"),
            ("2026-11-28T18:05:17.000001+01:00", "2026-11-28T17:05:17.000001+00:00"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(format_time(text), shown);
        }
    }
}
