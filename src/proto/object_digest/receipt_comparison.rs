//! Whether an object is the one that a receipt describes, by digests alone.
//!
//! Owns the comparison of the two sets of digests. Must not read any byte of an object. Invariant: the
//! result is `Equal` only by a digest that both have; any digest that both have and that differs makes
//! them different.

use super::result::{ComparisonResult, Difference, LayoutOrigin, Proof, Reason};
use crate::api::{Digests, ObjectMeta};
use crate::digest::{self, Algorithm};
use crate::evidence::Evidence;
use crate::receipt::Receipt;

/// From the weakest to the strongest.
const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::Crc32c, Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha384];

/// Compares the object with its receipt. In a difference, the stream is that of the receipt.
pub fn compare_receipt(receipt: &Receipt, object: &ObjectMeta) -> ComparisonResult {
    let stored = receipt.object_meta();
    if let Some(size) = object.size.filter(|size| *size != receipt.size) {
        return ComparisonResult::Different(Difference::Size {
            stream: receipt.size,
            object: size,
        });
    }
    let of = |digests: &dyn Fn(&ObjectMeta) -> Digests| (digests(&stored), digests(object));
    let (content, multipart) =
        (of(&|meta| meta.content.clone()), of(&|meta| meta.multipart.clone()));
    let mut proof = None;
    for algorithm in ALGORITHMS {
        let pairs = [
            (Evidence::Content(algorithm), 0, &content),
            (Evidence::Multipart(algorithm), receipt.parts, &multipart),
        ];
        for (evidence, parts, (stored, object)) in pairs {
            let (Some(stored), Some(object)) = (stored.get(algorithm), object.get(algorithm))
            else {
                continue;
            };
            if !digest::is_same(stored, object) {
                return ComparisonResult::Different(Difference::Digest {
                    evidence,
                    stream: stored.to_owned(),
                    object: object.to_owned(),
                });
            }
            let origin = if parts == 0 { LayoutOrigin::Whole } else { LayoutOrigin::Receipt };
            proof = Some(Proof { evidence, parts, origin });
        }
    }
    match proof {
        Some(proof) => ComparisonResult::Equal(proof),
        None => ComparisonResult::NotCompared(Reason::NoDigest),
    }
}
