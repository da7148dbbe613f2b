//! How a run ends that does not end well: failing, stopping, aborting, naming what is left.
//!
//! Owns the way from the first cause to the exit. Knows nothing of how the cause came about.
//! Invariant: the first cause wins, the source is let go of at once, and an upload that could not
//! be aborted is named together with the command that does it. Nothing that follows a signal lasts
//! longer than a stop may.

use super::{Action, Before, Call, Creation, Now, Phase, Stored, Upload};
use crate::error::{Error, Kind};
use crate::oci::api::{Held, ListedUpload};
use crate::retry::{self, Failure, Operation};

/// How long an abort, or settling after a signal, may take: a stop has to be over within 10 s.
pub(super) const STOP_WITHIN: Now = Now::from_millis(9_500);
/// Of these, what had been sent for good may take this long, so that an abort still fits in.
const SETTLE_WITHIN: Now = Now::from_secs(7);
/// Attempts at an abort follow each other quickly, since time is short.
pub(super) const ABORT_PAUSE: Now = Now::from_millis(500);

impl Upload {
    /// Ends the run for a reason; nothing has been committed, and nothing will be.
    pub(super) fn fail(&mut self, now: Now, error: Error) {
        if self.over() {
            return;
        }
        self.outcome = Some(Err(error));
        self.phase = Phase::Aborting;
        self.waiting = None;
        self.attempt = 0;
        self.let_go();
        self.deadline = Some(self.until(now, STOP_WITHIN));
        match &self.creation {
            Creation::Done(_) => self.begin(Call::Abort),
            // Its answer brings the id to abort; without one there is time to look for it.
            Creation::UnderWay if self.create_under_way => {
                self.deadline = Some(self.until(now, SETTLE_WITHIN));
            }
            _ => self.cleaned(None),
        }
    }

    /// The error of a refusal. What a retention rule keeps is an object that exists already, for
    /// whoever does not want to replace one.
    pub(super) fn refused(&self, failure: &Failure, operation: Operation, doing: &str) -> Error {
        let error = failure.error(operation, doing);
        match failure.is_retention() && self.settings.before == Before::Nothing {
            true => Error { kind: Kind::Exists, ..error },
            false => error,
        }
    }

    /// Whether the outcome is known, and only what is left behind is being cleared.
    pub(super) fn over(&self) -> bool {
        use Phase::{Aborting, Deleting, Finished, Orphans};
        matches!(self.phase, Aborting | Deleting | Orphans | Finished)
    }

    /// So much later, but never after a stop has to be over.
    fn until(&self, now: Now, wait: Now) -> Now {
        self.stop_by.map_or(now + wait, |by| by.min(now + wait))
    }

    fn let_go(&mut self) {
        self.actions.push_back(Action::StopReading);
        self.actions.push_back(Action::CancelParts);
        for number in 1..=self.parts.count() {
            self.actions.push_back(Action::Free(number));
        }
    }

    /// A signal asks to stop. What has been sent for good is settled; anything else is aborted.
    pub(super) fn stop(&mut self, now: Now, error: Error) {
        let by = *self.stop_by.get_or_insert(now + STOP_WITHIN);
        let only_waits = self.waiting.is_some() && !self.in_doubt && self.committed.is_none();
        let signal = error.kind.signal_name();
        if self.over() {
            self.note_signal(
                signal,
                "came when the outcome was known; what is left takes 10 s at most",
            );
            self.deadline = self.deadline.map(|deadline| deadline.min(by));
        } else if self.sent_for_good() && !only_waits {
            self.note_signal(
                signal,
                "came after the object was sent, which is not called off; \
                                      waiting up to 10 s for the outcome",
            );
            self.actions.push_back(Action::StopReading);
            self.deadline = Some(self.until(now, SETTLE_WITHIN));
            self.stopping = Some(error);
            // There is no time left to wait before asking.
            if let Some((at, _)) = &mut self.waiting {
                *at = now;
            }
        } else {
            self.note_signal(
                signal,
                "stops the upload; another one, a second later, leaves at once",
            );
            self.fail(now, error);
        }
    }

    /// What a signal means is said once it is known. Of a run that may still succeed, nothing is said
    /// that sounds like its end.
    fn note_signal(&mut self, signal: Option<&str>, meaning: &str) {
        if let Some(signal) = signal {
            self.actions.push_back(Action::Note(format!("{signal} {meaning}")));
        }
    }

