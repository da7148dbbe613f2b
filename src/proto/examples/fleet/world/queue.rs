//! What is scheduled in virtual time.
//!
//! Owns the kinds of events and their order. Must not know what they cause. Invariant: of two entries of one
//! time, the one that was scheduled first comes first.

use std::cmp::Ordering;
use std::time::Duration;

use ocipipe_proto::retry::Failure;

use crate::store::Sent;

/// A request that the service has let in, or that failed.
pub(super) struct Attempt {
    pub sent: Sent,
    pub generation: u64,
    pub signed_at: Duration,
    /// What breaks the request; the service may have performed it.
    pub failure: Option<Failure>,
    pub performed: bool,
}

/// What happens to a host at a time.
pub(super) enum Event {
    Start,
    BufferRead,
    Timer,
    Sample,
    AskAgain,
    Response(Box<Attempt>),
    Background,
    Token(Result<(), Option<Duration>>),
    Probe { generation: u64, answered: bool },
    Time { answered: bool },
    Rotate,
}

pub(super) struct Entry {
    pub at: Duration,
    pub serial: u64,
    pub host: usize,
    pub event: Event,
}

impl Ord for Entry {
    /// The earliest entry is the greatest, which a heap returns first.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
