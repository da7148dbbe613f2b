//! The end of a run, by itself or by a signal.
//!
//! Owns the order in which reader, tasks, open uploads and command end. Must not know the actions of the upload
//! machine. Invariants: after an immediate stop nothing is waited for; a stop leaves no process of the command's
//! group.

use super::UploadDriver;
use super::run_state::RunState;
use crate::platform::signals::StopRequest;
use proto::error::Error;
use proto::upload::Event;

impl UploadDriver {
    /// What a signal means for the upload.
    pub(super) fn on_signal(&mut self, run: &mut RunState<'_>, error: Error) -> Option<Event> {
        match run.stops.signal(self.now()) {
            StopRequest::First => {
                // The machine has to know first that the request will not be sent.
                if let Some(event) = self.tasks.cancel_unsent_commit() {
                    let now = self.now();
                    self.upload.handle_event(now, event);
                }
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

    /// Ends the reader, the tasks and the command. A second signal ends the wait for the command, whose group is
    /// killed then.
    pub(super) async fn finish(&mut self, run: &mut RunState<'_>) {
        run.reader.stop();
        self.tasks.abort_all();
        if !run.stop_now {
            let (own, messages) = (self.upload.upload_id(), self.upload.messages());
            self.open_uploads.finish(own, messages, run.reporter).await;
        }
        if let Some(producer) = run.producer.take_if(|_| run.stop_now) {
            producer.kill();
        }
        let Some(mut shutdown) = run.producer_shutdown.take() else { return };
        if !run.stop_now {
            let stopping = run.stops.any();
            tokio::select! {
                _ = &mut shutdown => return,
                () = self.second_signal(run), if stopping => {}
            }
        }
        // The drop of the task kills the group.
        shutdown.abort();
        let _ = shutdown.await;
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
}
