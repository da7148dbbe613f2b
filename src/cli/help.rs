//! The text of `--help`, generated from the structs of `args`.
//!
//! Replaces the help of `argh`, which wraps descriptions and omits the kind of a value: one line
//! per option is easier to scan. Owns the layout and the order of the groups. Must not name an
//! option except those that start a group and the commonest. Invariant: the whole help of a command
//! shows each of its options once.

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

use super::argv::command_at;

/// The first option of each group, and the heading of the group.
const GROUPS: [(&str, &str); 9] = [
    ("--help", "General"),
    ("--bucket-name", "From where to where"),
    ("--force", "Before the commit, and after it"),
    ("--part-size", "Transfer"),
    ("--retry-for", "Timeouts and retries"),
    ("--storage-tier", "The object"),
    ("--progress", "On stderr"),
    ("--metrics-file", "Monitoring"),
    ("--auth", ACCOUNT),
];

/// The heading of the options that commands with an account share.
pub(super) const ACCOUNT: &str =
    "Account and service; option before environment before config file";

/// The kinds of values that options share, and how they are written.
pub(super) const VALUES: [(&str, &str); 3] = [
    ("SIZE", "64MiB, 64M (the same), 1.5GiB, 2TiB."),
    ("RATE", "a SIZE a second."),
    ("DURATION", "90s, 10m, 1h, 1d."),
];

/// The options of `put` that its brief help shows.
const COMMONEST: [&str; 14] = [
    "--file",
    "--local",
    "--force",
    "--identical-ok",
    "--resume",
    "--expect",
    "--min-size",
    "--part-size",
    "--parallel-upload-count",
    "--retry-for",
    "--progress",
    "--auth",
    "--profile",
    "--region",
];

/// What `--help` shows: the commonest options of `put`, on a screen of 40 lines of 80 columns, and
/// the whole help of every other command; `None` if the command does not exist.
pub(super) fn brief(root: &CommandInfoWithArgs, path: &[String]) -> Option<String> {
    if path != ["put"] {
        return text(root, path);
    }
    let info = command_at(root, path)?;
    let mut out = heading(info, path, BRIEF_COLUMN);
    section(&mut out, "Examples", info.examples.get(..2).unwrap_or(info.examples));
    out.push_str("\nThe commonest options:\n");
    for flag in info.flags.iter().filter(|flag| COMMONEST.contains(&flag.long)) {
        let option = format!("{} {}", names(flag), kind(flag));
        let mut option = option.trim_end();
        for line in wrapped(description(flag), 80 - 3 - BRIEF_COLUMN) {
            out.push_str(&format!("  {option:<BRIEF_COLUMN$} {line}\n"));
            option = "";
        }
    }
    out.push_str("\n`ocipipe help put` has all options, `ocipipe man` the manual.\n");
    Some(out)
}

/// The width of the names of the options in the brief help.
const BRIEF_COLUMN: usize = 25;

/// The words of a text in lines of at most this many columns.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The help of the command at the end of `path` below `root`; `None` if it does not exist.
pub(super) fn text(root: &CommandInfoWithArgs, path: &[String]) -> Option<String> {
    Some(render(command_at(root, path)?, path))
}

fn render(info: &CommandInfoWithArgs, path: &[String]) -> String {
    let mut out = heading(info, path, COLUMN);
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
        out.push_str("\n`ocipipe help COMMAND` shows the options of a command.\n");
    }
    if info.flags.iter().any(|flag| kind(flag) == "SIZE") {
        let values = VALUES.map(|(kind, text)| format!("{kind}: {text}"));
        out.push_str(&format!("\n{}\n", values.join(" ")));
    }
    out
}

/// The width of the names of the options.
const COLUMN: usize = 33;

/// The usage, what the command does, and its positionals.
fn heading(info: &CommandInfoWithArgs, path: &[String], column: usize) -> String {
    let mut out = format!("Usage: {}\n\n{}\n", usage(info, path), sentence(info.description));
    for (index, (name, text)) in positionals(info, path).into_iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        out.push_str(&format!("{gap}  {name:<column$} {text}\n"));
    }
    out
}

/// The names of the positionals and what they are, the command of `put` included.
pub(super) fn positionals(
    info: &CommandInfoWithArgs,
    path: &[String],
) -> Vec<(&'static str, &'static str)> {
    let shown = info.positionals.iter();
    let mut all: Vec<_> =
        shown.map(|positional| (positional.name, positional.description)).collect();
    if path == ["put"] {
        all.push(("COMMAND ARG...", "run this and upload what it writes"));
    }
    all
}

/// The usage of the command with this path, without a label.
pub(super) fn usage(info: &CommandInfoWithArgs, path: &[String]) -> String {
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
    for (heading, flags) in groups(flags) {
        out.push_str(&format!("\n{heading}:\n"));
        for flag in flags {
            let option = format!("{} {}", names(flag), kind(flag));
            out.push_str(&format!("  {:<COLUMN$} {}\n", option.trim_end(), description(flag)));
        }
    }
}

/// The options under their headings, in the order of the help.
pub(super) fn groups<'a, 'b>(
    flags: &'a [FlagInfo<'b>],
) -> Vec<(&'static str, Vec<&'a FlagInfo<'b>>)> {
    // `argh` lists --help first; here it comes last.
    let help = flags.iter().filter(|flag| flag.long == "--help");
    // A command without an account has too few options for groups.
    let has_groups = flags.iter().any(|flag| flag.long == "--auth");
    let mut groups: Vec<(&str, Vec<_>)> = Vec::new();
    for flag in flags.iter().filter(|flag| flag.long != "--help").chain(help) {
        let starts = |first: &str| first == flag.long && (has_groups || first == "--help");
        let group = GROUPS.iter().find(|(first, _)| starts(first)).map(|(_, group)| *group);
        if let Some(heading) = group.or(groups.is_empty().then_some("Options")) {
            groups.push((heading, Vec::new()));
        }
        if let Some((_, flags)) = groups.last_mut() {
            flags.push(flag);
        }
    }
    groups
}

/// The names of an option, as they are listed.
pub(super) fn names(flag: &FlagInfo<'_>) -> String {
    match (flag.long, flag.short) {
        ("--help", _) => "-h, --help".to_owned(),
        (long, Some(short)) => format!("-{short}, {long}"),
        (long, None) => long.to_owned(),
    }
}

/// What an option does.
pub(super) fn description<'a>(flag: &FlagInfo<'a>) -> &'a str {
    if flag.long == "--help" { "show this text" } else { flag.description }
}

/// The kind of the option's value; empty for a switch.
pub(super) fn kind<'a>(flag: &FlagInfo<'a>) -> &'a str {
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
pub(super) fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let end = if phrase.ends_with('.') { "" } else { "." };
    first.into_iter().chain(letters).chain(end.chars()).collect()
}
