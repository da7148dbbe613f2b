//! A small true Object Storage on loopback: real HTTP and TLS, real signatures, real tokens.
//!
//! It serves `ocipipe serve` and `put --local`, and it is the service that tests speak to, faults
//! included. It imports nothing from the rest of the crate and is written from the service's
//! documentation, so that a mistake in the client is not repeated here. It must not be taken for more:
//! one user, no encryption at rest.
//!
//! The way of a request: `listener` -> `line` -> `service` (`route`, `fault`, `authority`, `policy`) ->
//! `buckets`, `objects`, `multipart` or `session` -> `store` -> `full` or `local`.
//!
//! Invariant: it listens on 127.0.0.1 only, and writes only below the folder it is given.

mod apply_fault;
mod auth;
mod auth_handlers;
mod body;
mod buckets;
mod checksum;
mod clock;
mod conditions;
mod confined_path;
mod connection;
mod delay;
mod dispatch;
pub mod fault;
mod listener;
mod log;
mod multipart;
mod objects;
pub mod plain_files;
mod policy;
mod properties;
mod range;
mod response;
mod route;
mod run_dir;
mod server_config;
mod signature;
mod spurious;
mod state_dir;
mod store;
mod threads;
mod tls;
mod token;

pub use auth::{KeyKind, RefreshMode};
pub use log::Record;
pub use policy::{BucketProtection, Permission, PermissionSet, Retention};
pub use route::Operation;
pub use server_config::ServerConfig;
pub use spurious::SpuriousCounts;

/// What reads the bytes of others, where a fuzzer can reach it.
#[doc(hidden)]
pub mod parsers {
    pub use super::checksum::ClaimedChecksums;
    pub use super::conditions::Conditions;
    pub use super::properties::of_headers;
    pub use super::range::wanted;
    pub use super::route::route;
    pub use super::signature::{Authorization, PublicKey, SignedHead, complete, signed_text};
}

use auth::{Authenticator, TokenPolicy};
use clock::Clock;
use dispatch::ServerState;
use fault::{FaultInjector, FaultPlan};
use log::Log;
use policy::Policy;
use state_dir::StateDir;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::ObjectStore;
use store::uploads::UploadRegistry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How objects lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageLayout {
    /// Every legal name, with metadata, over restarts; the state folder is `dir` itself.
    Durable,
    /// Plain files `dir/BUCKET/NAME`; the state folder is a temporary one below `dir/.ocipipe`.
    PlainFiles,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub dir: PathBuf,
    pub layout: StorageLayout,
    /// 0 takes any free one.
    pub port: u16,
    /// How long a session token lasts; whole seconds, at least one.
    pub token_ttl: Duration,
    /// How long a session can be extended; no token outlives it.
    pub session: Duration,
    pub refresh: RefreshMode,
    pub faults: FaultPlan,
    /// What the principal may do.
    pub rights: PermissionSet,
    /// Buckets that refuse something to everybody.
    pub buckets: BTreeMap<String, BucketProtection>,
    /// The most items a list shows at once.
    pub page_size: usize,
    /// Seconds that the server's clock is ahead, or behind if negative.
    pub clock_offset: i64,
    /// How long a token is taken after a refresh replaced it; as long as it lasts, if nothing.
    pub grace: Option<Duration>,
    /// Whether a part's token is judged when its last byte arrives as well; nobody knows whether the
    /// real service does.
    pub judges_at_the_end: bool,
    /// Extra bytes in each token.
    pub token_padding: usize,
    /// Also write the log of requests to `requests.jsonl` in the state folder.
    pub log_file: bool,
}

impl ServerOptions {
    pub fn new(dir: impl Into<PathBuf>, layout: StorageLayout) -> ServerOptions {
        ServerOptions {
            dir: dir.into(),
            layout,
            port: 0,
            token_ttl: Duration::from_secs(3600),
            session: Duration::from_secs(24 * 3600),
            refresh: RefreshMode::Normal,
            faults: FaultPlan::new(),
            rights: PermissionSet::all(),
            buckets: BTreeMap::new(),
            page_size: 1000,
            clock_offset: 0,
            grace: None,
            judges_at_the_end: false,
            token_padding: 600,
            log_file: false,
        }
    }
}

