//! README, CONTRIBUTING, CHANGELOG and the pages of `docs` agree with the code: their commands,
//! options, variables, files, links and tests exist, and the commands in code blocks parse.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "documents/fuzzing.rs"]
mod fuzzing;
#[path = "documents/mutants.rs"]
mod mutants;
#[path = "documents/named_tests.rs"]
mod named_tests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use common::run::ocipipe;
use common::store::Store;
use common::stream::{PART, ramp};
use ocipipe::internals::auth::environment::Environment;
use ocipipe::internals::cli::{self, args};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages for users, as paths from the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|path| path.ends_with(".md"))
        .collect();
    pages.sort();
    assert!(!pages.is_empty());
    pages
}

/// Every document, the pages of `docs` among them.
fn documents() -> Vec<String> {
    let mut all = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    all.extend(pages());
    all
}

/// The documents for users: all except CONTRIBUTING.
fn for_users() -> Vec<String> {
    documents().into_iter().filter(|document| document != "CONTRIBUTING.md").collect()
}

/// The text of every file below these folders that can be read as text.
fn sources(folders: &[&str]) -> String {
    let mut text = String::new();
    let mut left: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = left.pop() {
        // What is built or found there is no source.
        if path.ends_with("target") || path.ends_with("corpus") {
            continue;
        }
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(more) = std::fs::read_to_string(path) {
            text.push_str(&more);
        }
    }
    text
}

fn text(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// The lines of code blocks, indented or fenced, and the rest.
fn blocks(text: &str) -> (Vec<&str>, Vec<&str>) {
    let mut fenced = false;
    text.lines().filter(|line| !line.trim().is_empty()).partition(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        fenced || fence || line.starts_with("    ")
    })
}

