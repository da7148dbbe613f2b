//! A run of the exploration: the machine, the service, the requests between them, and the driver.
//!
//! Owns what each step does. Must not know which step comes next. Invariant: a run is whole after each
//! step: all actions of the machine were performed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::super::model::{Model, SentRequest};
use super::super::scripted::stop;
use super::super::{Action, Event, StoredObject, Upload};
use super::Row;
use super::case::{Case, Piece, Resume};
use super::causes::Causes;
use super::cutting::Cutting;
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

#[derive(Clone)]
pub(super) struct Run {
    pub case: Rc<Case>,
    pub upload: Upload,
    pub service: Model,
    pub now: Duration,
    pub source: Source,
    /// No commit or put may be sent before.
    pub hold_until: Option<Duration>,
    /// The parts of the stream that were read.
    pub read: usize,
    /// The parts that what was read is now.
    pub pieces: Rc<Vec<Piece>>,
    pub cutting: Cutting,
    pub multipart_needed: bool,
    /// The source waits after its first part, until an upload is created or the rest is only compared.
    pub held: bool,
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
    /// The object in the way was compared with the stream, and is the same.
    pub identical: bool,
    /// What the step has done.
    pub rows: Vec<Row>,
}

impl Run {
    pub(super) fn new(case: &Rc<Case>) -> Run {
        let service = case.service();
        let mut upload = Upload::new(case.config(&service));
        let cutting = Cutting::begin(case, &mut upload);
        Run {
            case: case.clone(),
            upload,
            service,
            now: case.cut.begins_at(),
            source: Source::Reading,
            hold_until: None,
            read: 0,
            pieces: Rc::default(),
            cutting,
            multipart_needed: false,
            held: case.conflict.reads_on() && case.resume != Resume::Continues,
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
            identical: false,
            rows: Vec::new(),
        }
    }

    /// When the retry budget ends, in an outage.
    pub(super) fn budget_end(&self) -> Option<Duration> {
        let outage = &self.upload.core.outage;
        outage.is_open().then(|| outage.budget_ends(self.now))
    }

    pub(super) fn handle(&mut self, jitter: Jitter, event: Event) {
        self.upload.core.rng = jitter.rng();
        self.set_estimates();
        self.upload.handle_event(self.now, event);
    }

    /// Performs a step and the actions that follow.
    pub(super) fn perform(&mut self, step: &Step) -> Result<(), String> {
        self.faults -= step.cost();
        self.retries -= u32::from(step.is_retried());
        match step {
            Step::Read => self.read_part(),
            Step::ReadLast => {
                self.handle(Jitter::Long, Event::LastPartNext);
                self.read_part();
            }
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
                self.set_estimates();
                self.upload.handle_timeout(self.now);
            }
            Step::Stall => {
                self.causes.stalled = true;
                self.now = self.budget_end().unwrap_or(self.now);
            }
            Step::Answer(index, _) => {
                self.cutting.saves = false;
                self.answer(*index);
            }
            Step::AnswerSlowly(index, _) => {
                self.cutting.saves = true;
                self.answer(*index);
            }
            Step::Split { flipped } => self.finish_split(*flipped),
            Step::Connections(change) => self.change_connections(change),
            Step::EndPar => self.causes.par_ended = true,
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
            Step::OtherObject(object) => {
                self.causes.other_object = true;
                self.service.object = Some(object.stored(&self.case));
            }
            Step::OtherAbort => {
                self.causes.other_abort = true;
                let id = self.upload.upload_id().unwrap_or_default().to_owned();
                self.service.uploads.remove(&id);
            }
        }
        let performed = self.perform_actions();
        self.cutting.recallable = 0;
        performed
    }

    fn read_part(&mut self) {
        let piece = self.case.stream[self.read].clone();
        self.read += 1;
        let number = PartNumber::from_index(self.pieces.len()).expect("a part number");
        self.buffers.insert(number);
        let digest = piece.digest.clone();
        Rc::make_mut(&mut self.pieces).push(piece);
        self.handle(Jitter::Long, Event::Part { number, digest });
    }

    /// A part of what was read. An empty stream is one empty part.
    pub(super) fn piece(&self, number: PartNumber) -> &Piece {
        self.pieces.get(number.index()).unwrap_or(&self.case.stream[0])
    }

    fn rehash(&mut self, number: PartNumber, flipped: bool) {
        self.causes.flipped |= flipped;
        self.to_rehash.remove(&number);
        let piece = self.piece(number);
        let (mut digest, md5) = (piece.digest.clone(), piece.md5.clone());
        digest.crc32 ^= u32::from(flipped);
        self.handle(Jitter::Long, Event::Rehashed { number, digest, md5 });
    }

    /// Performs all actions of the machine.
    fn perform_actions(&mut self) -> Result<(), String> {
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
                Action::StopReading => {}
                Action::ReadOn => self.held = false,
                Action::CancelParts => {
                    let is_part = |sent: &mut Sent| matches!(sent.request.call, ApiCall::Part(_));
                    let cancelled: Vec<_> = self.sent.extract_if(.., is_part).collect();
                    // They change nothing in an upload that is aborted.
                    if !self.upload.kind().is_decided() || self.case.resume != Resume::Off {
                        cancelled.into_iter().for_each(|sent| insert(&mut self.late, sent));
                    }
                }
                Action::Warn(warning) => self.read_message(&warning.text),
                Action::Transition { from, to } => self.rows.push(Row::Transition(from, to)),
                Action::Finish(result) => self.finish(result)?,
                Action::SplitTail { first, sizes, .. } => self.start_split(first, sizes, false)?,
                Action::SplitQueue { first, sizes } => self.start_split(first, sizes, true)?,
                Action::RecallParts(first) => self.recall(first)?,
                Action::SetConnections { from, to } => self.set_connections(from, to)?,
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
            ApiCall::Part(number) => self.piece(*number).body.clone(),
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
            multipart_sha256: super::case::multipart_sha256(&self.pieces),
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
