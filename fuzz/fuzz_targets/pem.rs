//! A key file: any bytes are refused or give a key that can sign, with bounded effort.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::key::Key;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = Key::from_pem(bytes, Some("ocipipe-test-pass")) {
        assert_eq!(key.sign(bytes).len(), key.modulus().len());
    }
});
