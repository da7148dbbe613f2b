//! Completion scripts for the shells, made from the structs of `args`.
//!
//! Must not know any option. Invariant: what the command line accepts by its long name is completed.

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
