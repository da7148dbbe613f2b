//! The text of `--help`, generated from the structs of `args`.
//!
//! Replaces the help of `argh`, which wraps descriptions and omits the kind of a value: one line
//! per option is easier to scan. Owns the layout and the order of the groups. Must not name an
//! option except those that start a group. Invariant: every option of a command is shown once.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

/// The first option of each group, and the heading of the group.
const GROUPS: [(&str, &str); 9] = [
    ("--help", "General"),
    ("--bucket-name", "From where to where"),
    ("--force", "Before the commit, and after it"),
    ("--part-size", "Transfer"),
    ("--retry-for", "Patience"),
    ("--storage-tier", "The object"),
    ("--progress", "On stderr"),
    ("--metrics-file", "Monitoring"),
    ("--auth", "Account and service; option before environment before config file"),
];

/// The help of the command at the end of `path` below `root`; `None` if it does not exist.
pub fn text(root: &CommandInfoWithArgs, path: &[String]) -> Option<String> {
    let mut info = root;
    for name in path {
        info = &info.commands.iter().find(|sub| sub.name == name)?.command;
    }
    Some(render(info, path))
}

fn render(info: &CommandInfoWithArgs, path: &[String]) -> String {
    let mut out = format!("Usage: {}\n\n{}\n", usage(info, path), sentence(info.description));
    for positional in info.positionals {
        out.push_str(&format!("\n  {:<33} {}\n", positional.name, positional.description));
    }
    if path == ["put"] {
        out.push_str("  COMMAND ARG...                    run this and upload what it writes\n");
    }
    if !info.commands.is_empty() {
        out.push_str("\nCommands:\n");
        for sub in &info.commands {
            out.push_str(&format!("  {:<13} {}\n", sub.name, sub.command.description));
        }
    }
    section(&mut out, "Examples", info.examples);
    options(&mut out, info.flags);
    section(&mut out, "Notes", info.notes);
    if !info.error_codes.is_empty() {
        out.push_str("\nExit codes:\n");
        for code in info.error_codes {
            out.push_str(&format!("  {:>3}  {}\n", code.code, code.description));
        }
    }
    if path.is_empty() {
        out.push_str("\n`ocipipe help COMMAND` tells the options of a command.\n");
    }
    if info.flags.iter().any(|flag| kind(flag) == "SIZE") {
        out.push_str("\nSIZE: 64MiB, 64M (the same), 1.5GiB, 2TiB. ");
        out.push_str("RATE: a SIZE a second. DURATION: 90s, 10m, 1h, 1d.\n");
    }
    out
}

fn usage(info: &CommandInfoWithArgs, path: &[String]) -> String {
    let mut usage = "ocipipe".to_owned();
    for name in path {
        usage.push_str(&format!(" {name}"));
    }
    if !info.commands.is_empty() {
        usage.push_str(" COMMAND [OPTIONS]");
        return usage;
    }
    if info.flags.len() > 1 {
        usage.push_str(" [OPTIONS]");
    }
    for positional in info.positionals {
        usage.push_str(&format!(" [{}]", positional.name));
    }
    if path == ["put"] {
        usage.push_str(" [-- COMMAND ARG...]");
    }
    usage
}

fn options(out: &mut String, flags: &[FlagInfo<'_>]) {
    // `argh` lists --help first; here it comes last.
    let help = flags.iter().filter(|flag| flag.long == "--help");
    // A command without an account has too few options for groups.
    let has_groups = flags.iter().any(|flag| flag.long == "--auth");
    let mut heading = "";
    for flag in flags.iter().filter(|flag| flag.long != "--help").chain(help) {
        let starts = |first: &str| first == flag.long && (has_groups || first == "--help");
        let group = GROUPS.iter().find(|(first, _)| starts(first)).map(|(_, group)| *group);
        let group = group.or(heading.is_empty().then_some("Options")).unwrap_or(heading);
        if group != heading {
            out.push_str(&format!("\n{group}:\n"));
            heading = group;
        }
        let short = match (flag.long, flag.short) {
            ("--help", _) => "-h, ".to_owned(),
            (_, Some(short)) => format!("-{short}, "),
            _ => String::new(),
        };
        let option = format!("{short}{} {}", flag.long, kind(flag));
        let description = if flag.long == "--help" { "show this text" } else { flag.description };
        out.push_str(&format!("  {:<33} {description}\n", option.trim_end()));
    }
}

/// The kind of the option's value; empty for a switch.
fn kind<'a>(flag: &FlagInfo<'a>) -> &'a str {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => arg_name,
        FlagInfoKind::Switch => "",
    }
}

fn section(out: &mut String, heading: &str, lines: &[&str]) {
    if !lines.is_empty() {
        out.push_str(&format!("\n{heading}:\n"));
        lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
}

/// Turns the description of a command, a phrase in the list of commands, into a sentence.
fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let end = if phrase.ends_with('.') { "" } else { "." };
    first.into_iter().chain(letters).chain(end.chars()).collect()
}
