//! What the progress of an upload shows, read from the machine, the reader and the session.
//!
//! Owns the meaning of the machine's states for progress. Must not know how progress is shown.
//! Invariant: an upload is shown as complete only by `complete_snapshot`, which follows its success.

use super::UploadDriver;
use super::run_state::RunState;
use crate::term::progress::activity::{Blocked, Observation, TransferStage};
use crate::term::progress::{ProgressSnapshot, Transfer};
use proto::upload::StateKind;

impl UploadDriver {
    /// The progress while the upload is in a state.
    pub(super) fn snapshot(&self, run: &RunState<'_>, state: StateKind) -> ProgressSnapshot {
        let (parts_acknowledged, done) = self.upload.acknowledged();
        let stats = run.reader.stats();
        ProgressSnapshot {
            transfer: Transfer::Store,
            read: stats.bytes(),
            done,
            already: self.upload.held_bytes(),
            parts_acknowledged,
            in_flight: self.upload.in_flight() as u32,
            retries: self.upload.retries(),
            token_left: self.client.access.token_left(),
            expected: run.expected_size,
            elapsed: self.now(),
            seen: Observation {
                stage: stage(state, self.upload.has_only_parts_left()),
                blocked: match (stats.waits_for_buffer(), stats.waits_for_source()) {
                    (true, _) => Blocked::ByLine,
                    (false, true) => Blocked::BySource,
                    (false, false) => Blocked::No,
                },
                outage: self.upload.is_in_outage(),
                awaits_token: self.client.access.is_awaited(),
            },
        }
    }

    /// The progress of an object that is stored and verified.
    pub(super) fn complete_snapshot(&self, run: &RunState<'_>) -> ProgressSnapshot {
        let snapshot = self.snapshot(run, StateKind::Finished);
        let seen = Observation { stage: TransferStage::Complete, ..Observation::default() };
        let expected = snapshot.expected.map(|_| snapshot.read);
        ProgressSnapshot { done: snapshot.read, expected, seen, ..snapshot }
    }
}

/// How far an upload in this state has come; `parts_left` where only parts are left to be sent.
fn stage(state: StateKind, parts_left: bool) -> TransferStage {
    match state {
        StateKind::Streaming if parts_left => TransferStage::LastParts,
        StateKind::Streaming => TransferStage::Streaming,
        StateKind::Storing => TransferStage::Storing,
        StateKind::Committing | StateKind::Resolving | StateKind::RelistingParts => {
            TransferStage::Committing
        }
        StateKind::Verifying => TransferStage::Verifying,
        StateKind::Aborting
        | StateKind::Deleting
        | StateKind::ListingOrphans
        | StateKind::Finished => TransferStage::CleaningUp,
    }
}
