//! The pre-authenticated request (PAR) of a run, and the addresses of the uploads that it has started.
//!
//! Owns the secrets: that of the PAR, and one for each upload. Must not know what is sent. Invariant: what
//! leaves this module for a message has none of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use proto::api::{Request, Response};
use proto::par::{ParObject, UploadUri, request};

/// What a run through a PAR may use.
pub struct ParAccess {
    pub object: ParObject,
    /// As far as the user gave it.
    pub expires: Option<SystemTime>,
    uploads: Mutex<HashMap<String, UploadUri>>,
    eta_reported: AtomicBool,
    /// The service refuses headers with digests.
    without_digests: AtomicBool,
}

impl ParAccess {
    pub fn new(object: ParObject, expires: Option<SystemTime>) -> ParAccess {
        ParAccess {
            object,
            expires,
            uploads: Mutex::default(),
            eta_reported: AtomicBool::new(false),
            without_digests: AtomicBool::new(false),
        }
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, UploadUri>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the address of an upload, and returns its id.
    pub fn add_upload(&self, upload: UploadUri) -> String {
        let id = upload.upload_id.clone();
        self.uploads().insert(id.clone(), upload);
        id
    }

    /// The address of an upload that this run has started.
    pub fn upload(&self, upload_id: &str) -> Option<UploadUri> {
        self.uploads().get(upload_id).cloned()
    }

    /// Whether the service has refused headers with digests.
    pub fn leaves_digests_out(&self) -> bool {
        self.without_digests.load(Ordering::Acquire)
    }

    /// The service refuses headers with digests. Returns whether that is new.
    pub fn leave_digests_out(&self) -> bool {
        !self.without_digests.swap(true, Ordering::AcqRel)
    }

    /// The response without a secret. The body of a success is not shown, and the response to a start has
    /// an address in it that is needed.
    pub(super) fn redacted(&self, mut response: Response) -> Response {
        let head = request::head(&self.object, &None);
        let of_uploads = self.uploads().values().map(request::abort).collect::<Vec<Request>>();
        let secrets = of_uploads.into_iter().chain([head]).filter_map(|request| request.secret);
        for secret in secrets {
            if !response.is_success() {
                response.body = secret.redact(&response.body);
            }
            for (_, value) in &mut response.headers {
                *value = String::from_utf8_lossy(&secret.redact(value.as_bytes())).into_owned();
            }
        }
        response
    }

    /// A warning, the first time that the upload is expected to end after the PAR.
    pub(super) fn warn_of_eta(&self, eta: Option<SystemTime>) -> Option<String> {
        let late = eta? > self.expires?;
        let first = late && !self.eta_reported.swap(true, Ordering::AcqRel);
        first.then(|| {
            "at this rate the upload ends after the pre-authenticated request has expired: it will fail \
             then, and what was read is lost"
                .to_owned()
        })
    }

    /// What warned of the end before: it is not repeated.
    pub fn set_eta_reported(&self) {
        self.eta_reported.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proto::par::{GivenNames, ParUrl};

    #[test]
    fn an_upload_that_will_end_too_late_is_told_once() {
        let url = ParUrl::parse("F", "https://h/p/secret/n/ax/b/backups/o/x").unwrap();
        let object = url.object(&GivenNames::default()).unwrap();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let access = ParAccess::new(object.clone(), Some(expires));
        let after = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(access.warn_of_eta(None), None);
        assert_eq!(access.warn_of_eta(after(99)), None);
        assert!(access.warn_of_eta(after(101)).unwrap().contains("it will fail"));
        assert_eq!(access.warn_of_eta(after(200)), None);
        assert_eq!(ParAccess::new(object, None).warn_of_eta(after(200)), None);
    }
}
