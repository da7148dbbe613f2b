//! Sizes, rates and durations: any text is refused, or its formatted value parses back to the same
//! value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::units::{self, BareNumber, DisplayDuration};

fuzz_target!(|text: &str| {
    for bare in [BareNumber::Refused, BareNumber::Mebibytes] {
        if let Ok(size) = units::parse_size(text, bare) {
            assert_eq!(
                units::parse_size(&units::format_size_exact(size), BareNumber::Refused),
                Ok(size)
            );
            assert!(!units::format_size_short(size).is_empty());
        }
    }
    if let Ok(rate) = units::parse_rate(text) {
        assert_eq!(units::parse_rate(&format!("{}/s", units::format_size_exact(rate))), Ok(rate));
    }
    if let Ok(duration) = units::parse_duration(text) {
        assert_eq!(units::parse_duration(&format!("{}ms", duration.as_millis())), Ok(duration));
        assert!(!DisplayDuration::compact(duration).to_string().is_empty());
    }
});
