//! What there is to tell about the life of a token.
//!
//! Pure. Must not hold a token or any part of one. Invariant: what stays true is said once.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::{Clocks, NotThisToken, ProbeResult, RefreshReason, TokenLifecycle};

/// Something to tell. Moments are since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEvent {
    Refreshing {
        reason: RefreshReason,
    },
    RefreshFailed {
        why: String,
        again: Duration,
        first: bool,
    },
    /// A refresh gave a token that ends no later.
    NotExtended {
        expires: Duration,
    },
    Adopted {
        expires: Option<Duration>,
        origin: CredentialOrigin,
    },
    /// An attempt is signed with the present pair.
    Using {
        generation: u64,
        left: Option<Duration>,
    },
    /// The files were read again, and what came of it.
    FilesRead {
        found: FileState,
    },
    /// An attempt waits for a token that outlives it.
    RefreshFirst {
        takes: Duration,
        left: Option<Duration>,
    },
    /// A refusal that says nothing of the present token.
    Stale {
        stale: NotThisToken,
    },
    /// Another process refreshes this session; its result is waited for.
    Locked,
    Probing,
    /// The service is asked for the time.
    QueryingTime,
    /// The service refused the present token, under a date it accepts.
    Refused,
    Probed {
        how: ProbeResult,
    },
    Waiting {
        since: Duration,
        until: Duration,
        refused: bool,
        /// How to begin a new session, filled in by who knows it.
        login: String,
    },
    /// The token has ended while nothing had to be sent.
    Ended {
        login: String,
    },
    Resumed,
    Skew {
        seconds: i64,
    },
    SessionEnds {
        end: Duration,
    },
    EndsBeforeUpload {
        end: Duration,
        likely: Option<Duration>,
    },
    /// The files cannot be used; the present pair is kept.
    FilesUnusable {
        what: String,
    },
    /// The new token lives in memory only.
    NotWritten {
        what: String,
    },
    /// The key in the file is not the one the profile names.
    Fingerprint {
        what: String,
    },
}

/// Where a pair came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialOrigin {
    Files,
    Refresh,
}

/// What a look at the files found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// What is in use already.
    Same,
    /// Another pair, which takes its place.
    Better,
    /// Another pair, which is no better: it ends earlier, or has ended.
    Worse,
    /// Nothing that can be used: what is wrong with it.
    Unusable(String),
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warning,
}

/// What has been said already.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub skew: bool,
    /// The end of the token that could not be prolonged.
    pub not_longer: Option<Duration>,
    pub noted: Option<TokenEvent>,
    /// The end of the token that ended while nothing had to be sent.
    pub ended: Option<Duration>,
    session_end: Option<Duration>,
    too_early: Option<Duration>,
}

/// Where no end of the upload is known, a session that ends within this is worth a warning.
const SHORT_LIFETIME: Duration = Duration::from_secs(2 * 3600);

impl TokenLifecycle {
    /// Says when the session ends, and warns where the upload will not.
    pub(super) fn report_session_end(&mut self, now: Clocks) {
        let expires = self.token.expires;
        let stuck = expires.is_some() && self.reported.not_longer == expires;
        let Some(end) = self.token.session_end.or(expires.filter(|_| stuck)) else { return };
        if self.reported.session_end != Some(end) {
            self.reported.session_end = Some(end);
            self.events.push(TokenEvent::SessionEnds { end });
        }
        let early = match self.upload_eta {
            None => false,
            Some(Some(likely)) => likely > end,
            Some(None) => end.saturating_sub(self.clock(now)) < SHORT_LIFETIME,
        };
        if early && self.reported.too_early != Some(end) {
            self.reported.too_early = Some(end);
            let likely = self.upload_eta.flatten();
            self.events.push(TokenEvent::EndsBeforeUpload { end, likely });
        }
    }
}

impl TokenEvent {
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
            TokenEvent::Adopted { .. }
            | TokenEvent::Refused
            | TokenEvent::Resumed
            | TokenEvent::SessionEnds { .. } => Level::Info,
            _ => Level::Warning,
        }
    }
}

