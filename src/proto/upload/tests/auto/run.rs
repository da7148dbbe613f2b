//! An upload with `auto` over a modelled line, with the real machine and the real cut, in virtual time.
//!
//! Owns the reader, the buffers, the connections and the service of the model, as the driver has them.
//! Must not know how the number of connections is chosen. Invariant: a buffer is free only when no part
//! has a slice of it; each byte of the stream is in one part.

use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use super::super::*;
use super::line::{Line, MIB, digest_of, zeros};
use crate::part_plan::{self, PartCut, PartStart, PlanInput};
use crate::upload::AutoConfig;

/// Seconds of one step.
const STEP: f64 = 0.02;

/// A piece of a buffer.
#[derive(Clone)]
struct Slice {
    buffer: Rc<()>,
    bytes: u64,
}

/// A request that the service answers.
struct Sending {
    number: PartNumber,
    left: f64,
    /// Refused requests are answered then.
    refused_at: Option<f64>,
}

pub struct AutoRun {
    line: Line,
    pub upload: Upload,
    cut: PartCut,
    pub now: f64,
    unread: u64,
    stream: u64,
    /// The part that is being filled.
    filling: Vec<Slice>,
    filled: u64,
    number: u32,
    added_numbers: u32,
    offset: u64,
    budget: f64,
    buffers: Vec<Weak<()>>,
    parts: HashMap<PartNumber, Vec<Slice>>,
    sending: Vec<Sending>,
    splitting: Option<(PartNumber, Vec<u64>, f64)>,
    waits: bool,
    waited: f64,
    sent: f64,
    pub connections: u16,
    /// The numbers of connections with the time in seconds from which they were used.
    pub changes: Vec<(f64, u16)>,
    /// Whether the bodies of recalled parts are incomplete.
    pub recalls: bool,
    /// When parts were recalled, in seconds.
    pub recalled: Vec<f64>,
    pub warnings: Vec<String>,
    /// Bytes that the line carried until the end of each second.
    pub carried: Vec<f64>,
    pub most_buffers: usize,
    pub ended: bool,
}

impl AutoRun {
    pub fn new(line: Line, stream: u64, input: &PlanInput) -> AutoRun {
        let cut = PartCut::new(part_plan::plan(input).unwrap(), input);
        let auto = AutoConfig::of(&cut);
        let parallel = cut.plan().parallel;
        let upload = Upload::new(UploadConfig {
            auto,
            checksum: Algorithm::None,
            ..UploadConfig::plain(parallel.into())
        });
        AutoRun {
            line,
            upload,
            cut,
            now: 0.0,
            unread: stream,
            stream,
            filling: vec![],
            filled: 0,
            number: 1,
            added_numbers: 0,
            offset: 0,
            budget: 0.0,
            buffers: vec![],
            parts: HashMap::new(),
            sending: vec![],
            splitting: None,
            waits: false,
            waited: 0.0,
            sent: 0.0,
            connections: parallel,
            changes: vec![],
            recalls: true,
            recalled: vec![],
            warnings: vec![],
            carried: vec![0.0],
            most_buffers: 0,
            ended: false,
        }
    }

    /// Runs until the commit, or for this many seconds.
    pub fn run(&mut self, seconds: f64) {
        let mut samples = 0;
        while !self.ended && self.now < seconds {
            self.now += STEP;
            self.carry();
            self.read();
            if self.now >= 0.5 * f64::from(samples + 1) {
                samples += 1;
                let waited = Duration::from_secs_f64(self.waited);
                self.handle(Event::Sample { sent: self.sent as u64, waited });
            }
            if self.now as usize >= self.carried.len() {
                self.carried.push(self.sent);
            }
            let now = Duration::from_secs_f64(self.now);
            if self.upload.poll_timeout().is_some_and(|at| at <= now) {
                self.upload.handle_timeout(now);
                self.perform();
            }
        }
    }

    /// The mean rate between two seconds.
    pub fn rate(&self, from: usize, to: usize) -> f64 {
        (self.carried[to] - self.carried[from]) / (to - from) as f64
    }