/// The texts between back-ticks in the prose.
fn inline(text: &str) -> Vec<String> {
    let prose: String = blocks(text).1.iter().map(|line| format!("{} ", line.trim())).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The lines of code blocks and the texts between back-ticks.
fn code(text: &str) -> Vec<String> {
    let block = blocks(text).0.into_iter().map(|line| line.trim_start().to_owned());
    block.chain(inline(text)).collect()
}

/// The commands in code blocks: the words behind each `ocipipe`, as a shell would split them.
fn pasted(text: &str) -> Vec<Vec<String>> {
    let block = blocks(text).0.join("\n").replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in block.lines() {
        let line = line.replace("cargo run --release -- ", "ocipipe ");
        let Some(words) = shlex::split(&line) else { continue };
        let ends = |word: &String| {
            ["|", "||", "&&", "&", ";"].contains(&word.as_str())
                || word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
        };
        for part in words.split(ends) {
            let program = |word: &String| word.rsplit(['=', '/']).next() == Some("ocipipe");
            // A path alone is a place where the program is copied to.
            if let Some(at) = part.iter().position(program)
                && (!part[at].contains('/') || at + 1 < part.len())
            {
                calls.push(part[at + 1..].to_vec());
            }
        }
    }
    calls
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
fn every_documented_command_and_option_exists() {
    let mut count = 0;
    for document in &documents() {
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
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} commands were found in the documents");
}

#[test]
fn every_command_in_a_code_block_parses() {
    let mut count = 0;
    for document in &documents() {
        for call in pasted(&text(document)) {
            let argv = call.iter().map(OsString::from).collect();
            if let Err(error) = cli::parse(argv, &Environment::default()) {
                panic!("{document}: ocipipe {}: {error}", call.join(" "));
            }
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} commands were found in code blocks");
}

/// The options of a command and of those below it.
fn options(info: &argh::CommandInfoWithArgs) -> Vec<String> {
    let here = info.flags.iter().map(|flag| flag.long.to_owned());
    here.chain(info.commands.iter().flat_map(|sub| options(&sub.command))).collect()
}

#[test]
fn every_option_is_on_a_page_for_users() {
    let documents = for_users().into_iter().filter(|document| document != "CHANGELOG.md");
    let text: String = documents.map(|document| text(&document)).collect();
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words: BTreeSet<&str> = text.split(|c| !is_in_word(c)).collect();
    let general = ["--help", "--version"];
    for option in options(&args::info()) {
        let there = words.contains(option.as_str()) || general.contains(&option.as_str());
        assert!(there, "no page has {option}");
    }
}

#[test]
fn every_option_that_is_mentioned_exists() {
    let known = options(&args::info());
    let commands = ["put", "get", "verify", "uploads", "session", "serve"];
    // Options of the OCI CLI that are refused, in the table of the differences.
    let page = text("docs/oci-cli-differences.md");
    let rows = page.lines().filter(|line| line.contains("` | refused |"));
    let refused: Vec<String> =
        rows.flat_map(|row| inline(row.split('|').nth(1).unwrap_or_default())).collect();
    let is_refused =
        |option: &str| refused.iter().any(|words| words.split(' ').any(|word| word == option));
    assert!(known.iter().all(|long| !refused.contains(long)), "an option that is refused exists");
    for document in for_users() {
        for code in inline(&text(&document)) {
            let words: Vec<&str> = code.split(' ').take_while(|word| *word != "--").collect();
            let own =
                words.first().is_some_and(|word| word.starts_with("--") || commands.contains(word));
            if !own {
                continue;
            }
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = cli::argv::canonical_name(option.split('=').next().unwrap());
                let exists = known.iter().any(|long| long == option) || is_refused(option);
                assert!(exists, "{document} mentions {option}");
            }
        }
    }
}

/// Whether the word has the form of a variable that ocipipe could read.
fn is_variable(word: &str) -> bool {
    let shaped = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let known = ["OCI_", "OCIPIPE_", "SSL_CERT", "REQUESTS_", "CURL_", "KUBERNETES_"];
    shaped
        && (known.iter().any(|start| word.starts_with(start))
            || word.to_ascii_lowercase().ends_with("_proxy"))
}

#[test]
fn every_variable_that_is_mentioned_is_read() {
    let program = sources(&["src"]);
    let everything = sources(&["src", "tests", "bench", "fuzz", "packaging", ".ci"]);
    let mut count = 0;
    for document in &documents() {
        let read = if document == "CONTRIBUTING.md" { &everything } else { &program };
        for code in code(&text(document)) {
            for word in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if is_variable(word) && !word.ends_with('_') {
                    let lower = word.to_ascii_lowercase();
                    let there = read.contains(word) || read.contains(&lower);
                    assert!(there, "{document} mentions {word}");
                    count += 1;
                }
            }
        }
    }
    assert!(count >= 3, "only {count} variables were found");
}

#[test]
fn every_file_that_is_mentioned_exists() {
    for document in &documents() {
        for code in code(&text(document)) {
            let word = code.split_whitespace().next().unwrap_or_default();
            let folders = ["src/", "tests/", "fuzz/", "bench/", "docs/", "packaging/", ".ci/"];
            let named =
                folders.iter().any(|folder| word.starts_with(folder)) || word.ends_with(".md");
            if named && !word.contains(['*', '<']) && word.is_ascii() {
                assert!(root().join(word).exists(), "{document} mentions {word}");
            }
        }
    }
}

/// The targets of the links of a document.
fn links(text: &str) -> Vec<String> {
    let prose = blocks(text).1.join("\n");
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// A heading as the address of its section.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for document in &documents() {
        let folder = root().join(document).parent().unwrap().to_owned();
        for link in links(&text(document)) {
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { root().join(document) } else { folder.join(file) };
            assert!(target.exists(), "{document} has a link to {link}");
            if !section.is_empty() {
                let there = std::fs::read_to_string(target).unwrap();
                let mut headings = there.lines().filter(|line| line.starts_with('#'));
                assert!(headings.any(|line| anchor(line) == section), "{document}: {link}");
            }
        }
    }
}

#[test]
fn every_page_has_a_line_in_the_readme() {
    let linked = links(&text("README.md"));
    for page in pages() {
        assert!(linked.contains(&page), "README.md has no link to {page}");
    }
}

#[test]
fn the_documented_exit_codes_are_those_of_the_help() {
    let help = ocipipe(["help"]).run().exits(0).stdout;
    for document in ["README.md", "docs/output.md"] {
        for code in 0..=8 {
            assert!(text(document).contains(&format!("\n| {code} | ")), "{document}: {code}");
            assert!(help.contains(&format!("\n  {code:>3}  ")), "help: {code}");
        }
    }
}

/// The code in the first column of the table below this line.
fn first_column(text: &str, heading: &str) -> BTreeSet<String> {
    let table = text.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
    let rows = table.lines().skip_while(|line| !line.starts_with("| `"));
    let cells = rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| inline(cell.unwrap())).collect()
}

#[test]
fn exactly_the_printed_keys_are_documented() {
    let page = text("docs/output.md");
    let keys = |value: serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let store = Store::start();
    let mut printed = BTreeSet::new();
    for length in [5, PART + 1] {
        let done = store.put(&length.to_string()).stdin(ramp(length)).run().exits(0);
        printed.extend(keys(done.receipt()));
    }
    let again = store.put("5").args("--identical-ok").stdin(ramp(5)).run().exits(0);
    printed.extend(keys(again.receipt()));
    assert_eq!(first_column(&page, "## The receipt of"), printed);
}
