//! A small model of the service.
//!
//! Owns the open uploads and the one object. Must not know the upload machine's state or the faults.
//! Invariant: a call has its effect at once, and only through `perform`.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::api::{Digests, ErrorResponse, ListedPart, ListedUpload, ObjectMeta};
use proto::digest::{self, Algorithm, Value};
use proto::part_number::PartNumber;
use proto::retry::Failure;
use proto::upload::{ApiCall, Outcome, ProbeCondition};

type Parts = BTreeMap<PartNumber, (String, Bytes)>;

/// The service: the open uploads and the one object.
#[derive(Default)]
pub struct Model {
    pub uploads: BTreeMap<String, Parts>,
    pub object: Option<(String, Vec<Bytes>)>,
    pub made: u32,
}

/// A request with the values that it was sent with.
#[derive(Clone)]
pub struct Sent {
    pub call: ApiCall,
    pub upload: String,
    pub body: Bytes,
    pub named: Vec<(PartNumber, String)>,
}

pub fn error_response(status: u16, code: &str) -> Failure {
    let (code, request_id) = (Some(code.to_owned()), Some("id".to_owned()));
    Failure::ErrorResponse(ErrorResponse { status, code, request_id, ..ErrorResponse::default() })
}

pub fn value(body: &Bytes) -> Value {
    digest::part(Algorithm::Sha256, std::slice::from_ref(body)).value.unwrap()
}

impl Model {
    pub fn etag(&mut self) -> String {
        self.made += 1;
        format!("e{}", self.made)
    }

    pub fn meta(etag: &str, parts: &[Bytes], multipart: bool) -> ObjectMeta {
        let multipart = parts.len() != 1 || multipart;
        let values: Vec<Value> = parts.iter().map(value).collect();
        ObjectMeta {
            etag: Some(etag.to_owned()),
            content: Digests {
                sha256: (!multipart).then(|| values[0].base64()),
                ..Digests::default()
            },
            multipart: Digests {
                sha256: multipart.then(|| digest::multipart(Algorithm::Sha256, &values)),
                ..Digests::default()
            },
            ..ObjectMeta::default()
        }
    }

    pub fn perform(&mut self, sent: &Sent) -> Result<Outcome, Failure> {
        let exists = || error_response(412, "IfNoneMatchFailed");
        let not_found = || error_response(404, "UploadNotFound");
        match &sent.call {
            ApiCall::ConditionalCreate(ProbeCondition::NoObject) if self.object.is_some() => {
                Err(exists())
            }
            ApiCall::Create | ApiCall::ConditionalCreate(_) => {
                let upload_id = format!("<{}>", self.etag());
                self.uploads.insert(upload_id.clone(), Parts::new());
                Ok(Outcome::Created { upload_id })
            }
            ApiCall::Part(number) => {
                let etag = self.etag();
                let upload = self.uploads.get_mut(&sent.upload).ok_or_else(not_found)?;
                upload.insert(*number, (etag.clone(), sent.body.clone()));
                let meta = Model::meta(&etag, std::slice::from_ref(&sent.body), false);
                Ok(Outcome::Stored { meta, crc32: crc32fast::hash(&sent.body) })
            }
            ApiCall::Put if self.object.is_some() => Err(exists()),
            ApiCall::Put => {
                let etag = self.etag();
                self.object = Some((etag.clone(), vec![sent.body.clone()]));
                let meta = Model::meta(&etag, std::slice::from_ref(&sent.body), false);
                Ok(Outcome::Stored { meta, crc32: crc32fast::hash(&sent.body) })
            }
            ApiCall::Commit => {
                let parts = self.uploads.get(&sent.upload).ok_or_else(not_found)?;
                if self.object.is_some() {
                    return Err(exists());
                }
                let body_of = |(number, etag): &(PartNumber, String)| {
                    parts.get(number).filter(|part| part.0 == *etag).map(|part| part.1.clone())
                };
                let bodies: Option<Vec<Bytes>> = sent.named.iter().map(body_of).collect();
                let bodies = bodies.ok_or_else(|| error_response(400, "InvalidUploadPart"))?;
                self.uploads.remove(&sent.upload);
                let etag = self.etag();
                let meta = Model::meta(&etag, &bodies, true);
                self.object = Some((etag, bodies));
                Ok(Outcome::Committed(meta))
            }
            ApiCall::Head => {
                let (etag, parts) = self.object.as_ref().ok_or_else(|| error_response(404, ""))?;
                let size = parts.iter().map(|part| part.len() as u64).sum();
                let meta = Model::meta(etag, parts, parts.len() > 1 || sent.upload != "");
                Ok(Outcome::Object(ObjectMeta { size: Some(size), ..meta }))
            }
            ApiCall::ListParts => {
                let parts = self.uploads.get(&sent.upload).ok_or_else(not_found)?;
                let listed = parts.iter().map(|(number, (etag, body))| ListedPart {
                    part_number: *number,
                    etag: etag.clone(),
                    size: body.len() as u64,
                    md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
                });
                Ok(Outcome::Parts(listed.collect()))
            }
            ApiCall::ListUploads => Ok(Outcome::Uploads(
                self.uploads
                    .keys()
                    .map(|id| ListedUpload {
                        bucket: None,
                        object: "o".to_owned(),
                        upload_id: id.clone(),
                        time_created: None,
                        storage_tier: None,
                    })
                    .collect(),
            )),
            ApiCall::Abort { .. } => {
                self.uploads.remove(&sent.upload).map(|_| Outcome::Removed).ok_or_else(not_found)
            }
            ApiCall::Delete { .. } => {
                self.object = None;
                Ok(Outcome::Removed)
            }
        }
    }
}
