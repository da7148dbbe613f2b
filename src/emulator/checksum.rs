//! Checksums: those that a client sends, those computed from the received bytes, and their
//! combination.
//!
//! Pure. MD5 is always computed, because every response and every multipart checksum needs it; the
//! others only on request. Invariant: a response carries computed checksums and never those that a
//! client sent.

use super::response::ErrorResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use md5::Digest;
use serde::{Deserialize, Serialize};

/// The algorithms of `opc-checksum-algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    #[serde(rename = "CRC32C")]
    Crc32c,
    #[serde(rename = "SHA256")]
    Sha256,
    #[serde(rename = "SHA384")]
    Sha384,
}

impl Algorithm {
    pub const ALL: [Algorithm; 3] = [Algorithm::Crc32c, Algorithm::Sha256, Algorithm::Sha384];

    /// The algorithm that a request names; fails with 400 if it is unknown.
    pub fn requested(headers: &HeaderMap) -> Result<Option<Algorithm>, ErrorResponse> {
        // The service's Go SDK sends an empty header where it requests no algorithm.
        let value = headers.get("opc-checksum-algorithm").filter(|value| !value.is_empty());
        let Some(value) = value else { return Ok(None) };
        let named = |algorithm: &Algorithm| value.as_bytes() == algorithm.name().as_bytes();
        Algorithm::ALL.into_iter().find(named).map(Some).ok_or_else(|| {
            ErrorResponse::invalid_parameter(
                "opc-checksum-algorithm is not CRC32C, SHA256 or SHA384",
            )
        })
    }

    /// The value of `opc-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha384 => "SHA384",
        }
    }

    /// The header that carries the checksum of one body.
    pub(crate) fn content_header(self) -> &'static str {
        match self {
            Algorithm::Crc32c => "opc-content-crc32c",
            Algorithm::Sha256 => "opc-content-sha256",
            Algorithm::Sha384 => "opc-content-sha384",
        }
    }
}

/// The size in bytes and the checksums of some bytes; those not computed are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    pub size: u64,
    pub md5: Vec<u8>,
    pub crc32c: Option<u32>,
    pub sha256: Option<Vec<u8>>,
    pub sha384: Option<Vec<u8>>,
}

impl Checksums {
    /// The MD5 in base64, as headers carry it.
    pub(crate) fn md5_base64(&self) -> String {
        STANDARD.encode(&self.md5)
    }

    /// The checksum of one algorithm in base64, as headers carry it.
    pub fn base64(&self, algorithm: Algorithm) -> Option<String> {
        match algorithm {
            Algorithm::Crc32c => self.crc32c.map(|crc| STANDARD.encode(crc.to_be_bytes())),
            Algorithm::Sha256 => self.sha256.as_ref().map(|hash| STANDARD.encode(hash)),
            Algorithm::Sha384 => self.sha384.as_ref().map(|hash| STANDARD.encode(hash)),
        }
    }
}

/// Computes checksums incrementally.
pub(crate) struct ChecksumHasher {
    size: u64,
    /// `None` where it is computed elsewhere.
    md5: Option<md5::Md5>,
    crc32c: Option<u32>,
    sha256: Option<ring::digest::Context>,
    sha384: Option<ring::digest::Context>,
}

impl ChecksumHasher {
    /// Computes MD5 and these algorithms.
    pub(crate) fn new(algorithms: &[Algorithm]) -> ChecksumHasher {
        let context = |algorithm, of: &'static ring::digest::Algorithm| {
            algorithms.contains(&algorithm).then(|| ring::digest::Context::new(of))
        };
        ChecksumHasher {
            size: 0,
            md5: Some(md5::Md5::new()),
            crc32c: algorithms.contains(&Algorithm::Crc32c).then_some(0),
            sha256: context(Algorithm::Sha256, &ring::digest::SHA256),
            sha384: context(Algorithm::Sha384, &ring::digest::SHA384),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(crc) = &mut self.crc32c {
            *crc = crc32c::crc32c_append(*crc, bytes);
        }
        for context in [&mut self.sha256, &mut self.sha384].into_iter().flatten() {
            context.update(bytes);
        }
    }

    /// The number of bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The MD5 so far, for what computes it from here on.
    pub(crate) fn md5(&self) -> md5::Md5 {
        self.md5.clone().unwrap_or_default()
    }

