//! Performs the actions of the upload machine and reports events to it.
//!
//! Owns the loop over signals, tasks, source and timers. Must not decide about the upload
//! (`proto::upload`) or about the end of its source (`producer_state`). Invariant: every action is
//! performed before the loop waits, and only the loop calls the machine.

mod debug_lines;
mod line_sampler;
mod run_state;
mod snapshot;
mod stop;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinError;
use tokio::time::Instant;

use self::debug_lines::{queue_split_message, recall_message, tail_split_message};
use self::run_state::{RunState, exited};
use super::open_uploads::OpenUploads;
use super::producer_state::{ProducerEvent, StreamEnd};
use super::upload_tasks::UploadTasks;
use crate::platform::signals::Signals;
use crate::source::ReadEvent;
use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use proto::api::{ObjectLocation, PutOptions};
use proto::error::{Error, ErrorKind};
use proto::object_digest::ComparedStream;
use proto::upload::{Action, ApiCall, Event, StateKind, StoredObject, Upload};
use proto::whole_stream::WholeStream;

pub use self::run_state::RunningSource;

/// How often the progress is updated; the reporter decides what is shown of it, and when.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The session gets no estimate of the end of the upload before this time.
const ETA_AFTER: Duration = Duration::from_secs(30);

/// Runs one upload.
pub struct UploadDriver {
    client: Arc<Client>,
    upload: Upload,
    started_at: Instant,
    tasks: UploadTasks,
    open_uploads: OpenUploads,
    /// The record of the stream once it has ended, where an object may be compared with it.
    compared: Option<ComparedStream>,
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

impl UploadDriver {
    /// The driver of one upload, which was configured with these options; times count from `started_at`.
    pub fn new(
        client: Arc<Client>,
        location: ObjectLocation,
        options: PutOptions,
        upload: Upload,
        started_at: Instant,
    ) -> UploadDriver {
        let mut open_uploads = OpenUploads::new(&client, location.clone());
        if upload.resumes() {
            open_uploads.skip();
        }
        let tasks = UploadTasks::new(client.clone(), location, options);
        UploadDriver { client, upload, started_at, tasks, open_uploads, compared: None }
    }

    /// The attempts of the upload that were retried.
    pub(crate) fn retries(&self) -> u64 {
        self.upload.retries()
    }

    /// Bytes that the service held before the run, and that were not sent again.
    pub fn held_bytes(&self) -> u64 {
        self.upload.held_bytes()
    }

