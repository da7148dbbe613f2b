//! What was asked for, as plain values: the only thing the rest of the program learns of argv.
//!
//! Must not know how anything is spelt on the command line. Invariant: a value that exists has passed
//! every check that needs neither a file nor the service.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::options::ServiceOptions;
pub use crate::term::progress::{OutputOptions, ProgressMode};
use proto::digest::Algorithm;
use proto::object_url::{BucketUrl, ObjectUrl};
pub use validate::Format;

/// One run of the program.
#[derive(Debug, Clone)]
pub enum Command {
    Put(Box<PutCommand>),
    Get(Box<GetCommand>),
    Uploads(Box<UploadsCommand>),
    Session(Box<SessionCommand>),
    Serve(ServeCommand),
    Completions(Shell),
    Version,
    /// The text to show.
    Help(String),
}

impl Command {
    /// Whether stdin is the stream.
    pub fn reads_stdin(&self) -> bool {
        matches!(self, Command::Put(put) if put.source == StreamSource::Stdin)
    }

    /// Whether what somebody waits for goes to stdout: a receipt, an object, a list.
    pub fn writes_stdout(&self) -> bool {
        !matches!(self, Command::Get(get) if get.file.is_some())
    }
}

/// `put`: one stream becomes one object.
#[derive(Debug, Clone)]
pub struct PutCommand {
    pub target: ObjectUrl,
    pub source: StreamSource,
    /// The folder of the embedded store; `None` is the real service.
    pub local: Option<PathBuf>,
    /// Bytes; whether parts of this size make sense is for the schedule to say.
    pub part_size: Option<u64>,
    pub parallel: Option<u16>,
    pub max_memory: Option<u64>,
    pub expected_size: Option<u64>,
    pub checksum: Algorithm,
    pub object: ObjectSettings,
    pub overwrite: Overwrite,
    pub delete_on_mismatch: bool,
    pub allow_empty: bool,
    pub min_size: Option<u64>,
    pub retry_for: Duration,
    pub stall_timeout: Duration,
    /// Bytes per second over all parts.
    pub bwlimit: Option<u64>,
    pub expect: Option<Format>,
    pub output: OutputOptions,
    pub service: ServiceOptions,
    /// What is odd enough to be said at the start, though not wrong.
    pub warnings: Vec<String>,
}

/// Where the stream comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSource {
    Stdin,
    File(PathBuf),
    /// The program and its arguments; never empty.
    Command(Vec<OsString>),
}

/// What may happen to an object that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overwrite {
    Never,
    Force,
    /// Only the object with this etag is replaced.
    IfMatch(String),
}

/// What the object shall be besides its bytes. Every text is safe as the value of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectSettings {
    /// As the service spells it.
    pub storage_tier: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// Names without `opc-meta-`, in the order of the names; texts may be other than ASCII.
    pub metadata: Vec<(String, String)>,
    /// Holds the metadata, in place of the above; not read yet.
    pub metadata_file: Option<PathBuf>,
    /// Holds the base64 of an AES-256 key; not read yet.
    pub encryption_key_file: Option<PathBuf>,
    pub kms_key_id: Option<String>,
}

/// `get`: one object becomes a stream.
#[derive(Debug, Clone)]
pub struct GetCommand {
    pub source: ObjectUrl,
    /// `None` is stdout.
    pub file: Option<PathBuf>,
    /// Holds the base64 of the AES-256 key the object was stored with; not read yet.
    pub encryption_key_file: Option<PathBuf>,
    pub retry_for: Duration,
    pub stall_timeout: Duration,
    pub output: OutputOptions,
    pub service: ServiceOptions,
}

/// `uploads list` and `uploads abort`.
#[derive(Debug, Clone)]
pub struct UploadsCommand {
    pub action: UploadsAction,
    /// The bucket and, where only one object's uploads are meant, its exact name.
    pub place: BucketUrl,
    pub upload_id: Option<String>,
    pub older_than: Option<Duration>,
    pub service: ServiceOptions,
}

/// What `uploads` does with the uploads that match. The filters narrow one another, so that an abort
/// never takes more than the narrowest of them; at least one, or `--all`, was given for `Abort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadsAction {
    List,
    Abort,
}

/// `session show` and `session refresh`.
#[derive(Debug, Clone)]
pub struct SessionCommand {
    pub action: SessionAction,
    pub service: ServiceOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAction {
    Show { json: bool },
    Refresh,
}

/// `serve`: a local Object Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeCommand {
    pub dir: PathBuf,
    /// 0: any free port.
    pub port: u16,
    pub token_ttl: Duration,
    pub faults: Option<PathBuf>,
}

/// The shells there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}
