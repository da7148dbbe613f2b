//! Keeps the map in `src/lib.rs` true: pure files stay pure, and the emulator knows nobody.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Every source file below a folder or file of `src`, with its text without tests and comments.
fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.join(under), root.join(format!("{under}.rs"))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: String = code
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .map(|l| format!("{l}\n"))
                .collect();
            let is_test = path.ends_with("tests.rs")
                || path.ends_with("properties.rs")
                || path.components().any(|component| component.as_os_str() == "tests");
            found.push((path, if is_test { String::new() } else { code }));
        }
    }
    assert!(!found.is_empty(), "nothing below src/{under}: the list of pure files is out of date");
    found
}

fn assert_without(under: &str, forbidden: &[&str]) {
    for (path, code) in sources(under) {
        for word in forbidden {
            let line = code.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "{} is pure, but says: {}", path.display(), line.unwrap());
        }
    }
}

const IMPURE: [&str; 10] = [
    "tokio::",
    "hyper::",
    "hyper_util",
    "std::fs",
    "TcpStream",
    "ToSocketAddrs",
    "Instant::now",
    "SystemTime::now",
    "std::env::",
    "rustix::",
];

#[test]
fn pure_files_know_no_clock_socket_or_file() {
    for under in [
        "upload",
        "expect",
        "retry",
        "schedule",
        "digest",
        "destination",
        "units",
        "receipt",
        "error",
        "printable",
        "shell",
        "oci/api",
        "oci/sign",
        "oci/token",
        "oci/endpoint",
        "oci/region",
        "oci/lifecycle",
        "oci/metadata",
        "oci/options",
        "oci/profile/ini",
        "oci/session/refresh",
    ] {
        assert_without(under, &IMPURE);
    }
}

#[test]
fn the_machine_decides_without_seeing_requests_sessions_or_buffers() {
    assert_without(
        "upload",
        &["crate::http", "crate::service", "crate::oci::session", "crate::pool", "crate::put"],
    );
}

#[test]
fn the_emulator_imports_nothing_from_the_client() {
    for (path, code) in sources("emulator") {
        for line in code.lines().filter(|line| line.contains("crate::")) {
            assert!(
                line.contains("crate::emulator"),
                "{} reaches outside the emulator: {line}",
                path.display()
            );
        }
        // `super` must not climb out of the folder either.
        let depth = path.components().rev().take_while(|c| c.as_os_str() != "emulator").count();
        let ups = "super::".repeat(depth + usize::from(!path.ends_with("mod.rs")));
        // In an inline module of `mod.rs`, which is indented, one `super` is the emulator itself.
        let root = path.ends_with("emulator/mod.rs");
        let climbs = |line: &&str| line.contains(&ups) && !(root && line.starts_with(' '));
        let line = code.lines().find(climbs);
        assert!(line.is_none(), "{} climbs out of the emulator: {line:?}", path.display());
    }
}

#[test]
fn the_client_reaches_the_emulator_through_serve_only() {
    for (path, code) in sources("") {
        let allowed = path.components().any(|c| c.as_os_str() == "emulator")
            || path.ends_with("serve.rs")
            || path.components().any(|c| c.as_os_str() == "serve")
            || path.ends_with("lib.rs");
        assert!(allowed || !code.contains("emulator::"), "{} knows the emulator", path.display());
    }
}

#[test]
fn no_source_file_is_longer_than_a_person_can_hold() {
    for (path, _) in sources("") {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
