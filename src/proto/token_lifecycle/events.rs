//! Events of the token life cycle, for the log and the user.
//!
//! Owns the events, their levels, and which of them were emitted already. Must not contain a token or a
//! part of one. Invariant: an event about a lasting condition is emitted once. The texts are in
//! `messages`.

use std::time::Duration;

use super::types::UploadEta;
use super::{
    BlockCause, Clocks, NotThisToken, ProbeResult, RefreshReason, Renewal, TokenLifecycle,
};
use crate::request_fields::RequestFields;

/// An event. Times are durations since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEvent {
    /// A refresh was sent.
    Refreshing {
        /// Why.
        reason: RefreshReason,
    },
    /// A refresh failed.
    RefreshFailed {
        /// The error.
        why: String,
        /// The time until the next refresh.
        again: Duration,
        /// Whether the refresh before did not fail.
        first: bool,
        /// The response, if there was one.
        request: Option<Box<RequestFields>>,
        /// What may be wrong with the settings. The life cycle leaves it empty; the caller fills it in.
        hint: String,
    },
    /// A refresh gave a token that expires no later than the current one.
    NotExtended {
        /// When the current token expires, since 1970.
        expires: Duration,
    },
    /// `--refresh-before` is longer than half of the token's lifetime, which is used in its place.
    RefreshBeforeReduced {
        /// What was asked for.
        given: Duration,
        /// Half of the lifetime.
        most: Duration,
    },
    /// Another token took the place of the current one.
    Adopted {
        /// When it expires, since 1970; `None` for an API key.
        expires: Option<Duration>,
        /// Where it came from.
        origin: CredentialOrigin,
    },
    /// The current token signs an attempt.
    Using {
        /// The number of the token.
        generation: u64,
        /// The remaining lifetime; `None` for an API key.
        left: Option<Duration>,
    },
    /// The credential files were read again.
    FilesRead {
        /// What they have.
        found: FileState,
    },
    /// An attempt waits for a token that outlives it.
    RefreshFirst {
        /// The estimated length of the transfer.
        takes: Duration,
        /// The remaining lifetime of the current token.
        left: Option<Duration>,
    },
    /// A 401 that does not concern the current token.
    Stale {
        /// Why the response does not concern the current token.
        stale: NotThisToken,
    },
    /// Another process refreshes this session, and the life cycle waits for its result.
    Locked,
    /// A probe was sent.
    Probing,
    /// A time query was sent.
    QueryingTime,
    /// The service rejected the current token.
    Rejected,
    /// A probe has ended.
    Probed {
        /// What the response shows.
        how: ProbeResult,
    },
    /// The upload waits for credentials.
    Waiting {
        /// Since when, since 1970.
        since: Duration,
        /// When the upload gives up.
        until: Duration,
        /// Why.
        cause: BlockCause,
        /// What brings new credentials. The life cycle leaves it empty; the caller fills it in.
        hint: String,
    },
    /// The token expired while no request was waiting for it.
    ExpiredWhileIdle {
        /// As in `Waiting`.
        hint: String,
    },
    /// A request succeeded after a wait that was reported.
    Resumed,
    /// The local clock is wrong by this much; positive if the service's clock is ahead.
    Skew {
        /// How far the service's clock is ahead; negative is behind.
        seconds: i64,
    },
    /// The time when the session ends.
    SessionEnds {
        /// When, since 1970.
        end: Duration,
        /// When its present token expires, since 1970, if that is earlier.
        token_ends: Option<Duration>,
    },
    /// The session ends before the upload will.
    EndsBeforeUpload {
        /// When, since 1970.
        end: Duration,
        /// The estimated end of the upload; `None` if it is not known.
        likely: Option<Duration>,
    },
    /// Nothing can replace the token, which ends at this time.
    EndsForGood {
        /// When, since 1970.
        end: Duration,
    },
    /// The credential files cannot be used, and the current key and token stay in use.
    FilesUnusable {
        /// What is wrong with them.
        what: String,
    },
    /// The new token could not be written back and is in memory only.
    NotWritten {
        /// What failed.
        what: String,
    },
    /// The key in the file is not the one that the profile names.
    Fingerprint {
        /// What differs.
        what: String,
    },
}

/// Where a key and token come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// The credential files, which another process or a login has changed.
    Files,
    /// A refresh of this process.
    Refresh,
    /// The API key that was used before the current one, which the service rejects.
    EarlierKey,
}

