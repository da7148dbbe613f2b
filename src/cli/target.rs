//! The object or bucket of a command: the positional URL, or the options in its place.
//!
//! Owns how the two combine. Must not know what the command does with it. Invariant: the bucket
//! comes from exactly one of the two.

use proto::error::Error;
use proto::object_url::{BucketUrl, ObjectUrl};

/// The texts as given. `default_name` is the name if the bucket is given and no object.
pub(super) struct RawTarget<'a> {
    pub positionals: &'a [String],
    pub bucket: Option<&'a str>,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
    pub default_name: Option<&'a str>,
}

impl<'a> RawTarget<'a> {
    /// The texts of the positionals and of the options in their place, without a default.
    pub(super) fn of(
        positionals: &'a [String],
        bucket: &'a Option<String>,
        namespace: &'a Option<String>,
        name: &'a Option<String>,
    ) -> RawTarget<'a> {
        let (bucket, namespace, name) = (bucket.as_deref(), namespace.as_deref(), name.as_deref());
        RawTarget { positionals, bucket, namespace, name, default_name: None }
    }

    /// The object. `what` is the name of the positional in messages. Fails if none or more than one
    /// is given, or if a part is malformed.
    pub(super) fn object(&self, what: &str) -> Result<ObjectUrl, Error> {
        if let Some(url_text) = self.positional(what)? {
            if let Some((option, _)) = self.options().into_iter().find(|(_, v)| v.is_some()) {
                return Err(Error::usage(format!(
                    "{what} {url_text:?} and {option} are both given"
                ))
                .with_hint(format!("write {what}, or --bucket-name and --name, not both")));
            }
            let url = ObjectUrl::parse(url_text)?;
            let namespace = self.namespace(url.namespace)?;
            return ObjectUrl::new(&url.bucket, namespace.as_deref(), &url.name);
        }
        let hint = format!("write {what} as oci://BUCKET/NAME, or --bucket-name and --name");
        match (self.bucket, self.name.or(self.default_name)) {
            (Some(bucket), Some(name)) => ObjectUrl::new(bucket, self.namespace, name),
            (Some(_), None) => {
                Err(Error::usage("the object has no name: --name is missing").with_hint(hint))
            }
            (None, _) => {
                let missing = if self.name.is_some() { "--bucket-name" } else { what };
                Err(Error::usage(format!("{missing} is missing")).with_hint(hint))
            }
        }
    }

    /// The bucket and, if given, the name of an object in it. Fails if no bucket is given, if a
    /// part is given twice, or if one is malformed.
    pub(super) fn bucket(&self) -> Result<BucketUrl, Error> {
        if let Some(url_text) = self.positional("the bucket")? {
            let url = BucketUrl::parse(url_text)?;
            if self.bucket.is_some() {
                return Err(Error::usage(format!("{url_text:?} and --bucket-name are both given")));
            }
            if url.name.is_some() && self.name.is_some() {
                return Err(Error::usage(format!("{url_text:?} has a name and --name is given")));
            }
            let namespace = self.namespace(url.namespace)?;
            let name = url.name.as_deref().or(self.name);
            return BucketUrl::new(&url.bucket, namespace.as_deref(), name);
        }
        let bucket = self.bucket.ok_or_else(|| {
            Error::usage("the bucket is missing")
                .with_hint("write oci://BUCKET or --bucket-name BUCKET")
        })?;
        BucketUrl::new(bucket, self.namespace, self.name)
    }

    /// The positional; fails if there is more than one.
    fn positional(&self, what: &str) -> Result<Option<&str>, Error> {
        match self.positionals {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [_, extra, ..] => Err(Error::usage(format!("{extra:?} is one argument too many"))
                .with_hint(format!("{what} is one word; a command to run comes after --"))),
        }
    }

    fn options(&self) -> [(&'static str, Option<&str>); 2] {
        [("--bucket-name", self.bucket), ("--name", self.name)]
    }

    /// The namespace of the URL or of the option; fails if both are given.
    fn namespace(&self, in_url: Option<String>) -> Result<Option<String>, Error> {
        match (in_url, self.namespace) {
            (Some(in_url), Some(_)) => Err(Error::usage(format!(
                "the address has the namespace {in_url:?} and --namespace is given"
            ))
            .with_hint("leave one of them out")),
            (in_url, option) => Ok(in_url.or_else(|| option.map(str::to_owned))),
        }
    }
}
