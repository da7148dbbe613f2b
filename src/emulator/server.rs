//! A running server: its start, its stop, and what can be read and changed while it runs.
//!
//! Owns the server's state and the task of the listener; knows nothing of what a request does.
//! Invariant: `stop` returns only when no connection is open and the temporary files are removed.

use super::auth::{Authenticator, RefreshMode};
use super::call_counts::CallCounts;
use super::context::{Port, ServerState};
use super::fault::{FaultInjector, FaultPlan};
use super::instance::MetadataService;
use super::log::Record;
use super::opening::{self, Opened};
use super::policy::{BucketProtection, PermissionSet};
use super::principals::PrincipalServices;
use super::principals::env_files::Places;
use super::run_dir::RunDir;
use super::server_options::ServerOptions;
use super::spurious::SpuriousCounts;
use super::state_dir::{self, StateDir};
use super::{listener, rotation, threads};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A running server. Dropping it stops it without waiting for open connections.
pub struct Server {
    state: Arc<ServerState>,
    state_dir: StateDir,
    address: SocketAddr,
    stop: CancellationToken,
    /// The listeners, and the task that replaces files.
    tasks: Vec<JoinHandle<()>>,
    places: Option<Places>,
    run_dir: Option<RunDir>,
}

/// Starts a server, which accepts connections when this returns. Fails if the port is in use, the
/// folder cannot be written, or a file in it is damaged.
pub async fn start(options: ServerOptions) -> io::Result<Server> {
    let (listener, address) = listener::bind(options.port).await?;
    let (oke, oke_port) =
        if options.principals { listener::bind_both(options.oke_port).await? } else { (vec![], 0) };
    let encrypted_key = options.principal_options.encrypted_key;
    threads::prepare()?;
    let opened = threads::run(move || opening::open(options)).await;
    let opened = opened.ok_or_else(|| io::Error::other("opening it failed within itself"))?;
    let Opened { state, state_dir, tls, oke_tls, run_dir } = opened?;
    let places = oke_tls.is_some().then(|| Places {
        dir: state_dir.path().to_owned(),
        url: format!("http://{address}"),
        oke_port,
        encrypted_key,
    });
    if let Some(places) = &places {
        places.write()?;
    }
    let state = Arc::new(state);
    let stop = CancellationToken::new();
    let listen = |listener: TcpListener, port: Port, tls: TlsAcceptor| {
        tokio::spawn(listener::run(listener, port, tls, state.clone(), stop.clone()))
    };
    let mut tasks = vec![listen(listener, Port::Main, tls)];
    if let Some(tls) = oke_tls {
        tasks.extend(oke.into_iter().map(|listener| listen(listener, Port::Oke, tls.clone())));
        tasks.push(tokio::spawn(rotation::run(state.clone(), stop.clone())));
    }
    Ok(Server { state, state_dir, address, stop, tasks, places, run_dir })
}

/// Addresses and files.
impl Server {
    /// The profile that holds the session token.
    pub const SESSION: &str = state_dir::SESSION;
    /// The namespace of the one tenancy.
    #[doc(hidden)]
    pub const NAMESPACE: &str = state_dir::NAMESPACE;

    /// `http://127.0.0.1:PORT`, the endpoint of Object Storage and of the auth service.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same endpoint over TLS; clients must trust the certificate at `ca_path`.
    pub fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The loopback address and port of `url`.
    #[doc(hidden)]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The namespace of the one tenancy.
    pub fn namespace(&self) -> &'static str {
        state_dir::NAMESPACE
    }

    /// The folder with `config`, `key.pem`, `token` and `ca.pem`.
    #[doc(hidden)]
    pub fn state_path(&self) -> &Path {
        self.state_dir.path()
    }

    /// The config file: `DEFAULT` and `API_KEY` with the user's key, `Server::SESSION` with a
    /// session token.
    pub fn config_path(&self) -> PathBuf {
        self.state_dir.config()
    }

    /// The user's private key.
    pub fn key_path(&self) -> PathBuf {
        self.state_dir.key()
    }

    /// The file with the current session token.
    pub fn token_path(&self) -> PathBuf {
        self.state_dir.token()
    }

    /// The certificate that clients of `https_url` must trust, as PEM.
    pub fn ca_path(&self) -> PathBuf {
        self.state_dir.ca()
    }
}

/// What the other parts of `Server` need.
impl Server {
    pub(super) fn places(&self) -> Option<&Places> {
        self.places.as_ref()
    }

    pub(super) fn state(&self) -> &ServerState {
        &self.state
    }

    pub(super) fn principals(&self) -> Option<&PrincipalServices> {
        self.state.principals.as_deref()
    }

    pub(super) fn metadata(&self) -> &MetadataService {
        &self.state.metadata
    }

    pub(super) fn authenticator(&self) -> &Authenticator {
        &self.state.authenticator
    }

