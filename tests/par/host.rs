//! A store with one PAR, and a host that holds its URL in a file and has no credentials.
//!
//! Knows nothing of the tests. Invariant: after each run its output is searched for the secret.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use emulator::fault::FaultRule;
use emulator::{AccessType, CreatedPar, NewPar, ParOptions};

use crate::common::run::{Done, Ocipipe, ocipipe};
use crate::common::store::{BUCKET, Store};
use crate::common::stream::{PART, ramp};

/// A stream of three parts, and one of a single request.
pub const LONG: usize = 2 * PART + 17;
pub const SHORT: usize = 1234;

pub struct Host {
    pub store: Store,
    pub par: CreatedPar,
}

/// A PAR for the object `x` that may write and not read.
pub fn write_only() -> NewPar {
    NewPar::object(BUCKET, "x").access(AccessType::ObjectWrite)
}

/// A PAR for the object `x` that may write and read.
pub fn read_write() -> NewPar {
    NewPar::object(BUCKET, "x")
}

impl Host {
    pub fn new(par: NewPar) -> Host {
        Host::with(par, ParOptions::default(), [])
    }

    pub fn failing(par: NewPar, rules: impl IntoIterator<Item = FaultRule>) -> Host {
        Host::with(par, ParOptions::default(), rules)
    }

    pub fn with(
        par: NewPar,
        options: ParOptions,
        rules: impl IntoIterator<Item = FaultRule>,
    ) -> Host {
        let store = Store::failing(rules);
        store.server().set_par_options(options);
        let par = store.server().create_par(par).unwrap();
        Host { store, par }
    }

    /// The secret of the URL.
    pub fn secret(&self) -> &str {
        secret_of(&self.par.url)
    }

    /// A file with this text, which only its owner may read.
    pub fn private_file(&self, text: &str) -> PathBuf {
        let path = self.store.file("par", text);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// `ocipipe put --par-file FILE` with the smallest part size.
    pub fn put(&self) -> Ocipipe {
        let file = self.private_file(&format!("{}\n", self.par.url));
        ocipipe("put --part-size 10MiB --par-file".split(' ')).arg(file).within(self.store.folder())
    }

    /// Runs to the end, and asserts that no output has a secret.
    #[track_caller]
    pub fn run(&self, put: Ocipipe) -> Done {
        let done = put.run();
        self.assert_hidden(&done);
        done
    }

    /// Stores a stream of this length.
    #[track_caller]
    pub fn store_stream(&self, length: usize, options: &str) -> Done {
        self.run(self.put().args(options).stdin(ramp(length)))
    }

    /// Asserts that neither stdout nor stderr has the secret of the URL or of an upload.
    #[track_caller]
    pub fn assert_hidden(&self, done: &Done) {
        let shown = format!("{}{}", done.stdout, done.stderr);
        assert!(!shown.contains(self.secret()), "the secret is shown:\n{shown}");
        for (at, _) in shown.match_indices("/p/") {
            assert!(shown[at..].starts_with("/p/***/"), "a secret is shown:\n{}", &shown[at..]);
        }
    }
}

/// The secret of a URL.
pub fn secret_of(url: &str) -> &str {
    url.split("/p/").nth(1).unwrap().split('/').next().unwrap()
}
