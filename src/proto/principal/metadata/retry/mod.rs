//! When to ask the metadata service again, and when to give up.
//!
//! Owns the policy for one reading of the service. Must not know a clock or a connection: elapsed time
//! and random numbers are arguments. Invariants: a host without the service is recognised within 10 s
//! at the start of a run; once a stream is under way, only an answer that rejects the request or the end
//! of the retry budget ends the attempts.

use std::fmt;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::retry::backoff;

/// How long connecting to the service may take. It is on the same host or one hop away.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a reading may take at the start, all requests and attempts together. A request that is under
/// way then is to be dropped.
pub const START_LIMIT: Duration = Duration::from_secs(10);

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
        /// How long to wait before.
        after: Duration,
        /// The index of the base URL to ask.
        base: usize,
    },
    /// Repeat the request at once at the address with this index.
    OtherFamily {
        /// The index of the base URL to ask.
        base: usize,
    },
    /// No retry helps.
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

/// A round of the addresses in which none was connected to so far.
#[derive(Debug, Clone, Copy, Default)]
struct Unreachable {
    addresses: usize,
    timed_out: bool,
    /// The failure of the first address of the round, which is that of IPv4 as a rule.
    first: Option<MetadataFailure>,
}

impl Unreachable {
    fn add(&mut self, failure: MetadataFailure) {
        self.addresses += 1;
        self.timed_out |= failure == MetadataFailure::ConnectTimeout;
        self.first.get_or_insert(failure);
    }
}

/// The attempts of one reading: a few requests that are of use only together.
#[derive(Debug, Clone)]
pub struct MetadataRetry {
    bases: usize,
    base: usize,
    /// The addresses that failed to connect since the last response or pause.
    unreachable: Unreachable,
    /// Pauses.
    retries: u32,
    /// The retry budget of a stream that is under way; `None` at the start.
    streaming: Option<Duration>,
}

impl MetadataRetry {
    /// A reading at the start of a run, with this number of addresses (at least 1).
    pub fn at_start(bases: usize) -> MetadataRetry {
        MetadataRetry {
            bases: bases.max(1),
            base: 0,
            unreachable: Unreachable::default(),
            retries: 0,
            streaming: None,
        }
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
                self.unreachable = Unreachable::default();
            }
            MetadataFailure::Status(status) => {
                return MetadataStep::GiveUp(MetadataGiveUp::Rejected(status));
            }
            MetadataFailure::Refused
            | MetadataFailure::NoRoute
            | MetadataFailure::ConnectTimeout => {
                self.unreachable.add(failure);
                self.base = (self.base + 1) % self.bases;
                let late = self.streaming.is_none() && elapsed + CONNECT_TIMEOUT > START_LIMIT;
                if self.unreachable.addresses < self.bases && !late {
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
        // A connect that took its time may have lost its packets; a refused one is an answer.
        let (after, connecting, give_up) = match self.unreachable.first {
            Some(first) if !self.unreachable.timed_out => {
                return MetadataStep::GiveUp(MetadataGiveUp::NoService(first));
            }
            Some(first) => {
                let round = CONNECT_TIMEOUT * self.bases as u32;
                (Duration::ZERO, round, MetadataGiveUp::NoService(first))
            }
            // 1 s, 2 s, 4 s.
            None => {
                let after = Duration::from_secs(1 << self.retries.min(2));
                (after, CONNECT_TIMEOUT, MetadataGiveUp::OutOfOrder(failure))
            }
        };
        if self.retries >= START_RETRIES || elapsed + after + connecting > START_LIMIT {
            return MetadataStep::GiveUp(give_up);
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
        self.unreachable = Unreachable::default();
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

impl std::error::Error for MetadataFailure {}

impl MetadataGiveUp {
    /// The error of a run that has no other credentials. `bases` are the addresses that were tried.
    pub fn into_error(self, bases: &[Endpoint]) -> Error {
        let bases: Vec<String> = bases.iter().map(Endpoint::to_string).collect();
        let service = format!("the metadata service of the instance ({})", bases.join(", "));
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
                "it fails for a short time during maintenance: try again in a minute; on a 404 check \
                     that the address ends in /opc/v2",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
