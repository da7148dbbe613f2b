//! Streams to send: cheap to make, and different wherever they are cut or shifted.

/// The smallest part the service takes, so the smallest that shows more than one.
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
        let first = (0..251u8).cycle().skip(usize::from(self.next)).take(length.min(251));
        let mut piece = Vec::with_capacity(length);
        piece.extend(first);
        // Doubled until it is long enough; whole rounds may be copied.
        while piece.len() < length {
            piece.extend_from_within(..piece.len().min(length - piece.len()));
        }
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
