//! The metadata service of an instance: addresses, requests, and the region that it names.
//!
//! Owns the paths and the one header of the service. Must not know a connection: the caller connects
//! directly, never through a proxy, since the response to [`Item::Key`] is a private key in clear.
//! Invariant: a request holds no secret.

mod region;
mod retry;

use zeroize::Zeroizing;

use super::call::AuthCall;
use crate::endpoint::Endpoint;
use crate::error::Error;

pub use region::{RegionInfo, RegionText};
pub use retry::{
    CONNECT_TIMEOUT, MetadataFailure, MetadataGiveUp, MetadataRetry, MetadataStep, START_LIMIT,
};

/// The variable that replaces the addresses of the service.
pub(crate) const BASE_URL: &str = "OCI_METADATA_BASE_URL";

const IPV4: &str = "http://169.254.169.254/opc/v2";
const IPV6: &str = "http://[fd00:c1::a9fe:a9fe]/opc/v2";

/// What the service can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The certificate of the instance, in PEM.
    Certificate,
    /// The private key of the certificate, in PEM.
    Key,
    /// The certificate of its issuer, in PEM.
    Issuer,
    /// The region, as a text.
    Region,
    /// Region and realm, as JSON.
    RegionInfo,
    /// The OCID of the instance, as a text.
    InstanceId,
}

impl Item {
    /// The path below the base.
    pub fn path(self) -> &'static str {
        match self {
            Item::Certificate => "/identity/cert.pem",
            Item::Key => "/identity/key.pem",
            Item::Issuer => "/identity/intermediate.pem",
            Item::Region => "/instance/region",
            Item::RegionInfo => "/instance/regionInfo",
            Item::InstanceId => "/instance/id",
        }
    }
}

/// The addresses to try, in this order. `base_url` is the value of `OCI_METADATA_BASE_URL`, which is the only
/// address unless it is blank. Fails with a usage error if it is not a URL.
pub fn bases(base_url: Option<&str>) -> Result<Vec<Endpoint>, Error> {
    let parse = |url: &str| Endpoint::parse_metadata(BASE_URL, url);
    match base_url.map(str::trim).filter(|url| !url.is_empty()) {
        Some(url) => Ok(vec![parse(url)?]),
        None => Ok(vec![parse(IPV4)?, parse(IPV6)?]),
    }
}

/// The request for one item.
pub fn call(base: &Endpoint, item: Item) -> AuthCall {
    AuthCall {
        method: "GET",
        target: base.target(item.path()),
        headers: vec![
            ("host", base.authority.clone()),
            ("accept", "*/*".to_owned()),
            ("authorization", "Bearer Oracle".to_owned()),
        ],
        body: Zeroizing::default(),
    }
}

/// The OCID of the instance in the response to [`Item::InstanceId`]. `None` if it cannot be one.
pub fn instance_id(text: &str) -> Option<String> {
    let id = text.trim().to_ascii_lowercase();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (id.starts_with("ocid1.") && id.bytes().all(legal)).then_some(id)
}
