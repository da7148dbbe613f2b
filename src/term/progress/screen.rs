//! Lays out the progress of a transfer for a terminal of any size.
//!
//! Pure. Owns the choice of the long or the short texts, and the order of the lines. Must not know a
//! terminal. Invariant: every line has at most `columns` columns, all of them ASCII without control
//! characters, and there are at most `rows` lines.

use super::format::Report;
use proto::printable;

/// The size of a terminal, or of the area that may be drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScreenSize {
    pub columns: usize,
    pub rows: usize,
}

/// Fewer columns, those of a terminal of less than 40, get the short texts.
const LONG_TEXTS_FROM: usize = 39;

/// The lines, the most important ones first. With a known size the first line is a bar, where there is
/// room for one and for all the rest.
pub(super) fn lines(report: &Report, size: ScreenSize) -> Vec<String> {
    let short = size.columns < LONG_TEXTS_FROM;
    let mut lines = laid_out(report, size, !short);
    if lines.len() > size.rows && !short {
        // The bar is the least important line: its numbers are in the next one.
        lines = laid_out(report, size, false);
    }
    lines.truncate(size.rows);
    lines.iter().map(|line| fitted(line, size.columns)).collect()
}

/// All lines, however many rows there are.
fn laid_out(report: &Report, size: ScreenSize, has_bar: bool) -> Vec<String> {
    let short = size.columns < LONG_TEXTS_FROM;
    let mut lines = Vec::new();
    let mut texts = vec![report.done()];
    match (report.share(short || !has_bar), report.percent()) {
        (Some(share), Some(percent)) if has_bar => lines.push(bar(percent, &share, size.columns)),
        (share, _) => texts.extend(share),
    }
    let activity = report.activity;
    let phrase = if short { activity.short_phrase() } else { activity.phrase() };
    texts.extend(phrase.map(str::to_owned));
    texts.extend(report.details(short));
    let mut current = String::new();
    let mut texts = texts.iter().peekable();
    while let Some(text) = texts.next() {
        let separator = if current.is_empty() { "" } else { ", " };
        // A comma follows each text but the last.
        let comma = usize::from(texts.peek().is_some());
        if !current.is_empty()
            && current.len() + separator.len() + text.len() + comma > size.columns
        {
            lines.push(format!("{current},"));
            current.clear();
        } else {
            current.push_str(separator);
        }
        current.push_str(text);
    }
    lines.push(current);
    lines
}

/// A bar and a text that together fill the columns.
fn bar(percent: u64, text: &str, columns: usize) -> String {
    let width = columns.saturating_sub(text.len() + 3);
    let filled = width * usize::try_from(percent.min(100)).unwrap_or(0) / 100;
    format!("[{}{}] {text}", "#".repeat(filled), "-".repeat(width - filled))
}

/// The line without control characters, cut after the last column.
fn fitted(line: &str, columns: usize) -> String {
    let mut line: String =
        printable::line(line).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    line.truncate(columns);
    line
}
