//! The man page and the completions in the real programs.
//!
//! A program that is missing skips its test with a line on stderr, or fails it if the variable
//! `OCIPIPE_EVERY_PROGRAM` is set.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};

use ocipipe::internals::cli::{Command, args};

use crate::usage_errors::{ocipipe, parse, words};

const OCIPIPE: &str = env!("CARGO_BIN_EXE_ocipipe");

fn printed(line: &str) -> String {
    let output = ocipipe(words(line));
    assert_eq!(output.status.code(), Some(0), "{line}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the program can be run.
fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).exists()) {
        return true;
    }
    assert!(std::env::var_os("OCIPIPE_EVERY_PROGRAM").is_none(), "there is no {program}");
    // Straight to the terminal: the test harness would swallow what `eprintln` writes.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: THERE IS NO {program}").unwrap();
    false
}

/// The text that a program prints that has to succeed.
#[track_caller]
fn stdout(process: &mut Process) -> String {
    let Output { status, stdout, stderr } = process.stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stderr.is_empty(), "{status}: {stdout}{stderr}");
    stdout
}

/// A file with what `ocipipe` prints for this line, in a folder of its own.
fn file(folder: &tempfile::TempDir, name: &str, line: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, printed(line)).unwrap();
    path
}

/// The page as text without overstrikes, from the real `man`.
fn shown(page: &Path) -> String {
    stdout(
        Process::new("man")
            .args(["--no-hyphenation", "--no-justification", "-P", "cat", "-l"])
            .arg(page)
            .env("MANWIDTH", "200")
            .env("MAN_KEEP_FORMATTING", "")
            .env("TERM", "dumb")
            .env("LC_ALL", "C"),
    )
}

#[test]
fn man_shows_every_section_command_and_option() {
    if !exists("man") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = shown(&file(&folder, "ocipipe.1", "man"));
    let lines: Vec<&str> = text.lines().collect();
    let sections: Vec<&str> = lines[1..lines.len() - 1]
        .iter()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .copied()
        .collect();
    let expected = "NAME, SYNOPSIS, DESCRIPTION, COMMANDS, ACCOUNT AND SERVICE, VALUES, ENVIRONMENT, \
                    FILES, EXIT STATUS, EXAMPLES, SEE ALSO";
    assert_eq!(sections, expected.split(", ").collect::<Vec<_>>(), "{text}");
    fn visit(info: &argh::CommandInfoWithArgs, text: &str) {
        for flag in info.flags.iter().filter(|flag| flag.long != "--help") {
            assert!(text.contains(&format!(" {}", flag.long)), "{}", flag.long);
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(flag.description), "{}: {}", flag.long, flag.description);
        }
        for sub in &info.commands {
            assert!(text.split_whitespace().any(|word| word == sub.name), "{}", sub.name);
            visit(&sub.command, text);
        }
    }
    visit(&args::info(), &text);
    for words in ["pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump", "1.5GiB", "default 1h"]
    {
        assert!(text.contains(words), "no {words}: {text}");
    }
}

