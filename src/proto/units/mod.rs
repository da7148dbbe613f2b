//! Sizes, rates, durations and times: their text form on the command line and in messages.
//!
//! Owns parsing and formatting. Must not know any option: the caller decides whether zero or a number
//! without a unit is valid. Invariants: sizes are binary (`K`, `M`, `G`, `T` are powers of 1024), no
//! calculation wraps around, and the text of `format_size_exact` parses to the same value.

mod display;

pub use display::{DisplayDuration, DisplayTime};

use std::time::Duration;

/// 1024 bytes.
pub(crate) const KIB: u64 = 1 << 10;
/// 1024 KiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1024 MiB in bytes.
pub const GIB: u64 = 1 << 30;
/// 1024 GiB in bytes.
pub(crate) const TIB: u64 = 1 << 40;

/// The longest duration that [`parse_duration`] accepts, 100 years. A longer one could not be added to a time.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);

const UNITS: [(&str, u64); 5] = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

/// The meaning of a number without a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNumber {
    /// Mebibytes, as in `--part-size` of the OCI CLI.
    Mebibytes,
    /// An error, since the unit would be a guess.
    Refused,
}

/// Parses a size such as `64MiB`, `64M`, `1.5GiB` or `512B` to bytes. Fails with a message that shows the
/// right form if the unit is missing, unknown or decimal, or the size does not fit into 64 bits.
pub fn parse_size(text: &str, bare: BareNumber) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => TIB,
        "" if bare == BareNumber::Mebibytes => MIB,
        "" => {
            return Err(format!("a size needs a unit: write {number}MiB or {number}GiB"));
        }
        "kb" | "mb" | "gb" | "tb" => {
            let letter = &unit[..1];
            let upper = letter.to_ascii_uppercase();
            return Err(format!(
                "{unit} is a power of 1000 to some and of 1024 to others: \
                 write {number}{upper}iB (1024)"
            ));
        }
        _ => return Err(format!("there is no unit {unit:?}: use B, KiB, MiB, GiB or TiB")),
    };
    scale(number, factor)
}

/// Parses a rate to bytes per second: a size with a unit, optionally followed by `/s`. Fails as [`parse_size`].
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    parse_size(trimmed.strip_suffix("/s").unwrap_or(trimmed), BareNumber::Refused)
}

/// Parses a duration such as `90s`, `10m`, `1h`, `1d`, `500ms` or `1h30m`. Fails with a message that shows
/// the right form if a unit is missing or unknown, the units are not in descending order, or the sum
/// exceeds 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("a duration is a number and a unit, such as 90s or 10m".to_owned());
    }
    let mut total = Duration::ZERO;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        rest = after;
        if number.is_empty() || (unit.is_empty() && !rest.is_empty()) {
            return Err("a duration is whole numbers and units, such as 90s or 1h30m".to_owned());
        }
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("a duration needs a unit: write {number}s or {number}m")),
            _ => return Err(format!("there is no unit {unit:?}: use ms, s, m, h or d")),
        };
        if millis >= last {
            return Err("the units of a duration go from long to short, as in 1h30m".to_owned());
        }
        last = millis;
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(millis))
            .map(Duration::from_millis);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= MAX_DURATION)
            .ok_or("that is longer than a hundred years")?;
    }
    Ok(total)
}

/// The size in the largest unit that divides it: `1536 MiB`. The text parses to the same size.
pub fn format_size_exact(bytes: u64) -> String {
    let (unit, factor) =
        UNITS.into_iter().find(|(_, f)| bytes != 0 && bytes.is_multiple_of(*f)).unwrap_or(("B", 1));
    format!("{} {unit}", bytes / factor)
}

/// The size with one decimal below 100 and none above: `1.5 GiB`.
pub fn format_size_short(bytes: u64) -> String {
    let (unit, factor) = UNITS.into_iter().find(|(_, f)| bytes >= *f).unwrap_or(("B", 1));
    if factor == 1 {
        return format!("{bytes} B");
    }
    // Tenths are truncated, so that no more is shown as stored than is stored.
    let tenths = u128::from(bytes) * 10 / u128::from(factor);
    if tenths >= 1000 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Splits `1.5GiB` into number and unit; spaces between them are allowed.
fn split(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return Err("a size is a number and a unit, such as 64MiB or 1.5GiB".to_owned());
    }
    Ok((number, unit.trim()))
}

