//! Performs the actions of the upload machine and reports events to it.
//!
//! Owns the buffers of unacknowledged parts, the tasks in flight and the only loop over them. Must
//! not decide about the upload (`proto::upload`) or about the end of its source
//! (`producer_state`). Invariant: a buffer is released only when the machine asks for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::producer_state::{
    ProducerEvent, ProducerExit, ProducerOutcome, ProducerState, StreamEnd,
};
use super::requests::{self, PreparedCall};
use super::{rehash, tail_split};
use crate::platform::signals::{Signals, StopCounter, StopRequest};
use crate::source::producer::{Producer, STDOUT_HELD_TIMEOUT};
use crate::source::{ReadEvent, Reader};
use crate::term::progress::{ProgressSnapshot, Reporter};
use crate::transfer::client::Client;
use proto::api::{ObjectLocation, PutOptions, request};
use proto::error::{Error, ErrorKind};
use proto::retry::Failure;
use proto::transport_error::TransportError;
use proto::upload::{Action, ApiCall, Event, StoredObject, Upload};

/// How often the progress is updated; the reporter decides what is shown of it, and when.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The session gets no estimate of the end of the upload before this time.
const ETA_AFTER: Duration = Duration::from_secs(30);

/// The source of the bytes while the driver runs.
pub struct RunningSource {
    pub reader: Reader,
    pub producer: Option<Producer>,
    /// The expected size of the stream in bytes.
    pub expected: Option<u64>,
}

/// Runs one upload.
pub struct UploadDriver {
    client: Arc<Client>,
    location: Arc<ObjectLocation>,
    options: Arc<PutOptions>,
    upload: Upload,
    started_at: Instant,
    /// The chunks of each part that is not released.
    buffers: HashMap<u32, Vec<Bytes>>,
    /// The parts of a tail split, while their digests are computed.
    split_buffers: Vec<Vec<Bytes>>,
    tasks: JoinSet<Event>,
    part_tasks: HashMap<u32, AbortHandle>,
    commit_task: Option<CommitTask>,
}

/// A commit or put in flight.
struct CommitTask {
    call: ApiCall,
    task: AbortHandle,
    /// Whether its first byte has been sent.
    sent: Arc<AtomicBool>,
}

/// What the loop uses besides the upload, until the upload ends.
struct RunState<'a> {
    reader: Reader,
    producer: Option<Producer>,
    producer_state: ProducerState,
    expected_size: Option<u64>,
    signals: &'a mut Signals,
    stops: StopCounter,
    /// A signal asked to leave at once.
    stop_now: bool,
    /// The end of the command's process group.
    producer_shutdown: Option<JoinHandle<()>>,
    ticks: Interval,
    reporter: &'a Reporter,
}

/// Why the loop woke up.
enum Wakeup {
    Signal(Error),
    Task(Result<Event, JoinError>),
    Read(Option<ReadEvent>),
    ProducerExited(Result<(), Error>),
    ProducerTimeout,
    UploadTimeout,
    Tick,
}

impl<'a> RunState<'a> {
    fn new(source: RunningSource, signals: &'a mut Signals, reporter: &'a Reporter) -> Self {
        let RunningSource { reader, producer, expected } = source;
        let producer_state = match producer {
            None => ProducerState::without_command(),
            Some(_) => ProducerState::of_command(STDOUT_HELD_TIMEOUT),
        };
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        RunState {
            reader,
            producer,
            producer_state,
            expected_size: expected,
            signals,
            stops: StopCounter::default(),
            stop_now: false,
            producer_shutdown: None,
            ticks,
            reporter,
        }
    }
}

impl UploadDriver {
    pub fn new(
        client: Arc<Client>,
        location: ObjectLocation,
        options: PutOptions,
        upload: Upload,
        started_at: Instant,
    ) -> UploadDriver {
        UploadDriver {
            client,
            location: Arc::new(location),
            options: Arc::new(options),
            upload,
            started_at,
            buffers: HashMap::new(),
            split_buffers: Vec::new(),
            tasks: JoinSet::new(),
            part_tasks: HashMap::new(),
            commit_task: None,
        }
    }

    /// The attempts of the upload that were retried.
    pub fn retries(&self) -> u64 {
        self.upload.retries()
    }

