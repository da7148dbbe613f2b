//! The states that were found, and the steps between them.
//!
//! Owns what can be seen of a whole state space: circles, and states without an end. Must not know what a
//! state is. Invariant: state 0 is the first one.

use std::collections::HashMap;

/// The states that were found, by number, and how they were reached.
pub(super) struct Graph {
    pub known: HashMap<u128, u32>,
    /// The state before, and the number of the step from there.
    pub origins: Vec<(u32, u16)>,
    pub edges: Vec<(u32, u32)>,
    pub ends: Vec<u32>,
}

impl Graph {
    /// A state from which no end can be reached.
    pub(super) fn without_end(&self) -> Option<u32> {
        let mut before = vec![Vec::new(); self.origins.len()];
        for (from, to) in &self.edges {
            before[*to as usize].push(*from);
        }
        let mut reaches_end = vec![false; self.origins.len()];
        let mut open = self.ends.clone();
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut reaches_end[number as usize], true) {
                open.extend(&before[number as usize]);
            }
        }
        reaches_end.iter().position(|reaches| !reaches).map(|number| number as u32)
    }

    /// The most steps of a shortest way to a state.
    pub(super) fn depth(&self) -> usize {
        let next = self.successors();
        let mut is_known = vec![false; self.origins.len()];
        is_known[0] = true;
        let (mut layer, mut depth) = (vec![0u32], 0);
        loop {
            let mut after = Vec::new();
            for to in layer.iter().flat_map(|number| &next[*number as usize]) {
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
        let next = self.successors();
        let mut incoming = vec![0u32; self.origins.len()];
        self.edges.iter().for_each(|(_, to)| incoming[*to as usize] += 1);
        let mut open: Vec<u32> = vec![0];
        let mut done = 0;
        while let Some(number) = open.pop() {
            done += 1;
            for to in &next[number as usize] {
                incoming[*to as usize] -= 1;
                if incoming[*to as usize] == 0 {
                    open.push(*to);
                }
            }
        }
        done < self.origins.len() || incoming.iter().any(|count| *count > 0)
    }

    /// The states that may follow each state.
    fn successors(&self) -> Vec<Vec<u32>> {
        let mut next = vec![Vec::new(); self.origins.len()];
        self.edges.iter().for_each(|(from, to)| next[*from as usize].push(*to));
        next
    }
}
