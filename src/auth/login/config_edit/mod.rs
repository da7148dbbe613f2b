//! Writes a profile into the text of a config file.
//!
//! Pure. Owns the edit. Must not read or write a file. Invariants: outside the lines of the profile's
//! values every byte stays, comments and line ends included; the result is parsed again, and an edit
//! that changes any other value is an error.

use zeroize::Zeroizing;

use crate::auth::profile::{DEFAULT, LineKind, ParseError, Profiles, layout};

/// The keys that name an identity. In DEFAULT, from which all profiles inherit, only these are removed.
const IDENTITY: [&str; 12] = [
    "user",
    "fingerprint",
    "key_file",
    "key_content",
    "tenancy",
    "region",
    "pass_phrase",
    "passphrase",
    "security_token_file",
    "authentication_type",
    "delegation_token_file",
    "delegation_token",
];

/// Why a profile cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EditError {
    /// The file is malformed.
    Parse(ParseError),
    /// The edit would change more than the profile.
    Unsafe,
}

/// The text with this profile: its values replace those that the profile had, and a profile that the
/// text lacks is added at the end. The values must have one line and no blanks around them.
pub(crate) fn with_profile(
    text: &str,
    name: &str,
    values: &[(&str, &str)],
) -> Result<Zeroizing<String>, EditError> {
    let before = Profiles::parse(text).map_err(EditError::Parse)?;
    let lines = layout(text).map_err(EditError::Parse)?;
    let newline = line_end(text);
    let is_header = |kind: &LineKind| matches!(kind, LineKind::Header(found) if found == name);
    let header = lines.iter().position(|(_, kind)| is_header(kind));
    let edited = match header {
        None => appended(text, name, values, newline),
        Some(header) => {
            // Before the first value, so that no value in front of the new ones is continued by them.
            let is_content = |(_, kind): &&(_, LineKind)| *kind != LineKind::Other;
            let others = lines[header + 1..].iter().take_while(|line| !is_content(line)).count();
            let first = lines.get(header + 1 + others);
            let has_values = matches!(first, Some((_, LineKind::Key(_))));
            let at = if has_values { header + 1 + others } else { header + 1 };
            replaced(text, &lines, name, at, values, newline)
        }
    };
    let after = Profiles::parse(&edited).map_err(EditError::Parse)?;
    if !is_changed_only_in(&before, &after, name, values) {
        return Err(EditError::Unsafe);
    }
    Ok(edited)
}

/// The text with a new section at its end.
fn appended(text: &str, name: &str, values: &[(&str, &str)], newline: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(text.to_owned());
    let has_content = !text.trim_start_matches('\u{feff}').is_empty();
    if has_content && !text.ends_with(['\n', '\r']) {
        out.push_str(newline);
    }
    if has_content && !text.ends_with(&format!("{newline}{newline}")) {
        out.push_str(newline);
    }
    out.push_str(&format!("[{name}]{newline}"));
    push_values(&mut out, values, "", newline);
    out
}

/// The text without the old values of the section, and with the new ones before the line `at`.
fn replaced(
    text: &str,
    lines: &[(std::ops::Range<usize>, LineKind)],
    name: &str,
    at: usize,
    values: &[(&str, &str)],
    newline: &str,
) -> Zeroizing<String> {
    let goes = |key: &str| name != DEFAULT || IDENTITY.contains(&key);
    let mut in_section = false;
    let mut in_removed = false;
    let mut stays = Vec::with_capacity(lines.len());
    for (_, kind) in lines {
        match kind {
            LineKind::Header(found) => (in_section, in_removed) = (found == name, false),
            LineKind::Key(key) => in_removed = in_section && goes(key),
            LineKind::Continuation | LineKind::Other => {}
        }
        stays.push(!in_removed || *kind == LineKind::Other);
    }
    // A line that is indented further than a value continues it: the new values are as far to the right
    // as the next line that must not.
    let kept = lines.iter().zip(&stays).skip(at).filter(|(_, stays)| **stays);
    let mut next = kept.filter(|((_, kind), _)| !matches!(kind, LineKind::Other));
    let indentation = next.next().map_or("", |((range, _), _)| {
        let line = &text[range.clone()];
        &line[..line.len() - line.trim_start().len()]
    });
    let mut out = Zeroizing::new(String::with_capacity(text.len() + 1024));
    for (index, ((range, _), stays)) in lines.iter().zip(&stays).enumerate() {
        if index == at {
            push_values(&mut out, values, indentation, newline);
        }
        if *stays {
            out.push_str(&text[range.clone()]);
        }
    }
    if at == lines.len() {
        if !out.ends_with(['\n', '\r']) {
            out.push_str(newline);
        }
        push_values(&mut out, values, indentation, newline);
    }
    out
}

fn push_values(out: &mut String, values: &[(&str, &str)], indentation: &str, newline: &str) {
    for (key, value) in values {
        out.extend([indentation, key, "=", value, newline]);
    }
}

/// The line end that the text has.
fn line_end(text: &str) -> &'static str {
    match text.find(['\n', '\r']) {
        Some(at) if text[at..].starts_with("\r\n") => "\r\n",
        Some(at) if text[at..].starts_with('\r') => "\r",
        _ => "\n",
    }
}

/// Whether `after` has the values in this profile, and is `before` in all others.
fn is_changed_only_in(
    before: &Profiles,
    after: &Profiles,
    name: &str,
    values: &[(&str, &str)],
) -> bool {
    let others = |profiles: &Profiles| {
        let names = profiles.names().into_iter().filter(|found| *found != name);
        names.map(|found| (found.to_owned(), profiles.own(found))).collect::<Vec<_>>()
    };
    let mut own = after.own(name);
    let has_values = values
        .iter()
        .all(|(key, value)| own.remove(*key).is_some_and(|found| found.as_str() == *value));
    let mut kept = before.own(name);
    kept.retain(|key, _| name == DEFAULT && !IDENTITY.contains(&key.as_str()));
    has_values && own == kept && others(before) == others(after)
}

#[cfg(test)]
mod tests;
