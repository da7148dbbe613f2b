//! An object URL: any text is refused, or parses back from its `Display` text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::object_url::{BucketUrl, ObjectUrl};

fuzz_target!(|text: &str| {
    let bucket = BucketUrl::parse(text);
    if let Ok(url) = ObjectUrl::parse(text) {
        assert!(bucket.is_ok());
        assert!((1..=1024).contains(&url.name.len()));
        if url.check_path().is_ok() {
            let safe = |piece: &str| !["", ".", ".."].contains(&piece) && piece.len() <= 255;
            assert!(url.name.split('/').all(safe));
        }
        assert_eq!(ObjectUrl::parse(&url.to_string()), Ok(url));
    }
});
