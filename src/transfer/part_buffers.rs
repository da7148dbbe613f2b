//! Computes digests of buffers again, without blocking the runtime.
//!
//! Owns the pieces: a part takes seconds, so the task yields after each piece. Must not know what
//! the digests are for. Invariant: a result equals that of `digest::part`.

use bytes::Bytes;

use proto::digest::{self, Algorithm, Hasher, PartDigest, Value};

/// Bytes between two yields: about 1 ms of hashing, which a signal or a response may wait.
const PIECE: usize = 256 << 10;

/// The digest of a part.
pub(super) async fn part(algorithm: Algorithm, chunks: &[Bytes]) -> PartDigest {
    let mut hasher = Hasher::new(algorithm);
    for piece in chunks.iter().flat_map(|chunk| chunk.chunks(PIECE)) {
        hasher.update(piece);
        tokio::task::yield_now().await;
    }
    hasher.finish()
}

/// The MD5 of a part.
pub(super) async fn md5_of(chunks: &[Bytes]) -> Value {
    match part(Algorithm::Md5, chunks).await.value {
        Some(value) => value,
        // It always has one.
        None => digest::md5_of(chunks),
    }
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
            assert_eq!(part(algorithm, &chunks).await, digest::part(algorithm, &chunks));
        }
        assert!(others.is_finished());
        assert_eq!(md5_of(&chunks).await, digest::md5_of(&chunks));
    }
}
