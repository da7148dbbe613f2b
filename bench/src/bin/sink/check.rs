//! Checksum headers: their names, and whether their values are correct.
//!
//! Owns the names of the headers in which clients send digests. Invariant: a header that cannot be
//! checked does not count as checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// A digest that a client sent: the header's name and its value.
pub type Claim = (String, String);

/// Whether a header has a digest of the body. A header that only announces one has none.
pub fn is_claim(name: &str, value: &str) -> bool {
    match name {
        "opc-content-sha256"
        | "opc-content-sha384"
        | "opc-content-crc32c"
        | "content-md5"
        | "x-amz-checksum-crc32"
        | "x-amz-checksum-crc32c"
        | "x-amz-checksum-sha256" => true,
        "x-amz-content-sha256" => value.len() == 64,
        _ => false,
    }
}

/// Computes every digest that a client may have sent.
pub struct Digests {
    sha256: ring::digest::Context,
    sha384: Option<ring::digest::Context>,
    md5: Md5,
    crc32c: u32,
    crc32: crc32fast::Hasher,
}

impl Digests {
    pub fn new() -> Digests {
        Digests {
            sha256: ring::digest::Context::new(&ring::digest::SHA256),
            sha384: Some(ring::digest::Context::new(&ring::digest::SHA384)),
            md5: Md5::new(),
            crc32c: 0,
            crc32: crc32fast::Hasher::new(),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha384) = &mut self.sha384 {
            sha384.update(bytes);
        }
        self.md5.update(bytes);
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.crc32.update(bytes);
    }

    /// The first claim that is wrong, as text.
    pub fn mismatch(self, claims: &[Claim]) -> Option<String> {
        let sha256 = self.sha256.finish();
        let sha384 = self.sha384.map(|hash| STANDARD.encode(hash.finish())).unwrap_or_default();
        let md5 = STANDARD.encode(self.md5.finalize());
        let crc32 = STANDARD.encode(self.crc32.finalize().to_be_bytes());
        claims.iter().find_map(|(name, value)| {
            let actual = match name.as_str() {
                "opc-content-sha256" | "x-amz-checksum-sha256" => STANDARD.encode(sha256),
                "x-amz-content-sha256" => hex(sha256.as_ref()),
                "opc-content-sha384" => sha384.clone(),
                "opc-content-crc32c" | "x-amz-checksum-crc32c" => {
                    STANDARD.encode(self.crc32c.to_be_bytes())
                }
                "content-md5" => md5.clone(),
                "x-amz-checksum-crc32" => crc32.clone(),
                _ => return Some(format!("{name} is not known here")),
            };
            (actual != *value).then(|| format!("{name} says {value}, the body has {actual}"))
        })
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
