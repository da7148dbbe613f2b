//! The texts and levels of events.

use super::*;
use crate::token_lifecycle::events::{FileState, Level};

use Level::{Debug, Info, Warning};

/// `Thu, 01 Jan 2026 00:00:00 GMT` and this many hours.
fn hour(hours: u64) -> Duration {
    secs(WALL + 3600 * hours)
}

fn refresh_failed(again: Duration, first: bool, hint: &str) -> TokenEvent {
    let (why, hint) = ("HTTP 503".to_owned(), hint.to_owned());
    TokenEvent::RefreshFailed { why, again, first, request: None, hint }
}

/// Compares the level of each event and its text about a session token.
fn assert_shown<const N: usize>(table: [(TokenEvent, Level, &str); N]) {
    for (event, level, text) in table {
        assert_eq!(event.text(TokenName::Session).to_string(), text);
        assert_eq!(event.level(), level, "{text}");
    }
}

#[test]
fn each_event_about_a_refresh_has_its_level_and_names_its_reason() {
    let millis = Duration::from_millis;
    assert_shown([
        (
            TokenEvent::Refreshing { reason: RefreshReason::Due },
            Debug,
            "refreshing the session token: it ends soon",
        ),
        (
            TokenEvent::Refreshing { reason: RefreshReason::Transfer },
            Debug,
            "refreshing the session token: a transfer would outlast it",
        ),
        (
            TokenEvent::Refreshing { reason: RefreshReason::Rejected },
            Debug,
            "refreshing the session token: the service refused it",
        ),
        (
            refresh_failed(secs(61), true, "check the endpoint"),
            Warning,
            "the session token could not be refreshed (HTTP 503); trying again in 1 min 1 s\n  \
             check the endpoint",
        ),
        (
            refresh_failed(secs(1), false, ""),
            Debug,
            "the session token could not be refreshed (HTTP 503); trying again in 1 s",
        ),
        // "in 0 s" would be read as a mistake.
        (
            refresh_failed(millis(999), false, ""),
            Debug,
            "the session token could not be refreshed (HTTP 503); trying again",
        ),
        (
            TokenEvent::NotExtended { expires: hour(1) },
            Warning,
            "the service did not extend this session: its token expires at \
             Thu, 01 Jan 2026 01:00:00 GMT",
        ),
        (
            TokenEvent::RefreshBeforeReduced { given: secs(540), most: secs(300) },
            Warning,
            "--refresh-before 9m reduced to 5m, half of the life of the session token",
        ),
        (
            TokenEvent::RefreshFirst { takes: secs(1300), left: Some(secs(1600)) },
            Debug,
            "a transfer of about 21 min 40 s would outlast the session token, which has 26 min 40 s \
             left: waiting for another",
        ),
        (
            TokenEvent::Locked,
            Debug,
            "another process is refreshing this session; waiting for what comes of it",
        ),
        (
            TokenEvent::NotWritten { what: "the disk is full".to_owned() },
            Warning,
            "the refreshed token is kept in memory only: the disk is full",
        ),
    ]);
}

#[test]
fn each_event_about_the_credentials_in_use_has_its_level_and_names_what_follows() {
    let (files, refresh) = (CredentialOrigin::Files, CredentialOrigin::Refresh);
    let what = || "the key file is empty".to_owned();
    assert_shown([
        (
            TokenEvent::Adopted { expires: Some(hour(1)), origin: files },
            Info,
            "loaded the changed credentials from disk; valid until Thu, 01 Jan 2026 01:00:00 GMT",
        ),
        (
            TokenEvent::Adopted { expires: None, origin: files },
            Info,
            "loaded the changed credentials from disk",
        ),
        (
            TokenEvent::Adopted { expires: Some(hour(1)), origin: refresh },
            Info,
            "the session token was refreshed; valid until Thu, 01 Jan 2026 01:00:00 GMT",
        ),
        (
            TokenEvent::Adopted { expires: None, origin: CredentialOrigin::EarlierKey },
            Warning,
            "the service refuses the API key in use and accepts the one before it, which is used again; \
             both should be among the API keys of the user until the run has ended",
        ),
        (
            TokenEvent::Using { generation: 2, left: Some(secs(90)) },
            Debug,
            "signing with credentials no. 2, which are not known to be refused and have 1 min 30 s left",
        ),
        (
            TokenEvent::Using { generation: 1, left: None },
            Debug,
            "signing with credentials no. 1, which are not known to be refused and have no end",
        ),
        (
            TokenEvent::FilesRead { found: FileState::Same },
            Debug,
            "looked at the files of the credentials: they hold what is in use",
        ),
        (
            TokenEvent::FilesRead { found: FileState::Better },
            Debug,
            "looked at the files of the credentials: they hold others, which are taken up",
        ),
        (
            TokenEvent::FilesRead { found: FileState::Worse },
            Debug,
            "looked at the files of the credentials: they hold others, which last no longer",
        ),
        (
            TokenEvent::FilesRead { found: FileState::Unusable(what()) },
            Debug,
            "looked at the files of the credentials: not usable for now (the key file is empty), keeping \
             those in use",
        ),
        (
            TokenEvent::FilesUnusable { what: what() },
            Warning,
            "the key file is empty; going on with the credentials read before",
        ),
        (TokenEvent::Fingerprint { what: what() }, Warning, "the key file is empty"),
    ]);
}

