//! Requests that the service's own clients made, and what must be refused of their variations.

use super::super::authority::CertificateAuthority;
use super::*;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/principal-vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).unwrap().as_str().unwrap()
}

fn der(vectors: &Value, name: &str) -> Vec<u8> {
    decode(text(vectors, &format!("/certificates/{name}/sanitised"))).unwrap()
}

fn trust(vectors: &Value) -> TrustedIssuer {
    TrustedIssuer::new(&der(vectors, "intermediate")).unwrap()
}

fn vector_time(vectors: &Value) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(vectors["unix_time"].as_u64().unwrap())
}

/// A request as it arrives.
#[derive(Clone)]
struct Arrived {
    headers: HeaderMap,
    body: String,
}

impl Arrived {
    fn set(&mut self, name: &str, value: &str) {
        let name: HeaderName = name.parse().unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    /// A request of the vectors, which hold headers as a list or as an object.
    fn of(vector: &Value) -> Arrived {
        let mut request =
            Arrived { headers: HeaderMap::new(), body: text(vector, "/body").to_owned() };
        if let Some(headers) = vector.get("headers_in_order") {
            for pair in headers.as_array().unwrap() {
                request.set(text(pair, "/0"), text(pair, "/1"));
            }
        } else {
            for (name, value) in vector["headers"].as_object().unwrap() {
                request.set(name, value.as_str().unwrap());
            }
        }
        let (list, key_id) = (text(vector, "/signed_headers"), text(vector, "/key_id"));
        request.authorize(list, key_id, text(vector, "/signature"));
        request
    }

    fn authorize(&mut self, list: &str, key_id: &str, signature: &str) {
        let value = format!(
            r#"Signature algorithm="rsa-sha256",headers="{list}",keyId="{key_id}",signature="{signature}",version="1""#
        );
        self.set("authorization", &value);
    }

    /// A request that the key of a certificate of the vectors signs, with this body.
    fn signed(vectors: &Value, key: &str, key_id: &str, list: &str, body: &Value) -> Arrived {
        let body = body.to_string();
        let mut request = Arrived { headers: HeaderMap::new(), body };
        let digest = STANDARD.encode(sha2::Sha256::digest(&request.body));
        request.set("date", text(vectors, "/date_header"));
        request.set("content-type", "application/json");
        request.set("content-length", &request.body.len().to_string());
        request.set("x-content-sha256", &digest);
        let names: Vec<String> = list.split(' ').map(str::to_owned).collect();
        let signed = signed_text(&names, &request.head()).unwrap();
        let pem = text(vectors, &format!("/certificates/{key}/key_pem"));
        let key = rsa::PrivateKey::from_pkcs8_pem(pem)
            .unwrap_or_else(|_| rsa::PrivateKey::from_pkcs1_pem(pem).unwrap());
        let key = RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        request.authorize(list, key_id, &STANDARD.encode(signature));
        request
    }

    fn head(&self) -> SignedHead<'_> {
        SignedHead { method: "POST", target: "/v1/x509", headers: &self.headers }
    }

    fn verify(&self, vectors: &Value) -> Result<VerifiedInstance, ErrorResponse> {
        self.verify_at(vectors, vector_time(vectors))
    }

    fn verify_at(
        &self,
        vectors: &Value,
        now: SystemTime,
    ) -> Result<VerifiedInstance, ErrorResponse> {
        verify_request(&self.head(), self.body.as_bytes(), &trust(vectors), now)
    }
}

const LIST: &str = "date (request-target) content-length content-type x-content-sha256";

/// The body for a certificate of the vectors.
fn body(vectors: &Value, certificate: &str) -> Value {
    json!({
        "certificate": text(vectors, &format!("/certificates/{certificate}/sanitised")),
        "publicKey": text(vectors, "/keys/session1/public_one_line"),
        "intermediateCertificates": [text(vectors, "/certificates/intermediate/sanitised")],
    })
}

/// The key id for a certificate of the vectors.
fn key_id(vectors: &Value, certificate: &str) -> String {
    let tenancy = text(vectors, &format!("/certificates/{certificate}/tenancy"));
    let sha1 = text(vectors, &format!("/certificates/{certificate}/sha1_upper"));
    format!("{tenancy}/fed-x509/{sha1}")
}

