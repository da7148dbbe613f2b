//! A host whose processes sign in by one mode, and the store that it uses.
//!
//! Owns the variables of the mode. Must not know what a test does. Invariant: a run has the variables of
//! its mode and those that a test adds, and no config file unless the mode needs one.

use std::fs;
use std::time::Duration;

use emulator::fault::{Fault, FaultResponse, FaultRule};
use emulator::{CallKind, Operation, Record, ServerOptions};

use crate::common::run::{Done, Ocipipe, Running, ocipipe};
use crate::common::store::{BUCKET, Store};
use crate::common::stream::{PART, Ramp, assert_same};

/// Every file of variables that the emulator writes for a principal.
pub const MODES: [&str; 9] = [
    "instance_principal",
    "instance_obo_user",
    "resource_principal",
    "resource_principal_1.1",
    "resource_principal_2.1",
    "resource_principal_2.1.1",
    "resource_principal_2.1.2",
    "oke_workload_identity",
    "token_exchange",
];

/// Seconds; a token that does not expire during a test.
pub const LONG: u64 = 3600;

/// Runs each scenario in a thread and fails with the names of those that failed.
pub fn together<T: Copy + Send + std::fmt::Debug + 'static>(cases: &[T], scenario: fn(T)) {
    let threads: Vec<_> = cases
        .iter()
        .map(|&case| {
            let thread = std::thread::Builder::new().name(format!("{case:?}"));
            (case, thread.spawn(move || scenario(case)).unwrap())
        })
        .collect();
    let failed: Vec<_> = threads
        .into_iter()
        .filter_map(|(case, thread)| thread.join().is_err().then_some(case))
        .collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}

pub struct Host {
    pub store: Store,
    vars: Vec<(String, String)>,
}

impl Host {
    /// A host of this mode, whose tokens last `lifetime` seconds.
    pub fn new(mode: &str, lifetime: u64) -> Host {
        Host::with(mode, lifetime, |_| ())
    }

    pub fn with(mode: &str, lifetime: u64, change: impl FnOnce(&mut ServerOptions)) -> Host {
        let store = Store::with(|options| {
            options.principals = true;
            options.principal_token_ttl = Duration::from_secs(lifetime);
            change(options);
        });
        let file = store.server().env_dir().unwrap().join(mode);
        let vars = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let vars = vars
            .lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Host { store, vars }
    }

    /// The same host with another value of a variable; none if it is empty.
    pub fn var(mut self, name: &str, value: &str) -> Host {
        self.vars.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.vars.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The value of a variable of the mode.
    pub fn value(&self, name: &str) -> &str {
        &self.vars.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// `ocipipe COMMAND` on this host.
    pub fn ocipipe(&self, command: &str) -> Ocipipe {
        let run = ocipipe(command.split_whitespace()).within(self.store.folder());
        self.vars.iter().fold(run, |run, (name, value)| run.var(name, value))
    }

    /// `ocipipe put ... oci://backups/NAME` with the smallest part size.
    pub fn put(&self, name: &str) -> Ocipipe {
        self.ocipipe("put --part-size 10MiB").arg(format!("oci://{BUCKET}/{name}"))
    }

    pub fn count(&self, kind: CallKind) -> u64 {
        self.store.server().counts().of(kind)
    }

    /// The requests to Object Storage that got a 401.
    pub fn rejected(&self) -> usize {
        let of_storage =
            |record: &&Record| CallKind::of(record.operation) == Some(CallKind::Storage);
        let records = self.store.requests();
        records.iter().filter(of_storage).filter(|record| record.status == 401).count()
    }

    /// The tokens that signed accepted requests of an operation, in the order of their first use.
    pub fn tokens(&self, operation: Operation) -> Vec<String> {
        tokens(&self.store.requests_of(operation))
    }
}

/// A run of `put` whose producer sends one part after the other.
pub struct Feed<'a> {
    host: &'a Host,
    pub run: Running,
    stream: Ramp,
    /// What was written to the run.
    pub sent: Vec<u8>,
}

impl<'a> Feed<'a> {
    pub fn start(host: &'a Host, put: Ocipipe) -> Feed<'a> {
        let run = put.stdin_pipe().start();
        Feed { host, run, stream: Ramp::default(), sent: Vec::new() }
    }

    /// Writes one part. A byte of the next one shows the program that the stream is no single part.
    pub fn write(&mut self) {
        let length = if self.sent.is_empty() { PART + 1 } else { PART };
        let piece = self.stream.take(length);
        self.run.write(&piece);
        self.sent.extend(piece);
    }

    /// Writes one part and waits until it was answered, whatever the status.
    #[track_caller]
    pub fn part(&mut self) {
        self.write();
        self.host.store.wait_for_requests(Operation::UploadPart, self.sent.len() / PART);
    }

    /// Writes parts at a producer's pace until they were signed by this many tokens.
    #[track_caller]
    pub fn until_tokens(&mut self, count: usize) {
        while self.host.tokens(Operation::UploadPart).len() < count {
            self.part();
            std::thread::sleep(Duration::from_millis(700));
        }
    }

    /// Ends the stream and waits for the end of the run, which must be exit code 0.
    #[track_caller]
    pub fn finish(mut self) -> Done {
        self.run.close_stdin();
        let done = self.run.wait().exits(0);
        assert_same(&self.host.store.object("x").unwrap(), &self.sent);
        done
    }
}

/// The tokens that signed these requests, in the order of their first use.
pub fn tokens(records: &[Record]) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for record in records.iter().filter(|record| (200..300).contains(&record.status)) {
        let Some(token) = &record.token else { continue };
        if !tokens.contains(token) {
            tokens.push(token.clone());
        }
    }
    tokens
}

/// A rule that answers a call with this status.
pub fn refuse(operation: Operation, status: u16) -> FaultRule {
    FaultRule::on(operation, Fault::Refuse(FaultResponse::status(status)))
}
