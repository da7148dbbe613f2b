//! A store with short-lived tokens, a client with its own credential files, and a stream that a
//! test sends part by part.
//!
//! The client's key and token are in a folder of their own, so that a test decides when, and in
//! which state, the credentials that the store has issued arrive there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use emulator::{Operation, Record, ServerOptions};

use crate::common::run::{Done, Ocipipe, Running, ocipipe};
use crate::common::store::{BUCKET, Store};
use crate::common::stream::{PART, Ramp, assert_same, ramp};

/// Lifetime in seconds of a token that does not expire during a test.
pub const LONG: u64 = 3600;

/// Runs each scenario in a thread and fails with the names of those that failed.
pub fn together(scenarios: &[(&'static str, fn())]) {
    let threads: Vec<_> = scenarios
        .iter()
        .map(|&(name, scenario)| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            (name, thread.spawn(scenario).unwrap())
        })
        .collect();
    let failed: Vec<_> = threads
        .into_iter()
        .filter_map(|(name, thread)| thread.join().is_err().then_some(name))
        .collect();
    assert!(failed.is_empty(), "failed scenarios: {failed:?}");
}

pub struct Fixture {
    pub store: Store,
    home: PathBuf,
}

impl Fixture {
    /// A store whose tokens last `lifetime` seconds, and a client that has just logged in.
    pub fn new(lifetime: u64) -> Fixture {
        Fixture::with(lifetime, |_| ())
    }

    pub fn with(lifetime: u64, change: impl FnOnce(&mut ServerOptions)) -> Fixture {
        let store = Store::with(|options| {
            options.token_ttl = Duration::from_secs(lifetime);
            change(options);
        });
        let home = store.folder().join("home");
        fs::create_dir(&home).unwrap();
        let fixture = Fixture { store, home };
        let server = fixture.store.server();
        let config = fs::read_to_string(server.config_path()).unwrap();
        let server_dir = server.state_path().to_str().unwrap();
        write_private(
            &fixture.config(),
            config.replace(server_dir, fixture.home.to_str().unwrap()),
        );
        fixture.copy_key();
        // A new login, because part of the first token's lifetime has passed.
        fixture.log_in();
        fixture.copy_token();
        fixture
    }

    pub fn config(&self) -> PathBuf {
        self.home.join("config")
    }

    pub fn key(&self) -> PathBuf {
        self.home.join("key.pem")
    }

    pub fn token(&self) -> PathBuf {
        self.home.join("token")
    }

    pub fn home(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// `ocipipe COMMAND` with the client's profile.
    pub fn ocipipe(&self, command: &str) -> Ocipipe {
        let url = self.store.server().url();
        ocipipe(command.split_whitespace())
            .within(&self.home)
            .var("OCI_CLI_PROFILE", "SESSION")
            .arg("--config-file")
            .arg(self.config())
            .args(&format!("--endpoint {url} --auth-endpoint {url}"))
    }

    pub fn put(&self) -> Ocipipe {
        self.put_as("x")
    }

    pub fn put_as(&self, name: &str) -> Ocipipe {
        self.ocipipe("put --part-size 10MiB").arg(format!("oci://{BUCKET}/{name}"))
    }

    /// Logs in without changing the client's files; returns the token.
    pub fn log_in(&self) -> String {
        self.store.server().log_in().unwrap()
    }

    /// The same with a new key.
    pub fn log_in_with_new_key(&self) -> String {
        self.store.server().log_in_with_new_key().unwrap()
    }

    /// Copies the store's current key to the client.
    pub fn copy_key(&self) {
        write_private(&self.key(), fs::read(self.store.server().key_path()).unwrap());
    }

    /// Copies the store's current token to the client.
    pub fn copy_token(&self) {
        write_private(&self.token(), fs::read(self.store.server().token_path()).unwrap());
    }

    /// Opens and empties the token file in place, as `oci session refresh` does.
    pub fn truncate_token(&self) -> File {
        File::create(self.token()).unwrap()
    }

    /// Starts a run to which the test sends the stream part by part.
    pub fn start_stream(&self, run: Ocipipe) -> Stream {
        let (run, ramp) = (run.stdin_pipe().start(), Ramp::default());
        Stream { run, ramp, parts: 0 }
    }

    /// Sends the next part, and waits until the store has it.
    #[track_caller]
    pub fn store_part(&self, stream: &mut Stream) {
        stream.send_part();
        let stored = |records: &[Record]| stored_parts(records) >= stream.parts;
        let what =
            format!("part {} is stored; stderr:\n{}", stream.parts, stream.run.stderr_so_far());
        self.store.wait_until(&what, stored);
    }

    #[track_caller]
    pub fn store_parts(&self, stream: &mut Stream, count: usize) {
        (0..count).for_each(|_| self.store_part(stream));
    }

    /// Waits until `count` refreshes have succeeded.
    #[track_caller]
    pub fn wait_for_refreshes(&self, count: usize) {
        self.store.wait_until(&format!("{count} refreshes"), |records| {
            records.iter().filter(|r| is_refresh(r) && r.status == 200).count() >= count
        });
    }

    /// Waits until Object Storage has answered `count` requests with 401.
    #[track_caller]
    pub fn wait_for_401s(&self, count: usize) {
        self.store.wait_until(&format!("{count} 401s"), |records| {
            records.iter().filter(|r| is_401(r)).count() >= count
        });
    }

    /// Ends the stream and checks the object, that no upload is open, and the number of 401s of
    /// Object Storage.
    #[track_caller]
    pub fn finish(&self, stream: Stream, max_401s: usize) -> Done {
        let length = stream.length();
        let done = stream.run.wait().exits(0);
        assert_eq!(done.receipt()["size"], length);
        assert_same(&self.store.object("x").unwrap(), &ramp(length));
        self.store.assert_no_open_upload();
        self.assert_max_401s(max_401s, &done);
        done
    }

    #[track_caller]
    pub fn assert_max_401s(&self, max_401s: usize, done: &Done) {
        let requests = self.store.requests();
        // The list of open uploads runs beside the others, and can meet the same token.
        let counts = |record: &&Record| record.operation != Operation::ListMultipartUploads;
        let rejected: Vec<_> =
            requests.iter().filter(|record| is_401(record)).filter(counts).collect();
        assert!(rejected.len() <= max_401s, "{rejected:#?}\n{}", done.stderr);
        // No part is sent twice with a token that was rejected.
        for record in rejected.iter().filter(|r| r.operation == Operation::UploadPart) {
            let same = |r: &&&Record| (r.part, r.presented) == (record.part, record.presented);
            assert_eq!(rejected.iter().filter(same).count(), 1, "{rejected:#?}");
        }
    }

    /// The requests for a refreshed token.
    pub fn refreshes(&self) -> Vec<Record> {
        self.store.requests_of(Operation::RefreshToken)
    }

    /// The generations of the tokens of the part requests, in the order of their first use.
    pub fn generations(&self) -> Vec<u64> {
        let mut used = Vec::new();
        for record in self.store.requests_of(Operation::UploadPart) {
            if let Some(generation) = record.generation
                && !used.contains(&generation)
            {
                used.push(generation);
            }
        }
        used
    }

    #[track_caller]
    pub fn token_is_private(&self) {
        let mode = fs::metadata(self.token()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// A stream in progress.
pub struct Stream {
    pub run: Running,
    ramp: Ramp,
    parts: usize,
}

impl Stream {
    /// Writes the next part; after the first also one byte, so that a multipart upload starts.
    pub fn send_part(&mut self) {
        let length = PART + usize::from(self.parts == 0);
        self.parts += 1;
        self.run.write(&self.ramp.take(length));
    }

    pub fn length(&self) -> usize {
        self.parts * PART + usize::from(self.parts > 0)
    }
}

/// Whether Object Storage answered with 401.
pub fn is_401(record: &Record) -> bool {
    record.status == 401 && !is_refresh(record)
}

pub fn is_refresh(record: &Record) -> bool {
    record.operation == Operation::RefreshToken
}

fn stored_parts(records: &[Record]) -> usize {
    let stored = |r: &&Record| r.operation == Operation::UploadPart && r.status == 200;
    let parts: std::collections::BTreeSet<_> =
        records.iter().filter(stored).map(|record| record.part).collect();
    parts.len()
}

/// Writes a file atomically that only its owner may read.
pub fn write_private(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    fs::rename(temporary, path).unwrap();
}
