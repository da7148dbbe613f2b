//! Tests of the form of a receipt, and of reading one back.

use super::*;

fn receipt() -> Receipt {
    Receipt {
        auth: "security_token".into(),
        bucket: "backups".into(),
        checksum: Some(Checksum { algorithm: "SHA256".into(), value: "q83v-3".into() }),
        etag: "oe".into(),
        last_modified: Some("Wed, 25 Jan 2023 14:49:00 GMT".into()),
        name: "my \"db\".dump".into(),
        namespace: "ax".into(),
        opc_multipart_md5: Some("eGACCX96ANZkZ8s4f8I/bQ==-3".into()),
        opc_request_id: Some("fra-1:x".into()),
        part_sizes: PartLayout::level(402_653_184, 150 << 20),
        parts: 3,
        retries: 1,
        seconds: Duration::from_micros(12_345_678),
        sha256: Some("ab".into()),
        size: 402_653_184,
        token_refreshes: 2,
        upload_id: Some("u".into()),
        verified_by: "SHA256".into(),
        ..Receipt::default()
    }
}

#[test]
fn a_receipt_is_the_documented_json() {
    let want = r#"{
  "auth": "security_token",
  "bucket": "backups",
  "checksum": {
    "algorithm": "SHA256",
    "value": "q83v-3"
  },
  "etag": "oe",
  "last-modified": "Wed, 25 Jan 2023 14:49:00 GMT",
  "name": "my \"db\".dump",
  "namespace": "ax",
  "opc-multipart-md5": "eGACCX96ANZkZ8s4f8I/bQ==-3",
  "opc-request-id": "fra-1:x",
  "part-sizes": [[2, 157286400], [1, 88080384]],
  "parts": 3,
  "retries": 1,
  "seconds": 12.345,
  "sha256": "ab",
  "size": 402653184,
  "token-refreshes": 2,
  "upload-id": "u",
  "verified-by": "SHA256"
}
"#;
    assert_eq!(receipt().to_json(), want);
}

#[test]
fn the_keys_are_sorted() {
    let full = Receipt { opc_content_md5: Some("x".into()), ..receipt() };
    let text = full.to_json();
    let keys: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
    assert_eq!(keys.len(), 19);
    assert!(keys.is_sorted(), "{keys:?}");
}

#[test]
fn an_unknown_value_is_absent_and_never_null() {
    let text = Receipt::default().to_json();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["sha256", "upload-id", "opc-content-md5", "opc-multipart-md5", "checksum"] {
        assert_eq!(value.get(key), None, "{key}");
    }
    for (key, known) in value.as_object().unwrap() {
        assert!(!known.is_null(), "{key}");
    }
}

#[test]
fn a_receipt_is_read_back_as_it_was_written() {
    let read = Receipt::parse(&receipt().to_json()).unwrap();
    assert_eq!(read, Receipt { seconds: Duration::from_millis(12_345), ..receipt() });
    // An earlier version knows neither the part sizes nor the mode.
    let old: String = receipt()
        .to_json()
        .lines()
        .filter(|line| !line.contains("part-sizes") && !line.contains("\"auth\""))
        .collect();
    let read = Receipt::parse(&old).unwrap();
    assert_eq!((read.part_sizes, read.auth.as_str(), read.parts), (None, "", 3));
}

#[test]
fn what_is_no_receipt_is_a_usage_error() {
    let contradicting = Receipt { parts: 4, ..receipt() };
    let shorter = Receipt { size: 5, ..receipt() };
    for (text, what) in [
        (r#"{"etag": "e", "opc-multipart-md5": "m-3"}"#, "not a receipt"),
        ("[]", "not a receipt"),
        ("", "not a receipt"),
        (&contradicting.to_json(), "contradicts itself"),
        (&shorter.to_json(), "contradicts itself"),
    ] {
        let error = Receipt::parse(text).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2, "{text}");
        assert!(error.message.contains(what) && error.hint.is_some(), "{error}");
    }
}

#[test]
fn the_digests_of_a_receipt_are_those_of_the_object() {
    let checksum = |algorithm: Algorithm, value: &str| {
        Some(Checksum { algorithm: algorithm.name().to_owned(), value: value.to_owned() })
    };
    let meta = receipt().object_meta();
    assert_eq!(meta.multipart.sha256.as_deref(), Some("q83v-3"));
    assert_eq!(meta.multipart.md5.as_deref(), Some("eGACCX96ANZkZ8s4f8I/bQ==-3"));
    assert_eq!((meta.size, meta.content), (Some(402_653_184), Digests::default()));
    let crc = Receipt { checksum: checksum(Algorithm::Crc32c, "Yn9hSg=="), ..receipt() };
    assert_eq!(crc.object_meta().content.crc32c.as_deref(), Some("Yn9hSg=="));
    let put = Receipt {
        checksum: checksum(Algorithm::Sha384, "s"),
        upload_id: None,
        opc_multipart_md5: None,
        opc_content_md5: Some("m".into()),
        ..receipt()
    };
    let meta = put.object_meta();
    assert_eq!(meta.content.sha384.as_deref(), Some("s"));
    assert_eq!(meta.content.md5.as_deref(), Some("m"));
    assert_eq!(meta.multipart, Digests::default());
}

fn named(name: &str, etag: &str) -> Receipt {
    Receipt { name: name.into(), etag: etag.into(), ..receipt() }
}

#[test]
fn of_several_receipts_the_last_one_of_the_object_is_read() {
    let text: String =
        [named("a", "1"), named("b", "2"), named("a", "3"), named("c", "4"), named("b", "5")]
            .iter()
            .enumerate()
            .map(|(at, one)| if at % 2 == 0 { one.to_json() } else { one.to_json_line() })
            .collect();
    let etag = |url: Option<&str>| {
        let url = url.map(|url| ObjectUrl::parse(url).unwrap());
        Receipt::parse_one_of(&text, url.as_ref()).map(|receipt| receipt.etag)
    };
    assert_eq!(etag(None).unwrap(), "5");
    assert_eq!(etag(Some("oci://backups/a")).unwrap(), "3");
    assert_eq!(etag(Some("oci://backups@ax/c")).unwrap(), "4");
    for other in ["oci://backups/d", "oci://other/a", "oci://backups@other/a"] {
        let error = etag(Some(other)).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2);
        assert!(error.message.contains("none of its 5 receipts"), "{error}");
    }
    // A copy may have another name: the only receipt is that of the object.
    let one = named("a", "1").to_json();
    let url = ObjectUrl::parse("oci://elsewhere/copy").unwrap();
    assert_eq!(Receipt::parse_one_of(&one, Some(&url)).unwrap().etag, "1");
}

#[test]
fn a_damaged_receipt_among_others_is_an_error() {
    let good = receipt().to_json();
    let contradicting = Receipt { parts: 4, ..receipt() }.to_json();
    for bad in ["x", "{}", &good[..good.len() / 2], &contradicting] {
        for text in [format!("{good}{bad}"), format!("{bad}{good}")] {
            let error = Receipt::parse(&text).unwrap_err();
            assert_eq!(error.kind.exit_code(), 2, "{text}");
        }
    }
}

#[test]
fn a_receipt_on_one_line_is_the_same() {
    let line = receipt().to_json_line();
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(Receipt::parse(&line), Receipt::parse(&receipt().to_json()));
}
