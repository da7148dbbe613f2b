//! The driver: performs the actions of the upload machine and brings it the events.
//!
//! Owns the buffers that are held for parts, the tasks under way and the only loop over them.
//! Decides nothing. Invariant: a buffer is let go of only when the machine says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::{rehash, requests};
use crate::platform::signals::{Signals, StopCounter, StopRequest};
use crate::source::producer::{Producer, STDOUT_HELD_TIMEOUT};
use crate::source::{ReadEvent, Reader};
use crate::term::progress::{ProgressSnapshot, Reporter};
use crate::transfer::client::Client;
use proto::api::{ObjectLocation, PutOptions, request};
use proto::digest::Algorithm;
use proto::error::{Error, ErrorKind};
use proto::retry::Failure;
use proto::transport_error::TransportError;
use proto::upload::{Action, ApiCall, Event, StoredObject, Upload};

/// How often the progress is looked at; what is shown, and when, the reporter decides.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Before so long nothing is said of when the upload will likely end.
const ETA_AFTER: Duration = Duration::from_secs(30);

/// Where the bytes come from while the driver runs.
pub struct RunningSource {
    pub reader: Reader,
    pub producer: Option<Producer>,
    pub expected: Option<u64>,
}

pub struct UploadDriver {
    pub client: Arc<Client>,
    pub location: Arc<ObjectLocation>,
    pub options: Arc<PutOptions>,
    pub upload: Upload,
    started_at: Instant,
    buffers: HashMap<u32, Vec<Bytes>>,
    /// The end of the stream in other parts, while their digests are computed.
    split_buffers: Vec<Vec<Bytes>>,
    tasks: JoinSet<Event>,
    part_tasks: HashMap<u32, AbortHandle>,
    /// A commit or put under way, and whether its first byte has left.
    commit_task: Option<(ApiCall, AbortHandle, Arc<AtomicBool>)>,
}

/// What the loop woke up for.
enum Wakeup {
    Read(Option<ReadEvent>),
    Event(Event),
    Exited(Result<(), Error>),
    Lingered,
    Tick,
    Timeout,
    Signal(Error),
}

/// How far the command after `--` has come.
#[derive(Default)]
struct ProducerState {
    /// The stream has ended, and waits for the command's exit.
    end: Option<(u64, u32)>,
    exited: bool,
    /// When a stdout still open after the exit is taken as someone else writing. Time in which it
    /// could not be read, for want of a buffer, does not count.
    stdout_deadline: Option<Instant>,
}

impl UploadDriver {
    pub fn new(
        client: Arc<Client>,
        target: ObjectLocation,
        storing: PutOptions,
        upload: Upload,
        started_at: Instant,
    ) -> UploadDriver {
        UploadDriver {
            client,
            location: Arc::new(target),
            options: Arc::new(storing),
            upload,
            started_at,
            buffers: HashMap::new(),
            split_buffers: Vec::new(),
            tasks: JoinSet::new(),
            part_tasks: HashMap::new(),
            commit_task: None,
        }
    }

