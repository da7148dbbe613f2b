//! Completion scripts for shells, generated from the structs of `args`.
//!
//! Owns the choice of the generator. Must not name an option. Invariant: every option is completed
//! by its long name.

use argh_complete::Generator;

use super::args;
use super::command::Shell;

/// The script for one shell.
pub fn script(shell: Shell) -> String {
    let info = args::info();
    match shell {
        Shell::Bash => argh_complete::bash::Bash::generate("ocipipe", &info),
        Shell::Zsh => argh_complete::zsh::Zsh::generate("ocipipe", &info),
        Shell::Fish => argh_complete::fish::Fish::generate("ocipipe", &info),
    }
}
