use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

/// A token with these claims and a signature of 256 bytes of 0xAA.
fn token(claims: Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode([0xaa; 256]);
    format!("{}.{}.{signature}", part(json!({"alg": "RS256"})), part(claims))
}

fn vector() -> String {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap();
    vectors["session_token"].as_str().unwrap().to_owned()
}

#[test]
fn the_claims_of_the_vector_are_read() {
    let token = Token::parse(&vector()).unwrap();
    assert_eq!((token.issued, token.expires), (Some(1_767_225_600), 1_767_229_200));
    assert!(token.user.as_deref().unwrap().starts_with("ocid1.user.oc1.."));
    assert!(token.tenancy.as_deref().unwrap().starts_with("ocid1.tenancy.oc1.."));
    assert_eq!((token.session_end, &token.modulus), (None, &None));
}

#[test]
fn white_space_around_a_token_and_a_byte_order_mark_do_not_belong_to_it() {
    let text = vector();
    for spelled in [format!("{text}\n"), format!("{text}\r\n"), format!("\u{feff} {text} \n\n")] {
        assert_eq!(Token::parse(&spelled).unwrap().secret(), text);
    }
}

#[test]
fn only_an_expiry_is_required_and_unknown_claims_are_no_error() {
    let token = Token::parse(&token(json!({"exp": 5, "rtok": {"x": [1]}}))).unwrap();
    assert_eq!((token.expires, token.issued), (5, None));
    assert_eq!((token.user, token.tenancy), (None, None));
}

#[test]
fn an_expiry_may_be_a_fraction_and_is_never_beyond_what_can_be_written() {
    let expires = |exp: Value| Token::parse(&token(json!({"exp": exp}))).map(|token| token.expires);
    assert_eq!(expires(json!(1_767_229_200.75)), Ok(1_767_229_200));
    assert_eq!(expires(json!(-3)), Ok(0));
    assert_eq!(expires(json!(1e300)), Ok(MAX_TIME));
    assert_eq!(expires(json!(u64::MAX)), Ok(MAX_TIME));
    assert_eq!(expires(json!("tomorrow")), Err(TokenError::NoExpiry));
    assert_eq!(expires(json!(null)), Err(TokenError::NoExpiry));
}

#[test]
fn the_end_of_the_session_may_be_a_date_a_number_or_absent() {
    let end = |claims: Value| Token::parse(&token(claims)).unwrap().session_end;
    let date = json!({"exp": 1, "sess_exp": "Wed, 08 Mar 2023 04:29:12 UTC"});
    assert_eq!(end(date), Some(1_678_249_752));
    assert_eq!(end(json!({"exp": 1, "sess_exp": 1_678_249_752})), Some(1_678_249_752));
    assert_eq!(end(json!({"exp": 1, "sess_exp": "1678249752"})), Some(1_678_249_752));
    assert_eq!(end(json!({"exp": 1, "sess_exp": 1_678_249_752.5})), Some(1_678_249_752));
    assert_eq!(end(json!({"exp": 1})), None);
    assert_eq!(end(json!({"exp": 1, "sess_exp": "some day"})), None);
}

#[test]
fn the_key_it_is_bound_to_is_read_from_a_text_or_an_object() {
    let n = URL_SAFE_NO_PAD.encode([0, 0, 0xdc, 0x86]);
    let as_object = json!({"kty": "RSA", "n": n, "e": "AQAB"});
    let as_text = Value::from(as_object.to_string());
    for jwk in [as_object, as_text] {
        let token = Token::parse(&token(json!({"exp": 1, "jwk": jwk}))).unwrap();
        assert_eq!(token.modulus.as_deref(), Some(&[0xdc, 0x86][..]));
        assert!(token.matches_key(&[0xdc, 0x86]) && !token.matches_key(&[0xdc, 0x87]));
    }
    for jwk in [json!("no json"), json!({}), json!(7), json!({"n": ""}), json!({"n": "?"})] {
        let token = Token::parse(&token(json!({"exp": 1, "jwk": jwk}))).unwrap();
        assert!(token.modulus.is_none() && token.matches_key(&[1]));
    }
}