#[test]
fn each_event_about_a_rejection_has_its_level_and_names_its_cause() {
    let stale = |stale| TokenEvent::Stale { stale };
    let probed = |how| TokenEvent::Probed { how };
    let waiting = |cause, hint: &str| TokenEvent::Waiting {
        since: hour(1),
        until: hour(2),
        cause,
        hint: hint.to_owned(),
    };
    assert_shown([
        (TokenEvent::Rejected, Info, "the service refused the credentials (401)"),
        (
            stale(NotThisToken::Date),
            Debug,
            "a 401 that does not concern the current credentials: its request was dated by a wrong clock",
        ),
        (
            stale(NotThisToken::Replaced),
            Debug,
            "a 401 that does not concern the current credentials: its request was signed with older ones",
        ),
        (
            stale(NotThisToken::Expired),
            Debug,
            "a 401 that does not concern the current credentials: they have expired since the request was signed",
        ),
        (
            TokenEvent::Probing,
            Debug,
            "probing with a small request whether the credentials are accepted",
        ),
        (probed(ProbeResult::Accepted), Debug, "a probe found the credentials accepted again"),
        (probed(ProbeResult::Rejected), Debug, "a probe found the credentials still refused"),
        (probed(ProbeResult::Unanswered), Debug, "a probe of the credentials got no answer"),
        (
            waiting(BlockCause::Expired, "sign in again"),
            Warning,
            "the upload has been waiting since Thu, 01 Jan 2026 01:00:00 GMT because the credentials have expired; \
             it goes on by itself once there are new ones, and gives up at \
             Thu, 01 Jan 2026 02:00:00 GMT at the earliest\n  sign in again",
        ),
        (
            waiting(BlockCause::Rejected, ""),
            Warning,
            "the upload has been waiting since Thu, 01 Jan 2026 01:00:00 GMT because the credentials are refused; \
             it goes on by itself once there are new ones, and gives up at \
             Thu, 01 Jan 2026 02:00:00 GMT at the earliest",
        ),
        (
            TokenEvent::ExpiredWhileIdle { hint: "sign in again".to_owned() },
            Warning,
            "the credentials have expired; what the stream brings from now on waits for new ones\n  \
             sign in again",
        ),
        (TokenEvent::Resumed, Info, "the upload goes on"),
    ]);
}

#[test]
fn each_event_about_time_has_its_level_and_names_both_clocks_or_both_ends() {
    assert_shown([
        (
            TokenEvent::QueryingTime,
            Debug,
            "asking the service for the time, since the local clock may be wrong",
        ),
        (
            TokenEvent::Skew { seconds: 400 },
            Warning,
            "the local clock is 6 min 40 s behind the service's; requests are dated by the service's",
        ),
        (
            TokenEvent::Skew { seconds: -30 },
            Warning,
            "the local clock is 30 s ahead of the service's; requests are dated by the service's",
        ),
        // A clock that is right again.
        (
            TokenEvent::Skew { seconds: 0 },
            Warning,
            "the local clock is 0 s behind the service's; requests are dated by the service's",
        ),
        (
            TokenEvent::SessionEnds { end: hour(2), token_ends: Some(hour(1)) },
            Info,
            "this session ends at Thu, 01 Jan 2026 02:00:00 GMT at the latest, if its token is refreshed \
             before Thu, 01 Jan 2026 01:00:00 GMT",
        ),
        (
            TokenEvent::SessionEnds { end: hour(2), token_ends: None },
            Info,
            "this session ends at Thu, 01 Jan 2026 02:00:00 GMT at the latest",
        ),
        (
            TokenEvent::EndsForGood { end: hour(1) },
            Warning,
            "the session token ends at Thu, 01 Jan 2026 01:00:00 GMT, and nothing can renew it, since the \
             environment holds its text: an upload that lasts longer fails, unless the variable names a \
             file that is replaced",
        ),
        (
            TokenEvent::EndsBeforeUpload { end: hour(1), likely: Some(hour(3)) },
            Warning,
            "the session ends at Thu, 01 Jan 2026 01:00:00 GMT, before the likely end of the upload at \
             Thu, 01 Jan 2026 03:00:00 GMT; a new login while it runs is taken up",
        ),
        (
            TokenEvent::EndsBeforeUpload { end: hour(1), likely: None },
            Warning,
            "the session ends at Thu, 01 Jan 2026 01:00:00 GMT, which may be before the end of the \
             upload; a new login while it runs is taken up",
        ),
    ]);
}

#[test]
fn a_text_names_the_token_of_the_mode() {
    for (token, name) in [
        (TokenName::Session, "the session token"),
        (TokenName::Instance, "the instance's token"),
        (TokenName::Resource, "the resource's token"),
        (TokenName::Workload, "the service account's token"),
        (TokenName::Exchanged, "the exchanged token"),
    ] {
        let event = TokenEvent::Adopted { expires: None, origin: CredentialOrigin::Refresh };
        assert_eq!(event.text(token).to_string(), format!("{name} was refreshed"));
        // Only a session has an end that a service may leave where it is.
        let text = TokenEvent::NotExtended { expires: hour(1) }.text(token).to_string();
        if token != TokenName::Session {
            let expected = format!(
                "the service issued no token that lasts longer than the one in use; {name} ends at \
                 Thu, 01 Jan 2026 01:00:00 GMT"
            );
            assert_eq!(text, expected);
        }
    }
}
