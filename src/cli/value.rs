//! Texts of options become values, or an error that names the option.
//!
//! Owns what is the same for every option: how a bad value is told. Must not know any command.
//! Invariant: an error from here names the option, shows the text, and says what is right.

use std::time::Duration;

use proto::error::Error;
use proto::units::{self, BareNumber};

/// A value of `option` that `read` refused with a reason.
pub fn invalid_value(option: &str, text: &str, reason: impl std::fmt::Display) -> Error {
    Error::usage(format!("{option} {text:?}: {reason}"))
}

/// A size with a unit, more than nothing.
pub fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, |text| units::size(text, BareNumber::Refused))
}

/// A size whose bare number is MiB, more than nothing.
pub fn size_or_mebibytes(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, |text| units::size(text, BareNumber::Mebibytes))
}

/// Bytes per second, more than none.
pub fn rate(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, units::rate)
}

fn number(
    option: &str,
    text: Option<&str>,
    read: impl Fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, Error> {
    let Some(text) = text else { return Ok(None) };
    match read(text) {
        Ok(0) => Err(invalid_value(option, text, "it must be more than 0")),
        Ok(value) => Ok(Some(value)),
        Err(reason) => Err(invalid_value(option, text, reason)),
    }
}

/// A duration, more than nothing.
pub fn duration(option: &str, text: Option<&str>) -> Result<Option<Duration>, Error> {
    match (duration_or_none(option, text)?, text) {
        (Some(Duration::ZERO), Some(text)) => {
            Err(invalid_value(option, text, "it must be more than 0"))
        }
        (value, _) => Ok(value),
    }
}

/// A duration where `0s` makes sense: not to wait at all.
pub fn duration_or_none(option: &str, text: Option<&str>) -> Result<Option<Duration>, Error> {
    text.map(|text| units::duration(text).map_err(|reason| invalid_value(option, text, reason)))
        .transpose()
}

/// One of a few names, in any case of letters.
pub fn choice<T: Copy>(
    option: &str,
    text: Option<&str>,
    choices: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(text) = text else { return Ok(None) };
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        invalid_value(option, text, "there is no such value")
            .with_hint(format!("there are: {}", names.join(", ")))
    })
}

/// A text that can be the value of a header: printable ASCII without a blank at either end.
pub fn header(option: &str, text: Option<&str>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    match header_fault(text) {
        Some(fault) => Err(invalid_value(option, text, fault)),
        None => Ok(Some(text.to_owned())),
    }
}

/// A text of any letters that is to be stored with the object, without a blank at either end.
pub fn text(option: &str, text: Option<&str>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    match text.is_ascii() || text.contains(char::is_control) || text.trim() != text {
        true => header(option, Some(text)),
        false => Ok(Some(text.to_owned())),
    }
}

/// Why a text cannot be the value of a header.
fn header_fault(text: &str) -> Option<&'static str> {
    if !text.chars().all(|c| c == ' ' || c == '\t' || c.is_ascii_graphic()) {
        Some("only printable ASCII can be stored as a header")
    } else if text.trim() != text {
        Some("a header cannot begin or end with a blank")
    } else {
        None
    }
}
