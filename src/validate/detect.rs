//! What can be seen of a stream's end without being asked to look.
//!
//! Owns the recognition of a format by its first bytes. Knows of each format only how it is judged.
//! Nothing is decoded here: what only decoding could tell is left to `--expect`.
//! Invariant: never an error, at most a warning, and none where a whole stream is only not understood.

use super::chunk_parser::ChunkDriver;
use super::{
    Format, Rejection, StreamValidator, Validator, bzip2, pgdump, sql, tar, xz, zip, zstd,
};

/// Enough to see the header of a tar, or the first lines of an SQL dump.
const HEAD_SIZE: usize = 4096;

/// Watches for a stream that begins as a format that is known and visibly does not end as one.
pub fn detecting_validator() -> Box<dyn StreamValidator> {
    Box::new(Detected::Head(Vec::new()))
}

enum Detected {
    /// The first bytes, until there are enough of them.
    Head(Vec<u8>),
    Known(Format, Box<dyn Validator>),
    /// The stream begins as this, and is none.
    Flawed(Format, String),
    Unknown,
}

impl Detected {
    fn recognise(head: &[u8]) -> Detected {
        let judge: (Format, Box<dyn Validator>) = match () {
            _ if head.starts_with(&pgdump::MAGIC) => {
                (Format::PgDump, Box::new(ChunkDriver::new(pgdump::PgDump::default())))
            }
            _ if head.starts_with(&zstd::MAGIC.to_le_bytes()) => {
                (Format::Zstd, Box::new(ChunkDriver::new(zstd::Zstd::default())))
            }
            _ if head.starts_with(&xz::MAGIC) => {
                (Format::Xz, Box::new(ChunkDriver::new(xz::Xz::default())))
            }
            _ if bzip2::begins(head) => (Format::Bzip2, Box::new(bzip2::EndMark::new())),
            _ if head.starts_with(&zip::MEMBER) => (Format::Zip, Box::new(zip::Zip::default())),
            _ if tar::begins(head) => {
                (Format::Tar, Box::new(ChunkDriver::new(tar::Tar::default())))
            }
            _ if sql::origin(head).is_some() => (Format::Sql, Box::new(sql::Sql::default())),
            _ => return Detected::Unknown,
        };
        Detected::Known(judge.0, judge.1).after(head)
    }

    fn after(self, bytes: &[u8]) -> Detected {
        match self {
            Detected::Known(format, mut judge) => match judge.bytes(bytes) {
                Ok(()) => Detected::Known(format, judge),
                Err(flaw) if flaw.unsupported => Detected::Unknown,
                Err(flaw) => Detected::Flawed(format, flaw.message),
            },
            other => other,
        }
    }
}

impl StreamValidator for Detected {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        let guess = std::mem::replace(self, Detected::Unknown);
        *self = match guess {
            Detected::Head(mut head) => {
                let (first, rest) = bytes.split_at(bytes.len().min(HEAD_SIZE - head.len()));
                head.extend_from_slice(first);
                match head.len() {
                    HEAD_SIZE => Detected::recognise(&head).after(rest),
                    _ => Detected::Head(head),
                }
            }
            other => other.after(bytes),
        };
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Rejection> {
        let guess = match *self {
            Detected::Head(head) => Detected::recognise(&head),
            other => other,
        };
        let (format, what) = match guess {
            Detected::Known(format, judge) => match judge.end() {
                Err(flaw) if !flaw.unsupported => (format, flaw.message),
                _ => return Ok(None),
            },
            Detected::Flawed(format, what) => (format, what),
            Detected::Head(_) | Detected::Unknown => return Ok(None),
        };
        Ok(Some(format!(
            "the stream begins like {} but is not a whole one: {what}; with --expect {} it would \
             not have been stored",
            format.name(),
            format.option()
        )))
    }
}