/// The contents of the credential files, compared with the key and token in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// The same.
    Same,
    /// Others, which are adopted.
    Better,
    /// Others, which expire earlier or have expired.
    Worse,
    /// They cannot be used. The error.
    Unusable(String),
}

/// How the texts of events name the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenName {
    /// The token of a user's session, which a login begins.
    Session,
    /// The token of an instance.
    Instance,
    /// The token of a resource.
    Resource,
    /// The token of a service account of Kubernetes.
    Workload,
    /// The token of an outside identity.
    Exchanged,
}

/// How important an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the debug log only.
    Debug,
    /// A change that is no problem.
    Info,
    /// A problem that the user may have to solve.
    Warning,
}

/// The conditions that were reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Reported {
    /// Whether `Skew` was.
    pub skew: bool,
    /// The expiry of the last token that `NotExtended` was emitted for.
    pub not_extended: Option<Duration>,
    /// The last event of `emit_once`.
    pub last_once: Option<TokenEvent>,
    /// The expiry of the last token that `ExpiredWhileIdle` was emitted for.
    pub expired_idle: Option<Duration>,
    /// The end of the session in the last `SessionEnds`.
    session_end: Option<Duration>,
    /// The end of the session in the last `EndsBeforeUpload`.
    before_upload: Option<Duration>,
}

/// If the end of the upload is not known, a session that ends within this time causes a warning.
const SHORT_LIFETIME: Duration = Duration::from_secs(2 * 3600);

impl TokenLifecycle {
    /// When the credentials end for good, by the service's clock: the session, or a token that is not
    /// extended; `None` where they are renewed without end, or the end is not known.
    pub fn credentials_end(&self) -> Option<Duration> {
        let expires = self.token.expires;
        let is_last = match self.policy.renewal {
            Renewal::Never => return expires,
            // A service that issues tokens has no session that ends.
            Renewal::Issue => false,
            _ => expires.is_some() && self.reported.not_extended == expires,
        };
        self.token.session_end.or(expires.filter(|_| is_last))
    }

    /// Reports when the session ends, and warns if the upload will not have ended by then.
    pub(super) fn report_session_end(&mut self, now: Clocks) {
        let Some(end) = self.credentials_end() else { return };
        if self.policy.renewal == Renewal::Never {
            if self.reported.session_end.replace(end) != Some(end) {
                self.events.push(TokenEvent::EndsForGood { end });
            }
            return;
        }
        if self.reported.session_end != Some(end) {
            self.reported.session_end = Some(end);
            let token_ends = self.token.expires.filter(|expires| *expires < end);
            self.events.push(TokenEvent::SessionEnds { end, token_ends });
        }
        let (is_early, likely) = match self.upload_eta {
            UploadEta::NotEstimated => (false, None),
            UploadEta::Unknown => (end.saturating_sub(self.clock(now)) < SHORT_LIFETIME, None),
            UploadEta::At(eta) => (eta > end, Some(eta)),
        };
        if is_early && self.reported.before_upload != Some(end) {
            self.reported.before_upload = Some(end);
            self.events.push(TokenEvent::EndsBeforeUpload { end, likely });
        }
    }
}

impl TokenEvent {
    /// The response that the event is about, for logs that programs read.
    pub fn request(&self) -> Option<&RequestFields> {
        match self {
            TokenEvent::RefreshFailed { request, .. } => request.as_deref(),
            _ => None,
        }
    }

    /// The level of the event: a repeated failure of a refresh is for the log only.
    pub fn level(&self) -> Level {
        match self {
            TokenEvent::Using { .. }
            | TokenEvent::FilesRead { .. }
            | TokenEvent::RefreshFirst { .. }
            | TokenEvent::Stale { .. }
            | TokenEvent::Locked
            | TokenEvent::Probing
            | TokenEvent::QueryingTime
            | TokenEvent::Refreshing { .. }
            | TokenEvent::Probed { .. } => Level::Debug,
            TokenEvent::RefreshFailed { first: false, .. } => Level::Debug,
            TokenEvent::Adopted { origin: CredentialOrigin::EarlierKey, .. } => Level::Warning,
            TokenEvent::Adopted { .. }
            | TokenEvent::Rejected
            | TokenEvent::Resumed
            | TokenEvent::SessionEnds { .. } => Level::Info,
            _ => Level::Warning,
        }
    }
}
