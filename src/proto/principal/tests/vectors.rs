//! Requests: each signature, body, key id, fingerprint and certificate of the vectors.

use super::*;
use crate::endpoint::Endpoint;
use crate::principal::federation::{FederationService, InstanceIdentity};
use crate::principal::{certificate, metadata};
use crate::region::{Region, RegionSources};
use crate::sign::{self, KeyId, SignedBody, SignedField, SignedRequest};

/// A header of a vector, of a captured or a computed one.
pub(super) fn header<'a>(vector: &'a Value, name: &str) -> Option<&'a str> {
    if let Some(headers) = vector.get("headers_in_order") {
        let headers = headers.as_array().unwrap();
        let found = headers.iter().find(|pair| text(pair, "0").eq_ignore_ascii_case(name));
        return found.map(|pair| text(pair, "1"));
    }
    vector["headers"].get(name).map(|value| value.as_str().unwrap())
}

/// All signed requests of the file with their paths.
fn signed_requests<'a>(value: &'a Value, path: String, found: &mut Vec<(String, &'a Value)>) {
    if value.get("signature").is_some() {
        found.push((path, value));
        return;
    }
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => return,
    };
    for (name, child) in children {
        signed_requests(child, format!("{path}/{name}"), found);
    }
}

fn field(name: &str) -> SignedField {
    SignedField::ALL.into_iter().find(|field| field.name() == name).unwrap()
}

/// The part of an authorization header between `NAME="` and the next quotation mark.
pub(super) fn parameter<'a>(authorization: &'a str, name: &str) -> &'a str {
    let (_, rest) = authorization.split_once(&format!("{name}=\"")).unwrap();
    rest.split('"').next().unwrap()
}

#[test]
fn each_of_the_24_signatures_is_reproduced_with_its_own_list_of_headers() {
    let vectors = vector_file();
    let mut requests = Vec::new();
    signed_requests(&vectors, String::new(), &mut requests);
    assert_eq!(requests.len(), 24);
    let mut lists = Vec::new();
    for (path, vector) in requests {
        let (method, rest) = text(vector, "request_line").split_once(' ').unwrap();
        let (target, _) = rest.split_once(' ').unwrap();
        let list = text(vector, "signed_headers");
        let order: Vec<SignedField> = list.split(' ').map(field).collect();
        let signs = |name| order.contains(&field(name));
        let body = signs("x-content-sha256").then(|| SignedBody {
            content_type: header(vector, "content-type").unwrap(),
            bytes: text(vector, "body").as_bytes(),
        });
        let request = SignedRequest {
            method,
            path_and_query: target,
            host: if signs("host") { header(vector, "host") } else { None },
            date: header(vector, "date").unwrap(),
            delegation: header(vector, "opc-obo-token"),
            body,
        };
        let key_id = KeyId::raw(text(vector, "key_id"));
        let key = key(&vectors, text(vector, "signed_with"));
        let signed = sign::authorize_in_order(&key_id, &key, &request, &order);
        let (_, authorization) = signed.headers.last().unwrap();
        assert_eq!(parameter(authorization, "headers"), list, "{path}");
        assert_eq!(parameter(authorization, "keyId"), text(vector, "key_id"), "{path}");
        assert_eq!(parameter(authorization, "signature"), text(vector, "signature"), "{path}");
        if let Some(whole) = vector.get("authorization") {
            assert_eq!(authorization, whole.as_str().unwrap(), "{path}");
        }
        for (name, value) in &signed.headers[..signed.headers.len() - 1] {
            assert_eq!(header(vector, name), Some(value.as_str()), "{path}");
        }
        // The program's own order is that of every request but those of TypeScript.
        let own = sign::authorize(&key_id, &key, &request);
        assert_eq!(own == signed, !path.contains("typescript"), "{path}");
        lists.push(list);
    }
    lists.sort_unstable();
    lists.dedup();
    assert_eq!(lists.len(), 6, "{lists:?}");
}

#[test]
fn debug_output_of_signed_headers_shows_no_delegation_token() {
    let vectors = vector_file();
    let request = SignedRequest {
        method: "GET",
        path_and_query: "/n",
        host: Some("h"),
        date: DATE,
        delegation: Some("TEST.DELEGATION.TOKEN"),
        body: None,
    };
    let key = key(&vectors, "keys.session1.private_pem");
    let signed = sign::authorize(&KeyId::raw("k"), &key, &request);
    assert!(signed.headers.iter().any(|(name, _)| *name == "opc-obo-token"));
    assert!(!format!("{signed:?}").contains("DELEGATION.TOKEN"));
}

