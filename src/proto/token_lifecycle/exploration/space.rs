//! A run as a state space.
//!
//! Owns what makes up a state. Must not know what a step does. Invariant: what a decision or an answer
//! depends on is part of the state.

use std::collections::BTreeSet;

use super::super::health::coverage;
use super::run::{Run, WORKERS};
use super::step::{Mode, Step};
use crate::state_space::{Fingerprint, StateSpace};

impl Run {
    pub(super) fn collect(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        self.lifecycle.add_to(&mut fingerprint, self.now());
        let (current, service) = (self.generation(), self.service());
        let mut workers = self.workers.iter().zip(&self.transfers).map(|(signed, transfer)| {
            let signed = signed.map(|signed| {
                let age = (current - signed.generation).min(1);
                (age, signed.ok, signed.date.abs_diff(service - (self.time - signed.at)))
            });
            (signed, transfer.1)
        });
        // The workers are alike.
        let mut workers: [_; WORKERS] = std::array::from_fn(|_| workers.next());
        workers.sort();
        fingerprint.add(workers);
        fingerprint.add((self.set, current > self.revoked, self.is_rejected));
        // Where the known clock is right, the life cycle has this time too.
        let is_wrong = self.lifecycle.clock(self.now()) != service && self.mode != Mode::ApiKey;
        fingerprint.time(is_wrong.then(|| self.end().saturating_sub(service)));
        fingerprint.add((self.end() <= service, self.file.map(|end| end > self.end())));
        fingerprint.add(self.file.map(|end| end > service));
        fingerprint.add(self.probing.map(|generation| generation == current));
        fingerprint.time(self.refreshing.map(|by| by.saturating_sub(self.time)));
        fingerprint.add((self.querying, self.faults));
        fingerprint.add((self.has_succeeded, self.gave_up));
        fingerprint
    }
}

impl StateSpace for Run {
    type Step = (Step, u32);
    type Row = coverage::Row;

    fn steps(&self) -> Vec<(Step, u32)> {
        if self.gave_up {
            return Vec::new();
        }
        let mut steps: Vec<_> = self.free_steps().into_iter().map(|step| (step, 0)).collect();
        if self.faults > 0 {
            steps.extend(self.disturbances().into_iter().map(|step| (step, 1)));
        }
        steps
    }

    fn take(&mut self, step: &(Step, u32), rows: &mut BTreeSet<Self::Row>) -> Result<(), String> {
        let (step, cost) = step;
        self.faults -= cost;
        coverage::drain();
        let result = self.perform(step);
        rows.extend(coverage::drain());
        self.lifecycle.take_events();
        result
    }

    fn fingerprint(&self) -> u128 {
        self.collect().value()
    }

    fn is_end(&self) -> bool {
        self.has_succeeded || self.gave_up
    }

    fn summary(&self) -> String {
        let left = self.end().saturating_sub(self.service());
        format!(
            "{:?} at {:?}, {left:?} left, rejected {}, file {:?}, {:?}",
            self.lifecycle.health.state(),
            self.time,
            self.is_rejected,
            self.file.map(|end| end.saturating_sub(self.service())),
            self.lifecycle.next_task(self.now())
        )
    }
}
