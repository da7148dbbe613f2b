//! The table of the mutants in `docs/proof.md` is that of `tests/mutants/state.tsv`, in which each survivor has a
//! reason.

use std::collections::BTreeMap;

use super::fuzzing::{rows, split};
use super::text;

/// What writes the table.
pub(crate) const COMMAND: &str = "tests/mutants/run report --write";

const OUTCOMES: [&str; 4] = ["killed", "timeout", "survived", "unviable"];

/// The columns of the rows of the state: the file comes first, outcome and test or reason are last.
fn state() -> Vec<Vec<String>> {
    let text = text("tests/mutants/state.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The folder of a file in the table: one of `src`, and of `src/proto` one below it.
fn folder(file: &str) -> String {
    let depth = if file.starts_with("src/proto/") { 3 } else { 2 };
    let words: Vec<&str> = file.split('/').take(depth).collect();
    format!("`{}`", words.join("/"))
}

#[test]
fn the_table_of_the_mutants_is_that_of_their_state() {
    let page = text("docs/proof.md");
    let (_, table) = split(&page, COMMAND).expect("the page has the table");
    let mut expected: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for row in state() {
        let outcome = OUTCOMES.iter().position(|outcome| *outcome == row[6]).expect("an outcome");
        expected.entry(folder(&row[0])).or_default()[outcome] += 1;
    }
    let shown: BTreeMap<String, [usize; 4]> = rows(table)
        .into_iter()
        .filter(|row| row[0].starts_with('`'))
        .map(|row| (row[0].clone(), [1, 2, 3, 4].map(|at| row[at].parse().unwrap())))
        .collect();
    assert_eq!(shown, expected, "run {COMMAND}");
}

#[test]
fn every_mutant_that_survives_has_a_reason_and_every_other_outcome_a_test() {
    let state = state();
    assert!(state.len() > 2_000);
    for row in state {
        let is_right = match row[6].as_str() {
            "survived" => row[7].len() > 20 && !row[7].starts_with('?'),
            "killed" | "timeout" => row[7].contains(":lib:") || row[7].contains(':'),
            _ => row[7].is_empty(),
        };
        assert!(is_right, "{row:?}");
    }
}
