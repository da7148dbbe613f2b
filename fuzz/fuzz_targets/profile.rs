//! A config file: any text is refused with the number of a line, or read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocipipe::oci::profile::Profiles;

fuzz_target!(|text: &str| {
    match Profiles::parse(text) {
        Ok(profiles) => assert!(profiles.profile("DEFAULT").is_some()),
        Err(malformed) => assert!((1..=text.lines().count()).contains(&malformed.line)),
    }
});
