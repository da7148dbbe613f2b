//! The page on dependencies has every direct dependency of the program with the crates that use it, and every
//! crate that exists in two versions.

use std::collections::{BTreeMap, BTreeSet};

use super::root;

/// The names of the crates in the page, with the folders of their manifests.
const CRATES: [(&str, &str); 4] = [
    ("root", "."),
    ("proto", "src/proto"),
    ("validate", "src/validate"),
    ("emulator", "src/emulator"),
];

/// The dependencies of a manifest that are built with the program; its own workspace is left out.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let (mut found, mut in_table) = (BTreeSet::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_table = line == "[dependencies]" || line.ends_with(".dependencies]");
            in_table &= !line.starts_with("[workspace");
        } else if in_table
            && !line.contains("path = ")
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
            && !name.starts_with('#')
        {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn the_page_on_dependencies_has_each_crate_that_a_manifest_names_and_its_users() {
    let mut in_manifests: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, folder) in CRATES {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for dependency in dependencies(&text) {
            in_manifests.entry(dependency).or_default().insert(name);
        }
    }
    assert!(in_manifests.len() > 40, "{in_manifests:?}");
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let table = page.split("## The program").nth(1).unwrap().split("\n## ").next().unwrap();
    let on_page: BTreeMap<String, BTreeSet<&str>> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            (cells[0].trim_end_matches('`').to_owned(), cells[1].split(", ").collect())
        })
        .collect();
    assert_eq!(on_page, in_manifests);
}

#[test]
fn the_page_on_dependencies_has_each_crate_of_which_two_versions_are_locked() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut names = BTreeMap::<&str, usize>::new();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = ")) {
        *names.entry(name.trim_matches('"')).or_default() += 1;
    }
    assert!(names.len() > 100, "{names:?}");
    let twice: BTreeSet<&str> =
        names.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let table = page.split("## What exists twice").nth(1).unwrap().split("\n## ").next().unwrap();
    let on_page: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split('`').next())
        .collect();
    assert_eq!(on_page, twice);
}

/// The lines of a source with the keyword `unsafe`, comments left out.
fn unsafe_lines(source: &str) -> usize {
    let code = source.lines().filter_map(|line| line.split("//").next());
    let words = |line: &str| {
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
    };
    code.filter(|line| words(line)).count()
}

#[test]
fn the_page_on_dependencies_counts_the_unsafe_lines_of_each_file() {
    let mut in_sources = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let count = unsafe_lines(&std::fs::read_to_string(&path).unwrap());
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                in_sources.insert(name, count);
            }
        }
    }
    in_sources.retain(|_, count| *count > 0);
    let page = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let table = page.split("## Unsafe code").nth(1).unwrap();
    let on_page: BTreeMap<String, usize> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            (cells[0].trim_end_matches('`').to_owned(), cells[1].parse().unwrap())
        })
        .collect();
    assert_eq!(on_page, in_sources);
}
