//! Uploads that runs leave open.
//!
//! Knows nothing of what continues them. Invariant: a run is killed only after the parts that the test asks
//! for were stored.

use emulator::Operation::UploadPart;
use emulator::Record;
use rustix::process::Signal;

use super::run::{Ocipipe, Running};
use super::store::Store;

impl Store {
    /// The ids of the open uploads.
    pub fn open_ids(&self) -> Vec<String> {
        self.server().open_uploads().into_iter().map(|(_, _, id)| id).collect()
    }

    /// The id of the one open upload.
    #[track_caller]
    pub fn open_id(&self) -> String {
        let [id] = <[String; 1]>::try_from(self.open_ids()).unwrap();
        id
    }

    /// Runs a put and kills it when `parts` parts have been stored. The stream is `bytes`, and does not end.
    #[track_caller]
    pub fn kill_put(&self, put: Ocipipe, bytes: &[u8], parts: usize) {
        let stored = |record: &&Record| record.operation == UploadPart && record.status == 200;
        let count = move |records: &[Record]| records.iter().filter(stored).count();
        let before = count(&self.requests());
        let mut run: Running = put.stdin_pipe().start();
        let mut stdin = run.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut stdin, &bytes);
            stdin
        });
        self.wait_until("parts are stored", |records| count(records) >= before + parts);
        run.signal(Signal::KILL);
        run.wait_with_open_stdin();
        drop(writer.join());
    }
}
