//! What the driver's loop holds besides the upload, from its start to its end.
//!
//! Owns the reader, the producer, the signals and the ticks, and passes what happens to reader and
//! producer to `producer_state`. Must not know parts or requests. Invariant: reading that has stopped is
//! always reported to the producer state.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::PROGRESS_INTERVAL;
use super::line_sampler::LineSampler;
use crate::platform::signals::{Signals, StopCounter};
use crate::source::Reader;
use crate::source::producer::{Producer, STDOUT_HELD_TIMEOUT};
use crate::term::progress::Reporter;
use crate::transfer::producer_state::{
    ProducerEvent, ProducerExit, ProducerOutcome, ProducerState, StreamEnd,
};
use proto::error::Error;
use proto::upload::Event;

/// The source of the bytes while the driver runs.
pub struct RunningSource {
    /// The thread that reads it.
    pub reader: Reader,
    /// The command that writes it, if there is one.
    pub producer: Option<Producer>,
    /// The expected size of the stream in bytes.
    pub expected: Option<u64>,
}

/// What the loop uses besides the upload, until the upload ends.
pub(super) struct RunState<'a> {
    pub(super) reader: Reader,
    pub(super) producer: Option<Producer>,
    pub(super) producer_state: ProducerState,
    pub(super) expected_size: Option<u64>,
    pub(super) signals: &'a mut Signals,
    pub(super) stops: StopCounter,
    /// A signal asked to leave at once.
    pub(super) stop_now: bool,
    /// The end of the command's process group.
    pub(super) producer_shutdown: Option<JoinHandle<()>>,
    pub(super) ticks: Interval,
    pub(super) line_sampler: LineSampler,
    /// Parts that were read are being cut again.
    pub(super) splits_queue: bool,
    pub(super) reporter: &'a Reporter,
}

impl<'a> RunState<'a> {
    pub(super) fn new(
        source: RunningSource,
        signals: &'a mut Signals,
        reporter: &'a Reporter,
    ) -> Self {
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
            line_sampler: LineSampler::default(),
            splits_queue: false,
            reporter,
        }
    }

    /// Ends the reader, and the producer in a task of its own.
    pub(super) fn stop_reading(&mut self, now: Duration) {
        self.reader.stop();
        self.producer_state.handle_event(now, ProducerEvent::ReadingStopped);
        if let Some(producer) = self.producer.take() {
            self.producer_shutdown = Some(tokio::spawn(producer.end()));
        }
    }

    /// The event for the machine after the reader has failed.
    pub(super) fn on_read_failed(&mut self, now: Duration, error: Error) -> Option<Event> {
        let failure = self.on_producer_event(now, ProducerEvent::ReadingStopped);
        failure.or(Some(Event::SourceFailed(error)))
    }

    /// The event for the machine after the command has exited; `waited` is the result of the wait.
    pub(super) fn on_producer_exited(
        &mut self,
        now: Duration,
        waited: Result<(), Error>,
    ) -> Option<Event> {
        let exit = producer_exit(self.producer.as_ref()?, waited);
        self.on_producer_event(now, ProducerEvent::Exited(exit))
    }

    /// The event for the machine, where the producer state ends with this event.
    pub(super) fn on_producer_event(
        &mut self,
        now: Duration,
        event: ProducerEvent,
    ) -> Option<Event> {
        Some(match self.producer_state.handle_event(now, event)? {
            ProducerOutcome::Complete(StreamEnd { bytes, crc32 }) => {
                Event::EndOfStream { bytes, crc32 }
            }
            ProducerOutcome::Failed(error) => Event::SourceFailed(error),
            ProducerOutcome::StdoutStillOpen => {
                Event::SourceFailed(self.producer.as_ref()?.stdout_still_open())
            }
        })
    }
}

/// How the command exited; `waited` is the result of the wait for its exit.
fn producer_exit(producer: &Producer, waited: Result<(), Error>) -> ProducerExit {
    match waited.and_then(|()| producer.check_exit_status()) {
        Ok(()) => ProducerExit::Success,
        Err(error) if producer.died_of_sigpipe() => ProducerExit::Sigpipe(error),
        Err(error) => ProducerExit::Failure(error),
    }
}

/// Resolves when the command has exited; never without a command.
pub(super) async fn exited(producer: &mut Option<Producer>) -> Result<(), Error> {
    match producer {
        Some(producer) => producer.exited().await,
        None => std::future::pending().await,
    }
}
