//! What must hold in every state of a run.
//!
//! Owns the invariants. Must not know how a state was reached. Invariant: each violation has a text of its
//! own.

use super::super::{StateKind, StoredObject};
use super::Row;
use super::identical::{Conflict, is_of_others};
use super::par::Par;
use super::run::{Run, Source};
use crate::error::{Error, ErrorKind};
use crate::part_number::PartNumber;
use crate::upload::ApiCall;
use crate::upload::state::State;

impl Run {
    /// Whether a request may be sent.
    pub(super) fn check_call(&mut self, call: &ApiCall) -> Result<(), String> {
        let is_part = |call: &ApiCall| matches!(call, ApiCall::Part(_));
        let parts = self.sent.iter().filter(|sent| is_part(&sent.request.call)).count();
        let others = self.sent.iter().map(|sent| &sent.request.call).filter(|call| !is_part(call));
        let is_abort = |call: &ApiCall| matches!(call, ApiCall::Abort { .. });
        // A cleanup does not wait for what a deadline has ended.
        let is_cleanup =
            is_abort(call) || matches!(call, ApiCall::Delete { .. } | ApiCall::ListUploads);
        let may_wait = |other: &ApiCall| match is_cleanup {
            true => !(is_abort(call) && is_abort(other)),
            false => other.is_create(),
        };
        if !is_part(call) && others.clone().any(|other| !may_wait(other)) {
            return Err(format!("{call:?} is sent beside {:?}", others.collect::<Vec<_>>()));
        }
        if self.case.par.is_some() && !Par::allows(call) {
            return Err(format!("{call:?} through a pre-authenticated request"));
        }
        if !matches!(call, ApiCall::Abort { .. } | ApiCall::ListUploads)
            && (matches!(self.case.conflict, Conflict::Found(_)) || self.is_only_compared())
        {
            return Err(format!("{call:?} of a stream that is only compared"));
        }
        match call {
            ApiCall::Part(number) => {
                self.check_buffer(*number)?;
                if self.cutting.splitting.as_ref().is_some_and(|(first, _)| number >= first) {
                    return Err(format!("part {number} is sent while it is cut"));
                }
                self.acknowledged.remove(number);
                let again = self.sent.iter().any(|sent| sent.request.call == *call);
                if again || parts >= usize::from(self.cutting.connections) {
                    return Err(format!("part {number} is sent beside {parts} others"));
                }
                if self.upload.upload_id().is_none() || self.upload.kind().is_decided() {
                    return Err(format!("part {number} is sent without an upload"));
                }
                Ok(())
            }
            ApiCall::Commit | ApiCall::Put => self.check_commit(call, parts),
            ApiCall::Delete { .. } if !(self.causes.corrupted && self.case.delete_on_mismatch) => {
                Err("an object is deleted that is no mismatch".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_commit(&self, call: &ApiCall, parts_in_flight: usize) -> Result<(), String> {
        if self.source != Source::Ended {
            return Err(format!("{call:?} although the source is {:?}", self.source));
        }
        if self.causes.stopped && !self.causes.sent {
            return Err(format!("{call:?} after a signal"));
        }
        if self.is_on_hold() {
            return Err(format!("{call:?} before a signal after the end could arrive"));
        }
        if parts_in_flight > 0 {
            return Err(format!("{call:?} while parts are in flight"));
        }
        let named: Vec<PartNumber> = self.upload.commit_parts().map(|(number, _)| number).collect();
        let all: Vec<PartNumber> = PartNumber::all().take(self.pieces.len()).collect();
        if *call == ApiCall::Commit && all != named {
            return Err(format!("a commit of {named:?}"));
        }
        let held = self.upload.held_bytes() > 0;
        let missing = all.into_iter().find(|number| !self.acknowledged.contains(number));
        match missing {
            Some(number) if *call == ApiCall::Commit && !held => {
                Err(format!("a commit although part {number} is not acknowledged"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the bytes of a part are still in memory.
    pub(super) fn check_buffer(&self, number: PartNumber) -> Result<(), String> {
        match self.buffers.contains(&number) || self.case.parts == 0 {
            true => Ok(()),
            false => Err(format!("the buffer of part {number} is needed and was released")),
        }
    }

    pub(super) fn release(&mut self, number: PartNumber) -> Result<(), String> {
        self.buffers.remove(&number);
        let is_held = self.upload.held_bytes() > 0;
        let is_over = self.upload.kind().is_decided() || self.is_only_compared();
        if self.acknowledged.contains(&number) || is_over || is_held {
            return Ok(());
        }
        Err(format!("the buffer of part {number} is released before its acknowledgement"))
    }

    /// Whether the rest of the stream is read for a comparison only.
    fn is_only_compared(&self) -> bool {
        matches!(&self.upload.state, State::Streaming(streaming) if streaming.conflict.is_some())
    }

    /// The run is over.
    pub(super) fn finish(&mut self, result: Result<StoredObject, Error>) -> Result<(), String> {
        if self.upload.kind() != StateKind::Finished {
            return Err(format!("a result in the state {:?}", self.upload.kind()));
        }
        if let Err(error) = &result {
            self.read_message(&error.to_string());
            self.compare_with_object(error)?;
        } else if self.case.par.is_some_and(|par| !par.reads) {
            self.rows.push(Row::Happens("what a pre-authenticated request stores is not shown"));
        }
        // What has no response yet may take effect at any time; only these make an object.
        for sent in std::mem::take(&mut self.sent) {
            super::run::insert(&mut self.late, sent);
        }
        self.late.retain(|sent| matches!(sent.request.call, ApiCall::Put | ApiCall::Commit));
        let is_stored = result.is_ok();
        self.result = Some(result);
        self.check_result()?;
        // The object of another client, with the same bytes in the same parts, looks like that of an earlier
        // commit of the run. Through a pre-authenticated request the open uploads cannot be listed: its
        // upload is open, and not named.
        let object = self.service.object.as_ref();
        let is_of_others = self.case.par.is_some()
            && is_stored
            && object.is_some_and(|(etag, _)| is_of_others(etag));
        let unnamed = self.service.uploads.keys().find(|id| !self.named.contains(*id));
        match unnamed {
            Some(id) if !(self.causes.told_to_look || is_of_others) => {
                Err(format!("the upload {id} is left open and not named"))
            }
            _ => Ok(()),
        }
    }

    /// What must hold from the end of the run on, also when requests take effect late.
    pub(super) fn check_result(&self) -> Result<(), String> {
        let Some(result) = &self.result else { return Ok(()) };
        let object = self.service.object.as_ref();
        let is_equal = object.is_some_and(|(_, content)| *content == self.case.content());
        let is_ours = is_equal && object.is_some_and(|(etag, _)| !is_of_others(etag));
        match result {
            Ok(stored) => self.check_success(stored, is_equal),
            Err(_) if self.identical => Ok(()),
            // A service that discards or damages one put may still store an earlier one, whose response was
            // lost. The buffer may change after it was sent.
            Err(error)
                if error.kind != ErrorKind::OutcomeUnknown
                    && is_ours
                    && !(self.causes.discarded || self.causes.corrupted || self.causes.flipped) =>
            {
                Err(format!("{error}, but the stream is stored"))
            }
            Err(error) if self.is_justified(error) => Ok(()),
            Err(error) => Err(format!("nothing that happened explains {:?}: {error}", error.kind)),
        }
    }

    fn check_success(&self, stored: &StoredObject, is_ours: bool) -> Result<(), String> {
        let causes = &self.causes;
        let is_hidden = self.case.is_hidden() || causes.seems_hidden || causes.par_ended;
        let is_replaced = causes.was_stored && causes.other_object;
        // To a conditional create, the object of another client looks like one that the service discarded.
        let is_untrue = causes.lied || causes.par_ended && (causes.discarded || causes.part_lost);
        let seems_stored = causes.discarded && causes.other_object || is_hidden && is_untrue;
        if !(is_ours || is_replaced || seems_stored) {
            return Err("a success, and the stream is not stored".to_owned());
        }
        if self.source != Source::Ended || self.read != self.case.parts {
            return Err(format!("a success after {} parts, {:?}", self.read, self.source));
        }
        if stored.size != self.case.content().len() as u64 {
            return Err(format!("a success of {} bytes", stored.size));
        }
        if !(is_hidden || causes.was_seen || causes.discarded) {
            return Err("a success that HEAD has not shown".to_owned());
        }
        let parts = if stored.upload_id.is_some() { self.pieces.len() } else { 1 };
        if stored.parts as usize != parts {
            return Err(format!("a success of {} parts, there are {parts}", stored.parts));
        }
        // Nothing but the request itself shows an object that was put without digests.
        let shows_nothing = self.case.par.is_some_and(|par| !par.digests) && is_hidden;
        if !stored.evidence.is_strong() && !shows_nothing {
            return Err(format!("a success by {}", stored.evidence));
        }
        Ok(())
    }

    /// Whether something that happened explains the end of the run.
    fn is_justified(&self, error: &Error) -> bool {
        let causes = &self.causes;
        let is_forbidden = !self.case.forbidden.is_empty();
        let is_hidden = self.case.is_hidden() || causes.par_ended;
        match error.kind {
            ErrorKind::Signal(15) => causes.stopped,
            ErrorKind::Source => causes.broken,
            // The last failure of an outage may be a 401.
            ErrorKind::Credentials => causes.expired || causes.stalled || causes.par_ended,
            ErrorKind::Exists => {
                causes.other_object
                    || causes.other_abort
                    || matches!(self.case.conflict, Conflict::Found(_))
            }
            ErrorKind::Integrity => {
                // Without an etag in the response to the commit, each object at the name may be it.
                let has_etag = self.case.par.is_none_or(|par| par.digests);
                (!has_etag && causes.other_object)
                    || causes.corrupted
                    || causes.discarded
                    || causes.flipped
                    || causes.part_lost
            }
            ErrorKind::Service => {
                let is_refused = is_forbidden || causes.unusable;
                causes.stalled || causes.other_abort || causes.part_lost || is_refused
            }
            ErrorKind::OutcomeUnknown => {
                let is_open = causes.stopped || causes.stalled || causes.expired;
                let others = causes.other_object || causes.other_abort || is_forbidden || is_hidden;
                let changed = causes.corrupted || causes.discarded || causes.flipped;
                // An earlier put took effect late, with another etag, and HEAD did not show its content.
                let unseen = causes.seems_hidden && causes.doubtful;
                causes.sent && (is_open || others || changed || unseen || causes.part_lost)
            }
            _ => false,
        }
    }
}
