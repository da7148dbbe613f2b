//! Splits argv into what `argh` can read, closing the gaps between `argh` and the OCI CLI.
//!
//! Accepts `--option=value`, the OCI CLI's other spellings of an option, options before and after the
//! command and its positionals, a lone `-`, and cuts off the command behind `--` as bytes.
//! Must not know what an option means; which options there are, and which take a value, it learns
//! from the structs of `args`. Invariant: what comes out has every option as a word of its own, its
//! value as the next, and all positionals behind a `--`, so that `argh` cannot misread any of it.
//!
//! Of an option that is given twice the last one counts, as in the OCI CLI: a script that puts options
//! of the moment behind those of every day goes on working.

use std::ffi::{OsStr, OsString};

use argh::{CommandInfoWithArgs, FlagInfoKind};

use super::suggest;
use proto::error::Error;

/// What argv asks for, before any value is looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum ParsedArgv {
    Version,
    /// Help on the command with this path; the empty path is the program.
    Help(Vec<String>),
    Run {
        /// The words for `argh`.
        words: Vec<String>,
        /// What stood behind `--`, where the command takes that.
        command: Option<Vec<OsString>>,
    },
}

/// A usage error and the command it happened in, for the hint on how to get help.
#[derive(Debug)]
pub struct UsageError {
    pub path: Vec<String>,
    pub error: Error,
}

/// Splits the arguments (without the program's name) by what `root` knows.
pub fn split(argv: &[OsString], root: &CommandInfoWithArgs) -> Result<ParsedArgv, UsageError> {
    let mut splitter = Splitter {
        root,
        leaf: root,
        path: Vec::new(),
        options: Vec::new(),
        positionals: Vec::new(),
        command: None,
        help: false,
        version: false,
    };
    match splitter.run(argv) {
        Ok(()) => splitter.finish(),
        Err(error) => Err(UsageError { path: splitter.path, error }),
    }
}

struct Splitter<'a> {
    root: &'a CommandInfoWithArgs,
    leaf: &'a CommandInfoWithArgs,
    path: Vec<String>,
    options: Vec<(&'a str, Option<String>)>,
    positionals: Vec<String>,
    command: Option<Vec<OsString>>,
    help: bool,
    version: bool,
}

