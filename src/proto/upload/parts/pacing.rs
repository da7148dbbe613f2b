//! The number of connections of an upload that chooses it itself (`auto`).
//!
//! Owns the controller of the upload, which parts the service refused, and how the queue is cut for idle
//! connections. Must not know the state of the upload. Invariants: the window is the controller's
//! number; only parts that the service cannot have are cut again (those that were never sent, and those that
//! `recall` has called off), and only while there are more connections than at the start.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tail::TailState;
use super::{Now, PartState, Parts};
use crate::concurrency::{Controller, START, Sample};
use crate::part_number::PartNumber;
use crate::upload::AutoConfig;

/// A part that was refused counts as accepted if it is in flight for longer.
pub(super) const ACCEPTED_AFTER: Duration = Duration::from_secs(1);

/// A change of the number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionChange {
    pub from: u16,
    pub to: u16,
    /// The service refuses more requests, for the first time.
    pub first_refusal: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Pacing {
    pub config: AutoConfig,
    pub controller: Controller,
    /// The parts that the service refused with 429 or 503 and has not accepted since, and whether they
    /// may be sent before their backoff is over.
    pub refused: BTreeMap<PartNumber, bool>,
    /// The number has risen, and the queue was not cut since.
    pub may_split: bool,
    /// Parts were recalled.
    pub recalled: bool,
    /// When the number changed the last time, and the bytes sent until then.
    pub changed: (Now, u64),
}

impl Parts {
    /// Lets a controller choose the number of parts in flight.
    pub(crate) fn choose_connections(&mut self, config: AutoConfig) {
        let controller = Controller::new(config.most);
        self.parallel = controller.connections().into();
        self.window = self.parallel;
        self.pacing = Some(Pacing {
            config,
            controller,
            refused: BTreeMap::new(),
            may_split: false,
            recalled: false,
            changed: (Now::ZERO, 0),
        });
    }

    /// Takes a sample of the line: bytes sent and the time that the reader waited for the network, both
    /// since the start. Returns a change of the number of connections.
    pub(crate) fn on_sample(
        &mut self,
        now: Now,
        sent: u64,
        waited: Duration,
    ) -> Option<ConnectionChange> {
        let Parts { pacing: Some(pacing), parts, .. } = self else { return None };
        pacing.refused.retain(|number, _| {
            parts.get(number.index()).is_some_and(|part| match part.state {
                PartState::Sending => now < part.sent_at + ACCEPTED_AFTER,
                PartState::Queued => true,
                _ => false,
            })
        });
        let is_queued = |number: &&PartNumber| parts[number.index()].state == PartState::Queued;
        let waiting = pacing.refused.keys().filter(is_queued).count();
        let from = pacing.controller.connections();
        let refused_before = pacing.controller.was_refused();
        pacing.controller.handle_sample(Sample {
            at: now,
            sent,
            waited,
            in_flight: (self.in_flight + waiting).min(u16::MAX.into()) as u16,
            refused: pacing.refused.len().min(u16::MAX.into()) as u16,
        });
        let to = pacing.controller.connections();
        pacing.may_split |= to > from;
        let first_refusal = pacing.controller.was_refused() && !refused_before;
        self.parallel = to.into();
        self.window = to.into();
        (from != to).then_some(ConnectionChange { from, to, first_refusal })
    }

    /// Notes that the service refused a part; `early` if it has not asked for a pause. False where the
    /// number of connections is not chosen by a controller.
    pub(super) fn note_refusal(&mut self, number: PartNumber, early: bool) -> bool {
        let Some(pacing) = &mut self.pacing else { return false };
        pacing.refused.insert(number, early);
        true
    }

    /// Notes that a part failed for another reason than a refusal.
    pub(crate) fn forget_refusal(&mut self, number: PartNumber) {
        if let Some(pacing) = &mut self.pacing {
            pacing.refused.remove(&number);
        }
    }

    /// Notes that the service has accepted a part, so that there is room for one that it refused.
    pub(super) fn note_acceptance(&mut self, number: PartNumber) {
        let Some(pacing) = &mut self.pacing else { return };
        pacing.refused.remove(&number);
        let refused = |(_, number): &&(Now, PartNumber)| pacing.refused.get(number) == Some(&true);
        if let Some(retry) = self.retrying.iter().find(refused).copied() {
            self.retrying.remove(&retry);
            self.queued.push_front(retry.1);
        }
    }

    /// The parts that were refused and wait for their next attempt: each keeps its place in the window.
    pub(super) fn refused_in_backoff(&self) -> usize {
        let Some(pacing) = self.pacing.as_ref().filter(|pacing| !pacing.refused.is_empty()) else {
            return 0;
        };
        self.retrying.iter().filter(|(_, number)| pacing.refused.contains_key(number)).count()
    }

    /// The connections for which no part is read, where there may be more than at the start: a part that
    /// waits for memory is better sent as it is. 0 where the number is fixed, and where the service refuses
    /// requests: then small parts would cost other hosts their turn.
    pub(crate) fn idle_connections(&self) -> usize {
        let refused = self.pacing.as_ref().is_none_or(|pacing| pacing.controller.was_refused());
        if refused || self.window <= START.into() {
            return 0;
        }
        let used = self.in_flight + self.refused_in_backoff() + self.queued.len();
        self.window.saturating_sub(used)
    }

    /// The first part of the queue and the sizes in bytes into which the queue is cut, so that each idle
    /// connection gets a part. `None` where that is not wanted.
    pub(crate) fn queue_split(&self) -> Option<(PartNumber, Vec<u64>)> {
        let config = self.pacing.as_ref().filter(|pacing| pacing.may_split)?.config;
        if self.tail != TailState::Whole || self.window <= START.into() {
            return None;
        }
        let unsent = self.parts.get(self.sent..).filter(|unsent| !unsent.is_empty())?;
        if unsent.iter().any(|part| part.state != PartState::Queued)
            || self.parts.len() > config.split_until as usize
        {
            return None;
        }
        // Repeated attempts come first.
        let repeated = self.queued.len().saturating_sub(unsent.len());
        let idle =
            self.window.saturating_sub(self.in_flight + self.refused_in_backoff() + repeated);
        let bytes: u64 = unsent.iter().map(|part| part.digest.size).sum();
        let pieces = (bytes / config.min_piece.max(1)).min(idle as u64);
        let pieces = pieces.min(unsent.len() as u64 + u64::from(config.split_numbers));
        if pieces <= unsent.len() as u64 {
            return None;
        }
        let size = bytes / pieces / config.unit.max(1) * config.unit.max(1);
        let mut sizes = vec![size; pieces as usize - 1];
        sizes.push(bytes - size * (pieces - 1));
        Some((PartNumber::from_index(self.sent)?, sizes))
    }

    /// The parts from `first` on wait to be cut into `pieces` parts.
    pub(crate) fn start_queue_split(&mut self, first: PartNumber, pieces: usize) {
        let added = pieces.saturating_sub(self.parts.len() - first.index());
        if let Some(pacing) = &mut self.pacing {
            pacing.may_split = false;
            pacing.config.split_numbers = pacing.config.split_numbers.saturating_sub(added as u32);
        }
        self.start_tail_split(first);
        self.tail = TailState::SplittingQueue;
    }
}