    /// Runs the upload to its end. The error is that of the machine.
    pub async fn run(
        &mut self,
        source: RunningSource,
        signals: &mut Signals,
        reporter: &Reporter,
    ) -> Result<StoredObject, Error> {
        let mut run = RunState::new(source, signals, reporter);
        loop {
            while let Some(action) = self.upload.poll_action() {
                match action {
                    Action::Finish(result) => {
                        self.finish(&mut run).await;
                        return result;
                    }
                    action => self.perform(&mut run, action),
                }
            }
            let wakeup = self.wait(&mut run).await;
            if let Some(event) = self.on_wakeup(&mut run, wakeup) {
                self.before_event(&run, &event);
                let now = self.now();
                self.upload.handle_event(now, event);
            }
        }
    }

    /// Performs one action other than the last, and does not wait for its result.
    fn perform(&mut self, run: &mut RunState<'_>, action: Action) {
        match action {
            Action::StartCall(call) => self.start_call(call),
            Action::Rehash(number) => self.rehash(number),
            Action::SplitTail { first, sizes, saves } => {
                self.split_tail(first, &sizes);
                run.reporter.debug(|| tail_split_message(first, &sizes, saves));
            }
            Action::ReleasePart(number) => drop(self.buffers.remove(&number)),
            Action::CancelParts => self.part_tasks.drain().for_each(|(_, task)| task.abort()),
            Action::StopReading => {
                run.reader.stop();
                run.producer_state.handle_event(self.now(), ProducerEvent::ReadingStopped);
                if let Some(producer) = run.producer.take() {
                    run.producer_shutdown = Some(tokio::spawn(producer.end()));
                }
            }
            Action::Warn(text) => run.reporter.warn(&text),
            Action::Transition { from, to } => {
                run.reporter.debug(|| format!("the upload goes from {from} to {to}"));
            }
            // `run` returns with it.
            Action::Finish(_) => {}
        }
    }

    /// Waits for the next reason to act. Of several, the first in this order counts.
    async fn wait(&mut self, run: &mut RunState<'_>) -> Wakeup {
        let deadline = |at: Option<Duration>| at.map(|at| self.started_at + at);
        let upload_timeout = deadline(self.upload.poll_timeout());
        let producer_timeout = deadline(run.producer_state.poll_timeout());
        let (reading, running) = (run.producer_state.is_reading(), run.producer_state.is_running());
        tokio::select! {
            biased;
            error = run.signals.next() => Wakeup::Signal(error),
            Some(result) = self.tasks.join_next() => Wakeup::Task(result),
            event = run.reader.events.recv(), if reading => Wakeup::Read(event),
            result = exited(&mut run.producer), if running => Wakeup::ProducerExited(result),
            () = until(producer_timeout) => Wakeup::ProducerTimeout,
            () = until(upload_timeout) => Wakeup::UploadTimeout,
            _ = run.ticks.tick() => Wakeup::Tick,
        }
    }

    /// The event for the machine, where the reason to wake up is one.
    fn on_wakeup(&mut self, run: &mut RunState<'_>, wakeup: Wakeup) -> Option<Event> {
        match wakeup {
            Wakeup::Signal(error) => self.on_signal(run, error),
            Wakeup::Task(Ok(event)) => Some(event),
            Wakeup::Task(Err(error)) if error.is_cancelled() => None,
            Wakeup::Task(Err(error)) => Some(Event::Stop(Error::new(
                ErrorKind::Internal,
                format!("a task failed: {error}"),
            ))),
            Wakeup::Read(event) => self.on_read(run, event),
            Wakeup::ProducerExited(result) => {
                let exit = producer_exit(run.producer.as_ref()?, result);
                self.on_producer_event(run, ProducerEvent::Exited(exit))
            }
            // Nothing is read while all buffers are in flight: the end may be in the pipe.
            Wakeup::ProducerTimeout if run.reader.stats().waits_for_buffer() => {
                self.on_producer_event(run, ProducerEvent::NoBuffer(PROGRESS_INTERVAL))
            }
            Wakeup::ProducerTimeout => self.on_producer_event(run, ProducerEvent::Timeout),
            Wakeup::UploadTimeout => {
                let now = self.now();
                self.upload.handle_timeout(now);
                None
            }
            Wakeup::Tick => self.on_tick(run),
        }
    }

    fn on_signal(&mut self, run: &mut RunState<'_>, error: Error) -> Option<Event> {
        match run.stops.signal(self.now()) {
            StopRequest::First => {
                self.cancel_unsent_commit();
                Some(Event::Stop(error))
            }
            StopRequest::Repeated => None,
            StopRequest::Immediate => {
                run.stop_now = true;
                self.upload.abandon();
                None
            }
        }
    }

