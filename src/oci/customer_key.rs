//! The customer-provided encryption key (SSE-C) as a file holds it.
//!
//! Owns reading and checking it. Knows nothing of requests. Invariant: the key itself never reaches
//! an error text.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::oci::api::CustomerKey;
use crate::side_file;

/// Reads a file with the base64 of an AES-256 key, as `oci os object put --encryption-key-file`.
pub fn read(path: &Path) -> Result<CustomerKey, Error> {
    let text = side_file::read("--encryption-key-file", path)?;
    parse(&text).ok_or_else(|| {
        let shown = path.display();
        Error::usage(format!("--encryption-key-file {shown}: not the base64 of 32 bytes"))
            .with_hint("make one with: openssl rand -base64 32")
    })
}

fn parse(text: &str) -> Option<CustomerKey> {
    let key = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    (key.len() == 32).then(|| CustomerKey {
        key: Zeroizing::new(STANDARD.encode(&*key)),
        sha256: STANDARD.encode(Sha256::digest(&*key)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_in_base64_and_its_digest_goes_along() {
        let key = parse(" AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        assert_eq!(key.sha256, "Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU=");
        assert!(parse("AAAA").is_none());
        assert!(parse("not base64").is_none());
        assert_eq!(format!("{key:?}"), "CustomerKey(redacted)");
    }
}
