//! The parser of the OCI config file.
//!
//! Pure. Owns the grammar: that of Python's configparser without interpolation, as in the OCI CLI.
//! The INI crates implement other grammars, as measured: `rust-ini` 0.21 without escapes and quotes
//! joins a line that ends in a backslash with the next, takes a line without `=` as the start of
//! the next key and an indented comment as a key, keeps comments within a continued value, and
//! reports neither duplicates nor line numbers; `configparser` 3.3 truncates values at `#` and `;`.
//! Each of these silently loses a pass phrase or a key. A test compares this parser with Python's
//! on random texts (`tests/data/configparser`).
//!
//! Must not know what a key means. Invariant: an error names a line by its number and never quotes
//! it, since it may contain a secret.

use std::collections::BTreeMap;
use std::ops::Range;

use zeroize::Zeroizing;

/// The section whose values every other section inherits.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// The profiles of a config file, by name.
#[derive(Default)]
pub struct Profiles {
    sections: BTreeMap<String, Section>,
}

/// Keys in lower case, and their values.
pub(crate) type Section = BTreeMap<String, Zeroizing<String>>;

/// Why a text is not a config file, and its line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub line: usize,
    pub message: &'static str,
}

impl Profiles {
    /// Parses a config file. Fails at the first line that is malformed, or that repeats a key or a
    /// section.
    pub fn parse(text: &str) -> Result<Profiles, ParseError> {
        let mut parser = Parser::default();
        for (index, line) in lines(text).enumerate() {
            parser
                .line(&text[line.content])
                .map_err(|message| ParseError { line: index + 1, message })?;
        }
        parser.end_value();
        Ok(Profiles { sections: parser.sections })
    }

    /// The values of a profile, including inherited ones. The profile `DEFAULT` always exists.
    pub fn profile(&self, name: &str) -> Option<Section> {
        let mut values = self.sections.get(DEFAULT).cloned().unwrap_or_default();
        match self.sections.get(name) {
            Some(own) => values.extend(own.clone()),
            None if name == DEFAULT => {}
            None => return None,
        }
        Some(values)
    }

    /// The values of a section, without inherited ones.
    pub fn own(&self, name: &str) -> Section {
        self.sections.get(name).cloned().unwrap_or_default()
    }

    /// The names of all sections in the file.
    pub fn names(&self) -> Vec<&str> {
        self.sections.keys().map(String::as_str).collect()
    }
}

/// What a line of a config file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// A line `[NAME]`.
    Header(String),
    /// The first line of a value, with its key in lower case.
    Key(String),
    /// A further line of a value.
    Continuation,
    /// A blank line or a comment.
    Other,
}

/// The lines of a config file: the bytes of each, its line end included, and what it is. Fails as
/// [`Profiles::parse`] does.
pub(crate) fn layout(text: &str) -> Result<Vec<(Range<usize>, LineKind)>, ParseError> {
    let mut parser = Parser::default();
    let of_line = |(index, line): (usize, Line)| {
        let kind = parser.line(&text[line.content]);
        Ok((line.all, kind.map_err(|message| ParseError { line: index + 1, message })?))
    };
    lines(text).enumerate().map(of_line).collect()
}

/// The state between two lines.
#[derive(Default)]
struct Parser {
    sections: BTreeMap<String, Section>,
    /// The name of the section that keys belong to.
    section: Option<String>,
    /// The key whose value the next line may continue, and the value so far.
    key: Option<(String, Zeroizing<String>)>,
    /// The indentation of that key in characters; a line with more continues its value.
    indentation: usize,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<LineKind, &'static str> {
        let content = line.trim_matches(is_blank);
        if content.starts_with(['#', ';']) {
            return Ok(LineKind::Other);
        }
        if content.is_empty() {
            // A blank line may be part of a value; trailing ones are trimmed.
            self.continue_value("");
            return Ok(LineKind::Other);
        }
        // Counted in characters, since a blank such as U+00A0 has several bytes.
        let indentation = line.chars().take_while(|&c| is_blank(c)).count();
        if self.key.is_some() && indentation > self.indentation {
            self.continue_value(content);
            return Ok(LineKind::Continuation);
        }
        self.end_value();
        self.indentation = indentation;
        match header(content) {
            Some(name) => {
                self.begin_section(name)?;
                Ok(LineKind::Header(name.to_owned()))
            }
            None => self.begin_value(content).map(LineKind::Key),
        }
    }

    fn begin_section(&mut self, name: &str) -> Result<(), &'static str> {
        // As in configparser, only DEFAULT may occur more than once.
        if name != DEFAULT && self.sections.contains_key(name) {
            return Err("the section is in the file twice");
        }
        self.sections.entry(name.to_owned()).or_default();
        self.section = Some(name.to_owned());
        Ok(())
    }

    /// Returns the key.
    fn begin_value(&mut self, content: &str) -> Result<String, &'static str> {
        let section = self.section.as_ref().ok_or("a line before the first [section]")?;
        let (key, value) = content
            .split_once(['=', ':'])
            .ok_or("a line that is neither key = value nor [section]")?;
        let key = key.trim_end_matches(is_blank).to_lowercase();
        if key.is_empty() {
            return Err("a value without a key");
        }
        if self.sections.get(section).is_some_and(|values| values.contains_key(&key)) {
            return Err("the key is in its section twice");
        }
        let value = Zeroizing::new(value.trim_matches(is_blank).to_owned());
        self.key = Some((key.clone(), value));
        Ok(key)
    }

    fn continue_value(&mut self, content: &str) {
        if let Some((_, value)) = &mut self.key {
            value.push('\n');
            value.push_str(content);
        }
    }

    fn end_value(&mut self) {
        if let (Some((key, value)), Some(section)) = (self.key.take(), &self.section) {
            let value = Zeroizing::new(value.trim_end_matches(is_blank).to_owned());
            self.sections.entry(section.clone()).or_default().insert(key, value);
        }
    }
}

/// A line of a text, as byte offsets.
struct Line {
    content: Range<usize>,
    /// With the line end and, in the first line, a byte order mark.
    all: Range<usize>,
}

/// The lines of a text, without a byte order mark. As in Python's text files, a line ends at LF, CR LF
/// or a lone CR.
fn lines(text: &str) -> impl Iterator<Item = Line> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let end = match &rest.as_bytes()[length..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let all = start..start + length + end;
        let mark =
            if start == 0 { rest.len() - rest.trim_start_matches('\u{feff}').len() } else { 0 };
        let content = start + mark..start + length;
        start = all.end;
        Some(Line { content, all })
    })
}

/// Whether Python's `str.strip` removes a character: Unicode white space and four ASCII separators.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The name in a `[section]` line. Text after the last bracket is ignored.
fn header(content: &str) -> Option<&str> {
    let (name, _) = content.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
