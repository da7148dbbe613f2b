//! A session token: any text is refused or parsed, and parsing it again gives the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::token::Token;

fuzz_target!(|text: &str| {
    if let Ok(token) = Token::parse(text) {
        assert_eq!(Token::parse(token.secret()), Ok(token));
    }
});