    /// Takes an event of the reading thread, which keeps none of the bytes.
    fn on_read(&mut self, run: &mut RunState<'_>, event: Option<ReadEvent>) -> Option<Event> {
        match event {
            Some(ReadEvent::Part(part)) => {
                self.buffers.insert(part.number, part.chunks);
                Some(Event::Part { number: part.number, digest: part.digest })
            }
            Some(ReadEvent::MultipartNeeded) => Some(Event::MultipartNeeded),
            Some(ReadEvent::LastPartNext) => Some(Event::LastPartNext),
            Some(ReadEvent::Warning(text)) => {
                run.reporter.warn(&text);
                None
            }
            Some(ReadEvent::EndOfStream { bytes, crc32 }) => {
                let end = StreamEnd { bytes, crc32 };
                self.on_producer_event(run, ProducerEvent::EndOfStream(end))
            }
            Some(ReadEvent::SourceFailed(error)) => self.on_read_failed(run, error),
            None => {
                let text = "the reading thread ended without a word";
                self.on_read_failed(run, Error::new(ErrorKind::Internal, text))
            }
        }
    }

    fn on_read_failed(&mut self, run: &mut RunState<'_>, error: Error) -> Option<Event> {
        run.producer_state.handle_event(self.now(), ProducerEvent::ReadingStopped);
        Some(Event::SourceFailed(error))
    }

    fn on_producer_event(&mut self, run: &mut RunState<'_>, event: ProducerEvent) -> Option<Event> {
        Some(match run.producer_state.handle_event(self.now(), event)? {
            ProducerOutcome::Complete(StreamEnd { bytes, crc32 }) => {
                Event::EndOfStream { bytes, crc32 }
            }
            ProducerOutcome::Failed(error) => Event::SourceFailed(error),
            ProducerOutcome::StdoutStillOpen => {
                Event::SourceFailed(run.producer.as_ref()?.stdout_still_open())
            }
        })
    }

    fn on_tick(&mut self, run: &mut RunState<'_>) -> Option<Event> {
        if run.reader.stats().waits_for_buffer() {
            let no_buffer = ProducerEvent::NoBuffer(PROGRESS_INTERVAL);
            run.producer_state.handle_event(self.now(), no_buffer);
        }
        if self.now() >= ETA_AFTER {
            self.client.session.set_upload_eta(self.upload_eta(run.expected_size));
        }
        run.reporter.update(&self.snapshot(run));
        None
    }

    /// Brings the tasks, buffers and reader in line with an event before the machine takes it.
    fn before_event(&mut self, run: &RunState<'_>, event: &Event) {
        match event {
            Event::CallDone { call: ApiCall::Part(number), .. } => {
                self.part_tasks.remove(number);
            }
            Event::CallDone { call: ApiCall::Commit | ApiCall::Put, .. } => self.commit_task = None,
            Event::CallDone { call: ApiCall::Create, result: Ok(_) } => run.reader.resume(),
            Event::TailSplit { first, .. } => self.adopt_split_buffers(*first),
            _ => {}
        }
    }

    /// Ends the reader, the tasks and the command. A second signal ends the wait for the command.
    async fn finish(&mut self, run: &mut RunState<'_>) {
        run.reader.stop();
        self.tasks.abort_all();
        if let Some(shutdown) = run.producer_shutdown.take()
            && !run.stop_now
        {
            let stopping = run.stops.any();
            tokio::select! {
                _ = shutdown => {}
                () = self.second_signal(run), if stopping => {}
            }
        }
        run.reporter.update(&self.snapshot(run));
    }

