//! The plan of a run with `--resume`: the run that leaves an upload behind, and the one that continues it.
//!
//! Of the results it knows only that a *mild* plan has transient faults only. Invariant: the same seed
//! always gives the same plan.

use emulator::Operation::{
    CommitMultipartUpload, CreateMultipartUpload, ListMultipartUploadParts, ListMultipartUploads,
    UploadPart,
};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

use crate::common::stream::{PART, ramp};
use crate::plan::Moment;
use crate::random_faults::{self, pick};

/// How the first run ends.
#[derive(Debug, Clone, Copy)]
pub enum FirstEnd {
    /// Killed while the stream goes on.
    Killed(FirstEvent),
    /// Killed when the stream may have ended.
    KilledAfterEnd(FirstEvent),
    /// A run with `--resume` that SIGTERM stops.
    Stopped(FirstEvent),
    /// A run with `--resume` whose commit is refused.
    Refused,
}

/// When the first run is ended.
#[derive(Debug, Clone, Copy)]
pub enum FirstEvent {
    Moment(Moment),
    /// This many parts have had a response.
    Parts(usize),
    /// The commit has arrived, after this many parts were stored.
    Commit {
        parts: usize,
    },
}

/// What the second stream is, compared with the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation {
    Same,
    DiffersFrom(usize),
    OneByte(usize),
    Shorter(usize),
    Longer(usize),
    Empty,
}

#[derive(Debug)]
pub struct Plan {
    pub length: usize,
    /// The bytes that the first run gets, unless its stream ends.
    pub first_length: usize,
    /// MiB.
    pub first_part_size: u8,
    pub first_options: String,
    pub first_faults: FaultPlan,
    pub first_end: FirstEnd,
    /// An object exists, and both runs may replace it.
    pub object_exists: bool,
    pub relation: Relation,
    /// MiB.
    pub part_size: u8,
    pub options: String,
    /// The second run asks for another content type than the first.
    pub other_content_type: bool,
    /// The second run names the upload if several are open.
    pub names_upload: bool,
    /// All faults of the second run are transient, and no signal is sent.
    pub mild: bool,
    pub faults: FaultPlan,
    pub signal: Option<(Moment, Signal)>,
    /// Another run continues the same upload with another stream, from this moment of the second run on.
    pub rival: Option<u64>,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x7265_7375);
        let d = &mut rng;
        let length = match d.u32(..10) {
            0 => 1 + d.usize(..PART),
            _ => PART + PART / 2 + d.usize(..2 * PART + PART / 2),
        };
        let first_part_size = *pick(d, &[10, 10, 10, 11, 13]);
        let first_end = match d.u32(..10) {
            0..=4 => FirstEnd::Killed(first_event(d)),
            5 => FirstEnd::KilledAfterEnd(first_event(d)),
            6 => {
                let parts = length.div_ceil(usize::from(first_part_size) << 20);
                FirstEnd::KilledAfterEnd(FirstEvent::Commit { parts })
            }
            7..=8 => FirstEnd::Stopped(first_event(d)),
            _ => FirstEnd::Refused,
        };
        let relation = match d.u32(..12) {
            0..=3 => Relation::Same,
            4..=5 => Relation::DiffersFrom(d.usize(..length)),
            6 => Relation::OneByte(d.usize(..length)),
            7..=8 => Relation::Shorter(d.usize(1..=length)),
            9..=10 => Relation::Longer(1 + d.usize(..2 * PART)),
            _ => Relation::Empty,
        };
        let part_size = if d.bool() { first_part_size } else { *pick(d, &[10, 12, 20]) };
        let mild = d.u32(..2) == 0;
        let rival = (d.u32(..6) == 0).then(|| 1 + d.u64(..8));
        let count = if d.u32(..4) == 0 || rival.is_some() { 0 } else { d.usize(1..6) };
        let bytes = usize::from(part_size) << 20;
        let mut faults: Vec<_> =
            (0..count).map(|_| random_faults::rule(d, mild, length, bytes)).collect();
        if count > 0 && d.u32(..4) == 0 {
            faults.push(FaultRule::spurious(70, d.u64(..)));
        }
        if count > 0 && d.u32(..5) == 0 {
            faults.push(random_faults::late(d));
        }
        let signal = (!mild && rival.is_none() && d.u32(..3) == 0)
            .then(|| (moment(d, 2, 9), *pick(d, &[Signal::INT, Signal::TERM, Signal::HUP])));
        let retry_for = if mild { 240 } else { 1 + d.u64(..4) };
        Plan {
            length,
            first_length: d.usize(length / 2..=length),
            first_part_size,
            first_options: format!(
                "--checksum {} --parallel-upload-count {}",
                checksum(d),
                1 + d.u32(..4)
            ),
            first_faults: FaultPlan { faults: first_faults(d, first_end) },
            first_end,
            object_exists: d.u32(..5) == 0,
            relation,
            part_size,
            options: format!(
                "--checksum {} --parallel-upload-count {} --stall-timeout 1s --retry-for {retry_for}s",
                checksum(d),
                1 + d.u32(..4)
            ),
            other_content_type: d.u32(..12) == 0,
            names_upload: d.bool(),
            mild,
            faults: FaultPlan { faults },
            signal,
            rival,
        }
    }

    /// The stream of the first run.
    pub fn first_stream(&self) -> Vec<u8> {
        ramp(self.length)
    }

    /// The stream of the second run.
    pub fn stream(&self) -> Vec<u8> {
        let mut bytes = self.first_stream();
        match self.relation {
            Relation::Same => {}
            Relation::DiffersFrom(from) => bytes[from..].iter_mut().for_each(|byte| *byte ^= 3),
            Relation::OneByte(at) => bytes[at] ^= 1,
            Relation::Shorter(length) => bytes.truncate(length),
            Relation::Longer(by) => bytes = ramp(self.length + by),
            Relation::Empty => bytes.clear(),
        }
        bytes
    }

    /// Whether the first run may have sent its commit.
    pub fn first_may_commit(&self) -> bool {
        matches!(self.first_end, FirstEnd::KilledAfterEnd(_))
    }

    pub fn has(&self, which: impl Fn(&Fault) -> bool) -> bool {
        self.faults.faults.iter().any(|rule| which(&rule.action))
    }

    /// Whether a request of either run may never complete.
    pub fn never_idle(&self) -> bool {
        let rules = self.first_faults.faults.iter().chain(&self.faults.faults);
        let mut actions = rules.map(|rule| &rule.action);
        actions.any(|action| {
            matches!(action, Fault::StallBody { ms: None, .. } | Fault::SilentLateLanding { .. })
        })
    }
}

