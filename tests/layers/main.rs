//! Checks the structure that `src/lib.rs` and CONTRIBUTING describe, from the source text.
//!
//! Rules, for everything outside `#[cfg(test)]`:
//!
//! 1. A group of the root package imports only the groups and crates that `GROUPS` lists for it.
//! 2. No import circle within a crate. The modules in one folder are compared, each together with
//!    everything below it: `a` must not import `b` if `b` imports `a`, directly or through others.
//!    A `mod.rs` or `lib.rs` belongs to its folder as a whole, so an import between a parent and
//!    its child is no circle. A name that a parent only re-exports counts as an import of its
//!    origin.
//! 3. A type name (`struct`, `enum`, `trait`, `type`) is defined once per crate.
//! 4. No source file is longer than 500 lines.
//! 5. A module with children is a folder with a `mod.rs`; clippy's `self_named_module_files` is on.
//! 6. `proto` and `validate` use no file, socket, process, environment or clock of the standard
//!    library. Which crates they use is in their manifests.

#![allow(clippy::unwrap_used)]

mod dependencies;
mod licences;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use source::{Module, Source};

/// The groups of the root package, with the groups, modules and crates that each may import.
const GROUPS: [(&str, &[&str]); 10] = [
    ("program", &["commands", "cli", "auth::environment", "term", "platform"]),
    ("library", &["transfer", "source", "net", "auth", "term", "platform"]),
    ("commands", &["cli", "transfer", "source", "net", "auth", "term", "platform", "emulator"]),
    ("cli", &CLI),
    ("transfer", &["source", "net", "auth", "term", "platform"]),
    ("source", &["platform"]),
    ("net", &["auth::options", "platform"]),
    ("auth", &["platform"]),
    ("term", &["platform"]),
    ("platform", &[]),
];

/// The modules whose types are values of options.
const CLI: [&str; 6] = [
    "auth::environment",
    "auth::options",
    "auth::profile",
    "term::log",
    "term::progress",
    "term::startup_fds",
];

/// The crates that every group may import.
const FOR_ALL: [&str; 2] = ["proto", "validate"];

/// What the transport must not know, though it lies in a crate that it may import.
const HIDDEN_FROM_NET: [&str; 4] = ["retry", "sign", "token_lifecycle", "upload"];

/// The modules of the standard library that perform I/O; `now` of a clock is checked besides.
const IMPURE: [&str; 7] = [
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::os",
    "std::process",
];

/// The crates, by the name under which the others import them, and their folders.
const CRATES: [(&str, &str); 4] = [
    ("ocipipe", "src"),
    ("proto", "src/proto"),
    ("validate", "src/validate"),
    ("emulator", "src/emulator"),
];

const MAX_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders.
fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "no Rust file below {folders:?}");
    found.sort();
    found
}

/// The modules of all crates, outside tests.
struct Modules(BTreeMap<Module, Source>);

impl Modules {
    fn read() -> Modules {
        let mut modules = BTreeMap::new();
        for (name, folder) in CRATES {
            for file in rust_files(&[folder]) {
                let path = file.strip_prefix(root().join(folder)).unwrap().with_extension("");
                let mut module: Module =
                    path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                let member = CRATES[1..].iter().any(|(member, _)| *member == module[0]);
                if name == CRATES[0].0 && (member || module == ["main"]) {
                    continue;
                }
                // An example is a program of its own.
                if module[0] == "examples" {
                    continue;
                }
                if ["lib", "mod"].contains(&module.last().unwrap().as_str()) {
                    module.pop();
                }
                module.insert(0, name.to_owned());
                let text = std::fs::read_to_string(&file).unwrap();
                let source = Source::parse(&text, &module, &CRATES.map(|(name, _)| name));
                modules.insert(module, source);
            }
        }
        let tests: Vec<Module> = modules
            .iter()
            .flat_map(|(module, source)| {
                let child =
                    |name: &String| [module.as_slice(), std::slice::from_ref(name)].concat();
                source.test_modules.iter().map(child).collect::<Vec<_>>()
            })
            .collect();
        modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Modules(modules)
    }

