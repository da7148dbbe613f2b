//! Sizes, rates and durations: any text is refused, or reads back as the same value.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use proto::units::{self, Bare};

fuzz_target!(|text: &str| {
    for bare in [Bare::Refused, Bare::Mebibytes] {
        if let Ok(size) = units::size(text, bare) {
            assert_eq!(units::size(&units::exact(size), Bare::Refused), Ok(size));
            assert!(!units::human(size).is_empty());
        }
    }
    if let Ok(rate) = units::rate(text) {
        assert_eq!(units::rate(&format!("{}/s", units::exact(rate))), Ok(rate));
    }
    if let Ok(duration) = units::duration(text) {
        let whole = Duration::from_millis(duration.as_millis() as u64);
        assert_eq!(units::duration(&units::span(duration)), Ok(whole));
        assert!(!units::brief(duration).is_empty());
    }
});
