//! When the end of a stream counts, where a command writes the stream.
//!
//! Owns the rules about the command after `--`: its exit status, its death by SIGPIPE, and a stdout
//! that stays open after its exit. Must not know processes, pipes or clocks: every time is a
//! `Duration` since the start of the run. Invariant: the stream of a command is complete only when
//! it has ended and the command has exited with status 0.

use std::time::Duration;

use proto::error::Error;

/// How long the end of the stream is waited for after the command has failed: what the stream lacks
/// is part of the failure.
const END_AFTER_FAILURE_TIMEOUT: Duration = Duration::from_secs(1);

/// The rules of one source: its stream, and the command that writes it.
#[derive(Debug)]
pub(super) struct ProducerState {
    command: CommandState,
    stream: StreamState,
    /// How long stdout may stay open after the exit of the command.
    stdout_timeout: Duration,
    stdout_deadline: Option<Duration>,
}

#[derive(Debug)]
enum CommandState {
    /// The stream comes from stdin or a file.
    Absent,
    Running,
    Exited(ProducerExit),
}

#[derive(Debug, Clone)]
enum StreamState {
    Reading,
    Ended(StreamEnd),
    /// It has ended in another way than its format requires.
    Rejected(Error),
    /// Reading failed or was stopped: no end of the stream follows.
    Stopped,
}

/// The end of a stream: its length in bytes, and the CRC of all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamEnd {
    pub bytes: u64,
    pub crc32: u32,
}

/// How the command exited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProducerExit {
    Success,
    /// SIGPIPE: the command wrote after its stdout was closed. The error counts only if the stream
    /// ends and no other component reports why reading was stopped.
    Sigpipe(Error),
    /// Another exit status, another signal, or an exit status that cannot be read.
    Failure(Error),
}

/// What happens to the source.
#[derive(Debug)]
pub(super) enum ProducerEvent {
    EndOfStream(StreamEnd),
    /// The stream has ended, and its format rejects the end.
    EndRejected(Error),
    /// Reading failed or was stopped. Decides the outcome only where the command has failed.
    ReadingStopped,
    Exited(ProducerExit),
    /// The time of `poll_timeout` has come.
    Timeout,
    /// The reader has had no buffer during this time.
    NoBuffer(Duration),
}

/// What the source has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProducerOutcome {
    /// The stream is complete.
    Complete(StreamEnd),
    Failed(Error),
    /// The command has exited, but another process holds its stdout open and may write more.
    StdoutStillOpen,
}

impl ProducerState {
    /// A source without a command: its stream is complete when it ends.
    pub(super) fn without_command() -> ProducerState {
        ProducerState::new(CommandState::Absent, Duration::ZERO)
    }

    /// A source that is a command. `stdout_timeout` is how long its stdout may stay open after its
    /// exit.
    pub(super) fn of_command(stdout_timeout: Duration) -> ProducerState {
        ProducerState::new(CommandState::Running, stdout_timeout)
    }

    fn new(command: CommandState, stdout_timeout: Duration) -> ProducerState {
        let stream = StreamState::Reading;
        ProducerState { command, stream, stdout_timeout, stdout_deadline: None }
    }

