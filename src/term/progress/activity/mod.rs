//! What a transfer does or waits for, decided from what its driver sees.
//!
//! Pure: the time is an argument. Owns the order of the causes, and how much of the time a stream must
//! be blocked to count as waiting. Must not know how an activity is shown. Invariant: a transfer
//! is `Complete` only if its driver reports that it was verified.

use std::collections::VecDeque;
use std::time::Duration;

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransferStage {
    /// Bytes are read and sent, received or compared.
    #[default]
    Streaming,
    /// The stream has ended, and its last parts are being sent.
    LastParts,
    /// One request stores the whole stream.
    Storing,
    /// The commit was sent, or its outcome is looked up.
    Committing,
    /// The object is compared with what was read.
    Verifying,
    /// The outcome is known: what is left behind is aborted or deleted.
    CleaningUp,
    /// An archived object is being restored.
    Restoring,
    /// The transfer is complete and verified.
    Complete,
}

/// What blocks the stream at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Blocked {
    /// Nothing: bytes are moving.
    #[default]
    No,
    /// A read from the source has not returned.
    BySource,
    /// There is no free buffer, or no byte has arrived: the network is slower than the other end.
    ByLine,
    /// A write to the output has not returned.
    ByOutput,
}

/// What the driver of a transfer sees at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    pub stage: TransferStage,
    pub blocked: Blocked,
    /// Requests fail, and none has succeeded since.
    pub outage: bool,
    /// A request waits for valid credentials.
    pub awaits_token: bool,
}

/// What a transfer does or waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TransferActivity {
    #[default]
    Streaming,
    AwaitingProducer,
    AwaitingLine,
    AwaitingOutput,
    AwaitingToken,
    AwaitingService,
    SendingLastParts,
    Storing,
    Committing,
    Verifying,
    CleaningUp,
    Restoring,
    Complete,
}

impl TransferActivity {
    #[cfg(test)]
    pub(crate) const ALL: [TransferActivity; 13] = [
        TransferActivity::Streaming,
        TransferActivity::AwaitingProducer,
        TransferActivity::AwaitingLine,
        TransferActivity::AwaitingOutput,
        TransferActivity::AwaitingToken,
        TransferActivity::AwaitingService,
        TransferActivity::SendingLastParts,
        TransferActivity::Storing,
        TransferActivity::Committing,
        TransferActivity::Verifying,
        TransferActivity::CleaningUp,
        TransferActivity::Restoring,
        TransferActivity::Complete,
    ];

    /// The name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TransferActivity::Streaming => "streaming",
            TransferActivity::AwaitingProducer => "waiting-for-producer",
            TransferActivity::AwaitingLine => "waiting-for-line",
            TransferActivity::AwaitingOutput => "waiting-for-output",
            TransferActivity::AwaitingToken => "waiting-for-token",
            TransferActivity::AwaitingService => "waiting-for-service",
            TransferActivity::SendingLastParts => "sending-last-parts",
            TransferActivity::Storing => "storing",
            TransferActivity::Committing => "committing",
            TransferActivity::Verifying => "verifying",
            TransferActivity::CleaningUp => "cleaning-up",
            TransferActivity::Restoring => "restoring",
            TransferActivity::Complete => "complete",
        }
    }

    /// What the transfer waits for; `None` if it waits for nothing but its own requests.
    pub(crate) fn awaited(self) -> Option<&'static str> {
        Some(match self {
            TransferActivity::AwaitingProducer => "the producer",
            TransferActivity::AwaitingLine => "the line",
            TransferActivity::AwaitingOutput => "the output",
            TransferActivity::AwaitingToken => "a valid token",
            TransferActivity::AwaitingService => "the service",
            TransferActivity::Restoring => "the restore",
            _ => return None,
        })
    }

    /// A phrase for a line; `None` while the bytes show what happens.
    pub(crate) fn phrase(self) -> Option<&'static str> {
        Some(match self {
            TransferActivity::Streaming => return None,
            TransferActivity::AwaitingProducer => "waiting for the producer",
            TransferActivity::AwaitingLine => "waiting for the line",
            TransferActivity::AwaitingOutput => "waiting for the output",
            TransferActivity::AwaitingToken => "waiting for a valid token",
            TransferActivity::AwaitingService => "waiting for the service",
            TransferActivity::SendingLastParts => "sending the last parts",
            TransferActivity::Storing => "storing the object",
            TransferActivity::Committing => "committing",
            TransferActivity::Verifying => "verifying",
            TransferActivity::CleaningUp => "cleaning up",
            TransferActivity::Restoring => "waiting for the restore",
            TransferActivity::Complete => "complete",
        })
    }

    /// The same in at most 19 columns.
    pub(crate) fn short_phrase(self) -> Option<&'static str> {
        Some(match self {
            TransferActivity::AwaitingProducer => "waits: producer",
            TransferActivity::AwaitingLine => "waits: line",
            TransferActivity::AwaitingOutput => "waits: output",
            TransferActivity::AwaitingToken => "waits: token",
            TransferActivity::AwaitingService => "waits: service",
            TransferActivity::SendingLastParts => "sends last parts",
            TransferActivity::Restoring => "waits: restore",
            other => return other.phrase(),
        })
    }

    /// Whether the activity may begin and end within a moment, so that only one that lasts is worth
    /// a line.
    fn is_momentary(self) -> bool {
        matches!(self, TransferActivity::AwaitingToken | TransferActivity::AwaitingService)
    }
}