    /// Patience has ended for a call other than a part.
    pub(super) fn give_up(&mut self, now: Now, error: Error) {
        match self.phase {
            // The upload was open a moment ago: its abort says for certain that nothing appeared.
            Phase::Committing if self.in_doubt && self.still_open => self.fail(now, error),
            // Whether the put arrived is worth one question, even where patience is over.
            Phase::Putting if self.in_doubt && !self.asked => {
                self.asked = true;
                self.begin(Call::Head);
            }
            Phase::Putting | Phase::Committing | Phase::Settling(_) if self.in_doubt => {
                self.end_unknown(&error.what);
            }
            Phase::Verifying => self.end_unverified(&error.what),
            _ => self.fail(now, error),
        }
    }

    /// The deadline of a stop has passed.
    pub(super) fn out_of_time(&mut self, now: Now) {
        let unsent = !self.in_doubt && self.waiting.is_some();
        match self.phase {
            Phase::Putting | Phase::Committing if unsent => match self.stopping.clone() {
                Some(error) => self.fail(now, error),
                None => self.end_unknown("there was no time left to ask"),
            },
            Phase::Aborting | Phase::Deleting => {
                // A create that was never answered may have been heard all the same.
                self.create_in_doubt |= self.create_under_way;
                let late = Error::service("there was no time left to wait for its answer");
                self.cleaned(Some(Failure::Local(late)));
            }
            Phase::Verifying => {
                self.create_in_doubt |= self.create_under_way;
                self.end_unverified("there was no time left to ask");
            }
            Phase::Orphans => self.orphans_unlisted(None),
            // Every answer is known: that the upload is still open can be left to its abort.
            Phase::Settling(_) if !self.in_doubt => {
                let late = Error::service("there was no time left to ask");
                let error = self.stopping.take().or(self.refusal.take()).unwrap_or(late);
                self.fail(now, error);
            }
            _ => self.end_unknown("there was no time left to ask"),
        }
    }

    /// A second signal: nothing is waited for any more, and what is left is said.
    pub fn leave(&mut self) {
        self.stop_by = Some(self.now);
        while self.phase != Phase::Finished {
            self.out_of_time(self.now);
        }
    }

    /// The outcome of the commit cannot be told: exit 8, and nothing is aborted blindly.
    pub(super) fn end_unknown(&mut self, why: &str) {
        let upload = match self.upload_id() {
            Some(id) => format!(
                "; if it is not what was sent, the upload may still be open: {}",
                self.settings.named.abort.replace("{}", id)
            ),
            None => String::new(),
        };
        let error = Error::new(
            Kind::Unknown,
            format!("whether {} was committed is unknown: {why}", self.settings.named.object),
        )
        .next(format!(
            "look at the object and compare its size and checksum ({}): {}{upload}",
            self.expected_words(),
            self.settings.named.head
        ));
        self.finish_with(Err(error));
    }

    /// Committed by the service's own word, but it could not be asked what it holds.
    pub(super) fn end_unverified(&mut self, why: &str) {
        let etag = self.committed.as_ref().and_then(|held| held.etag.clone()).unwrap_or_default();
        let error = Error::new(
            Kind::Unknown,
            format!(
                "{} was committed (etag {etag}), but it could not be verified: {why}",
                self.settings.named.object
            ),
        )
        .next(format!(
            "compare the object with what was read ({}): {}",
            self.expected_words(),
            self.settings.named.head
        ));
        self.finish_with(Err(error));
    }

    /// A committed object is not what was read.
    pub(super) fn mismatch(&mut self, now: Now, held: &Held, difference: &str) {
        let etag = held.etag.clone().unwrap_or_default();
        let object = self.settings.named.object.clone();
        let error = Error::integrity(format!(
            "{object} was committed (etag {etag}), but it is not what was read: {difference}"
        ));
        self.let_go();
        if self.settings.delete_on_mismatch && !etag.is_empty() {
            self.outcome = Some(Err(error));
            self.phase = Phase::Deleting;
            self.attempt = 0;
            self.deadline = Some(self.until(now, STOP_WITHIN));
            self.begin(Call::Delete { etag });
        } else {
            self.finish_with(Err(error.next(
                "do not rely on this object; it was left as it is (--delete-on-mismatch deletes it)",
            )));
        }
    }

    /// Another attempt at cleaning up, soon.
    pub(super) fn again_soon(&mut self, now: Now, call: Call) {
        if call == Call::Create {
            return self.cleaned(None);
        }
        self.waiting = Some((now + ABORT_PAUSE, call));
    }