/// `number` times `factor`, exactly; a fraction of a byte is truncated.
fn scale(number: &str, factor: u64) -> Result<u64, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return Err("a size has at most one decimal point".to_owned());
    }
    if factor == 1 && !fraction.is_empty() {
        return Err("there is no fraction of a byte".to_owned());
    }
    let too_large = || "that is more than 16777215 TiB".to_owned();
    let whole = whole.parse::<u64>().map_err(|_| too_large())?;
    // Twelve decimals resolve single bytes of a TiB; further ones are ignored.
    let decimals = &fraction[..fraction.len().min(12)];
    let extra = if decimals.is_empty() {
        0
    } else {
        let digits = decimals.parse::<u128>().map_err(|_| too_large())?;
        digits * u128::from(factor) / 10u128.pow(decimals.len() as u32)
    };
    whole
        .checked_mul(factor)
        .and_then(|bytes| bytes.checked_add(u64::try_from(extra).ok()?))
        .ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_strict(text: &str) -> Result<u64, String> {
        parse_size(text, BareNumber::Refused)
    }

    #[test]
    fn sizes_are_binary_however_they_are_spelt() {
        for (text, bytes) in [
            ("64MiB", 64 * MIB),
            ("64M", 64 * MIB),
            ("64m", 64 * MIB),
            ("64 MiB", 64 * MIB),
            ("1GiB", GIB),
            ("1.5GiB", GIB + GIB / 2),
            ("1.50G", GIB + GIB / 2),
            ("0.5KiB", 512),
            ("2T", 2 * TIB),
            ("7B", 7),
            ("0M", 0),
            ("16777215TiB", 16_777_215 * TIB),
            ("1.3G", 1_395_864_371),
        ] {
            assert_eq!(parse_strict(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_mebibytes_only_where_the_oci_cli_has_it_so() {
        assert_eq!(parse_size("20", BareNumber::Mebibytes), Ok(20 * MIB));
        assert_eq!(parse_strict("20"), Err("a size needs a unit: write 20MiB or 20GiB".to_owned()));
    }

    #[test]
    fn an_ambiguous_or_broken_size_is_refused_with_the_right_form() {
        for (text, fragment) in [
            ("64MB", "write 64MiB (1024)"),
            ("64gb", "write 64GiB (1024)"),
            ("", "such as 64MiB"),
            ("MiB", "such as 64MiB"),
            ("-1M", "such as 64MiB"),
            (".5M", "such as 64MiB"),
            ("5.M", "such as 64MiB"),
            ("1.2.3M", "one decimal point"),
            ("1.5B", "no fraction of a byte"),
            ("1e3M", "no unit \"e3M\""),
            ("1X", "no unit \"X\""),
            ("16777216T", "more than"),
            ("99999999999999999999999B", "more than"),
        ] {
            let error = parse_strict(text).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
    }

    #[test]
    fn a_rate_is_a_size_a_second() {
        assert_eq!(parse_rate("20M"), Ok(20 * MIB));
        assert_eq!(parse_rate("20MiB/s"), Ok(20 * MIB));
        assert!(
            parse_rate("20").is_err()
                && parse_rate("20/s").is_err()
                && parse_rate("20MiB/h").is_err()
        );
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3600), ("1d", 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for (text, fragment) in [
            ("90", "write 90s or 90m"),
            ("", "such as 90s"),
            ("h", "such as 90s"),
            ("1.5h", "such as 90s or 1h30m"),
            ("-5m", "such as 90s or 1h30m"),
            ("1w", "no unit \"w\""),
            ("1m1h", "from long to short"),
            ("5s5s", "from long to short"),
            ("36501d", "hundred years"),
            ("99999999999999999999d", "hundred years"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
    }

    #[test]
    fn people_see_few_digits_and_never_more_than_there_is() {
        assert_eq!(format_size_short(0), "0 B");
        assert_eq!(format_size_short(1023), "1023 B");
        assert_eq!(format_size_short(1024), "1.0 KiB");
        assert_eq!(format_size_short(GIB - 1), "1023 MiB");
        assert_eq!(format_size_short(GIB + GIB / 2), "1.5 GiB");
        assert_eq!(format_size_short(u64::MAX), "16777215 TiB");
        assert_eq!(format_size_exact(1536 * MIB), "1536 MiB");
        assert_eq!(format_size_exact(0), "0 B");
    }

    proptest! {
        #[test]
        fn an_exact_size_reads_back_unchanged(bytes: u64) {
            prop_assert_eq!(parse_strict(&format_size_exact(bytes)), Ok(bytes));
        }

        #[test]
        fn a_duration_is_the_sum_of_its_units(millis in 0..MAX_DURATION.as_millis() as u64) {
            let (seconds, rest) = (millis / 1000, millis % 1000);
            let (days, of_day) = (seconds / 86_400, seconds % 86_400);
            let text = format!("{days}d{}m{}s{rest}ms", of_day / 60, of_day % 60);
            prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(millis)));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,24}") {
            let _ = (parse_strict(&text), parse_rate(&text), parse_duration(&text));
        }

        #[test]
        fn nothing_that_looks_like_a_size_overflows(text in "[0-9]{1,30}(\\.[0-9]{0,30})?[bBkKmMgGtTi]{0,3}") {
            let _ = (parse_size(&text, BareNumber::Mebibytes), parse_rate(&text), parse_duration(&text));
        }

        #[test]
        fn every_size_and_time_can_be_shown(bytes: u64, seconds: u64, nanos in 0..1_000_000_000u32) {
            let duration = Duration::new(seconds, nanos);
            let _ = (format_size_short(bytes), DisplayTime(duration).to_string());
            let _ = DisplayDuration::prose(duration).to_string();
            let _ = DisplayDuration::compact(duration).to_string();
        }
    }
}
