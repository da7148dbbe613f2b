//! Completion scripts for shells, generated from the structs of `args`.
//!
//! Owns the choice of the generator, and adds the values of `--auth` to its text. Must not name
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
            script.replace(BASH_CASES, &format!("{BASH_CASES}\n                {values}"))
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
            script.replace(FISH_OPTION, &format!("-l auth -r -f -a '{modes}' -d"))
        }
    }
}

/// Where the generated script for bash chooses by the word before.
const BASH_CASES: &str = "case \"${prev}\" in";
/// The generated option for fish.
const FISH_OPTION: &str = "-l auth -r -d";

#[cfg(test)]
mod tests {
    use super::*;

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
