//! The start of a `put` through a pre-authenticated request (PAR).
//!
//! Owns how its URL and its expiry are read, and what is reported of the expiry before the first byte. Must not
//! know how a request is sent. Invariants: no message has any part of the URL but the names in it; a PAR that is known
//! to have expired ends the run here.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::cli::{ParSettings, ParSource, PutCommand, par, value};
use crate::platform::small_file::{self, Exposure};
use crate::term::progress::Reporter;
use crate::transfer::client::{Client, ParAccess};
use proto::api::{ExpectedProperties, PutOptions};
use proto::error::Error;
use proto::par::{ParFile, ParUrl};
use proto::units::DisplayTime;
use proto::upload::ParConfig;

/// Bytes per second that no upload exceeds: 10 Gbit/s. It is the rate where none is given.
const FASTEST: u64 = 1_250_000_000;

/// Reads the PAR. Fails if its URL cannot be read, is not for the object that the command names, or has
/// expired.
pub(super) fn open(
    command: &PutCommand,
    settings: &ParSettings,
    expected_size: Option<u64>,
    reporter: &Reporter,
) -> Result<ParAccess, Error> {
    let (url, expires) = read(settings, reporter)?;
    let object = url.object(&settings.given)?;
    reporter.info(&format!(
        "storing {} through a pre-authenticated request for {}",
        object.location,
        if url.is_of_object() { "this object" } else { "this bucket" }
    ));
    let access = ParAccess::new(object, expires);
    match expires {
        None => reporter.info(
            "when the pre-authenticated request expires is unknown: --par-expires TIME, or a line \
             `# expires: TIME` in its file, lets ocipipe warn of an upload that lasts too long",
        ),
        Some(at) => {
            let now = SystemTime::now();
            let left = at.duration_since(now).ok().filter(|left| !left.is_zero());
            let left = left.ok_or_else(|| expired(at))?;
            if let Some(text) = late_warning(left, expected_size, command.bwlimit) {
                reporter.warn(&text);
                access.set_eta_reported();
            }
        }
    }
    Ok(access)
}

/// Fails if an option needs more than headers can carry.
pub(super) fn check_options(options: &PutOptions) -> Result<(), Error> {
    if options.fits_headers() {
        return Ok(());
    }
    Err(Error::usage(
        "a metadata value or the disposition has a letter that is not ASCII, and a pre-authenticated \
         request takes them as headers only",
    )
    .with_hint("write it in ASCII, for example percent-encoded"))
}

/// The URL, and the time at which it expires: that of the option before that of the file.
fn read(
    settings: &ParSettings,
    reporter: &Reporter,
) -> Result<(ParUrl, Option<SystemTime>), Error> {
    let path = match &settings.source {
        ParSource::Variable(url) => {
            return Ok((ParUrl::parse(par::VARIABLE, url)?, settings.expires));
        }
        ParSource::File(path) => path,
    };
    let (text, exposure) = small_file::read_secret("--par-file", path).map_err(|error| {
        error.with_hint("it holds the URL of the pre-authenticated request, as one line")
    })?;
    let origin = format!("--par-file {}", path.display());
    if exposure == Exposure::ReadableByOthers {
        reporter.warn(&format!(
            "{origin}: other users may read this file, and with it store what they like: chmod 600"
        ));
    }
    let ParFile { url, expires } = ParFile::parse(&origin, &text)?;
    let of_file = value::time(&format!("{origin}: `# expires:`"), expires.as_deref())?;
    Ok((url, settings.expires.or(of_file)))
}

fn expired(at: SystemTime) -> Error {
    let at = DisplayTime(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    Error::credentials(format!("the pre-authenticated request expired on {at}; nothing was read"))
        .with_hint(
            "it cannot be renewed: create a new one, with an expiry after the end of the upload. If it is \
             a new one, correct --par-expires or the line `# expires:`, or the clock of this host",
        )
}

/// A warning if a stream of the expected size cannot be uploaded in the time that is left.
fn late_warning(left: Duration, expected: Option<u64>, bwlimit: Option<u64>) -> Option<String> {
    let rate = bwlimit.unwrap_or(FASTEST).max(1);
    let takes = Duration::from_secs(expected?.div_ceil(rate));
    let at_this_rate = match bwlimit {
        Some(_) => "at the rate of --bwlimit",
        None => "even at 10 Gbit/s",
    };
    (takes > left).then(|| {
        format!(
            "the pre-authenticated request expires in {} s, and {at_this_rate} the upload takes {} s: it \
             will fail, and what was read is lost",
            left.as_secs(),
            takes.as_secs()
        )
    })
}

/// What the upload machine knows of the PAR.
pub(super) fn config(
    client: &Client,
    options: &PutOptions,
    started_at: Instant,
) -> Option<ParConfig> {
    let par = client.par()?;
    let left = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
    Some(ParConfig {
        expires_at: par.expires.map(|at| started_at.elapsed() + left(at)),
        properties: ExpectedProperties::of(options),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_of_an_expiry_is_shown_or_refused() {
        for text in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
            let error = value::time("--par-expires", Some(text)).unwrap_err();
            assert_eq!(error.kind.exit_code(), 2, "{text}");
        }
        for text in ["1970-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            let time = value::time("--par-expires", Some(text)).unwrap().unwrap();
            assert!(expired(time).message.contains(&text[..4]), "{text}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(expired(before).kind.exit_code(), 3);
    }

    #[test]
    fn an_upload_that_cannot_end_in_time_is_told_before() {
        let warned = |seconds, expected, bwlimit| {
            late_warning(Duration::from_secs(seconds), expected, bwlimit).is_some()
        };
        assert!(!warned(10, None, Some(1)));
        assert!(warned(10, Some(1000), Some(99)));
        assert!(!warned(10, Some(1000), Some(101)));
        assert!(!warned(10, Some(1000), None));
        assert!(warned(10, Some(10 << 40), None));
        assert!(warned(u64::from(u32::MAX), Some(u64::MAX), Some(1)));
    }
}
