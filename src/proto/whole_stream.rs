//! What is computed over a whole stream while its bytes pass, besides the digests of its parts.
//!
//! Owns the values that the user expects of the stream (`--content-md5` and the like) and the record
//! that an object is compared with (`--identical-ok`). Must not know parts, buffers or requests.
//! Invariant: each byte of the stream is added once, in order, so that a value is one of the whole.

use crate::digest::{Algorithm, Value, ValueHasher};
use crate::error::Error;
use crate::object_digest::ComparedStream;

/// Bytes that all hashers process before the next ones, so that they stay in the core's cache.
const PIECE: usize = 256 << 10;

/// A digest that the whole stream must have, and the option that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedDigest {
    /// The name of the option, such as `--content-md5`.
    pub option: &'static str,
    /// The digest.
    pub value: Value,
}

impl ExpectedDigest {
    /// Checks the digests of a stream that has ended. Fails with `ErrorKind::Integrity` at the first
    /// expected value that the stream does not have.
    pub fn check(expected: &[ExpectedDigest], computed: &[Value]) -> Result<(), Error> {
        let differing = expected.iter().find(|expected| !computed.contains(&expected.value));
        let Some(ExpectedDigest { option, value }) = differing else { return Ok(()) };
        let same = |other: &&Value| other.algorithm() == value.algorithm();
        let read = computed.iter().find(same).map(Value::base64).unwrap_or_default();
        Err(Error::integrity(format!(
            "the stream is not that of {option} {}: its {} is {read}; nothing was stored",
            value.base64(),
            value.algorithm().name()
        ))
        .with_hint("the stream or the value is damaged, or they do not belong together"))
    }
}

/// Computes what is wanted of a whole stream.
#[derive(Default)]
pub struct WholeStreamHasher {
    hashers: Vec<ValueHasher>,
    compared: Option<ComparedStream>,
}

/// What was computed over a stream that has ended.
pub struct WholeStream {
    /// The digests, in the order of the algorithms that were asked for.
    pub values: Vec<Value>,
    /// `None` unless an object may have to be compared with the stream.
    pub compared: Option<ComparedStream>,
}

impl WholeStreamHasher {
    /// Computes these digests, each algorithm once, and the record for a comparison.
    pub fn new(
        algorithms: impl IntoIterator<Item = Algorithm>,
        compared: Option<ComparedStream>,
    ) -> WholeStreamHasher {
        WholeStreamHasher {
            hashers: algorithms.into_iter().map(ValueHasher::new).collect(),
            compared,
        }
    }

    /// Whether there is nothing to compute.
    pub fn is_idle(&self) -> bool {
        self.hashers.is_empty() && self.compared.is_none()
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.hashers.iter_mut().for_each(|hasher| hasher.update(piece));
            if let Some(compared) = &mut self.compared {
                compared.update(piece);
            }
        }
    }

    /// The result for all bytes so far.
    pub fn finish(self) -> WholeStream {
        let values = self.hashers.into_iter().filter_map(ValueHasher::finish).collect();
        WholeStream { values, compared: self.compared }
    }
}

impl std::fmt::Debug for WholeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeStream").field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn expected(option: &'static str, algorithm: Algorithm, base64: &str) -> ExpectedDigest {
        ExpectedDigest { option, value: Value::from_base64(algorithm, base64).unwrap() }
    }

    fn computed(bytes: &[u8]) -> Vec<Value> {
        let algorithms = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c];
        let mut hasher = WholeStreamHasher::new(algorithms, None);
        bytes.chunks(7).for_each(|piece| hasher.update(piece));
        hasher.finish().values
    }

    #[test]
    fn the_values_are_those_of_the_whole_stream() {
        // Computed with md5sum, sha256sum, sha384sum and the vector of RFC 3720 for CRC-32C.
        let check = [
            expected("--content-md5", Algorithm::Md5, "kAFQmDzST7DWlj99KOF/cg=="),
            expected(
                "--opc-content-sha256",
                Algorithm::Sha256,
                "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            ),
        ];
        assert_eq!(ExpectedDigest::check(&check, &computed(b"abc")), Ok(()));
        let zeros = expected("--opc-content-crc32c", Algorithm::Crc32c, "ipE2qg==");
        assert_eq!(ExpectedDigest::check(&[zeros], &computed(&[0; 32])), Ok(()));
    }

    #[test]
    fn a_value_that_the_stream_does_not_have_is_named_with_both() {
        let md5 = expected("--content-md5", Algorithm::Md5, "kAFQmDzST7DWlj99KOF/cg==");
        for stream in [&b"abd"[..], b"", b"abcabc"] {
            let error = ExpectedDigest::check(std::slice::from_ref(&md5), &computed(stream));
            let error = error.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Integrity);
            for text in
                ["--content-md5 kAFQmDzST7DWlj99KOF/cg==", "its MD5 is ", "nothing was stored"]
            {
                assert!(error.message.contains(text), "{error}");
            }
        }
        // A value that was not computed proves nothing.
        assert!(ExpectedDigest::check(&[md5], &[]).is_err());
    }
}
