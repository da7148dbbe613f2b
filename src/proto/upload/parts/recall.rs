//! Which parts in flight are recalled, so that their bytes feed more connections (`auto`).
//!
//! Owns the decision and its effect on the parts. On a slow line the first parts, which are large, hold
//! most of the memory for a long time, and what is left has too few parts for the connections that the line
//! could use. Must not know requests. Invariants: parts are recalled once in a run, and none that is nearly
//! sent, or of which an earlier attempt may still take effect: its number may get other bytes. A part that was
//! recalled is queued as it was, and its attempt does not count.

use std::time::Duration;

use super::pacing::ConnectionChange;
use super::tail::TailState;
use super::{Now, PartState, Parts};
use crate::concurrency::START;
use crate::part_number::PartNumber;

/// Parts that end within this time are waited for: what was sent of a recalled part is sent again.
const WAITED_FOR: Duration = Duration::from_secs(10);

impl Parts {
    /// The first of the parts to recall after a change of the number of connections, with the bytes that were
    /// sent since the start. The first rise is a trial, which needs none.
    pub(crate) fn start_recall(
        &mut self,
        now: Now,
        sent: u64,
        change: ConnectionChange,
    ) -> Option<PartNumber> {
        let pacing = self.pacing.as_mut()?;
        let (since, before) = std::mem::replace(&mut pacing.changed, (now, sent));
        let config = pacing.config;
        let ConnectionChange { from, to, .. } = change;
        let recalled = pacing.recalled || pacing.controller.was_refused();
        if to <= from || from <= START || recalled || self.tail != TailState::Whole {
            return None;
        }
        if self.parts.len() > config.split_until as usize || config.split_numbers == 0 {
            return None;
        }
        let rate = sent.saturating_sub(before) as f64
            / now.saturating_sub(since).as_secs_f64().max(0.001)
            / f64::from(from);
        let first = self.first_without_room(to.into(), config.min_piece, config.memory)?;
        let left = self.parts.get(first..self.sent)?.iter().map(|part| {
            let done = rate * now.saturating_sub(part.sent_at).as_secs_f64();
            part.digest.size as f64 - done
        });
        if left.fold(0.0, f64::max) <= rate * WAITED_FOR.as_secs_f64() {
            return None;
        }
        let first = PartNumber::from_index(first)?;
        self.pacing.as_mut()?.recalled = true;
        self.tail = TailState::Recalling;
        Some(first)
    }

    /// The index of the first part in flight after which memory is left for too few parts of `piece` bytes,
    /// where `connections` send one each and another one is read. Parts that are followed by acknowledged
    /// or repeated ones stay as they are.
    fn first_without_room(&self, connections: u64, piece: u64, memory: u64) -> Option<usize> {
        let is_sending = |index: &usize| self.parts[*index].state == PartState::Sending;
        let is_first_attempt = |index: &usize| {
            let part = &self.parts[*index];
            part.attempt == 0 && part.checksum_failures == 0
        };
        let may_recall = |index: &usize| is_sending(index) && is_first_attempt(index);
        let last = (0..self.sent.min(self.parts.len())).rev().take_while(may_recall).last()?;
        let (mut kept, mut bytes) = (0, 0);
        for index in (0..self.sent.min(self.parts.len())).filter(is_sending) {
            let size = self.parts[index].digest.size;
            let pieces = (connections + 1).saturating_sub(kept + 1) * piece;
            if bytes + size + pieces > memory {
                return Some(index.max(last));
            }
            (kept, bytes) = (kept + 1, bytes + size);
        }
        None
    }

    /// The requests of the parts from `first` on were cancelled.
    pub(crate) fn on_recalled(&mut self, first: Option<PartNumber>) {
        if self.tail != TailState::Recalling {
            return;
        }
        self.tail = TailState::Whole;
        let Some(first) = first else { return };
        for index in first.index()..self.sent {
            let Some(part) = self.parts.get_mut(index) else { break };
            if part.state == PartState::Sending {
                part.state = PartState::Queued;
                self.in_flight -= 1;
                if let Some(number) = PartNumber::from_index(index) {
                    self.queue_in_order(number);
                }
            }
        }
        self.sent = self.sent.min(first.index());
    }
}
