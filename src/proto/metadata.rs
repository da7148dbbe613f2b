//! User-defined metadata of an object: the value of `--metadata`, as names and values.
//!
//! Owns which values the OCI CLI accepts, and which of them the service cannot store. Must not know
//! requests. Invariants: a name is valid in a header name, a value has no control character, and names
//! differ in more than case.

use serde_json::{Number, Value};

use crate::error::Error;

/// Names without the prefix `opc-meta-`, and values.
pub type Pairs = Vec<(String, String)>;

/// The documented limit of the service for all names and values together, in bytes.
const MAX_SIZE: usize = 4000;

const FORMAT_HINT: &str = "write a JSON map of texts, such as --metadata '{\"host\": \"db1\"}'";

/// Parses a JSON map. As in the OCI CLI, a value may be a string, number or boolean, and quotes may be
/// single. Fails with a usage error if the text is not such a map, a name or value cannot be stored,
/// a name occurs twice, or all together exceed 4,000 bytes.
pub fn parse(text: &str) -> Result<Pairs, Error> {
    let map = match (json(text), json(&text.replace('\'', "\""))) {
        (Ok(map), _) => map,
        (Err(_), Ok(map)) if !text.contains('"') => map,
        (Err(fault), _) => {
            let message = format!("--metadata is not JSON: {fault}");
            return Err(Error::usage(message).with_hint(FORMAT_HINT));
        }
    };
    let Value::Object(map) = map else {
        return Err(Error::usage("--metadata is JSON, but not a map").with_hint(FORMAT_HINT));
    };
    let mut pairs = Pairs::with_capacity(map.len());
    for (name, value) in map {
        let value = to_text(&name, value)?;
        check_name(&name)?;
        if let Some(fault) = invalid_reason(&value) {
            return Err(Error::usage(format!("--metadata: the value of {name:?}: {fault}")));
        }
        // Header names are case-insensitive: the service would keep an unspecified one of the two.
        if pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(Error::usage(format!("--metadata has {name:?} twice")));
        }
        pairs.push((name, value));
    }
    let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_SIZE {
        return Err(Error::usage(format!("--metadata has {size} bytes of names and values"))
            .with_hint(format!("the service takes {MAX_SIZE} in all")));
    }
    Ok(pairs)
}

/// Converts a value to text as the OCI CLI does.
fn to_text(name: &str, value: Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number_text(&number)),
        Value::Bool(true) => Ok("True".to_owned()),
        Value::Bool(false) => Ok("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Error::usage(format!("--metadata: the value of {name:?} is not a text"))
                .with_hint("put it in quotes: names and values are texts"))
        }
    }
}

/// Formats a number as Python does: exponents from 1e16 and below 1e-4, with at least two digits.
fn number_text(number: &Number) -> String {
    let float = match number.as_f64() {
        Some(float) if number.is_f64() => float,
        _ => return number.to_string(),
    };
    if float != 0.0 && !(1e-4..1e16).contains(&float.abs()) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, power) = match exponent.strip_prefix('-') {
            Some(power) => ('-', power),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{power:0>2}");
    }
    format!("{float:?}")
}

fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.get(..9).is_some_and(|prefix| prefix.eq_ignore_ascii_case("opc-meta-")) {
        return Err(Error::usage(format!("--metadata: {name:?} begins with opc-meta-"))
            .with_hint(format!("that is added to every name: write {:?}", &name[9..])));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return Err(Error::usage(format!(
            "--metadata: {name:?} cannot be part of a header's name"
        ))
        .with_hint("use letters, digits, - and _"));
    }
    Ok(())
}

/// Why a value cannot be stored, or `None` if it can.
fn invalid_reason(text: &str) -> Option<&'static str> {
    if text.contains(char::is_control) {
        Some("a control character, such as a line end, cannot be stored")
    } else if text.trim() != text {
        Some("a header cannot begin or end with a blank")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> String {
        let pairs = parse(&format!("{{\"a\": {json}}}")).unwrap();
        pairs[0].1.clone()
    }

    #[test]
    fn a_map_of_texts_is_taken_as_it_is() {
        let pairs = parse(r#"{"host": "db1", "Pg_Version": "17.2 (x)", "empty": ""}"#).unwrap();
        let want = [("Pg_Version", "17.2 (x)"), ("empty", ""), ("host", "db1")];
        assert_eq!(pairs, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(parse("{}"), Ok(vec![]));
        assert_eq!(value("\"M\u{fc}nchen, \u{6771}\u{4eac}\""), "M\u{fc}nchen, \u{6771}\u{4eac}");
        assert_eq!(parse("{'a': 'b'}"), parse(r#"{"a": "b"}"#));
    }

    #[test]
    fn numbers_and_booleans_become_the_texts_that_the_oci_cli_makes_of_them() {
        // What Python's str() gives, which is what the OCI CLI sends.
        for (json, text) in [
            ("1", "1"),
            ("-7", "-7"),
            ("12345678901234567890", "12345678901234567890"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e16", "1e+16"),
            ("1.25e-7", "1.25e-07"),
            ("-2.5e100", "-2.5e+100"),
            ("123456789012345.0", "123456789012345.0"),
            ("true", "True"),
            ("false", "False"),
        ] {
            assert_eq!(value(json), text, "{json}");
        }
    }

    #[test]
    fn each_value_that_cannot_be_stored_has_its_own_error() {
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(4000));
        assert!(parse(&long.replacen('x', "", 1)).is_ok());
        for (json, fragment) in [
            ("host=db1", "is not JSON"),
            ("", "is not JSON"),
            ("{'a': \"it's\"}", "is not JSON"),
            ("[]", "not a map"),
            ("\"a\"", "not a map"),
            (r#"{"a": null}"#, "is not a text"),
            (r#"{"a": ["b"]}"#, "is not a text"),
            (r#"{"a": {"b": "c"}}"#, "is not a text"),
            (r#"{"a b": "c"}"#, "cannot be part of a header's name"),
            (r#"{"": "c"}"#, "cannot be part of a header's name"),
            (r#"{"a:": "c"}"#, "cannot be part of a header's name"),
            ("{\"\u{fc}\": \"c\"}", "cannot be part of a header's name"),
            (r#"{"opc-meta-a": "c"}"#, "write \"a\""),
            (r#"{"a": "x\r\nb: c"}"#, "a control character"),
            (r#"{"a": "\u0085"}"#, "a control character"),
            (r#"{"a": " x"}"#, "cannot begin or end with a blank"),
            (r#"{"a": "x", "A": "y"}"#, "twice"),
            (&long, "has 4001 bytes"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.to_string().contains(fragment), "{json}: {error}");
            assert_eq!(error.kind.exit_code(), 2);
        }
    }
}
