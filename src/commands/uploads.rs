//! The `uploads` command: what was left open, listed or aborted.
//!
//! Owns the choice of uploads by name, id and age. Knows nothing of how an upload runs. Invariant:
//! only what was asked for is aborted, and what could not be aborted is said.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::auth::environment::Environment;
use crate::cli::{UploadsAction, UploadsCommand};
use crate::term::progress::{OutputOptions, Reporter};
use crate::transfer::client::{Client, Timeouts, invalid_response};
use crate::transfer::lookup::{LOOKUP_TIMEOUT, Lookup, LookupError};
use proto::api::{ListedUpload, ObjectLocation, Page, Response, request, response};
use proto::error::{Error, ErrorKind};
use proto::printable;
use proto::retry::{Operation, RetryDecision};

/// Nothing is at stake: `ask` bounds each kind of waiting.
const RETRY_FOR: Duration = Duration::from_secs(3600);
const TIMEOUTS: Timeouts =
    Timeouts { retry_for: LOOKUP_TIMEOUT, stall_timeout: Duration::from_secs(60) };

/// What `oci os multipart list` prints. The OCI CLI prints nothing where there is no upload; here it
/// is an empty list, so that the output is JSON always.
#[derive(Debug, Serialize)]
struct Listing {
    data: Vec<UploadRow>,
}

/// An open upload, in the OCI CLI's words and their order.
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

/// Lists or aborts; the JSON for stdout.
pub async fn uploads(command: UploadsCommand, environment: &Environment) -> Result<String, Error> {
    let reporter = Arc::new(Reporter::new(OutputOptions::default(), false));
    let service = Client::open_session(&command.service, environment, TIMEOUTS, &reporter)?;
    let ask = Lookup::new(&service, RETRY_FOR, &reporter);
    let namespace = match &command.place.namespace {
        Some(namespace) => namespace.clone(),
        None => ask.namespace().await?,
    };
    let target = ObjectLocation {
        namespace,
        bucket: command.place.bucket.clone(),
        object: command.place.name.clone().unwrap_or_default(),
    };
    let chosen = match (&command.action, &command.upload_id, &command.place.name) {
        // All that an abort needs is given: no right to list is asked for.
        (UploadsAction::Abort, Some(id), Some(name)) if command.older_than.is_none() => {
            vec![ListedUpload {
                bucket: None,
                object: name.clone(),
                upload_id: id.clone(),
                time_created: None,
                storage_tier: None,
            }]
        }
        _ => filter(list(&ask, &target).await?, &command, Timestamp::now()),
    };
    if command.action == UploadsAction::Abort {
        abort_listed(&ask, &target, &command, &chosen).await?;
    }
    let lines: Vec<UploadRow> = chosen
        .into_iter()
        .map(|upload| UploadRow {
            bucket: target.bucket.clone(),
            namespace: target.namespace.clone(),
            object: upload.object,
            storage_tier: upload.storage_tier,
            time_created: upload.time_created.as_deref().map(to_json_row),
            upload_id: upload.upload_id,
        })
        .collect();
    serde_json::to_string_pretty(&Listing { data: lines })
        .map(|text| printable::json(&text).into_owned())
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the list cannot be written: {e}")))
}

/// A moment as the OCI CLI writes it, in UTC and to the microsecond; what is none, as it came.
fn to_json_row(text: &str) -> String {
    let Ok(moment) = text.parse::<Timestamp>() else { return text.to_owned() };
    let form = match moment.subsec_microsecond() {
        0 => "%Y-%m-%dT%H:%M:%S+00:00",
        _ => "%Y-%m-%dT%H:%M:%S.%6f+00:00",
    };
    moment.strftime(form).to_string()
}

async fn list(ask: &Lookup<'_>, target: &ObjectLocation) -> Result<Vec<ListedUpload>, Error> {
    let read =
        |answer: &Response| response::parse_page::<ListedUpload>(answer).map_err(invalid_response);
    let mut all = Vec::new();
    let mut next = None;
    loop {
        let request = request::list_uploads(target, next.as_deref());
        let Page { mut items, next: more } =
            ask.run(Operation::ListUploads, request, read).await.map_err(|no| no.error)?;
        all.append(&mut items);
        match more {
            Some(_) => next = more,
            None => return Ok(all),
        }
    }
}

/// The uploads that were asked for. One whose age cannot be read is never old enough.
fn filter(all: Vec<ListedUpload>, command: &UploadsCommand, now: Timestamp) -> Vec<ListedUpload> {
    let old_enough = |upload: &ListedUpload| match command.older_than {
        None => true,
        Some(age) => upload
            .time_created
            .as_deref()
            .and_then(|text| text.parse::<Timestamp>().ok())
            .and_then(|created| Duration::try_from(now.duration_since(created)).ok())
            .is_some_and(|passed| passed >= age),
    };
    let named = |upload: &ListedUpload| {
        command.place.name.as_ref().is_none_or(|name| *name == upload.object)
            && command.upload_id.as_ref().is_none_or(|id| *id == upload.upload_id)
    };
    all.into_iter().filter(|upload| named(upload) && old_enough(upload)).collect()
}

async fn abort_listed(
    ask: &Lookup<'_>,
    target: &ObjectLocation,
    command: &UploadsCommand,
    chosen: &[ListedUpload],
) -> Result<(), Error> {
    if chosen.is_empty() && command.upload_id.is_some() {
        return Err(Error::service("there is no open upload with this id"));
    }
    let mut first = None;
    let mut failed = 0;
    for upload in chosen {
        let target = ObjectLocation { object: upload.object.clone(), ..target.clone() };
        let request = request::abort(&target, &upload.upload_id);
        let gone = |answer: &Response| response::parse_removed(answer).map_err(invalid_response);
        match ask.run(Operation::Abort, request, gone).await {
            Ok(()) => {}
            Err(LookupError { decision: Some(RetryDecision::NotFound), .. })
                // Somebody else was faster.
                if command.upload_id.is_none() => {}
            Err(LookupError { error, decision: verdict, .. }) => {
                failed += 1;
                let state = match verdict {
                    Some(RetryDecision::NotFound) => "is not open",
                    _ => "is still open",
                };
                let text = format!("the upload {} {state}: {}", upload.upload_id, error.message);
                ask.reporter().warn(&text);
                first.get_or_insert(error);
            }
        }
    }
    match first {
        None => Ok(()),
        Some(error) => {
            let what =
                format!("{failed} of {} uploads were not aborted: {}", chosen.len(), error.message);
            Err(Error { message: what, ..error })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::to_json_row;

    #[test]
    fn a_moment_is_written_as_the_oci_cli_writes_it() {
        for (text, shown) in [
            ("2026-11-28T17:05:17.661Z", "2026-11-28T17:05:17.661000+00:00"),
            ("2026-11-28T17:05:17Z", "2026-11-28T17:05:17+00:00"),
            ("2026-11-28T18:05:17.000001+01:00", "2026-11-28T17:05:17.000001+00:00"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(to_json_row(text), shown);
        }
    }
}
