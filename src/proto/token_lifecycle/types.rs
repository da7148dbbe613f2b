//! The words that the lifecycle is spoken to in, and answers in.
//!
//! Pure values. Must not decide anything. Invariant: none holds a token.

use std::time::Duration;

/// A moment by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Since 1970 by the local clock, which may be wrong and may jump. Tokens are judged by it.
    pub wall: Duration,
    /// Since any beginning; it never jumps. Delays are measured by it.
    pub monotonic: Duration,
}

/// What the user said.
#[derive(Debug, Clone, Copy)]
pub struct RefreshPolicy {
    /// `--refresh-before`.
    pub refresh_before: Option<Duration>,
    /// Whether there is an auth service that may be called.
    pub can_refresh: bool,
    /// Whether there is somebody to ask the service for the time.
    pub can_query_time: bool,
    /// `--retry-for`.
    pub retry_for: Duration,
}

/// What matters of a key and token. Moments are since 1970, by the clock of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenInfo {
    /// Counts the pairs of a run.
    pub generation: u64,
    /// `None` for an API key, which has no end.
    pub expires: Option<Duration>,
    pub issued: Option<Duration>,
    pub session_end: Option<Duration>,
}

/// What an attempt is, as far as the life of a token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningRequest {
    Small,
    /// A transfer that all attempts at the same data share the number of, and how long it will
    /// take where that can be told.
    Transfer {
        of: u64,
        takes: Option<Duration>,
    },
    /// The abort of an upload.
    Abort,
}

/// What an attempt may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenDecision {
    Use,
    /// A token that outlives the transfer can likely be had: wait for one refresh, then ask again.
    /// This is said once of a transfer.
    RefreshFirst,
    Wait,
    TimedOut,
}

/// What to do in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundTask {
    Refresh(RefreshReason),
    Probe,
    /// Ask the service for the time: by the local clock the token is over, or the clock has jumped.
    AskTime,
    /// Nothing for so long, unless something happens.
    Idle(Duration),
}

/// Why a token is to be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshReason {
    /// Less than `refresh_before` is left.
    Due,
    /// A transfer would outlast it.
    Transfer,
    /// The service refused it.
    Refused,
}

/// How a refresh ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// There is a token with a later end; it has been adopted.
    Extended,
    /// There is a new token, but it ends no later.
    NotExtended,
    /// No token came: what happened instead.
    Failed(String),
}

/// What a refusal (401) of a request means for that request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On401 {
    /// Send it again with what is at hand now.
    Retry(NotThisToken),
    /// Look whether the files changed; then ask for a verdict.
    RereadFiles,
}

/// Why a refusal says nothing of the present token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotThisToken {
    /// The request was dated too far from the service's clock.
    Date,
    /// Another token has taken the place of the refused one.
    Replaced,
    /// It has come to its end meanwhile.
    Ended,
}

/// How a probe was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    Accepted,
    Refused,
    /// Neither: an outage.
    Unanswered,
}