#[test]
fn mandoc_finds_nothing_to_warn_of() {
    if !exists("mandoc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = file(&folder, "ocipipe.1", "man");
    assert_eq!(stdout(Process::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(page)), "");
}

#[test]
fn the_man_page_names_every_variable_that_the_pages_name() {
    let page = printed("man").replace("\\-", "-");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut count = 0;
    let entries = std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(path).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let variable =
                ["OCI_", "OCIPIPE_", "SSL_CERT_"].iter().any(|start| word.starts_with(start));
            // The heading of the file of defaults, and the start of names.
            if variable && word != "OCI_CLI_SETTINGS" && !word.ends_with('_') {
                assert!(page.contains(word), "no {word}");
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count}");
}

/// The entry of the man page on these variables, as one line.
#[track_caller]
fn entry_of(page: &str, first: &str) -> String {
    let start = page.find(&format!(".TP\n\\fB{first}\\fR")).unwrap_or_else(|| panic!("no {first}"));
    let entry = page[start + 4..].split(".TP").next().unwrap();
    entry.lines().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_man_page_states_the_order_of_the_page_on_configuration() {
    let page = printed("man").replace("\\-", "-").replace("\\&", "");
    let docs = std::fs::read_to_string("docs/configuration.md").unwrap().replace('\n', " ");
    for (first, sentence) in [
        ("OCI_CLI_CONFIG_FILE", "The config file is the first of: "),
        ("OCI_CLI_REGION", "The region is the first of: "),
        ("https_proxy", "The proxy is the first of: "),
        ("OCI_CLI_CERT_BUNDLE", "that the first of these names, and no others: "),
    ] {
        let list = docs.split(sentence).nth(1).unwrap_or_else(|| panic!("no {sentence:?}"));
        let names = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-/.~".contains(c)));
            let words = words.map(|word| word.trim_end_matches('.').to_owned());
            let is_name = |word: &String| {
                word.starts_with("--") || word.contains('_') || word.starts_with("~/.oci/config")
            };
            words.filter(is_name).collect()
        };
        let sentence_end = list.find(". ").unwrap_or(list.len());
        let (documented, shown) = (names(&list[..sentence_end]), names(&entry_of(&page, first)));
        let both: Vec<&String> = shown.iter().filter(|name| documented.contains(name)).collect();
        assert!(both.len() >= 3, "{first}: {shown:?}");
        let order: Vec<&String> = documented.iter().filter(|name| both.contains(name)).collect();
        assert_eq!(both[..order.len()], order, "{first}");
    }
}

#[test]
fn the_man_page_names_every_variable_that_the_program_reads() {
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.ends_with("tests.rs") || folder.ends_with("tests") {
                // A test may have variables of its own.
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                let names = text.split('"').skip(1).step_by(2).filter(|name| {
                    let starts = ["OCI_", "OCIPIPE_", "KUBERNETES_"];
                    starts.iter().any(|start| name.starts_with(start))
                        && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                });
                found.extend(names.map(str::to_owned));
            }
        }
    }
    let page = printed("man");
    let mut found = Vec::new();
    for folder in ["src/auth", "src/cli", "src/commands", "src/transfer"] {
        visit(Path::new(folder), &mut found);
    }
    // The starts of names, the heading of the file of defaults, the label of a key, the commit of a build.
    let others = ["OCI_CLI_SETTINGS", "OCI_API_KEY", "OCIPIPE_COMMIT"];
    found.retain(|name| !name.ends_with('_') && !others.contains(&name.as_str()));
    assert!(found.len() > 30, "{found:?}");
    let missing: Vec<_> = found.iter().filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_help_of_put_fits_a_screen_and_names_where_all_options_are() {
    let Ok(Command::Help(brief)) = parse("put --help") else { panic!() };
    let Ok(Command::Help(whole)) = parse("help put") else { panic!() };
    // One row is for the prompt.
    assert!(brief.lines().count() < 40, "{brief}");
    assert!(brief.lines().all(|line| line.len() <= 80), "{brief}");
    assert!(brief.contains("`ocipipe help put` has all options"), "{brief}");
    assert!(brief.contains("pg_dump -Fc mydb | ocipipe put "), "{brief}");
    let options: Vec<&str> =
        brief.lines().filter_map(|line| line.strip_prefix("  --")?.split(' ').next()).collect();
    assert_eq!(options.len(), 14, "{brief}");
    for option in options {
        assert!(whole.contains(&format!("\n  --{option} ")), "{option}");
    }
}

#[test]
fn every_shell_accepts_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        if exists(shell) {
            let script = file(&folder, shell, &format!("completions {shell}"));
            assert_eq!(stdout(Process::new(shell).arg(check).arg(script)), "", "{shell}");
        }
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    if !exists("fish") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let completed = |line: &str| {
        let script = "$argv[1] completions fish | source; complete -C $argv[2]";
        let text = stdout(
            Process::new("fish")
                .args(["--no-config", "-c", script, OCIPIPE, line])
                .env("HOME", home.path())
                .env("TERM", "dumb"),
        );
        let words = text.lines().map(|line| line.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(completed("ocipipe pu"), ["put"]);
    assert_eq!(completed("ocipipe uploads ab"), ["abort"]);
    assert_eq!(completed("ocipipe put --part"), ["--part-size"]);
    assert_eq!(completed("ocipipe put --auth api"), ["api_key"]);
}

#[test]
fn zsh_completes_commands_options_and_values() {
    if !exists("zsh") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let functions = home.path().join("functions");
    std::fs::create_dir(&functions).unwrap();
    std::fs::write(functions.join("_ocipipe"), printed("completions zsh")).unwrap();
    // A shell in a terminal of its own, whose line a key shows after the completion.
    let script = r#"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "PS1=; stty -echo; unset zle_bracketed_paste; fpath=($1 \$fpath)"
        zpty -w shell "autoload -Uz compinit; compinit -u -d $1/dump; LISTMAX=0"
        zpty -w shell 'show() { print -r -- "<<$BUFFER>>"; BUFFER= }; zle -N show; bindkey "^X" show'
        zpty -w shell 'print READY$((1 + 1))'
        zpty -r -m shell out "*READY2*"
        zpty -n -w shell "$2"$'\t\x18'
        zpty -r -m shell out "*<<*>>*"
        out=${out##*<<}; print -r -- "${out%%>>*}"
        zpty -d shell
    "#;
    for (line, expected) in [
        ("ocipipe pu", "ocipipe put "),
        ("ocipipe uploads ab", "ocipipe uploads abort "),
        ("ocipipe put --part", "ocipipe put --part-size "),
        ("ocipipe put --auth api", "ocipipe put --auth api_key "),
    ] {
        let text = stdout(
            Process::new("timeout")
                .args(["60", "zsh", "-f", "-c", script, "zsh"])
                .arg(&functions)
                .arg(line)
                .env("HOME", home.path())
                .env("TERM", "xterm"),
        );
        assert_eq!(text.trim_end_matches('\n'), expected);
    }
}
