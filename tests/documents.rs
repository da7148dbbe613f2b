//! README and CONTRIBUTING are true where that can be checked: their commands, options and files exist.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::run::ocipipe;

const DOCUMENTS: [&str; 3] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// What is set as code: indented lines, and words between back-ticks.
fn code(text: &str) -> Vec<String> {
    let mut found: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    let prose: String = text
        .lines()
        .filter(|line| !line.starts_with("    "))
        .map(|line| format!("{} ", line.trim()))
        .collect();
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found
}

/// The words of each `ocipipe ...` up to the end of its command, before `--`.
fn calls(text: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    for line in code(text) {
        for part in line.split(['|', ';']) {
            let part = part.replace("cargo run --release -- ", "ocipipe ");
            let mut words = part.split_whitespace().skip_while(|word| *word != "ocipipe").skip(1);
            let call: Vec<String> =
                words.by_ref().take_while(|word| *word != "--").map(str::to_owned).collect();
            if !call.is_empty() {
                calls.push(call);
            }
        }
    }
    calls
}

#[test]
fn every_command_and_option_that_is_written_down_exists() {
    let mut seen = 0;
    for document in DOCUMENTS {
        for call in calls(&text(document)) {
            if call[0] == "--version" {
                ocipipe(call).run().exits(0);
                continue;
            }
            let skipped = usize::from(call[0] == "help");
            let commands: Vec<&String> = call
                .iter()
                .skip(skipped)
                .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
                .take(if call[0] == "uploads" || call[0] == "session" { 2 } else { 1 })
                .collect();
            let words = ["help"].into_iter().chain(commands.iter().map(|word| word.as_str()));
            let help = ocipipe(words).run().exits(0).stdout;
            for option in call.iter().filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap();
                let listed = help.split_whitespace().any(|word| word == option);
                assert!(listed, "{document}: {call:?}: there is no {option}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} commands were found in the documents");
}

#[test]
fn every_option_that_is_mentioned_exists() {
    let all: String = ["put", "get", "serve", "uploads list", "uploads abort", "session show"]
        .iter()
        .map(|command| ocipipe(["help"]).args(command).run().exits(0).stdout)
        .collect();
    for document in ["README.md", "CHANGELOG.md"] {
        for code in code(&text(document)).iter().filter(|code| code.starts_with("--")) {
            let option = code.split([' ', '=']).next().unwrap();
            assert!(all.contains(option), "{document} mentions {option}");
        }
    }
}

#[test]
fn every_file_that_is_mentioned_exists() {
    for document in DOCUMENTS {
        for code in code(&text(document)) {
            let word = code.split_whitespace().next().unwrap_or_default();
            let ours = ["src/", "tests/", "fuzz/", "bench/", ".ci/"];
            let named = ours.iter().any(|folder| word.starts_with(folder)) || word.ends_with(".md");
            if named && !word.contains(['*', '<']) && word.is_ascii() {
                assert!(root().join(word).exists(), "{document} mentions {word}");
            }
        }
    }
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let help = ocipipe(["help"]).run().exits(0).stdout;
    let readme = text("README.md");
    for code in 0..=8 {
        assert!(readme.contains(&format!("\n| {code} | ")), "README: {code}");
        assert!(help.contains(&format!("\n  {code:>3}  ")), "help: {code}");
    }
}
