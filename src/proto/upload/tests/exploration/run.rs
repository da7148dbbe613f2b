//! A run of the exploration: the machine, the service, the requests between them, and the driver.
//!
//! Owns what each step does. Must not know which step comes next. Invariant: a run is whole after each
//! step: all actions of the machine were performed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::super::model::{Model, SentRequest, other_object};
use super::super::scripted::stop;
use super::super::{Action, Event, StateKind, StoredObject, Upload};
use super::case::{Case, Resume};
use super::step::{Jitter, Step};
use crate::error::Error;
use crate::part_number::PartNumber;
use crate::upload::ApiCall;
use crate::upload::fingerprint::named_uploads;

/// Where the source of the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Reading,
    Ended,
    Broken,
    /// The machine has stopped it.
    Stopped,
}

/// A request that has no response yet.
#[derive(Clone)]
pub(super) struct Sent {
    pub request: SentRequest,
    /// The parts that a commit leaves out.
    pub excluded: Vec<PartNumber>,
}

/// What has happened that may explain the end of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Causes {
    pub stopped: bool,
    pub broken: bool,
    pub expired: bool,
    pub stalled: bool,
    pub flipped: bool,
    pub part_lost: bool,
    pub other_object: bool,
    pub other_abort: bool,
    /// A commit or put was stored as other bytes.
    pub corrupted: bool,
    /// A commit or put was acknowledged and not stored.
    pub discarded: bool,
    /// A commit or put was sent.
    pub sent: bool,
    /// A commit or put has no response, though the service may have acted.
    pub doubtful: bool,
    /// The stream was the object at some time.
    pub was_stored: bool,
    /// HEAD has shown the stream.
    pub was_seen: bool,
    /// HEADs were answered with a spurious 404, as where the object is hidden.
    pub seems_hidden: bool,
    /// The response to a commit or put that was stored as other bytes does not show it.
    pub lied: bool,
    /// The same of a create.
    pub create_lost: bool,
    /// A warning asks to look for uploads.
    pub told_to_look: bool,
}

#[derive(Clone)]
pub(super) struct Run {
    pub case: Rc<Case>,
    pub upload: Upload,
    pub service: Model,
    pub now: Duration,
    pub source: Source,
    /// No commit or put may be sent before.
    pub hold_until: Option<Duration>,
    pub read: usize,
    pub multipart_needed: bool,
    pub buffers: BTreeSet<PartNumber>,
    pub acknowledged: BTreeSet<PartNumber>,
    pub to_rehash: BTreeSet<PartNumber>,
    /// In the order of their operations and parts.
    pub sent: Vec<Sent>,
    pub late: Vec<Sent>,
    /// The faults that are left, and the faults that a retry follows.
    pub faults: u32,
    pub retries: u32,
    pub causes: Causes,
    /// The uploads that messages name.
    pub named: BTreeSet<String>,
    pub result: Option<Result<StoredObject, Error>>,
}

impl Run {
    pub(super) fn new(case: &Rc<Case>) -> Run {
        let service = case.service();
        Run {
            case: case.clone(),
            upload: Upload::new(case.config(&service)),
            service,
            now: Duration::ZERO,
            source: Source::Reading,
            hold_until: None,
            read: 0,
            multipart_needed: false,
            buffers: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            to_rehash: BTreeSet::new(),
            sent: Vec::new(),
            late: Vec::new(),
            faults: case.faults,
            retries: case.retries,
            causes: Causes::default(),
            named: BTreeSet::new(),
            result: None,
        }
    }

    /// When the retry budget ends, in an outage.
    pub(super) fn budget_end(&self) -> Option<Duration> {
        let outage = &self.upload.core.outage;
        outage.is_open().then(|| outage.budget_ends(self.now))
    }

    pub(super) fn handle(&mut self, jitter: Jitter, event: Event) {
        self.upload.core.rng = jitter.rng();
        self.upload.handle_event(self.now, event);
    }

    /// Performs a step and the actions that follow.
    pub(super) fn perform(
        &mut self,
        step: &Step,
        rows: &mut BTreeSet<(StateKind, StateKind)>,
    ) -> Result<(), String> {
        self.faults -= step.cost();
        self.retries -= u32::from(step.is_retried());
        match step {
            Step::Read => self.read_part(),
            Step::MultipartNeeded => {
                self.multipart_needed = true;
                self.handle(Jitter::Long, Event::MultipartNeeded);
            }
            Step::End => {
                self.source = Source::Ended;
                let hold = Duration::from_millis(100);
                self.hold_until = (!self.case.end_proven).then_some(self.now + hold);
                let content = self.case.content();
                let (bytes, crc32) = (content.len() as u64, crc32fast::hash(&content));
                self.handle(Jitter::Long, Event::EndOfStream { bytes, crc32 });
            }
            Step::Break => {
                (self.source, self.causes.broken) = (Source::Broken, true);
                self.handle(Jitter::Long, Event::SourceFailed(Error::source("broken")));
            }
            Step::Signal => {
                self.causes.stopped = true;
                self.handle(Jitter::Long, stop());
            }
            Step::Abandon => self.upload.abandon(),
            Step::Timer => {
                self.now = self.upload.poll_timeout().unwrap_or_default().max(self.now);
                self.upload.core.rng = Jitter::Long.rng();
                self.upload.handle_timeout(self.now);
            }
            Step::Stall => {
                self.causes.stalled = true;
                self.now = self.budget_end().unwrap_or(self.now);
            }
            Step::Answer(index, _) => self.answer(*index),
            Step::Fault(index, _, fault, jitter) => self.fail(*index, *fault, *jitter),
            Step::Land(index, _) => {
                let sent = self.late.remove(*index);
                let _ = self.act(&sent);
            }
            Step::Rehash(number) => self.rehash(*number, false),
            Step::BitFlip(number) => self.rehash(*number, true),
            Step::LosePart(number) => {
                self.causes.part_lost = true;
                self.service.uploads.values_mut().for_each(|upload| drop(upload.remove(number)));
            }
            Step::OtherObject => {
                self.causes.other_object = true;
                self.service.object = Some(("other".to_owned(), other_object()));
            }
            Step::OtherAbort => {
                self.causes.other_abort = true;
                let id = self.upload.upload_id().unwrap_or_default().to_owned();
                self.service.uploads.remove(&id);
            }
        }
        self.perform_actions(rows)
    }

