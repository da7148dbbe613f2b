//! Words for commands that a person is to paste.
//!
//! Pure. Must not know any command. Invariant: the shell reads back the word that was given, and
//! nothing in what is shown is obeyed by the terminal it is shown on.

use crate::printable::is_terminal_control;

/// A word as a shell takes it. What a terminal would obey needs the form `$'...'`, which bash, zsh,
/// ksh and busybox know.
pub fn shell_quote(word: &str) -> String {
    if !word.chars().any(is_terminal_control) {
        // Only a NUL cannot be quoted, and that is obeyed.
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

    fn read_by(shell: &str, name: &str) -> String {
        let script = format!("printf %s {}", shell_quote(name));
        let shown = std::process::Command::new(shell).args(["-c", &script]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    }

    #[test]
    fn a_command_in_a_message_can_be_pasted_whatever_the_name() {
        for name in ["db/2026-01.tar.zst", "it's; rm -rf $HOME", "a b\"c`d", "", "*", "caf\u{e9}"] {
            assert_eq!(read_by("sh", name), name);
        }
    }

    #[test]
    fn a_name_that_a_terminal_obeys_can_be_pasted_and_is_not_obeyed() {
        for name in ["a\u{1b}[2J1", "it's\r\\n\n2", "\u{9b}2J'", "\u{202e}gnp.exe"] {
            assert!(!shell_quote(name).chars().any(is_terminal_control), "{name:?}");
            assert_eq!(read_by("bash", name), name);
        }
    }
}
