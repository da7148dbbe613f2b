//! The outcome of a run: stored, failed, unknown or unverified.
//!
//! Owns the errors that end a run after a commit, and the step from an outcome to its cleanup. Must not
//! know which state has found the outcome. Invariants: the first cause wins; the source is released at
//! once; success is reported with its evidence.

use super::core::{Core, Creation, RESOLVE_TIMEOUT, STOP_TIMEOUT};
use super::state::{Cleanup, Doubt, State};
use super::{ApiCall, StoredObject, resume};
use crate::api::ObjectMeta;
use crate::digest::Algorithm;
use crate::error::{Error, ErrorKind};
use crate::evidence::Evidence;
use crate::part_layout::PartLayout;

/// The error of a request whose body arrived damaged each time: the service has refused it.
pub(super) fn damaged_on_the_way(error: Error) -> Error {
    let message = format!("{}; nothing was committed", error.message);
    Error { kind: ErrorKind::Integrity, message, ..error }
}

/// Ends the run with an error: nothing was committed, and nothing will be.
pub(super) fn abort(
    core: &mut Core,
    error: Error,
    doubt: Doubt,
    probe_upload_id: Option<String>,
) -> State {
    core.call.scheduled = None;
    core.call.attempt = 0;
    core.release_source();
    core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
    let leaves_open = core.leaves_open(error.kind);
    let cleanup = Cleanup { outcome: Err(error), doubt, probe_upload_id, aborting: None };
    match core.multipart.creation.clone() {
        Creation::Created(_) if core.multipart.is_gone => cleanup.leave_open(core, None),
        Creation::Created(id) if leaves_open => cleanup.leave_open(core, Some(id)),
        Creation::Created(id) => cleanup.abort_upload(core, id),
        // The response to the create brings the id to abort; RESOLVE_TIMEOUT leaves time for both.
        Creation::InFlight if core.multipart.create_in_flight => {
            core.deadline = Some(core.clamp_to_stop(RESOLVE_TIMEOUT));
            State::Aborting(cleanup)
        }
        Creation::InFlight | Creation::NotStarted => cleanup.on_abort_done(core, None),
    }
}

/// Ends a run with `--resume` whose upload another run has ended: nothing of this run was committed.
pub(super) fn abort_gone(core: &mut Core, error: Error) -> State {
    core.multipart.is_gone = true;
    // A signal that asked to stop counts first.
    let error = core.stop.error.take().unwrap_or_else(|| resume::upload_gone(error));
    abort(core, error, Doubt::None, None)
}

/// Ends the run with an outcome, after the uploads that it may have left are cleaned up.
fn finish_if_clean(
    core: &mut Core,
    outcome: Result<StoredObject, Error>,
    probe_upload_id: Option<String>,
) -> State {
    core.call.scheduled = None;
    core.release_source();
    let cleanup = Cleanup { outcome, doubt: Doubt::None, probe_upload_id: None, aborting: None };
    match probe_upload_id {
        None => cleanup.list_orphans(core),
        Some(id) => {
            core.call.attempt = 0;
            core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
            cleanup.abort_upload(core, id)
        }
    }
}

/// The object is committed and verified.
pub(super) fn finish_stored(
    core: &mut Core,
    meta: ObjectMeta,
    evidence: Evidence,
    probe_upload_id: Option<String>,
) -> State {
    // A continued upload ends here only with what HEAD has shown.
    if let Some(difference) = core.property_difference(&meta) {
        let what = format!("the upload was begun with other options: {difference}");
        return end_different(core, &meta, &what, probe_upload_id);
    }
    let checksum = core.config.checksum;
    if core.continues()
        && evidence == Evidence::Multipart(Algorithm::Md5)
        && !matches!(checksum, Algorithm::Md5 | Algorithm::None)
    {
        core.warn(format!(
            "the object has no {}, since its upload was begun without it: it was verified by the MD5 of \
             its parts",
            checksum.name()
        ));
    }
    let stored = StoredObject {
        meta,
        size: core.end.unwrap_or_default().bytes,
        upload_id: core.upload_id().map(str::to_owned),
        parts: core.parts.count(),
        // Parts have numbers up to 10,000, and their sum was read.
        layout: PartLayout::of_sizes(core.parts.digests().map(|digest| digest.size))
            .unwrap_or_default(),
        checksum: core.whole_checksum(),
        sha256: core.whole_sha256(),
        evidence,
    };
    finish_if_clean(core, Ok(stored), probe_upload_id)
}

/// The outcome of the commit cannot be known: exit code 8, and nothing is aborted.
pub(super) fn end_unknown(core: &mut Core, why: &str, probe_upload_id: Option<String>) -> State {
    let messages = &core.config.messages;
    let upload = match core.upload_id() {
        Some(id) => {
            let resume = messages
                .resume_command(id)
                .map(|resume| format!(" (go on with the same stream: {resume}\n  or abort it)"));
            format!(
                "; if it is not what was sent, the upload may still be open{}: {}",
                resume.unwrap_or_default(),
                messages.abort_command(id)
            )
        }
        None => String::new(),
    };
    let error = Error::new(
        ErrorKind::OutcomeUnknown,
        format!("whether {} was committed is unknown: {why}", messages.object_url),
    )
    .with_hint(format!(
        "look at the object and compare its size and checksum ({}): {}{upload}",
        core.expected_summary(),
        messages.head_command
    ));
    finish_if_clean(core, Err(error), probe_upload_id)
}

/// The service reported a commit, and the object could not be read: exit code 8.
pub(super) fn end_unverified(
    core: &mut Core,
    committed: &ObjectMeta,
    why: &str,
    probe_upload_id: Option<String>,
) -> State {
    let etag = committed.etag.clone().unwrap_or_default();
    let messages = &core.config.messages;
    let error = Error::new(
        ErrorKind::OutcomeUnknown,
        format!(
            "{} was committed (etag {etag}), but it could not be verified: {why}",
            messages.object_url
        ),
    )
    .with_hint(format!(
        "compare the object with what was read ({}): {}",
        core.expected_summary(),
        messages.head_command
    ));
    finish_if_clean(core, Err(error), probe_upload_id)
}

/// A committed object differs from the stream.
pub(super) fn mismatch(
    core: &mut Core,
    meta: &ObjectMeta,
    difference: &str,
    probe_upload_id: Option<String>,
) -> State {
    let difference = format!("it is not what was read: {difference}");
    end_different(core, meta, &difference, probe_upload_id)
}

/// A committed object is not what the run was to store.
fn end_different(
    core: &mut Core,
    meta: &ObjectMeta,
    difference: &str,
    probe_upload_id: Option<String>,
) -> State {
    let etag = meta.etag.clone().unwrap_or_default();
    let object_url = &core.config.messages.object_url;
    let error =
        Error::integrity(format!("{object_url} was committed (etag {etag}), but {difference}"));
    core.release_source();
    if core.config.delete_on_mismatch && !etag.is_empty() {
        core.call.attempt = 0;
        core.deadline = Some(core.clamp_to_stop(STOP_TIMEOUT));
        core.start_call(ApiCall::Delete { etag });
        let doubt = Doubt::None;
        return State::Deleting(Cleanup {
            outcome: Err(error),
            doubt,
            probe_upload_id,
            aborting: None,
        });
    }
    let hint = "do not rely on this object; it was left as it is (--delete-on-mismatch deletes it)";
    finish_if_clean(core, Err(error.with_hint(hint)), probe_upload_id)
}
