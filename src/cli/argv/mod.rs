//! Translates argv into the words that `argh` accepts.
//!
//! Owns what the OCI CLI accepts and `argh` does not: `--option=value`, other names of an option,
//! options before and after the command and its positionals, and a lone `-`. Separates the command
//! after `--`, whose arguments need not be UTF-8. Must not know what an option means; the structs
//! of `args` list the options and whether each takes a value. Invariant: each option is a word of
//! its own, followed by its value, and all positionals follow a `--`, so that `argh` cannot misread
//! any of them.
//!
//! If an option is given twice, the last one counts, as in the OCI CLI: scripts append options to
//! override earlier ones.

mod command_line;

use std::ffi::{OsStr, OsString};

use argh::{CommandInfoWithArgs, FlagInfoKind};

pub(crate) use command_line::CommandLine;

use super::suggest;
use proto::error::Error;

/// The request in argv, before any value is parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParsedArgv {
    Version,
    /// The whole help on the command with this path; the empty path means the program.
    Help(Vec<String>),
    /// The help that `--help` shows.
    BriefHelp(Vec<String>),
    Run(CommandLine),
}

/// A usage error, and the path of the command for the hint on help.
#[derive(Debug)]
pub(crate) struct UsageError {
    pub path: Vec<String>,
    pub error: Error,
}

/// Splits the arguments, without the name of the program, by the options that `root` lists. Fails
/// at the first argument that is unknown, misplaced or lacks its value.
pub(crate) fn split(
    argv: &[OsString],
    root: &CommandInfoWithArgs,
) -> Result<ParsedArgv, UsageError> {
    let mut splitter =
        Splitter { root, leaf: root, line: CommandLine::default(), help: false, version: false };
    match splitter.run(argv) {
        Ok(()) => splitter.finish(),
        Err(error) => Err(UsageError { path: splitter.line.path, error }),
    }
}

/// The state between two arguments.
struct Splitter<'a> {
    /// The program itself.
    root: &'a CommandInfoWithArgs,
    /// The command at the end of the path.
    leaf: &'a CommandInfoWithArgs,
    line: CommandLine,
    help: bool,
    version: bool,
}

