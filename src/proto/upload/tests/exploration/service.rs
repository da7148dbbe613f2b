//! What the service does with the requests of a run, and what goes wrong on the way.
//!
//! Owns the effects and the responses. Must not know the state machine. Invariant: a request takes effect
//! at most once, when it is answered, when its response is lost, or later.

use std::time::Duration;

use bytes::Bytes;

use super::super::faults::{bucket_not_found, transport_failure};
use super::super::model::{Model, response_meta};
use super::super::{Event, Outcome};
use super::identical::{Conflict, parts_of_others};
use super::par;
use super::run::{Run, Sent, insert};
use super::step::{Fault, Jitter};
use crate::error::Error;
use crate::retry::Failure;
use crate::transport_error::TransportError;
use crate::upload::ApiCall;

impl Jitter {
    /// Random numbers of which the first is next to 0 or to 1.
    pub(super) fn rng(self) -> fastrand::Rng {
        // The seeds of numbers below 0.002 and above 0.998.
        static SEEDS: std::sync::LazyLock<[u64; 2]> = std::sync::LazyLock::new(|| {
            let find = |wanted: fn(f64) -> bool| {
                (0..u64::MAX).find(|seed| wanted(fastrand::Rng::with_seed(*seed).f64()))
            };
            [find(|random| random < 0.002), find(|random| random > 0.998)].map(Option::unwrap)
        });
        fastrand::Rng::with_seed(SEEDS[self as usize])
    }
}

/// What a damaged object has: its size shows it, since the model has no digest of its parts.
const DAMAGED: &[u8] = b"damaged, and longer than any stream";

impl Run {
    /// The service acts on a request.
    pub(super) fn act(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        let call = &sent.request.call;
        if self.case.forbidden.contains(&call.operation()) {
            return Err(bucket_not_found(call));
        }
        match call {
            _ if self.case.par.is_some() => {}
            // The precondition of the commit is that of the create.
            ApiCall::Create
                if self.case.conflict != Conflict::End && self.service.object.is_some() =>
            {
                return Err(Model::rejection(412, "IfNoneMatchFailed"));
            }
            ApiCall::Commit if !self.names_all_parts(sent) => {
                return Err(Model::rejection(400, "InvalidUploadPart"));
            }
            ApiCall::Delete { etag } => {
                let is_same = self.service.object.as_ref().map(|(etag, _)| etag) == Some(etag);
                if !is_same {
                    return Err(Model::rejection(412, "IfMatchFailed"));
                }
            }
            _ => {}
        }
        let mut result = match self.case.par {
            Some(par) => self.act_through_par(par, sent),
            None => self.service.perform(&sent.request, &self.case.precondition()),
        };
        if let (Ok(Outcome::Object(meta)), Some((etag, _))) = (&mut result, &self.service.object)
            && let Some(of_others) = parts_of_others(etag)
        {
            meta.multipart.sha256 = Some(of_others);
        }
        let content = self.service.object.as_ref().map(|(_, content)| content);
        let is_stored = result.is_ok() && content == Some(&self.case.content());
        self.causes.was_stored |= is_stored && matches!(call, ApiCall::Put | ApiCall::Commit);
        result
    }

    /// Whether a commit names or leaves out each part that the service holds.
    fn names_all_parts(&self, commit: &Sent) -> bool {
        let id = commit.request.upload_id.as_deref().unwrap_or_default();
        let Some(held) = self.service.uploads.get(id) else { return true };
        let is_named = |number| commit.request.parts.iter().any(|(named, _)| named == number);
        held.keys().all(|number| is_named(number) || commit.excluded.contains(number))
    }

    pub(super) fn answer(&mut self, index: usize) {
        let sent = self.sent.remove(index);
        let result = self.act(&sent);
        self.respond(Jitter::Long, sent, result);
    }