    fn read_part(&mut self) {
        self.read += 1;
        let number = PartNumber::new(self.read as u32).expect("a part number");
        self.buffers.insert(number);
        let digest = self.case.piece(number).digest.clone();
        self.handle(Jitter::Long, Event::Part { number, digest });
    }

    fn rehash(&mut self, number: PartNumber, flipped: bool) {
        self.causes.flipped |= flipped;
        self.to_rehash.remove(&number);
        let piece = self.case.piece(number);
        let (mut digest, md5) = (piece.digest.clone(), piece.md5.clone());
        digest.crc32 ^= u32::from(flipped);
        self.handle(Jitter::Long, Event::Rehashed { number, digest, md5 });
    }

    /// Performs all actions of the machine.
    fn perform_actions(
        &mut self,
        rows: &mut BTreeSet<(StateKind, StateKind)>,
    ) -> Result<(), String> {
        while let Some(action) = self.upload.poll_action() {
            if self.result.is_some() {
                return Err(format!("an action after the end: {action:?}"));
            }
            match action {
                Action::StartCall(call) => self.start_call(call)?,
                Action::Rehash(number) => {
                    self.check_buffer(number)?;
                    self.to_rehash.insert(number);
                }
                Action::ReleasePart(number) => self.release(number)?,
                Action::StopReading if self.source == Source::Reading => {
                    self.source = Source::Stopped;
                }
                Action::StopReading | Action::ReadOn => {}
                Action::CancelParts => {
                    let is_part = |sent: &mut Sent| matches!(sent.request.call, ApiCall::Part(_));
                    let cancelled: Vec<_> = self.sent.extract_if(.., is_part).collect();
                    // They change nothing in an upload that is aborted.
                    if !self.upload.kind().is_decided() || self.case.resume != Resume::Off {
                        cancelled.into_iter().for_each(|sent| insert(&mut self.late, sent));
                    }
                }
                Action::Warn(warning) => self.read_message(&warning.text),
                Action::Transition { from, to } => drop(rows.insert((from, to))),
                Action::Finish(result) => self.finish(result)?,
                Action::SplitTail { .. } | Action::SplitQueue { .. } | Action::RecallParts(_) => {
                    return Err("a split that the configuration forbids".to_owned());
                }
                Action::SetConnections { .. } => {
                    return Err("the number of connections is fixed".to_owned());
                }
            }
        }
        match self.upload.current_activity() {
            None if self.result.is_none() => Err("finished without a result".to_owned()),
            Some(activity) if self.result.is_some() => Err(format!("finished, yet {activity}")),
            _ => Ok(()),
        }
    }

    /// Notes the uploads that a message names.
    pub(super) fn read_message(&mut self, text: &str) {
        self.named.extend(named_uploads(text).map(str::to_owned));
        self.causes.told_to_look |= text.contains("uploads list");
    }

    fn start_call(&mut self, call: ApiCall) -> Result<(), String> {
        self.check_call(&call)?;
        self.causes.sent |= matches!(call, ApiCall::Put | ApiCall::Commit);
        let body = match &call {
            ApiCall::Part(number) => self.case.piece(*number).body.clone(),
            _ => self.case.content(),
        };
        let upload_id = match &call {
            ApiCall::Abort { upload_id } => Some(upload_id.clone()),
            _ => self.upload.upload_id().map(str::to_owned),
        };
        let parts = self.upload.commit_parts().map(|(number, etag)| (number, etag.to_owned()));
        let request = SentRequest {
            parts: if upload_id.is_some() { parts.collect() } else { Vec::new() },
            upload_id,
            body,
            multipart_sha256: self.case.multipart_sha256(),
            call,
        };
        let excluded = self.upload.excluded_parts().to_vec();
        insert(&mut self.sent, Sent { request, excluded });
        Ok(())
    }
}

/// Inserts a request in the order of operations and parts.
pub(super) fn insert(requests: &mut Vec<Sent>, sent: Sent) {
    let key = |sent: &Sent| match &sent.request.call {
        ApiCall::Part(number) => (1, number.get()),
        ApiCall::Create => (0, 0),
        ApiCall::ConditionalCreate(_) => (2, 0),
        ApiCall::Put => (3, 0),
        ApiCall::Commit => (4, 0),
        _ => (5, 0),
    };
    let at = requests.partition_point(|other| key(other) <= key(&sent));
    requests.insert(at, sent);
}
