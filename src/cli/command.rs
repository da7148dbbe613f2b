//! The commands as plain values: all that the rest of the program knows of argv.
//!
//! Owns the types that `cli` hands to `commands`. Must not know how an option is written.
//! Invariant: every value has passed all checks that need neither a file nor the service.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use super::put_target::{ParSettings, ParSource, PutTarget};
use crate::auth::options::ServiceOptions;
pub(crate) use crate::term::log::LogFormat;
pub use crate::term::progress::{OutputOptions, ProgressMode};
use crate::term::startup_fds::RequiredFds;
use proto::byte_range::ByteRange;
use proto::digest::Algorithm;
use proto::object_url::{BucketUrl, ObjectUrl};
pub(crate) use proto::whole_stream::ExpectedDigest;
pub use validate::Format;

pub(crate) use super::serve_command::{ServeCommand, ServePar};
pub use super::session_command::SessionAction;
pub(crate) use super::session_command::{
    AuthenticateCommand, ExportSessionCommand, ImportSessionCommand, SessionCommand,
};

/// What one run of the program does.
#[derive(Debug, Clone)]
pub enum Command {
    /// `put`
    Put(Box<PutCommand>),
    /// `get`
    Get(Box<GetCommand>),
    /// `verify`
    Verify(Box<VerifyCommand>),
    /// `uploads list` and `uploads abort`
    Uploads(Box<UploadsCommand>),
    /// `session show` and `session refresh`
    Session(Box<SessionCommand>),
    /// `session authenticate`
    Authenticate(Box<AuthenticateCommand>),
    /// `session export`
    ExportSession(ExportSessionCommand),
    /// `session import`
    ImportSession(ImportSessionCommand),
    /// `serve`
    Serve(ServeCommand),
    /// `completions`
    Completions(Shell),
    /// The man page.
    Man,
    /// `--version`
    Version,
    /// The text to print.
    Help(String),
}

impl Command {
    /// Whether the command has a key or a token in its memory.
    pub fn holds_credentials(&self) -> bool {
        match self {
            Command::Put(_)
            | Command::Get(_)
            | Command::Verify(_)
            | Command::Uploads(_)
            | Command::Session(_)
            | Command::Authenticate(_)
            | Command::ExportSession(_)
            | Command::ImportSession(_) => true,
            Command::Serve(_)
            | Command::Completions(_)
            | Command::Man
            | Command::Version
            | Command::Help(_) => false,
        }
    }

    /// How the last error of the command is written.
    pub fn log_format(&self) -> LogFormat {
        match self {
            Command::Put(put) => put.output.log_format,
            Command::Get(get) => get.output.log_format,
            Command::Verify(verify) => verify.output.log_format,
            _ => LogFormat::Text,
        }
    }

    /// stdin if the command reads its stream there, and stdout if its result (a receipt, an object,
    /// a list) is printed there.
    pub fn required_fds(&self) -> RequiredFds {
        RequiredFds {
            stdin: match self {
                Command::Put(put) => put.source == StreamSource::Stdin,
                Command::Verify(verify) => verify.stream == Some(VerifyStream::Stdin),
                _ => false,
            },
            stdout: match self {
                Command::Get(get) => get.file.is_none(),
                Command::Verify(_) => false,
                _ => true,
            },
        }
    }
}

/// `put`: one stream becomes one object.
#[derive(Debug, Clone)]
pub struct PutCommand {
    /// Where the object is stored.
    pub target: PutTarget,
    /// The stream.
    pub source: StreamSource,
    /// The folder of the embedded store; `None` for the real service.
    pub local: Option<PathBuf>,
    /// Bytes of the first part; the part plan checks it.
    pub part_size: Option<u64>,
    /// Parts in flight, 1 to 1000.
    pub parallel: Option<u16>,
    /// Bytes of all part buffers together.
    pub max_memory: Option<u64>,
    /// Bytes.
    pub expected_size: Option<u64>,
    /// The digest that the service checks for each part.
    pub checksum: Algorithm,
    /// The properties of the object.
    pub object: ObjectSettings,
    /// Whether an object that exists is replaced.
    pub overwrite: Overwrite,
    /// Whether an object that exists and is the same as the stream is success. Never with
    /// `Overwrite::Force`.
    pub identical_ok: bool,
    /// Whether the stream is stored by one request, however long it is. Never with `resume`.
    pub no_multipart: bool,
    /// The digests that the whole stream must have.
    pub expected_digests: Vec<ExpectedDigest>,
    /// Whether an open upload is continued; `None` without `--resume`.
    pub resume: Option<ResumeSettings>,
    /// Whether a committed object is deleted if its digest does not match.
    pub delete_on_mismatch: bool,
    /// Whether a stream of 0 bytes is stored.
    pub allow_empty: bool,
    /// Bytes; a shorter stream is not committed.
    pub min_size: Option<u64>,
    /// How long the upload may make no progress.
    pub retry_for: Duration,
    /// How long a connection may move no byte.
    pub stall_timeout: Duration,
    /// Bytes per second over all connections together.
    pub bwlimit: Option<u64>,
    /// The format in which the stream must be complete; `None` to detect it.
    pub expect: Option<Format>,
    /// What is written to stderr.
    pub output: OutputOptions,
    /// `--metrics-file`.
    pub metrics: Option<MetricsSettings>,
    /// The account and the endpoint.
    pub service: ServiceOptions,
    /// Warnings to print at the start.
    pub warnings: Vec<String>,
}