    fn respond(&mut self, jitter: Jitter, sent: Sent, result: Result<Outcome, Failure>) {
        let call = sent.request.call;
        match (&call, &result) {
            (ApiCall::Part(number), Ok(_)) => drop(self.acknowledged.insert(*number)),
            (ApiCall::Head, Ok(_)) => {
                let content = self.service.object.as_ref().map(|(_, content)| content.clone());
                self.causes.was_seen |= content == Some(self.case.content());
            }
            (ApiCall::Create, Ok(_)) => self.held = false,
            _ => {}
        }
        let result = match self.case.par {
            Some(_) => result.map_err(par::through_par),
            None => result,
        };
        self.handle(jitter, Event::CallDone { call, result });
    }

    pub(super) fn fail(&mut self, index: usize, fault: Fault, jitter: Jitter) {
        let sent = self.sent.remove(index);
        let lost = || transport_failure(TransportError::ResponseLost, "reset");
        let result = match fault {
            Fault::Fail => Err(Model::rejection(503, "ServiceUnavailable")),
            Fault::Rotate => {
                // Through a pre-authenticated request, a 401 means that it does not read.
                let is_through_par = self.case.par.is_some();
                self.causes.seems_hidden |= is_through_par && sent.request.call == ApiCall::Head;
                Err(Model::rejection(401, "NotAuthenticated"))
            }
            Fault::Spurious404 => {
                self.causes.seems_hidden |= sent.request.call == ApiCall::Head;
                Err(bucket_not_found(&sent.request.call))
            }
            Fault::Damage => Err(Model::rejection(400, "UnmatchedContentSHA256")),
            Fault::Expire => {
                self.causes.expired = true;
                Err(Failure::Credentials(Error::credentials("no valid token")))
            }
            Fault::Unusable => {
                self.causes.unusable = true;
                let _ = self.act(&sent);
                Err(Failure::Local(Error::service("the upload has a URL of another host")))
            }
            Fault::Lose => {
                self.note_lost(&sent);
                let _ = self.act(&sent);
                Err(lost())
            }
            Fault::LandLate => {
                self.note_lost(&sent);
                insert(&mut self.late, sent.clone());
                Err(transport_failure(TransportError::Timeout, "no byte moved"))
            }
            Fault::Corrupt => self.corrupt(&sent, true),
            Fault::CorruptUnseen => self.corrupt(&sent, false),
            Fault::Discard => {
                let (object, was_stored) = (self.service.object.clone(), self.causes.was_stored);
                let result = self.act(&sent);
                self.causes.discarded |= result.is_ok();
                (self.service.object, self.causes.was_stored) = (object, was_stored);
                result
            }
        };
        self.respond(jitter, sent, result);
    }

    fn note_lost(&mut self, sent: &Sent) {
        let call = &sent.request.call;
        self.causes.doubtful |= matches!(call, ApiCall::Put | ApiCall::Commit);
        self.causes.create_lost |= call.is_create();
    }

    /// The service stores other bytes than were sent.
    fn corrupt(&mut self, sent: &Sent, shown: bool) -> Result<Outcome, Failure> {
        let was_stored = self.causes.was_stored;
        let result = self.act(sent);
        self.causes.was_stored = was_stored;
        let (Ok(outcome), Some((etag, content))) = (&result, &mut self.service.object) else {
            return result;
        };
        self.causes.corrupted = true;
        self.causes.lied |= !shown;
        *content = Bytes::from_static(DAMAGED);
        match outcome.clone() {
            Outcome::Stored { crc32, .. } if shown => {
                Ok(Outcome::Stored { meta: response_meta(etag, content), crc32 })
            }
            Outcome::Committed(mut meta) if shown => {
                meta.multipart.sha256 = Some("another-1".to_owned());
                Ok(Outcome::Committed(meta))
            }
            outcome => Ok(outcome),
        }
    }

    /// When no commit or put may be sent yet.
    pub(super) fn is_on_hold(&self) -> bool {
        self.hold_until.is_some_and(|until: Duration| self.now < until)
    }
}
