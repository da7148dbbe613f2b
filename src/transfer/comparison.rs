//! Compares what was read of an object with what the service reports of it.
//!
//! Owns the digest of the bytes that were read, in one pass. Must not know where the bytes come from
//! or go to. Invariant: a range of an object is never compared with a digest of the whole.

use proto::api::ObjectMeta;
use proto::digest::{Algorithm, Hasher, Value};
use proto::error::Error;

/// The comparison of one download.
pub struct Comparison {
    /// The digest of the whole object, or the reason why there is nothing to compare with.
    expected: Result<Value, String>,
    hasher: Hasher,
}

impl Comparison {
    /// The comparison with the digests of the whole object.
    pub fn with(meta: &ObjectMeta) -> Comparison {
        let value = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c, Algorithm::Md5]
            .into_iter()
            .find_map(|algorithm| Value::from_base64(algorithm, meta.content.get(algorithm)?));
        let reason = "the service holds no digest of the whole object";
        Comparison::new(value.ok_or_else(|| reason.to_owned()))
    }

    /// No comparison, for this reason.
    pub fn none(reason: &str) -> Comparison {
        Comparison::new(Err(reason.to_owned()))
    }

    fn new(expected: Result<Value, String>) -> Comparison {
        let algorithm = expected.as_ref().map_or(Algorithm::None, Value::algorithm);
        Comparison { expected, hasher: Hasher::new(algorithm) }
    }

    /// Adds the next bytes of the object.
    pub fn update(&mut self, bytes: &[u8]) {
        if self.expected.is_ok() {
            self.hasher.update(bytes);
        }
    }

    /// Forgets all bytes.
    pub fn restart(&mut self) {
        let algorithm = self.expected.as_ref().map_or(Algorithm::None, Value::algorithm);
        self.hasher = Hasher::new(algorithm);
    }

    /// What the bytes were verified by, or why they were not compared, for people. Fails where the
    /// digests differ.
    pub fn finish(self) -> Result<String, Error> {
        let expected = match self.expected {
            Ok(expected) => expected,
            Err(reason) => return Ok(format!("not compared: {reason}")),
        };
        match self.hasher.finish().value {
            Some(value) if value == expected => Ok(format!("verified by {expected}")),
            value => {
                let name = expected.algorithm().name();
                let read = value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
                let what = format!("the object's {name} is {expected}, of what was read {read}");
                Err(Error::integrity(what))
            }
        }
    }
}
