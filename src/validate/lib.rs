//! Whether a stream ends as its format must.
//!
//! A pipe cannot tell a producer that has finished from one that was killed: both end the stream.
//! What the producer writes can. Owns the formats and their verdicts, judged while the stream passes,
//! with bounded memory and no second read. Knows nothing of buffers or of the upload.
//! Invariant: a verdict depends on the bytes alone, not on how they were cut; with `--expect` a stream
//! is accepted only if its format was followed to its very end.

mod bzip2;
mod chunk_parser;
mod decode_thread;
mod detect;
mod gzip;
mod last_bytes;
mod pgdump;
mod sql;
mod tar;
mod xz;
mod zip;
mod zstd;

pub use detect::detecting_validator;

use std::{fmt, io};

use chunk_parser::ChunkDriver;

/// What a stream can be expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tar,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Zip,
    PgDump,
    Sql,
}

impl Format {
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

    /// The spelling of `--expect`.
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

    /// Whether a stream that was accepted cannot be the beginning of a longer one. The members of the
    /// others can be concatenated: such a stream is whole after each of them.
    pub fn proves_its_end(self) -> bool {
        match self {
            Format::Tar | Format::Zip | Format::PgDump | Format::Sql => true,
            Format::Gzip | Format::Zstd | Format::Xz | Format::Bzip2 => false,
        }
    }

    /// What a stream of this format is called in a sentence.
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

/// Why a stream is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// For a person: the format, what is wrong and where, in one line.
    pub message: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Rejection {}

/// Checks a stream as it passes, and at its end whether it is complete.
pub trait StreamValidator: Send {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    ///
    /// The stream can no longer become a whole one; no further call is made.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection>;

    /// Takes the end of the stream. Returns a warning for a stream that is accepted.
    ///
    /// # Errors
    ///
    /// The stream is not whole.
    fn end(self: Box<Self>) -> Result<Option<String>, Rejection>;
}

/// Why a stream is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FormatError {
    /// For a person: what is the matter, and where.
    message: String,
    /// It may be that the stream is whole and only not understood.
    unsupported: bool,
}

impl FormatError {
    /// The stream is not whole, or not what it claims to be.
    fn truncated(what: impl Into<String>) -> FormatError {
        FormatError { message: what.into(), unsupported: false }
    }

    /// The stream may be whole, but this program cannot tell.
    fn unsupported(what: impl Into<String>) -> FormatError {
        FormatError { message: what.into(), unsupported: true }
    }
}

/// Judges one stream of one format.
trait Validator: Send {
    /// More of the stream. A flaw is final.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError>;
    /// The stream has ended.
    fn end(self: Box<Self>) -> Result<(), FormatError>;
}

/// Watches for a format that was asked for: a stream of which it is not the whole is refused. An error
/// is the system's refusal of a thread that decodes.
pub fn validator_for(format: Format) -> io::Result<Box<dyn StreamValidator>> {
    let judge: Box<dyn Validator> = match format {
        Format::Tar => Box::new(ChunkDriver::new(tar::Tar::default())),
        Format::Gzip => Box::new(gzip::judge()?),
        Format::Zstd => Box::new(ChunkDriver::new(zstd::Zstd::default())),
        Format::Xz => Box::new(ChunkDriver::new(xz::Xz::default())),
        Format::Bzip2 => Box::new(bzip2::judge()?),
        Format::Zip => Box::new(zip::Zip::default()),
        Format::PgDump => Box::new(ChunkDriver::new(pgdump::PgDump::default())),
        Format::Sql => Box::new(sql::Sql::default()),
    };
    Ok(Box::new(Required { format, validator: judge, empty: true }))
}

/// A format that was asked for.
struct Required {
    format: Format,
    validator: Box<dyn Validator>,
    empty: bool,
}

impl Required {
    fn rejection(format: Format, flaw: FormatError) -> Rejection {
        let what =
            format!("the stream is not {}, or not all of it: {}", format.name(), flaw.message);
        Rejection { message: what }
    }
}

impl StreamValidator for Required {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        self.empty &= bytes.is_empty();
        self.validator.bytes(bytes).map_err(|flaw| Required::rejection(self.format, flaw))
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Rejection> {
        match self.validator.end() {
            // What a producer leaves that failed at once; every format would have its own words.
            _ if self.empty => {
                Err(Required::rejection(self.format, FormatError::truncated("it is empty")))
            }
            Ok(()) => Ok(None),
            Err(flaw) => Err(Required::rejection(self.format, flaw)),
        }
    }
}
