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

use zeroize::Zeroizing;

/// The section whose values every other section inherits.
pub const DEFAULT: &str = "DEFAULT";

/// The profiles of a config file, by name.
#[derive(Default)]
pub struct Profiles {
    sections: BTreeMap<String, Section>,
}

/// Keys in lower case, and their values.
pub type Section = BTreeMap<String, Zeroizing<String>>;

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
        let text = text.trim_start_matches('\u{feff}');
        for (index, line) in lines(text).enumerate() {
            parser.line(line).map_err(|message| ParseError { line: index + 1, message })?;
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
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let content = line.trim_matches(is_blank);
        if content.starts_with(['#', ';']) {
            return Ok(());
        }
        if content.is_empty() {
            // A blank line may be part of a value; trailing ones are trimmed.
            self.continue_value("");
            return Ok(());
        }
        // Counted in characters, since a blank such as U+00A0 has several bytes.
        let indentation = line.chars().take_while(|&c| is_blank(c)).count();
        if self.key.is_some() && indentation > self.indentation {
            self.continue_value(content);
            return Ok(());
        }
        self.end_value();
        self.indentation = indentation;
        match header(content) {
            Some(name) => self.begin_section(name),
            None => self.begin_value(content),
        }
    }

    fn begin_section(&mut self, name: &str) -> Result<(), &'static str> {
        // As in configparser, only DEFAULT may occur more than once.
        if name != DEFAULT && self.sections.contains_key(name) {
            return Err("the section stands in the file twice");
        }
        self.sections.entry(name.to_owned()).or_default();
        self.section = Some(name.to_owned());
        Ok(())
    }

    fn begin_value(&mut self, content: &str) -> Result<(), &'static str> {
        let section = self.section.as_ref().ok_or("a line before the first [section]")?;
        let (key, value) = content
            .split_once(['=', ':'])
            .ok_or("a line that is neither key = value nor [section]")?;
        let key = key.trim_end_matches(is_blank).to_lowercase();
        if key.is_empty() {
            return Err("a value without a key");
        }
        if self.sections.get(section).is_some_and(|values| values.contains_key(&key)) {
            return Err("the key stands in its section twice");
        }
        self.key = Some((key, Zeroizing::new(value.trim_matches(is_blank).to_owned())));
        Ok(())
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

