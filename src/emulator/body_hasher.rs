//! Hashes a body while it is written, the MD5 of a long one on a thread of its own.
//!
//! Owns that thread: MD5 takes longer than writing and all other checksums together, and every body needs
//! it. Knows no file and no request. Invariants: each byte is hashed once, in the order of the body; few
//! pieces wait for the thread; a thread that the system refuses costs speed and nothing else.

use super::checksum::{Algorithm, ChecksumHasher, Checksums};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes after which a body is long enough for a thread.
const MIN_PARALLEL: u64 = 1 << 20;

/// Pieces that wait for the thread.
const READ_AHEAD: usize = 4;

/// Computes the checksums of one body.
pub(crate) struct BodyHasher {
    /// Has the MD5 too while there is no thread for it.
    hasher: ChecksumHasher,
    md5: Option<Md5Thread>,
    /// The system refused the thread.
    refused: bool,
}

struct Md5Thread {
    pieces: SyncSender<Bytes>,
    thread: JoinHandle<Md5>,
}

impl BodyHasher {
    /// Computes MD5 and these algorithms.
    pub(crate) fn new(algorithms: &[Algorithm]) -> BodyHasher {
        BodyHasher { hasher: ChecksumHasher::new(algorithms), md5: None, refused: false }
    }

    /// Adds the next bytes of the body.
    pub(crate) fn update(&mut self, bytes: Bytes) {
        if self.md5.is_none() && !self.refused && self.hasher.size() >= MIN_PARALLEL {
            self.start_thread();
        }
        if let Some(md5) = &self.md5 {
            // A thread that has panicked is an error of `finish`.
            let _ = md5.pieces.send(bytes.clone());
        }
        self.hasher.update(&bytes);
    }

    /// Gives the MD5 of the bytes so far to a thread.
    fn start_thread(&mut self) {
        let (pieces, queue) = sync_channel(READ_AHEAD);
        let begun = self.hasher.md5();
        let body = move || hash(begun, &queue);
        match thread::Builder::new().name("store-md5".to_owned()).spawn(body) {
            Ok(thread) => {
                self.hasher.leave_md5();
                self.md5 = Some(Md5Thread { pieces, thread });
            }
            Err(_) => self.refused = true,
        }
    }

    /// The checksums of all bytes. Fails if the thread has failed within itself.
    pub(crate) fn finish(self) -> io::Result<Checksums> {
        let checksums = self.hasher.finish();
        let Some(Md5Thread { pieces, thread }) = self.md5 else { return Ok(checksums) };
        drop(pieces);
        let md5 = thread.join().map_err(|_| io::Error::other("the thread of the MD5 failed"))?;
        Ok(Checksums { md5: md5.finalize().to_vec(), ..checksums })
    }
}

/// Goes on with an MD5 until no more pieces come.
fn hash(mut md5: Md5, pieces: &Receiver<Bytes>) -> Md5 {
    for piece in pieces {
        md5.update(&piece);
    }
    md5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_same_checksums_with_and_without_a_thread() {
        let bytes: Bytes = (0..5 << 20).map(|_| fastrand::u8(..)).collect::<Vec<u8>>().into();
        let lengths = [0, 1, 1 << 20, (1 << 20) + 1, 5 << 20];
        for (length, refused) in lengths.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let mut body = bytes.slice(..length);
            let mut whole = ChecksumHasher::new(&Algorithm::ALL);
            whole.update(&body);
            let mut hasher = BodyHasher { refused, ..BodyHasher::new(&Algorithm::ALL) };
            while !body.is_empty() {
                hasher.update(body.split_to(body.len().min(fastrand::usize(1..700_000))));
            }
            assert_eq!(hasher.finish().unwrap(), whole.finish(), "{length} bytes, {refused}");
        }
    }

    #[test]
    fn a_long_body_has_a_thread_for_its_md5() {
        let mut hasher = BodyHasher::new(&[]);
        let piece = Bytes::from(vec![7; 1 << 20]);
        hasher.update(piece.clone());
        assert!(hasher.md5.is_none());
        hasher.update(piece);
        assert!(hasher.md5.is_some());
        assert_eq!(hasher.finish().unwrap().md5, Md5::digest(vec![7; 2 << 20]).to_vec());
    }
}