fn assert_refused(result: Result<VerifiedInstance, ErrorResponse>, reason: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.status, &*error.code), (401, "NotAuthenticated"), "{reason}");
    assert!(error.message.contains(reason), "{} / {reason}", error.message);
}

#[test]
fn the_requests_of_all_four_clients_are_accepted() {
    let vectors = vectors();
    let key = PublicKey::from_text(text(&vectors, "/keys/session1/public_pem")).unwrap();
    for form in ["x509_python", "x509_go_form", "x509_typescript_form", "x509_java_form"] {
        let request = Arrived::of(&vectors["instance_principal"][form]);
        let instance = request.verify(&vectors).unwrap_or_else(|error| panic!("{form}: {error:?}"));
        assert_eq!(instance.tenancy, text(&vectors, "/ocids/tenancy"), "{form}");
        assert_eq!(instance.key, key, "{form}");
        assert_eq!(instance.fingerprint, text(&vectors, "/certificates/leaf1/sha1_upper"));
    }
    let refresh = &vectors["instance_principal"]["refresh"];
    assert_eq!(
        Arrived::of(&refresh["x509_python"]).verify(&vectors).unwrap().fingerprint,
        text(&vectors, "/certificates/leaf2/sha1_upper")
    );
}

#[test]
fn every_shape_of_subject_names_its_tenancy() {
    let vectors = vectors();
    for leaf in [
        "leaf1",
        "leaf2",
        "leaf_other_tenancy",
        "leaf_multi_rdn",
        "leaf_multi_rdn_unsorted",
        "leaf_opc_identity",
    ] {
        let id = key_id(&vectors, leaf);
        let request = Arrived::signed(&vectors, leaf, &id, LIST, &body(&vectors, leaf));
        let instance = request.verify(&vectors).unwrap_or_else(|error| panic!("{leaf}: {error:?}"));
        assert_eq!(instance.tenancy, text(&vectors, &format!("/certificates/{leaf}/tenancy")));
    }
}

#[test]
fn a_certificate_with_the_key_of_another_is_refused() {
    let vectors = vectors();
    // A torn pair: the certificate after a replacement, the key before it.
    let id = key_id(&vectors, "leaf2");
    let torn = Arrived::signed(&vectors, "leaf1", &id, LIST, &body(&vectors, "leaf2"));
    assert_refused(torn.verify(&vectors), "Failed to verify");
    let foreign = key_id(&vectors, "leaf_other_tenancy");
    let request = Arrived::signed(&vectors, "leaf1", &foreign, LIST, &body(&vectors, "leaf1"));
    assert_refused(request.verify(&vectors), "tenancy of the keyId");
    let (tenancy, _) = id.split_once("/fed").unwrap();
    let wrong = key_id(&vectors, "leaf1").replace("97:92", "97:93");
    let request = Arrived::signed(&vectors, "leaf1", &wrong, LIST, &body(&vectors, "leaf1"));
    assert_refused(request.verify(&vectors), "fingerprint of the keyId");
    let wrong = format!("{tenancy}/fed-x509-md5/97:92");
    let request = Arrived::signed(&vectors, "leaf1", &wrong, LIST, &body(&vectors, "leaf1"));
    assert_refused(request.verify(&vectors), "keyId is not");
}

#[test]
fn a_certificate_of_another_authority_or_out_of_date_is_refused() {
    let vectors = vectors();
    let id = key_id(&vectors, "leaf1");
    let request = Arrived::signed(&vectors, "leaf1", &id, LIST, &body(&vectors, "leaf1"));
    let now = vector_time(&vectors);
    let other = CertificateAuthority::generate(now).unwrap();
    let result = verify_request(&request.head(), request.body.as_bytes(), other.trust(), now);
    assert_refused(result, "The certificate is not accepted");
    let mut early = request.clone();
    let before = UNIX_EPOCH + Duration::from_secs(1_767_135_600);
    early.set("date", &httpdate::fmt_http_date(before));
    assert_refused(early.verify_at(&vectors, before), "not accepted: CertNotValidYet");
}

