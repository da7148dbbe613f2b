//! What Object Storage holds of one host.
//!
//! Owns the open uploads and the object of a host, and the responses to requests that are let in. Must not
//! know time, tokens or other hosts. Invariant: a commit makes the object of parts that are stored, whose
//! etags it names.

use std::collections::BTreeMap;

use ocipipe_proto::api::{Digests, ListedPart, ListedUpload, ObjectMeta};
use ocipipe_proto::digest::{self, Algorithm, PartDigest, Value};
use ocipipe_proto::part_number::PartNumber;
use ocipipe_proto::retry::Failure;
use ocipipe_proto::upload::{ApiCall, Outcome};

use crate::service::response;

/// A request as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What it asks for.
    pub call: ApiCall,
    /// The upload that it names.
    pub upload_id: Option<String>,
    /// The digest of its body.
    pub body: Option<PartDigest>,
    /// The parts that a commit names.
    pub parts: Vec<(PartNumber, String)>,
}

struct StoredPart {
    etag: String,
    digest: PartDigest,
}

/// The uploads and the object of one host.
#[derive(Default)]
pub struct Store {
    uploads: BTreeMap<String, BTreeMap<PartNumber, StoredPart>>,
    object: Option<ObjectMeta>,
    assigned: u64,
}

impl Store {
    /// The size in bytes of the object, if it exists.
    pub fn object_size(&self) -> Option<u64> {
        self.object.as_ref()?.size
    }

    /// The number of open uploads.
    pub fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    fn next(&mut self, kind: &str) -> String {
        self.assigned += 1;
        format!("{kind}-{}", self.assigned)
    }

    /// Performs a request. Fails as the service does.
    pub fn perform(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        match &sent.call {
            ApiCall::Create | ApiCall::ConditionalCreate(_) => {
                let upload_id = self.next("upload");
                self.uploads.insert(upload_id.clone(), BTreeMap::new());
                Ok(Outcome::Created { upload_id })
            }
            ApiCall::Part(number) => self.store_part(sent, *number),
            ApiCall::Put => self.put(sent),
            ApiCall::Commit => self.commit(sent),
            ApiCall::Head => self
                .object
                .clone()
                .map(Outcome::Object)
                .ok_or_else(|| response(404, "ObjectNotFound", None)),
            ApiCall::ListParts => {
                let parts = self.parts(sent)?.iter().map(|(number, part)| ListedPart {
                    part_number: *number,
                    etag: part.etag.clone(),
                    size: part.digest.size,
                    md5: None,
                });
                Ok(Outcome::Parts(parts.collect()))
            }
            ApiCall::ListUploads => {
                let uploads = self.uploads.keys().map(|upload_id| ListedUpload {
                    bucket: None,
                    object: "o".to_owned(),
                    upload_id: upload_id.clone(),
                    time_created: None,
                    storage_tier: None,
                });
                Ok(Outcome::Uploads(uploads.collect()))
            }
            ApiCall::Abort { upload_id } => match self.uploads.remove(upload_id) {
                Some(_) => Ok(Outcome::Removed),
                None => Err(response(404, "UploadNotFound", None)),
            },
            ApiCall::Delete { .. } => {
                self.object = None;
                Ok(Outcome::Removed)
            }
        }
    }

    fn parts(&self, sent: &Sent) -> Result<&BTreeMap<PartNumber, StoredPart>, Failure> {
        let upload_id = sent.upload_id.as_deref().unwrap_or_default();
        self.uploads.get(upload_id).ok_or_else(|| response(404, "UploadNotFound", None))
    }

    fn store_part(&mut self, sent: &Sent, number: PartNumber) -> Result<Outcome, Failure> {
        let etag = self.next("part");
        let Some(digest) = sent.body.clone() else {
            return Err(response(400, "InvalidParameter", None));
        };
        let upload_id = sent.upload_id.as_deref().unwrap_or_default();
        let Some(parts) = self.uploads.get_mut(upload_id) else {
            return Err(response(404, "UploadNotFound", None));
        };
        let (crc32, meta) = (digest.crc32, part_meta(&etag, &digest));
        parts.insert(number, StoredPart { etag, digest });
        Ok(Outcome::Stored { meta, crc32 })
    }

    fn put(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        if self.object.is_some() {
            return Err(response(412, "IfNoneMatchFailed", None));
        }
        let etag = self.next("object");
        let Some(digest) = &sent.body else {
            return Err(response(400, "InvalidParameter", None));
        };
        let meta = part_meta(&etag, digest);
        self.object = Some(ObjectMeta { size: Some(digest.size), ..meta.clone() });
        Ok(Outcome::Stored { meta, crc32: digest.crc32 })
    }

    fn commit(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        let stored = self.parts(sent)?;
        if self.object.is_some() {
            return Err(response(412, "IfNoneMatchFailed", None));
        }
        let (mut size, mut values) = (0, Vec::<Value>::new());
        for (number, etag) in &sent.parts {
            let Some(part) = stored.get(number).filter(|part| part.etag == *etag) else {
                return Err(response(400, "InvalidUploadPart", None));
            };
            size += part.digest.size;
            values.extend(part.digest.value.clone());
        }
        self.uploads.remove(sent.upload_id.as_deref().unwrap_or_default());
        let etag = Some(self.next("object"));
        let sha256 = Some(digest::multipart(Algorithm::Sha256, &values));
        let multipart = Digests { sha256, ..Digests::default() };
        let meta = ObjectMeta { etag, multipart, ..ObjectMeta::default() };
        self.object = Some(ObjectMeta { size: Some(size), ..meta.clone() });
        Ok(Outcome::Committed(meta))
    }
}

fn part_meta(etag: &str, digest: &PartDigest) -> ObjectMeta {
    let sha256 = digest.value.as_ref().map(Value::base64);
    let content = Digests { sha256, ..Digests::default() };
    ObjectMeta { etag: Some(etag.to_owned()), content, ..ObjectMeta::default() }
}
