//! One restore drill: a put that is killed at a random moment, the put that goes on, and the get,
//! with session tokens that live 20 s.
//!
//! Owns the server and the seed. Must not know producers. Invariant: the put that ends and each get
//! outlive the token that they begin with.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::run::{Done, Ocipipe, Running};
use crate::common::serve::Serve;

/// Seconds that a token lives.
const TOKEN_LIFE: u64 = 20;

/// Seconds that a run takes at least, because its rate is limited.
const RUN: u64 = TOKEN_LIFE + 3;

/// Seconds that the run which is killed would take.
const KILLED_RUN: u64 = 7;

const OBJECT: &str = "oci://backups/drill";

const PART: u64 = 10 << 20;

/// The put that went on, with the numbers of parts that the service held before and that it sent.
pub struct Resumed {
    pub done: Done,
    held: u64,
    sent: u64,
}

impl Resumed {
    /// Asserts that of the parts that the service held at most this many were sent again.
    #[track_caller]
    pub fn sent_again_at_most(&self, most: u64) {
        let parts = self.done.receipt()["parts"].as_u64().unwrap();
        let (held, sent) = (self.held, self.sent);
        assert!(
            sent + held <= parts + most,
            "of {parts} parts {held} were held and {sent} were sent:\n{}",
            self.done.stderr
        );
    }
}

/// A server with tokens of a short life, and the object of the drill.
pub struct Drill {
    serve: Serve,
    /// Bytes of the stream, about.
    size: u64,
    random: fastrand::Rng,
    paced_by_source: bool,
}

impl Drill {
    /// A drill with a stream of about this many bytes. The seed is that of `OCIPIPE_SEED`, or random.
    pub fn start(what: &str, size: u64) -> Drill {
        let given = std::env::var("OCIPIPE_SEED").ok();
        let seed = given.map_or_else(|| fastrand::u64(..1 << 32), |seed| seed.parse().unwrap());
        println!("{what}: OCIPIPE_SEED={seed}");
        assert!((100 << 20..350 << 20).contains(&size), "{what} has {size} bytes");
        let serve = Serve::start(["--token-ttl", &format!("{TOKEN_LIFE}s")]);
        Drill { serve, size, random: fastrand::Rng::with_seed(seed), paced_by_source: false }
    }

    /// The same, with a producer that limits its rate to `rate` in the second put.
    pub fn paced_by_source(self) -> Drill {
        Drill { paced_by_source: true, ..self }
    }

    /// Bytes per second of a run that outlives a token.
    pub fn rate(&self) -> u64 {
        self.size / RUN
    }

    /// `ocipipe put OPTIONS`, with at most this many bytes per second.
    fn put(&self, options: &str, rate: u64) -> Ocipipe {
        let common = "--auth security_token --part-size 10MiB --parallel-upload-count 2";
        let line = format!("put {common} --bwlimit {}KiB {options} {OBJECT}", rate.div_ceil(1024));
        self.serve.command(&line)
    }

    /// Kills a put at a random moment by SIGKILL. `source` gives it its stream.
    #[track_caller]
    pub fn put_is_killed(&mut self, options: &str, source: impl FnOnce(Ocipipe) -> Running) {
        let millis = self.random.u64(500..(KILLED_RUN - 1) * 1000);
        let run = source(self.put(options, self.size / KILLED_RUN));
        std::thread::sleep(Duration::from_millis(millis));
        run.signal(Signal::KILL);
        let done = run.wait_with_open_stdin();
        assert_eq!(done.status.code(), None, "the put was to be killed:\n{}", done.stderr);
        println!("killed after {millis} ms, with {} parts stored", self.stored_parts());
    }

    /// Goes on with the upload.
    #[track_caller]
    pub fn put_is_resumed(
        &self,
        options: &str,
        source: impl FnOnce(Ocipipe) -> Running,
    ) -> Resumed {
        let held = self.stored_parts();
        let unsent = self.size.saturating_sub(held * PART).max(PART);
        let rate = if self.paced_by_source { self.size } else { unsent / RUN };
        let put = self.put(&format!("--resume {options}"), rate);
        let done = source(put).wait_with_open_stdin().exits(0);
        if held > 0 {
            assert!(done.stderr.contains("resuming the open upload"), "{}", done.stderr);
        }
        let sent = self.stored_parts() - held;
        println!("went on in {:?}: {held} parts were held, {sent} were sent", done.took);
        assert!(done.took > Duration::from_secs(TOKEN_LIFE), "it took {:?}", done.took);
        let receipt = done.receipt();
        assert!(receipt["token-refreshes"].as_u64().unwrap() > 0, "{receipt}");
        assert_eq!(receipt["auth"], "security_token");
        Resumed { done, held, sent }
    }

    /// Reads the object into stdin of what `reader` starts, which must succeed.
    #[track_caller]
    pub fn get_into(&self, reader: &mut std::process::Command) {
        let renewed = self.renewals();
        let rate = self.rate() / 1024;
        let line =
            format!("get --auth security_token --part-size 4MiB --bwlimit {rate}KiB {OBJECT}");
        let mut reader = reader.stdin(Stdio::piped()).spawn().unwrap();
        let get = self.serve.command(&line).stdout_to(reader.stdin.take().unwrap()).start();
        let status = reader.wait().unwrap();
        let done = get.wait().exits(0).stderr_has(&["verified by"]);
        assert!(status.success(), "the reader: {status}");
        println!("read back in {:?}", done.took);
        assert!(done.took > Duration::from_secs(TOKEN_LIFE), "it took {:?}", done.took);
        assert!(self.renewals() > renewed, "the token was not renewed:\n{}", done.stderr);
    }

    /// Asserts that nothing is left open; ends the server.
    #[track_caller]
    pub fn ends(self) {
        let list = self.serve.command("uploads list --bucket-name backups").run().exits(0);
        assert_eq!(list.receipt()["data"], serde_json::json!([]));
        self.serve.stop();
    }

    fn succeeded(&self, operation: &str) -> u64 {
        let of = |record: &&serde_json::Value| {
            record["operation"] == operation && record["status"] == 200
        };
        self.serve.log().iter().filter(of).count() as u64
    }

    fn stored_parts(&self) -> u64 {
        self.succeeded("UploadPart")
    }

    fn renewals(&self) -> u64 {
        self.succeeded("RefreshToken")
    }
}
