//! How long a transfer waited, by cause, added up from its progress.
//!
//! Owns the assignment of time to causes. Must not know how progress is shown. Invariant: a moment counts
//! for at most one cause, the activity that was seen at its end.

use std::time::Duration;

use super::activity::TransferActivity;
use proto::run_metrics::WaitTimes;

/// Adds the time since the last snapshot to what its activity waits for.
pub(super) fn add(waits: &mut WaitTimes, activity: TransferActivity, time: Duration) {
    let sum = match activity {
        TransferActivity::AwaitingProducer => &mut waits.producer,
        TransferActivity::AwaitingLine => &mut waits.line,
        TransferActivity::AwaitingToken => &mut waits.token,
        TransferActivity::AwaitingService => &mut waits.service,
        _ => return,
    };
    *sum += time;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_for_the_cause_that_is_seen() {
        let mut waits = WaitTimes::default();
        for activity in TransferActivity::ALL {
            add(&mut waits, activity, Duration::from_secs(1));
        }
        add(&mut waits, TransferActivity::AwaitingToken, Duration::from_secs(3));
        let second = Duration::from_secs(1);
        let token = Duration::from_secs(4);
        assert_eq!(waits, WaitTimes { producer: second, line: second, token, service: second });
    }
}
