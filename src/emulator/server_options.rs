//! What a server is started with.
//!
//! Pure: a value and its defaults. Knows no file and no socket. Invariant: the defaults are a
//! server without faults and with all permissions.

use super::auth::RefreshMode;
use super::fault::FaultPlan;
use super::instance::InstanceOptions;
use super::par::options::ParOptions;
use super::policy::{BucketProtection, PermissionSet};
use super::principals::PrincipalOptions;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How objects are stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageLayout {
    /// Every legal name, with metadata, across restarts; the state folder is `dir` itself.
    Durable,
    /// Plain files `dir/BUCKET/NAME`; the state folder is a temporary one below `dir/.ocipipe`.
    PlainFiles,
}

/// What a server is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The folder that the server writes to; created if it does not exist.
    pub dir: PathBuf,
    /// How objects are stored.
    pub layout: StorageLayout,
    /// The TCP port; 0 takes any free port.
    pub port: u16,
    /// The lifetime of a session token in whole seconds, at least one.
    pub token_ttl: Duration,
    /// The lifetime of the token of an instance, a resource, a workload or a federated user, in
    /// whole seconds, at least one.
    pub principal_token_ttl: Duration,
    /// Whether the server also plays the services of pods, resources and outside identities, with
    /// their files and a second port.
    pub principals: bool,
    /// The TCP port of the OKE token service; 0 takes any free port.
    pub oke_port: u16,
    /// The settings of the services of pods, resources and outside identities.
    pub principal_options: PrincipalOptions,
    /// The lifetime of a session; no token outlives its session.
    pub session: Duration,
    /// How the auth service responds to a refresh.
    pub refresh: RefreshMode,
    /// Which requests fail, and how.
    pub faults: FaultPlan,
    /// The permissions of the principal.
    pub rights: PermissionSet,
    /// The protected buckets, by name.
    pub buckets: BTreeMap<String, BucketProtection>,
    /// What the documentation of pre-authenticated requests leaves open.
    pub pars: ParOptions,
    /// The most items that a list returns in one page.
    pub page_size: usize,
    /// Seconds that the server's clock is ahead; negative is behind.
    pub clock_offset: i64,
    /// How long a token is accepted after a refresh replaced it; `None` until it expires.
    pub grace: Option<Duration>,
    /// Whether the token of a PutObject or UploadPart is checked a second time when the last byte
    /// of the body has arrived. The service's behaviour is not documented.
    pub recheck_token_after_body: bool,
    /// Extra bytes in each token.
    pub token_padding: usize,
    /// The instance that the server plays.
    pub instance: InstanceOptions,
    /// Whether the log of requests is also written to `requests.jsonl` in the state folder.
    pub log_file: bool,
}

impl ServerOptions {
    /// A server on any free port, with session tokens of one hour, sessions of 24 hours, and tokens
    /// of 20 minutes for other principals.
    pub fn new(dir: impl Into<PathBuf>, layout: StorageLayout) -> ServerOptions {
        ServerOptions {
            dir: dir.into(),
            layout,
            port: 0,
            token_ttl: Duration::from_secs(3600),
            principal_token_ttl: Duration::from_secs(1200),
            principals: layout == StorageLayout::Durable,
            oke_port: 0,
            principal_options: PrincipalOptions::default(),
            session: Duration::from_secs(24 * 3600),
            refresh: RefreshMode::Normal,
            faults: FaultPlan::new(),
            rights: PermissionSet::all(),
            buckets: BTreeMap::new(),
            pars: ParOptions::default(),
            page_size: 1000,
            clock_offset: 0,
            grace: None,
            recheck_token_after_body: false,
            token_padding: 600,
            instance: InstanceOptions::default(),
            log_file: false,
        }
    }
}