#[test]
fn date_target_and_body_must_be_signed_and_hold() {
    let vectors = vectors();
    let python = Arrived::of(&vectors["instance_principal"]["x509_python"]);
    let late = vector_time(&vectors) + Duration::from_secs(301);
    assert_refused(python.verify_at(&vectors, late), "clock skew");
    let mut other_body = python.clone();
    other_body.body = other_body.body.replace("\"publicKey\": \"MIIB", "\"publicKey\": \"MIIC");
    assert_refused(other_body.verify(&vectors), "x-content-sha256");
    let mut other_date = python.clone();
    other_date.set("date", "Thu, 01 Jan 2026 00:00:01 GMT");
    assert_refused(other_date.verify(&vectors), "Failed to verify");
    let mut unsigned = python.clone();
    unsigned.headers.remove("authorization");
    assert_refused(unsigned.verify(&vectors), "not provided");
    let id = key_id(&vectors, "leaf1");
    for missing in ["date", "(request-target)", "x-content-sha256", "content-length"] {
        let list: Vec<&str> = LIST.split(' ').filter(|name| *name != missing).collect();
        let list = list.join(" ");
        let request = Arrived::signed(&vectors, "leaf1", &id, &list, &body(&vectors, "leaf1"));
        assert_refused(request.verify(&vectors), "incorrect");
    }
}

#[test]
fn unknown_fields_and_line_ends_in_the_body_are_accepted_and_other_texts_are_400() {
    let vectors = vectors();
    let id = key_id(&vectors, "leaf1");
    let request =
        |body: &Value| Arrived::signed(&vectors, "leaf1", &id, LIST, body).verify(&vectors);
    let mut lenient = body(&vectors, "leaf1");
    lenient["purpose"] = json!("SERVICE");
    lenient["more"] = json!({"a": 1});
    let lines = text(&vectors, "/certificates/leaf1/cert_pem").replace('\n', "\r\n");
    let lines: String = lines.lines().filter(|line| !line.starts_with('-')).collect();
    lenient["certificate"] = json!(format!("\r{lines}\r"));
    assert!(request(&lenient).is_ok());
    let mut without = body(&vectors, "leaf1");
    without.as_object_mut().unwrap().remove("intermediateCertificates");
    assert!(request(&without).is_ok());
    for (field, value) in [("certificate", "!"), ("publicKey", "AAAA"), ("certificate", "")] {
        let mut wrong = body(&vectors, "leaf1");
        wrong[field] = json!(value);
        let status = request(&wrong).unwrap_err().status;
        assert_eq!(status, if value.is_empty() { 401 } else { 400 }, "{field} {value}");
    }
    assert_eq!(request(&json!({"certificate": 1})).unwrap_err().status, 400);
}

#[test]
fn a_leaf_of_the_server_chains_to_its_root_by_the_intermediate_only() {
    let now = SystemTime::now();
    let authority = CertificateAuthority::generate(now).unwrap();
    let key = super::super::super::key_pool::key(0).unwrap().public_der().unwrap();
    for shape in [
        super::super::SubjectShape::SingleValued,
        super::super::SubjectShape::MultiValued,
        super::super::SubjectShape::OpcIdentity,
    ] {
        let subject = shape.subject("ocid1.tenancy.oc1..x");
        let life = Duration::from_secs(100);
        let leaf = authority.issue(&subject, &key, now - life, now + life).unwrap();
        let leaf = CertificateDer::from(leaf);
        let certificate = EndEntityCert::try_from(&leaf).unwrap();
        let subject = in_sequence(certificate.subject());
        let found = subject::tenancy(&subject);
        assert_eq!(found.as_deref(), Some("ocid1.tenancy.oc1..x"), "{shape:?}");
        let sorted = yasna::parse_der(&subject, |reader| {
            reader.read_sequence_of(|names| {
                names.read_set_of(|attribute| attribute.read_der().map(drop))
            })
        });
        assert_eq!(sorted.is_err(), shape == super::super::SubjectShape::MultiValued, "{shape:?}");
        let intermediate = [CertificateDer::from(authority.intermediate())];
        let verify =
            |at, chain: &[CertificateDer<'_>]| authority.trust().verify(&certificate, chain, at);
        verify(now, &intermediate).unwrap();
        assert!(verify(now, &[]).is_err());
        assert!(verify(now + life + Duration::from_secs(1), &intermediate).is_err());
    }
}
