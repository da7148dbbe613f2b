//! What an upload through a pre-authenticated request (PAR) can and cannot do.
//!
//! Owns by what its parts and its object are compared, and the warnings about what could not be. Must not
//! know requests or secrets. Invariant: nothing is claimed that was not compared.

use super::core::Core;
use super::parts::{PartChecks, Parts};
use super::{Now, ParConfig};
use crate::api::ObjectMeta;
use crate::digest::Algorithm;
use crate::evidence::Evidence;
use crate::retry::{Failure, Operation};

impl Core {
    /// Whether the object is stored through a PAR.
    pub(super) fn is_through_par(&self) -> bool {
        self.config.par.is_some()
    }

    /// Whether the PAR has expired, as far as that is known.
    pub(super) fn is_par_expired(&self) -> bool {
        let expires_at = self.config.par.as_ref().and_then(|par: &ParConfig| par.expires_at);
        expires_at.is_some_and(|at: Now| self.now >= at)
    }

    /// By what the response to a part is compared. The object itself may be hidden, so that the MD5, which
    /// each response to a part has, is compared too.
    pub(super) fn part_checks(&self) -> PartChecks {
        PartChecks { algorithm: self.config.checksum, always_md5: self.is_through_par() }
    }

    /// What the responses to the parts prove, where nothing else may.
    pub(super) fn evidence_of_parts(&self) -> Option<Evidence> {
        let multipart = self.is_through_par() && self.upload_id().is_some();
        multipart.then(|| self.parts.evidence(self.config.checksum)).flatten()
    }

    /// The start of an upload has an answer, and the upload cannot be used.
    pub(super) fn note_unusable_start(&mut self, failure: &Failure) {
        let unusable = self.is_through_par() && matches!(failure, Failure::Local(_));
        self.multipart.create_response_lost |= unusable;
    }

    /// Warns of what could not be compared, since the PAR does not show the object.
    pub(super) fn warn_unseen(&mut self, evidence: Evidence, failure: &Failure) {
        let object_url = &self.config.messages.object_url;
        let why = failure.message(Operation::Head.name());
        let compared = match evidence {
            Evidence::Nothing => {
                "its answers had no digest either: nothing could be compared".to_owned()
            }
            Evidence::Parts(algorithm) => format!(
                "the {} that the service answered was compared for each request with data, and neither the \
                 size nor the properties of the object",
                algorithm.name()
            ),
            evidence => {
                format!("{evidence} of the answer was compared, and no property of the object")
            }
        };
        self.warn(format!(
            "the pre-authenticated request does not show what it stored as {object_url} ({why}): {compared}"
        ));
    }

    /// Warns of properties that the object lacks: whether a PAR keeps them is not documented.
    pub(super) fn warn_of_unkept_properties(&mut self, object: &ObjectMeta, evidence: Evidence) {
        let Some(par) = &self.config.par else { return };
        let object_url = self.config.messages.object_url.clone();
        if let Some(difference) = par.properties.difference(&object.headers) {
            self.warn(format!(
                "{object_url} is stored, but not all that was asked for was kept through the \
                 pre-authenticated request: {difference}"
            ));
        }
        if evidence == Evidence::ContentLength {
            self.warn(format!(
                "neither the answers nor {object_url} have a digest: only its size was compared"
            ));
        }
    }

    /// What goes before the command that aborts an upload.
    pub(super) fn abort_note(&self) -> &'static str {
        match self.is_through_par() {
            true => {
                "no pre-authenticated request lists or resumes it; a host with credentials aborts it with"
            }
            false => "abort it with",
        }
    }

    /// Warns of the uploads that starts without an answer may have left.
    pub(super) fn warn_of_unlisted_uploads(&mut self) {
        self.warn(format!(
            "an answer to the start of a multipart upload was lost: an upload of {} without parts may be \
             open, and no pre-authenticated request lists it; a host with credentials does: \
             `ocipipe uploads list`",
            self.config.messages.object_url
        ));
    }
}

impl Parts {
    /// The best digest that every part was compared by.
    fn evidence(&self, algorithm: Algorithm) -> Option<Evidence> {
        let all = |compared: fn(&super::parts::ComparedDigests) -> bool| {
            !self.parts.is_empty() && self.parts.iter().all(|part| compared(&part.compared))
        };
        if all(|compared| compared.md5) {
            return Some(Evidence::Parts(Algorithm::Md5));
        }
        all(|compared| compared.value).then_some(Evidence::Parts(algorithm))
    }
}
