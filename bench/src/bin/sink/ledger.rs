//! What has arrived: open uploads, completed objects, and the report of each.
//!
//! Knows nothing of the two APIs. Invariant: an object is reported once, with the sum of the parts
//! that were committed and not of all that were sent.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::check::Claim;

/// The time and the connection of a body.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub connection: usize,
    pub began: f64,
    pub ended: f64,
}

#[derive(Clone)]
pub struct Part {
    pub size: u64,
    pub claims: Vec<Claim>,
    pub arrival: Arrival,
}

/// An object, or an open upload.
#[derive(Clone, Default)]
pub struct Upload {
    pub name: String,
    pub created: f64,
    pub parts: BTreeMap<u32, Part>,
}

impl Upload {
    pub fn size(&self) -> u64 {
        self.parts.values().map(|part| part.size).sum()
    }

    /// The values of one kind of digest, if every part has one.
    pub fn values(&self, name: &str) -> Option<Vec<&str>> {
        let value = |part: &'_ Part| part.claims.iter().position(|(n, _)| n == name);
        self.parts.values().map(|part| Some(part.claims[value(part)?].1.as_str())).collect()
    }
}

pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    uploads: HashMap<String, Upload>,
    /// Completed objects by name.
    objects: HashMap<String, Upload>,
    mismatches: u64,
    aborted: u64,
    curve: Vec<(f64, u64, usize)>,
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger { state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since 1970, which a script can compare with its own.
    pub fn now(&self) -> f64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
    }

    /// Records the bytes that the line has carried so far and the requests in flight, for the curve.
    pub fn sample(&self, bytes: u64, in_flight: usize) {
        let now = self.now();
        self.state().curve.push((now, bytes, in_flight));
    }

    /// Reports the curve since the last report of it.
    pub fn report_curve(&self) {
        // Seconds, bytes of the line by then, requests in flight.
        let curve = std::mem::take(&mut self.state().curve);
        report(&serde_json::json!({ "object": "curve", "curve": curve }));
    }

    /// Starts an upload; returns its id.
    pub fn create(&self, name: &str) -> String {
        let created = self.now();
        let mut state = self.state();
        state.next += 1;
        let id = format!("upload-{}", state.next);
        let upload = Upload { name: name.to_owned(), created, ..Upload::default() };
        state.uploads.insert(id.clone(), upload);
        id
    }

    /// Records a part; false if there is no such upload.
    pub fn part(&self, id: &str, number: u32, part: Part) -> bool {
        let mut state = self.state();
        let Some(upload) = state.uploads.get_mut(id) else { return false };
        upload.parts.insert(number, part);
        true
    }

    /// Completes an upload with the part numbers that the client committed.
    pub fn commit(&self, api: &str, id: &str, numbers: &[u32]) -> Option<Upload> {
        let mut state = self.state();
        let mut upload = state.uploads.remove(id)?;
        upload.parts.retain(|number, _| numbers.contains(number));
        self.complete(&mut state, api, upload.clone());
        Some(upload)
    }

    /// Records an object that arrived in one request.
    pub fn put(&self, api: &str, name: &str, part: Part) {
        let upload = Upload {
            name: name.to_owned(),
            created: part.arrival.began,
            parts: BTreeMap::from([(1, part)]),
        };
        self.complete(&mut self.state(), api, upload);
    }

    pub fn abort(&self, id: &str) {
        let mut state = self.state();
        state.uploads.remove(id);
        state.aborted += 1;
    }

    pub fn object(&self, name: &str) -> Option<Upload> {
        self.state().objects.get(name).cloned()
    }

    pub fn mismatch(&self, text: &str) {
        self.state().mismatches += 1;
        eprintln!("sink: {text}");
    }

    fn complete(&self, state: &mut State, api: &str, upload: Upload) {
        let mut checksums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, _) in upload.parts.values().flat_map(|part| &part.claims) {
            *checksums.entry(name.as_str()).or_default() += 1;
        }
        let arrivals: Vec<_> = upload
            .parts
            .iter()
            .map(|(number, part)| {
                let Arrival { connection, began, ended } = part.arrival;
                serde_json::json!([number, part.size, connection, began, ended])
            })
            .collect();
        let report = serde_json::json!({
            "api": api, "object": upload.name, "bytes": upload.size(),
            "parts": upload.parts.len(), "checksums": checksums, "created": upload.created,
            "committed": self.now(), "mismatches": state.mismatches, "aborted": state.aborted,
            // Number, size, connection, first and last byte in seconds.
            "arrivals": arrivals,
        });
        self::report(&report);
        state.objects.insert(upload.name.clone(), upload);
    }
}

/// One write a line; a reader that is gone is noticed at the end of stdin.
fn report(report: &serde_json::Value) {
    let _ = std::io::stdout().write_all(format!("{report}\n").as_bytes());
    let _ = std::io::stdout().flush();
}
