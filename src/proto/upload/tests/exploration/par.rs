//! The service as an upload through a pre-authenticated request (PAR) meets it.
//!
//! Owns what such a request allows, takes and shows. Must not know the state machine. Invariant: a commit
//! takes every part that the upload has.

use super::super::Outcome;
use super::super::model::Model;
use super::run::{Run, Sent};
use crate::api::{Digests, Precondition};
use crate::retry::Failure;
use crate::upload::ApiCall;

/// What a pre-authenticated request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Par {
    /// HEAD is allowed.
    pub reads: bool,
    /// Preconditions are heeded, and a request that has ended is answered with 401; else with 404.
    pub heeds: bool,
    /// The responses have digests, and that to a commit an etag.
    pub digests: bool,
}

impl Par {
    /// Whether a call is one that the request allows.
    pub(super) fn allows(call: &ApiCall) -> bool {
        !matches!(
            call,
            ApiCall::ListParts
                | ApiCall::ListUploads
                | ApiCall::ConditionalCreate(_)
                | ApiCall::Delete { .. }
        )
    }
}

impl Run {
    /// The service acts on a request through a pre-authenticated request.
    pub(super) fn act_through_par(&mut self, par: Par, sent: &Sent) -> Result<Outcome, Failure> {
        let mut request = sent.request.clone();
        if self.causes.par_ended {
            return Err(match par.heeds {
                true => Model::rejection(401, "NotAuthenticated"),
                false => Model::rejection(404, "NotAuthorizedOrNotFound"),
            });
        }
        match request.call {
            ApiCall::Head if !par.reads => return Err(Model::rejection(404, "")),
            ApiCall::Head if self.service.object.is_none() => {
                return Err(Model::rejection(404, "ObjectNotFound"));
            }
            ApiCall::Commit => {
                let id = request.upload_id.clone().unwrap_or_default();
                let held = self.service.uploads.get(&id).into_iter().flatten();
                request.parts = held.map(|(number, (etag, _))| (*number, etag.clone())).collect();
            }
            _ => {}
        }
        let precondition = match par.heeds {
            true => self.case.precondition(),
            false => Precondition::None,
        };
        let mut outcome = self.service.perform(&request, &precondition)?;
        match &mut outcome {
            Outcome::Stored { meta, .. } if !par.digests => meta.content = Digests::default(),
            Outcome::Committed(meta) if !par.digests => {
                (meta.multipart, meta.etag) = (Digests::default(), None);
            }
            _ => {}
        }
        Ok(outcome)
    }
}

/// A failure as it is seen through a pre-authenticated request.
pub(super) fn through_par(failure: Failure) -> Failure {
    match failure {
        Failure::ErrorResponse(response) => Failure::ErrorResponse(response.through_par()),
        other => other,
    }
}
