//! The states that were found, and the steps between them.
//!
//! Owns what can be seen of a whole state space: circles, and states without an end. Must not know what a
//! state is. Invariants: state 0 is the first one; a state is expanded once, so that its edges lie side by
//! side. A state takes some 50 bytes, with two edges of 4 bytes: a hundred million fit into 8 GiB.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A fingerprint in pieces, since a `u128` would be aligned to 16 bytes.
type Key = [u32; 4];

/// A fingerprint is a hash already.
#[derive(Default)]
pub(super) struct TakesFingerprint(u64);

impl Hasher for TakesFingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..eight.len()].copy_from_slice(eight);
            self.0 ^= u64::from_le_bytes(padded);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The states that were found, by number, and how they were reached.
pub(super) struct Graph {
    known: HashMap<Key, u32, BuildHasherDefault<TakesFingerprint>>,
    /// The state before.
    parents: Vec<u32>,
    /// The number of the step from there.
    steps: Vec<u16>,
    /// The first edge of each state, and their number.
    first_edges: Vec<u32>,
    edge_counts: Vec<u16>,
    /// The states to which edges lead.
    edges: Vec<u32>,
    pub ends: Vec<u32>,
}

impl Graph {
    /// The first state alone.
    pub(super) fn of(initial: u128) -> Graph {
        let mut graph = Graph {
            known: HashMap::default(),
            parents: Vec::new(),
            steps: Vec::new(),
            first_edges: Vec::new(),
            edge_counts: Vec::new(),
            edges: Vec::new(),
            ends: Vec::new(),
        };
        let _ = graph.enter(initial, 0, 0);
        graph
    }

    /// The number of states.
    pub(super) fn states(&self) -> usize {
        self.parents.len()
    }

    /// The number of steps between them.
    pub(super) fn transitions(&self) -> usize {
        self.edges.len()
    }

    /// The edges that are added from here on are those of a state.
    pub(super) fn expand(&mut self, number: u32) {
        self.first_edges[number as usize] = self.edges.len() as u32;
    }

    /// Adds an edge to the state with a fingerprint. Returns the number of that state if it is new.
    pub(super) fn add_edge(&mut self, from: u32, step: u16, fingerprint: u128) -> Option<u32> {
        let found = self.enter(fingerprint, from, step);
        self.edge_counts[from as usize] += 1;
        match found {
            Ok(fresh) => self.edges.push(fresh),
            Err(known) => self.edges.push(known),
        }
        found.ok()
    }

    /// The number of a state that is new, or the number that it has.
    fn enter(&mut self, fingerprint: u128, from: u32, step: u16) -> Result<u32, u32> {
        let key = [0, 32, 64, 96].map(|bits| (fingerprint >> bits) as u32);
        let fresh = self.parents.len() as u32;
        let number = *self.known.entry(key).or_insert(fresh);
        if number != fresh {
            return Err(number);
        }
        self.parents.push(from);
        self.steps.push(step);
        self.first_edges.push(0);
        self.edge_counts.push(0);
        Ok(fresh)
    }

    /// The numbers of the steps from the first state to a state.
    pub(super) fn way_to(&self, mut number: u32) -> Vec<usize> {
        let mut way = Vec::new();
        while number != 0 {
            way.push(self.steps[number as usize].into());
            number = self.parents[number as usize];
        }
        way.reverse();
        way
    }

    /// The states that may follow a state.
    fn after(&self, number: u32) -> &[u32] {
        let first = self.first_edges[number as usize] as usize;
        &self.edges[first..first + usize::from(self.edge_counts[number as usize])]
    }

    /// A state from which no end can be reached. What finds the states by their fingerprints is dropped.
    pub(super) fn without_end(&mut self) -> Option<u32> {
        self.known = HashMap::default();
        let (firsts, before) = self.reversed();
        let mut reaches_end = vec![false; self.states()];
        let mut open = self.ends.clone();
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut reaches_end[number as usize], true) {
                let number = number as usize;
                open.extend(&before[firsts[number] as usize..firsts[number + 1] as usize]);
            }
        }
        reaches_end.iter().position(|reaches| !reaches).map(|number| number as u32)
    }

    /// The states before each state: where those of a state begin in the list, and the list.
    fn reversed(&self) -> (Vec<u32>, Vec<u32>) {
        let mut firsts = vec![0u32; self.states() + 1];
        self.edges.iter().for_each(|to| firsts[*to as usize] += 1);
        let mut sum = 0;
        for first in &mut firsts {
            sum += *first;
            *first = sum;
        }
        let mut before = vec![0u32; self.edges.len()];
        for from in 0..self.states() as u32 {
            for to in self.after(from) {
                let first = &mut firsts[*to as usize];
                *first -= 1;
                before[*first as usize] = from;
            }
        }
        (firsts, before)
    }

    /// The most steps of a shortest way to a state.
    pub(super) fn depth(&self) -> usize {
        let mut is_known = vec![false; self.states()];
        is_known[0] = true;
        let (mut layer, mut depth) = (vec![0u32], 0);
        loop {
            let mut after = Vec::new();
            for to in layer.iter().flat_map(|number| self.after(*number)) {
                if !std::mem::replace(&mut is_known[*to as usize], true) {
                    after.push(*to);
                }
            }
            if after.is_empty() {
                return depth;
            }
            (layer, depth) = (after, depth + 1);
        }
    }

    /// Whether states that follow each other form a circle.
    pub(super) fn is_cyclic(&self) -> bool {
        let mut incoming = vec![0u32; self.states()];
        self.edges.iter().for_each(|to| incoming[*to as usize] += 1);
        let mut open: Vec<u32> = vec![0];
        let mut done = 0;
        while let Some(number) = open.pop() {
            done += 1;
            for to in self.after(number) {
                incoming[*to as usize] -= 1;
                if incoming[*to as usize] == 0 {
                    open.push(*to);
                }
            }
        }
        done < self.states() || incoming.iter().any(|count| *count > 0)
    }
}
