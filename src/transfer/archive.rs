//! Waits until an archived object can be read.
//!
//! Owns the request that restores it, the pauses between two HeadObject requests, and the messages about archived
//! objects. Must not know how an object is read. Invariant: an object that is being restored is not
//! asked for again, and the wait ends after 24 h.

use std::time::{Duration, Instant};

use super::read_progress::ticking;
use crate::term::progress::activity::{Observation, TransferStage};
use crate::term::progress::{ProgressSnapshot, Transfer};
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{Archival, ObjectLocation, request};
use proto::error::Error;
use proto::retry::Operation;
use proto::shell;

/// The longest wait for a restore.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// The pause after the first look, which grows up to `MAX_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long the service may report an object as archived after it has accepted to restore it.
const ACCEPTED: Duration = Duration::from_secs(600);

/// The restore of one object.
pub(super) struct RestoreWait<'a> {
    lookup: &'a Lookup<'a>,
    location: &'a ObjectLocation,
    version_id: Option<&'a str>,
    /// Hours for which a restored object can be read; `None` if it is not to be restored.
    hours: Option<u32>,
    started_at: Option<Instant>,
    accepted_at: Option<Instant>,
    pause: Duration,
}

impl<'a> RestoreWait<'a> {
    /// No wait yet.
    pub(super) fn new(
        lookup: &'a Lookup<'a>,
        location: &'a ObjectLocation,
        version_id: Option<&'a str>,
        hours: Option<u32>,
    ) -> RestoreWait<'a> {
        RestoreWait {
            lookup,
            location,
            version_id,
            hours,
            started_at: None,
            accepted_at: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Whether the wait has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.started_at.is_some()
    }

    /// Asks for an archived object, where that was not done, and waits before the next look at it.
    /// Fails where it is not to be restored, where the service refuses, and after 24 h.
    pub(super) async fn wait(&mut self, archival: Archival) -> Result<(), Error> {
        let Some(hours) = self.hours else {
            return Err(archived_error(self.location, self.version_id, archival));
        };
        let now = Instant::now();
        let waiting_since = *self.started_at.get_or_insert(now);
        // A restore can take longer than a token is valid.
        self.lookup.set_streaming();
        let accepted = self.accepted_at.is_some_and(|at| now - at < ACCEPTED);
        if archival == Archival::Archived && !accepted {
            self.restore(hours).await?;
            self.accepted_at = Some(Instant::now());
        } else if waiting_since == now {
            self.say("is being restored already: waiting until it can be read");
        }
        let waited = waiting_since.elapsed();
        if waited >= MAX_WAIT {
            let text = format!("{} was not restored within 24 h", self.location);
            return Err(Error::service(text).with_hint("try again when it is restored"));
        }
        let show = || {
            self.lookup.reporter().update(&ProgressSnapshot {
                transfer: Transfer::Write,
                elapsed: waiting_since.elapsed(),
                seen: Observation { stage: TransferStage::Restoring, ..Observation::default() },
                ..ProgressSnapshot::default()
            });
        };
        ticking(tokio::time::sleep(self.pause), show).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }

    async fn restore(&self, hours: u32) -> Result<(), Error> {
        let request = request::restore_object(self.location, self.version_id, hours);
        match self.lookup.run(Operation::Restore, request, |_| Ok(())).await {
            Ok(()) => {
                self.say("is archived: its restore is asked for, which takes about an hour");
                Ok(())
            }
            // Another run, or an attempt without a response, has asked before: the next look shows.
            Err(failed) if is_conflict(&failed) => Ok(()),
            Err(failed) => {
                let message =
                    format!("{} cannot be restored: {}", self.location, failed.error.message);
                Err(Error { message, ..failed.error })
            }
        }
    }

    fn say(&self, what: &str) {
        self.lookup.reporter().info(&format!("{} {what}", self.location));
    }
}

fn is_conflict(failed: &LookupError) -> bool {
    failed.final_response().is_some_and(|response| response.status == 409)
}

/// The error for an object in the archive tier, with the command that restores it.
pub(super) fn archived_error(
    location: &ObjectLocation,
    version_id: Option<&str>,
    archival: Archival,
) -> Error {
    if archival == Archival::Restoring {
        return Error::service(format!("{location} is archived and being restored")).with_hint(
            "give --restore to wait for it, or try again when it is restored, about an hour after \
             that was asked for",
        );
    }
    let [namespace, bucket, object] = [&location.namespace, &location.bucket, &location.object]
        .map(|name| shell::shell_quote(name));
    let version = version_id.map(|id| format!(" --version-id {}", shell::shell_quote(id)));
    let restore = format!(
        "oci os object restore -ns {namespace} -bn {bucket} --name {object}{}",
        version.unwrap_or_default()
    );
    Error::service(format!("{location} is archived")).with_hint(format!(
        "give --restore, or restore it first, which takes about an hour, and try again: `{restore}`"
    ))
}
