//! When to ask the metadata service again, and when to give up.
//!
//! Owns the policy for one reading of the service. Must not know a clock or a connection: elapsed time
//! and random numbers are arguments. Invariants: a host without the service is recognised within 10 s
//! at the start of a run; once a stream is under way, only an answer that rejects the request or the end
//! of the retry budget ends the attempts.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::retry::backoff;

/// How long connecting to the service may take. It is on the same host or one hop away.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a reading may take at the start, all requests and attempts together.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How often the start repeats a request that the service answers with 404, 429 or 5xx, and how often it
/// tries all addresses again after no one answered.
const START_RETRIES: u32 = 3;

/// Why one request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataFailure {
    /// A response with this HTTP status, which is not 200.
    Status(u16),
    /// The connection was refused.
    Refused,
    /// The host has no route to the address.
    NoRoute,
    /// Connecting took longer than [`CONNECT_TIMEOUT`].
    ConnectTimeout,
    /// The connection failed or was silent after it was made, or the response was unusable.
    Broken,
}

/// What to do after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataStep {
    /// Wait, then repeat the request at the address with this index.
    Retry {
        after: Duration,
        base: usize,
    },
    /// Repeat the request at once at the address with this index.
    OtherFamily {
        base: usize,
    },
    GiveUp(MetadataGiveUp),
}

/// Why the service is not asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataGiveUp {
    /// No address can be connected to: the host is probably no instance.
    NoService(MetadataFailure),
    /// The service rejects the request with this HTTP status.
    Rejected(u16),
    /// The service was out of order for as long as was waited; the last failure.
    OutOfOrder(MetadataFailure),
}

/// The attempts of one reading: a few requests that are of use only together.
#[derive(Debug, Clone)]
pub struct MetadataRetry {
    bases: usize,
    base: usize,
    /// Addresses that failed to connect since the last response or pause.
    unreachable: usize,
    /// Pauses.
    retries: u32,
    /// The retry budget of a stream that is under way; `None` at the start.
    streaming: Option<Duration>,
}

impl MetadataRetry {
    /// A reading at the start of a run, with this number of addresses (at least 1).
    pub fn at_start(bases: usize) -> MetadataRetry {
        MetadataRetry { bases: bases.max(1), base: 0, unreachable: 0, retries: 0, streaming: None }
    }

    /// A reading while a stream is under way, for at most `retry_for`. `base` is the index of the address
    /// that answered last.
    pub fn streaming(bases: usize, base: usize, retry_for: Duration) -> MetadataRetry {
        let bases = bases.max(1);
        MetadataRetry {
            base: base.min(bases - 1),
            streaming: Some(retry_for),
            ..MetadataRetry::at_start(bases)
        }
    }

    /// The index of the address for the next request.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Decides after a failed request. `elapsed` is the time since the first request of the reading;
    /// `random` is in 0..1.
    pub fn on_failure(
        &mut self,
        failure: MetadataFailure,
        elapsed: Duration,
        random: f64,
    ) -> MetadataStep {
        match failure {
            MetadataFailure::Status(404 | 408 | 429 | 500..=599) | MetadataFailure::Broken => {
                self.unreachable = 0;
            }
            MetadataFailure::Status(status) => {
                return MetadataStep::GiveUp(MetadataGiveUp::Rejected(status));
            }
            MetadataFailure::Refused
            | MetadataFailure::NoRoute
            | MetadataFailure::ConnectTimeout => {
                self.unreachable += 1;
                self.base = (self.base + 1) % self.bases;
                if self.unreachable < self.bases {
                    return MetadataStep::OtherFamily { base: self.base };
                }
            }
        }
        match self.streaming {
            Some(retry_for) => self.retry_within(retry_for, failure, elapsed, random),
            None => self.retry_at_start(failure, elapsed),
        }
    }

    fn retry_at_start(&mut self, failure: MetadataFailure, elapsed: Duration) -> MetadataStep {
        let none_answered = self.unreachable == self.bases;
        let refused = matches!(failure, MetadataFailure::Refused | MetadataFailure::NoRoute);
        // 1 s, 2 s, 4 s; none after a connect that took its time, which may take it again.
        let after = match failure {
            MetadataFailure::ConnectTimeout => Duration::ZERO,
            _ => Duration::from_secs(1 << self.retries.min(2)),
        };
        let attempt =
            if none_answered { CONNECT_TIMEOUT * self.bases as u32 } else { Duration::ZERO };
        let late = elapsed + after + attempt > START_LIMIT;
        if refused && none_answered || self.retries >= START_RETRIES || late {
            return MetadataStep::GiveUp(match none_answered {
                true => MetadataGiveUp::NoService(failure),
                false => MetadataGiveUp::OutOfOrder(failure),
            });
        }
        self.pause(after)
    }

    fn retry_within(
        &mut self,
        retry_for: Duration,
        failure: MetadataFailure,
        elapsed: Duration,
        random: f64,
    ) -> MetadataStep {
        if elapsed >= retry_for {
            return MetadataStep::GiveUp(MetadataGiveUp::OutOfOrder(failure));
        }
        let after = backoff(self.retries, random, None).min(retry_for - elapsed);
        self.pause(after)
    }

    fn pause(&mut self, after: Duration) -> MetadataStep {
        self.retries += 1;
        self.unreachable = 0;
        MetadataStep::Retry { after, base: self.base }
    }
}

impl fmt::Display for MetadataFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetadataFailure::Status(status) => write!(f, "it answered HTTP {status}"),
            MetadataFailure::Refused => f.write_str("the connection was refused"),
            MetadataFailure::NoRoute => f.write_str("there is no route to it"),
            MetadataFailure::ConnectTimeout => {
                write!(f, "connecting took longer than {} s", CONNECT_TIMEOUT.as_secs())
            }
            MetadataFailure::Broken => f.write_str("the connection broke"),
        }
    }
}

impl MetadataGiveUp {
    /// The error of a run that has no other credentials. `address` is the address that was tried last.
    pub fn into_error(self, address: &str) -> Error {
        let service = format!("the metadata service of the instance ({address})");
        match self {
            MetadataGiveUp::NoService(failure) => {
                Error::credentials(format!("{service} cannot be reached: {failure}")).with_hint(
                    "an instance principal needs an OCI instance, and from a container a route to \
                     169.254.169.254; elsewhere use another --auth mode, or set \
                     OCI_METADATA_BASE_URL",
                )
            }
            MetadataGiveUp::Rejected(status) => Error::credentials(format!(
                "{service} rejects the request: HTTP {status}"
            ))
            .with_hint(
                "the address may belong to something else: check OCI_METADATA_BASE_URL, and \
                         that nothing in between adds X-Forwarded-For",
            ),
            MetadataGiveUp::OutOfOrder(failure) => Error::credentials(format!(
                "{service} does not work: {failure}"
            ))
            .with_hint(
                "it is short of order during maintenance: try again in a minute; on a 404 check \
                     that the address ends in /opc/v2",
            ),
        }
    }
}
