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
    let of = |name: &str, key: &str| config.profile(name).unwrap().get(key).map(|v| v.to_string());
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
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
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
    assert_eq!(error("[A]\nk = 1\nj\n"), (3, "a line that is neither key = value nor [section]"));
    assert_eq!(error("[A]\n= 1\n"), (2, "a value without a key"));
    assert_eq!(error("[A]\nk = 1\nK = 2\n"), (3, "the key is in its section twice"));
    assert_eq!(error("[A]\nk = 1\n  two\nk: 2\n").0, 4);
    assert_eq!(error("[A]\n[B]\n[A]\n"), (3, "the section is in the file twice"));
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

#[test]
fn the_lines_of_a_text_are_all_of_its_bytes() {
    let text = "\u{feff}[A]\r\n# c\rk = 1\r\r\n  two\n\nj=2";
    let lines = layout(text).unwrap();
    let joined: String = lines.iter().map(|(range, _)| &text[range.clone()]).collect();
    assert_eq!(joined, text);
    let kinds: Vec<LineKind> = lines.into_iter().map(|(_, kind)| kind).collect();
    let key = |name: &str| LineKind::Key(name.to_owned());
    assert_eq!(
        kinds,
        [
            LineKind::Header("A".to_owned()),
            LineKind::Other,
            key("k"),
            LineKind::Other,
            LineKind::Continuation,
            LineKind::Other,
            key("j"),
        ]
    );
}
