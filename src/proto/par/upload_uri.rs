//! The address of an open multipart upload: the `accessUri` in the response to its start.
//!
//! Owns the checks of that text before anything is sent to it. Must not know requests. Invariants: the
//! address has a secret of its own, which nothing shows; it names the object and the upload of this run,
//! on the host of the PAR.

use super::ParObject;
use super::url::{decode, segment};
use crate::path_secret::PathSecret;

/// The longest address that is used, in bytes.
const MAX_URI: usize = 8192;

/// The address of an open multipart upload.
#[derive(Debug, Clone)]
pub struct UploadUri {
    /// The id of the upload, which is no secret.
    pub upload_id: String,
    pub(super) secret: PathSecret,
    /// The path behind the secret, with a slash at its end; encoded.
    pub(super) target: String,
}

impl UploadUri {
    /// Checks an `accessUri` in the response to the start of an upload of `object`; `upload_id` is the one
    /// in the same response. Fails with the reason, which shows nothing of the address.
    pub fn parse(
        object: &ParObject,
        upload_id: Option<&str>,
        uri: &str,
    ) -> Result<UploadUri, &'static str> {
        if uri.len() > MAX_URI || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is no path");
        }
        // The service documents a path; a URL of the same host means the same.
        let path = uri.strip_prefix(&object.endpoint.origin()).unwrap_or(uri);
        if path.contains(['?', '#']) {
            return Err("it has a query or a fragment");
        }
        let rest = path.strip_prefix("/p/").ok_or("it is no path of this host")?;
        let (secret, rest) = rest.split_once('/').ok_or("nothing follows its secret")?;
        let secret = PathSecret::new(secret).ok_or("its secret is empty or malformed")?;
        let target = format!("/{}/", rest.strip_suffix('/').unwrap_or(rest));
        let names = Names::parse(rest).ok_or("its path is not that of an upload")?;
        let location = &object.location;
        if names.namespace != location.namespace
            || names.bucket != location.bucket
            || names.object != location.object
        {
            return Err("it names another object");
        }
        match upload_id {
            Some(id) if id != names.upload_id => Err("it names another upload"),
            _ => Ok(UploadUri { upload_id: names.upload_id, secret, target }),
        }
    }
}

/// What the path names, without percent-encoding.
struct Names {
    namespace: String,
    bucket: String,
    object: String,
    upload_id: String,
}

impl Names {
    /// Parses `n/NAMESPACE/b/BUCKET/u/OBJECT/id/ID/`.
    fn parse(path: &str) -> Option<Names> {
        let (namespace, rest) = segment(path, "n/")?;
        let (bucket, rest) = segment(rest, "b/")?;
        let rest = rest.strip_prefix("u/")?;
        // The name may have slashes, the id has none.
        let (object, id) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once("/id/")?;
        let upload_id = decode(id)?;
        let valid = !upload_id.is_empty() && !upload_id.contains(char::is_control);
        let valid = valid && !id.contains('/') && ![".", ".."].contains(&id);
        valid.then_some(Names {
            namespace: decode(namespace)?,
            bucket: decode(bucket)?,
            object: decode(object)?,
            upload_id,
        })
    }
}
