//! Validators: whether a stream is whole in its own format.
//!
//! The end of a pipe looks the same whether the producer has finished or was killed. Most formats mark
//! their end, so that the bytes show the difference.
//!
//! Owns the formats, and the acceptance or rejection of a stream by its bytes while they pass. Must not
//! know buffers, uploads or options. Invariants: the result depends on the bytes and not on how they
//! are divided into calls; a validator of [`validator_for`] accepts only what the table below describes;
//! memory is bounded, and no byte is read twice.
//!
//! # What acceptance proves
//!
//! | Format | Accepted | Not seen | Memory |
//! |---|---|---|---|
//! | tar | each header has a right checksum, two blocks of zeros follow the last member, and only zeros or another archive follow those; or 1,024 zeros follow the last member directly, without padding | damage in the contents of members | 512 bytes, up to 8 MiB for a pax header |
//! | gzip | each member inflates to data with its CRC-32 and length | missing members | 2 MiB of queue, a decoder of 0.1 MiB |
//! | zstd | frames and blocks follow each other to the end of a last frame | damage within blocks (checksums are of decoded data), missing frames | 4 bytes |
//! | xz | block headers, index and footer have right CRC-32s, and the index lists exactly the blocks | damage within blocks, missing streams | 1 KiB |
//! | bzip2 | each stream decodes to data with its CRC-32 | missing streams | 2 MiB of queue, a decoder of 4 MiB |
//! | zip | the end record ends with the stream, and the central directory ends at the record | damage in members; damage in a central directory that starts more than 128 KiB before the end | 256 KiB |
//! | pgdump | each entry of the table of contents with data has a terminated block, and there is no other block; a second table of contents of the same entries may follow | damage within blocks | 11 bytes |
//! | sql | the last line but blanks and comments is the closing comment of pg_dump, pg_dumpall or mysqldump | everything before the last 64 KiB | 192 KiB |
//!
//! A stream of gzip, zstd, xz or bzip2 is accepted after each of its members, since members can be
//! concatenated: see [`Format::proves_its_end`]. No acceptance proves that the contents are those that the
//! producer meant to write.
//!
//! # Example
//!
//! ```
//! use stream_validate::{Format, validator_for};
//!
//! let mut validator = validator_for(Format::Tar)?;
//! validator.bytes(&[0; 512])?;
//! let rejection = validator.end().unwrap_err();
//! assert!(rejection.message.contains("one block of zeros instead of two"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), warn(missing_docs, unreachable_pub))]

mod bzip2;
mod chunk_parser;
mod decode_thread;
mod detect;
#[cfg(test)]
mod forked_cuts;
mod gzip;
mod last_bytes;
mod pgdump;
#[cfg(test)]
mod real_files;
mod sql;
mod tar;
mod xz;
mod zip;
mod zstd;

pub use detect::detecting_validator;

use std::{fmt, io};

use chunk_parser::ChunkDriver;

/// The formats that can be validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ustar, pax, GNU and old tar archives.
    Tar,
    /// gzip members (RFC 1952).
    Gzip,
    /// zstd frames (RFC 8878).
    Zstd,
    /// xz streams of LZMA2 blocks.
    Xz,
    /// bzip2 streams.
    Bzip2,
    /// zip archives, also zip64, of one volume.
    Zip,
    /// The custom format of pg_dump, archive versions 1.12 to 1.16 (PostgreSQL 9.0 to 18).
    PgDump,
    /// SQL dumps of pg_dump, pg_dumpall, mysqldump and mariadb-dump.
    Sql,
}

impl Format {
    /// All formats, in the order of the documentation of `--expect`.
    pub const ALL: [Format; 8] = [
        Format::Tar,
        Format::Gzip,
        Format::Zstd,
        Format::Xz,
        Format::Bzip2,
        Format::Zip,
        Format::PgDump,
        Format::Sql,
    ];

    /// The value of `--expect` that names this format.
    pub fn option(self) -> &'static str {
        match self {
            Format::Tar => "tar",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
            Format::Xz => "xz",
            Format::Bzip2 => "bzip2",
            Format::Zip => "zip",
            Format::PgDump => "pgdump",
            Format::Sql => "sql",
        }
    }

    /// Whether the format has a mark at its end that a stream has once. Streams of the other formats can be
    /// joined: such a stream is whole after each of its members, archives or dumps, also if the producer was
    /// killed before it wrote the next one.
    pub fn proves_its_end(self) -> bool {
        match self {
            Format::Zip | Format::PgDump => true,
            Format::Tar
            | Format::Gzip
            | Format::Zstd
            | Format::Xz
            | Format::Bzip2
            | Format::Sql => false,
        }
    }

    /// A stream of this format, as the object of a sentence.
    fn name(self) -> &'static str {
        match self {
            Format::Tar => "a tar archive",
            Format::Gzip => "gzip data",
            Format::Zstd => "zstd data",
            Format::Xz => "xz data",
            Format::Bzip2 => "bzip2 data",
            Format::Zip => "a zip archive",
            Format::PgDump => "a pg_dump archive (custom format)",
            Format::Sql => "an SQL dump",
        }
    }
}

