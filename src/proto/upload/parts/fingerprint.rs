//! What of the parts counts for the exploration of states.
//!
//! Owns the choice. Must not know the state of the upload. Invariant: each field is named, so that a new
//! one is decided about.

use super::super::Now;
use super::super::fingerprint::add_meta;
use super::pacing::{ACCEPTED_AFTER, Pacing};
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
            tail,
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
        fingerprint.add((pacing.is_some(), *tail as u8));
        if let Some(pacing) = pacing {
            let Pacing { config, controller, refused, may_split, recalled, changed: _ } = pacing;
            fingerprint.add((config.split_numbers, controller.connections(), may_split, recalled));
            fingerprint.add((controller.was_refused(), refused));
            for number in refused.keys() {
                let sent_at = self.part(*number).map(|part| part.sent_at).unwrap_or_default();
                fingerprint.time(Some((sent_at + ACCEPTED_AFTER).saturating_sub(now)));
            }
        }
    }

    /// Whether a response has shown the rate of a connection.
    pub(in crate::upload) fn is_measured(&self) -> bool {
        self.rate.is_some()
    }

    /// Whether a part was read and never sent.
    pub(in crate::upload) fn has_unsent(&self) -> bool {
        self.sent < self.parts.len()
    }

    /// Whether the service refuses parts.
    pub(in crate::upload) fn has_refused(&self) -> bool {
        self.pacing.as_ref().is_some_and(|pacing| !pacing.refused.is_empty())
    }

    /// The next sample changes the number of connections to this one, as the service refuses more or not.
    pub(in crate::upload) fn script_connections(&mut self, to: u16, refused: bool) {
        if let Some(pacing) = &mut self.pacing {
            pacing.controller.script(to, refused);
        }
    }

    /// Replaces what was measured: of the parts in flight nothing was sent, or everything, if a second has
    /// passed since the start.
    pub(in crate::upload) fn set_estimates(&mut self, now: Now, everything: bool) {
        self.rate = self.rate.map(|_| 1e18);
        let sent_at = if everything { Now::ZERO } else { now };
        for part in &mut self.parts {
            if part.state == PartState::Sending {
                part.sent_at = sent_at;
            }
        }
    }

    /// The bytes of the next sample were sent since now.
    pub(in crate::upload) fn forget_sent_bytes(&mut self, now: Now) {
        if let Some(pacing) = &mut self.pacing {
            pacing.changed = (now, 0);
        }
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
