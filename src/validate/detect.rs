//! Validation of a stream whose format the user did not give.
//!
//! Owns the detection of a format by the first bytes. Must not decode: gzip, which only decoding can
//! validate, is not detected, and bzip2 only by its end mark. Invariant: no stream is rejected; a
//! warning is returned only if the stream is visibly not whole, and never for an unsupported variant.

use super::chunk_parser::ChunkDriver;
use super::{
    Format, Rejection, StreamValidator, Validator, bzip2, pgdump, sql, tar, xz, zip, zstd,
};

/// How a member of gzip that is deflated begins.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes that detection needs: the header of a tar archive, or the first lines of an SQL dump.
pub(super) const HEAD_SIZE: usize = 4096;

/// The format that a stream with these first bytes begins as. gzip is among them, which the validator without a
/// format leaves out.
pub(super) fn begins_as(head: &[u8]) -> Option<Format> {
    match () {
        _ if head.starts_with(&pgdump::MAGIC) => Some(Format::PgDump),
        _ if head.starts_with(&zstd::MAGIC.to_le_bytes()) => Some(Format::Zstd),
        _ if head.starts_with(&xz::MAGIC) => Some(Format::Xz),
        _ if bzip2::begins(head) => Some(Format::Bzip2),
        _ if head.starts_with(&zip::MEMBER) => Some(Format::Zip),
        _ if head.starts_with(&GZIP_MAGIC) => Some(Format::Gzip),
        _ if tar::begins(head) => Some(Format::Tar),
        _ if sql::origin(head).is_some() => Some(Format::Sql),
        _ => None,
    }
}

/// A validator that accepts every stream, and returns a warning at the end if the stream begins as one
/// of the formats but is visibly not whole. It starts no thread; memory is that of the format, plus
/// 4 KiB.
pub fn detecting_validator() -> Box<dyn StreamValidator> {
    Box::new(Detected::Head(Vec::new()))
}

enum Detected {
    /// Fewer than `HEAD_SIZE` bytes have arrived.
    Head(Vec<u8>),
    /// The stream begins as this format, and nothing contradicts it.
    Known(Format, Box<dyn Validator>),
    /// The stream begins as this format, and cannot be whole. The message of the error.
    Invalid(Format, String),
    /// The format is unknown, or a variant that is not supported.
    Unknown,
}

impl Detected {
    fn from_head(head: &[u8]) -> Detected {
        let format = begins_as(head);
        let validator: Box<dyn Validator> = match format {
            Some(Format::PgDump) => Box::new(ChunkDriver::new(pgdump::PgDump::default())),
            Some(Format::Zstd) => Box::new(ChunkDriver::new(zstd::Zstd::default())),
            Some(Format::Xz) => Box::new(ChunkDriver::new(xz::Xz::default())),
            Some(Format::Bzip2) => Box::new(bzip2::EndMark::new()),
            Some(Format::Zip) => Box::new(zip::Zip::default()),
            Some(Format::Tar) => Box::new(ChunkDriver::new(tar::Tar::default())),
            Some(Format::Sql) => Box::new(sql::Sql::default()),
            Some(Format::Gzip) | None => return Detected::Unknown,
        };
        let Some(format) = format else { return Detected::Unknown };
        Detected::Known(format, validator).after(head)
    }

    /// The state after the next bytes of the stream.
    fn after(self, bytes: &[u8]) -> Detected {
        match self {
            Detected::Known(format, mut validator) => match validator.bytes(bytes) {
                Ok(()) => Detected::Known(format, validator),
                Err(error) if error.unsupported => Detected::Unknown,
                Err(error) => Detected::Invalid(format, error.message),
            },
            other => other,
        }
    }
}

impl StreamValidator for Detected {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        *self = match std::mem::replace(self, Detected::Unknown) {
            Detected::Head(mut head) => {
                let (first, rest) = bytes.split_at(bytes.len().min(HEAD_SIZE - head.len()));
                head.extend_from_slice(first);
                match head.len() {
                    HEAD_SIZE => Detected::from_head(&head).after(rest),
                    _ => Detected::Head(head),
                }
            }
            other => other.after(bytes),
        };
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Rejection> {
        let detected = match *self {
            Detected::Head(head) => Detected::from_head(&head),
            other => other,
        };
        let (format, message) = match detected {
            Detected::Known(format, validator) => match validator.end() {
                Err(error) if !error.unsupported => (format, error.message),
                _ => return Ok(None),
            },
            Detected::Invalid(format, message) => (format, message),
            Detected::Head(_) | Detected::Unknown => return Ok(None),
        };
        Ok(Some(format!(
            "the stream begins like {} but is not a whole one: {message}; with --expect {} it would \
             not have been stored. --force replaces it by a whole one",
            format.name(),
            format.option()
        )))
    }
}
