//! A request to the listener of a login: it gets the page, a refusal of one printable line, or, with the key and the
//! nonce of the login only, its token. No refusal shows a part of a token.
//!
//! The input is the request as text: the host, the path, the query. `<...>` in the query is the payload of a token.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use proto::login::callback::{CallbackAnswer, CallbackRequest, PendingLogin, Refusal};

/// The query with each text in angle brackets as a token of this payload.
fn with_tokens(query: &str) -> String {
    let mut text = String::new();
    let mut rest = query;
    while let Some((before, behind)) = rest.split_once('<') {
        let (payload, after) = behind.split_once('>').unwrap_or((behind, ""));
        let payload = URL_SAFE_NO_PAD.encode(payload);
        text.push_str(&format!("{before}e30.{payload}.QQ"));
        rest = after;
    }
    text.push_str(rest);
    text
}

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (Some(host), Some(path), Some(query)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let query = with_tokens(query);
    let login = PendingLogin { modulus: vec![1, 0, 1], nonce: "NONCE".to_owned(), port: 8181 };
    let (method, authority) = ("GET", None);
    let request = CallbackRequest { method, authority, host: Some(host), path, query: &query };
    match login.answer(request) {
        CallbackAnswer::Page => assert_eq!(path, "/"),
        CallbackAnswer::Accepted(token) => {
            assert_eq!((path, token.modulus.as_deref()), ("/token", Some(&[1, 0, 1][..])));
            assert!(host.eq_ignore_ascii_case("localhost:8181") && token.tenancy.is_some());
            let other = PendingLogin { nonce: "OTHER".to_owned(), ..login };
            assert_eq!(other.answer(request), CallbackAnswer::Refused(Refusal::OtherNonce));
        }
        CallbackAnswer::Refused(refusal) => {
            let shown = refusal.to_string();
            assert!(!shown.is_empty() && !shown.contains(char::is_control), "{shown:?}");
            assert!((400..500).contains(&refusal.status()));
            // What the login page reports is shown.
            assert!(matches!(refusal, Refusal::LoginFailed(_)) || !shown.contains("e30."));
        }
    }
});
