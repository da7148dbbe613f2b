//! Input and output types of the token life cycle.
//!
//! Owns plain values. Must not decide anything. Invariant: no value contains a token.

use std::time::Duration;

use crate::request_fields::RequestFields;

/// The current time by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Since 1970 by the local clock, which may be wrong and may jump. Expiry is compared with it, after
    /// correction by dates of the service.
    pub wall: Duration,
    /// Since an arbitrary start; it never jumps. Delays are measured with it.
    pub monotonic: Duration,
}

/// What the life cycle may do: options of the user, and which services are available.
#[derive(Debug, Clone, Copy)]
pub struct RefreshPolicy {
    /// `--refresh-before`: how long before the expiry a refresh is due.
    pub refresh_before: Option<Duration>,
    /// What replaces the token besides its files.
    pub renewal: Renewal,
    /// Whether a background task is available for time queries.
    pub can_query_time: bool,
    /// `--retry-for`: how long an upload may be blocked.
    pub retry_for: Duration,
    /// Seeds the jitter, by which hosts that started together do not send their refreshes together. Without
    /// it a refresh is sent as late as it may be.
    pub seed: Option<u64>,
}

/// What replaces the current token, besides what another process writes to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The auth service, which exchanges a token that has not expired.
    Refresh,
    /// A service that issues a token for another proof of identity, also after the expiry.
    Issue,
    /// Nothing: only other files help.
    FilesOnly,
    /// Nothing at all: key and token were handed to the process as texts.
    Never,
}

/// The times of a token. They are durations since 1970, by the clock of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenInfo {
    /// The number of this key and token in the run, counted from 1.
    pub generation: u64,
    /// `None` for an API key, which does not expire.
    pub expires: Option<Duration>,
    /// When it was issued, where the token has that.
    pub issued: Option<Duration>,
    /// When the session ends; no refresh gives a token that expires later.
    pub session_end: Option<Duration>,
}

/// The request of an attempt that needs a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningRequest {
    /// A request without stream data.
    Small,
    /// A request with stream data.
    Transfer {
        /// The same for all attempts to transfer the same data.
        transfer_id: u64,
        /// How long the transfer will take; `None` if the rate is not known.
        estimate: Option<Duration>,
    },
    /// AbortMultipartUpload.
    Abort,
}

/// An attempt that has got a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedAttempt {
    /// The number of the token that signed it.
    pub generation: u64,
    /// Its date: the service's time when it was signed, as far as it was known, since 1970.
    pub date: Duration,
    /// The time from signing to the response.
    pub took: Duration,
}

/// What an attempt must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenDecision {
    /// Sign with the current token.
    Use,
    /// Wait for one refresh, which will give a token that outlives the transfer, then ask again. Returned
    /// once for each transfer.
    RefreshFirst,
    /// Wait, and ask again after a second or when another token is adopted.
    Wait,
    /// Give up: nothing can be expected to help, or the upload was blocked for `retry_for`.
    TimedOut,
}

/// What the background task must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundTask {
    /// Send a refresh.
    Refresh(RefreshReason),
    /// Send a probe.
    Probe,
    /// Query the service for its time: the token has expired by the local clock, or the clock has jumped.
    AskTime,
    /// Ask again after this time, or earlier after any other call.
    Idle(Duration),
}

/// Why a token is refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshReason {
    /// The token expires within `refresh_before`.
    Due,
    /// A transfer would outlast the token.
    Transfer,
    /// The service rejected the token.
    Rejected,
}

/// How a refresh ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The new token expires later, and has been adopted.
    Extended,
    /// The new token expires no later.
    NotExtended,
    /// There is no new token: the error, how long the service asks to wait, and its response.
    Failed {
        /// The error.
        why: String,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
        /// Its response.
        request: Option<Box<RequestFields>>,
    },
}

/// What the attempt that failed with a 401 must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On401 {
    /// Retry with the current token and clock.
    Retry(NotThisToken),
    /// Read the credential files again, then ask [`decide`](super::TokenLifecycle::decide).
    RereadFiles,
}

/// Why a 401 does not concern the current token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotThisToken {
    /// The date of the request was too far from the service's clock.
    Date,
    /// Another token has taken the place of the rejected one.
    Replaced,
    /// The token has expired since the request was signed.
    Expired,
}

/// Why the upload is blocked, as the warning about it names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockCause {
    /// The token has expired.
    Expired,
    /// The service rejects requests that the token signs.
    Rejected,
}

/// The key that a candidate token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKey {
    /// The key in use.
    Current,
    /// Another one, which a login or another process has made.
    Other,
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// The service accepted the token.
    Accepted,
    /// The service rejected the token.
    Rejected,
    /// There was no response, or one that shows neither.
    Unanswered,
}

/// When the upload will end, as a duration since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadEta {
    /// There is no estimate yet.
    NotEstimated,
    /// The length of the stream is not known.
    Unknown,
    At(Duration),
}