/// The lines of a text. As in Python's text files, a line ends at LF, CR LF or a lone CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let profile = Profiles::parse(text).map(|config| config.profile("A")).unwrap().unwrap();
        profile.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
    }

    fn value(text: &str) -> String {
        let mut values = values(text);
        assert_eq!(values.len(), 1, "{values:?}");
        values.remove(0).1
    }

    fn error(text: &str) -> (usize, &'static str) {
        let error = Profiles::parse(text).err().unwrap();
        (error.line, error.message)
    }

    #[test]
    fn keys_are_lower_cased_and_keys_and_values_trimmed() {
        assert_eq!(
            values("[A]\nRegion =  x y \nUSER:u\ntenancy : t = u : v\n"),
            [("region", "x y"), ("tenancy", "t = u : v"), ("user", "u")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(value("[A]\r\nk = v\r\n"), "v");
        assert_eq!(value("[A]\nk =\n"), "");
    }

    #[test]
    fn equals_signs_percent_signs_backslashes_and_quotes_are_part_of_a_value() {
        for literal in ["a=b==", "%(user)s %", "\"quoted\"", "'q'", "C:\\dir\\", "a\\nb", "$HOME"] {
            assert_eq!(value(&format!("[A]\nk = {literal}\n")), literal);
        }
    }

    #[test]
    fn only_whole_lines_are_comments() {
        assert_eq!(value("# c\n; c\n[A]\n  # c\n\t; c\nk = a ; b # c#d\n#k = 2\n"), "a ; b # c#d");
    }

    #[test]
    fn a_line_that_is_indented_further_continues_the_value() {
        assert_eq!(value("[A]\nk = 1\n  two = x\n\tthree\n"), "1\ntwo = x\nthree");
        assert_eq!(value("[A]\nk = 1\n  ; a comment\n  two\n"), "1\ntwo");
        assert_eq!(value("[A]\nk = 1\n\n  two\n\n\n"), "1\n\ntwo");
        assert_eq!(value("[A]\nk =\n  two\n"), "\ntwo");
        assert_eq!(values("[A]\n  k = 1\n  j = 2\ni = 3\n").len(), 3);
        assert_eq!(values("[A]\n  k = 1\n[B]\n  j = 2\n").len(), 1);
    }

    #[test]
    fn names_of_sections_are_exact_and_may_hold_blanks() {
        let config = Profiles::parse("[A b]\nk=1\n[a B]\n[ c ]\n[d]e]x\n").unwrap();
        assert_eq!(config.names(), [" c ", "A b", "a B", "d]e"]);
        assert!(config.profile("a b").is_none());
    }

    #[test]
    fn default_is_inherited_and_a_section_s_own_value_wins() {
        let text = "[A]\nk = own\n[DEFAULT]\nk = inherited\nj = inherited\n[DEFAULT]\ni = more\n";
        let config = Profiles::parse(text).unwrap();
        let of =
            |name: &str, key: &str| config.profile(name).unwrap().get(key).map(|v| v.to_string());
        assert_eq!(of("A", "k").as_deref(), Some("own"));
        assert_eq!(of("A", "j").as_deref(), Some("inherited"));
        assert_eq!(of("A", "i").as_deref(), Some("more"));
        assert_eq!(of("DEFAULT", "k").as_deref(), Some("inherited"));
        assert!(Profiles::parse("").unwrap().profile("DEFAULT").unwrap().is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_section() {
        assert_eq!(value("\u{feff}[A]\nk = v"), "v");
    }

    #[test]
    fn indentation_is_counted_in_characters_and_blanks_are_those_of_python() {
        assert_eq!(values("[A]\n k = 1\n\u{a0}j = 2\n").len(), 2);
        assert_eq!(value("[A]\nk = 1\n\u{a0}two\n"), "1\ntwo");
        assert_eq!(values("[A]\nk = 1\rj = 2\n").len(), 2);
        assert_eq!(value("[A]\nk = 1\u{1f}\n"), "1");
    }

    #[test]
    fn every_text_is_read_as_python_reads_it() {
        #[derive(serde::Deserialize)]
        struct Case {
            text: String,
            sections: Option<BTreeMap<String, BTreeMap<String, String>>>,
        }
        let path = std::env::var("OCIPIPE_CONFIGPARSER_CASES");
        let path = path.unwrap_or_else(|_| "tests/data/configparser/cases.json".to_owned());
        let cases: Vec<Case> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(cases.len() >= 200);
        for Case { text, sections } in cases {
            let parsed = Profiles::parse(&text).ok().map(|config| {
                let names = config.names().into_iter().chain([DEFAULT]);
                let of = |name: &str| {
                    let section = config.profile(name).unwrap();
                    section.into_iter().map(|(key, value)| (key, value.to_string())).collect()
                };
                names.map(|name| (name.to_owned(), of(name))).collect()
            });
            assert_eq!(parsed, sections, "{text:?}");
        }
    }

    #[test]
    fn a_malformed_config_is_an_error_with_a_line_number() {
        assert_eq!(error("\n# c\nk = 1\n[A]\n").0, 3);
        assert_eq!(
            error("[A]\nk = 1\nj\n"),
            (3, "a line that is neither key = value nor [section]")
        );
        assert_eq!(error("[A]\n= 1\n"), (2, "a value without a key"));
        assert_eq!(error("[A]\nk = 1\nK = 2\n"), (3, "the key stands in its section twice"));
        assert_eq!(error("[A]\nk = 1\n  two\nk: 2\n").0, 4);
        assert_eq!(error("[A]\n[B]\n[A]\n"), (3, "the section stands in the file twice"));
        assert_eq!(error("[DEFAULT]\nk=1\n[DEFAULT]\nk=2\n").0, 4);
        assert_eq!(error("[]\n"), (1, "a line before the first [section]"));
        assert_eq!(error("[A\nk = 1\n").0, 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\[\\]=:#; \\tA-Ck\\n\\r\u{feff}\u{2003}]{0,60}") {
            let _ = Profiles::parse(&text).map(|config| config.profile("A"));
        }
    }
}
