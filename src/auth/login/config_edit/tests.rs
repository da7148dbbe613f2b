use proptest::prelude::*;

use super::*;
use crate::auth::profile::Section;

const VALUES: [(&str, &str); 3] =
    [("fingerprint", "aa:bb"), ("region", "us-phoenix-1"), ("security_token_file", "/t")];
const LINES: &str = "fingerprint=aa:bb\nregion=us-phoenix-1\nsecurity_token_file=/t\n";

fn edited(text: &str, name: &str) -> String {
    with_profile(text, name, &VALUES).unwrap().to_string()
}

#[test]
fn a_new_profile_goes_to_the_end_and_everything_before_it_stays() {
    assert_eq!(edited("", "S"), format!("[S]\n{LINES}"));
    let text = "# mine\n[A]\nuser = u ; no comment\n";
    assert_eq!(edited(text, "S"), format!("{text}\n[S]\n{LINES}"));
    assert_eq!(edited("[A]\nk=1", "S"), format!("[A]\nk=1\n\n[S]\n{LINES}"));
    assert_eq!(edited("[A]\nk=1\n\n", "S"), format!("[A]\nk=1\n\n[S]\n{LINES}"));
}

#[test]
fn a_profile_is_replaced_in_its_place_with_its_comments() {
    let text = "; top\n[DEFAULT]\nuser=u\n\n[S] # tail\n# ours\nfingerprint=00\n# between\nuser=x\n  more\n\
                \n# of B\n[B]\n\tk = 1\n  two\n";
    let want = format!(
        "; top\n[DEFAULT]\nuser=u\n\n[S] # tail\n# ours\n{LINES}# between\n\n# of B\n[B]\n\tk = 1\n  two\n"
    );
    assert_eq!(edited(text, "S"), want);
    assert_eq!(edited(&want, "S"), want);
}

#[test]
fn a_header_without_values_or_line_end_gets_the_values() {
    assert_eq!(edited("[S]", "S"), format!("[S]\n{LINES}"));
    assert_eq!(edited("[S]\n# c\n[B]\nk=1", "S"), format!("[S]\n{LINES}# c\n[B]\nk=1"));
    assert_eq!(edited("[S]\nuser=u", "S"), format!("[S]\n{LINES}"));
}

#[test]
fn line_ends_are_those_of_the_file() {
    let crlf = LINES.replace('\n', "\r\n");
    assert_eq!(edited("[A]\r\nk=1", "S"), format!("[A]\r\nk=1\r\n\r\n[S]\r\n{crlf}"));
    assert_eq!(
        edited("[S]\r\nuser=u\r\n[A]\r\nk=1\r\n", "S"),
        format!("[S]\r\n{crlf}[A]\r\nk=1\r\n")
    );
    let cr = LINES.replace('\n', "\r");
    assert_eq!(edited("[A]\rk=1\r", "S"), format!("[A]\rk=1\r\r[S]\r{cr}"));
}

#[test]
fn a_byte_order_mark_and_other_letters_stay() {
    let text = "\u{feff}[A\u{e9}]\nk = \u{1f511} \u{a0}x\n";
    assert_eq!(edited(text, "S"), format!("{text}\n[S]\n{LINES}"));
    let text = "\u{feff}[S]\nuser=u\n";
    assert_eq!(edited(text, "S"), format!("\u{feff}[S]\n{LINES}"));
}

#[test]
fn an_indented_section_is_not_continued_by_the_new_values() {
    let text = "[S]\n  user=u\n  [B]\n  k=1\n\t[C]\n\tj=2\n";
    let out = edited(text, "S");
    assert!(out.starts_with("[S]\n  fingerprint=aa:bb\n"), "{out}");
    assert!(out.ends_with("\n  [B]\n  k=1\n\t[C]\n\tj=2\n"), "{out}");
}

