//! The split of argv, and the error of each misuse.

use super::*;
use crate::cli::args;
use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;

fn parse(line: &str) -> Result<ParsedArgv, UsageError> {
    let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    split(&argv, &args::info())
}

fn words(line: &str) -> String {
    match parse(line) {
        Ok(ParsedArgv::Run(line)) => line.words().join(" "),
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    parse(line).unwrap_err().error.to_string()
}

#[test]
fn every_name_of_an_option_becomes_its_canonical_name() {
    let expected = "put --bucket-name b --namespace n --name x --";
    assert_eq!(words("put -bn b -ns n --name x"), expected);
    assert_eq!(words("put --bucket-name=b --namespace-name n --name=x"), expected);
    assert_eq!(words("--bucket-name b put -ns=n --name x"), expected);
    assert_eq!(words("uploads abort -on x"), "uploads abort --name x --");
    assert_eq!(words("put -d oci://b/n"), "put --debug -- oci://b/n");
    assert_eq!(words("put --metadata={\"a\":\"b=c\"}"), "put --metadata {\"a\":\"b=c\"} --");
}

#[test]
fn options_may_come_before_and_after_the_positional() {
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
    assert!(error("put - --file x oci://b/n").starts_with("- is given besides"));
    assert!(error("put - - oci://b/n").starts_with("- is given besides"));
    assert_eq!(error("serve -"), "serve takes no -");
}

#[test]
fn the_command_after_the_dashes_is_kept_byte_for_byte() {
    let mut argv: Vec<OsString> =
        ["put", "oci://b/n", "--", "cat", "--help", "--", "-"].map(OsString::from).to_vec();
    argv.push(OsString::from_vec(vec![0xff, b'x']));
    let ParsedArgv::Run(line) = split(&argv, &args::info()).unwrap() else {
        panic!("not a run");
    };
    assert_eq!(line.words().join(" "), "put -- oci://b/n");
    assert_eq!(line.command.unwrap(), &argv[3..]);
    assert!(error("put oci://b/n --").starts_with("there is no command behind --"));
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_before_the_command() {
    for before in [vec![], vec!["put"], vec!["put", "--name"], vec!["get", "--"]] {
        let mut argv: Vec<OsString> = before.into_iter().map(OsString::from).collect();
        argv.push(OsString::from_vec(vec![0xff]));
        let error = split(&argv, &args::info()).unwrap_err();
        assert!(error.error.message.ends_with("is not UTF-8"), "{error:?}");
    }
}

#[test]
fn the_last_value_of_an_option_given_twice_counts() {
    assert_eq!(words("put -bn a --name x --bucket-name=b"), "put --name x --bucket-name b --");
    assert_eq!(words("--profile p get oci://b/n --profile q"), "get --profile q -- oci://b/n");
    assert_eq!(words("put --file x - oci://b/n --file=-"), "put --file - -- oci://b/n");
    assert_eq!(words("put --force --quiet --force"), "put --quiet --force --");
    assert_eq!(error("put --name a --name="), "--name has an empty value");
}

#[test]
fn help_and_version_are_found_in_every_place() {
    let help = |path: &[&str]| ParsedArgv::Help(path.iter().map(|s| (*s).to_owned()).collect());
    let brief =
        |path: &[&str]| ParsedArgv::BriefHelp(path.iter().map(|s| (*s).to_owned()).collect());
    assert_eq!(parse("-h").unwrap(), brief(&[]));
    assert_eq!(parse("help").unwrap(), help(&[]));
    assert_eq!(parse("put oci://b/n -h").unwrap(), brief(&["put"]));
    assert_eq!(parse("uploads --help").unwrap(), brief(&["uploads"]));
    assert_eq!(parse("help uploads abort").unwrap(), help(&["uploads", "abort"]));
    assert_eq!(parse("--version").unwrap(), ParsedArgv::Version);
    assert_eq!(parse("-V").unwrap(), ParsedArgv::Version);
    assert_eq!(parse("-v").unwrap(), ParsedArgv::Version);
    assert_eq!(parse("put -?").unwrap(), brief(&["put"]));
    assert_eq!(error("put --version"), "put does not take --version");
}

#[test]
fn each_misuse_has_its_own_message() {
    for (line, message) in [
        (
            "",
            "no command was given\n  there are: put, get, verify, uploads, session, serve, completions, man, help",
        ),
        ("uploads", "uploads needs a subcommand\n  there are: list, abort"),
        ("putt", "there is no command \"putt\"\n  did you mean put?"),
        (
            "session x",
            "there is no command \"session x\"\n  there are: authenticate, show, refresh, export, import",
        ),
        (
            "oci://b/n",
            "there is no command \"oci://b/n\"\n  to upload, write `ocipipe put oci://b/n`",
        ),
        ("put --prat-size 5", "there is no option --prat-size\n  did you mean --part-size?"),
        ("put --part 5", "there is no option --part\n  did you mean --part-size?"),
        ("put --zzz", "there is no option --zzz"),
        ("uploads list --page 2", "there is no option --page\n  leave it out: all pages are read"),
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
        ("put --name -- cat", "--name needs a value\n  if its value is \"--\", write --name=--"),
        ("put --name=", "--name has an empty value"),
        ("help --force put", "help does not take --force"),
        ("put --older-than 1d oci://b/n", "put does not take --older-than"),
        ("--older-than 1d put oci://b/n", "put does not take --older-than"),
        (
            "put --timeout 1m oci://b/n",
            "put does not take --timeout\n  write --stall-timeout DURATION, or --retry-for DURATION",
        ),
    ] {
        assert_eq!(error(line), message, "{line}");
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
