//! A command line: any words give a command or one usage error with a message.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use ocipipe::internals::auth::environment::Environment;
use ocipipe::internals::cli;
use proto::error::ErrorKind;

fuzz_target!(|bytes: &[u8]| {
    let words = bytes.split(|byte| *byte == b'\n' || *byte == 0);
    let argv: Vec<OsString> = words.map(|word| OsString::from_vec(word.to_vec())).collect();
    match cli::parse(argv, &Environment::default()) {
        Ok(command) => assert!(!format!("{command:?}").is_empty()),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Usage);
            assert!(!error.message.is_empty());
        }
    }
});
