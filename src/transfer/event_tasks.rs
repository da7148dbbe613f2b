//! The tasks in flight of one upload, each of which ends with an event.
//!
//! Owns which of them send parts, and how these are called off. Must not know requests or buffers.
//! Invariant: of a part that was recalled no event follows, and the service cannot have the whole part.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use tokio::task::{self, AbortHandle, JoinError, JoinSet};

use crate::transfer::client::SendProgress;
use proto::part_number::PartNumber;
use proto::upload::Event;

/// A request in flight.
pub(super) struct SendingTask {
    pub(super) task: AbortHandle,
    pub(super) progress: Arc<SendProgress>,
}

/// The tasks in flight.
#[derive(Default)]
pub(super) struct EventTasks {
    tasks: JoinSet<Event>,
    parts: HashMap<PartNumber, SendingTask>,
    /// The tasks of recalled parts.
    recalled: HashSet<task::Id>,
}

impl EventTasks {
    /// Starts a task.
    pub(super) fn spawn(
        &mut self,
        task: impl Future<Output = Event> + Send + 'static,
    ) -> AbortHandle {
        self.tasks.spawn(task)
    }

    /// Notes that a task sends a part.
    pub(super) fn add_part(&mut self, number: PartNumber, task: SendingTask) {
        self.parts.insert(number, task);
    }

    /// Notes that the event of a part was taken.
    pub(super) fn remove_part(&mut self, number: PartNumber) {
        self.parts.remove(&number);
    }

    /// The event of the next task that ends; an error where it was aborted or has panicked. `None`
    /// where no task is in flight.
    pub(super) async fn next(&mut self) -> Option<Result<Event, JoinError>> {
        loop {
            let joined = self.tasks.join_next_with_id().await?;
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            if !self.recalled.remove(&id) {
                return Some(joined.map(|(_, event)| event));
            }
        }
    }

    /// Calls off the parts from `first` on, the highest number first, as long as the service cannot have
    /// the whole part. Returns the lowest number that was called off.
    pub(super) fn recall_parts(&mut self, first: PartNumber) -> Option<PartNumber> {
        let mut numbers: Vec<_> = self.parts.keys().copied().filter(|n| *n >= first).collect();
        numbers.sort_unstable();
        let mut lowest = None;
        for number in numbers.into_iter().rev() {
            if !self.parts.get(&number).is_some_and(|part| part.progress.cancel()) {
                break;
            }
            if let Some(SendingTask { task, .. }) = self.parts.remove(&number) {
                self.recalled.insert(task.id());
                task.abort();
            }
            lowest = Some(number);
        }
        lowest
    }

    /// Aborts the requests of all parts.
    pub(super) fn cancel_parts(&mut self) {
        self.parts.drain().for_each(|(_, part)| part.task.abort());
    }

    /// Aborts all tasks.
    pub(super) fn abort_all(&mut self) {
        self.tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use bytes::Bytes;
    use http_body_util::BodyExt;
    use proto::digest::BufferCrc;

    use super::*;
    use crate::net::RequestBody;

    fn number(n: u32) -> PartNumber {
        PartNumber::new(n).unwrap()
    }

    fn add(tasks: &mut EventTasks, n: u32, task: AbortHandle) -> Arc<SendProgress> {
        let progress = Arc::new(SendProgress::default());
        tasks.add_part(number(n), SendingTask { task, progress: progress.clone() });
        progress
    }

    #[tokio::test]
    async fn parts_are_recalled_down_to_the_first_that_the_service_may_have_and_end_without_an_event()
     {
        let mut tasks = EventTasks::default();
        let mut ended = Vec::new();
        for n in 1..=5 {
            // Part 5 has failed, and its event was not taken.
            let task = match n {
                5 => tasks.spawn(async { Event::LastPartNext }),
                _ => tasks.spawn(pending()),
            };
            ended.push((add(&mut tasks, n, task.clone()), task));
        }
        while !ended[4].1.is_finished() {
            task::yield_now().await;
        }
        // The connection has been given the whole body of part 3.
        let mut body = RequestBody::new(vec![Bytes::from_static(b"abc")], BufferCrc::Crc32, None);
        assert!(ended[2].0.start(body.sent()));
        body.frame().await.unwrap().unwrap();
        assert_eq!(tasks.recall_parts(number(2)), Some(number(4)));
        assert_eq!(tasks.recall_parts(number(2)), None);
        // Parts 1, 2 and 3 go on.
        tasks.spawn(async { Event::MultipartNeeded });
        assert!(matches!(tasks.next().await, Some(Ok(Event::MultipartNeeded))));
        assert!(
            !ended[0].1.is_finished() && !ended[1].1.is_finished() && !ended[2].1.is_finished()
        );
        tasks.cancel_parts();
        for _ in 1..=3 {
            assert!(tasks.next().await.unwrap().unwrap_err().is_cancelled());
        }
        assert!(tasks.next().await.is_none());
    }
}
