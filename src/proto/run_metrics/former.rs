//! The former content of a file of metrics, read strictly: only what `RunMetrics::text` may have written.
//!
//! Owns the decision whether a run may replace the file. Must not know a file. Invariant: a text with one
//! line of another program or another job is refused.

use super::{LAST_SUCCESS, PREFIX, escape};

/// What a file had before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Former {
    /// There was no file, or an empty one.
    Nothing,
    /// A run of the same job wrote it.
    Ours {
        /// The value as it was written, seconds since 1970.
        last_success: String,
    },
}

impl Former {
    /// Reads the content of the file. Metrics that this version does not know are accepted if their names
    /// are of this program, so that versions can change. Fails with the reason why the file must be left
    /// alone.
    pub fn read(text: &str, job: &str) -> Result<Former, &'static str> {
        const FOREIGN: &str = "it has lines that ocipipe did not write";
        if text.is_empty() {
            return Ok(Former::Nothing);
        }
        if !text.ends_with('\n') {
            return Err("its last line is not complete");
        }
        let label = format!("{{job=\"{}\"}}", escape(job));
        let mut last_success = None;
        for line in text.lines() {
            let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            let rest = comment.unwrap_or(line).strip_prefix(PREFIX).ok_or(FOREIGN)?;
            let (name, rest) = rest.split_at(name_length(rest));
            if name.is_empty() {
                return Err(FOREIGN);
            }
            if comment.is_some() {
                if !rest.starts_with(' ') {
                    return Err(FOREIGN);
                }
                continue;
            }
            let value = match rest.strip_prefix(&label) {
                Some(value) => value.strip_prefix(' ').filter(|value| is_number(value)),
                None if rest.starts_with("{job=\"") => return Err("it is of another job"),
                None => None,
            };
            let value = value.ok_or(FOREIGN)?;
            if name == LAST_SUCCESS && last_success.replace(value.to_owned()).is_some() {
                return Err("it has the time of the last success twice");
            }
        }
        let last_success = last_success.ok_or("it lacks the time of the last success")?;
        Ok(Former::Ours { last_success })
    }
}

fn name_length(text: &str) -> usize {
    let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.find(|c| !in_name(c)).unwrap_or(text.len())
}

/// Digits, and up to 9 more after a point, which together are a time that Prometheus can compute with.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    digits(whole, 20) && digits(fraction, 9)
}
