//! What can be seen of a stream's end without being asked to look.
//!
//! Owns the recognition of a format by its first bytes. Knows of each format only how it is judged.
//! Nothing is decoded here: what only decoding could tell is left to `--expect`.
//! Invariant: never an error, at most a warning, and none where a whole stream is only not understood.

use super::walk::Walker;
use super::{Format, Judge, bzip2, pgdump, sql, tar, xz, zip, zstd};
use crate::error::Error;
use crate::input::Watch;

/// Enough to see the header of a tar, or the first lines of an SQL dump.
const HEAD: usize = 4096;

/// Watches for a stream that begins as a format that is known and visibly does not end as one.
pub fn guess() -> Box<dyn Watch> {
    Box::new(Guess::Head(Vec::new()))
}

enum Guess {
    /// The first bytes, until there are enough of them.
    Head(Vec<u8>),
    Known(Format, Box<dyn Judge>),
    /// The stream begins as this, and is none.
    Flawed(Format, String),
    Unknown,
}

impl Guess {
    fn recognise(head: &[u8]) -> Guess {
        let judge: (Format, Box<dyn Judge>) = match () {
            _ if head.starts_with(&pgdump::MAGIC) => {
                (Format::PgDump, Box::new(Walker::new(pgdump::PgDump::default())))
            }
            _ if head.starts_with(&zstd::MAGIC.to_le_bytes()) => {
                (Format::Zstd, Box::new(Walker::new(zstd::Zstd::default())))
            }
            _ if head.starts_with(&xz::MAGIC) => {
                (Format::Xz, Box::new(Walker::new(xz::Xz::default())))
            }
            _ if bzip2::begins(head) => (Format::Bzip2, Box::new(bzip2::EndMark::new())),
            _ if head.starts_with(&zip::MEMBER) => (Format::Zip, Box::new(zip::Zip::default())),
            _ if tar::begins(head) => (Format::Tar, Box::new(Walker::new(tar::Tar::default()))),
            _ if sql::origin(head).is_some() => (Format::Sql, Box::new(sql::Sql::default())),
            _ => return Guess::Unknown,
        };
        Guess::Known(judge.0, judge.1).after(head)
    }

    fn after(self, bytes: &[u8]) -> Guess {
        match self {
            Guess::Known(format, mut judge) => match judge.bytes(bytes) {
                Ok(()) => Guess::Known(format, judge),
                Err(flaw) if flaw.foreign => Guess::Unknown,
                Err(flaw) => Guess::Flawed(format, flaw.what),
            },
            other => other,
        }
    }
}

impl Watch for Guess {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let guess = std::mem::replace(self, Guess::Unknown);
        *self = match guess {
            Guess::Head(mut head) => {
                let (first, rest) = bytes.split_at(bytes.len().min(HEAD - head.len()));
                head.extend_from_slice(first);
                match head.len() {
                    HEAD => Guess::recognise(&head).after(rest),
                    _ => Guess::Head(head),
                }
            }
            other => other.after(bytes),
        };
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Error> {
        let guess = match *self {
            Guess::Head(head) => Guess::recognise(&head),
            other => other,
        };
        let (format, what) = match guess {
            Guess::Known(format, judge) => match judge.end() {
                Err(flaw) if !flaw.foreign => (format, flaw.what),
                _ => return Ok(None),
            },
            Guess::Flawed(format, what) => (format, what),
            Guess::Head(_) | Guess::Unknown => return Ok(None),
        };
        Ok(Some(format!(
            "the stream begins like {} but is not a whole one: {what}; with --expect {} it would \
             not have been stored",
            format.name(),
            format.option()
        )))
    }
}
