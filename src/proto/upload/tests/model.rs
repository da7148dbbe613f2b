//! A small model of the service: what it holds, and what it does with a call.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{ApiCall, Outcome, ProbeCondition};
use crate::api::{Digests, ErrorResponse, ListedPart, ListedUpload, ObjectMeta};
use crate::digest::{self, Algorithm, Value};
use crate::retry::Failure;

/// What the service holds: part number to (etag, content).
type OpenUpload = BTreeMap<u32, (String, Bytes)>;

#[derive(Default)]
pub struct Model {
    pub uploads: BTreeMap<String, OpenUpload>,
    pub object: Option<(String, Bytes)>,
    pub made: u32,
    /// Commits and puts are answered as they should be, and nothing is stored.
    pub lies: bool,
    /// A policy hides objects: how a look at one is refused.
    pub hides: Option<u16>,
}

impl Model {
    fn etag(&mut self) -> String {
        self.made += 1;
        format!("e{}", self.made)
    }

    pub fn refuse(status: u16, code: &str) -> Failure {
        Failure::ErrorResponse(ErrorResponse {
            status,
            code: Some(code.to_owned()),
            request_id: Some("model".to_owned()),
            ..ErrorResponse::default()
        })
    }

    /// Performs a call as the service would.
    pub fn perform(&mut self, call: &Sent, condition: bool) -> Result<Outcome, Failure> {
        let id = call.upload.clone().unwrap_or_default();
        let known = self.uploads.contains_key(&id);
        let gone = || Self::refuse(404, "UploadNotFound");
        match &call.call {
            ApiCall::ConditionalCreate(ProbeCondition::NoObject) if self.object.is_some() => {
                Err(Self::refuse(412, "IfNoneMatchFailed"))
            }
            ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag))
                if self.object.as_ref().is_none_or(|(stands, _)| stands != etag) =>
            {
                Err(Self::refuse(412, "IfMatchFailed"))
            }
            ApiCall::Create | ApiCall::ConditionalCreate(_) => {
                let id = format!("u{}", self.etag());
                self.uploads.insert(id.clone(), OpenUpload::new());
                Ok(Outcome::Created { upload_id: id })
            }
            ApiCall::Part(number) => {
                let etag = self.etag();
                let held = held(&etag, &call.body, false);
                let upload = self.uploads.get_mut(&id).ok_or_else(gone)?;
                upload.insert(*number, (etag, call.body.clone()));
                Ok(Outcome::Stored { meta: held, crc32: crc32fast::hash(&call.body) })
            }
            ApiCall::Put => {
                if condition && self.object.is_some() {
                    return Err(Self::refuse(412, "IfNoneMatchFailed"));
                }
                let etag = self.etag();
                if !self.lies {
                    self.object = Some((etag.clone(), call.body.clone()));
                }
                let held = held(&etag, &call.body, false);
                Ok(Outcome::Stored { meta: held, crc32: crc32fast::hash(&call.body) })
            }
            ApiCall::Commit => {
                if !known {
                    return Err(gone());
                }
                if condition && self.object.is_some() {
                    return Err(Self::refuse(412, "IfNoneMatchFailed"));
                }
                let parts = &self.uploads[&id];
                let mut whole = Vec::new();
                let mut values = Vec::new();
                for (number, etag) in &call.parts {
                    match parts.get(number) {
                        Some((stands, body)) if stands == etag => {
                            whole.extend_from_slice(body);
                            values.push(body.clone());
                        }
                        _ => return Err(Self::refuse(400, "InvalidUploadPart")),
                    }
                }
                self.uploads.remove(&id);
                let etag = self.etag();
                if !self.lies {
                    self.object = Some((etag.clone(), Bytes::from(whole)));
                }
                Ok(Outcome::Committed(multipart_held(&etag, &values)))
            }
            ApiCall::Head if self.hides.is_some() => {
                Err(Self::refuse(self.hides.unwrap_or_default(), ""))
            }
            ApiCall::Head => match &self.object {
                None => Err(Self::refuse(404, "")),
                Some((etag, body)) => {
                    let mut held = held(etag, body, true);
                    // The service keeps the digest of digests; the model finds it by the parts.
                    if !call.parts.is_empty() && call.body == *body {
                        held.multipart.sha256 = call.multipart.clone();
                    }
                    Ok(Outcome::Object(held))
                }
            },
            ApiCall::ListParts => {
                let parts = self.uploads.get(&id).ok_or_else(gone)?;
                let listed = parts.iter().map(|(number, (etag, body))| ListedPart {
                    part_number: *number,
                    etag: etag.clone(),
                    size: body.len() as u64,
                    md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
                });
                Ok(Outcome::Parts(listed.collect()))
            }
            ApiCall::ListUploads => {
                let listed = self.uploads.keys().map(|id| ListedUpload {
                    bucket: None,
                    object: "o".to_owned(),
                    upload_id: id.clone(),
                    time_created: None,
                    storage_tier: None,
                });
                Ok(Outcome::Uploads(listed.collect()))
            }
            ApiCall::Abort { .. } => {
                self.uploads.remove(&id).map(|_| Outcome::Removed).ok_or_else(gone)
            }
            ApiCall::Delete { .. } => {
                self.object = None;
                Ok(Outcome::Removed)
            }
        }
    }
}

pub fn held(etag: &str, body: &Bytes, of_object: bool) -> ObjectMeta {
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(body));
    ObjectMeta {
        etag: Some(etag.to_owned()),
        size: of_object.then_some(body.len() as u64),
        content: Digests {
            md5: Some(digest::md5_of(std::slice::from_ref(body)).base64()),
            sha256: digest.value.map(|v| v.base64()),
            ..Digests::default()
        },
        ..ObjectMeta::default()
    }
}

fn multipart_held(etag: &str, parts: &[Bytes]) -> ObjectMeta {
    let values: Vec<Value> = parts
        .iter()
        .filter_map(|p| digest::part(Algorithm::Sha256, std::slice::from_ref(p)).value)
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

/// A request as it left: later changes of the machine do not reach it.
#[derive(Clone)]
pub struct Sent {
    pub call: ApiCall,
    pub upload: Option<String>,
    pub body: Bytes,
    pub parts: Vec<(u32, String)>,
    pub multipart: Option<String>,
}
