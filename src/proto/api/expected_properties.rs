//! The properties that an object must have, compared with the headers of HeadObject.
//!
//! Owns what is compared, and how a difference is named. Must not know why. Invariant: a difference names
//! the property; of metadata the name only, and the values of neither.

use super::PutOptions;

/// The headers of content that are compared, with their values in these options.
fn content(options: &PutOptions) -> [(&'static str, Option<&String>); 5] {
    // Each property by its name, so that a new one cannot be left out. The list of uploads has the tier.
    let PutOptions {
        condition: _,
        checksum: _,
        storage_tier: _,
        content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata: _,
        customer_key: _,
        kms_key_id: _,
    } = options;
    [
        ("content-type", Some(content_type)),
        ("content-encoding", content_encoding.as_ref()),
        ("content-language", content_language.as_ref()),
        ("content-disposition", content_disposition.as_ref()),
        ("cache-control", cache_control.as_ref()),
    ]
}

const METADATA: &str = "opc-meta-";
const KMS_KEY: &str = "opc-sse-kms-key-id";

/// Headers of an object by their lower-case names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectHeaders(Vec<(String, String)>);

impl ObjectHeaders {
    /// Those of the headers of a response, with lower-case names, that describe an object.
    pub fn of(headers: &[(String, String)]) -> ObjectHeaders {
        let content = content(&PutOptions::default()).map(|(name, _)| name);
        let describes =
            |name: &str| content.contains(&name) || name.starts_with(METADATA) || name == KMS_KEY;
        ObjectHeaders(headers.iter().filter(|(name, _)| describes(name)).cloned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    fn metadata_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(name, _)| name.strip_prefix(METADATA))
    }
}

/// The properties that an object must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedProperties {
    /// Each of the headers of content with its value.
    content: Vec<(&'static str, Option<String>)>,
    /// Lower-case names without `opc-meta-`, and values.
    metadata: Vec<(String, String)>,
    /// `None` where the bucket decides.
    kms_key: Option<String>,
}

impl ExpectedProperties {
    /// The properties that `options` ask for.
    pub fn of(options: &PutOptions) -> ExpectedProperties {
        let metadata = options.metadata.iter();
        ExpectedProperties {
            content: content(options).map(|(name, value)| (name, value.cloned())).into(),
            metadata: metadata
                .map(|(name, text)| (name.to_ascii_lowercase(), text.clone()))
                .collect(),
            kms_key: options.kms_key_id.clone(),
        }
    }

    /// The first property in which the object differs, in words; `None` where there is none.
    pub fn difference(&self, object: &ObjectHeaders) -> Option<String> {
        for (name, expected) in &self.content {
            let (found, expected) = (object.get(name), expected.as_deref());
            // A header carries no other characters.
            if found != expected && expected.is_none_or(str::is_ascii) {
                let shown = |value: Option<&str>| match value {
                    Some(value) => format!("{value:?}"),
                    None => "none".to_owned(),
                };
                return Some(format!(
                    "its {name} is {}, this run asks for {}",
                    shown(found),
                    shown(expected)
                ));
            }
        }
        for (name, expected) in &self.metadata {
            let found = object.get(&format!("{METADATA}{name}"));
            if found.is_none() || expected.is_ascii() && found != Some(expected.trim()) {
                return Some(format!("its metadata {name:?} is not what this run asks for"));
            }
        }
        let known = |name: &&str| self.metadata.iter().any(|(expected, _)| expected == name);
        if let Some(name) = object.metadata_names().find(|name| !known(name)) {
            return Some(format!("it has the metadata {name:?}, which this run does not ask for"));
        }
        if self.kms_key.is_some() && object.get(KMS_KEY) != self.kms_key.as_deref() {
            return Some("it is not encrypted with the key of --opc-sse-kms-key-id".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> ObjectHeaders {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ObjectHeaders::of(&lines.iter().map(owned).collect::<Vec<_>>())
    }

    fn expected() -> ExpectedProperties {
        ExpectedProperties {
            content: vec![("content-type", Some("a/b".to_owned())), ("content-encoding", None)],
            metadata: vec![("host".to_owned(), "db1".to_owned())],
            kms_key: None,
        }
    }

    #[test]
    fn each_property_that_differs_is_named() {
        let same = [("content-type", "a/b"), ("opc-meta-host", "db1"), ("etag", "x")];
        assert_eq!(expected().difference(&headers(&same)), None);
        for (lines, named) in [
            (vec![("content-type", "a/c"), ("opc-meta-host", "db1")], "content-type"),
            (vec![("opc-meta-host", "db1")], "content-type"),
            ([&same[..], &[("content-encoding", "gzip")]].concat(), "content-encoding"),
            (vec![("content-type", "a/b")], "metadata \"host\""),
            (vec![("content-type", "a/b"), ("opc-meta-host", "db2")], "metadata \"host\""),
            ([&same[..], &[("opc-meta-x", "y")]].concat(), "metadata \"x\""),
        ] {
            let difference = expected().difference(&headers(&lines)).unwrap();
            assert!(difference.contains(named), "{difference}");
            assert!(!difference.contains("db"), "{difference}");
        }
        let kms = ExpectedProperties { kms_key: Some("k".to_owned()), ..expected() };
        assert!(kms.difference(&headers(&same)).unwrap().contains("kms"));
    }
}
