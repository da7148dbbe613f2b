//! A config file: any text is parsed, or refused with the number of one of its lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocipipe::internals::auth::profile::Profiles;

fuzz_target!(|text: &str| {
    match Profiles::parse(text) {
        Ok(profiles) => assert!(profiles.profile("DEFAULT").is_some()),
        Err(malformed) => assert!((1..=lines(text)).contains(&malformed.line)),
    }
});

/// The number of lines as Python counts them: `\n`, `\r\n` and `\r` each end one.
fn lines(text: &str) -> usize {
    text.replace("\r\n", "\n").split(['\n', '\r']).count()
}
