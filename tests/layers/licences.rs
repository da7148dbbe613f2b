//! Every crate that is built comes from the registry, has a licence that `deny.toml` allows, and is none that it bans.
//!
//! cargo-deny applies the same file, and more of it; a check of every change has no time to build cargo-deny.

use std::process::Command;

use serde_json::Value;

use super::root;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The texts in double quotes of a list in `deny.toml`, from `start` to the line with its end.
fn listed<'a>(file: &'a str, start: &str) -> Vec<&'a str> {
    let list = file.split(start).nth(1).unwrap().split("\n]").next().unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether a licence expression can be met with allowed licences. Of `A OR B AND C` both readings have to be met.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ").any(|licence| allowed.contains(&licence))
    })
}

#[test]
fn each_crate_has_an_allowed_licence_and_source_and_none_is_banned() {
    let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let (allowed, banned) = (listed(&rules, "\nallow = ["), listed(&rules, "\ndeny = ["));
    assert!(allowed.contains(&"MIT") && banned.contains(&"native-tls"), "{allowed:?} {banned:?}");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &platform])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 150, "{}", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{name}: {licence:?}");
        assert!(package["source"].is_null() || package["source"] == REGISTRY, "{package}");
        assert!(!banned.contains(&name), "{name}");
    }
    assert!(!is_allowed("GPL-3.0", &allowed) && !is_allowed("MIT AND GPL-3.0", &allowed));
    assert!(is_allowed("(MIT OR GPL-3.0) AND ISC", &allowed) && !is_allowed("", &allowed));
}