/// A running server; dropping it stops it as well, but without waiting.
pub struct Server {
    core: Arc<ServerState>,
    folder: StateDir,
    address: SocketAddr,
    stop: CancellationToken,
    listening: Option<JoinHandle<()>>,
    run: Option<run_dir::RunDir>,
}

/// Starts a server; it serves as soon as this returns.
pub async fn start(options: ServerOptions) -> io::Result<Server> {
    let (listener, address) = listener::bind(options.port).await?;
    threads::prepare()?;
    let opened = threads::run(move || open(options)).await;
    let opened = opened.ok_or_else(|| io::Error::other("opening it failed within itself"))?;
    let (core, folder, tls, run) = opened?;
    let core = Arc::new(core);
    let stop = CancellationToken::new();
    let serving = listener::run(listener, tls, core.clone(), stop.clone());
    let listening = Some(tokio::spawn(serving));
    Ok(Server { core, folder, address, stop, listening, run })
}

type OpenedServer = (ServerState, StateDir, tokio_rustls::TlsAcceptor, Option<run_dir::RunDir>);

fn open(options: ServerOptions) -> io::Result<OpenedServer> {
    let clock = Clock::with_offset(options.clock_offset);
    let now = clock::millis(clock.now());
    let (state, run) = match options.layout {
        StorageLayout::Durable => {
            fs::create_dir_all(&options.dir)?;
            (options.dir.clone(), None)
        }
        StorageLayout::PlainFiles => {
            let run = run_dir::RunDir::start(&options.dir)?;
            (run.path().to_owned(), Some(run))
        }
    };
    let shelf: Arc<dyn ObjectStore> = match options.layout {
        StorageLayout::Durable => {
            let buckets = options.dir.join("buckets");
            Arc::new(store::durable::DurableStore::open(&buckets, &["demo", "backups"], now)?)
        }
        StorageLayout::PlainFiles => Arc::new(plain_files::PlainFileStore::open(&options.dir)?),
    };
    let folder = StateDir::new(&state)?;
    let (tls, ca) = tls::throw_away()?;
    folder.write_ca(&ca)?;
    let log = if options.log_file {
        let path = folder.path().join("requests.jsonl");
        Some(OpenOptions::new().create(true).append(true).open(path)?)
    } else {
        None
    };
    let terms = TokenPolicy {
        token: options.token_ttl,
        session: options.session,
        refresh: options.refresh,
        grace: options.grace,
        padding: options.token_padding,
    };
    let core = ServerState {
        authority: Authenticator::open(folder.clone(), terms, clock.now())?,
        clock,
        store: shelf,
        uploads: Arc::new(UploadRegistry::open(&state.join("uploads"))?),
        desk: Mutex::new(FaultInjector::new(options.faults)),
        log: Arc::new(Log::new(log)),
        late: delay::DelayedRequests::default(),
        policy: Mutex::new(Policy { rights: options.rights, buckets: options.buckets }),
        page_size: Mutex::new(options.page_size.max(1)),
        judges_at_the_end: options.judges_at_the_end,
    };
    Ok((core, folder, tls, run))
}

impl Server {
    /// The profile that holds the session token.
    pub const SESSION: &str = state_dir::SESSION;

