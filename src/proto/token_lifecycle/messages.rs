//! The texts of token events.
//!
//! Owns every text about the life cycle of a token that the user or the log shows. Must not know when an
//! event is emitted. Invariant: a text contains no part of a token.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use super::events::{FileState, TokenName};
use super::{BlockCause, CredentialOrigin, NotThisToken, ProbeResult, RefreshReason, TokenEvent};
use crate::units::{DisplayDuration, DisplayTime};

impl Display for TokenName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            TokenName::Session => "the session token",
            TokenName::Instance => "the instance's token",
            TokenName::Resource => "the resource's token",
            TokenName::Workload => "the service account's token",
            TokenName::Exchanged => "the exchanged token",
        })
    }
}

/// The text of an event, with the name of the token that it is about.
pub struct EventText<'a> {
    event: &'a TokenEvent,
    token: TokenName,
}

impl TokenEvent {
    /// The text of the event. Names the token as `token` does.
    pub fn text(&self, token: TokenName) -> EventText<'_> {
        EventText { event: self, token }
    }
}

// One arm for each event: the function is as long as the list of events.
impl Display for EventText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let token = self.token;
        match self.event {
            TokenEvent::Refreshing { reason } => fmt_refreshing(f, token, *reason),
            TokenEvent::RefreshFailed { why, again, hint, .. } => {
                fmt_refresh_failed(f, token, why, *again)?;
                fmt_hint(f, hint)
            }
            TokenEvent::RefreshBeforeReduced { given, most } => write!(
                f,
                "--refresh-before {} reduced to {}, half of the life of {token}",
                DisplayDuration::compact(*given),
                DisplayDuration::compact(*most)
            ),
            TokenEvent::NotExtended { expires } => fmt_not_extended(f, token, *expires),
            TokenEvent::NotWritten { what } => {
                write!(f, "the refreshed token is kept in memory only: {what}")
            }
            TokenEvent::Locked => f.write_str(
                "another process is refreshing this session; waiting for what comes of it",
            ),
            TokenEvent::Adopted { expires, origin } => fmt_adopted(f, token, *expires, *origin),
            TokenEvent::Using { generation, left } => fmt_using(f, *generation, *left),
            TokenEvent::FilesRead { found } => fmt_files_read(f, found),
            TokenEvent::FilesUnusable { what } => {
                write!(f, "{what}; going on with the credentials read before")
            }
            TokenEvent::Fingerprint { what } => f.write_str(what),
            TokenEvent::RefreshFirst { takes, left } => write!(
                f,
                "a transfer of about {} would outlast {token}, which has {} left: \
                 waiting for another",
                DisplayDuration::prose(*takes),
                DisplayDuration::prose(left.unwrap_or_default())
            ),
            TokenEvent::Rejected => f.write_str("the service refused the credentials (401)"),
            TokenEvent::Stale { stale } => fmt_stale(f, *stale),
            TokenEvent::Probing => {
                f.write_str("probing with a small request whether the credentials are accepted")
            }
            TokenEvent::Probed { how } => fmt_probed(f, *how),
            TokenEvent::Waiting { since, until, cause, hint } => {
                fmt_waiting(f, *since, *until, *cause)?;
                fmt_hint(f, hint)
            }
            TokenEvent::ExpiredWhileIdle { hint } => {
                f.write_str(
                    "the credentials have expired; what the stream brings from now on waits for \
                     new ones",
                )?;
                fmt_hint(f, hint)
            }
            TokenEvent::Resumed => f.write_str("the upload goes on"),
            TokenEvent::QueryingTime => {
                f.write_str("asking the service for the time, since the local clock may be wrong")
            }
            TokenEvent::Skew { seconds } => fmt_skew(f, *seconds),
            TokenEvent::SessionEnds { end, token_ends } => {
                write!(f, "this session ends at {} at the latest", DisplayTime(*end))?;
                match token_ends {
                    Some(at) => {
                        write!(f, ", if its token is refreshed before {}", DisplayTime(*at))
                    }
                    None => Ok(()),
                }
            }
            TokenEvent::EndsForGood { end } => write!(
                f,
                "{token} ends at {}, and nothing can renew it, since the environment holds its text: \
                 an upload that lasts longer fails, unless the variable names a file that is replaced",
                DisplayTime(*end)
            ),
            TokenEvent::EndsBeforeUpload { end, likely } => {
                fmt_ends_before_upload(f, *end, *likely)
            }
        }
    }
}

