//! Text of others as it can be shown: nothing in it moves a cursor, begins a line or turns around.
//!
//! Names of objects, answers of servers, paths and arguments may hold what a terminal obeys. Pure.
//! Must not know where a text comes from or goes. Invariants: what comes out has no such character,
//! and what has none goes through unchanged, so that going through twice does no harm.

use std::borrow::Cow;

/// A text of several lines: line ends stay, everything else that a terminal obeys is escaped.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && obeyed(c))
}

/// A text that is to stay on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, obeyed)
}

/// Serialized JSON: what its strings may hold by the grammar and a terminal obeys all the same. It
/// means the same as before.
pub fn json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| c != '\n' && obeyed(c)) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of them are below U+10000, so that one unit of UTF-16 is enough.
        match c != '\n' && obeyed(c) {
            true => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether a terminal obeys it, or shows what follows in another place or order: the controls, the
/// separators of lines and paragraphs, and the marks that change the direction of writing.
pub fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, unsafe_here: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match unsafe_here(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_by_its_number() {
        assert_eq!(text("a\u{1b}[2Jb\rc\nd"), "a\\u{1b}[2Jb\\rc\nd");
        assert_eq!(line("a\nb\u{9b}c"), "a\\nb\\u{9b}c");
        assert_eq!(line("safe\u{202e}gnp.exe"), "safe\\u{202e}gnp.exe");
        assert_eq!(line("caf\u{e9} \u{1f600} plain"), "caf\u{e9} \u{1f600} plain");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let name = "a\u{9b}2J\u{202e}\u{1b}\u{7f}\u{e9}";
        let shown = serde_json::to_string_pretty(&serde_json::json!({ "name": name })).unwrap();
        let safe = json(&shown);
        assert!(!safe.chars().any(|c| c != '\n' && obeyed(c)), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap()["name"], name);
    }

    proptest! {
        #[test]
        fn nothing_obeyed_comes_out_and_twice_is_as_good_as_once(given: String) {
            let once = line(&given).into_owned();
            prop_assert!(!once.chars().any(obeyed));
            prop_assert_eq!(line(&once), once.as_str());
            prop_assert!(!text(&given).chars().any(|c| c != '\n' && obeyed(c)));
        }
    }
}