    /// The upload and the record of its stream, once the run has ended.
    pub(crate) fn into_read(self) -> (Upload, Option<ComparedStream>) {
        (self.upload, self.compared)
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
                if let Some(result) = self.perform(&mut run, action) {
                    self.finish(&mut run).await;
                    if result.is_ok() {
                        run.reporter.update(&self.complete_snapshot(&run));
                    }
                    return result;
                }
            }
            run.reader.set_idle(self.upload.idle_connections());
            let wakeup = self.wait(&mut run).await;
            if let Some(event) = self.on_wakeup(&mut run, wakeup) {
                self.tasks.before_event(&event);
                run.splits_queue &= !matches!(event, Event::TailSplit { .. });
                if let Event::CallDone { call: ApiCall::Create, result: Ok(_) } = event {
                    run.reader.resume();
                }
                let now = self.now();
                let ended = matches!(event, Event::EndOfStream { .. });
                self.upload.handle_event(now, event);
                // A finished upload has nothing left to show: its last action ends the run.
                if ended && self.upload.kind() != StateKind::Finished {
                    run.reporter.update(&self.snapshot(&run, self.upload.kind()));
                }
            }
        }
    }

    /// Starts one action, and does not wait for its end. The last action has the result of the run.
    fn perform(
        &mut self,
        run: &mut RunState<'_>,
        action: Action,
    ) -> Option<Result<StoredObject, Error>> {
        match action {
            Action::StartCall(call) => {
                // The listing comes second: the first call takes the connection that is open.
                let first = matches!(call, ApiCall::Create | ApiCall::Put);
                self.tasks.start_call(&self.upload, call);
                if first {
                    self.open_uploads.start(self.upload.messages(), run.reporter);
                }
            }
            Action::Rehash(number) => self.tasks.rehash(number),
            Action::SplitTail { first, sizes, saves } => {
                self.tasks.split_tail(first, &sizes);
                run.reporter.debug(|| tail_split_message(first, &sizes, saves));
            }
            Action::SplitQueue { first, sizes } => {
                let before = self.upload.next_part_number().map_or(0, |next| next.index());
                let added = sizes.len().saturating_sub(before - first.index().min(before));
                run.reader.add_part_numbers(added as u32);
                run.splits_queue = true;
                self.tasks.split_tail(first, &sizes);
                run.reporter.debug(|| queue_split_message(first, &sizes));
            }
            Action::RecallParts(first) => {
                let first = self.tasks.recall_parts(first);
                let now = self.now();
                self.upload.handle_event(now, Event::PartsRecalled { first });
                run.reporter.debug(|| recall_message(first));
            }
            Action::SetConnections { from, to } => {
                run.reader.set_connections(to);
                run.reporter.debug(|| format!("the upload goes from {from} to {to} connections"));
            }
            Action::ReleasePart(number) => self.tasks.release_part(number),
            Action::ReadOn => run.reader.resume(),
            Action::CancelParts => self.tasks.cancel_parts(),
            Action::StopReading => run.stop_reading(self.now()),
            Action::Warn(warning) => run.reporter.warn_of(&warning),
            Action::Transition { from, to } => {
                run.reporter.debug(|| format!("the upload goes from {from} to {to}"));
                // The last state is shown with the result.
                if to != StateKind::Finished {
                    run.reporter.update(&self.snapshot(run, to));
                }
            }
            Action::Finish(result) => return Some(result),
        }
        None
    }

    /// Waits for the next reason to act. Of several, the first in this order counts.
    async fn wait(&mut self, run: &mut RunState<'_>) -> Wakeup {
        let deadline = |at: Option<Duration>| at.map(|at| self.started_at + at);
        let upload_timeout = deadline(self.upload.poll_timeout());
        let producer_timeout = deadline(run.producer_state.poll_timeout());
        // Parts that come meanwhile would get the numbers of those that are split.
        let reading = run.producer_state.is_reading() && !run.splits_queue;
        let running = run.producer_state.is_running();
        tokio::select! {
            biased;
            error = run.signals.next() => Wakeup::Signal(error),
            Some(result) = self.tasks.next() => Wakeup::Task(result),
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
            Wakeup::ProducerExited(result) => run.on_producer_exited(self.now(), result),
            // Nothing is read while all buffers are in flight: the end may be in the pipe.
            Wakeup::ProducerTimeout if run.reader.stats().waits_for_buffer() => {
                run.on_producer_event(self.now(), ProducerEvent::NoBuffer(PROGRESS_INTERVAL))
            }
            Wakeup::ProducerTimeout => run.on_producer_event(self.now(), ProducerEvent::Timeout),
            Wakeup::UploadTimeout => {
                let now = self.now();
                self.upload.handle_timeout(now);
                None
            }
            Wakeup::Tick => self.on_tick(run),
        }
    }

    /// Takes an event of the reading thread, which keeps none of the bytes.
    fn on_read(&mut self, run: &mut RunState<'_>, event: Option<ReadEvent>) -> Option<Event> {
        match event {
            Some(ReadEvent::Part(part)) => {
                // Earlier parts may have become more parts than the reading thread has counted.
                let number = self.upload.next_part_number().unwrap_or(part.number);
                self.tasks.add_part(number, part.chunks);
                Some(Event::Part { number, digest: part.digest })
            }
            Some(ReadEvent::MultipartNeeded) => Some(Event::MultipartNeeded),
            Some(ReadEvent::LastPartNext) => Some(Event::LastPartNext),
            Some(ReadEvent::Warning(text)) => {
                run.reporter.warn(&text);
                None
            }
            Some(ReadEvent::WholeStream(WholeStream { values, compared })) => {
                self.compared = compared;
                Some(Event::StreamDigests(values))
            }
            Some(ReadEvent::EndOfStream { bytes, crc32 }) => {
                let end = StreamEnd { bytes, crc32 };
                run.on_producer_event(self.now(), ProducerEvent::EndOfStream(end))
            }
            Some(ReadEvent::EndRejected(error)) => {
                run.on_producer_event(self.now(), ProducerEvent::EndRejected(error))
            }
            Some(ReadEvent::SourceFailed(error)) => run.on_read_failed(self.now(), error),
            None => {
                let text = "the reading thread ended without a word";
                run.on_read_failed(self.now(), Error::new(ErrorKind::Internal, text))
            }
        }
    }

    fn on_tick(&mut self, run: &mut RunState<'_>) -> Option<Event> {
        if run.reader.stats().waits_for_buffer() {
            let no_buffer = ProducerEvent::NoBuffer(PROGRESS_INTERVAL);
            run.producer_state.handle_event(self.now(), no_buffer);
        }
        if self.now() >= ETA_AFTER {
            let warning = self.client.set_upload_eta(self.upload_eta(run.expected_size));
            warning.inspect(|text| run.reporter.warn(text));
        }
        run.reporter.update(&self.snapshot(run, self.upload.kind()));
        // Before its id is known, the upload of this run could be taken for another one.
        if let Some(own) = self.upload.upload_id() {
            self.open_uploads.report(Some(own), self.upload.messages(), run.reporter);
        }
        run.line_sampler.sample(&self.client, &run.reader)
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
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
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