    /// Resolves when a signal asks to leave at once.
    async fn second_signal(&self, run: &mut RunState<'_>) {
        loop {
            run.signals.next().await;
            if run.stops.signal(self.now()) == StopRequest::Immediate {
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    fn snapshot(&self, run: &RunState<'_>) -> ProgressSnapshot {
        let (parts_acknowledged, acknowledged) = self.upload.acknowledged();
        ProgressSnapshot {
            read: run.reader.stats().bytes(),
            acknowledged,
            parts_acknowledged,
            parts_in_flight: self.upload.in_flight() as u32,
            retries: self.upload.retries(),
            token_left: self.client.session.remaining(),
            expected: run.expected_size,
            elapsed: self.now(),
            waiting: self.upload.stalled_on().map(str::to_owned),
        }
    }

    /// When the upload ends at its average rate; `None` without an expected size or a rate.
    fn upload_eta(&self, expected_size: Option<u64>) -> Option<SystemTime> {
        let (_, acknowledged) = self.upload.acknowledged();
        let remaining = expected_size?.saturating_sub(acknowledged);
        let rate = acknowledged as f64 / self.now().as_secs_f64();
        if acknowledged == 0 {
            return None;
        }
        let seconds = Duration::try_from_secs_f64(remaining as f64 / rate).ok()?;
        SystemTime::now().checked_add(seconds)
    }

    /// Starts a task for a call, unless the upload or part of the call does not exist any more.
    fn start_call(&mut self, call: ApiCall) {
        let request = requests::request(&self.upload, &self.location, &self.options, &call);
        let Some(request) = request else { return };
        let upload_id = self.upload.upload_id().map(str::to_owned);
        if let (ApiCall::Part(1), Some(id)) = (&call, &upload_id) {
            let probe = request::list_parts(&self.location, id, None);
            self.client.session.set_probe_request(probe.method, &probe.target);
        }
        let chunks = match &call {
            ApiCall::Part(number) => self.buffers.get(number).cloned().unwrap_or_default(),
            ApiCall::Put => self.buffers.get(&1).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let sent = Arc::new(AtomicBool::new(false));
        let task = {
            let (client, location) = (self.client.clone(), self.location.clone());
            let (call, sent) = (call.clone(), sent.clone());
            self.tasks.spawn(async move {
                let prepared = PreparedCall { call: call.clone(), request, chunks, upload_id };
                let result = requests::perform(&client, &location, prepared, &sent).await;
                Event::CallDone { call, result }
            })
        };
        match call {
            ApiCall::Commit | ApiCall::Put => {
                self.commit_task = Some(CommitTask { call, task, sent });
            }
            ApiCall::Part(number) => {
                self.part_tasks.insert(number, task);
            }
            _ => {}
        }
    }

    /// Cancels a commit or put that still waits for a connection or a token: a signal cancels only
    /// a request of which nothing has been sent.
    fn cancel_unsent_commit(&mut self) {
        let Some(CommitTask { call, task, sent }) = self.commit_task.take() else { return };
        if sent.load(Ordering::Acquire) || task.is_finished() {
            return;
        }
        task.abort();
        let text = "it was not sent any more".to_owned();
        let failure = Failure::Transport { kind: TransportError::Connect, text };
        let now = self.now();
        self.upload.handle_event(now, Event::CallDone { call, result: Err(failure) });
    }

    /// Cuts the buffers from part `first` on into parts of other sizes, and computes their digests.
    fn split_tail(&mut self, first: u32, sizes: &[u64]) {
        let buffers = (first..).map_while(|number| self.buffers.get(&number));
        let chunks: VecDeque<Bytes> = buffers.flatten().cloned().collect();
        let parts = tail_split::split(chunks, sizes);
        self.split_buffers.clone_from(&parts);
        let algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let mut digests = Vec::new();
            for part in &parts {
                digests.push(rehash::part(algorithm, part).await);
            }
            Event::TailSplit { first, digests }
        });
    }

    /// Replaces the buffers from part `first` on by those of the tail split.
    fn adopt_split_buffers(&mut self, first: u32) {
        self.buffers.retain(|number, _| *number < first);
        self.buffers.extend((first..).zip(self.split_buffers.drain(..)));
    }

    fn rehash(&mut self, number: u32) {
        let chunks = self.buffers.get(&number).cloned().unwrap_or_default();
        let algorithm = self.options.checksum;
        self.tasks.spawn(async move {
            let digest = rehash::part(algorithm, &chunks).await;
            Event::Rehashed { number, digest, md5: rehash::md5_of(&chunks).await }
        });
    }
}

/// The debug line of a tail split.
fn tail_split_message(first: u32, sizes: &[u64], saves: Duration) -> String {
    format!(
        "the stream has ended: what is left is sent as {} parts from number {first} on, which saves \
         about {:.1} s",
        sizes.len(),
        saves.as_secs_f64()
    )
}

/// How the command exited; `waited` is the result of the wait for its exit.
fn producer_exit(producer: &Producer, waited: Result<(), Error>) -> ProducerExit {
    match waited.and_then(|()| producer.check_exit_status()) {
        Ok(()) => ProducerExit::Success,
        Err(error) if producer.died_of_sigpipe() => ProducerExit::Sigpipe(error),
        Err(error) => ProducerExit::Failure(error),
    }
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