fn checksum(d: &mut fastrand::Rng) -> &'static str {
    let all = ["sha256", "sha256", "crc32c", "sha384", "md5", "none"];
    all[d.usize(..all.len())]
}

fn first_event(d: &mut fastrand::Rng) -> FirstEvent {
    match d.u32(..3) {
        0 => FirstEvent::Moment(moment(d, 3, 6)),
        _ => FirstEvent::Parts(1 + d.usize(..3)),
    }
}

/// After `least` requests and up to `more` others.
fn moment(d: &mut fastrand::Rng, least: u64, more: u64) -> Moment {
    let at = least + d.u64(..more);
    if d.bool() { Moment::Arrived(at) } else { Moment::Ended(at) }
}

/// What leaves holes, late parts, a late commit, or several uploads behind.
fn first_faults(d: &mut fastrand::Rng, end: FirstEnd) -> Vec<FaultRule> {
    let mut rules = Vec::new();
    let part = 1 + d.u32(..3);
    match d.u32(..5) {
        0..=1 => {
            let refused = Fault::Refuse(FaultResponse::status(503));
            rules.push(FaultRule::on(UploadPart, refused).part(part));
        }
        2 => {
            let after =
                *pick(d, &[ListMultipartUploads, ListMultipartUploadParts, CommitMultipartUpload]);
            let late = Fault::SilentLateLanding { after: Some(after) };
            rules.push(FaultRule::on(UploadPart, late).part(part).when(Trigger::First(1)));
        }
        _ => {}
    }
    if d.u32(..10) == 0 {
        rules.push(
            FaultRule::on(CreateMultipartUpload, Fault::LoseAnswer).when(Trigger::Request(1)),
        );
    }
    match end {
        FirstEnd::KilledAfterEnd(_) => {
            let after = *pick(d, &[ListMultipartUploads, ListMultipartUploadParts, UploadPart]);
            let late = Fault::SilentLateLanding { after: Some(after) };
            let action = if d.bool() { late } else { Fault::Delay(d.u64(..300)) };
            rules.push(FaultRule::on(CommitMultipartUpload, action));
        }
        FirstEnd::Refused => {
            rules.retain(|rule| matches!(rule.action, Fault::LoseAnswer));
            let refused = Fault::Refuse(FaultResponse::status(400));
            rules.push(FaultRule::on(CommitMultipartUpload, refused));
        }
        _ => {}
    }
    rules
}