    /// `http://127.0.0.1:PORT`, for Object Storage and the auth service alike.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same over TLS; `ca_path` is the certificate to trust.
    pub fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn namespace(&self) -> &'static str {
        state_dir::NAMESPACE
    }

    /// The folder with `config`, `key.pem`, `token` and `ca.pem`.
    pub fn state_path(&self) -> &Path {
        self.folder.path()
    }

    /// Profiles `DEFAULT` and `API_KEY` with the user's key, and `Server::SESSION` with a session token.
    pub fn config_path(&self) -> PathBuf {
        self.folder.config()
    }

    pub fn key_path(&self) -> PathBuf {
        self.folder.key()
    }

    pub fn token_path(&self) -> PathBuf {
        self.folder.token()
    }

    pub fn ca_path(&self) -> PathBuf {
        self.folder.ca()
    }

    /// All requests so far, in the order of their completion.
    pub fn requests(&self) -> Vec<Record> {
        self.core.log.records()
    }

    /// Waits until the log of requests satisfies `enough`.
    pub async fn wait_for(&self, enough: impl Fn(&[Record]) -> bool) {
        self.core.log.wait(|records, _| enough(records)).await;
    }

    /// How many requests have arrived so far, those under way included.
    pub fn arrived(&self) -> u64 {
        self.core.log.arrived()
    }

    /// Waits until the log of requests, and how many have arrived, satisfy `enough`. What is
    /// returned holds nothing of the server but its log.
    pub fn waiting(
        &self,
        enough: impl Fn(&[Record], u64) -> bool + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let log = self.core.log.clone();
        async move { log.wait(enough).await }
    }

    /// What came of `SpuriousNotFound` among the requests of the log.
    pub fn spurious(&self) -> SpuriousCounts {
        SpuriousCounts::among(&self.requests())
    }

    /// Replaces the plan; attempts are counted from the beginning again.
    pub fn set_faults(&self, plan: FaultPlan) {
        *self.core.desk.lock().unwrap_or_else(PoisonError::into_inner) = FaultInjector::new(plan);
    }

    /// What the principal may do from now on.
    pub fn set_rights(&self, rights: PermissionSet) {
        self.core.policy.lock().unwrap_or_else(PoisonError::into_inner).rights = rights;
    }

    /// What a bucket refuses from now on.
    pub fn protect(&self, bucket: &str, protection: BucketProtection) {
        let mut policy = self.core.policy.lock().unwrap_or_else(PoisonError::into_inner);
        policy.buckets.insert(bucket.to_owned(), protection);
    }

    pub fn set_clock_offset(&self, seconds: i64) {
        self.core.clock.set_offset(seconds);
    }

    pub fn set_refresh(&self, refresh: RefreshMode) {
        self.core.authority.set_terms(|terms| terms.refresh = refresh);
    }

    /// The lifetime of tokens issued from now on.
    pub fn set_token_ttl(&self, ttl: Duration) {
        self.core.authority.set_terms(|terms| terms.token = ttl);
    }

    pub fn set_page_size(&self, size: usize) {
        *self.core.page_size.lock().unwrap_or_else(PoisonError::into_inner) = size.max(1);
    }

    /// Refuses this token from now on, whatever its `exp`.
    pub fn revoke(&self, token: &str) {
        self.core.authority.revoke(token);
    }

    /// Refuses every API key but the present one from now on.
    pub fn forget_older_keys(&self) {
        self.core.authority.forget_older_keys();
    }

    /// A new login: a new session and token, in the token file and returned.
    pub fn log_in(&self) -> io::Result<String> {
        self.core.authority.log_in(self.core.clock.now())
    }

    /// A new login that replaces the key file as well.
    pub fn log_in_with_new_key(&self) -> io::Result<String> {
        self.core.authority.log_in_with_new_key(self.core.clock.now())
    }

    /// Bucket, object and upload id of every open multipart upload.
    pub fn open_uploads(&self) -> Vec<(String, String, String)> {
        let all = self.core.uploads.list(None);
        all.into_iter().map(|created| (created.bucket, created.name, created.id)).collect()
    }

    /// The bytes of an object, if it exists; it blocks, and holds all of them in memory.
    pub fn object(&self, bucket: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let opened = self.core.store.open(bucket, name);
        let opened = opened.map_err(|refused| io::Error::other(refused.message))?;
        let Some((_, mut file)) = opened else { return Ok(None) };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Stops accepting, lets open connections finish for a moment, and removes temporary files.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(listening) = self.listening.take() {
            // It ends by itself; an error would be its panic, which has been reported.
            let _ = listening.await;
        }
        drop(self.run.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
