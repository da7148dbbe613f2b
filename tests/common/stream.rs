//! Streams to send: cheap to make, and different wherever they are cut or shifted.

/// The smallest part that ocipipe sends, so the smallest that shows more than one.
pub const PART: usize = 10 * 1024 * 1024;

/// A ramp modulo a prime: no two parts of it are equal, and none is another one shifted by a power
/// of two.
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
        // Turn by turn, since tests are not optimised.
        let turn: Vec<u8> = (0..251u8).cycle().skip(usize::from(self.next)).take(251).collect();
        let mut piece = turn.repeat(length / 251);
        piece.extend_from_slice(&turn[..length % 251]);
        self.next = ((usize::from(self.next) + length) % 251) as u8;
        piece
    }
}

/// Fails with a short message where two streams differ, and not with all their bytes.
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
