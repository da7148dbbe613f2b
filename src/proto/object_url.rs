//! URLs of objects and buckets: `oci://BUCKET/NAME` or `oci://BUCKET@NAMESPACE/NAME`.
//!
//! Owns which names of buckets, namespaces and objects are valid. Must not know the command line or the
//! wire. Invariant: the service can store an object at every [`ObjectUrl`] that was parsed or checked,
//! and its `Display` parses back to the same value.

use std::fmt;

use crate::error::Error;

const FORM: &str = "an object is written oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME";

/// The URL of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    /// The bucket.
    pub bucket: String,
    /// `None` if the namespace is to be looked up.
    pub namespace: Option<String>,
    /// The name of the object, which may contain slashes.
    pub name: String,
}

/// The URL of a bucket, optionally with the name of one object in it: the argument of `uploads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    /// The bucket.
    pub bucket: String,
    /// `None` if the namespace is to be looked up.
    pub namespace: Option<String>,
    /// The name of one object.
    pub name: Option<String>,
}

impl ObjectUrl {
    /// Checks the names. Fails with a usage error if one is not valid.
    pub fn new(bucket: &str, namespace: Option<&str>, name: &str) -> Result<ObjectUrl, Error> {
        check_bucket(bucket)?;
        namespace.map_or(Ok(()), check_namespace)?;
        check_name(name)?;
        Ok(ObjectUrl {
            bucket: bucket.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Parses `oci://BUCKET/NAME` or `oci://BUCKET@NAMESPACE/NAME`. Everything after the first `/` is
    /// the name, byte for byte: nothing is decoded, and a trailing `/` is part of it. Fails with a usage
    /// error if the text has another form or a name is not valid.
    pub fn parse(text: &str) -> Result<ObjectUrl, Error> {
        let url = BucketUrl::parse(text)?;
        let name = url.name.ok_or_else(|| {
            Error::usage(format!("{text:?} names a bucket but no object")).with_hint(FORM)
        })?;
        Ok(ObjectUrl { bucket: url.bucket, namespace: url.namespace, name })
    }

    /// Checks that the name can be a path below `DIR/BUCKET`, where `--local` stores it. Fails with a
    /// usage error for empty components, `.`, `..`, and components over 255 bytes.
    pub fn check_path(&self) -> Result<(), Error> {
        let invalid = |reason: &str| {
            Err(Error::usage(format!(
                "{:?} cannot be a file below the --local folder: {reason}",
                self.name
            ))
            .with_hint("with --local the object becomes the plain file DIR/BUCKET/NAME"))
        };
        if self.bucket == "." || self.bucket == ".." {
            return Err(Error::usage(format!("the bucket {:?} cannot be a folder", self.bucket)));
        }
        for component in self.name.split('/') {
            match component {
                "" => return invalid("it has an empty component"),
                "." | ".." => return invalid("it has a component . or .."),
                long if long.len() > 255 => return invalid("a component is longer than 255 bytes"),
                _ => {}
            }
        }
        if self.bucket.len() > 255 {
            return Err(Error::usage("the bucket's name is too long for a folder (255 bytes)"));
        }
        Ok(())
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "oci://{}@{namespace}/{}", self.bucket, self.name),
            None => write!(f, "oci://{}/{}", self.bucket, self.name),
        }
    }
}

impl BucketUrl {
    /// Checks the names. Fails with a usage error if one is not valid.
    pub fn new(
        bucket: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<BucketUrl, Error> {
        check_bucket(bucket)?;
        namespace.map_or(Ok(()), check_namespace)?;
        name.map_or(Ok(()), check_name)?;
        Ok(BucketUrl {
            bucket: bucket.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    /// Parses `oci://BUCKET` with optional `@NAMESPACE` and `/NAME`. Fails with a usage error if the
    /// text has another form or a name is not valid.
    pub fn parse(text: &str) -> Result<BucketUrl, Error> {
        let Some(rest) = strip_scheme(text) else { return Err(other_scheme_hint(text)) };
        let (authority, name) = match rest.split_once('/') {
            Some((authority, name)) => (authority, Some(name).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        let (bucket, namespace) = match authority.split_once('@') {
            Some((bucket, namespace)) => (bucket, Some(namespace)),
            None => (authority, None),
        };
        if looks_like_registry(authority) {
            return Err(Error::usage(format!("{text:?} looks like a container registry"))
                .with_hint(
                    "oci:// is a bucket of OCI Object Storage here, not an image or chart: \
                 oci://BUCKET/NAME",
                ));
        }
        BucketUrl::new(bucket, namespace, name)
    }
}

/// Removes the scheme, which is case-insensitive as in every URL.
fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked("oci://".len())?;
    scheme.eq_ignore_ascii_case("oci://").then_some(rest)
}

/// The error for a text that does not begin with `oci://`, with a hint for the schemes of other stores.
fn other_scheme_hint(text: &str) -> Error {
    let error = Error::usage(format!("{text:?} is not an address of an object"));
    match text.split_once("://") {
        Some(("s3" | "gs" | "az" | "b2" | "gcs", rest)) => {
            error.with_hint(format!("ocipipe speaks to OCI Object Storage only: oci://{rest}"))
        }
        Some(("http" | "https", _)) => {
            error.with_hint(format!("{FORM}; the URL goes into --endpoint"))
        }
        _ => error.with_hint(FORM),
    }
}

/// Whether the authority is that of a container registry: Helm uses `oci://` for `ghcr.io/owner/chart`
/// and `host:5000/image`.
fn looks_like_registry(authority: &str) -> bool {
    const REGISTRIES: [&str; 7] =
        [".ocir.io", ".azurecr.io", ".gcr.io", ".pkg.dev", ".docker.io", ".quay.io", ".ghcr.io"];
    let host = authority.to_ascii_lowercase();
    let port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    port || REGISTRIES.iter().any(|end| host.ends_with(end) || host == end[1..])
}

fn check_bucket(bucket: &str) -> Result<(), Error> {
    let hint = "a bucket's name has letters, digits, - _ and . , up to 256 of them";
    if bucket.is_empty() {
        return Err(Error::usage("the name of the bucket is empty").with_hint(FORM));
    }
    if let Some(c) = bucket.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
        return Err(
            Error::usage(format!("the bucket {bucket:?} has a {c:?} in it")).with_hint(hint)
        );
    }
    if bucket.len() > 256 {
        return Err(Error::usage(format!(
            "the name of the bucket has {} characters",
            bucket.len()
        ))
        .with_hint(hint));
    }
    Ok(())
}

fn check_namespace(namespace: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if namespace.is_empty() || !namespace.chars().all(legal) {
        return Err(Error::usage(format!("{namespace:?} is not an Object Storage namespace"))
            .with_hint("leave it out and the service is asked, or run `oci os ns get`"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::usage("the name of the object is empty").with_hint(FORM));
    }
    if name.len() > 1024 {
        return Err(Error::usage(format!("the name of the object has {} bytes", name.len()))
            .with_hint("the service allows 1024 bytes of UTF-8"));
    }
    if let Some(c) = name.chars().find(|c| matches!(c, '\0' | '\r' | '\n')) {
        return Err(Error::usage(format!("the name of the object has a {c:?} in it"))
            .with_hint("the service allows neither NUL nor a line end in a name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (String, Option<String>, String) {
        let url = ObjectUrl::parse(text).unwrap();
        (url.bucket, url.namespace, url.name)
    }

    fn error_text(text: &str) -> String {
        let error = ObjectUrl::parse(text).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn everything_after_the_first_slash_is_the_name() {
        let name = |text| parsed(text).2;
        assert_eq!(name("oci://b/mydb.dump"), "mydb.dump");
        assert_eq!(name("oci://b/a/b//c"), "a/b//c");
        assert_eq!(name("oci://b//x"), "/x");
        assert_eq!(name("oci://b/dir/"), "dir/");
        assert_eq!(name("oci://b/.."), "..");
        assert_eq!(name("oci://b/50%?x#y@z:1"), "50%?x#y@z:1");
        assert_eq!(name("oci://b/oci://b/x"), "oci://b/x");
        assert_eq!(name("oci://b/\u{fc}\u{1f980} \t"), "\u{fc}\u{1f980} \t");
    }

    #[test]
    fn the_namespace_follows_an_at_sign() {
        assert_eq!(
            parsed("oci://back-ups_1.x@axaxnpcrorw5/n"),
            ("back-ups_1.x".into(), Some("axaxnpcrorw5".into()), "n".into())
        );
        assert_eq!(parsed("OCI://b/n").1, None);
    }

    #[test]
    fn each_mistake_has_its_own_error_with_the_right_form() {
        for (text, fragment) in [
            ("oci://b", "names a bucket but no object"),
            ("oci://b/", "names a bucket but no object"),
            ("oci:///n", "bucket is empty"),
            ("oci://", "bucket is empty"),
            ("oci://@ns/n", "bucket is empty"),
            ("oci://b@/n", "not an Object Storage namespace"),
            ("oci://b@n@s/n", "not an Object Storage namespace"),
            ("oci://b ucket/n", "has a ' ' in it"),
            ("oci://b%20/n", "has a '%' in it"),
            ("oci://b/a\nb", "has a '\\n' in it"),
            ("oci://b/a\0b", "has a '\\0' in it"),
            ("mydb.dump", "not an address of an object"),
            ("b/n", FORM),
            ("", "not an address"),
            ("oci:/b/n", "not an address"),
            ("s3://b/n", "oci://b/n"),
            ("https://objectstorage.x/n/ns/b/b/o/o", "--endpoint"),
            ("oci://ghcr.io/owner/chart", "container registry"),
            ("oci://fra.ocir.io/tenancy/image", "container registry"),
            ("oci://localhost:5000/image", "container registry"),
        ] {
            let message = error_text(text);
            assert!(message.contains(fragment), "{text}: {message}");
        }
    }

    #[test]
    fn names_and_buckets_end_where_the_service_ends_them() {
        assert!(ObjectUrl::new("b", None, &"n".repeat(1024)).is_ok());
        assert!(ObjectUrl::new("b", None, &"n".repeat(1025)).is_err());
        assert!(ObjectUrl::new("b", None, &"\u{fc}".repeat(513)).is_err(), "bytes count");
        assert!(ObjectUrl::new(&"b".repeat(256), None, "n").is_ok());
        assert!(ObjectUrl::new(&"b".repeat(257), None, "n").is_err());
    }

    #[test]
    fn a_local_name_cannot_leave_its_folder() {
        let check = |bucket: &str, name: &str| {
            ObjectUrl::new(bucket, None, name).unwrap().check_path().map_err(|e| e.message)
        };
        assert_eq!(check("b", "a/b.dump"), Ok(()));
        assert_eq!(check("b", "..."), Ok(()));
        assert_eq!(check("b", &"n".repeat(255)), Ok(()));
        for name in ["..", ".", "a/../b", "a/./b", "/a", "a/", "a//b", &"n".repeat(256)] {
            assert!(check("b", name).is_err(), "{name}");
        }
        assert!(check("..", "n").is_err() && check(".", "n").is_err());
        assert!(check(&"b".repeat(256), "n").is_err());
    }

    #[test]
    fn a_bucket_url_needs_no_name() {
        let url = BucketUrl::parse("oci://b@ns").unwrap();
        assert_eq!((url.bucket.as_str(), url.namespace.as_deref()), ("b", Some("ns")));
        assert_eq!(url.name, None);
        assert_eq!(BucketUrl::parse("oci://b/").unwrap().name, None);
        assert_eq!(BucketUrl::parse("oci://b/n").unwrap().name.as_deref(), Some("n"));
    }

    proptest! {
        #[test]
        fn what_is_written_out_reads_back(
            bucket in "[A-Za-z0-9_.-]{1,20}",
            namespace in proptest::option::of("[a-z0-9]{1,12}"),
            name in "[^\0\r\n]{1,60}",
        ) {
            prop_assume!(!looks_like_registry(&bucket));
            let url = ObjectUrl::new(&bucket, namespace.as_deref(), &name).unwrap();
            prop_assert_eq!(ObjectUrl::parse(&url.to_string()), Ok(url));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(oci://)?.{0,60}") {
            let _ = (ObjectUrl::parse(&text), BucketUrl::parse(&text));
        }
    }
}