    /// The sizes of the parts in MiB.
    pub fn sizes(&self) -> Vec<u64> {
        let sizes = self.upload.core.parts.digests();
        sizes.map(|digest| digest.size / MIB).collect()
    }

    fn handle(&mut self, event: Event) {
        self.upload.handle_event(Duration::from_secs_f64(self.now), event);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.upload.poll_action() {
            match action {
                Action::StartCall(ApiCall::Create) => {
                    let result = Ok(Outcome::Created { upload_id: "u".to_owned() });
                    let now = Duration::from_secs_f64(self.now);
                    self.upload
                        .handle_event(now, Event::CallDone { call: ApiCall::Create, result });
                }
                Action::StartCall(ApiCall::Part(number)) => self.request(number),
                Action::StartCall(ApiCall::Commit) => self.ended = true,
                Action::StartCall(call) => panic!("{call:?}"),
                Action::ReleasePart(number) => drop(self.parts.remove(&number)),
                Action::SplitTail { first, sizes, .. } | Action::SplitQueue { first, sizes } => {
                    let before = self.upload.core.parts.count() - first.index() as u32;
                    self.added_numbers += (sizes.len() as u32).saturating_sub(before);
                    // A thread hashes 1 GB a second.
                    let seconds = sizes.iter().sum::<u64>() as f64 / 1e9;
                    self.splitting = Some((first, sizes, self.now + seconds));
                }
                Action::RecallParts(first) => {
                    let first = self.recall(first);
                    let now = Duration::from_secs_f64(self.now);
                    self.upload.handle_event(now, Event::PartsRecalled { first });
                }
                Action::SetConnections { to, .. } => {
                    self.connections = to;
                    self.changes.push((self.now, to));
                }
                Action::Warn(warning) => self.warnings.push(warning.text),
                Action::Finish(result) => panic!("{result:?}"),
                Action::Rehash(_)
                | Action::ReadOn
                | Action::StopReading
                | Action::CancelParts
                | Action::Transition { .. } => {}
            }
        }
    }

    /// Calls off requests as a driver does: what the line has carried of them is lost.
    fn recall(&mut self, first: PartNumber) -> Option<PartNumber> {
        let mut numbers: Vec<_> =
            self.sending.iter().map(|sent| (sent.number, sent.left)).collect();
        numbers.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        let recalled = numbers
            .into_iter()
            .take_while(|(number, left)| self.recalls && *number >= first && *left > 0.0);
        let lowest = recalled.last().map(|(number, _)| number)?;
        self.sending.retain(|sent| sent.number < lowest);
        self.recalled.push(self.now);
        Some(lowest)
    }

    /// The response to a part is lost, whose body was sent: the part may take effect later.
    pub fn lose_response(&mut self, number: u32) {
        let number = PartNumber::new(number).unwrap();
        self.sending.retain(|sent| sent.number != number);
        let result = Err(scripted::response_lost());
        self.handle(Event::CallDone { call: ApiCall::Part(number), result });
    }

    fn request(&mut self, number: PartNumber) {
        let accepted = self.sending.iter().filter(|sent| sent.refused_at.is_none()).count();
        let refused = accepted >= self.line.most_requests;
        let left = self.upload.part(number).expect("the part exists").size as f64;
        let refused_at = refused.then_some(self.now + 0.05);
        self.sending.push(Sending { number, left, refused_at });
        assert!(self.sending.len() <= usize::from(self.connections), "more requests than allowed");
    }

    /// Moves bytes for one step, and answers what is complete.
    fn carry(&mut self) {
        let accepted = self.sending.iter().filter(|sent| sent.refused_at.is_none()).count();
        let each = self.line.connection.min(self.line.shared / accepted.max(1) as f64) * STEP;
        let mut done = vec![];
        for sent in &mut self.sending {
            match sent.refused_at {
                Some(at) if at <= self.now => done.push((sent.number, false)),
                Some(_) => {}
                None => {
                    self.sent += each.min(sent.left);
                    sent.left -= each;
                    if sent.left <= 0.0 {
                        done.push((sent.number, true));
                    }
                }
            }
        }
        self.sending.retain(|sent| !done.iter().any(|(number, _)| *number == sent.number));
        for (number, stored) in done {
            let digest = self.upload.part(number).expect("the part exists").clone();
            let result = match stored {
                true => Ok(Outcome::Stored {
                    meta: scripted::meta_of_size("e", digest.size),
                    crc32: digest.crc32,
                }),
                false => Err(Model::rejection(429, "TooManyRequests")),
            };
            self.handle(Event::CallDone { call: ApiCall::Part(number), result });
        }
        if let Some((first, sizes, _)) = self.splitting.take_if(|(.., at)| *at <= self.now) {
            self.split(first, &sizes);
        }
    }

