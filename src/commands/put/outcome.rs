//! The last lines of an upload that succeeded.
//!
//! Owns its text. Must not know how an upload proceeds. Invariant: the line names what the object was
//! compared by, or states that nothing could be compared.

use proto::receipt::Receipt;
use proto::units::{DisplayDuration, format_size_short};

/// What `verified-by` is where nothing could be compared.
const NOTHING: &str = "none";

/// The line about a continued upload: how many bytes the service held, of those of the whole stream.
pub(super) fn resumed_line(reused: u64, size: u64) -> String {
    format!(
        "the service held {} of the stream already, {} were sent",
        format_size_short(reused),
        format_size_short(size.saturating_sub(reused))
    )
}

/// The line for people, without the name of the program.
pub(super) fn line(receipt: &Receipt) -> String {
    let Receipt { size, seconds, verified_by, .. } = receipt;
    let outcome = match verified_by.as_str() {
        NOTHING => "stored, not compared".to_owned(),
        evidence => format!("stored and verified by {evidence}"),
    };
    let average = u128::from(*size) * 1000 / seconds.as_millis().max(1);
    format!(
        "{outcome}: {} in {}, {}/s on average",
        format_size_short(*size),
        DisplayDuration::compact(*seconds),
        format_size_short(u64::try_from(average).unwrap_or(u64::MAX)),
    )
}
