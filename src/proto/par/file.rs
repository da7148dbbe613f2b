//! The file that holds the URL of a PAR.
//!
//! Owns its syntax: one URL, and comments, of which `# expires: TIME` counts. Must not read the file or
//! the time. Invariant: a line that is not understood is an error, which shows nothing of it.

use std::fmt;

use crate::error::Error;
use crate::par::ParUrl;

/// The contents of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct ParFile {
    /// The URL.
    pub url: ParUrl,
    /// The text of the time at which the PAR expires, not yet parsed.
    pub expires: Option<String>,
}

impl ParFile {
    /// Parses the text of the file; `origin` names it in errors. Fails with a usage error unless there is
    /// exactly one URL and at most one time.
    pub fn parse(origin: &str, text: &str) -> Result<ParFile, Error> {
        let (mut url, mut expires) = (None, None);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(comment) = line.strip_prefix('#') {
                let Some(time) = expiry(comment) else { continue };
                let Some(time) = time.strip_prefix(':') else {
                    return Err(Error::usage(format!(
                        "{origin}: line {number} begins with `expires` and has no colon behind it"
                    ))
                    .with_hint("write `# expires: 2026-12-31T23:59:59Z`, or another comment"));
                };
                let time = time.trim();
                if expires.replace(time.to_owned()).is_some() {
                    return Err(Error::usage(format!(
                        "{origin}: line {number} is a second line `# expires:`"
                    ))
                    .with_hint("leave one of them"));
                }
            } else if !line.is_empty() && url.replace(line).is_some() {
                return Err(Error::usage(format!("{origin}: line {number} is a second URL"))
                    .with_hint(
                        "the file has the URL of one pre-authenticated request, and comments \
                                that begin with #",
                    ));
            }
        }
        let url = url.ok_or_else(|| {
            Error::usage(format!("{origin}: there is no URL"))
                .with_hint("write the URL of the pre-authenticated request into it, as one line")
        })?;
        Ok(ParFile { url: ParUrl::parse(origin, url)?, expires })
    }
}

/// What follows the word `expires`, in any case, at the start of a comment.
fn expiry(comment: &str) -> Option<&str> {
    let comment = comment.trim();
    let (word, rest) = comment.split_at_checked("expires".len())?;
    let is_word = !rest.starts_with(|c: char| c.is_alphanumeric());
    (is_word && word.eq_ignore_ascii_case("expires")).then(|| rest.trim_start())
}

impl fmt::Debug for ParFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParFile").field("expires", &self.expires).finish_non_exhaustive()
    }
}