impl<'a> Splitter<'a> {
    fn run(&mut self, argv: &[OsString]) -> Result<(), Error> {
        let mut rest = argv.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                if self.takes_trailing_command() {
                    self.command = Some(rest.cloned().collect());
                } else {
                    for word in rest.by_ref() {
                        self.positionals.push(text(word)?.to_owned());
                    }
                }
                return Ok(());
            }
            let word = text(word)?;
            if word.starts_with('-') && word != "-" {
                self.option(word, &mut rest)?;
            } else {
                self.word(word)?;
            }
        }
        Ok(())
    }

    fn option(&mut self, word: &str, rest: &mut std::slice::Iter<OsString>) -> Result<(), Error> {
        let (spelt, inline) = match word.split_once('=') {
            Some((spelt, value)) => (spelt, Some(value.to_owned())),
            None => (word, None),
        };
        let name = canonical_name(spelt);
        match name {
            "--help" => {
                self.help = true;
                return Ok(());
            }
            // `oci -v` is its version; behind a command it was not meant so.
            "--version" | "-v" if self.path.is_empty() => {
                self.version = true;
                return Ok(());
            }
            _ => {}
        }
        let Some((name, takes_value)) = find(self.root, name) else {
            return Err(self.unknown(spelt));
        };
        if !takes_value {
            if inline.is_some() {
                return Err(Error::usage(format!("{spelt} takes no value")));
            }
            self.options.retain(|(given, _)| *given != name);
            self.options.push((name, None));
            return Ok(());
        }
        let value = match inline {
            Some(value) => value,
            None => self.value(spelt, rest)?,
        };
        if value.is_empty() {
            return Err(Error::usage(format!("{spelt} has an empty value")));
        }
        self.options.retain(|(given, _)| *given != name);
        self.options.push((name, Some(value)));
        Ok(())
    }

    /// The word behind an option. Another option there means that the value was forgotten, or that a
    /// variable of the script is empty.
    fn value(&self, spelt: &str, rest: &mut std::slice::Iter<OsString>) -> Result<String, Error> {
        let missing = || Error::usage(format!("{spelt} needs a value"));
        let word = rest.next().ok_or_else(missing)?;
        let word = text(word)?;
        let name = canonical_name(word.split('=').next().unwrap_or(word));
        if word == "--" || name == "--help" || (word != "-" && find(self.root, name).is_some()) {
            return Err(
                missing().with_hint(format!("if its value is {word:?}, write {spelt}={word}"))
            );
        }
        Ok(word.to_owned())
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        if self.leaf.commands.is_empty() {
            self.positionals.push(word.to_owned());
            return Ok(());
        }
        let found = self.leaf.commands.iter().find(|sub| sub.name == word);
        let Some(sub) = found else {
            let error = Error::usage(format!("there is no command {:?}", self.option_name(word)));
            if self.path.is_empty() && word.contains("://") {
                return Err(error.with_hint(format!("to upload, write `ocipipe put {word}`")));
            }
            let hint = suggest::command(word, self.leaf.commands.iter().map(|sub| sub.name));
            return Err(
                error.with_hint(hint.unwrap_or(format!("there are: {}", option_names(self.leaf))))
            );
        };
        self.path.push(word.to_owned());
        self.leaf = &sub.command;
        Ok(())
    }

    fn finish(mut self) -> Result<ParsedArgv, UsageError> {
        if self.help {
            return Ok(ParsedArgv::Help(self.path));
        }
        if self.version {
            return Ok(ParsedArgv::Version);
        }
        match self.check() {
            Err(error) => Err(UsageError { path: self.path, error }),
            Ok(()) if self.path == ["help"] => Ok(ParsedArgv::Help(self.positionals)),
            Ok(()) => {
                let mut words = self.path;
                for (name, value) in self.options {
                    words.push(name.to_owned());
                    words.extend(value);
                }
                words.push("--".to_owned());
                words.extend(self.positionals);
                Ok(ParsedArgv::Run { words, command: self.command })
            }
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        if !self.leaf.commands.is_empty() {
            let what = match self.path.as_slice() {
                [] => "no command was given".to_owned(),
                path => format!("{} needs to be told what to do", path.join(" ")),
            };
            return Err(
                Error::usage(what).with_hint(format!("there are: {}", option_names(self.leaf)))
            );
        }
        for (name, _) in &self.options {
            if !self.leaf.flags.iter().any(|flag| flag.long == *name) {
                return Err(Error::usage(format!("{} does not take {name}", self.path.join(" "))));
            }
        }
        if matches!(&self.command, Some(command) if command.is_empty()) {
            return Err(Error::usage("there is no command behind --")
                .with_hint("write `ocipipe put oci://BUCKET/NAME -- pg_dump mydb`"));
        }
        self.is_lone_dash()
    }

    /// A lone `-` is the standard stream, in the place where `--file -` would have named it.
    fn is_lone_dash(&mut self) -> Result<(), Error> {
        let dashes = self.positionals.iter().filter(|word| *word == "-").count();
        if dashes == 0 {
            return Ok(());
        }
        if !self.leaf.flags.iter().any(|flag| flag.long == "--file") {
            return Err(Error::usage(format!("{} takes no -", self.path.join(" "))));
        }
        let file = self.options.iter().find(|(name, _)| *name == "--file");
        if dashes > 1 || file.is_some_and(|(_, value)| value.as_deref() != Some("-")) {
            return Err(Error::usage("- is given besides another file")
                .with_hint("- stands for stdin (put) or stdout (get), like --file -"));
        }
        if file.is_none() {
            self.options.push(("--file", Some("-".to_owned())));
        }
        self.positionals.retain(|word| word != "-");
        Ok(())
    }

    fn takes_trailing_command(&self) -> bool {
        self.path == ["put"]
    }

    fn option_name(&self, word: &str) -> String {
        self.path.iter().map(String::as_str).chain([word]).collect::<Vec<_>>().join(" ")
    }

    fn unknown(&self, spelt: &str) -> Error {
        let error = Error::usage(format!("there is no option {spelt}"));
        let known: Vec<&str> = if self.path.is_empty() {
            all_options(self.root)
        } else {
            self.leaf.flags.iter().map(|flag| flag.long).collect()
        };
        match suggest::option(spelt, known.into_iter()) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The one name of an option that the OCI CLI spells in several ways.
pub fn canonical_name(spelt: &str) -> &str {
    match spelt {
        "-bn" => "--bucket-name",
        "-ns" | "--namespace-name" => "--namespace",
        "-on" | "--object-name" => "--name",
        "-d" => "--debug",
        "-h" | "-?" => "--help",
        "-V" => "--version",
        other => other,
    }
}

/// The option as `argh` knows it, and whether it takes a value, wherever in the tree it is.
fn find<'a>(info: &'a CommandInfoWithArgs, name: &str) -> Option<(&'a str, bool)> {
    let here = info.flags.iter().find(|flag| flag.long == name);
    here.map(|flag| (flag.long, matches!(flag.kind, FlagInfoKind::Option { .. })))
        .or_else(|| info.commands.iter().find_map(|sub| find(&sub.command, name)))
}

fn all_options(info: &CommandInfoWithArgs) -> Vec<&str> {
    let mut all: Vec<&str> = info.flags.iter().map(|flag| flag.long).collect();
    info.commands.iter().for_each(|sub| all.extend(all_options(&sub.command)));
    all
}

fn option_names(info: &CommandInfoWithArgs) -> String {
    info.commands.iter().map(|sub| sub.name).collect::<Vec<_>>().join(", ")
}

fn text(word: &OsStr) -> Result<&str, Error> {
    word.to_str().ok_or_else(|| {
        Error::usage(format!("the argument {word:?} is not UTF-8"))
            .with_hint("only the command behind -- may have other bytes in it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;
    use std::collections::HashMap;
    use std::os::unix::ffi::OsStringExt;

    fn ran(line: &str) -> Result<ParsedArgv, UsageError> {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        split(&argv, &args::info())
    }

    fn words(line: &str) -> String {
        match ran(line) {
            Ok(ParsedArgv::Run { words, .. }) => words.join(" "),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> String {
        ran(line).unwrap_err().error.to_string()
    }

    #[test]
    fn every_spelling_of_an_option_comes_out_as_one() {
        let want = "put --bucket-name b --namespace n --name x --";
        assert_eq!(words("put -bn b -ns n --name x"), want);
        assert_eq!(words("put --bucket-name=b --namespace-name n --name=x"), want);
        assert_eq!(words("--bucket-name b put -ns=n --name x"), want);
        assert_eq!(words("uploads abort -on x"), "uploads abort --name x --");
        assert_eq!(words("put -d oci://b/n"), "put --debug -- oci://b/n");
        assert_eq!(words("put --metadata={\"a\":\"b=c\"}"), "put --metadata {\"a\":\"b=c\"} --");
    }

    #[test]
    fn options_may_stand_before_and_behind_the_positional() {
        assert_eq!(words("put --force oci://b/n --quiet"), "put --force --quiet -- oci://b/n");
        assert_eq!(words("get -- --help"), "get -- --help");
        assert_eq!(
            words("--profile p uploads list -bn b"),
            "uploads list --profile p --bucket-name b --"
        );
    }

    #[test]
    fn a_lone_dash_is_the_standard_stream() {
        assert_eq!(words("put --file - oci://b/n"), "put --file - -- oci://b/n");
        assert_eq!(words("put --file=- oci://b/n"), "put --file - -- oci://b/n");
        assert_eq!(words("put - oci://b/n"), "put --file - -- oci://b/n");
        assert_eq!(words("get oci://b/n -"), "get --file - -- oci://b/n");
        assert_eq!(words("put - --file - oci://b/n"), "put --file - -- oci://b/n");
        assert!(refused("put - --file x oci://b/n").starts_with("- is given besides"));
        assert!(refused("put - - oci://b/n").starts_with("- is given besides"));
        assert_eq!(refused("serve -"), "serve takes no -");
    }

    #[test]
    fn the_command_behind_the_dashes_is_left_alone_to_the_byte() {
        let mut argv: Vec<OsString> =
            ["put", "oci://b/n", "--", "cat", "--help", "--", "-"].map(OsString::from).to_vec();
        argv.push(OsString::from_vec(vec![0xff, b'x']));
        let ParsedArgv::Run { words, command } = split(&argv, &args::info()).unwrap() else {
            panic!("not a run");
        };
        assert_eq!(words.join(" "), "put -- oci://b/n");
        assert_eq!(command.unwrap(), &argv[3..]);
        assert!(refused("put oci://b/n --").starts_with("there is no command behind --"));
    }

    #[test]
    fn other_bytes_than_utf8_are_refused_before_the_command() {
        for before in [vec![], vec!["put"], vec!["put", "--name"], vec!["get", "--"]] {
            let mut argv: Vec<OsString> = before.into_iter().map(OsString::from).collect();
            argv.push(OsString::from_vec(vec![0xff]));
            let misuse = split(&argv, &args::info()).unwrap_err();
            assert!(misuse.error.message.ends_with("is not UTF-8"), "{misuse:?}");
        }
    }

    #[test]
    fn of_an_option_given_twice_the_last_one_counts() {
        assert_eq!(words("put -bn a --name x --bucket-name=b"), "put --name x --bucket-name b --");
        assert_eq!(words("--profile p get oci://b/n --profile q"), "get --profile q -- oci://b/n");
        assert_eq!(words("put --file x - oci://b/n --file=-"), "put --file - -- oci://b/n");
        assert_eq!(words("put --force --quiet --force"), "put --quiet --force --");
        assert_eq!(refused("put --name a --name="), "--name has an empty value");
    }

    #[test]
    fn help_and_version_are_found_wherever_they_stand() {
        let help = |path: &[&str]| ParsedArgv::Help(path.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(ran("-h").unwrap(), help(&[]));
        assert_eq!(ran("help").unwrap(), help(&[]));
        assert_eq!(ran("put oci://b/n -h").unwrap(), help(&["put"]));
        assert_eq!(ran("uploads --help").unwrap(), help(&["uploads"]));
        assert_eq!(ran("help uploads abort").unwrap(), help(&["uploads", "abort"]));
        assert_eq!(ran("--version").unwrap(), ParsedArgv::Version);
        assert_eq!(ran("-V").unwrap(), ParsedArgv::Version);
        assert_eq!(ran("-v").unwrap(), ParsedArgv::Version);
        assert_eq!(ran("put -?").unwrap(), help(&["put"]));
        assert_eq!(refused("put --version"), "put does not take --version");
    }

    #[test]
    fn each_misuse_has_its_own_message() {
        for (line, message) in [
            (
                "",
                "no command was given\n  there are: put, get, uploads, session, serve, completions, help",
            ),
            ("uploads", "uploads needs to be told what to do\n  there are: list, abort"),
            ("putt", "there is no command \"putt\"\n  did you mean put?"),
            ("session x", "there is no command \"session x\"\n  there are: show, refresh"),
            (
                "oci://b/n",
                "there is no command \"oci://b/n\"\n  to upload, write `ocipipe put oci://b/n`",
            ),
            ("put --prat-size 5", "there is no option --prat-size\n  did you mean --part-size?"),
            ("put --part 5", "there is no option --part\n  did you mean --part-size?"),
            ("put --zzz", "there is no option --zzz"),
            (
                "uploads list --page 2",
                "there is no option --page\n  leave it out: all pages are read",
            ),
            (
                "put -v",
                "there is no option -v\n  write --version for the version, \
                 --debug for what is sent and received",
            ),
            (
                "upload x",
                "there is no command \"upload\"\n  write `ocipipe put` to upload, \
                 `ocipipe uploads` for uploads that were left open",
            ),
            ("put -n x", "there is no option -n"),
            ("put --overwrite", "there is no option --overwrite\n  write --force"),
            ("put --force=yes", "--force takes no value"),
            ("put --name", "--name needs a value"),
            (
                "put --name --force",
                "--name needs a value\n  if its value is \"--force\", write --name=--force",
            ),
            (
                "put --name -- cat",
                "--name needs a value\n  if its value is \"--\", write --name=--",
            ),
            ("put --name=", "--name has an empty value"),
            ("help --force put", "help does not take --force"),
            ("put --older-than 1d oci://b/n", "put does not take --older-than"),
            ("--older-than 1d put oci://b/n", "put does not take --older-than"),
        ] {
            assert_eq!(refused(line), message, "{line}");
        }
    }

    #[test]
    fn an_option_takes_a_value_in_every_command_or_in_none() {
        fn visit(info: &CommandInfoWithArgs, seen: &mut HashMap<String, bool>) {
            for flag in info.flags {
                let value = matches!(flag.kind, FlagInfoKind::Option { .. });
                assert_eq!(*seen.entry(flag.long.to_owned()).or_insert(value), value);
            }
            info.commands.iter().for_each(|sub| visit(&sub.command, seen));
        }
        visit(&args::info(), &mut HashMap::new());
    }
}
