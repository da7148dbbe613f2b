//! What makes up a state of the exploration.
//!
//! Owns the choice. Must not know the steps. Invariant: each field of a run is named, so that a new one is
//! decided about.

use std::hash::Hash;

use super::super::model::Model;
use super::run::{Run, Sent};
use crate::state_space::Fingerprint;
use crate::upload::fingerprint::{add_call, add_error};

impl Run {
    pub(super) fn to_fingerprint(&self) -> u128 {
        let Run {
            case: _,
            upload,
            service,
            now,
            source,
            hold_until,
            read,
            pieces,
            cutting,
            held,
            identical,
            multipart_needed,
            buffers,
            acknowledged,
            to_rehash,
            sent,
            late,
            faults,
            retries,
            causes,
            named,
            result,
            rows: _,
        } = self;
        let mut fingerprint = Fingerprint::default();
        upload.add_to(&mut fingerprint);
        add_service(&mut fingerprint, service);
        fingerprint.add((source, read, multipart_needed, buffers, acknowledged, to_rehash));
        fingerprint.add((cutting, held, identical));
        pieces.iter().for_each(|piece| fingerprint.add(piece.body.len()));
        if self.case.cut.tail.is_some() {
            fingerprint.add(upload.core.parts.is_measured());
        }
        fingerprint.time(hold_until.map(|at| at.saturating_sub(*now)));
        fingerprint.add((faults, retries, causes));
        for requests in [sent, late] {
            fingerprint.add(requests.len());
            requests.iter().for_each(|sent| add_request(&mut fingerprint, sent));
        }
        fingerprint.add(named.len());
        named.iter().for_each(|id| fingerprint.name(id));
        fingerprint.add(result.as_ref().map(|result| result.is_ok()));
        if let Some(Err(error)) = result {
            add_error(&mut fingerprint, error);
        }
        fingerprint.value()
    }
}

fn add_service(fingerprint: &mut Fingerprint, service: &Model) {
    let Model { uploads, object, assigned: _, discards_objects: _, head_status: _ } = service;
    fingerprint.add(uploads.len());
    for (id, parts) in uploads {
        fingerprint.name(id);
        fingerprint.add(parts.len());
        for (number, (etag, body)) in parts {
            fingerprint.add((number, body));
            fingerprint.name(etag);
        }
    }
    fingerprint.add(object.is_some());
    if let Some((etag, content)) = object {
        fingerprint.name(etag);
        content.hash(fingerprint);
    }
}

fn add_request(fingerprint: &mut Fingerprint, sent: &Sent) {
    let Sent { request, excluded } = sent;
    add_call(fingerprint, &request.call);
    fingerprint.optional_name(request.upload_id.as_deref());
    if request.call == crate::upload::ApiCall::Commit {
        request.parts.iter().for_each(|(_, etag)| fingerprint.name(etag));
        fingerprint.add(excluded);
    }
}
