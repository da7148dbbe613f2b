//! The man page in roff, generated from the structs of `args`.
//!
//! Owns the order of the sections and their markup. Must not name an option or describe one: these
//! texts are those of the help. Invariant: every command, option, note and exit code of the help is
//! in the page, and the same program always writes the same bytes.

use argh::{CommandInfoWithArgs, FlagInfo};
use roff::{Inline, Roff, bold, italic, roman};

use super::args;
use super::help;

mod surroundings;

/// The day on which the texts of the page were last reviewed; a build must not depend on the clock.
const REVIEWED_ON: &str = "2026-11-29";

/// The man page of the program, section 1.
pub(crate) fn page() -> String {
    let root = args::info();
    let mut page = Roff::new();
    let source = concat!("ocipipe ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["OCIPIPE", "1", REVIEWED_ON, source, "User Commands"]);
    section(&mut page, "NAME");
    page.text([roman("ocipipe - store one stream as one object in OCI Object Storage")]);
    section(&mut page, "SYNOPSIS");
    synopsis(&mut page, &leaves(&root));
    section(&mut page, "DESCRIPTION");
    surroundings::DESCRIPTION.iter().enumerate().for_each(|(index, text)| {
        if index > 0 {
            page.control("PP", []);
        }
        page.text([roman(*text)]);
    });
    section(&mut page, "COMMANDS");
    let of_program = root.flags.iter().filter(|flag| flag.long != "--help");
    of_program.for_each(|flag| option(&mut page, flag));
    leaves(&root).iter().for_each(|(path, info)| command(&mut page, path, info, &root));
    account(&mut page, &root);
    section(&mut page, "VALUES");
    help::VALUES.iter().for_each(|(kind, text)| entry(&mut page, [italic(*kind)], text));
    section(&mut page, "ENVIRONMENT");
    page.text([roman(surroundings::PRECEDENCE)]);
    for (names, text) in surroundings::ENVIRONMENT {
        entry(&mut page, separated(names), text);
    }
    section(&mut page, "FILES");
    surroundings::FILES.iter().for_each(|(path, text)| entry(&mut page, [italic(*path)], text));
    section(&mut page, "EXIT STATUS");
    for code in root.error_codes {
        entry(&mut page, [bold(code.code.to_string())], code.description);
    }
    section(&mut page, "EXAMPLES");
    verbatim(&mut page, root.examples);
    section(&mut page, "SEE ALSO");
    page.text(separated(surroundings::SEE_ALSO));
    page.render()
}

/// A command without subcommands, and its path.
type Leaf<'a> = (Vec<String>, &'a CommandInfoWithArgs);

/// Every command without subcommands, in the order of the help.
fn leaves<'a>(root: &'a CommandInfoWithArgs) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    let mut left: Vec<Leaf<'_>> = vec![(Vec::new(), root)];
    while let Some((path, info)) = left.pop() {
        let below = info.commands.iter().rev().map(|sub| {
            let path: Vec<String> = path.iter().cloned().chain([sub.name.to_owned()]).collect();
            (path, &sub.command)
        });
        let before = left.len();
        left.extend(below);
        if left.len() == before {
            found.push((path, info));
        }
    }
    found
}

fn section(page: &mut Roff, heading: &str) {
    page.control("SH", [heading]);
}

/// A paragraph with a tag.
fn entry(page: &mut Roff, tag: impl Into<Vec<Inline>>, text: &str) {
    page.control("TP", []).text(tag.into()).text([roman(text)]);
}

/// The names in bold, separated by commas.
fn separated(names: &[&str]) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for name in names {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.push(bold(*name));
    }
    inlines
}

/// Lines as they are, indented.
fn verbatim(page: &mut Roff, lines: &[&str]) {
    page.control("RS", ["4"]).control("nf", []);
    lines.iter().for_each(|line| {
        page.text([roman(*line)]);
    });
    page.control("fi", []).control("RE", []);
}

fn synopsis(page: &mut Roff, leaves: &[Leaf<'_>]) {
    for (index, (path, info)) in leaves.iter().enumerate() {
        if index > 0 {
            page.control("br", []);
        }
        let usage = help::usage(info, path);
        let name = ["ocipipe"].into_iter().chain(path.iter().map(String::as_str));
        let name = name.collect::<Vec<_>>().join(" ");
        let rest = usage.strip_prefix(&name).unwrap_or_default().to_owned();
        page.text([bold(name), roman(rest)]);
    }
    page.control("br", []);
    page.text([bold("ocipipe --version")]);
}

fn command(
    page: &mut Roff,
    path: &[String],
    info: &CommandInfoWithArgs,
    root: &CommandInfoWithArgs,
) {
    let heading = help::usage(info, path);
    page.control("SS", [heading.as_str()]);
    page.text([roman(help::sentence(info.description))]);
    for (name, text) in help::positionals(info, path) {
        entry(page, [italic(name)], text);
    }
    for (heading, flags) in help::groups(info.flags) {
        // Once in the page, if all of them are the same.
        if heading == help::ACCOUNT && same(&flags, &shared(root)) {
            page.control("PP", []).text([roman(
                "The options on the account and the service have a section of their own below.",
            )]);
            continue;
        }
        page.control("PP", []).text([roman(format!("{heading}:"))]);
        flags.iter().for_each(|flag| option(page, flag));
    }
    if !info.notes.is_empty() {
        page.control("PP", []).text([roman("Notes:")]);
        verbatim(page, info.notes);
    }
    if !info.examples.is_empty() {
        page.control("PP", []).text([roman("Examples:")]);
        verbatim(page, info.examples);
    }
}

/// The options that commands with an account share, as `put` lists them.
fn shared(root: &CommandInfoWithArgs) -> Vec<&'static FlagInfo<'static>> {
    let put = root.commands.iter().find(|sub| sub.name == "put");
    let groups = put.map(|put| help::groups(put.command.flags)).unwrap_or_default();
    groups
        .into_iter()
        .find(|(heading, _)| *heading == help::ACCOUNT)
        .map_or(vec![], |found| found.1)
}

fn same(one: &[&FlagInfo<'_>], other: &[&FlagInfo<'_>]) -> bool {
    let key = |flag: &&FlagInfo<'_>| (flag.long.to_owned(), flag.description.to_owned());
    one.iter().map(key).eq(other.iter().map(key))
}

fn account(page: &mut Roff, root: &CommandInfoWithArgs) {
    section(page, "ACCOUNT AND SERVICE");
    page.text([roman(
        "An option counts before its variable, and that before the file of defaults and the config file.",
    )]);
    shared(root).into_iter().for_each(|flag| option(page, flag));
}

fn option(page: &mut Roff, flag: &FlagInfo<'_>) {
    let mut tag = vec![bold(help::names(flag))];
    let kind = help::kind(flag);
    if !kind.is_empty() {
        tag.extend([roman(" "), italic(kind)]);
    }
    entry(page, tag, help::description(flag));
}
