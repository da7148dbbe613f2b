//! Completion scripts for shells, generated from the structs of `args`.
//!
//! Owns the choice of the generator, adds the values of `--auth` to its text, and mends what
//! shells of stable distributions do not take. Must not name
//! another option. Invariant: every option is completed by its long name.

use argh_complete::Generator;

use super::args;
use super::command::Shell;
use crate::auth::options::AuthMode;

/// The script for one shell.
pub fn script(shell: Shell) -> String {
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
            script.replace(BASH_LOCALS.0, BASH_LOCALS.1).replace(BASH_WORDS.0, BASH_WORDS.1)
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
/// The generated loop for bash, and the same without the files that a word with a `*` matches.
const BASH_WORDS: (&str, &str) = ("in ${COMP_WORDS[@]}; do", "in \"${COMP_WORDS[@]}\"; do");
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
        for (script, (_, replaced)) in
            [(&bash, BASH_LOCALS), (&bash, BASH_WORDS), (&fish, FISH_TOKENS)]
        {
            assert!(script.contains(replaced), "no {replaced}: {script}");
        }
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
