//! Completion scripts for shells, generated from the structs of `args`.
//!
//! Owns the choice of the generator, adds the values of `--auth` to its text, and mends what
//! shells of stable distributions do not take. Must not name
//! another option. Invariant: every option is completed by its long name.

use std::collections::BTreeSet;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};
use argh_complete::Generator;

use super::args;
use super::command::Shell;
use crate::auth::options::AuthMode;

/// The script for one shell.
pub(crate) fn script(shell: Shell) -> String {
    let info = args::info();
    let modes = AuthMode::ALL.map(AuthMode::name).join(" ");
    match shell {
        Shell::Bash => {
            let script = argh_complete::bash::Bash::generate("ocipipe", &info);
            let values = format!(
                "--auth) COMPREPLY=( $(compgen -W \"{modes}\" -- \"${{cur}}\") ); return 0;;"
            );
            let script =
                script.replace(BASH_CASES, &format!("{BASH_CASES}\n                {values}"));
            let script = script.replace(BASH_LOCALS.0, BASH_LOCALS.1);
            let loops = script.split_once(BASH_LOOP.0).and_then(|(before, rest)| {
                let (_, after) = rest.split_once(BASH_LOOP.1)?;
                Some((before, after))
            });
            match loops {
                Some((before, after)) => format!("{before}{}{after}", bash_loop(&info)),
                None => script,
            }
        }
        Shell::Zsh => {
            let script = argh_complete::zsh::Zsh::generate("ocipipe", &info);
            let lines =
                script.lines().map(|line| match line.trim_start().starts_with("'--auth[") {
                    true => line.replace(": :'", &format!(":mode:({modes})'")),
                    false => line.to_owned(),
                });
            lines.map(|line| line + "\n").collect()
        }
        Shell::Fish => {
            let script = argh_complete::fish::Fish::generate("ocipipe", &info);
            let script = script.replace(FISH_OPTION, &format!("-l auth -r -f -a '{modes}' -d"));
            script.replace(FISH_TOKENS.0, FISH_TOKENS.1)
        }
    }
}

/// Where the generated script for bash chooses by the word before.
const BASH_CASES: &str = "case \"${prev}\" in";
/// The generated variables for bash, and the same with one that would stay in the user's shell.
const BASH_LOCALS: (&str, &str) =
    ("local i cur prev opts cmds\n", "local i cmd cur prev opts cmds\n");
/// The start and the end of the generated loop for bash, which takes every word that is the name of a
/// command for the command.
const BASH_LOOP: (&str, &str) = ("    for i in ${COMP_WORDS[@]}; do\n", "    done\n");

/// The loop for bash that finds the command: the words before the first one that is no command, without
/// options and their values.
fn bash_loop(root: &CommandInfoWithArgs) -> String {
    let (mut options, mut commands) = (BTreeSet::new(), Vec::new());
    collect(root, "ocipipe", &mut options, &mut commands);
    let options: Vec<&str> = options.into_iter().collect();
    let commands = commands.iter().map(|(parent, name)| {
        format!("            \"{parent} {name}\") cmd=\"{parent}_{name}\" ;;\n")
    });
    format!(
        r#"    cmd="ocipipe"
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${{COMP_WORDS[i]}}" in
            {})
                [[ "${{COMP_WORDS[i + 1]}}" != "=" ]] || i=$((i + 1))
                i=$((i + 1))
                continue
                ;;
            -*) continue ;;
        esac
        case "${{cmd}} ${{COMP_WORDS[i]}}" in
{}            *) break ;;
        esac
    done
"#,
        options.join(" | "),
        commands.collect::<String>()
    )
}

/// Adds the names of the options with a value, and each command with the path of its parent.
fn collect<'a>(
    info: &'a CommandInfoWithArgs,
    path: &str,
    options: &mut BTreeSet<&'a str>,
    commands: &mut Vec<(String, &'a str)>,
) {
    let with_value = |flag: &&FlagInfo| matches!(flag.kind, FlagInfoKind::Option { .. });
    options.extend(info.flags.iter().filter(with_value).map(|flag| flag.long));
    for sub in &info.commands {
        commands.push((path.to_owned(), sub.name));
        collect(&sub.command, &format!("{path}_{}", sub.name), options, commands);
    }
}

/// An option of `commandline` that fish has from version 4 on, and one that all versions have.
const FISH_TOKENS: (&str, &str) = ("commandline -xpc", "commandline -opc");
/// The generated option for fish.
const FISH_OPTION: &str = "-l auth -r -d";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replaced_text_is_generated() {
        let (bash, fish) = (script(Shell::Bash), script(Shell::Fish));
        for (script, (_, replaced)) in [(&bash, BASH_LOCALS), (&fish, FISH_TOKENS)] {
            assert!(script.contains(replaced), "no {replaced}: {script}");
        }
        assert!(bash.contains("*) break ;;") && !bash.contains(BASH_LOOP.0), "{bash}");
    }

    #[test]
    fn the_values_of_auth_are_completed_in_every_shell() {
        let modes = AuthMode::ALL.map(AuthMode::name).join(" ");
        for (shell, expected) in [
            (Shell::Bash, format!("--auth) COMPREPLY=( $(compgen -W \"{modes}\"")),
            (Shell::Zsh, format!("]'':mode:({modes})'")),
            (Shell::Fish, format!("-l auth -r -f -a '{modes}'")),
        ] {
            let script = script(shell);
            // put, get, and two commands each of uploads and session.
            assert!(script.matches(&expected).count() >= 6, "{script}");
        }
    }
}
