//! The faults of a simulated run: requests that fail, lose their response or are answered with a
//! spurious 404.
//!
//! Owns the choice of a fault. Must not know the state machine. Invariant: a fault with a lost
//! response leaves open whether the service performs the request.

use super::*;

/// How many requests meet a fault.
#[derive(Clone, Copy)]
pub(super) struct FaultRate {
    /// The percentage of requests with a fault.
    pub percent: u32,
    /// There are no faults after this time.
    pub until: Duration,
}

/// The 404 of a missing bucket; that of a HEAD has no error code.
pub(super) fn bucket_not_found(call: &ApiCall) -> Failure {
    Model::rejection(404, if *call == ApiCall::Head { "" } else { "BucketNotFound" })
}

pub(super) fn transport_failure(kind: TransportError, text: &str) -> Failure {
    Failure::Transport { kind, text: text.to_owned() }
}

impl Harness {
    /// Schedules what a random fault does to a request.
    pub(super) fn schedule_fault(&mut self, latency: Duration, request: SentRequest) {
        let call = request.call.clone();
        let without_response = Scheduled::RequestWithoutResponse(request);
        let response_lost = |text| transport_failure(TransportError::ResponseLost, text);
        let failure = match self.rng.u32(..11) {
            0 => transport_failure(TransportError::Connect, "refused"),
            1 => response_lost("reset before the request"),
            2 => {
                self.schedule(latency, without_response);
                response_lost("reset after the request")
            }
            3 => {
                // The service performs the request when a later attempt may have succeeded already.
                let late = Duration::from_secs(self.rng.u64(..40));
                self.schedule(late, without_response);
                response_lost("stalled, performed late")
            }
            4 => Model::rejection(503, "ServiceUnavailable"),
            5 => Model::rejection(429, "TooManyRequests"),
            6 => Model::rejection(500, "InternalServerError"),
            7 => {
                self.schedule(latency, without_response);
                Model::rejection(500, "InternalServerError")
            }
            8 => Model::rejection(409, "ConcurrentObjectUpdate"),
            9 => {
                if self.rng.bool() {
                    self.schedule(latency, without_response);
                }
                let timeout = transport_failure(TransportError::Timeout, "no byte moved");
                return self.schedule_failure(60 * SECOND, call, timeout);
            }
            _ => Model::rejection(401, "NotAuthenticated"),
        };
        self.schedule_failure(latency, call, failure);
    }

    /// Whether a request is answered with a spurious 404, or with that of a forbidden operation.
    pub(super) fn draw_not_found(&mut self, call: &ApiCall) -> bool {
        let spurious =
            self.spurious_percent > 0 && self.spurious_rng.u32(..100) < self.spurious_percent;
        spurious || self.forbidden.contains(&call.operation())
    }

    /// Whether the first four requests were answered with a 404, so that the bucket seems missing.
    pub(super) fn bucket_seems_missing(&self) -> bool {
        self.leading_not_found.is_some_and(|count| count >= 4)
    }
}