    /// The module in which the item of this path is defined, re-exports followed.
    fn origin(&self, path: &[String]) -> Option<&Module> {
        let mut path = path.to_vec();
        for _ in 0..10 {
            let length =
                (1..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
            let (module, source) = self.0.get_key_value(&path[..length])?;
            let Some(item) = path.get(length) else { return Some(module) };
            let named = source.exports.iter().find(|(name, _)| name == item);
            let in_glob = |(name, origin): &&(String, Module)| {
                name == "*" && self.0.get(origin).is_some_and(|source| source.types.contains(item))
            };
            match named.or_else(|| source.exports.iter().find(in_glob)) {
                Some((name, origin)) if name == "*" => return self.origin(origin),
                Some((_, origin)) if *origin != path => path = origin.clone(),
                _ => return Some(module),
            }
        }
        panic!("re-exports of {path:?} lead in a circle");
    }

    /// Each module with each other one that it imports.
    fn imports(&self) -> BTreeSet<(&Module, &Module)> {
        let mut all = BTreeSet::new();
        for (module, source) in &self.0 {
            for path in &source.imports {
                all.extend(self.origin(path).map(|origin| (module, origin)));
            }
        }
        all.retain(|(from, to)| from != to);
        assert!(all.len() > 300, "only {} imports were found", all.len());
        all
    }
}

fn imports_line(from: &Module, to: &Module) -> String {
    format!("{} imports {}", from.join("::"), to.join("::"))
}

#[track_caller]
fn assert_none(violations: BTreeSet<String>) {
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn a_group_imports_only_what_the_map_allows() {
    let modules = Modules::read();
    let mut violations = BTreeSet::new();
    for (from, to) in modules.imports() {
        let [root, group, ..] = from.as_slice() else { continue };
        // `internals` shows modules to this repository's tests, and nothing imports it.
        if root != CRATES[0].0 || group == "internals" {
            continue;
        }
        let (_, allowed) = GROUPS.iter().find(|(name, _)| name == group).unwrap();
        let path = if to[0] == *root { to[1..].join("::") } else { to.join("::") };
        let fine = [group.as_str()].iter().chain(&FOR_ALL).chain(*allowed).any(|name| {
            path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        if !fine {
            violations.insert(imports_line(from, to));
        }
    }
    assert_none(violations);
}

#[test]
fn the_transport_knows_no_retry_signature_token_or_upload() {
    let modules = Modules::read();
    let imports = modules.imports();
    let hidden = imports.into_iter().filter(|(from, to)| {
        from.starts_with(&["ocipipe".to_owned(), "net".to_owned()])
            && to[0] == "proto"
            && to.get(1).is_some_and(|name| HIDDEN_FROM_NET.contains(&name.as_str()))
    });
    assert_none(hidden.map(|(from, to)| imports_line(from, to)).collect());
}

#[test]
fn proto_and_validate_use_no_file_socket_process_environment_or_clock() {
    let mut violations = BTreeSet::new();
    for (module, source) in &Modules::read().0 {
        let pure = ["proto", "validate"].contains(&module[0].as_str());
        for path in source.written.iter().filter(|_| pure) {
            let clock = path.ends_with("Instant::now") || path.ends_with("SystemTime::now");
            if clock || IMPURE.iter().any(|start| path.starts_with(start)) {
                violations.insert(format!("{} uses {path}", module.join("::")));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn the_emulator_reads_no_environment_variable() {
    let mut violations = BTreeSet::new();
    for (module, source) in Modules::read().0.iter().filter(|(module, _)| module[0] == "emulator") {
        let reads = source.written.iter().filter(|path| path.starts_with("std::env"));
        violations.extend(reads.map(|path| format!("{} uses {path}", module.join("::"))));
    }
    assert_none(violations);
}

#[test]
fn the_emulator_is_imported_by_the_command_that_serves_it_only() {
    let modules = Modules::read();
    let imports = modules.imports();
    let outside = imports.iter().filter(|(from, to)| to[0] == "emulator" && from[0] != "emulator");
    let from: BTreeSet<String> = outside.map(|(from, _)| from.join("::")).collect();
    assert_eq!(from.into_iter().collect::<Vec<_>>(), ["ocipipe::commands::serve"]);
}

#[test]
fn no_modules_of_a_folder_import_each_other_in_a_circle() {
    let modules = Modules::read();
    // By folder: which child imports which.
    let mut folders: BTreeMap<&[String], BTreeMap<&String, BTreeSet<&String>>> = BTreeMap::new();
    for (from, to) in modules.imports() {
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (true, Some(a), Some(b)) = (common > 0, from.get(common), to.get(common)) {
            folders.entry(&from[..common]).or_default().entry(a).or_default().insert(b);
        }
    }
    let mut violations = BTreeSet::new();
    for (folder, edges) in &folders {
        let reachable = |from: &String| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(next) = open.pop() {
                for to in edges.get(next).into_iter().flatten() {
                    if seen.insert(*to) {
                        open.push(to);
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&String, _> =
            edges.keys().map(|from| (*from, reachable(from))).collect();
        for (from, to) in &reach {
            let circle: Vec<&str> = to
                .iter()
                .filter(|to| reach.get(**to).is_some_and(|back| back.contains(*from)))
                .map(|to| to.as_str())
                .collect();
            if circle.len() > 1 {
                violations.insert(format!("{}: {}", folder.join("::"), circle.join(", ")));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn a_type_name_is_defined_once_in_a_crate() {
    let modules = Modules::read();
    let mut places: BTreeMap<(&String, &String), Vec<String>> = BTreeMap::new();
    for (module, source) in &modules.0 {
        for name in &source.types {
            places.entry((&module[0], name)).or_default().push(module[1..].join("::"));
        }
    }
    assert!(places.len() > 200, "only {} types were found", places.len());
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    assert_none(twice.map(|((root, name), at)| format!("{root}: {name}: {at:?}")).collect());
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let mut violations = BTreeSet::new();
    for path in rust_files(&["src", "tests", "bench/src", "fuzz/fuzz_targets"]) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        if lines > MAX_LINES {
            let path = path.strip_prefix(root()).unwrap().display();
            violations.insert(format!("{path} has more than {MAX_LINES} lines"));
        }
    }
    assert_none(violations);
}

#[test]
fn a_module_with_children_is_a_folder_with_a_mod_file() {
    let manifest =
        |folder: &str| std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let lints = manifest("");
    let lints = lints.split("[workspace.lints.clippy]").nth(1).unwrap();
    let level = lints.lines().find_map(|line| line.strip_prefix("self_named_module_files = "));
    assert!(level.is_some_and(|level| ["\"warn\"", "\"deny\""].contains(&level)), "{level:?}");
    for (name, folder) in CRATES {
        let folder = if folder == "src" { "" } else { folder };
        assert!(manifest(folder).contains("[lints]\nworkspace = true\n"), "{name} has no lints");
    }
    let both: Vec<PathBuf> =
        rust_files(&["src"]).into_iter().filter(|file| file.with_extension("").is_dir()).collect();
    assert!(both.is_empty(), "both a file and a folder: {both:?}");
}
