//! Untrusted text made safe to print: names of objects, responses of servers, paths, arguments.
//!
//! Owns the set of characters that a terminal interprets, and the ways to remove them. Must not know
//! where a text comes from or where it is printed. Invariants: the output of `text`, `line` and `json`
//! has no such character, and text without one is returned unchanged, so that applying a function
//! twice gives the same as once.

use std::borrow::Cow;

/// Escapes every character that a terminal interprets, except line feeds.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_terminal_control(c))
}

/// Escapes every character that a terminal interprets, line feeds included.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_terminal_control)
}

/// Escapes what a terminal interprets in serialized JSON (DEL, C1 controls and bidirectional marks may
/// stand in a JSON string unescaped). The JSON value stays the same.
pub fn json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| c != '\n' && is_terminal_control(c)) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c != '\n' && is_terminal_control(c) {
            // All of them are below U+10000: one UTF-16 code unit each.
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Replaces each control character by a space. For text that becomes part of an error message, where an
/// escape sequence would be harder to read than a gap; [`line()`] is applied later all the same.
pub fn controls_as_spaces(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a terminal acts on this character or shows the following text elsewhere or in another
/// order: control characters, line and paragraph separators, bidirectional marks.
pub fn is_terminal_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, must_escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&must_escape) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if must_escape(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_controls_are_shown_by_their_number() {
        assert_eq!(text("a\u{1b}[2Jb\rc\nd"), "a\\u{1b}[2Jb\\rc\nd");
        assert_eq!(line("a\nb\u{9b}c"), "a\\nb\\u{9b}c");
        assert_eq!(line("safe\u{202e}gnp.exe"), "safe\\u{202e}gnp.exe");
        assert_eq!(line("caf\u{e9} \u{1f600} plain"), "caf\u{e9} \u{1f600} plain");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let name = "a\u{9b}2J\u{202e}\u{1b}\u{7f}\u{e9}";
        let shown = serde_json::to_string_pretty(&serde_json::json!({ "name": name })).unwrap();
        let safe = json(&shown);
        assert!(!safe.chars().any(|c| c != '\n' && is_terminal_control(c)), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap()["name"], name);
    }

    proptest! {
        #[test]
        fn no_terminal_control_is_left_and_escaping_twice_changes_nothing(given: String) {
            let once = line(&given).into_owned();
            prop_assert!(!once.chars().any(is_terminal_control));
            prop_assert_eq!(line(&once), once.as_str());
            prop_assert!(!text(&given).chars().any(|c| c != '\n' && is_terminal_control(c)));
        }
    }
}
