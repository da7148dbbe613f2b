//! The plan of a run of the campaign: a stream, options, a producer, faults and signals, from a
//! seed.
//!
//! Of the results it knows only that a *mild* plan has transient faults only, so that its stream
//! must be stored. Invariant: the same seed always gives the same plan.

use emulator::Permission::{
    self, BucketRead, ObjectCreate, ObjectDelete, ObjectInspect, ObjectOverwrite, ObjectRead,
};
use emulator::PermissionSet;
use emulator::fault::{self, Fault, FaultRule};
use rustix::process::Signal;

use std::time::Duration;

use crate::common::stream::PART;
use crate::random_faults::{self, pick};

#[derive(Debug)]
pub enum Producer {
    Pipe,
    File,
    /// A command that writes the stream and exits with this code.
    Exits(i32),
    /// A command that writes the stream and is killed by SIGKILL.
    Killed,
}

#[derive(Debug, PartialEq)]
pub enum Condition {
    Absent,
    Force,
    /// `--if-match` with the etag of the existing object.
    Match,
    Mismatch,
}

/// A moment of a run, given by what the server has received.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// This many requests have arrived.
    Arrived(u64),
    /// This many requests are complete.
    Ended(u64),
}

#[derive(Debug)]
pub struct Plan {
    pub length: usize,
    pub part_size: usize,
    pub options: String,
    pub checksum: &'static str,
    pub empty_allowed: bool,
    pub producer: Producer,
    /// Whether an object of that name exists before the run.
    pub object_exists: bool,
    pub condition: Condition,
    /// All faults are transient, no signal is sent, and no right is missing.
    pub mild: bool,
    pub faults: fault::FaultPlan,
    /// The rights of the user, if some are missing.
    pub rights: Option<Vec<Permission>>,
    pub signals: Vec<(Moment, Signal)>,
    pub limits: Limits,
    /// The stream ends because a stop reached its producer first; the program gets the signal after
    /// this time.
    pub stop_after_end: Option<(Duration, Signal)>,
}

/// Limits of the system: enough for the stream, and less than the program would use.
#[derive(Debug, Default)]
pub struct Limits {
    /// Limit of writable memory (`ulimit -d`) in MiB.
    pub data: Option<u64>,
    /// Limit of mapped memory (`ulimit -v`) in MiB.
    pub mapped: Option<u64>,
    /// Limit of threads and processes together.
    pub processes: Option<u64>,
}