    fn split(&mut self, first: PartNumber, sizes: &[u64]) {
        let mut slices: VecDeque<Slice> =
            first.and_after().map_while(|number| self.parts.remove(&number)).flatten().collect();
        for (number, size) in first.and_after().zip(sizes) {
            let (mut part, mut missing) = (vec![], *size);
            while missing > 0 {
                let mut slice = slices.pop_front().expect("the sizes are those of the queue");
                let taken = slice.bytes.min(missing);
                part.push(Slice { buffer: slice.buffer.clone(), bytes: taken });
                slice.bytes -= taken;
                missing -= taken;
                if slice.bytes > 0 {
                    slices.push_front(slice);
                }
            }
            self.parts.insert(number, part);
        }
        assert!(slices.is_empty());
        let digests = sizes.iter().map(|size| digest_of(*size)).collect();
        self.handle(Event::TailSplit { first, digests });
    }

    /// Reads what the producer writes in one step, as far as there are buffers.
    fn read(&mut self) {
        self.budget =
            (self.budget + self.line.producer * STEP).min(self.line.producer * 2.0 * STEP);
        self.waits = false;
        while self.splitting.is_none() && self.unread > 0 && self.budget >= 1.0 {
            let at = PartStart { number: self.number + self.added_numbers, offset: self.offset };
            let size = self.cut.part_size(at, self.connections);
            let target = if self.filled > size { self.filled } else { size };
            let (buffer, partial) = (self.cut.buffer_size() as u64, self.filled % self.buffer());
            if self.filled == target {
                self.end_part(false);
                continue;
            }
            if partial == 0 {
                let limit = self.cut.buffers_for(at, self.connections);
                self.buffers.retain(|buffer| buffer.strong_count() > 0);
                self.most_buffers = self.most_buffers.max(self.buffers.len());
                let free = limit.saturating_sub(self.buffers.len());
                let may_end = self.filled > 0 && self.upload.idle_connections() > free;
                if may_end && self.cut.may_end(at, self.filled) {
                    self.end_part(false);
                    continue;
                }
                if free == 0 {
                    self.waits = true;
                    break;
                }
                let new = Rc::new(());
                self.buffers.push(Rc::downgrade(&new));
                self.filling.push(Slice { buffer: new, bytes: 0 });
            }
            let room = (buffer - partial).min(target - self.filled);
            let bytes = room.min(self.budget as u64).min(self.unread);
            self.filling.last_mut().expect("there is a buffer").bytes += bytes;
            self.filled += bytes;
            self.unread -= bytes;
            self.budget -= bytes as f64;
            if self.unread == 0 {
                self.end_part(true);
            }
        }
        if self.waits {
            self.waited += STEP;
        }
    }

    fn buffer(&self) -> u64 {
        self.cut.buffer_size() as u64
    }

    fn end_part(&mut self, last: bool) {
        if self.number == 2 {
            self.handle(Event::MultipartNeeded);
        }
        if last {
            self.handle(Event::LastPartNext);
        }
        let number = self.upload.next_part_number().expect("a number is left");
        self.parts.insert(number, std::mem::take(&mut self.filling));
        let size = std::mem::take(&mut self.filled);
        self.offset += size;
        self.number += 1;
        self.handle(Event::Part { number, digest: digest_of(size) });
        if last {
            let crc32 = zeros(self.stream);
            self.handle(Event::EndOfStream { bytes: self.stream, crc32 });
        }
    }
}
