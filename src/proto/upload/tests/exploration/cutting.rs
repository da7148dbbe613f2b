//! What was read is cut into other parts: the split of the tail, the cut of the queue, and the recall of
//! parts in flight by an upload that changes its number of connections.
//!
//! Owns what the driver does for them. Must not know when the machine asks for it. Invariant: a part that
//! the service may have is never cut.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::super::{Event, StateKind, Upload};
use super::Row;
use super::case::{Case, Piece};
use super::run::Run;
use super::step::Jitter;
use crate::concurrency::START;
use crate::part_number::PartNumber;
use crate::upload::{ApiCall, AutoConfig, TailRule};

/// How the machine may cut what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// The tail may be split, while this was sent of the parts in flight.
    pub tail: Option<Progress>,
    /// The number of connections changes so often, at any moment and to any number; 0 without `auto`.
    pub changes: u32,
}

/// What the measured rate and the time make of the parts in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Nothing,
    Everything,
}

/// The number of connections at the start of a run with `auto`: after the first rise, which recalls nothing.
const BEGIN: u16 = 2 * START;
const MOST: u16 = 4 * START;

impl Cut {
    /// A second, in which all of a part can be sent.
    pub(super) fn begins_at(self) -> Duration {
        match self.tail {
            Some(Progress::Everything) => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }

    /// Memory for one byte in flight beside pieces of one byte for all connections: each larger part in
    /// flight is recalled.
    pub(super) fn auto(self) -> Option<AutoConfig> {
        (self.changes > 0).then_some(AutoConfig {
            most: MOST,
            min_piece: 1,
            unit: 1,
            split_until: 4,
            split_numbers: 2,
            memory: u64::from(MOST) + 1,
        })
    }
}

/// What the driver cuts, and its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Cutting {
    /// The parts from a number on become parts of these sizes in bytes.
    pub splitting: Option<(PartNumber, Vec<u64>)>,
    /// The same, and more of the stream follows.
    pub more_follows: bool,
    /// By the last response, a split of the tail saves time.
    pub saves: bool,
    pub connections: u16,
    /// The changes of the number of connections that are left.
    pub changes: u32,
    /// The parts that can be called off in this step, highest first.
    pub recallable: usize,
}

/// A change of the number of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connections {
    pub to: u16,
    /// The service refuses more.
    pub refused: bool,
    /// The parts of highest numbers that can be called off, if parts in flight are recalled: the line is so
    /// slow that it is worth it. `None` if it is fast.
    pub recallable: Option<usize>,
}

impl Cutting {
    /// The state at the start of a run.
    pub(super) fn begin(case: &Case, upload: &mut Upload) -> Cutting {
        let mut cutting = Cutting { changes: case.cut.changes, ..Cutting::default() };
        cutting.connections = case.in_flight as u16;
        if case.cut.changes > 0 {
            upload.core.parts.script_connections(BEGIN, false);
            upload.handle_event(Duration::ZERO, Event::Sample { sent: 0, waited: Duration::ZERO });
            while upload.poll_action().is_some() {}
            cutting.connections = BEGIN;
        }
        cutting
    }
}

impl Run {
    /// The rate and the time are those of the case, whatever time has passed in the model.
    pub(super) fn set_estimates(&mut self) {
        let core = &mut self.upload.core;
        if let Some(progress) = self.case.cut.tail {
            let min_saving = if self.cutting.saves { Duration::ZERO } else { Duration::MAX };
            core.config.tail_split =
                TailRule { min_piece: 1, unit: 1, min_saving, max_part_number: 10_000 };
            core.parts.set_estimates(self.now, progress == Progress::Everything);
        }
        core.parts.forget_sent_bytes(self.now);
    }

    /// The machine asks to cut the parts from `first` on.
    pub(super) fn start_split(
        &mut self,
        first: PartNumber,
        sizes: Vec<u64>,
        more_follows: bool,
    ) -> Result<(), String> {
        let cut = self.pieces.iter().skip(first.index());
        let bytes: usize = cut.map(|piece| piece.body.len()).sum();
        let is_whole = sizes.iter().sum::<u64>() == bytes as u64 && !sizes.contains(&0);
        if !is_whole || first.index() >= self.pieces.len() {
            return Err(format!("{bytes} bytes from part {first} on are cut into {sizes:?}"));
        }
        if self.cutting.splitting.is_some() {
            return Err("two splits at once".to_owned());
        }
        for number in first.and_after().take(self.pieces.len() - first.index()) {
            self.check_buffer(number)?;
            self.check_unsent(number)?;
            if self.is_sending(number) {
                return Err(format!("part {number} is cut while it is in flight"));
            }
        }
        let what = if more_follows { "a queue is cut" } else { "a tail is split" };
        self.rows.push(Row::Happens(what));
        self.cutting.splitting = Some((first, sizes));
        self.cutting.more_follows = more_follows;
        Ok(())
    }