impl Splitter<'_> {
    fn run(&mut self, argv: &[OsString]) -> Result<(), Error> {
        let mut rest = argv.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                if self.takes_trailing_command() {
                    self.line.command = Some(rest.cloned().collect());
                } else {
                    for arg in rest.by_ref() {
                        self.line.positionals.push(text(arg)?.to_owned());
                    }
                }
                return Ok(());
            }
            let arg = text(arg)?;
            if arg.starts_with('-') && arg != "-" {
                self.option(arg, &mut rest)?;
            } else {
                self.command_or_positional(arg)?;
            }
        }
        Ok(())
    }

    /// An argument that starts with a dash, and its value from `rest` if it takes one.
    fn option(&mut self, arg: &str, rest: &mut std::slice::Iter<OsString>) -> Result<(), Error> {
        let (option, inline) = match arg.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (arg, None),
        };
        let name = canonical_name(option);
        let is_known = find(self.root, name).is_some();
        if let Some(program) = self.command_without_separator()
            && (name == "--help" || name == "--version" || !is_known)
        {
            return Err(Error::usage(format!("{option} is no option of put"))
                .with_hint(format!("if it belongs to a command, write -- before {program}")));
        }
        match name {
            "--help" => {
                self.help = true;
                return Ok(());
            }
            // `oci -v` prints the version; after a command, -v means something else.
            "--version" | "-v" if self.line.path.is_empty() => {
                self.version = true;
                return Ok(());
            }
            _ => {}
        }
        let Some((name, takes_value)) = find(self.root, name) else {
            return Err(self.unknown_option(option));
        };
        if !takes_value {
            if inline.is_some() {
                return Err(Error::usage(format!("{option} takes no value")));
            }
            self.set(name, None);
            return Ok(());
        }
        let value = match inline {
            Some(value) => value,
            None => self.value(option, rest)?,
        };
        if value.is_empty() {
            return Err(Error::usage(format!("{option} has an empty value")));
        }
        self.set(name, Some(value));
        Ok(())
    }

    /// Adds an option, in place of an earlier one with the same name.
    fn set(&mut self, name: &'static str, value: Option<String>) {
        self.line.options.retain(|(given, _)| *given != name);
        self.line.options.push((name, value));
    }

    /// The value after an option. Another option there is an error: the value was forgotten, or
    /// came from an empty variable of the script.
    fn value(&self, option: &str, rest: &mut std::slice::Iter<OsString>) -> Result<String, Error> {
        let missing = || Error::usage(format!("{option} needs a value"));
        let arg = rest.next().ok_or_else(missing)?;
        let arg = text(arg)?;
        let name = canonical_name(arg.split('=').next().unwrap_or(arg));
        if arg == "--" || name == "--help" || (arg != "-" && find(self.root, name).is_some()) {
            return Err(
                missing().with_hint(format!("if its value is {arg:?}, write {option}={arg}"))
            );
        }
        Ok(arg.to_owned())
    }

    /// An argument that is no option: the name of a command, or a positional.
    fn command_or_positional(&mut self, arg: &str) -> Result<(), Error> {
        if self.leaf.commands.is_empty() {
            self.line.positionals.push(arg.to_owned());
            return Ok(());
        }
        let found = self.leaf.commands.iter().find(|sub| sub.name == arg);
        let Some(sub) = found else {
            let error = Error::usage(format!("there is no command {:?}", self.command_name(arg)));
            if self.line.path.is_empty() && arg.contains("://") {
                return Err(error.with_hint(format!("to upload, write `ocipipe put {arg}`")));
            }
            let hint = suggest::command(arg, self.leaf.commands.iter().map(|sub| sub.name));
            return Err(error
                .with_hint(hint.unwrap_or(format!("there are: {}", subcommand_names(self.leaf)))));
        };
        self.line.path.push(arg.to_owned());
        self.leaf = &sub.command;
        Ok(())
    }

    /// The result after the last argument.
    fn finish(mut self) -> Result<ParsedArgv, UsageError> {
        if self.help {
            return Ok(ParsedArgv::BriefHelp(self.line.path));
        }
        if self.version {
            return Ok(ParsedArgv::Version);
        }
        match self.check() {
            Err(error) => Err(UsageError { path: self.line.path, error }),
            Ok(()) if self.line.path == ["help"] => Ok(ParsedArgv::Help(self.line.positionals)),
            Ok(()) => Ok(ParsedArgv::Run(self.line)),
        }
    }

    /// Fails if the command is incomplete or does not take an option that was given.
    fn check(&mut self) -> Result<(), Error> {
        if !self.leaf.commands.is_empty() {
            let message = match self.line.path.as_slice() {
                [] => "no command was given".to_owned(),
                path => format!("{} needs a subcommand", path.join(" ")),
            };
            return Err(Error::usage(message)
                .with_hint(format!("there are: {}", subcommand_names(self.leaf))));
        }
        for (name, _) in &self.line.options {
            if !self.leaf.flags.iter().any(|flag| flag.long == *name) {
                let error =
                    Error::usage(format!("{} does not take {name}", self.line.path.join(" ")));
                return Err(match suggest::of_other_command(name) {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                });
            }
        }
        if matches!(&self.line.command, Some(command) if command.is_empty()) {
            return Err(Error::usage("there is no command behind --")
                .with_hint("write `ocipipe put oci://BUCKET/NAME -- pg_dump mydb`"));
        }
        self.take_lone_dash()
    }

    /// Turns a lone `-`, which means the standard stream, into `--file -`.
    fn take_lone_dash(&mut self) -> Result<(), Error> {
        let dashes = self.line.positionals.iter().filter(|arg| *arg == "-").count();
        if dashes == 0 {
            return Ok(());
        }
        if !self.leaf.flags.iter().any(|flag| flag.long == "--file") {
            return Err(Error::usage(format!("{} takes no -", self.line.path.join(" "))));
        }
        let file = self.line.given("--file");
        if dashes > 1 || file.is_some_and(|value| value != Some("-")) {
            return Err(Error::usage("- is given besides another file")
                .with_hint("- stands for stdin (put) or stdout (get), like --file -"));
        }
        if file.is_none() {
            self.line.options.push(("--file", Some("-".to_owned())));
        }
        self.line.positionals.retain(|arg| arg != "-");
        Ok(())
    }

    /// The program, where the words so far look like a command whose `--` was forgotten: a word besides the
    /// destination that is no address.
    fn command_without_separator(&self) -> Option<&str> {
        if !self.takes_trailing_command() {
            return None;
        }
        let skipped = usize::from(self.line.given("--bucket-name").is_none());
        let program = self.line.positionals.get(skipped)?;
        (program != "-" && !program.contains("://")).then_some(program)
    }

    fn takes_trailing_command(&self) -> bool {
        self.line.path == ["put"]
    }

    /// The path of the current command, followed by another name.
    fn command_name(&self, arg: &str) -> String {
        self.line.path.iter().map(String::as_str).chain([arg]).collect::<Vec<_>>().join(" ")
    }

    fn unknown_option(&self, option: &str) -> Error {
        let error = Error::usage(format!("there is no option {option}"));
        let known: Vec<&str> = if self.line.path.is_empty() {
            all_options(self.root)
        } else {
            self.leaf.flags.iter().map(|flag| flag.long).collect()
        };
        match suggest::option(option, known.into_iter()) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The name here of an option that the OCI CLI gives several names.
pub fn canonical_name(option: &str) -> &str {
    match option {
        "-bn" => "--bucket-name",
        "-ns" | "--namespace-name" => "--namespace",
        "-on" | "--object-name" => "--name",
        "-d" => "--debug",
        "--opc-checksum-algorithm" => "--checksum",
        "--defaults-file" => "--cli-rc-file",
        "--config-location" => "--config-file",
        "--opc-request-id" | "--request-id" => "--opc-client-request-id",
        "-h" | "-?" => "--help",
        "-V" => "--version",
        other => other,
    }
}

/// The option's name in `args`, and whether it takes a value; searches all commands below `info`.
fn find(info: &CommandInfoWithArgs, name: &str) -> Option<(&'static str, bool)> {
    let here = info.flags.iter().find(|flag| flag.long == name);
    here.map(|flag| (flag.long, matches!(flag.kind, FlagInfoKind::Option { .. })))
        .or_else(|| info.commands.iter().find_map(|sub| find(&sub.command, name)))
}

/// The options of a command and of all its subcommands.
pub(super) fn all_options(info: &CommandInfoWithArgs) -> Vec<&'static str> {
    let mut all: Vec<&str> = info.flags.iter().map(|flag| flag.long).collect();
    info.commands.iter().for_each(|sub| all.extend(all_options(&sub.command)));
    all
}

/// The command with this path below `root`; `None` if it does not exist.
pub(super) fn command_at<'a>(
    root: &'a CommandInfoWithArgs,
    path: &[String],
) -> Option<&'a CommandInfoWithArgs> {
    path.iter().try_fold(root, |info, name| {
        info.commands.iter().find(|sub| sub.name == name).map(|sub| &sub.command)
    })
}

fn subcommand_names(info: &CommandInfoWithArgs) -> String {
    info.commands.iter().map(|sub| sub.name).collect::<Vec<_>>().join(", ")
}

fn text(arg: &OsStr) -> Result<&str, Error> {
    arg.to_str().ok_or_else(|| {
        Error::usage(format!("the argument {arg:?} is not UTF-8"))
            .with_hint("only the command behind -- may have other bytes in it")
    })
}

#[cfg(test)]
mod tests;
