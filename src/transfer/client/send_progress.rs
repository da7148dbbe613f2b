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
    /// Whether no attempt had begun then, so that the request has had no effect.
    cancelled_unsent: bool,
    ended: bool,
}

impl SendProgress {
    /// An attempt sends its first byte next. False where the request was cancelled: the caller sends nothing.
    #[must_use]
    pub(in crate::transfer) fn start(&self, body: Arc<BodyProgress>) -> bool {
        let mut state = self.lock();
        if state.cancelled {
            body.cancel();
            return false;
        }
        state.body = Some(body);
        true
    }

    /// The request has its result. False where it was cancelled before: the result does not count.
    #[must_use]
    pub(in crate::transfer) fn end(&self) -> bool {
        let mut state = self.lock();
        state.ended = true;
        !state.cancelled_unsent
    }

    /// The attempt that started has sent nothing, and another one follows.
    pub(super) fn reset(&self) {
        self.lock().body = None;
    }

    /// Prevents every attempt that has not begun to send. Returns false, and changes nothing, where one has
    /// begun, and where the request has its result.
    pub(in crate::transfer) fn cancel_unsent(&self) -> bool {
        let mut state = self.lock();
        if state.body.is_some() || state.ended {
            return false;
        }
        (state.cancelled, state.cancelled_unsent) = (true, true);
        true
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
        let sending = body();
        assert!(progress.start(sending.sent()));
        assert!(progress.cancel() && progress.cancel());
        assert!(!polls_ready(sending));
        progress.reset();
        let next = body();
        assert!(!progress.start(next.sent()));
        assert!(!polls_ready(next));
        // Before the first attempt.
        let progress = SendProgress::default();
        assert!(progress.cancel());
        let next = body();
        assert!(!progress.start(next.sent()));
        assert!(!polls_ready(next));
    }

    #[test]
    fn an_unsent_request_is_cancelled_before_its_first_byte_or_its_result_and_not_later() {
        let progress = SendProgress::default();
        assert!(progress.cancel_unsent());
        assert!(!progress.start(body().sent()) && !progress.end());
        let progress = SendProgress::default();
        assert!(progress.start(body().sent()));
        assert!(!progress.cancel_unsent() && progress.end());
        // The attempt has found its connection closed, and another one follows.
        let progress = SendProgress::default();
        assert!(progress.start(body().sent()));
        progress.reset();
        assert!(progress.cancel_unsent() && !progress.start(body().sent()));
        // It has failed before it was sent.
        let progress = SendProgress::default();
        assert!(progress.end() && !progress.cancel_unsent());
    }

    #[test]
    fn a_request_whose_body_was_given_to_the_connection_is_not_cancelled() {
        let progress = SendProgress::default();
        let sending = body();
        assert!(progress.start(sending.sent()));
        assert!(polls_ready(sending) && !progress.cancel());
    }
}
