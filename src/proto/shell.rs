//! Shell quoting, for the commands in messages.
//!
//! Owns the quoting. Must not know the commands. Invariants: a shell reads a quoted word back
//! unchanged, and the quoted word has no character that a terminal acts on.

use crate::printable::is_terminal_control;

/// Quotes a word for a shell. A word with terminal controls gets the form `$'...'`, which bash, zsh,
/// ksh and busybox know.
pub fn shell_quote(word: &str) -> String {
    if !word.chars().any(is_terminal_control) {
        // Only a NUL cannot be quoted, and a NUL is a terminal control.
        return shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into());
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            c if is_terminal_control(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("\\{byte:03o}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed_by(shell: &str, name: &str) -> String {
        let script = format!("printf %s {}", shell_quote(name));
        let output = std::process::Command::new(shell).args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_command_in_a_message_can_be_pasted_whatever_the_name() {
        for name in ["db/2026-01.tar.zst", "it's; rm -rf $HOME", "a b\"c`d", "", "*", "caf\u{e9}"] {
            assert_eq!(parsed_by("sh", name), name);
        }
    }

    #[test]
    fn a_name_with_terminal_controls_can_be_pasted_and_shown() {
        for name in ["a\u{1b}[2J1", "it's\r\\n\n2", "\u{9b}2J'", "\u{202e}gnp.exe"] {
            assert!(!shell_quote(name).chars().any(is_terminal_control), "{name:?}");
            assert_eq!(parsed_by("bash", name), name);
        }
    }
}
