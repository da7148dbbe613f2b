//! Cuts the bytes of parts into parts of other sizes.
//!
//! Owns the slices. Must not know why parts are cut or what becomes of them. Invariant: the bytes
//! and their order stay the same, and nothing is copied.

use std::collections::VecDeque;

use bytes::Bytes;

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
