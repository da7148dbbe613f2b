//! A small model of the service: its object, its open uploads and its responses to requests.
//!
//! Owns the state of the service. Must not know the state machine: it is written from the service's
//! documentation. Invariant: a request takes effect when the model performs it, whether or not its
//! response arrives.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{ApiCall, Outcome, ProbeCondition};
use crate::api::{Digests, ErrorResponse, ListedPart, ListedUpload, ObjectMeta, Precondition};
use crate::digest::{self, Algorithm, Value};
use crate::part_number::PartNumber;
use crate::retry::Failure;

/// The parts of an open multipart upload: part number to (etag, content).
type OpenUpload = BTreeMap<PartNumber, (String, Bytes)>;

#[derive(Clone, Default)]
pub(crate) struct Model {
    /// The open uploads by their ids.
    pub uploads: BTreeMap<String, OpenUpload>,
    /// The etag and the content of the object.
    pub object: Option<(String, Bytes)>,
    /// The number of etags and upload ids assigned so far.
    pub assigned: u32,
    /// Commits and puts are acknowledged, and nothing is stored.
    pub discards_objects: bool,
    /// A policy forbids HEAD: the status of its rejection.
    pub head_status: Option<u16>,
}

/// A request as it was sent. Later changes of the state machine do not change it.
#[derive(Clone)]
pub(crate) struct SentRequest {
    pub call: ApiCall,
    pub upload_id: Option<String>,
    pub body: Bytes,
    /// The numbers and etags of the parts to commit.
    pub parts: Vec<(PartNumber, String)>,
    /// The SHA-256 over the digests of all parts, in base64.
    pub multipart_sha256: Option<String>,
}

impl SentRequest {
    fn upload_id(&self) -> &str {
        self.upload_id.as_deref().unwrap_or_default()
    }
}

/// The content of the object that another client stores.
pub(crate) fn other_object() -> Bytes {
    Bytes::from_static(b"a second object")
}

impl Model {
    fn next_etag(&mut self) -> String {
        self.assigned += 1;
        format!("e{}", self.assigned)
    }

    /// An error response.
    pub(crate) fn rejection(status: u16, code: &str) -> Failure {
        Failure::ErrorResponse(ErrorResponse {
            status,
            code: Some(code.to_owned()),
            request_id: Some("model".to_owned()),
            ..ErrorResponse::default()
        })
    }

    /// Performs a request as the service does. The precondition is that of a put or commit.
    pub(crate) fn perform(
        &mut self,
        request: &SentRequest,
        precondition: &Precondition,
    ) -> Result<Outcome, Failure> {
        match &request.call {
            ApiCall::ConditionalCreate(condition) => {
                self.check(&match condition {
                    ProbeCondition::NoObject => Precondition::IfNoneMatch,
                    ProbeCondition::ObjectWithEtag(etag) => Precondition::IfMatch(etag.clone()),
                })?;
                Ok(self.create())
            }
            ApiCall::Create => Ok(self.create()),
            ApiCall::Part(number) => self.upload_part(request, *number),
            ApiCall::Put => self.put(request, precondition),
            ApiCall::Commit => self.commit(request, precondition),
            ApiCall::Head => self.head(request),
            ApiCall::ListParts => self.list_parts(request),
            ApiCall::ListUploads => Ok(self.list_uploads()),
            ApiCall::Abort { .. } => self
                .uploads
                .remove(request.upload_id())
                .map(|_| Outcome::Removed)
                .ok_or_else(upload_not_found),
            ApiCall::Delete { .. } => {
                self.object = None;
                Ok(Outcome::Removed)
            }
        }
    }

    /// Fails if the object does not meet a precondition.
    fn check(&self, precondition: &Precondition) -> Result<(), Failure> {
        let current = self.object.as_ref().map(|(etag, _)| etag);
        match precondition {
            Precondition::IfNoneMatch if current.is_some() => {
                Err(Self::rejection(412, "IfNoneMatchFailed"))
            }
            Precondition::IfMatch(etag) if current != Some(etag) => {
                Err(Self::rejection(412, "IfMatchFailed"))
            }
            _ => Ok(()),
        }
    }

    fn create(&mut self) -> Outcome {
        let upload_id = format!("u{}", self.next_etag());
        self.uploads.insert(upload_id.clone(), OpenUpload::new());
        Outcome::Created { upload_id }
    }