fn fmt_refreshing(f: &mut Formatter<'_>, token: TokenName, reason: RefreshReason) -> Result {
    let why = match reason {
        RefreshReason::Due => "it ends soon",
        RefreshReason::Transfer => "a transfer would outlast it",
        RefreshReason::Rejected => "the service refused it",
    };
    write!(f, "refreshing {token}: {why}")
}

fn fmt_refresh_failed(
    f: &mut Formatter<'_>,
    token: TokenName,
    why: &str,
    again: Duration,
) -> Result {
    write!(f, "{token} could not be refreshed ({why}); ")?;
    match again {
        // "in 0 s" would be read as a mistake.
        again if again < Duration::from_secs(1) => f.write_str("trying again"),
        again => write!(f, "trying again in {}", DisplayDuration::prose(again)),
    }
}

fn fmt_not_extended(f: &mut Formatter<'_>, token: TokenName, expires: Duration) -> Result {
    let expires = DisplayTime(expires);
    match token {
        TokenName::Session => {
            write!(f, "the service did not extend this session: its token expires at {expires}")
        }
        token => write!(
            f,
            "the service issued no token that lasts longer than the one in use; {token} ends at \
             {expires}"
        ),
    }
}

fn fmt_adopted(
    f: &mut Formatter<'_>,
    token: TokenName,
    expires: Option<Duration>,
    origin: CredentialOrigin,
) -> Result {
    match origin {
        CredentialOrigin::Files => f.write_str("loaded the changed credentials from disk")?,
        CredentialOrigin::Refresh => write!(f, "{token} was refreshed")?,
        CredentialOrigin::EarlierKey => f.write_str(
            "the service refuses the API key in use and accepts the one before it, which is used again; \
             both should be among the API keys of the user until the run has ended",
        )?,
    }
    match expires {
        Some(expires) => write!(f, "; valid until {}", DisplayTime(expires)),
        None => Ok(()),
    }
}

fn fmt_using(f: &mut Formatter<'_>, generation: u64, left: Option<Duration>) -> Result {
    write!(f, "signing with credentials no. {generation}, which are not known to be ")?;
    match left {
        Some(left) => write!(f, "refused and have {} left", DisplayDuration::prose(left)),
        None => f.write_str("refused and have no end"),
    }
}

fn fmt_files_read(f: &mut Formatter<'_>, found: &FileState) -> Result {
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

fn fmt_stale(f: &mut Formatter<'_>, stale: NotThisToken) -> Result {
    f.write_str("a 401 that does not concern the current credentials: ")?;
    f.write_str(match stale {
        NotThisToken::Date => "its request was dated by a wrong clock",
        NotThisToken::Replaced => "its request was signed with older ones",
        NotThisToken::Expired => "they have expired since the request was signed",
    })
}

fn fmt_probed(f: &mut Formatter<'_>, result: ProbeResult) -> Result {
    f.write_str(match result {
        ProbeResult::Accepted => "a probe found the credentials accepted again",
        ProbeResult::Rejected => "a probe found the credentials still refused",
        ProbeResult::Unanswered => "a probe of the credentials got no answer",
    })
}

fn fmt_waiting(
    f: &mut Formatter<'_>,
    since: Duration,
    until: Duration,
    cause: BlockCause,
) -> Result {
    let why = match cause {
        BlockCause::Expired => "have expired",
        BlockCause::Rejected => "are refused",
    };
    write!(
        f,
        "the upload has been waiting since {} because the credentials {why}; it goes on by itself once there \
         are new ones, and gives up at {} at the earliest",
        DisplayTime(since),
        DisplayTime(until)
    )
}

/// What brings new credentials, on a line of its own; nothing if it is empty.
fn fmt_hint(f: &mut Formatter<'_>, hint: &str) -> Result {
    match hint {
        "" => Ok(()),
        hint => write!(f, "\n  {hint}"),
    }
}

fn fmt_skew(f: &mut Formatter<'_>, seconds: i64) -> Result {
    let side = if seconds < 0 { "ahead of" } else { "behind" };
    write!(
        f,
        "the local clock is {} {side} the service's; requests are dated by the service's",
        DisplayDuration::prose(Duration::from_secs(seconds.unsigned_abs()))
    )
}

fn fmt_ends_before_upload(
    f: &mut Formatter<'_>,
    end: Duration,
    likely: Option<Duration>,
) -> Result {
    write!(f, "the session ends at {}", DisplayTime(end))?;
    match likely {
        Some(likely) => {
            write!(f, ", before the likely end of the upload at {}", DisplayTime(likely))?
        }
        None => f.write_str(", which may be before the end of the upload")?,
    }
    f.write_str("; a new login while it runs is taken up")
}
