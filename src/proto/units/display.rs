//! Durations and times in messages.
//!
//! Owns their text. Must not know where it is shown. Invariant: every duration has a text; nothing panics.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// A duration in a message, in one of two styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisplayDuration {
    duration: Duration,
    style: DurationStyle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DurationStyle {
    Prose,
    Compact,
}

impl DisplayDuration {
    /// For a sentence: `7 s`, `59 min 58 s`, `25 h 1 min`. Fractions of a second are truncated.
    pub fn prose(duration: Duration) -> DisplayDuration {
        DisplayDuration { duration, style: DurationStyle::Prose }
    }

    /// For a line of little width: `250ms`, `7s`, `59m58s`, `1d2h`. At most two units, none of them zero;
    /// the rest is truncated.
    pub fn compact(duration: Duration) -> DisplayDuration {
        DisplayDuration { duration, style: DurationStyle::Compact }
    }

    fn fmt_prose(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.duration.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }

    fn fmt_compact(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.duration.as_secs();
        if self.duration.is_zero() {
            return f.write_str("0s");
        }
        if seconds == 0 {
            return write!(f, "{}ms", self.duration.as_millis());
        }
        let units = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let largest = units.into_iter().skip_while(|(count, _)| *count == 0).take(2);
        for (count, unit) in largest.filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            DurationStyle::Prose => self.fmt_prose(f),
            DurationStyle::Compact => self.fmt_compact(f),
        }
    }
}

/// A time in a message, given as the duration since 1970: an HTTP date, of the year 9999 at the latest.
pub struct DisplayTime(pub Duration);

impl fmt::Display for DisplayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last second that the format can express.
        let time = self.0.min(Duration::from_secs(253_402_300_799));
        f.write_str(&httpdate::fmt_http_date(UNIX_EPOCH + time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_in_both_styles() {
        for (millis, prose, compact) in [
            (0, "0 s", "0s"),
            (250, "0 s", "250ms"),
            (59_999, "59 s", "59s"),
            (60_000, "1 min 0 s", "1m"),
            (3_598_000, "59 min 58 s", "59m58s"),
            (3_600_000, "1 h 0 min", "1h"),
            (5_400_250, "1 h 30 min", "1h30m"),
            (90_061_000, "25 h 1 min", "1d1h"),
            (93_784_000, "26 h 3 min", "1d2h"),
            (86_400_000 + 60_000, "24 h 1 min", "1d"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(DisplayDuration::prose(duration).to_string(), prose);
            assert_eq!(DisplayDuration::compact(duration).to_string(), compact);
        }
    }
}
