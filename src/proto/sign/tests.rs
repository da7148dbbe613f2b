//! Known signatures from `tests/data/signing-vectors.json`, made with Oracle's own signer.

use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}"))
}

/// The request of a vector.
fn signed_request(vector: &Value) -> SignedRequest<'_> {
    let (_, after_scheme) = text(vector, "url").split_once("://").unwrap();
    let target = &after_scheme[after_scheme.find('/').unwrap()..];
    let headers = &vector["headers"];
    let signs_body =
        vector["headers_signed"].as_array().unwrap().contains(&"x-content-sha256".into());
    SignedRequest {
        method: text(vector, "method"),
        path_and_query: target,
        host: headers["host"].as_str(),
        date: text(headers, "date"),
        delegation: None,
        body: signs_body.then(|| SignedBody {
            content_type: text(headers, "content-type"),
            bytes: text(vector, "body").as_bytes(),
        }),
    }
}

#[test]
fn each_of_the_twelve_vectors_is_reproduced_with_the_key_in_each_of_its_encodings() {
    let vectors = vectors();
    let keys = vectors["keys"].as_object().unwrap();
    let cases = vectors["vectors"].as_array().unwrap();
    assert_eq!((keys.len(), cases.len()), (10, 12));
    for (encoding, key) in keys {
        let key = Key::from_pem(text(key, "pem").as_bytes(), key["passphrase"].as_str()).unwrap();
        for vector in cases {
            let name = format!("{} with {encoding}", text(vector, "name"));
            let request = signed_request(vector);
            assert_eq!(
                signing_string(&fields(&request, &SignedField::ALL)),
                text(vector, "signing_string"),
                "{name}"
            );
            let signed = authorize(&KeyId::raw(text(vector, "key_id")), &key, &request);
            let (last, authorization) = signed.headers.last().unwrap();
            assert_eq!(*last, "authorization");
            assert_eq!(authorization, text(vector, "authorization_python_sdk_order"), "{name}");
            // The headers to send are the signed ones, and no others.
            for (header, value) in &signed.headers[..signed.headers.len() - 1] {
                assert_eq!(vector["headers"][header].as_str(), Some(value.as_str()), "{name}");
            }
        }
    }
}

#[test]
fn the_published_vectors_of_oracle_have_our_signing_string_and_their_signature_verifies() {
    // The published key has 1024 bits: `ring` verifies with it and does not sign with it.
    let published = &vectors()["oracle_published"];
    let pem = pem::parse(text(published, "private_key_pem")).unwrap();
    let public = public_half(pem.contents());
    let cases = published["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for vector in cases {
        let request = SignedRequest {
            method: text(vector, "method"),
            path_and_query: text(vector, "request_target"),
            host: Some(text(vector, "host")),
            date: text(vector, "date"),
            delegation: None,
            body: vector["body"].as_str().map(|body| SignedBody {
                content_type: "application/json",
                bytes: body.as_bytes(),
            }),
        };
        let fields = fields(&request, &SignedField::ALL);
        let signing_string = signing_string(&fields);
        assert_eq!(signing_string, text(vector, "signing_string"));
        let signature = STANDARD.decode(text(vector, "signature_base64")).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &public)
            .verify(signing_string.as_bytes(), &signature)
            .unwrap();
    }
}

/// The PKCS#1 public key within a PKCS#1 private key.
fn public_half(private: &[u8]) -> Vec<u8> {
    use pkcs8::der::{Decode, Encode, Header, SliceReader, asn1::UintRef};
    let mut reader = SliceReader::new(private).unwrap();
    Header::decode(&mut reader).unwrap();
    u8::decode(&mut reader).unwrap();
    let mut numbers = UintRef::decode(&mut reader).unwrap().to_der().unwrap();
    numbers.extend(UintRef::decode(&mut reader).unwrap().to_der().unwrap());
    let mut public = vec![0x30, 0x81, u8::try_from(numbers.len()).unwrap()];
    public.append(&mut numbers);
    public
}

#[test]
fn an_empty_body_that_is_signed_has_the_hash_of_nothing() {
    let empty = Some(SignedBody { content_type: "application/json", bytes: b"" });
    let request = SignedRequest {
        method: "POST",
        path_and_query: "/x",
        host: Some("h"),
        date: "d",
        delegation: None,
        body: empty,
    };
    assert_eq!(
        signing_string(&fields(&request, &SignedField::ALL)),
        "date: d\n(request-target): post /x\nhost: h\ncontent-length: 0\n\
         content-type: application/json\n\
         x-content-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    );
}

#[test]
fn debug_output_shows_no_token() {
    let vectors = vectors();
    let key = &vectors["keys"]["pkcs8"];
    let key = Key::from_pem(text(key, "pem").as_bytes(), None).unwrap();
    let key_id = KeyId::security_token("header.payload.signature");
    let request = SignedRequest {
        method: "GET",
        path_and_query: "/n",
        host: Some("h"),
        date: "d",
        delegation: None,
        body: None,
    };
    let signed = format!("{:?}", authorize(&key_id, &key, &request));
    assert_eq!(signed, r#"{"date": "d", "host": "h", ..}"#);
    let shown = format!("{key_id:?} {signed} {key:?}");
    assert!(shown.starts_with("KeyId(..) "), "{shown}");
    assert!(!shown.contains("payload") && !shown.contains("ST$"), "{shown}");
    assert!(!shown.contains("Signature"), "{shown}");
}
