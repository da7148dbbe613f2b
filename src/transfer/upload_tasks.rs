//! The tasks of an upload, and the bytes that they send.
//!
//! Owns the buffers of unacknowledged parts and the requests in flight. Must not decide what is sent
//! or when a buffer is released. Invariant: the bytes of a part stay in memory until the part is
//! released, however often it is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinError;

use super::event_tasks::{EventTasks, SendingTask};
use super::par_requests;
use super::part_buffers;
use super::requests::{self, PreparedCall};
use crate::transfer::client::{Client, SendProgress};
use proto::api::{ObjectLocation, PutOptions, request};
use proto::part_number::PartNumber;
use proto::retry::Failure;
use proto::transport_error::TransportError;
use proto::upload::{ApiCall, Event, Upload};

/// The tasks and buffers of one upload. Each task ends with an event for the upload machine.
pub(super) struct UploadTasks {
    client: Arc<Client>,
    location: Arc<ObjectLocation>,
    options: Arc<PutOptions>,
    /// The chunks of each part that is not released.
    buffers: HashMap<PartNumber, Vec<Bytes>>,
    /// The parts of a tail split, while their digests are computed.
    split_buffers: Vec<Vec<Bytes>>,
    tasks: EventTasks,
    commit_task: Option<(ApiCall, SendingTask)>,
}

impl UploadTasks {
    pub(super) fn new(client: Arc<Client>, location: ObjectLocation, options: PutOptions) -> Self {
        UploadTasks {
            client,
            location: Arc::new(location),
            options: Arc::new(options),
            buffers: HashMap::new(),
            split_buffers: Vec::new(),
            tasks: EventTasks::default(),
            commit_task: None,
        }
    }

    /// The event of the next task that ends; an error where it was aborted or has panicked. `None`
    /// where no task is in flight.
    pub(super) async fn next(&mut self) -> Option<Result<Event, JoinError>> {
        self.tasks.next().await
    }

    /// Keeps the bytes of a part until it is released.
    pub(super) fn add_part(&mut self, number: PartNumber, chunks: Vec<Bytes>) {
        self.buffers.insert(number, chunks);
    }

    /// Drops the bytes of a part. A request in flight keeps its own handle to them.
    pub(super) fn release_part(&mut self, number: PartNumber) {
        self.buffers.remove(&number);
    }

    /// Aborts the requests of all parts.
    pub(super) fn cancel_parts(&mut self) {
        self.tasks.cancel_parts();
    }

    /// As [`EventTasks::recall_parts`].
    pub(super) fn recall_parts(&mut self, first: PartNumber) -> Option<PartNumber> {
        self.tasks.recall_parts(first)
    }

    /// Aborts all tasks.
    pub(super) fn abort_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Brings tasks and buffers in line with an event before the machine takes it.
    pub(super) fn before_event(&mut self, event: &Event) {
        match event {
            Event::CallDone { call: ApiCall::Part(number), .. } => {
                self.tasks.remove_part(*number);
            }
            Event::CallDone { call: ApiCall::Commit | ApiCall::Put, .. } => self.commit_task = None,
            Event::TailSplit { first, .. } => self.adopt_split_buffers(*first),
            _ => {}
        }
    }

    /// Starts a task for a call, unless the upload or part of the call does not exist any more.
    pub(super) fn start_call(&mut self, upload: &Upload, call: ApiCall) {
        let request = match self.client.par() {
            Some(par) => par_requests::request(par, upload, &self.options, &call),
            None => requests::request(upload, &self.location, &self.options, &call),
        };
        let Some(request) = request else {
            if !matches!(call, ApiCall::Part(_)) && self.client.par().is_some() {
                let result = Err(par_requests::not_allowed());
                self.tasks.spawn(async move { Event::CallDone { call, result } });
            }
            return;
        };
        let upload_id = upload.upload_id().map(str::to_owned);
        if let (ApiCall::Part(PartNumber::FIRST), Some(id)) = (&call, &upload_id) {
            self.client.set_probe_request(&request::list_parts(&self.location, id, None));
        }
        let chunks = match &call {
            ApiCall::Part(number) => self.buffers.get(number).cloned().unwrap_or_default(),
            ApiCall::Put => self.buffers.get(&PartNumber::FIRST).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let progress = Arc::new(SendProgress::default());
        let task = {
            let (client, location) = (self.client.clone(), self.location.clone());
            let (call, progress) = (call.clone(), progress.clone());
            self.tasks.spawn(async move {
                let prepared = PreparedCall { call: call.clone(), request, chunks, upload_id };
                let result = match client.par() {
                    Some(par) => par_requests::perform(&client, par, prepared, &progress).await,
                    None => requests::perform(&client, &location, prepared, &progress).await,
                };
                if !progress.end() {
                    // Its end was reported when it was cancelled.
                    std::future::pending::<()>().await;
                }
                Event::CallDone { call, result }
            })
        };
        match call {
            ApiCall::Commit | ApiCall::Put => {
                self.commit_task = Some((call, SendingTask { task, progress }));
            }
            ApiCall::Part(number) => {
                self.tasks.add_part(number, SendingTask { task, progress });
            }
            _ => {}
        }
    }

    /// Cancels a commit or put that still waits for a connection or a token, and returns its end.
    /// `None` where there is none, or where its first byte has been sent.
    pub(super) fn cancel_unsent_commit(&mut self) -> Option<Event> {
        let (call, SendingTask { task, progress }) = self.commit_task.take()?;
        if !progress.cancel_unsent() {
            return None;
        }
        task.abort();
        let text = "it was not sent any more".to_owned();
        let failure = Failure::Transport { kind: TransportError::Connect, text };
        Some(Event::CallDone { call, result: Err(failure) })
    }

    /// Cuts the buffers from part `first` on into parts of other sizes, and computes their digests.
    pub(super) fn split_tail(&mut self, first: PartNumber, sizes: &[u64]) {
        let buffers = first.and_after().map_while(|number| self.buffers.get(&number));
        let chunks: VecDeque<Bytes> = buffers.flatten().cloned().collect();
        let parts = part_buffers::split(chunks, sizes);
        self.split_buffers.clone_from(&parts);
        let algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let mut digests = Vec::new();
            for part in &parts {
                digests.push(part_buffers::digest_of(algorithm, part).await);
            }
            Event::TailSplit { first, digests }
        });
    }

    /// Replaces the buffers from part `first` on by those of the tail split.
    fn adopt_split_buffers(&mut self, first: PartNumber) {
        self.buffers.retain(|number, _| *number < first);
        self.buffers.extend(first.and_after().zip(self.split_buffers.drain(..)));
    }

    /// Computes the digests of a part again from its buffers.
    pub(super) fn rehash(&mut self, number: PartNumber) {
        let chunks = self.buffers.get(&number).cloned().unwrap_or_default();
        let algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let digest = part_buffers::digest_of(algorithm, &chunks).await;
            Event::Rehashed { number, digest, md5: part_buffers::md5_of(&chunks).await }
        });
    }
}
