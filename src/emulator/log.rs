//! The log of requests: one record for each, in memory and optionally as lines of JSON in a file.
//!
//! Owns the records and the file. Knows no secret: a token appears by its
//! id, and the secret of a pre-authenticated request is masked. Invariant: every
//! request leaves exactly one record, with status 0 if its connection broke before a response.

use super::auth::{KeyKind, PrincipalKind};
use super::fault::Fault;
use super::operation::Operation;
use super::par_secret;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The most records in memory; the oldest are dropped first.
const MAX_RECORDS: usize = 50_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Arrival order, from 1; records appear in the order of completion.
    pub sequence: u64,
    /// The HTTP method.
    pub method: String,
    /// The raw request target, with `-` in place of the secret of a pre-authenticated request.
    pub path: String,
    /// The operation that method and path name.
    pub operation: Operation,
    /// The part number in the query.
    pub part: Option<u32>,
    /// The upload id in the query.
    pub upload: Option<String>,
    /// The HTTP status of the response; 0 if the connection broke before it.
    pub status: u16,
    /// Bytes of the request body that were received.
    pub body: u64,
    /// Whether the request came through a pre-authenticated request.
    pub par: bool,
    /// The kind of key that signed, if the signature was valid.
    pub key: Option<KeyKind>,
    /// The principal that signed, if the signature was valid.
    pub principal: Option<PrincipalKind>,
    /// Whether the request was on behalf of the user, by a signed delegation token.
    pub delegated: bool,
    /// The id of the token that signed, if one did and the signature was valid.
    pub token: Option<String>,
    /// The number of that token in the order of issue, from 1.
    pub generation: Option<u64>,
    /// The number of the token that the request carried, whether or not it was accepted.
    pub presented: Option<u64>,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// The fault that this request met; in the file, as the `action` of a fault plan.
    pub fault: Option<Fault>,
}

/// The records of a server.
pub(crate) struct Log {
    records: Mutex<VecDeque<Record>>,
    file: Option<Mutex<File>>,
    arrived: AtomicU64,
    changed: Notify,
}

impl Log {
    /// An empty log, which also appends each record to `file`.
    pub(crate) fn new(file: Option<File>) -> Log {
        Log {
            records: Mutex::default(),
            file: file.map(Mutex::new),
            arrived: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records so far, in the order of completion.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.locked().iter().cloned().collect()
    }

    /// The number of requests that have arrived, including those in progress.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Waits until `condition` holds for the records and the number of requests that have arrived.
    pub(crate) async fn wait(&self, condition: impl Fn(&[Record], u64) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.records(), self.arrived()) {
                return;
            }
            changed.await;
        }
    }

    /// Starts the record of a request that has arrived.
    pub(crate) fn arrival(self: &Arc<Log>, method: &str, path: &str) -> LogEntry {
        let record = Record {
            sequence: self.arrived.fetch_add(1, Ordering::SeqCst) + 1,
            method: method.to_owned(),
            path: par_secret::masked(path).into_owned(),
            operation: Operation::Unknown,
            part: None,
            upload: None,
            status: 0,
            body: 0,
            par: false,
            key: None,
            principal: None,
            delegated: false,
            token: None,
            generation: None,
            presented: None,
            tls: false,
            fault: None,
        };
        self.changed.notify_waiters();
        LogEntry { log: self.clone(), record: Some(record), received: Arc::default() }
    }

    fn add(&self, record: Record) {
        if let Some(file) = &self.file {
            let mut line = serde_json::to_vec(&record).unwrap_or_default();
            line.push(b'\n');
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written must not fail the request.
            let _ = file.write_all(&line);
        }
        let mut records = self.locked();
        if records.len() == MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
        drop(records);
        self.changed.notify_waiters();
    }
}

/// The record of a request in progress; dropping it adds the record to the log.
pub(crate) struct LogEntry {
    log: Arc<Log>,
    record: Option<Record>,
    received: Arc<AtomicU64>,
}

impl LogEntry {
    /// Changes the record.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    /// The counter of received body bytes.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        self.received.clone()
    }
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.body = self.received.load(Ordering::SeqCst);
            self.log.add(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_response_leaves_a_record() {
        let log = Arc::new(Log::new(None));
        let mut first = log.arrival("PUT", "/n");
        first.received().fetch_add(5, Ordering::SeqCst);
        drop(log.arrival("GET", "/n"));
        first.note(|record| record.status = 200);
        drop(first);
        let records = log.records();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].sequence, records[0].status), (2, 0));
        assert_eq!((records[1].sequence, records[1].status, records[1].body), (1, 200, 5));
    }
}