impl Limits {
    /// Uses a generator of its own, so that the rest of a seed's plan stayed the same when limits
    /// were added.
    fn of(seed: u64, producer: &Producer) -> Limits {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x11_3175);
        let d = &mut rng;
        let least = match producer {
            // The main thread and the reading thread.
            Producer::Pipe | Producer::File => 2,
            // In addition the threads of connections and of stderr, a shell, and its child.
            Producer::Exits(_) | Producer::Killed => 8,
        };
        match d.u32(..8) {
            0 => Limits { data: Some(d.u64(64..200)), ..Limits::default() },
            1 => Limits { mapped: Some(d.u64(200..600)), ..Limits::default() },
            2 => Limits { processes: Some(least + d.u64(..3)), ..Limits::default() },
            3 => Limits {
                data: Some(d.u64(64..200)),
                mapped: Some(d.u64(300..600)),
                processes: Some(least + d.u64(..3)),
            },
            _ => Limits::default(),
        }
    }
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed);
        let d = &mut rng;
        let part_size = *pick(d, &[10, 10, 11, 13, 17, 32]) << 20;
        let length = match d.u32(..10) {
            0 => 0,
            1..=2 => 1 + d.usize(..5000),
            3 => part_size - d.usize(..2),
            4 => part_size + 1 + d.usize(..2),
            5 => 2 * part_size,
            _ => PART + d.usize(..3 * PART),
        };
        let length = length.min(4 * PART + 17);
        let checksum = *pick(d, &["sha256", "sha256", "crc32c", "sha384", "md5", "none"]);
        let (mild, empty_allowed) = (d.u32(..100) < 45, d.bool());
        let signals = if mild || d.u32(..10) < 4 { Vec::new() } else { signals(d) };
        let retry_for = if mild { 240 } else { d.u64(1..5) };
        let mut options = format!(
            "--part-size {}MiB --parallel-upload-count {} --checksum {checksum} --stall-timeout 1s \
             --retry-for {retry_for}s",
            part_size >> 20,
            1 + d.u32(..5)
        );
        if empty_allowed {
            options.push_str(" --allow-empty");
        }
        if d.u32(..5) == 0 {
            options.push_str(&format!(" --bwlimit {}MiB", 15 + d.u32(..50)));
        }
        if d.u32(..5) == 0 {
            options.push_str(" --max-memory 40MiB");
        }
        if d.u32(..5) == 0 {
            options.push_str(" --delete-on-mismatch");
        }
        let producer = match d.u32(..10) {
            0..=4 => Producer::Pipe,
            5..=6 => Producer::File,
            7..=8 => Producer::Exits(if d.u32(..3) == 0 { 3 } else { 0 }),
            _ => Producer::Killed,
        };
        let (object_exists, condition) = match d.u32(..10) {
            0..=4 => (false, Condition::Absent),
            5 => (false, Condition::Force),
            6 => (true, Condition::Absent),
            7 => (true, Condition::Force),
            8 => (true, Condition::Match),
            _ => (true, Condition::Mismatch),
        };
        let mut rules: Vec<FaultRule> =
            (0..d.usize(..9)).map(|_| random_faults::rule(d, mild, length, part_size)).collect();
        // New draws come last, so that older parts of a seed's plan stay the same.
        if d.u32(..4) == 0 {
            rules.push(random_faults::late(d));
        }
        if d.u32(..3) == 0 {
            rules.push(FaultRule::spurious(*pick(d, &[20, 70, 70, 250]), d.u64(..)));
        }
        let rights = (d.u32(..8) == 0).then(|| rights(d));
        if rights.is_some() {
            // During a stream a missing right is retried for `--retry-for`.
            options = options.replace("--retry-for 240s", "--retry-for 4s");
        }
        let limits = Limits::of(seed, &producer);
        // Drawn last for the same reason.
        let stop_after_end = (matches!(producer, Producer::Pipe) && d.u32(..6) == 0).then(|| {
            let gap = Duration::from_millis(*pick(d, &[0, 0, 1, 5, 20, 50]));
            (gap, *pick(d, &[Signal::INT, Signal::TERM, Signal::HUP]))
        });
        Plan {
            length,
            part_size,
            options,
            checksum,
            empty_allowed,
            producer,
            object_exists,
            condition,
            mild: mild && rights.is_none() && stop_after_end.is_none(),
            faults: fault::FaultPlan { faults: rules },
            rights,
            signals,
            limits,
            stop_after_end,
        }
    }

    /// The plan as text, with its faults as JSON for a server.
    pub fn describe(&self) -> String {
        let Plan { length, options, producer, object_exists, condition, mild, signals, .. } = self;
        let Plan { limits, rights, stop_after_end, .. } = self;
        let faults: Vec<String> =
            self.faults.faults.iter().map(|rule| serde_json::to_string(rule).unwrap()).collect();
        format!(
            "{length} bytes by {producer:?}, {options}\nobject exists: {object_exists}, {condition:?}, mild: \
             {mild}, signals: {signals:?}, stop after the end: {stop_after_end:?}, rights: {rights:?}\n{limits:?}\n{}",
            faults.join("\n")
        )
    }

    pub fn rights(&self) -> PermissionSet {
        self.rights.clone().map_or_else(PermissionSet::all, PermissionSet::of)
    }

    /// Whether the rights allow the stream to be stored, as one part or as `several`.
    pub fn may_store(&self, several: bool) -> bool {
        let Some(rights) = &self.rights else { return true };
        let overwrite = several || self.condition != Condition::Absent;
        rights.contains(&ObjectCreate) && (!overwrite || rights.contains(&ObjectOverwrite))
    }

    pub fn has(&self, which: impl Fn(&Fault) -> bool) -> bool {
        self.faults.faults.iter().any(|rule| which(&rule.action))
    }

    /// Whether a request may never complete: a server that reads nothing does not notice that its
    /// client has closed the connection.
    pub fn never_idle(&self) -> bool {
        self.has(|action| {
            matches!(
                action,
                // The store handles the second kind only when another request comes.
                Fault::StallBody { ms: None, .. } | Fault::SilentLateLanding { after: None }
            )
        })
    }
}

fn signals(d: &mut fastrand::Rng) -> Vec<(Moment, Signal)> {
    let mut at = 0;
    let count = if d.u32(..3) == 0 { 2 } else { 1 };
    (0..count)
        .map(|_| {
            at += 1 + d.u64(..8);
            let moment = if d.bool() { Moment::Arrived(at) } else { Moment::Ended(at) };
            (moment, *pick(d, &[Signal::INT, Signal::TERM, Signal::HUP]))
        })
        .collect()
}

/// Rights that are enough for all streams, for short ones, or for none; with or without those for
/// checks and cleanup.
fn rights(d: &mut fastrand::Rng) -> Vec<Permission> {
    let all = [ObjectCreate, ObjectOverwrite, ObjectInspect, ObjectRead, ObjectDelete, BucketRead];
    let without: &[Permission] = match d.u32(..8) {
        0..=1 => &[ObjectInspect, ObjectRead, ObjectDelete, BucketRead],
        2 => &[ObjectDelete],
        3 => &[ObjectInspect, ObjectRead],
        4 => &[ObjectInspect],
        5 => &[ObjectOverwrite],
        6 => &[BucketRead],
        _ => &[ObjectOverwrite, ObjectInspect, ObjectRead, ObjectDelete, BucketRead],
    };
    all.into_iter().filter(|permission| !without.contains(permission)).collect()
}