    /// Computes no MD5 from here on; that of the result is empty.
    pub(crate) fn leave_md5(&mut self) {
        self.md5 = None;
    }

    pub(crate) fn finish(self) -> Checksums {
        let hash = |context: ring::digest::Context| context.finish().as_ref().to_vec();
        Checksums {
            size: self.size,
            md5: self.md5.map(|md5| md5.finalize().to_vec()).unwrap_or_default(),
            crc32c: self.crc32c,
            sha256: self.sha256.map(hash),
            sha384: self.sha384.map(hash),
        }
    }
}

/// The checksums that a client sends with its body.
#[derive(Debug, Clone, Default)]
pub struct ClaimedChecksums {
    md5: Option<Vec<u8>>,
    values: Vec<(Algorithm, Vec<u8>)>,
    requested: Option<Algorithm>,
}

impl ClaimedChecksums {
    /// Reads the checksum headers; fails with 400 if one is malformed.
    pub fn of(headers: &HeaderMap) -> Result<ClaimedChecksums, ErrorResponse> {
        let decoded = |name: &str, length: usize| -> Result<Option<Vec<u8>>, ErrorResponse> {
            let value = headers.get(name).filter(|value| !value.is_empty());
            let Some(value) = value else { return Ok(None) };
            let bytes = STANDARD.decode(value.as_bytes()).ok().filter(|b| b.len() == length);
            bytes.map(Some).ok_or_else(|| {
                ErrorResponse::invalid_parameter(format!(
                    "The header {name} is not a base64 checksum"
                ))
            })
        };
        let malformed = |_| {
            let value = headers.get("content-md5").map(|value| value.as_bytes());
            let value = String::from_utf8_lossy(value.unwrap_or_default());
            let message = format!("The value of the Content-MD5 header '{value}' is not valid");
            ErrorResponse::new(400, "InvalidContentMD5", message)
        };
        let mut claimed = ClaimedChecksums {
            md5: decoded("content-md5", 16).map_err(malformed)?,
            requested: Algorithm::requested(headers)?,
            values: vec![],
        };
        for (algorithm, length) in Algorithm::ALL.into_iter().zip([4, 32, 48]) {
            if let Some(value) = decoded(algorithm.content_header(), length)? {
                claimed.values.push((algorithm, value));
            }
        }
        Ok(claimed)
    }

    /// The algorithms to compute: those to compare and the one to return.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        self.values.iter().map(|(algorithm, _)| *algorithm).chain(self.requested).collect()
    }

    /// Compares the client's checksums with the computed ones; fails with 400
    /// `UnmatchedContent...`.
    pub fn check(&self, computed: &Checksums) -> Result<(), ErrorResponse> {
        if let Some(claimed) = &self.md5
            && *claimed != computed.md5
        {
            return Err(unmatched("MD5", "Content-MD5", &computed.md5_base64(), claimed));
        }
        for (algorithm, claimed) in &self.values {
            let actual = computed.base64(*algorithm).unwrap_or_default();
            if actual != STANDARD.encode(claimed) {
                return Err(unmatched(
                    algorithm.name(),
                    algorithm.content_header(),
                    &actual,
                    claimed,
                ));
            }
        }
        Ok(())
    }
}

fn unmatched(name: &str, header: &str, actual: &str, claimed: &[u8]) -> ErrorResponse {
    ErrorResponse::new(
        400,
        format!("UnmatchedContent{name}"),
        format!(
            "The computed {name} of the request body ({actual}) does not match the {header} header ({})",
            STANDARD.encode(claimed)
        ),
    )
}

/// The checksums of an object made of parts, as headers carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MultipartChecksums {
    pub md5: String,
    pub crc32c: Option<String>,
    pub sha256: Option<String>,
    pub sha384: Option<String>,
}