impl fmt::Display for TokenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenEvent::Refreshing { reason } => {
                let why = match reason {
                    RefreshReason::Due => "it ends soon",
                    RefreshReason::Transfer => "a transfer would outlast it",
                    RefreshReason::Refused => "the service refused it",
                };
                write!(f, "refreshing the session token: {why}")
            }
            TokenEvent::RefreshFailed { why, again, .. } => write!(
                f,
                "the session token could not be refreshed ({why}); trying again in {}",
                DisplayDuration(*again)
            ),
            TokenEvent::NotExtended { expires } => write!(
                f,
                "the service gave no more time to this session: its token ends at {}",
                DisplayTime(*expires)
            ),
            TokenEvent::Adopted { expires, origin } => {
                match origin {
                    CredentialOrigin::Files => {
                        f.write_str("took up the changed credentials from disk")?
                    }
                    CredentialOrigin::Refresh => f.write_str("the session token was refreshed")?,
                }
                match expires {
                    Some(expires) => write!(f, "; valid until {}", DisplayTime(*expires)),
                    None => Ok(()),
                }
            }
            TokenEvent::Using { generation, left } => {
                write!(f, "signing with credentials no. {generation}, which are not known to be ")?;
                match left {
                    Some(left) => write!(f, "refused and have {} left", DisplayDuration(*left)),
                    None => f.write_str("refused and have no end"),
                }
            }
            TokenEvent::FilesRead { found } => {
                f.write_str("looked at the files of the credentials: ")?;
                match found {
                    FileState::Same => f.write_str("they hold what is in use"),
                    FileState::Better => f.write_str("they hold others, which are taken up"),
                    FileState::Worse => f.write_str("they hold others, which last no longer"),
                    FileState::Unusable(what) => {
                        write!(f, "not usable for now ({what}), keeping those in use")
                    }
                }
            }
            TokenEvent::RefreshFirst { takes, left } => write!(
                f,
                "a transfer of about {} would outlast the session token, which has {} left: \
                 waiting for another",
                DisplayDuration(*takes),
                DisplayDuration(left.unwrap_or_default())
            ),
            TokenEvent::Stale { stale } => {
                f.write_str("a 401 that says nothing of the present credentials: ")?;
                f.write_str(match stale {
                    NotThisToken::Date => "its request was dated by a wrong clock",
                    NotThisToken::Replaced => "its request was signed with older ones",
                    NotThisToken::Ended => "they have come to their end meanwhile",
                })
            }
            TokenEvent::Locked => f.write_str(
                "another process is refreshing this session; waiting for what comes of it",
            ),
            TokenEvent::Probing => {
                f.write_str("probing with a small request whether the credentials are accepted")
            }
            TokenEvent::QueryingTime => {
                f.write_str("asking the service for the time, since the local clock may be wrong")
            }
            TokenEvent::Refused => f.write_str("the service refused the credentials (401)"),
            TokenEvent::Probed { how } => match how {
                ProbeResult::Accepted => {
                    f.write_str("a probe found the credentials accepted again")
                }
                ProbeResult::Refused => f.write_str("a probe found the credentials still refused"),
                ProbeResult::Unanswered => f.write_str("a probe of the credentials got no answer"),
            },
            TokenEvent::Waiting { since, until, refused, login } => {
                let why = if *refused { "are refused" } else { "have expired" };
                write!(
                    f,
                    "the upload waits since {} because the credentials {why}; it goes on by \
                     itself once there are new ones, and gives up at {}",
                    DisplayTime(*since),
                    DisplayTime(*until)
                )?;
                match login.as_str() {
                    "" => Ok(()),
                    login => write!(f, "\n  {login}"),
                }
            }
            TokenEvent::Ended { login } => {
                f.write_str(
                    "the credentials have expired; what the stream brings from now on waits for \
                     new ones",
                )?;
                match login.as_str() {
                    "" => Ok(()),
                    login => write!(f, "\n  {login}"),
                }
            }
            TokenEvent::Resumed => f.write_str("the upload goes on"),
            TokenEvent::Skew { seconds } => {
                let side = if *seconds < 0 { "ahead of" } else { "behind" };
                write!(
                    f,
                    "the local clock is {} {side} the service's; requests are dated by the \
                     service's",
                    DisplayDuration(Duration::from_secs(seconds.unsigned_abs()))
                )
            }
            TokenEvent::SessionEnds { end } => {
                write!(f, "this session ends at {} at the latest", DisplayTime(*end))
            }
            TokenEvent::EndsBeforeUpload { end, likely } => {
                write!(f, "the session ends at {}", DisplayTime(*end))?;
                match likely {
                    Some(likely) => write!(
                        f,
                        ", before the likely end of the upload at {}",
                        DisplayTime(*likely)
                    )?,
                    None => f.write_str(", which may be before the end of the upload")?,
                }
                f.write_str("; a new login while it runs is taken up")
            }
            TokenEvent::FilesUnusable { what } => {
                write!(f, "{what}; going on with the credentials read before")
            }
            TokenEvent::NotWritten { what } => {
                write!(f, "the refreshed token is kept in memory only: {what}")
            }
            TokenEvent::Fingerprint { what } => f.write_str(what),
        }
    }
}

/// A moment as people read it.
pub struct DisplayTime(pub Duration);

impl fmt::Display for DisplayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last second that the form can express.
        let moment = self.0.min(Duration::from_secs(253_402_300_799));
        f.write_str(&httpdate::fmt_http_date(UNIX_EPOCH + moment))
    }
}

/// A length of time as people read it.
pub struct DisplayDuration(pub Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}
