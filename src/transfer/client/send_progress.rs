//! How far the sending of one request has come, for the component that may cancel it.
//!
//! Owns the two answers that a cancellation needs: whether the first byte was sent, and whether the
//! service may have the whole body. Must not know the request. Invariant: after `cancel` has returned true,
//! no attempt of the request sends its whole body.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::BodyProgress;

/// The progress of one request. Without an attempt it was not sent.
#[derive(Debug, Default)]
pub struct SendProgress(Mutex<SendState>);

#[derive(Debug, Default)]
struct SendState {
    /// The body of the attempt that has begun to send.
    body: Option<Arc<BodyProgress>>,
    cancelled: bool,
}

impl SendProgress {
    /// An attempt sends its first byte next.
    pub(in crate::transfer) fn start(&self, body: Arc<BodyProgress>) {
        let mut state = self.lock();
        if state.cancelled {
            body.cancel();
        }
        state.body = Some(body);
    }

    /// The attempt that started has sent nothing, and another one follows.
    pub(super) fn reset(&self) {
        self.lock().body = None;
    }

    /// Whether an attempt has begun to send.
    pub fn has_started(&self) -> bool {
        self.lock().body.is_some()
    }

    /// Withholds the rest of the body from this attempt and later ones. Returns false, and changes
    /// nothing, where the connection has been given the whole body. The caller drops the request.
    pub fn cancel(&self) -> bool {
        let mut state = self.lock();
        state.cancelled |= state.body.as_ref().is_none_or(|body| body.cancel());
        state.cancelled
    }

    fn lock(&self) -> MutexGuard<'_, SendState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::Body;
    use proto::digest::BufferCrc;

    use super::*;
    use crate::net::RequestBody;

    fn body() -> RequestBody {
        RequestBody::new(vec![Bytes::from_static(b"abc")], BufferCrc::Crc32, None)
    }

    fn polls_ready(body: RequestBody) -> bool {
        let mut body = std::pin::pin!(body);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        body.as_mut().poll_frame(&mut context).is_ready()
    }

    #[test]
    fn a_request_that_was_cancelled_sends_no_whole_body_in_this_attempt_or_the_next() {
        let progress = SendProgress::default();
        assert!(!progress.has_started());
        let sending = body();
        progress.start(sending.sent());
        assert!(progress.has_started() && progress.cancel() && progress.cancel());
        assert!(!polls_ready(sending));
        progress.reset();
        let next = body();
        progress.start(next.sent());
        assert!(!polls_ready(next));
        // Before the first attempt.
        let progress = SendProgress::default();
        assert!(progress.cancel());
        let next = body();
        progress.start(next.sent());
        assert!(!polls_ready(next));
    }

    #[test]
    fn a_request_whose_body_was_given_to_the_connection_is_not_cancelled() {
        let progress = SendProgress::default();
        let sending = body();
        progress.start(sending.sent());
        assert!(polls_ready(sending) && !progress.cancel());
    }
}