#[test]
fn padding_is_accepted_and_not_needed() {
    let padded = |value: Value| URL_SAFE.encode(value.to_string());
    let (header, payload) = (padded(json!({"a": 1})), padded(json!({"exp": 17})));
    assert!(header.ends_with('=') || payload.ends_with('='));
    let text = format!("{header}.{payload}.{}", URL_SAFE.encode([1; 256]));
    assert_eq!(Token::parse(&text).unwrap().expires, 17);
}

#[test]
fn each_malformed_token_has_its_own_error() {
    let error = |text: &str| Token::parse(text).unwrap_err();
    let (good, bad_json) = (URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode("[1"));
    assert_eq!(error(" \n"), TokenError::Empty);
    assert_eq!(error("ey"), TokenError::Parts(1));
    assert_eq!(error("a.b.c.d"), TokenError::Parts(4));
    assert_eq!(error(&format!("!.{good}.{good}")), TokenError::Base64("header"));
    assert_eq!(error(&format!("{good}.{bad_json}.{good}")), TokenError::Json("payload"));
    assert_eq!(error(&format!("{good}.{good}.")), TokenError::Signature);
    assert_eq!(error(&format!("{good}.{good}.{good}")), TokenError::NoExpiry);
}

#[test]
fn a_truncated_token_is_rejected_unless_a_shorter_key_could_have_signed_it() {
    let intact = vector();
    let accepted: Vec<usize> =
        (0..intact.len()).filter(|&end| Token::parse(&intact[..end]).is_ok()).collect();
    // The signature has 342 characters; truncated to 224, 192, 160 or 128 bytes it fits a shorter key.
    assert!(accepted.len() <= 8, "{accepted:?}");
}

#[test]
fn an_rsa_signature_is_that_of_a_key_of_1024_bits_or_more_and_another_has_any_length() {
    let accepts = |alg: &str, bytes: usize| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = URL_SAFE_NO_PAD.encode(vec![0xaa; bytes]);
        let text = format!("{}.{}.{signature}", part(json!({"alg": alg})), part(json!({"exp": 5})));
        let parsed = Token::parse(&text).map(|token| token.expires);
        assert!(matches!(parsed, Ok(5) | Err(TokenError::Signature)), "{parsed:?}");
        parsed.is_ok()
    };
    let lengths: Vec<usize> = (0..=300).filter(|bytes| accepts("RS256", *bytes)).collect();
    assert_eq!(lengths, [128, 160, 192, 224, 256, 288]);
    assert!((1..=300).all(|bytes| accepts("ES256", bytes)) && !accepts("ES256", 0));
}

#[test]
fn neither_errors_nor_debug_output_show_the_token() {
    let text = vector();
    let shown = format!("{:?}", Token::parse(&text).unwrap());
    assert_eq!(
        shown,
        "Token { expires: 1767229200, issued: Some(1767225600), session_end: None, .. }"
    );
    for part in text.split('.') {
        assert!(!shown.contains(part));
        let error = Token::parse(part).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(part));
    }
}

#[test]
fn the_tenancy_of_a_resource_comes_before_that_of_an_instance_and_of_a_user() {
    let tenancy = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = json!(1);
        Token::parse(&token(claims)).unwrap().tenancy
    };
    let (a, b, c) = ("ocid1.tenancy.a", "ocid1.tenancy.b", "ocid1.tenancy.c");
    let all = json!({"tenant": c, "opc-tenant": b, "res_tenant": a});
    assert_eq!(tenancy(all).as_deref(), Some(a));
    assert_eq!(tenancy(json!({"tenant": c, "opc-tenant": b})).as_deref(), Some(b));
    assert_eq!(tenancy(json!({"tenant": c, "res_tenant": ""})).as_deref(), Some(c));
    assert_eq!(tenancy(json!({"opc-tenant": 5})), None);
}

#[test]
fn a_key_id_is_not_taken_for_a_token() {
    let error = Token::parse(&format!(" ST${}\n", vector())).unwrap_err();
    assert_eq!(error, TokenError::KeyId);
    assert!(error.to_string().contains("ST$"), "{error}");
}
