//! A store in this process for one test, and the program configured for it.
//!
//! Knows nothing of the tests. Invariant: stores share nothing, so tests run in parallel.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emulator::fault::{FaultPlan, FaultRule};
use emulator::{self, Operation, Record, Server, ServerOptions, StorageLayout};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use super::run::{Ocipipe, Running, ocipipe};

/// A bucket that exists from the start.
pub const BUCKET: &str = "backups";

/// Timeout of a wait; even on a slow machine a wait takes less than a tenth of it.
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

    /// A store with these faults.
    pub fn failing(rules: impl IntoIterator<Item = FaultRule>) -> Store {
        let plan = FaultPlan { faults: rules.into_iter().collect() };
        Store::with(|options| options.faults = plan)
    }

    /// A store that answers `per_mille` of 1,000 requests of every operation with a spurious 404.
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

    /// The folder of this test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file in that folder.
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

    /// `ocipipe put ... oci://backups/NAME` with the smallest part size.
    pub fn put(&self, name: &str) -> Ocipipe {
        self.ocipipe("put --part-size 10MiB").arg(format!("oci://{BUCKET}/{name}"))
    }

    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.server().object(BUCKET, name).unwrap()
    }

    /// The store's record of an object: etag, properties, checksums.
    #[track_caller]
    pub fn object_record(&self, name: &str) -> serde_json::Value {
        let folder = self.server().state_path().join("buckets").join(BUCKET).join("objects");
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let records =
            all.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        records
            .into_iter()
            .find(|record: &serde_json::Value| record["name"] == name)
            .unwrap_or_else(|| panic!("no object {name}"))
    }

    /// Flips the lowest bit of one byte of an object on the disk; its digests stay as they are.
    #[track_caller]
    pub fn flip_at_rest(&self, name: &str, byte: usize) {
        let etag = self.object_record(name)["etag"].as_str().unwrap().to_owned();
        let folder = self.server().state_path().join("buckets").join(BUCKET);
        let mut open = vec![folder];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.file_name().unwrap().to_str().unwrap().contains(&etag) {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[byte] ^= 1;
                return std::fs::write(&path, bytes).unwrap();
            }
        }
        panic!("no file has the bytes of {name}");
    }

    pub fn requests(&self) -> Vec<Record> {
        self.server().requests()
    }

    /// The requests of one operation.
    pub fn requests_of(&self, operation: Operation) -> Vec<Record> {
        self.requests().into_iter().filter(|record| record.operation == operation).collect()
    }

    /// Waits until `count` requests of an operation have had a response, whatever its status.
    #[track_caller]
    pub fn wait_for_requests(&self, operation: Operation, count: usize) {
        let of = |record: &&Record| record.operation == operation;
        let enough = |records: &[Record]| records.iter().filter(of).count() >= count;
        let wait = self.server().wait_for(enough);
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, wait).await });
        assert!(waited.is_ok(), "{operation:?} had no {count} responses");
    }

    /// A future that ends when the log of requests and the number of arrived ones satisfy `enough`,
    /// and the runtime for it.
    pub fn waiting(
        &self,
        enough: impl Fn(&[Record], u64) -> bool + Send + 'static,
    ) -> (Handle, impl Future<Output = ()> + Send + 'static) {
        (self.runtime.handle().clone(), self.server().waiting(enough))
    }

    /// Waits until the log of requests and the number of arrived ones satisfy `enough`, or the run has
    /// ended. The caller checks how it ended.
    #[track_caller]
    pub fn wait_until_or_exit(
        &self,
        run: &Running,
        enough: impl Fn(&[Record], u64) -> bool + Send + 'static,
    ) {
        let (wait, exited) = (self.server().waiting(enough), run.exited());
        let either = async {
            tokio::select! { () = wait => {}, () = exited => {} }
        };
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, either).await });
        assert!(
            waited.is_ok(),
            "the run has not ended, and the requests did not arrive; stderr:\n{}",
            run.stderr_so_far()
        );
    }

    /// Waits until the log of requests satisfies `enough`; after the timeout it panics with `what`.
    #[track_caller]
    pub fn wait_until(&self, what: &str, enough: impl Fn(&[Record]) -> bool) {
        let wait = async { tokio::time::timeout(LIMIT, self.server().wait_for(enough)).await };
        let late = self.runtime.block_on(wait).is_err();
        assert!(!late, "this did not happen: {what}");
    }

    /// Waits until an object exists.
    pub fn wait_for_object(&self, name: &str) {
        while self.object(name).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that there is no object of this name and no open upload.
    #[track_caller]
    pub fn assert_not_stored(&self, name: &str) {
        assert!(self.object(name).is_none(), "an object appeared");
        self.assert_no_open_upload();
    }

    #[track_caller]
    pub fn assert_no_open_upload(&self) {
        assert_eq!(self.server().open_uploads(), [], "an upload is left open");
    }

    /// Starts the server again, on the same port and with its stored data.
    pub fn restart(&mut self) {
        let server = self.runtime.block_on(emulator::start(self.options.clone())).unwrap();
        self.server = Some(server);
    }

    /// Stops the server; its port then refuses connections.
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

/// A file for stdin whose position shows whether anything was read from it.
pub struct UnreadStdin {
    file: File,
}

impl UnreadStdin {
    /// Two handles of one open file with one position: one to check, and one for a program's stdin.
    pub fn new(folder: &Path) -> (UnreadStdin, File) {
        let path = folder.join("unread");
        std::fs::write(&path, super::stream::ramp(4096)).unwrap();
        let file = File::open(path).unwrap();
        let stdin = file.try_clone().unwrap();
        (UnreadStdin { file }, stdin)
    }

    /// Asserts that nothing was read from it.
    #[track_caller]
    pub fn assert_unread(mut self) {
        let position = std::io::Seek::stream_position(&mut self.file).unwrap();
        assert_eq!(position, 0, "stdin was read");
    }
}
