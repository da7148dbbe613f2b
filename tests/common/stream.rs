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
