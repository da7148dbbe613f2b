//! A terminal for the progress bar that writes through the queue of stderr.
//!
//! Owns how a frame replaces the one before it, also after the terminal got another size: indicatif
//! counts the rows of a frame at the width at which it was drawn, and a terminal that is made narrower
//! wraps the lines anew. Must not know what is drawn. Invariant: a frame is written completely or
//! dropped; the next frame repairs a dropped one.

use std::fmt::{self, Debug};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::screen::ScreenSize;
use crate::term::stderr::{Priority, Stderr};

/// Returns the current size of a terminal.
pub(super) type TerminalSize = fn() -> ScreenSize;

/// The size of the terminal that stderr is, 80 x 24 where it is not known.
pub(super) fn size_of_stderr() -> ScreenSize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok();
    // A terminal of unknown size reports 0.
    let known = |size: Option<u16>| size.filter(|size| *size > 0).map(usize::from);
    ScreenSize {
        columns: known(size.map(|size| size.ws_col)).unwrap_or(80),
        rows: known(size.map(|size| size.ws_row)).unwrap_or(24),
    }
}

/// Where frames are drawn: without the last column, after which a terminal wraps, and without one row,
/// so that a message above the frame can be read.
pub(super) fn drawing_area(size: ScreenSize) -> ScreenSize {
    let columns = size.columns.saturating_sub(1).max(1);
    ScreenSize { columns, rows: size.rows.saturating_sub(1).max(1) }
}

/// Clears the row of the cursor, which moves to the first column.
const CLEAR_ROW: &str = "\r\x1b[2K";
const CLEAR_ROW_ABOVE: &str = "\x1b[1A\x1b[2K";

/// Collects the lines of a frame until `flush` queues them.
pub(super) struct QueuedTerm {
    stderr: Stderr,
    size: TerminalSize,
    frames: Mutex<Frames>,
}

#[derive(Default)]
struct Frames {
    /// The columns of each line that the terminal shows.
    shown: Vec<usize>,
    /// The lines of the frame that is being drawn.
    next: Vec<String>,
}

impl QueuedTerm {
    pub(super) fn new(stderr: Stderr, size: TerminalSize) -> QueuedTerm {
        QueuedTerm { stderr, size, frames: Mutex::default() }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frames {
    /// Moves the cursor to the first column of the first row of the shown frame, in a terminal of this
    /// many columns, and clears each row of the frame.
    fn erase(&self, columns: usize) -> String {
        let rows: usize = self.shown.iter().map(|line| line.div_ceil(columns.max(1)).max(1)).sum();
        match rows {
            0 => String::new(),
            // Row by row: some terminals move a screen that is cleared at once into their history.
            rows => CLEAR_ROW.to_owned() + &CLEAR_ROW_ABOVE.repeat(rows - 1),
        }
    }
}

impl Debug for QueuedTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueuedTerm")
    }
}

// `flush` erases the frame before, so that indicatif's own moves and clearings are left out.
impl TermLike for QueuedTerm {
    fn width(&self) -> u16 {
        u16::try_from(drawing_area((self.size)()).columns).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(drawing_area((self.size)()).rows).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    /// Takes a line. A line without a visible character fills the rest of a row.
    fn write_str(&self, text: &str) -> io::Result<()> {
        if !text.trim().is_empty() {
            self.frames().next.push(text.trim_end().to_owned());
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut frames = self.frames();
        let next = std::mem::take(&mut frames.next);
        let frame = frames.erase((self.size)().columns) + &next.join("\n");
        // A frame that is dropped leaves the one before it on the terminal.
        if frame.is_empty() || self.stderr.draw(frame, Priority::Droppable) {
            frames.shown = next.iter().map(String::len).collect();
        }
        Ok(())
    }
}
