//! An address: any text is refused, or reads back as itself from what it shows as.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::object_url::{Destination, Place};

fuzz_target!(|text: &str| {
    let place = Place::parse(text);
    if let Ok(destination) = Destination::parse(text) {
        assert!(place.is_ok());
        assert!((1..=1024).contains(&destination.name.len()));
        if destination.check_path().is_ok() {
            let safe = |piece: &str| !["", ".", ".."].contains(&piece) && piece.len() <= 255;
            assert!(destination.name.split('/').all(safe));
        }
        assert_eq!(Destination::parse(&destination.to_string()), Ok(destination));
    }
});
