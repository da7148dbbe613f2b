//! Parses the values of options.
//!
//! Owns the error of a malformed value, which is the same for every option. Must not know any
//! command. Invariant: an error names the option, quotes the value and gives the reason.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use proto::error::Error;
use proto::units::{self, BareNumber};

/// The error of a malformed value of `option`.
pub(crate) fn invalid_value(option: &str, text: &str, reason: impl std::fmt::Display) -> Error {
    Error::usage(format!("{option} {text:?}: {reason}"))
}

/// A size in bytes, with a unit and more than 0.
pub(crate) fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, |text| units::parse_size(text, BareNumber::Refused))
}

/// A size in bytes, more than 0; a number without a unit is in MiB.
pub(crate) fn size_or_mebibytes(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, |text| units::parse_size(text, BareNumber::Mebibytes))
}

/// A rate in bytes per second, more than 0.
pub(crate) fn rate(option: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    number(option, text, units::parse_rate)
}

fn number(
    option: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, Error> {
    let Some(text) = text else { return Ok(None) };
    match parse(text) {
        Ok(0) => Err(invalid_value(option, text, "it must be more than 0")),
        Ok(value) => Ok(Some(value)),
        Err(reason) => Err(invalid_value(option, text, reason)),
    }
}

/// A duration of more than 0.
pub(crate) fn duration(option: &str, text: Option<&str>) -> Result<Option<Duration>, Error> {
    match (duration_or_none(option, text)?, text) {
        (Some(Duration::ZERO), Some(text)) => {
            Err(invalid_value(option, text, "it must be more than 0"))
        }
        (value, _) => Ok(value),
    }
}

/// A duration that may be 0.
pub(crate) fn duration_or_none(
    option: &str,
    text: Option<&str>,
) -> Result<Option<Duration>, Error> {
    text.map(|text| {
        units::parse_duration(text).map_err(|reason| invalid_value(option, text, reason))
    })
    .transpose()
}

/// A whole number of seconds, more than 0, as the OCI CLI writes a timeout.
pub(crate) fn seconds(option: &str, text: Option<&str>) -> Result<Option<Duration>, Error> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds.into()))),
        _ => Err(invalid_value(option, text, "it is a whole number of seconds, more than 0")),
    }
}

/// A number of requests at a time, 1 to 1000; `None` for `auto`.
pub(crate) fn parallel(option: &str, text: Option<&str>) -> Result<Option<u16>, Error> {
    let Some(text) = text.filter(|text| !text.eq_ignore_ascii_case("auto")) else {
        return Ok(None);
    };
    match text.parse::<u16>() {
        Ok(count) if (1..=1000).contains(&count) => Ok(Some(count)),
        _ => Err(invalid_value(option, text, "it is auto or a whole number from 1 to 1000")),
    }
}

/// A time as in RFC 3339, with an offset from UTC. The error does not quote a text of a file.
pub(crate) fn time(option: &str, text: Option<&str>) -> Result<Option<SystemTime>, Error> {
    let Some(text) = text else { return Ok(None) };
    let time = text.parse::<Timestamp>().ok().filter(|time| *time >= Timestamp::UNIX_EPOCH);
    let time = time.and_then(|time| SystemTime::try_from(time).ok());
    time.map(Some).ok_or_else(|| {
        Error::usage(format!("{option}: this is not a time as in RFC 3339, since 1970"))
            .with_hint("write it as 2026-01-31T18:00:00Z or 2026-01-31T19:00:00+01:00")
    })
}

/// One of several names; upper and lower case are the same.
pub(crate) fn choice<T: Copy>(
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

/// The value of a header: printable ASCII without white space at either end.
pub(crate) fn header(option: &str, text: Option<&str>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    match header_error(text) {
        Some(reason) => Err(invalid_value(option, text, reason)),
        None => Ok(Some(text.to_owned())),
    }
}

/// A text that is stored with the object: any characters except control characters, without white
/// space at either end.
pub(crate) fn text(option: &str, text: Option<&str>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    if text.is_ascii() || text.contains(char::is_control) || text.trim() != text {
        header(option, Some(text))
    } else {
        Ok(Some(text.to_owned()))
    }
}

/// Why a text cannot be the value of a header; `None` if it can.
fn header_error(text: &str) -> Option<&'static str> {
    if !text.chars().all(|c| c == ' ' || c == '\t' || c.is_ascii_graphic()) {
        Some("only printable ASCII can be stored as a header")
    } else if text.trim() != text {
        Some("a header cannot begin or end with a blank")
    } else {
        None
    }
}
