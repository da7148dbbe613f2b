//! Streams to send: cheap to generate, and without two equal parts.
//!
//! Knows nothing of the program. Invariant: a length always gives the same bytes.

/// The smallest part size of ocipipe, in bytes.
pub const PART: usize = 10 * 1024 * 1024;

/// A ramp modulo a prime, so that no two parts are equal, nor equal when shifted by a power of two.
pub fn ramp(length: usize) -> Vec<u8> {
    Ramp::default().take(length)
}

/// The same ramp, piece by piece.
#[derive(Default)]
pub struct Ramp {
    next: u8,
}

impl Ramp {
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        // Copies whole periods, because tests are not optimised.
        let period: Vec<u8> = (0..251u8).cycle().skip(usize::from(self.next)).take(251).collect();
        let mut piece = period.repeat(length / 251);
        piece.extend_from_slice(&period[..length % 251]);
        self.next = ((usize::from(self.next) + length) % 251) as u8;
        piece
    }
}

/// Asserts that two streams are equal; the message has the position of the first difference.
#[track_caller]
pub fn assert_same(stored: &[u8], sent: &[u8]) {
    if stored == sent {
        return;
    }
    let differs = stored.iter().zip(sent).position(|(a, b)| a != b);
    assert!(
        stored.len() == sent.len() && differs.is_none(),
        "{} bytes are stored, {} were sent, the first difference is at {differs:?}",
        stored.len(),
        sent.len()
    );
}

/// The sizes of the parts that a receipt states. Asserts that they agree with its other keys, and that
/// each part but the last has a whole number of MiB.
#[track_caller]
pub fn part_sizes(receipt: &serde_json::Value) -> Vec<u64> {
    let runs: Vec<(usize, u64)> =
        serde_json::from_value(receipt["part-sizes"].clone()).expect("the receipt has part-sizes");
    let sizes: Vec<u64> =
        runs.iter().flat_map(|(count, size)| std::iter::repeat_n(*size, *count)).collect();
    assert_eq!(receipt["size"], sizes.iter().sum::<u64>(), "{receipt}");
    assert_eq!(receipt["parts"], sizes.len(), "{receipt}");
    let whole = sizes.split_last().map_or(&[][..], |(_, whole)| whole);
    assert!(whole.iter().all(|size| size % (1 << 20) == 0), "{receipt}");
    sizes
}
