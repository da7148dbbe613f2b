//! Signs a request as Oracle's SDKs do, and compares the result with two known ones: the signature that
//! the official SDK for Python makes of the same request, and the signing string of Oracle's
//! documentation ("Request Signatures", Sample Signing of a GET).
//!
//! `cargo run -p ocipipe-proto --example sign_request`; `cargo test` runs it too.

use std::error::Error;

use ocipipe_proto::api::{ObjectLocation, request};
use ocipipe_proto::key::Key;
use ocipipe_proto::sign::{KeyId, SignedRequest, authorize, signing_string};

/// A throw-away key.
const KEY: &[u8] = include_bytes!("data/test-key.pem");
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const HOST: &str = "objectstorage.us-ashburn-1.oraclecloud.com";
const UPLOAD_ID: &str = "5fd9032d-4893-4937-971a-242498429943";
const TENANCY: &str =
    "ocid1.tenancy.oc1..aaaaaaaatenancyocipipetestvector000000000000000000000000000";
const USER: &str = "ocid1.user.oc1..aaaaaaaauserocipipetestvector00000000000000000000000000000000";
/// The signature of the SDK for Python 2.189.0.
const SDK_SIGNATURE: &str = concat!(
    "VKBnaciMdCWM8HJwj5Lu/xnBuLPT+V3DdLTpB4fncNKWXB4D5/Sdyay0BnKyPRag7LzVaQbnnTkZkEaWQ6vAgSr0",
    "x10zOtLoq9gB3GO6JL1BcVpDoInML2K/4jNTW3v58WAVDcPSOajmvK5LyhRC6RPX4mh7xZJsQJ7cTrJKnGzvlNnZ",
    "W9Z0YqL6LH6MXJXV7dzkShXHYNVkB6M2EDP1tI1Wk+HL0RbfZyDu7ZPNOZzT5lLxykpipVf1WFkKq2qtMQFNBV+F",
    "FIjRKzqG28mg7GDMDibBcu6ejv9NNE8OiKUheo7+gd6JGaOmet+3XF0M2UgyYq2lq45QGQETYLseig==",
);
/// From the documentation.
const PUBLISHED_TARGET: &str = concat!(
    "get /20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compar",
    "tment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=Team",
    "XInstances&volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgv",
    "yndsdsnoiwr5q",
);

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn Error>> {
    let key = Key::from_pem(KEY, None)?;
    let key_id = KeyId::api_key(TENANCY, USER, key.fingerprint());
    let object = ObjectLocation {
        namespace: "examplens".to_owned(),
        bucket: "backups".to_owned(),
        object: "db/dump 2026+01.tar.zst".to_owned(),
    };
    let list_parts = request::list_parts(&object, UPLOAD_ID, None);
    let request = SignedRequest {
        method: list_parts.method,
        path_and_query: &list_parts.target,
        host: Some(HOST),
        date: DATE,
        delegation: None,
        body: None,
    };
    // Exactly these headers are sent, and no other spelling of them.
    let signed = authorize(&key_id, &key, &request);
    let (name, authorization) = signed.headers.last().ok_or("no header")?;
    assert_eq!(*name, "authorization");
    let key_id = key_id.as_str();
    assert_eq!(
        *authorization,
        format!(
            "Signature algorithm=\"rsa-sha256\",headers=\"date (request-target) host\",\
             keyId=\"{key_id}\",signature=\"{SDK_SIGNATURE}\",version=\"1\""
        )
    );

    // What is signed: a line for each field. The documentation shows this text.
    let published = [
        ("date", "Thu, 05 Jan 2014 21:31:40 GMT"),
        ("(request-target)", PUBLISHED_TARGET),
        ("host", "iaas.us-phoenix-1.oraclecloud.com"),
    ];
    let text = signing_string(&published);
    assert!(
        text.starts_with("date: Thu, 05 Jan 2014 21:31:40 GMT\n(request-target): get /20160918/")
    );
    assert!(text.ends_with("\nhost: iaas.us-phoenix-1.oraclecloud.com"));
    Ok(())
}
