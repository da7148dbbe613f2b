//! Tests that the documents name: they exist, and those that a page names as a proof are in the file that
//! it names.
//!
//! A test is named as the path of its file and its name, each between back-ticks, with ` / ` between them.

use super::fuzzing::split;
use super::{code, documents, root, sources, text};

/// The pages whose tables name tests; those that exist are checked.
const PAGES: [&str; 2] = ["docs/threats.md", "docs/proof.md"];

/// The named tests of a page, each as a path and a name.
fn named(page: &str) -> Vec<(&str, &str)> {
    let mut words = page.split('`').skip(1);
    let mut named = Vec::new();
    while let Some(code) = words.next() {
        let between = words.next().unwrap_or_default();
        if code.ends_with(".rs") && between == " / " {
            named.push((code, words.next().unwrap_or_default()));
            words.next();
        }
    }
    named
}

/// Whether a source has a test of this name, and not only a function.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let declares = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
    };
    let is_test = |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    // A row of a macro that makes a test of each row.
    let row = format!("{name}: ");
    if source.contains("#[test] fn $name()") && lines.iter().any(|line| line.starts_with(&row)) {
        return true;
    }
    lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev();
        declares(line)
            && above
                .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
                .any(|line| is_test(&line))
    })
}

/// What is wrong with the tests that a page names. The tables that commands write have no tests.
fn faults(page: &str) -> Vec<String> {
    let mut page = page.to_owned();
    for command in ["fuzz/campaign", super::mutants::COMMAND] {
        if let Some((other, _)) = split(&page, command) {
            page = other;
        }
    }
    let fault = |(path, name): (&str, &str)| match std::fs::read_to_string(root().join(path)) {
        Err(_) => Some(format!("there is no {path}")),
        Ok(source) if has_test(&source, name) => None,
        Ok(_) => Some(format!("{path} has no test {name}")),
    };
    let mut faults: Vec<String> = named(&page).into_iter().filter_map(fault).collect();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        if named(last).is_empty() && !["Test", "-"].contains(&last) {
            faults.push(format!("no test in the row {row}"));
        }
    }
    faults
}

#[test]
fn every_test_that_a_page_names_as_its_proof_is_in_the_file_that_it_names() {
    let existing: Vec<&str> = PAGES.into_iter().filter(|page| root().join(page).exists()).collect();
    assert!(existing.contains(&"docs/threats.md"));
    for page in existing {
        let page_text = text(page);
        assert!(named(&page_text).len() >= 20, "{page} names {}", named(&page_text).len());
        assert_eq!(faults(&page_text), Vec::<String>::new(), "{page}");
    }
}

#[test]
fn a_page_that_names_no_test_or_a_missing_one_is_noticed() {
    let good = "| A | B | `tests/par/secret.rs` / `no_redirect_is_followed` |\n";
    assert_eq!(faults(good), Vec::<String>::new());
    for (bad, fault) in [
        ("`tests/par/secret.rs` / `no_redirect_is`", "has no test no_redirect_is"),
        ("`tests/par/secret.rs` / `URL`", "has no test URL"),
        ("`tests/par/peer.rs` / `no_redirect_is_followed`", "there is no tests/par/peer.rs"),
        ("`tests/documents.rs` / `pages`", "has no test pages"),
        ("| A | B | see above |", "no test in the row"),
    ] {
        let found = faults(bad);
        assert!(found.len() == 1 && found[0].contains(fault), "{bad}: {found:?}");
    }
}

#[test]
fn every_test_that_is_mentioned_exists() {
    let everything = sources(&["src", "tests"]);
    for document in &documents() {
        for code in code(&text(document)) {
            let words: Vec<&str> = code.split_whitespace().collect();
            if let [name] = words[..] {
                let shaped = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                // tests/metrics.rs compares the names of metrics.
                let metric = name.starts_with("ocipipe_");
                if shaped && !metric && name.matches('_').count() >= 3 {
                    let row = everything.contains(&format!("    {name}: "));
                    let there = row || everything.contains(&format!("fn {name}("));
                    assert!(there, "{document} mentions {name}");
                }
            }
            for pair in words.windows(2).filter(|pair| pair[0] == "--test") {
                let file = root().join(format!("tests/{}.rs", pair[1]));
                let folder = root().join(format!("tests/{}/main.rs", pair[1]));
                assert!(file.exists() || folder.exists(), "{document} mentions {pair:?}");
            }
        }
    }
}

/// The sections of a page, each with its heading.
fn sections(page: &str) -> Vec<(&str, &str)> {
    let sections = page.split("\n## ").skip(1);
    sections.map(|section| section.split_once('\n').unwrap_or((section, ""))).collect()
}

#[test]
fn the_page_of_proofs_has_a_section_for_each_promise_of_the_readme() {
    let (readme, page) = (text("README.md"), text("docs/proof.md"));
    let promises = readme.split("\n## What it promises\n").nth(1).unwrap();
    let promises = promises.split("\n## ").next().unwrap();
    let bold = promises.lines().filter_map(|line| line.split_once(". **")?.1.split("**").next());
    let bold: Vec<&str> = bold.map(|promise| promise.trim_end_matches('.')).collect();
    assert_eq!(bold.len(), 5, "{bold:?}");
    let sections = sections(&page);
    for promise in &bold {
        let (_, section) = sections.iter().find(|(heading, _)| heading == promise).unwrap();
        assert!(named(section).len() >= 4, "{promise}");
    }
    // What is run by a command of its own was run in a month, on a machine.
    let others = sections
        .iter()
        .filter(|(heading, _)| !bold.contains(heading) && *heading != "What is not shown");
    for (heading, section) in others {
        assert!(section.contains("2026") && section.contains("2 cores"), "{heading}");
    }
}
