//! What there is to tell about the life of a token.
//!
//! Pure. Must not hold a token or any part of one. Invariant: what stays true is said once.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::{Lifecycle, Now, Probed, Reason, Stale};

/// Something to tell. Moments are since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Refreshing {
        reason: Reason,
    },
    RefreshFailed {
        why: String,
        again: Duration,
        first: bool,
    },
    /// A refresh gave a token that ends no later.
    NotLonger {
        expires: Duration,
    },
    Adopted {
        expires: Option<Duration>,
        origin: Origin,
    },
    /// An attempt is signed with the present pair.
    Using {
        generation: u64,
        left: Option<Duration>,
    },
    /// The files were read again, and what came of it.
    Looked {
        found: Found,
    },
    /// An attempt waits for a token that outlives it.
    RenewFirst {
        takes: Duration,
        left: Option<Duration>,
    },
    /// A refusal that says nothing of the present token.
    Stale {
        stale: Stale,
    },
    /// Another process refreshes this session; its result is waited for.
    Locked,
    Probing,
    /// The service is asked for the time.
    AskingTime,
    /// The service refused the present token, under a date it accepts.
    Refused,
    Probed {
        how: Probed,
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
pub enum Origin {
    Files,
    Refresh,
}

/// What a look at the files found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
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
pub(super) struct Said {
    pub skew: bool,
    /// The end of the token that could not be prolonged.
    pub not_longer: Option<Duration>,
    pub noted: Option<Notice>,
    /// The end of the token that ended while nothing had to be sent.
    pub ended: Option<Duration>,
    session_end: Option<Duration>,
    too_early: Option<Duration>,
}

/// Where no end of the upload is known, a session that ends within this is worth a warning.
const SHORT: Duration = Duration::from_secs(2 * 3600);

impl Lifecycle {
    /// Says when the session ends, and warns where the upload will not.
    pub(super) fn outlook(&mut self, now: Now) {
        let expires = self.facts.expires;
        let stuck = expires.is_some() && self.said.not_longer == expires;
        let Some(end) = self.facts.session_end.or(expires.filter(|_| stuck)) else { return };
        if self.said.session_end != Some(end) {
            self.said.session_end = Some(end);
            self.notices.push(Notice::SessionEnds { end });
        }
        let early = match self.likely_end {
            None => false,
            Some(Some(likely)) => likely > end,
            Some(None) => end.saturating_sub(self.clock(now)) < SHORT,
        };
        if early && self.said.too_early != Some(end) {
            self.said.too_early = Some(end);
            let likely = self.likely_end.flatten();
            self.notices.push(Notice::EndsBeforeUpload { end, likely });
        }
    }
}

impl Notice {
    pub fn level(&self) -> Level {
        match self {
            Notice::Using { .. }
            | Notice::Looked { .. }
            | Notice::RenewFirst { .. }
            | Notice::Stale { .. }
            | Notice::Locked
            | Notice::Probing
            | Notice::AskingTime
            | Notice::Refreshing { .. }
            | Notice::Probed { .. } => Level::Debug,
            Notice::RefreshFailed { first: false, .. } => Level::Debug,
            Notice::Adopted { .. }
            | Notice::Refused
            | Notice::Resumed
            | Notice::SessionEnds { .. } => Level::Info,
            _ => Level::Warning,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Refreshing { reason } => {
                let why = match reason {
                    Reason::Due => "it ends soon",
                    Reason::Transfer => "a transfer would outlast it",
                    Reason::Refused => "the service refused it",
                };
                write!(f, "refreshing the session token: {why}")
            }
            Notice::RefreshFailed { why, again, .. } => write!(
                f,
                "the session token could not be refreshed ({why}); trying again in {}",
                Span(*again)
            ),
            Notice::NotLonger { expires } => write!(
                f,
                "the service gave no more time to this session: its token ends at {}",
                Date(*expires)
            ),
            Notice::Adopted { expires, origin } => {
                match origin {
                    Origin::Files => f.write_str("took up the changed credentials from disk")?,
                    Origin::Refresh => f.write_str("the session token was refreshed")?,
                }
                match expires {
                    Some(expires) => write!(f, "; valid until {}", Date(*expires)),
                    None => Ok(()),
                }
            }
            Notice::Using { generation, left } => {
                write!(f, "signing with credentials no. {generation}, which are not known to be ")?;
                match left {
                    Some(left) => write!(f, "refused and have {} left", Span(*left)),
                    None => f.write_str("refused and have no end"),
                }
            }
            Notice::Looked { found } => {
                f.write_str("looked at the files of the credentials: ")?;
                match found {
                    Found::Same => f.write_str("they hold what is in use"),
                    Found::Better => f.write_str("they hold others, which are taken up"),
                    Found::Worse => f.write_str("they hold others, which last no longer"),
                    Found::Unusable(what) => {
                        write!(f, "not usable for now ({what}), keeping those in use")
                    }
                }
            }
            Notice::RenewFirst { takes, left } => write!(
                f,
                "a transfer of about {} would outlast the session token, which has {} left: \
                 waiting for another",
                Span(*takes),
                Span(left.unwrap_or_default())
            ),
            Notice::Stale { stale } => {
                f.write_str("a 401 that says nothing of the present credentials: ")?;
                f.write_str(match stale {
                    Stale::Date => "its request was dated by a wrong clock",
                    Stale::Replaced => "its request was signed with older ones",
                    Stale::Ended => "they have come to their end meanwhile",
                })
            }
            Notice::Locked => f.write_str(
                "another process is refreshing this session; waiting for what comes of it",
            ),
            Notice::Probing => {
                f.write_str("probing with a small request whether the credentials are accepted")
            }
            Notice::AskingTime => {
                f.write_str("asking the service for the time, since the local clock may be wrong")
            }
            Notice::Refused => f.write_str("the service refused the credentials (401)"),
            Notice::Probed { how } => match how {
                Probed::Accepted => f.write_str("a probe found the credentials accepted again"),
                Probed::Refused => f.write_str("a probe found the credentials still refused"),
                Probed::Unanswered => f.write_str("a probe of the credentials got no answer"),
            },
            Notice::Waiting { since, until, refused, login } => {
                let why = if *refused { "are refused" } else { "have expired" };
                write!(
                    f,
                    "the upload waits since {} because the credentials {why}; it goes on by \
                     itself once there are new ones, and gives up at {}",
                    Date(*since),
                    Date(*until)
                )?;
                match login.as_str() {
                    "" => Ok(()),
                    login => write!(f, "\n  {login}"),
                }
            }
            Notice::Ended { login } => {
                f.write_str(
                    "the credentials have expired; what the stream brings from now on waits for \
                     new ones",
                )?;
                match login.as_str() {
                    "" => Ok(()),
                    login => write!(f, "\n  {login}"),
                }
            }
            Notice::Resumed => f.write_str("the upload goes on"),
            Notice::Skew { seconds } => {
                let side = if *seconds < 0 { "ahead of" } else { "behind" };
                write!(
                    f,
                    "the local clock is {} {side} the service's; requests are dated by the \
                     service's",
                    Span(Duration::from_secs(seconds.unsigned_abs()))
                )
            }
            Notice::SessionEnds { end } => {
                write!(f, "this session ends at {} at the latest", Date(*end))
            }
            Notice::EndsBeforeUpload { end, likely } => {
                write!(f, "the session ends at {}", Date(*end))?;
                match likely {
                    Some(likely) => {
                        write!(f, ", before the likely end of the upload at {}", Date(*likely))?
                    }
                    None => f.write_str(", which may be before the end of the upload")?,
                }
                f.write_str("; a new login while it runs is taken up")
            }
            Notice::FilesUnusable { what } => {
                write!(f, "{what}; going on with the credentials read before")
            }
            Notice::NotWritten { what } => {
                write!(f, "the refreshed token is kept in memory only: {what}")
            }
            Notice::Fingerprint { what } => f.write_str(what),
        }
    }
}

/// A moment as people read it.
pub struct Date(pub Duration);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last second that the form can express.
        let moment = self.0.min(Duration::from_secs(253_402_300_799));
        f.write_str(&httpdate::fmt_http_date(UNIX_EPOCH + moment))
    }
}

/// A length of time as people read it.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}
