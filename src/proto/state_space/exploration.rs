//! Visits every state that can be reached, and keeps the way to each.
//!
//! Owns the order of the search and the counterexample. Must not know what is explored. Invariant: a
//! counterexample is a shortest one, and is replayed from the first state before it is printed.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::graph::Graph;

/// A system whose states are explored.
pub(crate) trait StateSpace: Clone {
    /// One thing that may happen next.
    type Step: fmt::Debug;
    /// A row of the transition table of the machine.
    type Row: Ord + Copy + fmt::Debug;

    /// All that may happen next, in a fixed order.
    fn steps(&self) -> Vec<Self::Step>;

    /// Performs a step, and adds the rows of the table that it takes.
    ///
    /// # Errors
    ///
    /// An invariant does not hold after the step.
    fn take(&mut self, step: &Self::Step, rows: &mut BTreeSet<Self::Row>) -> Result<(), String>;

    /// What makes up this state.
    fn fingerprint(&self) -> u128;

    /// Whether the run may end here.
    fn is_end(&self) -> bool;

    /// The state on one line, for a counterexample.
    fn summary(&self) -> String;
}

/// What was explored.
#[derive(Debug, Clone)]
pub(crate) struct Exploration<R> {
    pub states: usize,
    pub transitions: usize,
    /// States in which the run may end.
    pub ends: usize,
    /// The most steps of a shortest way to a state.
    pub depth: usize,
    /// Whether a run can come back to a state.
    pub is_cyclic: bool,
    /// The rows of the transition table that were taken.
    pub rows: BTreeSet<R>,
}

impl<R: Ord> Exploration<R> {
    /// Adds another exploration.
    pub(crate) fn add(&mut self, other: Exploration<R>) {
        self.states += other.states;
        self.transitions += other.transitions;
        self.ends += other.ends;
        self.depth = self.depth.max(other.depth);
        self.is_cyclic |= other.is_cyclic;
        self.rows.extend(other.rows);
    }
}

impl<R> Default for Exploration<R> {
    fn default() -> Exploration<R> {
        Exploration {
            states: 0,
            transitions: 0,
            ends: 0,
            depth: 0,
            is_cyclic: false,
            rows: BTreeSet::new(),
        }
    }
}

impl<R> fmt::Display for Exploration<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exploration { states, transitions, ends, depth, rows, .. } = self;
        let taken = rows.len();
        write!(
            f,
            "{states:8} states, {transitions:9} transitions, {ends:7} ends, {depth:3} steps at most, {taken} \
             rows of the table"
        )
    }
}

/// A way to a state in which an invariant does not hold.
pub(crate) struct Counterexample {
    steps: Vec<String>,
    violation: String,
    /// There were too many states.
    is_incomplete: bool,
}

impl fmt::Debug for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        for (step, number) in self.steps.iter().zip(1..) {
            writeln!(f, "  {number:2}. {step}")?;
        }
        Ok(())
    }
}

/// More states than this are taken for a state space that never ends.
const MOST_STATES: usize = 100_000_000;