/// `--metrics-file`: where the metrics of the run are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    pub file: PathBuf,
    /// The only label; not empty.
    pub job: String,
}

/// `--resume`: which open upload is continued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResumeSettings {
    /// `None` for the only one of the name.
    pub upload_id: Option<String>,
}

/// The source of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSource {
    /// stdin
    Stdin,
    /// `--file`
    File(PathBuf),
    /// The program and its arguments; never empty.
    Command(Vec<OsString>),
}

/// Whether an existing object may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overwrite {
    /// No object is replaced.
    Never,
    /// Any object is replaced.
    Force,
    /// Only the object with this etag.
    IfMatch(String),
}

/// The properties of the object. Every text is valid as the value of a header, except that metadata
/// and the disposition need not be ASCII.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectSettings {
    /// In the spelling of the service.
    pub storage_tier: Option<String>,
    pub content_type: Option<String>,
    /// The content type is that of the name of the object, which a pre-authenticated request gives.
    pub guess_content_type: bool,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// Names without `opc-meta-`, and texts, sorted by name.
    pub metadata: Vec<(String, String)>,
    /// A file with the metadata, in place of `metadata`; not read yet.
    pub metadata_file: Option<PathBuf>,
    /// A file with an AES-256 key in base64; not read yet.
    pub encryption_key_file: Option<PathBuf>,
    /// The OCID of a key in the Vault service.
    pub kms_key_id: Option<String>,
}

/// `get`: one object becomes a stream.
#[derive(Debug, Clone)]
pub struct GetCommand {
    /// The object.
    pub source: ObjectUrl,
    /// `None` for stdout.
    pub file: Option<PathBuf>,
    /// Whether stdout was named, so that it may be a terminal.
    pub names_stdout: bool,
    /// The etag that the object must have.
    pub if_match: Option<String>,
    /// The version of the object; `None` for the current one.
    pub version_id: Option<String>,
    /// The bytes of the object; `None` for all. Nothing is compared then.
    pub range: Option<ByteRange>,
    /// A file with the receipt of the upload; not read yet. Never with `range`.
    pub receipt: Option<PathBuf>,
    /// Bytes of each part of the upload but the last. Never with `range` or `receipt`.
    pub uploaded_part_size: Option<u64>,
    /// A file with the AES-256 key of the object in base64; not read yet.
    pub encryption_key_file: Option<PathBuf>,
    /// Hours for which an archived object is restored, 1 to 240; `None` if it is not.
    pub restore: Option<u32>,
    /// Bytes of one range; the range plan checks it.
    pub part_size: Option<u64>,
    /// Ranges in flight, 1 to 1000; `None` for auto.
    pub parallel: Option<u16>,
    /// Bytes of all buffers together.
    pub max_memory: Option<u64>,
    /// Bytes per second over all connections together.
    pub bwlimit: Option<u64>,
    /// How long the download may make no progress.
    pub retry_for: Duration,
    /// How long a connection may move no byte.
    pub stall_timeout: Duration,
    /// What is written to stderr.
    pub output: OutputOptions,
    /// The account and the endpoint.
    pub service: ServiceOptions,
}

/// `verify`: one object is compared with a stream, or with a receipt.
#[derive(Debug, Clone)]
pub struct VerifyCommand {
    /// `None` for the object that the receipt names.
    pub source: Option<ObjectUrl>,
    /// `None` only with a receipt, which is compared alone then.
    pub stream: Option<VerifyStream>,
    /// A file with the receipt of the upload; not read yet.
    pub receipt: Option<PathBuf>,
    /// The etag that the object must have.
    pub if_match: Option<String>,
    /// The version of the object; `None` for the current one.
    pub version_id: Option<String>,
    /// Bytes of each part of the upload but the last. Never with `receipt`.
    pub uploaded_part_size: Option<u64>,
    /// A file with the AES-256 key of the object in base64; not read yet.
    pub encryption_key_file: Option<PathBuf>,
    /// Whether an archived object that has to be read is restored.
    pub restore: bool,
    /// Bytes of all buffers of an object that is read.
    pub max_memory: Option<u64>,
    /// How long reading the object may make no progress.
    pub retry_for: Duration,
    /// How long a connection may move no byte.
    pub stall_timeout: Duration,
    /// What is written to stderr.
    pub output: OutputOptions,
    /// The account and the endpoint.
    pub service: ServiceOptions,
}

/// The stream that an object is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyStream {
    /// stdin
    Stdin,
    /// `--file`
    File(PathBuf),
}

/// `uploads list` and `uploads abort`.
#[derive(Debug, Clone)]
pub struct UploadsCommand {
    /// What is done with the uploads.
    pub action: UploadsAction,
    /// The bucket and, as a filter, the exact name of an object.
    pub place: BucketUrl,
    /// A filter.
    pub upload_id: Option<String>,
    /// A filter: the least age of an upload.
    pub older_than: Option<Duration>,
    /// Warnings and errors only on stderr.
    pub quiet: bool,
    /// The account and the endpoint.
    pub service: ServiceOptions,
}

/// What `uploads` does with the uploads that match every filter. For `Abort`, at least one filter
/// or `--all` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadsAction {
    /// They are listed.
    List,
    /// They are aborted.
    Abort,
}

/// A shell with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
