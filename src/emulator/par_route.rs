//! Routing below `/p/SECRET/`: what a request through a pre-authenticated request names.
//!
//! Pure. Owns the forms of these paths and rewrites them into those of signed requests; the table of
//! operations is in `route`. Invariant: only paths of objects, of their list and of uploads are
//! rewritten, so no other operation has an unsigned form.

use super::operation::Operation;
use super::par_secret::{self, SecretHash};
use hyper::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters of a path that need no encoding.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same, and slashes.
const RAW_SLASHES: &AsciiSet = &ENCODED.remove(b'/');

/// What a path holds besides the names of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParUse {
    pub secret: SecretHash,
    /// Whether the path is below `/u/`: its secret is that of an upload.
    pub names_upload: bool,
    /// Whether the name of the object holds a `/`.
    pub raw_slash: bool,
    /// Whether it holds a `%2F`.
    pub encoded_slash: bool,
}

/// A path below `/p/SECRET/` as that of a signed request.
pub(crate) struct Rewritten {
    pub par: ParUse,
    /// The path of the signed request, still percent-encoded.
    pub path: String,
    /// The upload id and the part number, where the path has them.
    pub query: Vec<(String, String)>,
}

/// Whether the path is below `/p/`.
pub(crate) fn is_par_path(path: &str) -> bool {
    par_secret::split(path).is_some()
}

/// Rewrites a path below `/p/`; `None` if it has no form that the service documents.
pub(crate) fn rewrite(path: &str) -> Option<Rewritten> {
    let (secret, rest) = par_secret::split(path).filter(|(secret, _)| !secret.is_empty())?;
    let mut segments = rest.splitn(7, '/');
    let ["", "n", namespace, "b", bucket, kind] = [
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
    ] else {
        return None;
    };
    let tail = segments.next();
    let base = format!("/n/{namespace}/b/{bucket}/{kind}");
    let (object, query) = match (kind, tail) {
        ("o", None | Some("")) => ("", Vec::new()),
        ("o", Some(object)) => (object, Vec::new()),
        ("u", Some(tail)) => {
            let (object, upload) = tail.rsplit_once("/id/")?;
            let (id, part) = upload.split_once('/').unwrap_or((upload, ""));
            let mut query = vec![("uploadId".to_owned(), id.to_owned())];
            if !part.is_empty() {
                query.push(("uploadPartNum".to_owned(), part.to_owned()));
            }
            (object, query)
        }
        _ => return None,
    };
    let par = ParUse {
        secret: SecretHash::of(secret),
        names_upload: kind == "u",
        raw_slash: object.contains('/'),
        encoded_slash: object.to_ascii_lowercase().contains("%2f"),
    };
    let path = if object.is_empty() { base } else { format!("{base}/{object}") };
    Some(Rewritten { par, path, query })
}

/// The operation of a request through a pre-authenticated request: a PUT of an object with the header
/// `opc-multipart: true` begins an upload.
pub(crate) fn operation(routed: Operation, headers: &HeaderMap) -> Operation {
    let begins = headers.get("opc-multipart").is_some_and(|value| value.as_bytes() == b"true");
    if routed == Operation::PutObject && begins { Operation::CreateMultipartUpload } else { routed }
}

/// The name of an object in a path, with its slashes as they are or encoded.
pub(crate) fn encoded_name(name: &str, raw_slashes: bool) -> String {
    let set = if raw_slashes { RAW_SLASHES } else { ENCODED };
    utf8_percent_encode(name, set).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(path: &str) -> Option<(String, Vec<String>, bool)> {
        let Rewritten { par, path, query } = rewrite(path)?;
        assert_eq!(par.secret, SecretHash::of("S"));
        let query = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some((path, query, par.names_upload))
    }

    #[test]
    fn objects_lists_and_uploads_are_the_paths_of_signed_requests() {
        let base = "/p/S/n/ns/b/bk";
        for (path, expected, query) in [
            ("/o/x", "/n/ns/b/bk/o/x", vec![]),
            ("/o/a/b%2Fc", "/n/ns/b/bk/o/a/b%2Fc", vec![]),
            ("/o/", "/n/ns/b/bk/o", vec![]),
            ("/o", "/n/ns/b/bk/o", vec![]),
            ("/u/x/id/u-1/", "/n/ns/b/bk/u/x", vec!["uploadId=u-1"]),
            ("/u/x/id/u-1", "/n/ns/b/bk/u/x", vec!["uploadId=u-1"]),
            ("/u/a/id/b/id/u-1/7", "/n/ns/b/bk/u/a/id/b", vec!["uploadId=u-1", "uploadPartNum=7"]),
        ] {
            let (rewritten, pairs, upload) = rewritten(&format!("{base}{path}")).unwrap();
            assert_eq!(
                (rewritten.as_str(), pairs),
                (expected, query.iter().map(|q| (*q).to_owned()).collect())
            );
            assert_eq!(upload, path.starts_with("/u/"));
        }
    }

    #[test]
    fn no_other_operation_has_an_unsigned_form() {
        for path in [
            "/p/S",
            "/p/S/n",
            "/p/S/n/ns/b/bk",
            "/p/S/n/ns/b/bk/u",
            "/p/S/n/ns/b/bk/u/x",
            "/p/S/n/ns/b/bk/p/id",
            "/p/S/n/ns/b/bk/actions/restoreObjects",
            "/p//n/ns/b/bk/o/x",
        ] {
            assert!(is_par_path(path) && rewrite(path).is_none(), "{path}");
        }
        assert!(!is_par_path("/n/ns/b/bk/o/p/S"));
    }

    #[test]
    fn names_are_encoded_with_or_without_their_slashes() {
        assert_eq!(encoded_name("a/b c~1.x", false), "a%2Fb%20c~1.x");
        assert_eq!(encoded_name("a/b c~1.x", true), "a/b%20c~1.x");
    }
}