/// Visits every state from `initial` on.
///
/// # Errors
///
/// An invariant does not hold in a state, there is nothing that may happen next in a state that is no end,
/// or no end can be reached from a state.
pub(crate) fn explore<S: StateSpace>(initial: &S) -> Result<Exploration<S::Row>, Counterexample> {
    // Depth first, few states are in memory at a time; breadth first, the way to a violation is short.
    search(initial, Order::DepthFirst).map_err(|longer| {
        match search(initial, Order::BreadthFirst) {
            Err(shortest) if !shortest.is_incomplete => shortest,
            _ => longer,
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    DepthFirst,
    BreadthFirst,
}

fn search<S: StateSpace>(initial: &S, order: Order) -> Result<Exploration<S::Row>, Counterexample> {
    let mut rows = BTreeSet::new();
    let mut graph = Graph::of(initial.fingerprint());
    let mut open = VecDeque::from([(0, initial.clone())]);
    let next = |open: &mut VecDeque<(u32, S)>| match order {
        Order::DepthFirst => open.pop_back(),
        Order::BreadthFirst => open.pop_front(),
    };
    while let Some((number, state)) = next(&mut open) {
        if graph.states() > most_states() {
            let mut way = graph.counterexample(initial, number, None, "there are too many states");
            way.is_incomplete = true;
            return Err(way);
        }
        let steps = state.steps();
        if state.is_end() {
            graph.ends.push(number);
        } else if steps.is_empty() {
            return Err(graph.counterexample(initial, number, None, "nothing can happen next"));
        }
        graph.expand(number);
        for (index, step) in steps.iter().enumerate() {
            let mut next = state.clone();
            if let Err(violation) = take(&mut next, step, &mut rows) {
                return Err(graph.counterexample(initial, number, Some(index), &violation));
            }
            if let Some(fresh) = graph.add_edge(number, index as u16, next.fingerprint()) {
                open.push_back((fresh, next));
            }
        }
    }
    if let Some(lost) = graph.without_end() {
        return Err(graph.counterexample(initial, lost, None, "no end can be reached from here"));
    }
    Ok(Exploration {
        states: graph.states(),
        transitions: graph.transitions(),
        ends: graph.ends.len(),
        depth: graph.depth(),
        is_cyclic: graph.is_cyclic(),
        rows,
    })
}

/// `OCIPIPE_EXPLORE_MOST` lowers the number of states.
fn most_states() -> usize {
    static MOST: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
        let given = std::env::var("OCIPIPE_EXPLORE_MOST").ok();
        given.map_or(MOST_STATES, |text| text.parse().expect("a number"))
    });
    *MOST
}

/// Performs a step; a panic of the machine is a violation too.
fn take<S: StateSpace>(
    state: &mut S,
    step: &S::Step,
    rows: &mut BTreeSet<S::Row>,
) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| state.take(step, rows))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

impl Graph {
    /// Replays the way to a state, and one more step.
    fn counterexample<S: StateSpace>(
        &self,
        initial: &S,
        number: u32,
        last: Option<usize>,
        violation: &str,
    ) -> Counterexample {
        let way = self.way_to(number).into_iter().chain(last);
        let (mut state, mut steps) = (initial.clone(), Vec::new());
        for index in way {
            let step = &state.steps()[index];
            let result = take(&mut state, step, &mut BTreeSet::new());
            let end = if result.is_ok() { state.summary() } else { "the violation".to_owned() };
            steps.push(format!("{step:?}: {end}"));
        }
        Counterexample { steps, violation: violation.to_owned(), is_incomplete: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to 3 by steps of 1 or 2.
    #[derive(Clone)]
    struct Counter {
        value: u8,
        most: u8,
        wraps: bool,
    }

    impl StateSpace for Counter {
        type Step = u8;
        type Row = u8;

        fn steps(&self) -> Vec<u8> {
            if self.value >= 3 { Vec::new() } else { vec![1, 2] }
        }

        fn take(&mut self, step: &u8, rows: &mut BTreeSet<u8>) -> Result<(), String> {
            rows.insert(*step);
            self.value += step;
            if self.wraps && self.value > 2 {
                self.value = 1;
            }
            assert!(self.value < 9);
            if self.value > self.most { Err(format!("{}", self.value)) } else { Ok(()) }
        }

        fn fingerprint(&self) -> u128 {
            self.value.into()
        }

        fn is_end(&self) -> bool {
            self.value >= 3
        }

        fn summary(&self) -> String {
            self.value.to_string()
        }
    }

    #[test]
    fn a_violation_is_found_with_a_shortest_way_and_a_circle_without_end_too() {
        let counter = Counter { value: 0, most: 3, wraps: false };
        let found = format!("{:?}", explore(&counter).unwrap_err());
        assert_eq!(found, "4\n   1. 2: 2\n   2. 2: the violation\n");
        let circle = Counter { wraps: true, ..counter.clone() };
        let found = format!("{:?}", explore(&circle).unwrap_err());
        assert!(found.starts_with("no end can be reached from here"), "{found}");
        let most = Counter { most: 4, ..counter };
        let explored = explore(&most).unwrap();
        assert_eq!((explored.states, explored.transitions, explored.ends), (5, 6, 2));
        assert!(!explored.is_cyclic);
    }
}
