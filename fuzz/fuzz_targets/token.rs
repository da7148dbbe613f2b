//! A session token: any text is refused or parsed, and parsing it again gives the same.
//!
//! An input that begins with `{` is the payload of a token, any other its text.

#![no_main]

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use proto::token::Token;

fuzz_target!(|text: &str| {
    let text = match text.starts_with('{') {
        true => Cow::Owned(format!("e30.{}.QQ", URL_SAFE_NO_PAD.encode(text))),
        false => Cow::Borrowed(text),
    };
    if let Ok(token) = Token::parse(&text) {
        assert_eq!(Token::parse(token.secret()), Ok(token));
    }
});