#[test]
fn only_the_identity_of_default_is_replaced_since_all_profiles_inherit_the_rest() {
    let text =
        "[DEFAULT]\nnamespace = n\nuser=u\n pass_phrase=p\n[A]\nk=1\n[DEFAULT]\nregion=r\nx=y\n";
    let out = edited(text, "DEFAULT");
    let profiles = Profiles::parse(&out).unwrap();
    let own = profiles.own("DEFAULT");
    let keys: Vec<&str> = own.keys().map(String::as_str).collect();
    assert_eq!(keys, ["fingerprint", "namespace", "region", "security_token_file", "x"]);
    assert!(
        out.contains("namespace = n\n") && out.contains("\n[A]\nk=1\n[DEFAULT]\nx=y\n"),
        "{out}"
    );
}

#[test]
fn an_edit_counts_only_if_the_profile_has_its_values_and_all_else_is_as_before() {
    let holds = |before: &str, after: &str, name: &str| {
        let [before, after] = [before, after].map(|text| Profiles::parse(text).unwrap());
        is_changed_only_in(&before, &after, name, &[("region", "r")])
    };
    let before = "[A]\nk=1\n[S]\nuser=u\nk=1\n";
    assert!(holds(before, "[A]\nk=1\n[S]\nregion=r\n", "S"));
    for after in [
        "[A]\nk=1\n[S]\nuser=u\n",
        "[A]\nk=1\n[S]\nregion=s\n",
        "[A]\nk=1\n[S]\nregion=r\nk=1\n",
        "[A]\nk=2\n[S]\nregion=r\n",
        "[S]\nregion=r\n",
        "[A]\nk=1\n[S]\nregion=r\n[B]\n",
    ] {
        assert!(!holds(before, after, "S"), "{after}");
    }
    let before = "[DEFAULT]\nuser=u\nlog=1\n";
    assert!(holds(before, "[DEFAULT]\nregion=r\nlog=1\n", "DEFAULT"));
    for after in ["[DEFAULT]\nregion=r\n", "[DEFAULT]\nregion=r\nlog=1\nuser=u\n"] {
        assert!(!holds(before, after, "DEFAULT"), "{after}");
    }
}

#[test]
fn a_malformed_file_is_not_edited() {
    for text in ["[A]\nk\n", "k=1\n", "[S]\n[S]\n", "[A]\nk=1\nk=2\n"] {
        assert!(matches!(with_profile(text, "S", &VALUES), Err(EditError::Parse(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn no_edit_changes_a_byte_outside_of_the_values_of_the_profile(
        text in "(\u{feff}|)((|[ \t]{1,2})(\\[[SAB]\\]|\\[DEFAULT\\]|[a-c] ?[=:] ?[a-c]{0,2}|# [a-c]|[a-c]{1,2}|)(\n|\r\n|\r)){0,14}([a-c]=1|)"
    ) {
        let Ok(before) = Profiles::parse(&text) else { return Ok(()) };
        let Ok(out) = with_profile(&text, "S", &VALUES) else {
            // Never refused in practice; a refusal leaves the file as it is.
            return Err(TestCaseError::fail(format!("refused: {text:?}")));
        };
        let after = Profiles::parse(&out).unwrap();
        let expected: Section =
            VALUES.iter().map(|(k, v)| ((*k).to_owned(), Zeroizing::new((*v).to_owned()))).collect();
        prop_assert_eq!(after.own("S"), expected);
        for name in before.names().into_iter().filter(|name| *name != "S") {
            prop_assert_eq!(after.own(name), before.own(name));
        }
        // Without the new lines, the result is the text without the values of the profile.
        let kept: String = layout(&out)
            .unwrap()
            .into_iter()
            .filter(|(_, kind)| !VALUES.iter().any(|(key, _)| *kind == LineKind::Key((*key).into())))
            .map(|(range, _)| &out[range])
            .collect();
        let mut section = false;
        let mut removed = false;
        let mut want = String::new();
        for (range, kind) in layout(&text).unwrap() {
            match &kind {
                LineKind::Header(name) => (section, removed) = (name == "S", false),
                LineKind::Key(_) => removed = section,
                _ => {}
            }
            if !removed || kind == LineKind::Other {
                want.push_str(&text[range]);
            }
        }
        if before.names().contains(&"S") {
            prop_assert_eq!(kept.trim_end(), want.trim_end());
        } else {
            prop_assert!(out.starts_with(text.as_str()), "{:?}", out);
        }
    }
}