    /// Runs the upload to its end.
    pub async fn run(
        &mut self,
        source: RunningSource,
        signals: &mut Signals,
        reporter: &Reporter,
    ) -> Result<StoredObject, Error> {
        let RunningSource { mut reader, mut producer, expected } = source;
        let mut reading = true;
        let (mut stops, mut left) = (StopCounter::default(), false);
        let mut ending = ProducerState::default();
        let mut last_words = None;
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::StartCall(call) => self.start_call(call),
                    Action::Rehash(number) => self.rehash(number),
                    Action::SplitTail { first, sizes, saves } => {
                        self.split_tail(first, &sizes);
                        reporter.debug(|| tail_split_message(first, &sizes, saves));
                    }
                    Action::ReleasePart(number) => drop(self.buffers.remove(&number)),
                    Action::CancelParts => {
                        self.part_tasks.drain().for_each(|(_, task)| task.abort());
                    }
                    Action::StopReading => {
                        reading = false;
                        reader.stop();
                        if let Some(producer) = producer.take() {
                            last_words = Some(tokio::spawn(producer.end()));
                        }
                    }
                    Action::Warn(text) => reporter.warn(&text),
                    Action::Transition { from, to } => {
                        reporter.debug(|| format!("the upload goes from {from} to {to}"));
                    }
                    Action::Finish(result) => {
                        reader.stop();
                        self.tasks.abort_all();
                        if let Some(task) = last_words
                            && !left
                        {
                            let told = stops.any();
                            tokio::select! {
                                _ = task => {}
                                () = self.second_signal(signals, &mut stops), if told => {}
                            }
                        }
                        reporter.update(&self.snapshot(&reader, expected));
                        return result;
                    }
                }
            }
            let timeout = self.upload.poll_timeout().map(|at| self.started_at + at);
            let woke = tokio::select! {
                biased;
                error = signals.next() => Wakeup::Signal(error),
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok(event) => Wakeup::Event(event),
                    Err(error) if error.is_cancelled() => continue,
                    Err(error) => Wakeup::Event(Event::Stop(Error::new(
                        ErrorKind::Internal,
                        format!("a task failed: {error}"),
                    ))),
                },
                incoming = reader.events.recv(), if reading => Wakeup::Read(incoming),
                result = exited(&mut producer), if !ending.exited => Wakeup::Exited(result),
                () = until(ending.stdout_deadline) => Wakeup::Lingered,
                () = until(timeout) => Wakeup::Timeout,
                _ = ticks.tick() => Wakeup::Tick,
            };
            let event = match woke {
                Wakeup::Signal(error) => match stops.signal(self.now()) {
                    StopRequest::First => {
                        self.cancel_unsent_commit();
                        Some(Event::Stop(error))
                    }
                    StopRequest::Repeated => None,
                    StopRequest::Immediate => {
                        left = true;
                        self.upload.abandon();
                        None
                    }
                },
                Wakeup::Event(event) => Some(event),
                Wakeup::Read(incoming) => {
                    reading = !matches!(
                        incoming,
                        None | Some(ReadEvent::EndOfStream { .. } | ReadEvent::SourceFailed(_))
                    );
                    self.read(incoming, producer.as_ref(), &mut ending, reporter)
                }
                Wakeup::Exited(result) => {
                    ending.exited = true;
                    if reading {
                        ending.stdout_deadline = Some(Instant::now() + STDOUT_HELD_TIMEOUT);
                    }
                    let judge = |producer: &Producer| match producer.died_of_sigpipe() {
                        true => Ok(()),
                        false => producer.check_exit_status(),
                    };
                    match result.and_then(|()| producer.as_ref().map_or(Ok(()), judge)) {
                        // Whatever else it has written, it is not wanted any more.
                        Err(error) => Some(Event::SourceFailed(error)),
                        Ok(()) => self.end_of_command(producer.as_ref(), &mut ending),
                    }
                }
                // Nothing is read while all buffers are on their way: the end may lie in the pipe.
                Wakeup::Lingered if reader.stats().waits_for_buffer() => {
                    ending.stdout_deadline = Some(Instant::now() + PROGRESS_INTERVAL);
                    None
                }
                Wakeup::Lingered => {
                    ending.stdout_deadline = None;
                    let error = producer.as_ref().map(Producer::stdout_still_open);
                    if reading { error.map(Event::SourceFailed) } else { None }
                }
                Wakeup::Timeout => {
                    let now = self.now();
                    self.upload.handle_timeout(now);
                    None
                }
                Wakeup::Tick => {
                    if let Some(at) = &mut ending.stdout_deadline
                        && reader.stats().waits_for_buffer()
                    {
                        *at += PROGRESS_INTERVAL;
                    }
                    if self.started_at.elapsed() >= ETA_AFTER {
                        self.client.session.set_upload_eta(self.upload_eta(expected));
                    }
                    reporter.update(&self.snapshot(&reader, expected));
                    None
                }
            };
            if let Some(event) = event {
                match &event {
                    Event::CallDone { call: ApiCall::Part(number), .. } => {
                        drop(self.part_tasks.remove(number))
                    }
                    Event::CallDone { call: ApiCall::Commit | ApiCall::Put, .. } => {
                        self.commit_task = None
                    }
                    Event::CallDone { call: ApiCall::Create, result: Ok(_) } => reader.resume(),
                    Event::TailSplit { first, .. } => self.adopt_split_buffers(*first),
                    _ => {}
                }
                let now = self.now();
                self.upload.handle_event(now, event);
            }
        }
    }

    /// Resolves when a signal says that nothing is waited for any more.
    async fn second_signal(&self, signals: &mut Signals, stops: &mut StopCounter) {
        loop {
            signals.next().await;
            if stops.signal(self.now()) == StopRequest::Immediate {
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// What came from the reading thread, as an event; the end waits for the command's exit.
    fn read(
        &mut self,
        incoming: Option<ReadEvent>,
        producer: Option<&Producer>,
        ending: &mut ProducerState,
        reporter: &Reporter,
    ) -> Option<Event> {
        match incoming {
            Some(ReadEvent::Part(filled)) => {
                self.buffers.insert(filled.number, filled.chunks);
                Some(Event::Part { number: filled.number, digest: filled.digest })
            }
            Some(ReadEvent::MultipartNeeded) => Some(Event::MultipartNeeded),
            Some(ReadEvent::LastPartNext) => Some(Event::LastPartNext),
            Some(ReadEvent::Warning(text)) => {
                reporter.warn(&text);
                None
            }
            Some(ReadEvent::SourceFailed(error)) => Some(Event::SourceFailed(error)),
            Some(ReadEvent::EndOfStream { bytes, crc32 }) => {
                ending.end = Some((bytes, crc32));
                ending.stdout_deadline = None;
                match producer {
                    None => Some(Event::EndOfStream { bytes, crc32 }),
                    Some(_) => self.end_of_command(producer, ending),
                }
            }
            None => Some(Event::SourceFailed(Error::new(
                ErrorKind::Internal,
                "the reading thread ended without a word",
            ))),
        }
    }

    /// The stream is whole when it has ended and the command has exited with success.
    fn end_of_command(
        &self,
        producer: Option<&Producer>,
        ending: &mut ProducerState,
    ) -> Option<Event> {
        let ((bytes, crc32), producer) = (ending.end?, producer?);
        if !ending.exited {
            return None;
        }
        Some(match producer.check_exit_status() {
            Ok(()) => Event::EndOfStream { bytes, crc32 },
            Err(error) => Event::SourceFailed(error),
        })
    }

    fn snapshot(&self, reader: &Reader, expected: Option<u64>) -> ProgressSnapshot {
        let (parts_acknowledged, acknowledged) = self.upload.acknowledged();
        ProgressSnapshot {
            read: reader.stats().bytes(),
            acknowledged,
            parts_acknowledged,
            parts_in_flight: self.upload.in_flight() as u32,
            retries: self.upload.retries(),
            token_left: self.client.session.remaining(),
            expected,
            elapsed: self.started_at.elapsed(),
            waiting: self.upload.stalled_on().map(str::to_owned),
        }
    }

    /// When the upload will end at the rate so far, where a size is expected.
    fn upload_eta(&self, expected: Option<u64>) -> Option<SystemTime> {
        let (_, done) = self.upload.acknowledged();
        let left = expected?.saturating_sub(done);
        let rate = done as f64 / self.started_at.elapsed().as_secs_f64();
        if done == 0 {
            return None;
        }
        SystemTime::now().checked_add(Duration::try_from_secs_f64(left as f64 / rate).ok()?)
    }

    fn start_call(&mut self, call: ApiCall) {
        let chunks = match &call {
            ApiCall::Part(number) => self.buffers.get(number).cloned().unwrap_or_default(),
            ApiCall::Put => self.buffers.get(&1).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let request = requests::request(&self.upload, &self.location, &self.options, &call);
        let Some(request) = request else { return };
        if let (ApiCall::Part(1), Some(id)) = (&call, self.upload.upload_id()) {
            let probe = request::list_parts(&self.location, id, None);
            self.client.session.set_probe_request(probe.method, &probe.target);
        }
        let service = self.client.clone();
        let target = self.location.clone();
        let upload_id = self.upload.upload_id().map(str::to_owned);
        let number = match call {
            ApiCall::Part(number) => Some(number),
            _ => None,
        };
        let sent = Arc::new(AtomicBool::new(false));
        let decisive =
            matches!(call, ApiCall::Commit | ApiCall::Put).then(|| (call.clone(), sent.clone()));
        let task = self.tasks.spawn(async move {
            let result =
                requests::perform(&service, &target, &call, (request, chunks), upload_id, &sent)
                    .await;
            Event::CallDone { call, result }
        });
        if let Some((call, sent)) = decisive {
            self.commit_task = Some((call, task, sent));
        } else if let Some(number) = number {
            self.part_tasks.insert(number, task);
        }
    }

    /// Takes back a commit or put that still waits for a connection or a token: a signal cancels
    /// only what has not been sent.
    fn cancel_unsent_commit(&mut self) {
        let Some((call, task, sent)) = self.commit_task.take() else { return };
        if sent.load(Ordering::Acquire) || task.is_finished() {
            return;
        }
        task.abort();
        let text = "it was not sent any more".to_owned();
        let failure = Failure::Transport { kind: TransportError::Connect, text };
        let now = self.now();
        self.upload.handle_event(now, Event::CallDone { call, result: Err(failure) });
    }

    /// Makes parts of other sizes of the bytes held from a part on. Nothing is copied.
    fn split_tail(&mut self, first: u32, sizes: &[u64]) {
        let held = (first..).map_while(|number| self.buffers.get(&number));
        let mut chunks: VecDeque<Bytes> = held.flatten().cloned().collect();
        let piece = |size: &u64| {
            let (mut piece, mut left) = (Vec::new(), *size as usize);
            while left > 0
                && let Some(mut chunk) = chunks.pop_front()
            {
                if chunk.len() > left {
                    chunks.push_front(chunk.split_off(left));
                }
                left -= chunk.len();
                piece.push(chunk);
            }
            piece
        };
        let pieces: Vec<_> = sizes.iter().map(piece).collect();
        self.split_buffers.clone_from(&pieces);
        let algorithm: Algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let mut digests = Vec::new();
            for piece in &pieces {
                digests.push(rehash::part(algorithm, piece).await);
            }
            Event::TailSplit { first, digests }
        });
    }

    /// The parts that were cut take the place of those they were cut from.
    fn adopt_split_buffers(&mut self, first: u32) {
        self.buffers.retain(|number, _| *number < first);
        self.buffers.extend((first..).zip(self.split_buffers.drain(..)));
    }

    fn rehash(&mut self, number: u32) {
        let chunks = self.buffers.get(&number).cloned().unwrap_or_default();
        let algorithm: Algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let digest = rehash::part(algorithm, &chunks).await;
            Event::Rehashed { number, digest, md5: rehash::md5_of(&chunks).await }
        });
    }
}

/// What is said of the end of a stream that is shared among connections.
fn tail_split_message(first: u32, sizes: &[u64], saves: Duration) -> String {
    format!(
        "the stream has ended: what is left is sent as {} parts from number {first} on, which saves \
         about {:.1} s",
        sizes.len(),
        saves.as_secs_f64()
    )
}

async fn exited(producer: &mut Option<Producer>) -> Result<(), Error> {
    match producer {
        Some(producer) => producer.exited().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
