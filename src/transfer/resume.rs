//! Finds the open upload that a run with `--resume` continues, and the parts that it holds.
//!
//! Owns the choice among the open uploads of a name. Must not know the stream. Invariant: an upload is
//! chosen only where there is no other candidate or the user names it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::term::progress::Reporter;
use crate::transfer::client::{Client, invalid_response};
use crate::transfer::listing::{MaxItems, list_all};
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{
    ExpectedProperties, ListedPart, ListedUpload, ObjectLocation, PutOptions, Response, parse_page,
    request,
};
use proto::error::Error;
use proto::retry::Operation;
use proto::units::format_size_short;
use proto::upload::{ContinuedUpload, MessageContext, upload_gone};

/// Open uploads that an error names: another user of the bucket may have begun any number.
const MAX_NAMED: usize = 10;

/// The line about the upload that a run has found and not yet changed, for an error before the stream is
/// read.
#[derive(Default)]
pub(crate) struct FoundUpload(Mutex<Option<String>>);

impl FoundUpload {
    fn set(&self, line: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Adds the line to the error.
    pub(crate) fn add_to(&self, mut error: Error) -> Error {
        if let Some(line) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            error.hint = Some(match error.hint.take() {
                Some(hint) => format!("{hint}\n  {line}"),
                None => line,
            });
        }
        error
    }
}

/// What an open upload is looked for by.
pub(crate) struct OpenUploadSearch<'a> {
    pub location: &'a ObjectLocation,
    /// The upload that the user has chosen.
    pub upload_id: Option<&'a str>,
    pub messages: &'a MessageContext,
    pub retry_for: Duration,
    pub found: &'a FoundUpload,
}

impl OpenUploadSearch<'_> {
    /// The open upload that is to be continued; `None` where there is none. Fails where several are open
    /// and none is chosen, where the chosen one is not open or has another storage tier than `options`,
    /// and where a listing fails.
    pub(crate) async fn find(
        &self,
        client: &Client,
        options: &PutOptions,
        reporter: &Reporter,
    ) -> Result<Option<ContinuedUpload>, Error> {
        let OpenUploadSearch { location, upload_id, messages, retry_for, found } = *self;
        let lookup = Lookup::new(client, retry_for, reporter);
        let open = list_uploads(&lookup, location).await?;
        let Some(upload) = choose(open, location, upload_id)? else { return Ok(None) };
        if let (Some(wanted), Some(tier)) = (&options.storage_tier, &upload.storage_tier)
            && wanted != tier
        {
            return Err(Error::usage(format!(
                "the open upload {} is one of the tier {tier}, not {wanted}",
                upload.upload_id
            ))
            .with_hint(format!("give --storage-tier {tier}, or abort the upload and begin anew")));
        }
        found.set(Some(messages.left_open(&upload.upload_id)));
        let parts = list_parts(&lookup, location, &upload.upload_id).await;
        let mut parts = parts.map_err(|failed| {
            if !failed.is_not_found() {
                return failed.error;
            }
            found.set(None);
            upload_gone(failed.error)
        })?;
        parts.sort_by_key(|part| part.part_number);
        // A list that lies about sizes is no reason to panic: each part is compared before it is used.
        let held = parts.iter().fold(0u64, |held, part| held.saturating_add(part.size));
        reporter.info(&format!(
            "resuming the open upload {}: the service holds {} of it in {}",
            upload.upload_id,
            format_size_short(held),
            match parts.len() {
                1 => "1 part".to_owned(),
                count => format!("{count} parts"),
            }
        ));
        let properties = ExpectedProperties::of(options);
        Ok(Some(ContinuedUpload { upload_id: upload.upload_id, parts, properties }))
    }
}

/// The upload to continue, of those that are open.
fn choose(
    mut open: Vec<ListedUpload>,
    location: &ObjectLocation,
    upload_id: Option<&str>,
) -> Result<Option<ListedUpload>, Error> {
    if let Some(id) = upload_id {
        return match open.into_iter().find(|upload| upload.upload_id == id) {
            Some(upload) => Ok(Some(upload)),
            None => Err(Error::usage(format!("no upload of {location} is open with the id {id}"))
                .with_hint("list the open ones with `ocipipe uploads list`")),
        };
    }
    if open.len() > 1 {
        let ids = open.iter().take(MAX_NAMED).map(|upload| upload.upload_id.as_str());
        let named = ids.collect::<Vec<_>>().join(", ");
        let more = if open.len() > MAX_NAMED { " and more" } else { "" };
        return Err(Error::usage(format!(
            "{} uploads of {location} are open: {named}{more}",
            open.len(),
        ))
        .with_hint("choose one with --upload-id ID"));
    }
    Ok(open.pop())
}

/// The open uploads of the object.
async fn list_uploads(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
) -> Result<Vec<ListedUpload>, Error> {
    let parse =
        |response: &Response| parse_page::<ListedUpload>(response).map_err(invalid_response);
    let own = |upload: &ListedUpload| upload.object == location.object;
    let uploads = list_all(MaxItems::UploadsOfObject, own, |token| async move {
        let request = request::list_uploads(location, token.as_deref());
        lookup.run(Operation::ListUploads, request, parse).await
    });
    uploads.await.map_err(|failed| failed.error)
}

async fn list_parts(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    upload_id: &str,
) -> Result<Vec<ListedPart>, LookupError> {
    let parse = |response: &Response| parse_page::<ListedPart>(response).map_err(invalid_response);
    let parts = list_all(
        MaxItems::Parts,
        |_| true,
        |token| async move {
            let request = request::list_parts(location, upload_id, token.as_deref());
            lookup.run(Operation::ListParts, request, parse).await
        },
    );
    parts.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::error::ErrorKind;

    fn location() -> ObjectLocation {
        let text = |text: &str| text.to_owned();
        ObjectLocation { namespace: text("n"), bucket: text("b"), object: text("o") }
    }

    fn open(ids: &[&str]) -> Vec<ListedUpload> {
        let of = |id: &&str| ListedUpload {
            bucket: None,
            object: "o".to_owned(),
            upload_id: (*id).to_owned(),
            time_created: None,
            storage_tier: None,
        };
        ids.iter().map(of).collect()
    }

    #[test]
    fn an_upload_is_chosen_only_without_a_doubt() {
        let chosen = |ids: &[&str], id: Option<&str>| {
            choose(open(ids), &location(), id).map(|upload| upload.map(|upload| upload.upload_id))
        };
        assert_eq!(chosen(&[], None), Ok(None));
        assert_eq!(chosen(&["a"], None), Ok(Some("a".to_owned())));
        assert_eq!(chosen(&["a", "b"], Some("b")), Ok(Some("b".to_owned())));
        let several = chosen(&["a", "b"], None).unwrap_err();
        assert_eq!(several.kind, ErrorKind::Usage);
        assert!(several.message.contains("a, b"), "{several}");
        assert_eq!(chosen(&["a"], Some("c")).unwrap_err().kind, ErrorKind::Usage);
        assert_eq!(chosen(&[], Some("c")).unwrap_err().kind, ErrorKind::Usage);
    }
}
