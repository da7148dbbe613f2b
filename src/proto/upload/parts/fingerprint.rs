//! What of the parts counts for the exploration of states.
//!
//! Owns the choice. Must not know the state of the upload. Invariant: each field is named, so that a new
//! one is decided about.

use super::super::Now;
use super::super::fingerprint::add_meta;
use super::{Part, PartState, Parts, THROTTLE_INTERVAL};
use crate::state_space::Fingerprint;

impl Parts {
    /// Adds all that the behaviour of the parts depends on. Their sizes and digests follow from their
    /// numbers.
    pub(in crate::upload) fn add_to(&self, fingerprint: &mut Fingerprint, now: Now) {
        let Parts {
            parts,
            queued,
            retrying,
            in_flight,
            acknowledged,
            acknowledged_bytes: _,
            held_bytes: _,
            parallel,
            window,
            successes,
            throttled_at,
            pacing,
            sent,
            rate: _,
            tail: _,
            held,
        } = self;
        fingerprint.add(parts.len());
        parts.iter().for_each(|part| part.add_to(fingerprint));
        fingerprint.add(queued);
        fingerprint.add(retrying.len());
        for (at, number) in retrying {
            fingerprint.add(number);
            fingerprint.time(Some(at.saturating_sub(now)));
        }
        fingerprint.add((in_flight, acknowledged, parallel, window, successes, sent));
        fingerprint.add(throttled_at.is_some_and(|at| now < at + THROTTLE_INTERVAL));
        held.values().for_each(|held| fingerprint.name(&held.etag));
        fingerprint.add(pacing.is_some());
    }
}

impl Part {
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Part {
            digest: _,
            state,
            etag,
            md5,
            sent_crc32,
            compared,
            attempt,
            checksum_failures,
            not_found,
            sent_at: _,
            retained,
        } = self;
        fingerprint.add(match state {
            PartState::Queued => 0,
            PartState::Sending => 1,
            PartState::Comparing => 2,
            PartState::Rehashing(None) => 3,
            PartState::Rehashing(Some(_)) => 4,
            PartState::Acknowledged => 5,
        });
        if let PartState::Rehashing(Some(meta)) = state {
            add_meta(fingerprint, meta);
        }
        fingerprint.name(etag);
        fingerprint.add((md5, sent_crc32, compared.value, compared.md5, attempt));
        fingerprint.add((checksum_failures, not_found.count(), retained));
    }
}