    /// Whether the stream may bring more bytes.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.stream, StreamState::Reading)
    }

    /// Whether the exit of the command is still to come.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.command, CommandState::Running)
    }

    /// When `ProducerEvent::Timeout` is due.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.stdout_deadline
    }

    /// Takes an event; returns what the source has come to, where the event decides it.
    pub(super) fn handle_event(
        &mut self,
        now: Duration,
        event: ProducerEvent,
    ) -> Option<ProducerOutcome> {
        match event {
            ProducerEvent::EndOfStream(end) => {
                self.stream = StreamState::Ended(end);
                self.stdout_deadline = None;
                self.outcome()
            }
            ProducerEvent::EndRejected(error) => {
                self.stream = StreamState::Rejected(error);
                // Why the command failed is the cause, and what it wrote the consequence.
                self.stdout_deadline = self.is_running().then_some(now + self.stdout_timeout);
                self.outcome()
            }
            ProducerEvent::ReadingStopped => {
                self.stream = StreamState::Stopped;
                self.stdout_deadline = None;
                self.failure().map(ProducerOutcome::Failed)
            }
            ProducerEvent::Exited(exit) => {
                // The rest of the stream of a command that failed is of no use.
                let timeout = match &exit {
                    ProducerExit::Failure(_) => END_AFTER_FAILURE_TIMEOUT,
                    ProducerExit::Success | ProducerExit::Sigpipe(_) => self.stdout_timeout,
                };
                self.stdout_deadline = self.is_reading().then_some(now + timeout);
                self.command = CommandState::Exited(exit);
                self.outcome()
            }
            ProducerEvent::Timeout => {
                self.stdout_deadline.take()?;
                Some(match (self.failure(), &self.stream) {
                    (Some(error), _) => ProducerOutcome::Failed(error),
                    (None, StreamState::Rejected(error)) => ProducerOutcome::Failed(error.clone()),
                    (None, _) => ProducerOutcome::StdoutStillOpen,
                })
            }
            ProducerEvent::NoBuffer(duration) => match (self.failure(), self.stdout_deadline) {
                (Some(error), Some(at)) if now >= at => Some(ProducerOutcome::Failed(error)),
                (Some(_), _) => None,
                // The end of the stream may be in the pipe.
                (None, deadline) => {
                    self.stdout_deadline = deadline.map(|at| at.max(now) + duration);
                    None
                }
            },
        }
    }

    /// Why the command failed, if it exited with a failure.
    fn failure(&self) -> Option<Error> {
        match &self.command {
            CommandState::Exited(ProducerExit::Failure(error)) => Some(self.with_rejection(error)),
            CommandState::Absent | CommandState::Running | CommandState::Exited(_) => None,
        }
    }

    /// The failure of the command; its hint is what the stream lacks, where it has ended already.
    fn with_rejection(&self, failure: &Error) -> Error {
        match &self.stream {
            StreamState::Rejected(rejection) => failure.clone().with_hint(&*rejection.message),
            _ => failure.clone(),
        }
    }

    /// The outcome of a stream that has ended, once the command has exited.
    fn outcome(&self) -> Option<ProducerOutcome> {
        let complete = match &self.stream {
            StreamState::Ended(end) => ProducerOutcome::Complete(*end),
            StreamState::Rejected(error) => ProducerOutcome::Failed(error.clone()),
            StreamState::Reading | StreamState::Stopped => return None,
        };
        match &self.command {
            CommandState::Running => None,
            CommandState::Absent | CommandState::Exited(ProducerExit::Success) => Some(complete),
            CommandState::Exited(ProducerExit::Sigpipe(error) | ProducerExit::Failure(error)) => {
                Some(ProducerOutcome::Failed(self.with_rejection(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const END: StreamEnd = StreamEnd { bytes: 7, crc32: 1 };

    fn command() -> ProducerState {
        ProducerState::of_command(10 * SECOND)
    }

    fn killed() -> Error {
        Error::source("killed")
    }

    #[test]
    fn a_stream_without_a_command_is_complete_when_it_ends() {
        let mut state = ProducerState::without_command();
        assert!(state.is_reading() && !state.is_running());
        let outcome = state.handle_event(SECOND, ProducerEvent::EndOfStream(END));
        assert_eq!(outcome, Some(ProducerOutcome::Complete(END)));
        assert!(!state.is_reading());
    }

    #[test]
    fn a_stream_is_complete_at_the_later_of_its_end_and_the_exit() {
        let exit = || ProducerEvent::Exited(ProducerExit::Success);
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, ProducerEvent::EndOfStream(END)), None);
        assert_eq!(state.poll_timeout(), None);
        let outcome = state.handle_event(900 * SECOND, exit());
        assert_eq!(outcome, Some(ProducerOutcome::Complete(END)));
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, exit()), None);
        assert!(state.is_reading() && !state.is_running());
        let outcome = state.handle_event(2 * SECOND, ProducerEvent::EndOfStream(END));
        assert_eq!(outcome, Some(ProducerOutcome::Complete(END)));
        assert_eq!(state.poll_timeout(), None);
    }

    #[test]
    fn an_exit_with_an_error_fails_the_source_whatever_its_stream_does() {
        let failed = Some(ProducerOutcome::Failed(killed()));
        let exited = || {
            let mut state = command();
            let exit = ProducerEvent::Exited(ProducerExit::Failure(killed()));
            assert_eq!(state.handle_event(SECOND, exit), None);
            assert_eq!(state.poll_timeout(), Some(2 * SECOND));
            state
        };
        assert_eq!(exited().handle_event(SECOND, ProducerEvent::EndOfStream(END)), failed);
        assert_eq!(exited().handle_event(SECOND, ProducerEvent::ReadingStopped), failed);
        // Its stdout stays open.
        assert_eq!(exited().handle_event(2 * SECOND, ProducerEvent::Timeout), failed);
        // No buffer is free to read the end into, which is not waited for.
        let mut state = exited();
        assert_eq!(state.handle_event(SECOND, ProducerEvent::NoBuffer(SECOND)), None);
        assert_eq!(state.poll_timeout(), Some(2 * SECOND));
        assert_eq!(state.handle_event(2 * SECOND, ProducerEvent::NoBuffer(SECOND)), failed);
        // The exit comes after the end.
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, ProducerEvent::EndOfStream(END)), None);
        let exit = ProducerEvent::Exited(ProducerExit::Failure(killed()));
        assert_eq!(state.handle_event(2 * SECOND, exit), failed);
    }

    #[test]
    fn a_command_that_failed_is_the_cause_of_a_stream_that_is_not_whole() {
        let rejected = || ProducerEvent::EndRejected(Error::source("not whole"));
        let exit = |how| ProducerEvent::Exited(how);
        let cause = Some(ProducerOutcome::Failed(killed().with_hint("not whole")));
        // The stream ends before the command exits, and after it.
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, rejected()), None);
        assert!(!state.is_reading() && state.is_running());
        let failure = exit(ProducerExit::Failure(killed()));
        assert_eq!(state.handle_event(2 * SECOND, failure), cause);
        for how in [ProducerExit::Sigpipe(killed()), ProducerExit::Failure(killed())] {
            let mut state = command();
            assert_eq!(state.handle_event(SECOND, exit(how)), None);
            assert_eq!(state.handle_event(2 * SECOND, rejected()), cause);
        }
        // A command that succeeds, that does not exit, and no command.
        let alone = Some(ProducerOutcome::Failed(Error::source("not whole")));
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, rejected()), None);
        assert_eq!(state.handle_event(2 * SECOND, exit(ProducerExit::Success)), alone);
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, rejected()), None);
        assert_eq!(state.poll_timeout(), Some(11 * SECOND));
        assert_eq!(state.handle_event(11 * SECOND, ProducerEvent::Timeout), alone);
        let mut state = ProducerState::without_command();
        assert_eq!(state.handle_event(SECOND, rejected()), alone);
    }

    #[test]
    fn a_death_by_sigpipe_fails_the_source_only_if_its_stream_ends() {
        let exit = || ProducerEvent::Exited(ProducerExit::Sigpipe(killed()));
        let failed = Some(ProducerOutcome::Failed(killed()));
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, exit()), None);
        assert_eq!(state.handle_event(SECOND, ProducerEvent::EndOfStream(END)), failed);
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, ProducerEvent::EndOfStream(END)), None);
        assert_eq!(state.handle_event(SECOND, exit()), failed);
        // The component that stopped reading reports why.
        let mut state = command();
        assert_eq!(state.handle_event(SECOND, ProducerEvent::ReadingStopped), None);
        assert_eq!(state.handle_event(SECOND, exit()), None);
        assert_eq!(state.poll_timeout(), None);
    }

    #[test]
    fn a_stdout_that_stays_open_after_the_exit_fails_the_source_after_the_timeout() {
        let mut state = command();
        state.handle_event(5 * SECOND, ProducerEvent::Exited(ProducerExit::Success));
        assert_eq!(state.poll_timeout(), Some(15 * SECOND));
        let outcome = state.handle_event(15 * SECOND, ProducerEvent::Timeout);
        assert_eq!(outcome, Some(ProducerOutcome::StdoutStillOpen));
        assert_eq!(state.poll_timeout(), None);
    }

    #[test]
    fn time_without_a_buffer_to_read_into_does_not_count() {
        let mut state = command();
        state.handle_event(SECOND, ProducerEvent::NoBuffer(SECOND));
        assert_eq!(state.poll_timeout(), None);
        state.handle_event(5 * SECOND, ProducerEvent::Exited(ProducerExit::Success));
        state.handle_event(6 * SECOND, ProducerEvent::NoBuffer(SECOND));
        state.handle_event(7 * SECOND, ProducerEvent::NoBuffer(SECOND));
        assert_eq!(state.poll_timeout(), Some(17 * SECOND));
    }

    #[test]
    fn a_stream_that_was_stopped_is_not_waited_for() {
        let mut state = command();
        state.handle_event(5 * SECOND, ProducerEvent::Exited(ProducerExit::Success));
        assert_eq!(state.handle_event(6 * SECOND, ProducerEvent::ReadingStopped), None);
        assert_eq!(state.poll_timeout(), None);
        assert_eq!(state.handle_event(20 * SECOND, ProducerEvent::Timeout), None);
    }
}
