//! Tests of PAR URLs, and of requests and responses through them.

mod messages;
mod urls;

use super::*;
use crate::api::PutOptions;

pub(super) const SECRET: &str = "uIDxFsk8j-tP_3qZ0aVbN5cM2eR7yXwLgH4kT9uJ1oQ";
pub(super) const OTHER_SECRET: &str = "Zz9-second_secret_of_an_open_upload_0123456";

/// The URL of the PAR of an object or bucket, with this end.
pub(super) fn url(end: &str) -> String {
    format!("https://objectstorage.eu-zurich-1.oraclecloud.com/p/{SECRET}/n/ax/b/backups/o/{end}")
}

pub(super) fn parse(text: &str) -> ParUrl {
    ParUrl::parse("FILE", text).unwrap()
}

pub(super) fn object() -> ParObject {
    parse(&url("db/x.dump")).object(&GivenNames::default()).unwrap()
}

pub(crate) fn options() -> PutOptions {
    PutOptions {
        storage_tier: Some("Archive".into()),
        content_type: "a/b".into(),
        metadata: vec![("host".into(), "db1".into())],
        ..PutOptions::default()
    }
}
