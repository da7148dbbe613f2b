//! The object that an upload through a PAR stores.
//!
//! Owns the comparison of the names that the user gave with those of the PAR, and the path of the object.
//! Must not know the command line. Invariant: the object lies in the bucket of the PAR, and is the only
//! one of an object's PAR.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::url::MAX_URL;
use super::{ParUrl, url::EncodedName};
use crate::api::ObjectLocation;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::object_url::ObjectUrl;
use crate::path_secret::PathSecret;

/// All characters but the unreserved ones of RFC 3986 are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same, except for slashes: the clients that are known to use PARs send them raw.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The names that the user gave, each of them optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenNames {
    /// The bucket.
    pub bucket: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The name that the user wrote.
    pub name: Option<String>,
    /// The name where the user wrote none, and the PAR has none.
    pub default_name: Option<String>,
}

/// One object of a PAR.
#[derive(Debug, Clone)]
pub struct ParObject {
    /// Where Object Storage listens.
    pub endpoint: Endpoint,
    /// The object.
    pub location: ObjectLocation,
    pub(super) secret: PathSecret,
    /// The path of the object behind the secret, encoded.
    pub(super) target: String,
}

impl ParUrl {
    /// The object that `given` names. Fails with a usage error if a name is not that of the PAR, if a
    /// bucket's PAR gets no name, or if the URL of the object is too long.
    pub fn object(&self, given: &GivenNames) -> Result<ParObject, Error> {
        self.check("bucket", given.bucket.as_deref(), &self.bucket)?;
        self.check("namespace", given.namespace.as_deref(), &self.namespace)?;
        let object = match &self.object {
            Some(object) => {
                self.check("object", given.name.as_deref(), &object.name)?;
                object.clone()
            }
            None => {
                let name = given.name.as_ref().or(given.default_name.as_ref());
                let name = name.ok_or_else(|| {
                    Error::usage(
                        "the object has no name: the pre-authenticated request is a bucket's",
                    )
                    .with_hint(
                        "write --name NAME, or DEST; a prefix that the request was made \
                                    for is part of the name",
                    )
                })?;
                EncodedName { name: name.clone(), encoded: encode(name) }
            }
        };
        ObjectUrl::new(&self.bucket, Some(&self.namespace), &object.name)?;
        let target = format!("{}{}", self.bucket_path, object.encoded);
        let length = self.endpoint.origin().len() + self.secret.path(&target).len();
        if length > MAX_URL {
            return Err(Error::usage(format!(
                "the URL of the object has {length} bytes, with the pre-authenticated request"
            ))
            .with_hint(format!("the service allows {MAX_URL} bytes: choose a shorter name")));
        }
        Ok(ParObject {
            endpoint: self.endpoint.clone(),
            location: ObjectLocation {
                namespace: self.namespace.clone(),
                bucket: self.bucket.clone(),
                object: object.name,
            },
            secret: self.secret.clone(),
            target,
        })
    }

    /// Fails if a name that was given is not that of the PAR.
    fn check(&self, what: &str, given: Option<&str>, own: &str) -> Result<(), Error> {
        match given.filter(|given| *given != own) {
            Some(given) => Err(Error::usage(format!(
                "the {what} is {given:?}, but the pre-authenticated request is for {own:?}"
            ))
            .with_hint("leave the destination out: the request names it")),
            None => Ok(()),
        }
    }
}

/// The name as the path of a URL has it. Slashes stay raw, unless a client or a proxy could take a
/// segment for an empty one or for a step in the path.
fn encode(name: &str) -> String {
    let plain = name.split('/').all(|segment| !["", ".", ".."].contains(&segment));
    if plain {
        return utf8_percent_encode(name, ENCODED_PATH).to_string();
    }
    match name {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(name, ENCODED).to_string(),
    }
}