    /// The server's time.
    pub(super) fn now(&self) -> SystemTime {
        self.state.clock.now()
    }
}

/// What the server has received and stored.
impl Server {
    /// The records of requests, in the order of completion.
    pub fn requests(&self) -> Vec<Record> {
        self.state.log.records()
    }

    /// The number of requests so far, by the kind of call.
    pub fn counts(&self) -> CallCounts {
        self.state.counters.snapshot()
    }

    /// Waits until `condition` holds for the log of requests.
    pub async fn wait_for(&self, condition: impl Fn(&[Record]) -> bool) {
        self.state.log.wait(|records, _| condition(records)).await;
    }

    /// The number of requests that have arrived, including those in progress.
    #[doc(hidden)]
    pub fn arrived(&self) -> u64 {
        self.state.log.arrived()
    }

    /// Returns a future that waits until `condition` holds for the log of requests and the number
    /// of requests that have arrived. The future keeps the log alive and nothing else of the
    /// server.
    #[doc(hidden)]
    pub fn waiting(
        &self,
        condition: impl Fn(&[Record], u64) -> bool + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let log = self.state.log.clone();
        async move { log.wait(condition).await }
    }

    /// Counts the spurious 404s in the log of requests.
    #[doc(hidden)]
    pub fn spurious(&self) -> SpuriousCounts {
        SpuriousCounts::among(&self.requests())
    }

    /// Bucket, object and upload id of every open multipart upload.
    pub fn open_uploads(&self) -> Vec<(String, String, String)> {
        let records = self.state.uploads.list(None);
        records.into_iter().map(|record| (record.bucket, record.name, record.id)).collect()
    }

    /// The bytes of an object, or `None` if it does not exist. Blocks, and holds all bytes in
    /// memory.
    pub fn object(&self, bucket: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let opened = self.state.store.open(bucket, name);
        let opened = opened.map_err(|error| io::Error::other(error.message))?;
        let Some((_, mut file)) = opened else { return Ok(None) };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Changes while the server runs.
impl Server {
    /// Replaces the fault plan; attempts are counted from 1 again.
    pub fn set_faults(&self, plan: FaultPlan) {
        *self.state.injector() = FaultInjector::new(plan);
    }

    /// Sets the permissions of the principal.
    pub fn set_rights(&self, rights: PermissionSet) {
        self.state.policy.lock().unwrap_or_else(PoisonError::into_inner).rights = rights;
    }

    /// Sets the protection of a bucket.
    pub fn protect(&self, bucket: &str, protection: BucketProtection) {
        let mut policy = self.state.policy.lock().unwrap_or_else(PoisonError::into_inner);
        policy.buckets.insert(bucket.to_owned(), protection);
    }

    /// Sets how many seconds the server's clock is ahead; negative is behind.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.clock.set_offset(seconds);
    }

    /// Sets how the auth service responds to a refresh.
    pub fn set_refresh(&self, refresh: RefreshMode) {
        self.state.authenticator.set_policy(|policy| policy.refresh = refresh);
    }

    /// Sets the lifetime of session tokens issued from now on.
    pub fn set_token_ttl(&self, ttl: Duration) {
        self.state.authenticator.set_policy(|policy| policy.token = ttl);
    }

    /// Sets the lifetime of the tokens that other principals than the user get from now on.
    #[doc(hidden)]
    pub fn set_principal_token_ttl(&self, ttl: Duration) {
        self.state.authenticator.set_policy(|policy| policy.principal = ttl);
        if let Some(services) = self.principals() {
            services.changed.notify_waiters();
        }
    }

    /// Sets the most items that a list returns in one page.
    #[doc(hidden)]
    pub fn set_page_size(&self, size: usize) {
        *self.state.page_size.lock().unwrap_or_else(PoisonError::into_inner) = size.max(1);
    }

    /// Refuses this token from now on, whatever its `exp`.
    pub fn revoke(&self, token: &str) {
        self.state.authenticator.revoke(token);
    }

    /// Refuses every API key but the current one from now on.
    #[doc(hidden)]
    pub fn forget_older_keys(&self) {
        self.state.authenticator.forget_older_keys();
    }

    /// Starts a session, writes its token to the token file and returns it. Fails if a file cannot
    /// be written.
    #[doc(hidden)]
    pub fn log_in(&self) -> io::Result<String> {
        self.state.authenticator.log_in(self.state.clock.now())
    }

    /// Replaces the key file by a new key, then does what `log_in` does.
    #[doc(hidden)]
    pub fn log_in_with_new_key(&self) -> io::Result<String> {
        self.state.authenticator.log_in_with_new_key(self.state.clock.now())
    }

    /// Stops accepting, waits up to 500 ms for open connections, and removes temporary files.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // An error is a panic of the task, which the panic hook has printed.
            let _ = task.await;
        }
        drop(self.run_dir.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