    fn upload_part(
        &mut self,
        request: &SentRequest,
        number: PartNumber,
    ) -> Result<Outcome, Failure> {
        let etag = self.next_etag();
        let meta = response_meta(&etag, &request.body);
        let upload = self.uploads.get_mut(request.upload_id()).ok_or_else(upload_not_found)?;
        upload.insert(number, (etag, request.body.clone()));
        Ok(Outcome::Stored { meta, crc32: crc32fast::hash(&request.body) })
    }

    fn store(&mut self, etag: &str, content: Bytes) {
        if !self.discards_objects {
            self.object = Some((etag.to_owned(), content));
        }
    }

    fn put(
        &mut self,
        request: &SentRequest,
        precondition: &Precondition,
    ) -> Result<Outcome, Failure> {
        self.check(precondition)?;
        let etag = self.next_etag();
        self.store(&etag, request.body.clone());
        let meta = response_meta(&etag, &request.body);
        Ok(Outcome::Stored { meta, crc32: crc32fast::hash(&request.body) })
    }

    fn commit(
        &mut self,
        request: &SentRequest,
        precondition: &Precondition,
    ) -> Result<Outcome, Failure> {
        let upload = self.uploads.get(request.upload_id()).ok_or_else(upload_not_found)?;
        self.check(precondition)?;
        let mut bodies = Vec::new();
        for (number, etag) in &request.parts {
            match upload.get(number) {
                Some((current, body)) if current == etag => bodies.push(body.clone()),
                _ => return Err(Self::rejection(400, "InvalidUploadPart")),
            }
        }
        self.uploads.remove(request.upload_id());
        let etag = self.next_etag();
        self.store(&etag, Bytes::from(bodies.concat()));
        Ok(Outcome::Committed(commit_meta(&etag, &bodies)))
    }

    fn head(&self, request: &SentRequest) -> Result<Outcome, Failure> {
        if let Some(status) = self.head_status {
            return Err(Self::rejection(status, ""));
        }
        let (etag, body) = self.object.as_ref().ok_or_else(|| Self::rejection(404, ""))?;
        let mut meta = head_meta(etag, body);
        // The service stores the digest over the digests of the parts. The model takes it from the
        // request if the object has the content of the stream.
        if !request.parts.is_empty() && request.body == *body {
            meta.multipart.sha256 = request.multipart_sha256.clone();
        }
        Ok(Outcome::Object(meta))
    }

    fn list_parts(&self, request: &SentRequest) -> Result<Outcome, Failure> {
        let id = request.upload_id();
        self.uploads.get(id).ok_or_else(upload_not_found)?;
        Ok(Outcome::Parts(self.listed(id)))
    }

    /// The parts of an open upload, as a list has them.
    pub(crate) fn listed(&self, upload_id: &str) -> Vec<ListedPart> {
        let parts = self.uploads.get(upload_id).into_iter().flatten();
        let listed = parts.map(|(number, (etag, body))| ListedPart {
            part_number: *number,
            etag: etag.clone(),
            size: body.len() as u64,
            md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
        });
        listed.collect()
    }

    fn list_uploads(&self) -> Outcome {
        Outcome::Uploads(self.uploads.keys().map(|id| listed_upload(id)).collect())
    }
}

fn upload_not_found() -> Failure {
    Model::rejection(404, "UploadNotFound")
}

/// An open upload in a list of uploads.
pub(crate) fn listed_upload(upload_id: &str) -> ListedUpload {
    ListedUpload {
        bucket: None,
        object: "o".to_owned(),
        upload_id: upload_id.to_owned(),
        time_created: None,
        storage_tier: None,
    }
}

/// The metadata in the response to a part or put. It has no size.
pub(crate) fn response_meta(etag: &str, body: &Bytes) -> ObjectMeta {
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(body));
    ObjectMeta {
        etag: Some(etag.to_owned()),
        content: Digests {
            md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
            sha256: digest.value.map(|value| value.base64()),
            ..Digests::default()
        },
        ..ObjectMeta::default()
    }
}

/// The metadata in the response to a HEAD of an object with this content.
pub(crate) fn head_meta(etag: &str, body: &Bytes) -> ObjectMeta {
    ObjectMeta { size: Some(body.len() as u64), ..response_meta(etag, body) }
}

/// The metadata in the response to a commit.
fn commit_meta(etag: &str, parts: &[Bytes]) -> ObjectMeta {
    let values: Vec<Value> = parts
        .iter()
        .filter_map(|body| digest::part(Algorithm::Sha256, std::slice::from_ref(body)).value)
        .collect();
    ObjectMeta {
        etag: Some(etag.to_owned()),
        multipart: Digests {
            sha256: Some(digest::multipart(Algorithm::Sha256, &values)),
            ..Digests::default()
        },
        ..ObjectMeta::default()
    }
}