    fn is_sending(&self, number: PartNumber) -> bool {
        self.sent.iter().any(|sent| sent.request.call == ApiCall::Part(number))
    }

    /// No request for a part may take effect, or has taken effect.
    fn check_unsent(&self, number: PartNumber) -> Result<(), String> {
        let is_late = self.late.iter().any(|sent| sent.request.call == ApiCall::Part(number));
        let is_held = self.service.uploads.values().any(|held| held.contains_key(&number));
        match is_late || is_held {
            true => Err(format!("the bytes of part {number} change, and the service may have it")),
            false => Ok(()),
        }
    }

    /// The parts are cut, and their digests known.
    pub(super) fn finish_split(&mut self, flipped: bool) {
        let Some((first, sizes)) = self.cutting.splitting.take() else { return };
        self.cutting.more_follows = false;
        self.causes.flipped |= flipped;
        let pieces = Rc::make_mut(&mut self.pieces);
        let whole = pieces.split_off(first.index());
        let mut rest: Bytes = whole.iter().flat_map(|piece| piece.body.clone()).collect();
        let cut: Vec<Piece> =
            sizes.iter().map(|size| Piece::of(rest.split_to(*size as usize))).collect();
        let mut digests: Vec<_> = cut.iter().map(|piece| piece.digest.clone()).collect();
        digests[0].crc32 ^= u32::from(flipped);
        if self.upload.kind() == StateKind::Streaming {
            self.buffers.retain(|number| *number < first);
            self.buffers.extend(first.and_after().take(cut.len()));
        }
        pieces.extend(cut);
        self.handle(Jitter::Long, Event::TailSplit { first, digests });
    }

    /// The controller chooses another number of connections.
    pub(super) fn change_connections(&mut self, change: &Connections) {
        let Connections { to, refused, recallable } = change;
        self.cutting.changes -= 1;
        self.cutting.recallable = recallable.unwrap_or_default();
        self.upload.core.parts.script_connections(*to, *refused);
        let sent = if recallable.is_some() { 0 } else { u64::MAX / 2 };
        self.handle(Jitter::Long, Event::Sample { sent, waited: Duration::ZERO });
    }

    /// Calls off parts in flight that the service cannot have.
    pub(super) fn recall(&mut self, first: PartNumber) -> Result<(), String> {
        let mut lowest = None;
        for _ in 0..self.cutting.recallable {
            let is_recalled = |number: &PartNumber| *number >= first;
            let highest = self.sent.iter().rposition(|sent| match &sent.request.call {
                ApiCall::Part(number) => is_recalled(number),
                _ => false,
            });
            let Some(ApiCall::Part(number)) =
                highest.map(|index| self.sent.remove(index).request.call)
            else {
                break;
            };
            self.check_unsent(number)?;
            lowest = Some(number);
        }
        let what = match lowest == Some(first) {
            true => "all parts in flight are recalled",
            false => "it is too late to recall a part",
        };
        self.rows.push(Row::Happens(what));
        self.upload.handle_event(self.now, Event::PartsRecalled { first: lowest });
        Ok(())
    }

    pub(super) fn set_connections(&mut self, from: u16, to: u16) -> Result<(), String> {
        match from == self.cutting.connections {
            true => self.cutting.connections = to,
            false => return Err(format!("{from} connections become {to}, and there were others")),
        }
        Ok(())
    }

    /// The changes of the number of connections that may happen next.
    pub(super) fn connection_changes(&self) -> Vec<Connections> {
        let from = self.cutting.connections;
        if self.cutting.changes == 0 || self.upload.kind() != StateKind::Streaming {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if from < MOST {
            let parts =
                self.sent.iter().filter(|sent| matches!(sent.request.call, ApiCall::Part(_)));
            let recallable = (0..=parts.count()).map(Some);
            for recallable in std::iter::once(None).chain(recallable) {
                changes.push(Connections { to: (from * 2).min(MOST), refused: false, recallable });
            }
        }
        if from > 1 {
            let refused = self.upload.core.parts.has_refused();
            let to = if refused { 1 } else { START.min(from - 1) };
            changes.push(Connections { to, refused, recallable: None });
        }
        changes
    }
}