#[test]
fn each_certificate_gives_its_tenancy_its_four_fingerprints_and_its_base64() {
    let vectors = vector_file();
    let names = [
        "leaf1",
        "leaf2",
        "leaf_other_tenancy",
        "leaf_multi_rdn",
        "leaf_multi_rdn_unsorted",
        "leaf_opc_identity",
    ];
    let certificates = vectors["certificates"].as_object().unwrap();
    assert_eq!(certificates.len(), names.len() + 1);
    for name in names {
        let (vector, leaf) = (&certificates[name], leaf(&vectors, name));
        assert_eq!(leaf.tenancy, text(vector, "tenancy"), "{name}");
        assert_eq!(leaf.one_line(), text(vector, "sanitised"), "{name}");
        assert_eq!(leaf.sha1(), text(vector, "sha1_upper"), "{name}");
        assert_eq!(leaf.sha1().to_ascii_lowercase(), text(vector, "sha1_lower"), "{name}");
        assert_eq!(leaf.sha256(), text(vector, "sha256_upper"), "{name}");
        assert_eq!(leaf.sha256().to_ascii_lowercase(), text(vector, "sha256_lower"), "{name}");
        // From 2025-12-31 23:00 to 2046-01-01.
        assert_eq!((leaf.not_before, leaf.not_after), (1_767_222_000, 2_398_377_600), "{name}");
        assert!(leaf.matches_key(&key(&vectors, &format!("certificates.{name}.key_pem"))));
    }
    let issuers =
        certificate::issuers(text(&vectors, "certificates.intermediate.cert_pem").as_bytes());
    assert_eq!(issuers.unwrap(), [text(&vectors, "certificates.intermediate.sanitised")]);
}

#[test]
fn line_ends_white_space_and_text_around_a_certificate_do_not_belong_to_it() {
    let vectors = vector_file();
    let pem = text(&vectors, "certificates.leaf1.cert_pem");
    let leaf1 = leaf(&vectors, "leaf1");
    let indented = pem.replace('\n', "\n \t");
    for spelled in [
        pem.replace('\n', "\r\n"),
        pem.trim_end().to_owned(),
        indented,
        pem.replacen('\n', "\n\n", 7),
        format!("subject=/CN=x\n\u{feff}{pem}\nissuer: y\n"),
    ] {
        assert_eq!(LeafCertificate::parse(spelled.as_bytes()), Ok(leaf1.clone()), "{spelled}");
    }
    let two = format!("{pem}{}", text(&vectors, "certificates.intermediate.cert_pem"));
    assert_eq!(LeafCertificate::parse(two.as_bytes()), Ok(leaf1));
    assert_eq!(certificate::issuers(two.as_bytes()).unwrap().len(), 2);
}

#[test]
fn a_session_key_has_the_forms_of_its_public_half_that_the_services_take() {
    let vectors = vector_file();
    for name in ["session1", "session2", "auth_service", "rp"] {
        let (vector, session) = (at(&vectors, &format!("keys.{name}")), session(&vectors, name));
        assert_eq!(session.public_one_line(), text(vector, "public_one_line"), "{name}");
        assert_eq!(session.public_pem(), text(vector, "public_pem"), "{name}");
        assert_eq!(session.key.fingerprint(), text(vector, "md5_fingerprint"), "{name}");
    }
    let rp = &vectors["keys"]["rp"];
    for form in ["encrypted_pkcs8_pem", "encrypted_pkcs1_pem"] {
        let key = Key::from_pem(text(rp, form).as_bytes(), rp["passphrase"].as_str()).unwrap();
        assert_eq!(key.fingerprint(), text(rp, "md5_fingerprint"));
    }
}

#[test]
fn generated_session_keys_are_different_keys_of_2048_bits_that_sign() {
    let keys = [SessionKey::generate().unwrap(), SessionKey::generate().unwrap()];
    assert_ne!(keys[0].modulus(), keys[1].modulus());
    for key in keys {
        assert_eq!((key.modulus().len(), key.key.sign(b"x").len()), (256, 256));
        // The exponent 65537 ends the key in PKCS#1.
        assert!(key.key.public_key().ends_with(&[2, 3, 1, 0, 1]));
        assert!(!format!("{key:?}").contains(&key.public_one_line()[60..90]));
    }
}

