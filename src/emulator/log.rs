//! What was asked of the server, one record a request, in memory and on demand as JSON lines.
//!
//! Knows no secret: tokens appear by their id. Invariant: every request leaves exactly one record,
//! also one whose connection broke before an answer (status 0).

use super::auth::KeyKind;
use super::route::Operation;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Older records make room.
const KEPT: usize = 50_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Arrival order, from 1; records appear in the order of completion.
    pub sequence: u64,
    pub method: String,
    /// The raw request target.
    pub path: String,
    pub operation: Operation,
    pub part: Option<u32>,
    pub upload: Option<String>,
    /// 0 where the connection broke first.
    pub status: u16,
    /// Bytes of the request body that were received.
    pub body: u64,
    /// Which kind of key signed, where the signature was good.
    pub key: Option<KeyKind>,
    /// The id of the token, where one signed.
    pub token: Option<String>,
    /// The count of that token among those issued, from 1.
    pub generation: Option<u64>,
    /// The same of the token that was presented, taken or not.
    pub presented: Option<u64>,
    pub tls: bool,
    /// The fault this request met.
    pub fault: Option<String>,
}

/// All records of a server.
pub struct Log {
    records: Mutex<VecDeque<Record>>,
    file: Option<Mutex<File>>,
    arrived: AtomicU64,
    changed: Notify,
}

impl Log {
    pub fn new(file: Option<File>) -> Log {
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

    pub fn records(&self) -> Vec<Record> {
        self.locked().iter().cloned().collect()
    }

    /// How many requests have arrived, whether or not they are over.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Waits until the records, and how many requests have arrived, satisfy `enough`.
    pub async fn wait(&self, enough: impl Fn(&[Record], u64) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if enough(&self.records(), self.arrived()) {
                return;
            }
            changed.await;
        }
    }

    /// Begins the record of a request that has arrived.
    pub fn arrival(self: &Arc<Log>, method: &str, path: &str, tls: bool) -> LogEntry {
        let record = Record {
            sequence: self.arrived.fetch_add(1, Ordering::SeqCst) + 1,
            method: method.to_owned(),
            path: path.to_owned(),
            operation: Operation::Unknown,
            part: None,
            upload: None,
            status: 0,
            body: 0,
            key: None,
            token: None,
            generation: None,
            presented: None,
            tls,
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
            // The log is an extra: a full disk must not fail the request it tells about.
            let _ = file.write_all(&line);
        }
        let mut records = self.locked();
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record);
        drop(records);
        self.changed.notify_waiters();
    }
}

/// A record in the making; it is added when this is dropped, whatever the reason.
pub struct LogEntry {
    log: Arc<Log>,
    record: Option<Record>,
    received: Arc<AtomicU64>,
}

impl LogEntry {
    pub fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    /// The counter of received body bytes.
    pub fn received(&self) -> Arc<AtomicU64> {
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
    fn a_request_that_got_no_answer_still_leaves_a_record() {
        let log = Arc::new(Log::new(None));
        let mut first = log.arrival("PUT", "/n", false);
        first.received().fetch_add(5, Ordering::SeqCst);
        drop(log.arrival("GET", "/n", true));
        first.note(|record| record.status = 200);
        drop(first);
        let records = log.records();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].sequence, records[0].status), (2, 0));
        assert_eq!((records[1].sequence, records[1].status, records[1].body), (1, 200, 5));
    }
}
