//! The customer-provided encryption key (SSE-C) in the format of a key file.
//!
//! Owns that format. Must not know files or requests. Invariant: no error message can contain the key,
//! since there is none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::api::CustomerKey;

/// Parses the base64 of an AES-256 key, the format of `oci os object put --encryption-key-file`. White
/// space around it is ignored. Returns `None` if the text is not base64 of exactly 32 bytes.
pub fn parse(text: &str) -> Option<CustomerKey> {
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
