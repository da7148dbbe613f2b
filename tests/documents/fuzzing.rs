//! The table of the fuzz targets in `docs/proof.md` is that of `fuzz/campaign.json`, which has every target.

use super::{root, text};

/// A page without the table that a command writes, and the table.
pub(crate) fn split<'a>(page: &'a str, command: &str) -> Option<(String, &'a str)> {
    let (before, rest) = page.split_once(&format!("<!-- {command} -->\n"))?;
    let (table, after) = rest.split_once(&format!("<!-- end of {command} -->\n"))?;
    Some((format!("{before}{after}"), table))
}

/// The cells of the rows of a table, without its head.
pub(crate) fn rows(table: &str) -> Vec<Vec<String>> {
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().into()).collect();
    table.lines().skip(2).map(cells).collect()
}

/// A whole number with a comma before each three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let comma = |(at, digit)| match (digits.len() - at) % 3 {
        0 if at > 0 => vec![',', digit],
        _ => vec![digit],
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

fn expected(target: &str, state: &serde_json::Value) -> Vec<String> {
    let number = |name: &str| grouped(state[name].as_f64().unwrap());
    let grew = match state["grew"].as_bool() {
        None => "not done",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let mut cells = vec![format!("`{target}`")];
    cells.extend(["seconds", "executions", "edges", "quiet"].map(number));
    cells.extend([grew.to_owned(), number("corpus_files")]);
    cells
}

#[test]
fn the_table_of_the_fuzz_targets_is_that_of_their_state() {
    let page = text("docs/proof.md");
    let (_, table) = split(&page, "fuzz/campaign").expect("the page has the table");
    let state: serde_json::Value = serde_json::from_str(&text("fuzz/campaign.json")).unwrap();
    let state = state.as_object().unwrap();
    let expected: Vec<_> = state.iter().map(|(target, state)| expected(target, state)).collect();
    assert_eq!(rows(table), expected, "run fuzz/campaign --table");
}

#[test]
fn every_fuzz_target_is_built_and_has_a_state_and_a_corpus() {
    let manifest = text("fuzz/Cargo.toml");
    let state: serde_json::Value = serde_json::from_str(&text("fuzz/campaign.json")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(target) = file.strip_suffix(".rs") else { continue };
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{target}\"\n")), "{target}");
        assert!(state[target]["edges"].as_u64().is_some_and(|edges| edges > 0), "{target}");
        assert!(root().join(format!("fuzz/corpora/{target}.tar.xz")).exists(), "{target}");
        count += 1;
    }
    assert_eq!(state.as_object().unwrap().len(), count);
}

#[test]
fn the_sources_whose_words_a_fuzz_target_gets_exist() {
    let command = text("fuzz/campaign");
    let paths: Vec<&str> =
        command.split('"').filter(|word| word.starts_with("src/") && !word.contains(' ')).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "{path}");
    }
}