/// Why a stream is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One line for the user: the format, what is wrong, and at which byte.
    pub message: String,
    /// What is to be done where the stream begins as another format; `None` where it does not.
    pub hint: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Rejection {}

/// Validates one stream while it passes.
///
/// The caller passes all bytes of the stream in order to [`bytes`](StreamValidator::bytes), divided in
/// any way, and then calls [`end`](StreamValidator::end) if the stream ended by itself. A caller that
/// stops early drops the validator without a result. After an error the validator must not be called
/// again.
///
/// A call uses the processor for at most a few passes over its bytes. It may block while a decoder
/// thread (gzip, bzip2) is slower than the caller, so it must not run on a thread of an async runtime.
pub trait StreamValidator: Send {
    /// Validates the next bytes of the stream; an empty slice has no effect.
    ///
    /// # Errors
    ///
    /// Fails if no continuation of the stream can be accepted.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection>;

    /// Validates that the stream may end here. Returns a warning if the stream is accepted in spite of a
    /// visible defect, which only [`detecting_validator`] does.
    ///
    /// # Errors
    ///
    /// Fails if the stream is not whole.
    fn end(self: Box<Self>) -> Result<Option<String>, Rejection>;
}

/// Why a format does not accept a stream. A [`Rejection`] is the public form of it: the name of the format
/// is added, and `unsupported`, on which only [`detecting_validator`] depends, is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FormatError {
    /// What is wrong, and at which byte.
    message: String,
    /// Whether the stream may be whole in a variant of the format that is not supported.
    unsupported: bool,
}

impl FormatError {
    /// The stream is not whole, or not of this format.
    fn truncated(message: impl Into<String>) -> FormatError {
        FormatError { message: message.into(), unsupported: false }
    }

    /// The stream may be whole, in a variant of the format that is not supported.
    fn unsupported(message: impl Into<String>) -> FormatError {
        FormatError { message: message.into(), unsupported: true }
    }
}

/// Validates one stream of one format, with the contract of [`StreamValidator`].
trait Validator: Send {
    /// Validates the next bytes. Fails if no continuation can be accepted.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError>;
    /// Validates that the stream may end here. Fails if it is not whole.
    fn end(self: Box<Self>) -> Result<(), FormatError>;
}

/// A validator that accepts only whole streams of `format`. It rejects an empty stream too.
///
/// # Errors
///
/// Fails if the system cannot start the decoder thread of gzip or bzip2; the other formats need none.
pub fn validator_for(format: Format) -> io::Result<Box<dyn StreamValidator>> {
    let validator: Box<dyn Validator> = match format {
        Format::Tar => Box::new(ChunkDriver::new(tar::Tar::default())),
        Format::Gzip => Box::new(gzip::decoder()?),
        Format::Zstd => Box::new(ChunkDriver::new(zstd::Zstd::default())),
        Format::Xz => Box::new(ChunkDriver::new(xz::Xz::default())),
        Format::Bzip2 => Box::new(bzip2::decoder()?),
        Format::Zip => Box::new(zip::Zip::default()),
        Format::PgDump => Box::new(ChunkDriver::new(pgdump::PgDump::default())),
        Format::Sql => Box::new(sql::Sql::default()),
    };
    Ok(Box::new(Required { format, validator, head: Vec::new() }))
}

/// A validator of a required format.
struct Required {
    format: Format,
    validator: Box<dyn Validator>,
    /// The first bytes, by which a rejection names the format that the stream begins as.
    head: Vec<u8>,
}

impl Required {
    /// The rejection of a stream that begins with `head`.
    fn rejection(format: Format, head: &[u8], error: FormatError) -> Rejection {
        let message =
            format!("the stream is not {}, or not all of it: {}", format.name(), error.message);
        let other = detect::begins_as(head).filter(|other| *other != format);
        let hint = other.map(|other| {
            let dump = match format {
                Format::PgDump => ", which is `pg_dump -Fc`",
                _ => "",
            };
            format!(
                "it begins like {}: give --expect {}, or let the producer write {}{dump}",
                other.name(),
                other.option(),
                format.name()
            )
        });
        Rejection { message, hint }
    }
}

impl StreamValidator for Required {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        let missing = detect::HEAD_SIZE - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let checked = self.validator.bytes(bytes);
        checked.map_err(|error| Required::rejection(self.format, &self.head, error))
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Rejection> {
        let Required { format, validator, head } = *self;
        let ended = match validator.end() {
            // A producer that failed at once leaves an empty stream: one message for all formats.
            _ if head.is_empty() => Err(FormatError::truncated("it is empty")),
            ended => ended,
        };
        ended.map(|()| None).map_err(|error| Required::rejection(format, &head, error))
    }
}
