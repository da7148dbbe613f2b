//! A service that all hosts share: its outages and the limit of the tenancy.
//!
//! Owns which requests are let in. Must not know what a request asks for. Invariant: a request that is let
//! in is counted like one that is refused.

use std::time::Duration;

use ocipipe_proto::api::ErrorResponse;
use ocipipe_proto::retry::Failure;
use ocipipe_proto::transport_error::TransportError;

use crate::measure::PerSecond;

/// One round trip.
pub const ROUND_TRIP: Duration = Duration::from_millis(30);
/// The time after which a connection to a silent host fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a service fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Connections are refused.
    Refused,
    /// Packets are lost.
    Silent,
    /// Each request gets 503, with these seconds as `retry-after`.
    Unavailable(Option<u64>),
    /// Each request gets 401, as when the service cannot reach that of the identities.
    Unauthorized,
}

/// A time in which a service fails.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Its first moment.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
    /// What requests get.
    pub fault: Fault,
}

impl Outage {
    /// An outage that begins at a second and lasts for some seconds.
    pub fn at(from: u64, seconds: u64, fault: Fault) -> Outage {
        let from = Duration::from_secs(from);
        Outage { from, to: from + Duration::from_secs(seconds), fault }
    }
}

/// The requests per second that the tenancy may send; others get 429.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Requests per second; as many are let in at once.
    pub rate: f64,
    /// Seconds in `retry-after`.
    pub retry_after: Option<u64>,
}

/// What a service does in a scenario.
#[derive(Debug, Clone, Default)]
pub struct ServicePlan {
    /// Its outages.
    pub outages: Vec<Outage>,
    /// The limit of the tenancy.
    pub limit: Option<Limit>,
}

/// A service while a fleet runs.
pub struct Service {
    plan: ServicePlan,
    /// Requests that the limit lets in now.
    room: f64,
    filled_at: Duration,
    /// All requests.
    pub requests: PerSecond,
    /// Requests that the limit refused.
    pub refused: u64,
}

/// A request that was not let in.
pub struct Rejection {
    /// The time to the answer.
    pub after: Duration,
    /// What the host sees.
    pub failure: Failure,
}

impl Service {
    /// A service that has got no request.
    pub fn new(plan: ServicePlan) -> Service {
        let room = plan.limit.map_or(0.0, |limit| limit.rate);
        Service {
            plan,
            room,
            filled_at: Duration::ZERO,
            requests: PerSecond::default(),
            refused: 0,
        }
    }

    /// Takes a request; `None` if it is let in. In an outage, and where the tenancy sends too many, it is not.
    pub fn receive(&mut self, now: Duration) -> Option<Rejection> {
        self.requests.add(now);
        if let Some(outage) = self.plan.outages.iter().find(|o| o.from <= now && now < o.to) {
            return Some(match outage.fault {
                Fault::Refused => rejected(ROUND_TRIP, transport(TransportError::Connect)),
                Fault::Silent => rejected(CONNECT_TIMEOUT, transport(TransportError::Connect)),
                Fault::Unavailable(retry_after) => {
                    rejected(ROUND_TRIP, response(503, "ServiceUnavailable", retry_after))
                }
                Fault::Unauthorized => {
                    rejected(ROUND_TRIP, response(401, "NotAuthenticated", None))
                }
            });
        }
        let limit = self.plan.limit?;
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.room = (self.room + elapsed * limit.rate).min(limit.rate);
        self.filled_at = now;
        if self.room < 1.0 {
            self.refused += 1;
            return Some(rejected(ROUND_TRIP, response(429, "TooManyRequests", limit.retry_after)));
        }
        self.room -= 1.0;
        None
    }

    /// When an outage breaks a request that is in flight in this time.
    pub fn broken_at(&self, from: Duration, to: Duration) -> Option<Duration> {
        let breaking = self.plan.outages.iter().filter(|o| o.fault != Fault::Unauthorized);
        breaking.map(|o| o.from).find(|start| from < *start && *start <= to)
    }

    /// The end of the last outage; zero without one.
    pub fn recovered_at(&self) -> Duration {
        self.plan.outages.iter().map(|outage| outage.to).max().unwrap_or_default()
    }
}

fn rejected(after: Duration, failure: Failure) -> Rejection {
    Rejection { after, failure }
}

/// A failure without a response.
pub fn transport(kind: TransportError) -> Failure {
    Failure::Transport { kind, text: "the model broke it".to_owned() }
}

/// An error response of the service.
pub fn response(status: u16, code: &str, retry_after: Option<u64>) -> Failure {
    Failure::ErrorResponse(ErrorResponse {
        status,
        code: Some(code.to_owned()),
        request_id: Some("model".to_owned()),
        retry_after,
        ..ErrorResponse::default()
    })
}
