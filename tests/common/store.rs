//! A store in this process for one test, and the program led to it.
//!
//! Knows nothing of what is tested. Invariant: stores share nothing, so tests run side by side.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emulator::fault::{FaultPlan, FaultRule};
use emulator::{self, Operation, Record, Server, ServerOptions, StorageLayout};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use super::run::{Ocipipe, ocipipe};

/// The bucket that is there from the beginning.
pub const BUCKET: &str = "backups";

/// Nothing that a test waits for takes a tenth of it on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

pub struct Store {
    runtime: Runtime,
    server: Option<Server>,
    options: ServerOptions,
    folder: TempDir,
}

impl Store {
    pub fn start() -> Store {
        Store::with(|_| ())
    }

    /// A store on which these things go wrong.
    pub fn failing(rules: impl IntoIterator<Item = FaultRule>) -> Store {
        let plan = FaultPlan { faults: rules.into_iter().collect() };
        Store::with(|options| options.faults = plan)
    }

    /// A store that answers so many in 1,000 requests of every operation with a spurious 404.
    pub fn spurious(per_mille: u16, seed: u64) -> Store {
        Store::failing([FaultRule::spurious(per_mille, seed)])
    }

    pub fn with(change: impl FnOnce(&mut ServerOptions)) -> Store {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ServerOptions::new(folder.path().join("store"), StorageLayout::Durable);
        change(&mut options);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(emulator::start(options.clone())).unwrap();
        options.port = server.address().port();
        Store { runtime, server: Some(server), options, folder }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// A folder of this test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in that folder.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `ocipipe COMMAND` with the config of this store, and its session token unless a profile is given.
    pub fn ocipipe(&self, command: &str) -> Ocipipe {
        ocipipe(command.split_whitespace())
            .within(self.folder())
            .var("OCI_CLI_PROFILE", Server::SESSION)
            .arg("--config-file")
            .arg(self.server().config_path())
            .arg("--endpoint")
            .arg(self.server().url())
            .arg("--auth-endpoint")
            .arg(self.server().url())
    }

    /// `ocipipe put ... oci://backups/NAME` in parts of the smallest size.
    pub fn put(&self, name: &str) -> Ocipipe {
        self.ocipipe("put --part-size 10MiB").arg(format!("oci://{BUCKET}/{name}"))
    }

    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.server().object(BUCKET, name).unwrap()
    }

    /// What the store remembers of an object besides its bytes.
    #[track_caller]
    pub fn about(&self, name: &str) -> serde_json::Value {
        let folder = self.server().state_path().join("buckets").join(BUCKET).join("objects");
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let about = all.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        about
            .into_iter()
            .find(|about: &serde_json::Value| about["name"] == name)
            .unwrap_or_else(|| panic!("no object {name}"))
    }

    pub fn requests(&self) -> Vec<Record> {
        self.server().requests()
    }

    /// The requests of one operation.
    pub fn requests_of(&self, operation: Operation) -> Vec<Record> {
        self.requests().into_iter().filter(|record| record.operation == operation).collect()
    }

    /// Waits until so many requests of an operation have been answered, however.
    #[track_caller]
    pub fn waits_for(&self, operation: Operation, count: usize) {
        let of = |record: &&Record| record.operation == operation;
        let enough = |records: &[Record]| records.iter().filter(of).count() >= count;
        let wait = self.server().wait_for(enough);
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, wait).await });
        assert!(waited.is_ok(), "{operation:?} was not answered {count} times");
    }

    /// What waits until the log of requests, and how many have arrived, satisfy `enough`, and where
    /// it can be waited for.
    pub fn waiting(
        &self,
        enough: impl Fn(&[Record], u64) -> bool + Send + 'static,
    ) -> (Handle, impl Future<Output = ()> + Send + 'static) {
        (self.runtime.handle().clone(), self.server().waiting(enough))
    }

    /// Waits until the log of requests satisfies this; `what` is said where it never does.
    #[track_caller]
    pub fn waits_until(&self, what: &str, enough: impl Fn(&[Record]) -> bool) {
        let wait = async { tokio::time::timeout(LIMIT, self.server().wait_for(enough)).await };
        let late = self.runtime.block_on(wait).is_err();
        assert!(!late, "it never came to this: {what}");
    }

    /// Waits until an object is there.
    pub fn waits_for_object(&self, name: &str) {
        while self.object(name).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nothing of this name is stored, and nothing is left that costs money.
    #[track_caller]
    pub fn has_nothing_of(&self, name: &str) {
        assert!(self.object(name).is_none(), "an object appeared");
        self.has_no_open_upload();
    }

    #[track_caller]
    pub fn has_no_open_upload(&self) {
        assert_eq!(self.server().open_uploads(), [], "an upload is left open");
    }

    /// Starts the server again, on the same port and with what it had stored.
    pub fn start_again(&mut self) {
        let server = self.runtime.block_on(emulator::start(self.options.clone())).unwrap();
        self.server = Some(server);
    }

    /// Stops the server; its port refuses from then on.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A stream whose reading position tells whether anything was read from it.
pub struct Unread {
    ours: File,
}

impl Unread {
    /// A file of some bytes, open twice over one position: for us and for a program's stdin.
    pub fn new(folder: &Path) -> (Unread, File) {
        let path = folder.join("unread");
        std::fs::write(&path, super::stream::ramp(4096)).unwrap();
        let ours = File::open(path).unwrap();
        let theirs = ours.try_clone().unwrap();
        (Unread { ours }, theirs)
    }

    /// Nobody has read from it.
    #[track_caller]
    pub fn stayed_unread(mut self) {
        let position = std::io::Seek::stream_position(&mut self.ours).unwrap();
        assert_eq!(position, 0, "stdin was read");
    }
}