#[test]
fn the_federation_request_is_that_of_the_python_sdk_before_and_after_a_rotation() {
    let vectors = vector_file();
    let host = text(&vectors, "host");
    let endpoint = Endpoint::parse("--auth-endpoint", &format!("http://{host}")).unwrap();
    let service = FederationService::below(endpoint);
    let issuers =
        certificate::issuers(text(&vectors, "certificates.intermediate.cert_pem").as_bytes())
            .unwrap();
    for (vector, leaf_name, session_name) in [
        ("instance_principal.x509_python", "leaf1", "session1"),
        ("instance_principal.refresh.x509_python", "leaf2", "session2"),
    ] {
        let vector = at(&vectors, vector);
        let leaf = leaf(&vectors, leaf_name);
        let leaf_key = key(&vectors, &format!("certificates.{leaf_name}.key_pem"));
        let identity = InstanceIdentity { leaf: &leaf, leaf_key: &leaf_key, issuers: &issuers };
        assert_eq!(identity.check(None), Ok(()));
        assert_eq!(identity.check(Some(&leaf.tenancy)), Ok(()));
        let session = session(&vectors, session_name);
        let call = identity.call(&service, &session, DATE);
        assert_eq!((call.method, call.target.as_str()), ("POST", "/v1/x509"));
        assert_eq!(call.body.as_slice(), text(vector, "body").as_bytes());
        for name in ["host", "date", "content-length", "content-type", "x-content-sha256"] {
            assert_eq!(call.header(name), header(vector, name), "{name}");
        }
        let authorization = call.header("authorization").unwrap();
        assert_eq!(parameter(authorization, "headers"), text(vector, "signed_headers"));
        assert_eq!(parameter(authorization, "keyId"), text(vector, "key_id"));
        assert_eq!(parameter(authorization, "signature"), text(vector, "signature"));
        assert!(!format!("{call:?}").contains(&session.public_one_line()[60..90]));
    }
}

#[test]
fn without_an_issuer_the_federation_request_has_no_list_of_issuers() {
    let vectors = vector_file();
    let (leaf, session) = (leaf(&vectors, "leaf1"), session(&vectors, "session1"));
    let leaf_key = key(&vectors, "certificates.leaf1.key_pem");
    let identity = InstanceIdentity { leaf: &leaf, leaf_key: &leaf_key, issuers: &[] };
    let service = FederationService::below(Endpoint::of_host("auth.example"));
    let call = identity.call(&service, &session, DATE);
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2);
}

#[test]
fn a_federation_url_is_whole_or_has_no_path() {
    let vectors = vector_file();
    let (leaf, session) = (leaf(&vectors, "leaf1"), session(&vectors, "session1"));
    let leaf_key = key(&vectors, "certificates.leaf1.key_pem");
    let identity = InstanceIdentity { leaf: &leaf, leaf_key: &leaf_key, issuers: &[] };
    let target = |service: &FederationService| identity.call(service, &session, DATE).target;
    for (url, expected) in [
        ("https://auth.x", "/v1/x509"),
        ("https://auth.x/", "/v1/x509"),
        ("https://auth.x/v1/x509", "/v1/x509"),
        ("https://auth.x/y/x509", "/y/x509"),
    ] {
        let service = FederationService::parse("--federation-endpoint", url).unwrap();
        assert_eq!(target(&service), expected, "{url}");
    }
    let below = Endpoint::parse("x", "https://auth.x/prefix").unwrap();
    assert_eq!(target(&FederationService::below(below)), "/prefix/v1/x509");
    let error = FederationService::parse("--federation-endpoint", "http://10.0.0.1").unwrap_err();
    assert!(error.hint.unwrap().contains("/v1/x509"));
}

#[test]
fn requests_to_the_metadata_service_are_those_of_the_python_sdk() {
    let vectors = vector_file();
    let imds = &vectors["instance_principal"];
    let base = format!("http://{}/opc/v2//", text(&vectors, "host"));
    let bases = metadata::bases(Some(&base)).unwrap();
    let [base] = &bases[..] else { panic!("{bases:?}") };
    let items = [
        metadata::Item::Certificate,
        metadata::Item::Key,
        metadata::Item::Issuer,
        metadata::Item::Region,
        metadata::Item::RegionInfo,
    ];
    for item in items {
        let call = metadata::call(base, item);
        assert!(imds["imds_answers"].get(&call.target).is_some(), "{}", call.target);
        let sent = imds["imds_request_headers_in_order"].as_array().unwrap();
        for pair in sent {
            if let ("Host" | "Authorization", value) = (text(pair, "0"), text(pair, "1")) {
                assert_eq!(call.header(&text(pair, "0").to_lowercase()), Some(value));
            }
        }
    }
    let answers = &imds["imds_answers"];
    let none = RegionSources::default();
    let info = answers["/opc/v2/instance/regionInfo"].as_str().unwrap();
    let info = metadata::RegionInfo::read(info.as_bytes()).unwrap();
    let region = info.region(&none).unwrap();
    assert_eq!(region, Region::find("us-ashburn-1", &none).unwrap());
    let region_text = answers["/opc/v2/instance/region"].as_str().unwrap();
    let read = metadata::RegionText::read(region_text, &none);
    assert_eq!(read, Ok(metadata::RegionText::Known(region)));
}
