//! The fingerprint of a state, by which equal situations are one state.
//!
//! Owns how times and names are reduced. Must not know what is explored. Invariants: of the times only
//! their order counts; of the names (etags, ids of uploads) only which are the same.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Collects what makes up a state. Its parts are added in a fixed order.
#[derive(Default)]
pub(crate) struct Fingerprint {
    bytes: Vec<u8>,
    names: Vec<String>,
    /// How far each time lies ahead; zero is due.
    times: Vec<Duration>,
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        hash(0, &self.bytes)
    }
}

impl Fingerprint {
    /// Adds a value that counts as it is.
    pub(crate) fn add(&mut self, value: impl Hash) {
        value.hash(self);
    }

    /// Adds a name that another run may have given differently.
    pub(crate) fn name(&mut self, name: &str) {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.add(index as u8);
    }

    /// Adds a name that may be missing.
    pub(crate) fn optional_name(&mut self, name: Option<&str>) {
        self.add(name.is_some());
        if let Some(name) = name {
            self.name(name);
        }
    }

    /// Adds a time that lies `left` ahead; `None` where there is none.
    pub(crate) fn time(&mut self, left: Option<Duration>) {
        self.add(left.is_some());
        self.times.extend(left);
    }

    /// The times that were added and are not due, the next one first, without repetition.
    pub(crate) fn next_times(&self) -> BTreeSet<Duration> {
        self.times.iter().filter(|left| !left.is_zero()).copied().collect()
    }

    /// The fingerprint. Two states that differ have the same one by a chance of 2 to the power of -128.
    pub(crate) fn value(mut self) -> u128 {
        let mut order = self.times.clone();
        order.push(Duration::ZERO);
        order.sort();
        order.dedup();
        for left in std::mem::take(&mut self.times) {
            let rank = order.iter().position(|time| *time == left).unwrap_or_default();
            self.add(rank as u8);
        }
        u128::from(hash(1, &self.bytes)) << 64 | u128::from(hash(2, &self.bytes))
    }
}

fn hash(salt: u8, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(salt);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: [&str; 3], times: [u64; 3]) -> u128 {
        let mut fingerprint = Fingerprint::default();
        names.iter().for_each(|name| fingerprint.name(name));
        times.iter().for_each(|at| fingerprint.time(Some(Duration::from_secs(*at))));
        fingerprint.value()
    }

    #[test]
    fn of_times_the_order_counts_and_of_names_which_are_the_same() {
        let state = of(["e1", "e2", "e1"], [0, 5, 9]);
        assert_eq!(state, of(["e7", "e1", "e7"], [0, 1, 700]));
        assert_ne!(state, of(["e1", "e2", "e2"], [0, 5, 9]));
        for times in [[1, 5, 9], [0, 5, 5], [0, 9, 5], [0, 0, 9]] {
            assert_ne!(state, of(["e1", "e2", "e1"], times), "{times:?}");
        }
    }
}
