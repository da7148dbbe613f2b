//! What a server opens on disk and creates before its first request.
//!
//! Owns the order of these steps; knows no socket and no request. Invariant: everything is written
//! below the folder of the options, and a failure leaves no running server.

use super::auth::{Authenticator, TokenPolicy};
use super::call_counts::CallCounters;
use super::clock::{self, Clock};
use super::context::ServerState;
use super::delay::DelayedRequests;
use super::fault::FaultInjector;
use super::instance::MetadataService;
use super::log::Log;
use super::par::registry::ParRegistry;
use super::plain_files::PlainFileStore;
use super::policy::Policy;
use super::principals::PrincipalServices;
use super::run_dir::RunDir;
use super::server_options::{ServerOptions, StorageLayout};
use super::state_dir::{self, StateDir};
use super::store::ObjectStore;
use super::store::durable::DurableStore;
use super::store::uploads::UploadRegistry;
use super::tls;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsAcceptor;

/// The buckets of a new durable store.
const INITIAL_BUCKETS: [&str; 2] = ["demo", "backups"];

/// What is opened on disk before the first request.
pub(crate) struct Opened {
    pub state: ServerState,
    pub state_dir: StateDir,
    pub tls: TlsAcceptor,
    /// Present with `ServerOptions::principals`.
    pub oke_tls: Option<TlsAcceptor>,
    pub run_dir: Option<RunDir>,
}

/// Opens the folder, the store and the state of a server. Fails if the folder cannot be written or
/// a file in it is damaged.
pub(crate) fn open(options: ServerOptions) -> io::Result<Opened> {
    let clock = Clock::with_offset(options.clock_offset);
    let (path, run_dir) = match options.layout {
        StorageLayout::Durable => {
            state_dir::create_private(&options.dir)?;
            (options.dir.clone(), None)
        }
        StorageLayout::PlainFiles => {
            let run_dir = RunDir::create(&options.dir)?;
            (run_dir.path().to_owned(), Some(run_dir))
        }
    };
    let store: Arc<dyn ObjectStore> = match options.layout {
        StorageLayout::Durable => {
            let (dir, now) = (options.dir.join("buckets"), clock::millis(clock.now()));
            Arc::new(DurableStore::open(&dir, &INITIAL_BUCKETS, now)?)
        }
        StorageLayout::PlainFiles => Arc::new(PlainFileStore::open(&options.dir)?),
    };
    let state_dir = StateDir::new(&path)?;
    // The last names are for clients that build host names from the region, which is in the config
    // or from the metadata service.
    let region = format!("*.{}.localhost", state_dir::REGION);
    let instance = format!("*.{}.{}", options.instance.region, options.instance.realm_domain);
    let mut names = vec!["localhost", "127.0.0.1", &region, &instance];
    names.dedup();
    let (tls, ca) = tls::ephemeral(&names)?;
    state_dir.write_ca(&ca)?;
    let log_file = options.log_file.then(|| open_log(&state_dir)).transpose()?;
    let authenticator =
        Authenticator::open(state_dir.clone(), token_policy(&options), clock.now())?;
    let mut oke_tls = None;
    let mut principals = None;
    if options.principals {
        let (dir, settings) = (state_dir.path(), options.principal_options);
        let services = PrincipalServices::open(dir, &authenticator, settings, clock.now())?;
        principals = Some(Box::new(services));
        let (tls, ca) = tls::ephemeral(&["localhost", "127.0.0.1", "::1"])?;
        state_dir::write_private(&dir.join("oke/ca.crt"), ca.as_bytes())?;
        oke_tls = Some(tls);
    }
    let uploads = UploadRegistry::open(&path.join("uploads"))?;
    let open: HashSet<String> = uploads.list(None).into_iter().map(|record| record.id).collect();
    let pars = ParRegistry::open(state_dir.path(), options.pars, |id| open.contains(id))?;
    let state = ServerState {
        metadata: Arc::new(MetadataService::new(options.instance, clock.now())?),
        authenticator,
        clock,
        store,
        uploads: Arc::new(uploads),
        injector: Mutex::new(FaultInjector::new(options.faults)),
        log: Arc::new(Log::new(log_file)),
        counters: CallCounters::default(),
        principals,
        pars: Arc::new(pars),
        delayed: DelayedRequests::default(),
        policy: Mutex::new(Policy { rights: options.rights, buckets: options.buckets }),
        page_size: Mutex::new(options.page_size.max(1)),
        recheck_token_after_body: options.recheck_token_after_body,
    };
    Ok(Opened { state, state_dir, tls, oke_tls, run_dir })
}

/// Opens the log of requests in the state folder.
fn open_log(state_dir: &StateDir) -> io::Result<File> {
    let path = state_dir.path().join("requests.jsonl");
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn token_policy(options: &ServerOptions) -> TokenPolicy {
    TokenPolicy {
        token: options.token_ttl,
        principal: options.principal_token_ttl,
        delegation: options.instance.delegation_life(),
        delegation_grace: options.instance.delegation_grace(),
        session: options.session,
        refresh: options.refresh,
        grace: options.grace,
        padding: options.token_padding,
    }
}