impl MultipartChecksums {
    /// Combines the checksums of the parts in the order of the object; `algorithm` is that of the
    /// upload.
    pub(crate) fn of(parts: &[&Checksums], algorithm: Option<Algorithm>) -> MultipartChecksums {
        let count = parts.len();
        let all = parts.iter().flat_map(|part| &part.md5).copied().collect::<Vec<u8>>();
        let hashed = |pick: fn(&Checksums) -> Option<&Vec<u8>>, of| {
            let all: Option<Vec<&Vec<u8>>> = parts.iter().map(|part| pick(part)).collect();
            let all: Vec<u8> = all?.into_iter().flatten().copied().collect();
            Some(format!("{}-{count}", STANDARD.encode(ring::digest::digest(of, &all))))
        };
        let mut combined = MultipartChecksums {
            md5: format!("{}-{count}", STANDARD.encode(md5::Md5::digest(&all))),
            ..MultipartChecksums::default()
        };
        match algorithm {
            Some(Algorithm::Sha256) => {
                combined.sha256 = hashed(|part| part.sha256.as_ref(), &ring::digest::SHA256);
            }
            Some(Algorithm::Sha384) => {
                combined.sha384 = hashed(|part| part.sha384.as_ref(), &ring::digest::SHA384);
            }
            Some(Algorithm::Crc32c) => {
                let crc = parts.iter().try_fold(0, |crc, part| {
                    let size = usize::try_from(part.size).ok()?;
                    Some(crc32c::crc32c_combine(crc, part.crc32c?, size))
                });
                combined.crc32c = crc.map(|crc: u32| STANDARD.encode(crc.to_be_bytes()));
            }
            None => {}
        }
        combined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(bytes: &[u8]) -> Checksums {
        let mut hasher = ChecksumHasher::new(&Algorithm::ALL);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn the_documented_example_of_two_parts_comes_out() {
        let (a, b) = (sums(b"aaaaa"), sums(b"bbb"));
        assert_eq!(a.md5_base64(), "WU+AOzgKQTlu1j3KOVA1Qg==");
        assert_eq!(b.md5_base64(), "CPjgJgxkQYUQzvsrBu7lzQ==");
        let combined = |algorithm| MultipartChecksums::of(&[&a, &b], Some(algorithm));
        assert_eq!(combined(Algorithm::Crc32c).md5, "ctJ6+sji+9NmKGG51gegLA==-2");
        assert_eq!(combined(Algorithm::Crc32c).crc32c.unwrap(), "Yn9hSg==");
        assert_eq!(
            combined(Algorithm::Sha256).sha256.unwrap(),
            "klO+rIGEBmpS+FYbl0V177NZOk8sR9bZjF+0fMGntig=-2"
        );
        assert_eq!(
            combined(Algorithm::Sha384).sha384.unwrap(),
            "7AIO3qWtrjDg0JBoMYcAd8Sx+0Ak5a/vL0cJXVnavLqE4dHE04LPDNWLObYLLwfY-2"
        );
    }

    #[test]
    fn crc32c_is_written_big_endian() {
        assert_eq!(sums(b"123456789").base64(Algorithm::Crc32c).unwrap(), "4waSgw==");
    }

    #[test]
    fn a_false_claim_is_refused_with_both_values() {
        for (header, value, code) in [
            ("content-md5", "WU+AOzgKQTlu1j3KOVA1Qg==", "UnmatchedContentMD5"),
            ("opc-content-crc32c", "Yn9hSg==", "UnmatchedContentCRC32C"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header, value.parse().unwrap());
            let error = ClaimedChecksums::of(&headers).unwrap().check(&sums(b"bbb")).unwrap_err();
            assert_eq!((error.status, error.code.as_ref()), (400, code));
            assert!(error.message.contains(value), "{}", error.message);
        }
    }

    #[test]
    fn an_empty_header_requests_nothing_and_an_unknown_algorithm_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("opc-checksum-algorithm", "".parse().unwrap());
        headers.insert("content-md5", "".parse().unwrap());
        assert!(ClaimedChecksums::of(&headers).unwrap().algorithms().is_empty());
        headers.insert("opc-checksum-algorithm", "MD5".parse().unwrap());
        assert_eq!(ClaimedChecksums::of(&headers).unwrap_err().status, 400);
    }

    #[test]
    fn a_claim_that_is_no_checksum_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("content-md5", "abc".parse().unwrap());
        let error = ClaimedChecksums::of(&headers).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidContentMD5"));
        assert!(error.message.starts_with("The value of the Content-MD5 header"));
        headers.clear();
        headers.insert("opc-content-sha256", "abc".parse().unwrap());
        assert_eq!(ClaimedChecksums::of(&headers).unwrap_err().code, "InvalidParameter");
    }
}