/// Decides the activity from a series of observations.
#[derive(Debug, Default)]
pub(crate) struct ActivityTracker {
    /// What blocked the stream within the last `WINDOW`, oldest first.
    samples: VecDeque<(Duration, Blocked)>,
    current: Blocked,
}

impl ActivityTracker {
    const WINDOW: Duration = Duration::from_secs(5);
    /// A shorter series of samples decides nothing.
    const MIN_WINDOW: Duration = Duration::from_secs(2);
    /// Observations that follow each other faster are one sample.
    const SPACING: Duration = Duration::from_millis(100);

    /// The activity at `now`, since the start of the transfer.
    pub(crate) fn observe(&mut self, now: Duration, seen: Observation) -> TransferActivity {
        if seen.stage == TransferStage::Streaming {
            self.sample(now, seen.blocked);
        } else {
            *self = ActivityTracker::default();
        }
        match seen.stage {
            TransferStage::Complete => TransferActivity::Complete,
            _ if seen.awaits_token => TransferActivity::AwaitingToken,
            _ if seen.outage => TransferActivity::AwaitingService,
            TransferStage::LastParts => TransferActivity::SendingLastParts,
            TransferStage::Storing => TransferActivity::Storing,
            TransferStage::Committing => TransferActivity::Committing,
            TransferStage::Verifying => TransferActivity::Verifying,
            TransferStage::CleaningUp => TransferActivity::CleaningUp,
            TransferStage::Restoring => TransferActivity::Restoring,
            TransferStage::Streaming => match self.current {
                Blocked::No => TransferActivity::Streaming,
                Blocked::BySource => TransferActivity::AwaitingProducer,
                Blocked::ByLine => TransferActivity::AwaitingLine,
                Blocked::ByOutput => TransferActivity::AwaitingOutput,
            },
        }
    }

    /// A cause becomes the current one with 4 of 5 samples, and stays so with at least half of them.
    fn sample(&mut self, now: Duration, blocked: Blocked) {
        if self.samples.back().is_some_and(|(at, _)| now < *at + Self::SPACING) {
            return;
        }
        self.samples.push_back((now, blocked));
        while self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > Self::WINDOW) {
            self.samples.pop_front();
        }
        let span = self.samples.front().map_or(Duration::ZERO, |(at, _)| now.saturating_sub(*at));
        if span < Self::MIN_WINDOW {
            return;
        }
        let share = |cause| self.samples.iter().filter(|(_, blocked)| *blocked == cause).count();
        let all = self.samples.len();
        let causes = [Blocked::BySource, Blocked::ByLine, Blocked::ByOutput];
        if let Some(cause) = causes.into_iter().find(|cause| share(*cause) * 5 >= all * 4) {
            self.current = cause;
        } else if share(self.current) * 2 < all {
            self.current = Blocked::No;
        }
    }
}

/// When a progress line is due: in fixed intervals, and at each change of the activity.
#[derive(Debug)]
pub(crate) struct LineSchedule {
    interval: Duration,
    /// Changes count at once, and also those of an object that one request stores.
    every_change: bool,
    next_at: Duration,
    shown: TransferActivity,
    /// The activity that differs from the shown one, and when it began.
    changed: Option<(TransferActivity, Duration)>,
}

impl LineSchedule {
    /// How long a momentary activity must last for a line of its own.
    const MIN_DURATION: Duration = Duration::from_secs(5);

    pub(crate) fn new(interval: Duration, every_change: bool) -> LineSchedule {
        let shown = TransferActivity::default();
        LineSchedule { interval, every_change, next_at: interval, shown, changed: None }
    }

    /// Whether a line is due at `now`. Lines that were due before a late call are not repeated.
    pub(crate) fn is_due(&mut self, now: Duration, activity: TransferActivity) -> bool {
        let due = now >= self.next_at || self.is_change_due(now, activity);
        if due {
            self.shown = activity;
            self.changed = None;
            self.next_at = now.saturating_add(self.interval);
        }
        due
    }

    fn is_change_due(&mut self, now: Duration, activity: TransferActivity) -> bool {
        if activity == self.shown {
            self.changed = None;
            return false;
        }
        if self.every_change {
            return true;
        }
        // An object of one request is stored and verified too soon for a line each.
        let unshown = matches!(activity, TransferActivity::Storing | TransferActivity::Complete)
            || (self.shown, activity) == (TransferActivity::Storing, TransferActivity::Verifying);
        if unshown {
            if activity == TransferActivity::Storing {
                self.shown = activity;
            }
            return false;
        }
        let since = match self.changed {
            Some((changed, since)) if changed == activity => since,
            _ => now,
        };
        self.changed = Some((activity, since));
        !activity.is_momentary() || now.saturating_sub(since) >= Self::MIN_DURATION
    }
}

#[cfg(test)]
mod tests;