    /// The abort or the deletion is done, or could not be done.
    pub(super) fn cleaned(&mut self, failure: Option<Failure>) {
        if let (Phase::Aborting, true, Some(failure)) = (&self.phase, self.in_doubt, &failure) {
            // Only an abort that was done says for certain that the commit was not.
            let why = failure.what("its answer was lost, and the upload could not be aborted");
            return self.end_unknown(&why);
        }
        let open = self.upload_id().map(str::to_owned);
        match (&self.phase, &failure) {
            (Phase::Deleting, None) => self.add("it was deleted".to_owned()),
            (Phase::Deleting, Some(failure)) => {
                let why = failure.what_is_missing(Operation::Delete);
                self.add(format!("it could not be deleted: {why}"));
            }
            (_, Some(failure)) => {
                let why = failure.what_is_missing(Operation::Abort);
                for id in [open, self.leftover.take()].into_iter().flatten() {
                    let abort = self.settings.named.abort.replace("{}", &id);
                    self.add(format!(
                        "the multipart upload {id} is still open ({why}); abort it with: {abort}"
                    ));
                }
            }
            (_, None) => {
                if let Some(id) = self.leftover.take() {
                    self.creation = Creation::Done(id);
                    return self.begin(Call::Abort);
                }
            }
        }
        self.look_for_orphans();
    }

    /// One more thing to do next, for whoever reads the error, or of a success the notes.
    fn add(&mut self, said: String) {
        match &mut self.outcome {
            Some(Err(error)) => {
                error.next = Some(match error.next.take() {
                    Some(next) => format!("{next}\n  {said}"),
                    None => said,
                });
            }
            _ => self.actions.push_back(Action::Note(said)),
        }
    }

    /// Ends with an outcome, after looking for uploads that a lost answer may have left.
    pub(super) fn finish_with(&mut self, outcome: Result<Stored, Error>) {
        self.waiting = None;
        if outcome.is_err() || self.parts.count() > 0 {
            self.let_go();
        }
        self.outcome = Some(outcome);
        match self.leftover.take() {
            None => self.look_for_orphans(),
            Some(id) => {
                self.in_doubt = false;
                self.creation = Creation::Done(id);
                self.phase = Phase::Aborting;
                self.attempt = 0;
                self.deadline = Some(self.until(self.now, STOP_WITHIN));
                self.begin(Call::Abort);
            }
        }
    }

    /// A create whose answer was lost may have left an upload without parts.
    fn look_for_orphans(&mut self) {
        if !self.create_in_doubt {
            return self.finish();
        }
        let by = self.until(self.now, STOP_WITHIN);
        if by <= self.now {
            return self.orphans_unlisted(None);
        }
        self.phase = Phase::Orphans;
        self.deadline = Some(by);
        self.begin(Call::ListUploads);
    }

    /// The open uploads could not be listed.
    pub(super) fn orphans_unlisted(&mut self, failure: Option<&Failure>) {
        let why = failure.map(|failure| failure.what_is_missing(Operation::ListUploads));
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        self.actions.push_back(Action::Note(format!(
            "an answer to CreateMultipartUpload was lost, and the open uploads of {} could not be \
             listed{why}: look for one with `ocipipe uploads list`",
            self.settings.named.object
        )));
        self.finish();
    }

    /// What is found could as well be another host's, so it is named and not aborted.
    pub(super) fn orphans_listed(&mut self, listed: &[ListedUpload]) {
        for upload in listed {
            let ours = self.upload_id() == Some(upload.upload_id.as_str());
            if !ours {
                let created = upload.time_created.as_deref().unwrap_or("an unknown time");
                self.actions.push_back(Action::Note(format!(
                    "an answer to CreateMultipartUpload was lost: the open upload {} of this name, \
                     created {created}, may be its; if nobody else is uploading, abort it with: {}",
                    upload.upload_id,
                    self.settings.named.abort.replace("{}", &upload.upload_id)
                )));
            }
        }
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.deadline = None;
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(Error::new(Kind::Unforeseen, "the upload ended without an outcome"))
        });
        self.actions.push_back(Action::Finish(outcome));
    }

    /// A failure that ends what had been sent for good, once it is known to have had no effect.
    pub(super) fn refused_for_good(&mut self, now: Now, error: Error) {
        let error = self.stopping.take().unwrap_or(error);
        self.fail(now, error);
    }
}

/// Whether a verdict allows another attempt.
pub(super) fn worth_another(verdict: retry::Verdict) -> bool {
    matches!(verdict, retry::Verdict::Again { .. } | retry::Verdict::Renew)
}
