//! What is done with the bytes of parts that are kept in memory: digests, and other cuts.
//!
//! Owns the pieces: the digest of a part takes seconds, so the task yields after each piece. Must not
//! know why a part is read again or cut. Invariants: a digest equals that of `digest::part`; a cut
//! keeps the bytes and their order, and copies nothing.

use std::collections::VecDeque;

use bytes::Bytes;

use proto::digest::{self, Algorithm, Hasher, PartDigest, Value};

/// Bytes between two yields: about 1 ms of hashing, which a signal or a response may wait.
const PIECE: usize = 256 << 10;

/// The digest of a part.
pub(super) async fn digest_of(algorithm: Algorithm, chunks: &[Bytes]) -> PartDigest {
    let mut hasher = Hasher::new(algorithm);
    for piece in chunks.iter().flat_map(|chunk| chunk.chunks(PIECE)) {
        hasher.update(piece);
        tokio::task::yield_now().await;
    }
    hasher.finish()
}

/// The MD5 of a part.
pub(super) async fn md5_of(chunks: &[Bytes]) -> Value {
    match digest_of(Algorithm::Md5, chunks).await.value {
        Some(value) => value,
        // It always has one.
        None => digest::md5_of(chunks),
    }
}

/// The chunks of the new parts, which have the given sizes in bytes. The last ones are shorter or
/// empty where there are fewer bytes.
pub(super) fn split(mut chunks: VecDeque<Bytes>, sizes: &[u64]) -> Vec<Vec<Bytes>> {
    sizes.iter().map(|size| take(&mut chunks, *size as usize)).collect()
}

/// Takes `size` bytes from the front.
fn take(chunks: &mut VecDeque<Bytes>, size: usize) -> Vec<Bytes> {
    let (mut taken, mut missing) = (Vec::new(), size);
    while missing > 0
        && let Some(mut chunk) = chunks.pop_front()
    {
        if chunk.len() > missing {
            chunks.push_front(chunk.split_off(missing));
        }
        missing -= chunk.len();
        taken.push(chunk);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_make_no_difference_and_others_have_their_turn_between_them() {
        let chunks: Vec<Bytes> = [3 * PIECE + 1, 0, PIECE, 1]
            .map(|length| (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into())
            .into();
        let others = tokio::spawn(async {
            let mut turns = 0;
            loop {
                turns += 1;
                tokio::task::yield_now().await;
                if turns == 5 {
                    break turns;
                }
            }
        });
        for algorithm in [Algorithm::Sha256, Algorithm::Crc32c, Algorithm::Md5, Algorithm::None] {
            assert_eq!(digest_of(algorithm, &chunks).await, digest::part(algorithm, &chunks));
        }
        assert!(others.is_finished());
        assert_eq!(md5_of(&chunks).await, digest::md5_of(&chunks));
    }

    #[test]
    fn the_bytes_and_their_order_stay_the_same_and_none_is_copied() {
        let whole = Bytes::from_iter(0..100u8);
        let chunks = || VecDeque::from([whole.slice(..40), whole.slice(40..41), whole.slice(41..)]);
        for sizes in [vec![100], vec![10, 90], vec![39, 1, 1, 1, 58], vec![50, 50], vec![1; 100]] {
            let pieces = split(chunks(), &sizes);
            assert_eq!(pieces.iter().flatten().flatten().copied().collect::<Bytes>(), whole);
            let lengths: Vec<u64> = pieces
                .iter()
                .map(|piece| piece.iter().map(|chunk| chunk.len() as u64).sum())
                .collect();
            assert_eq!(lengths, sizes);
            let range = whole.as_ptr_range();
            assert!(pieces.iter().flatten().all(|chunk| range.contains(&chunk.as_ptr())));
        }
    }
}
