//! A store with short tokens, a login of a client's own, and a stream that is sent part by part.
//!
//! The client's key and token lie in a folder of their own, so that a test decides when, and in
//! which state, what the store has issued arrives there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use emulator::{Operation, Record, ServerOptions};

use crate::common::run::{Done, Ocipipe, Running, ocipipe};
use crate::common::store::{BUCKET, Store};
use crate::common::stream::{PART, Ramp, assert_same, ramp};

/// Of a token that does not end while a test runs.
pub const LONG: u64 = 3600;

/// Runs each scenario in a thread of its own and names those that failed.
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
    assert!(failed.is_empty(), "these failed: {failed:?}");
}

pub struct Fixture {
    pub store: Store,
    home: PathBuf,
}

impl Fixture {
    /// A store whose tokens last so many seconds, and a client that has just logged in.
    pub fn new(life: u64) -> Fixture {
        Fixture::with(life, |_| ())
    }

    pub fn with(life: u64, change: impl FnOnce(&mut ServerOptions)) -> Fixture {
        let store = Store::with(|options| {
            options.token_ttl = Duration::from_secs(life);
            change(options);
        });
        let home = store.folder().join("home");
        fs::create_dir(&home).unwrap();
        let fixture = Fixture { store, home };
        let server = fixture.store.server();
        let config = fs::read_to_string(server.config_path()).unwrap();
        let theirs = server.state_path().to_str().unwrap();
        write_private(&fixture.config(), config.replace(theirs, fixture.home.to_str().unwrap()));
        fixture.copy_key();
        // The first token began to end while all this was made ready.
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

    /// A login that the client's files know nothing of yet: its token.
    pub fn log_in(&self) -> String {
        self.store.server().log_in().unwrap()
    }

    /// The same with another key.
    pub fn log_in_with_new_key(&self) -> String {
        self.store.server().log_in_with_new_key().unwrap()
    }

    /// The store's present key arrives at the client.
    pub fn copy_key(&self) {
        write_private(&self.key(), fs::read(self.store.server().key_path()).unwrap());
    }

    /// The store's present token arrives at the client.
    pub fn copy_token(&self) {
        write_private(&self.token(), fs::read(self.store.server().token_path()).unwrap());
    }

    /// The token file opened as `oci session refresh` does, in place: it is empty from now on.
    pub fn truncate_token(&self) -> File {
        File::create(self.token()).unwrap()
    }

    /// Starts a run whose stream the test sends part by part.
    pub fn start_stream(&self, run: Ocipipe) -> Stream {
        let (run, ramp) = (run.stdin_pipe().start(), Ramp::default());
        Stream { run, ramp, parts: 0 }
    }

    /// Sends one part more, and waits until the store has it.
    #[track_caller]
    pub fn store_part(&self, stream: &mut Stream) {
        stream.send_part();
        let stored = |records: &[Record]| stored_parts(records) >= stream.parts;
        let what =
            format!("part {} is stored; it said:\n{}", stream.parts, stream.run.stderr_so_far());
        self.store.wait_until(&what, stored);
    }

    #[track_caller]
    pub fn store_parts(&self, stream: &mut Stream, count: usize) {
        (0..count).for_each(|_| self.store_part(stream));
    }

    /// Waits until the auth service has answered so many refreshes with a token.
    #[track_caller]
    pub fn wait_for_refreshes(&self, count: usize) {
        self.store.wait_until(&format!("{count} refreshes"), |records| {
            records.iter().filter(|r| is_refresh(r) && r.status == 200).count() >= count
        });
    }

    /// Waits until Object Storage has refused so many requests.
    #[track_caller]
    pub fn wait_for_401s(&self, count: usize) {
        self.store.wait_until(&format!("{count} refusals"), |records| {
            records.iter().filter(|r| is_401(r)).count() >= count
        });
    }

    /// The end of the stream; the object is whole and nothing is left open. Of the requests to
    /// Object Storage, no more were refused than the scenario allows.
    #[track_caller]
    pub fn finish(&self, stream: Stream, refusals: usize) -> Done {
        let length = stream.length();
        let done = stream.run.wait().exits(0);
        assert_eq!(done.receipt()["size"], length);
        assert_same(&self.store.object("x").unwrap(), &ramp(length));
        self.store.assert_no_open_upload();
        self.assert_max_401s(refusals, &done);
        done
    }

    #[track_caller]
    pub fn assert_max_401s(&self, refusals: usize, done: &Done) {
        let requests = self.store.requests();
        let refused: Vec<_> = requests.iter().filter(|record| is_401(record)).collect();
        assert!(refused.len() <= refusals, "{refused:#?}\n{}", done.stderr);
        // No part is sent twice with a token that was refused.
        for record in refused.iter().filter(|r| r.operation == Operation::UploadPart) {
            let same = |r: &&&Record| (r.part, r.presented) == (record.part, record.presented);
            assert_eq!(refused.iter().filter(same).count(), 1, "{refused:#?}");
        }
    }

    /// The requests for a new token.
    pub fn refreshes(&self) -> Vec<Record> {
        self.store.requests_of(Operation::RefreshToken)
    }

    /// The tokens that parts were stored with, by their count, in the order of their first use.
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

/// A stream under way.
pub struct Stream {
    pub run: Running,
    ramp: Ramp,
    parts: usize,
}

impl Stream {
    /// One part more can be sent, and one byte of the next is there.
    pub fn send_part(&mut self) {
        let length = PART + usize::from(self.parts == 0);
        self.parts += 1;
        self.run.write(&self.ramp.take(length));
    }

    pub fn length(&self) -> usize {
        self.parts * PART + usize::from(self.parts > 0)
    }
}

/// Refused by Object Storage.
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

/// A file that only its owner may read, all at once.
pub fn write_private(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    fs::rename(fresh, path).unwrap();
}
