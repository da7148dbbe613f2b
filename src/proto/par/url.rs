//! The URL of a pre-authenticated request.
//!
//! Owns its forms: an object's, and a bucket's, which ends in `/o/`. Must not know where the URL comes
//! from. Invariant: no error quotes the URL.

use percent_encoding::percent_decode_str;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::object_url::{BucketUrl, ObjectUrl};
use crate::par::is_par_url;
use crate::path_secret::PathSecret;

/// The longest URL that the service accepts, the name of the object included; in bytes.
pub(super) const MAX_URL: usize = 3500;

const FORM: &str = "it looks like https://objectstorage.REGION.oraclecloud.com/p/SECRET/n/NAMESPACE/b/\
                    BUCKET/o/NAME, or ends in /o/ for all names of a bucket";

/// The URL of a pre-authenticated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParUrl {
    /// Where Object Storage listens.
    pub endpoint: Endpoint,
    pub(super) secret: PathSecret,
    /// The namespace.
    pub namespace: String,
    /// The bucket.
    pub bucket: String,
    /// `/n/NAMESPACE/b/BUCKET/o/` as the URL has it.
    pub(super) bucket_path: String,
    /// The only object; `None` for the PAR of a bucket or of a prefix.
    pub(super) object: Option<EncodedName>,
}

/// A name, and its form in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EncodedName {
    pub name: String,
    pub encoded: String,
}

impl ParUrl {
    /// Parses a URL; `origin` names its source in errors. Fails with a usage error if it is not the URL of
    /// a PAR, or is `http` to another machine.
    pub fn parse(origin: &str, text: &str) -> Result<ParUrl, Error> {
        let invalid = |reason: &str| {
            Error::usage(format!(
                "{origin}: this is not the URL of a pre-authenticated request: {reason}"
            ))
            .with_hint(FORM)
        };
        let text = text.trim();
        if text.len() > MAX_URL {
            return Err(invalid(&format!("it is longer than {MAX_URL} bytes")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("it has a blank or a letter that no URL has"));
        }
        if text.contains(['?', '#']) {
            return Err(invalid("it has a query or a fragment"));
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| invalid("it does not begin with https://"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let endpoint = Endpoint::parse(origin, &format!("{scheme}://{authority}"))
            .map_err(|error| error.with_hint(FORM))?;
        let path = Path::parse(path).map_err(invalid)?;
        BucketUrl::new(&path.bucket, Some(&path.namespace), None)?;
        if let Some(object) = &path.object {
            if is_par_url(&object.name) {
                return Err(invalid("the name of its object holds another one"));
            }
            ObjectUrl::new(&path.bucket, Some(&path.namespace), &object.name)?;
        }
        let Path { secret, namespace, bucket, bucket_path, object } = path;
        Ok(ParUrl { endpoint, secret, namespace, bucket, bucket_path, object })
    }

    /// Whether the PAR is for one object only.
    pub fn is_of_object(&self) -> bool {
        self.object.is_some()
    }
}

/// The path of the URL.
struct Path {
    secret: PathSecret,
    namespace: String,
    bucket: String,
    bucket_path: String,
    object: Option<EncodedName>,
}

impl Path {
    /// Fails with the reason.
    fn parse(path: &str) -> Result<Path, &'static str> {
        let rest = path.strip_prefix("/p/").ok_or("its path does not begin with /p/")?;
        let (secret, rest) = rest.split_once('/').ok_or("nothing follows the secret")?;
        let secret = PathSecret::new(secret).ok_or("the secret is empty or malformed")?;
        let (namespace, rest) = segment(rest, "n/").ok_or("/n/NAMESPACE is missing")?;
        let (bucket, rest) = segment(rest, "b/").ok_or("/b/BUCKET is missing")?;
        let object = match rest {
            "o" | "o/" => None,
            _ if rest.starts_with("u/") => {
                return Err("it is the address of one open multipart upload");
            }
            _ => Some(rest.strip_prefix("o/").ok_or("/o/ is missing")?),
        };
        let object = object
            .map(|encoded| {
                let name = decode(encoded).ok_or("the name of the object is malformed")?;
                Ok::<_, &str>(EncodedName { name, encoded: encoded.to_owned() })
            })
            .transpose()?;
        Ok(Path {
            secret,
            namespace: decode(namespace).ok_or("the namespace is malformed")?,
            bucket: decode(bucket).ok_or("the name of the bucket is malformed")?,
            bucket_path: format!("/n/{namespace}/b/{bucket}/o/"),
            object,
        })
    }
}

/// The segment behind `key`, and what follows its slash.
pub(super) fn segment<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(key)?.split_once('/').filter(|(segment, _)| !segment.is_empty())
}

/// The text without percent-encoding; `None` if an escape is malformed, or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let hex = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(hex) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}
