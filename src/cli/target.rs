//! Which object, or which bucket, is meant: the positional address or the options in its place.
//!
//! Must not know what happens to it. Invariant: exactly one of the two ways was used.

use proto::error::Error;
use proto::object_url::{BucketUrl, ObjectUrl};

/// The texts as given. `default_name` is used where the bucket is named but no object.
pub struct RawTarget<'a> {
    pub positionals: &'a [String],
    pub bucket: Option<&'a str>,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
    pub default_name: Option<&'a str>,
}

impl RawTarget<'_> {
    /// One object. `what` is the positional's name in messages.
    pub fn object(&self, what: &str) -> Result<ObjectUrl, Error> {
        if let Some(address) = self.address(what)? {
            if let Some((option, _)) = self.options().into_iter().find(|(_, v)| v.is_some()) {
                return Err(Error::usage(format!(
                    "{what} {address:?} and {option} are both given"
                ))
                .with_hint(format!("write {what}, or --bucket-name and --name, not both")));
            }
            let mut destination = ObjectUrl::parse(address)?;
            destination.namespace = self.namespace(destination.namespace)?;
            return ObjectUrl::new(
                &destination.bucket,
                destination.namespace.as_deref(),
                &destination.name,
            );
        }
        let form = format!("write {what} as oci://BUCKET/NAME, or --bucket-name and --name");
        match (self.bucket, self.name.or(self.default_name)) {
            (Some(bucket), Some(name)) => ObjectUrl::new(bucket, self.namespace, name),
            (Some(_), None) => {
                Err(Error::usage("the object has no name: --name is missing").with_hint(form))
            }
            (None, _) => {
                let missing = if self.name.is_some() { "--bucket-name" } else { what };
                Err(Error::usage(format!("{missing} is missing")).with_hint(form))
            }
        }
    }

    /// One bucket and, perhaps, one object name in it.
    pub fn place(&self) -> Result<BucketUrl, Error> {
        if let Some(address) = self.address("the bucket")? {
            let place = BucketUrl::parse(address)?;
            if self.bucket.is_some() {
                return Err(Error::usage(format!("{address:?} and --bucket-name are both given")));
            }
            if place.name.is_some() && self.name.is_some() {
                return Err(Error::usage(format!("{address:?} has a name and --name is given")));
            }
            let namespace = self.namespace(place.namespace)?;
            let name = place.name.as_deref().or(self.name);
            return BucketUrl::new(&place.bucket, namespace.as_deref(), name);
        }
        let bucket = self.bucket.ok_or_else(|| {
            Error::usage("the bucket is missing")
                .with_hint("write oci://BUCKET or --bucket-name BUCKET")
        })?;
        BucketUrl::new(bucket, self.namespace, self.name)
    }

    fn address(&self, what: &str) -> Result<Option<&str>, Error> {
        match self.positionals {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [_, extra, ..] => Err(Error::usage(format!("{extra:?} is one argument too many"))
                .with_hint(format!("{what} is one word; a command to run stands behind --"))),
        }
    }

    fn options(&self) -> [(&'static str, Option<&str>); 2] {
        [("--bucket-name", self.bucket), ("--name", self.name)]
    }

    fn namespace(&self, addressed: Option<String>) -> Result<Option<String>, Error> {
        match (addressed, self.namespace) {
            (Some(addressed), Some(_)) => Err(Error::usage(format!(
                "the address has the namespace {addressed:?} and --namespace is given"
            ))
            .with_hint("leave one of them out")),
            (addressed, option) => Ok(addressed.or_else(|| option.map(str::to_owned))),
        }
    }
}
