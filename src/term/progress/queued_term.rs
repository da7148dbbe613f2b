//! A terminal for the progress bar that writes through the queue of stderr.
//!
//! Owns the encoding of indicatif's terminal operations, one message per frame. Must not know what
//! is drawn. Invariant: a frame is written completely or dropped; the next frame repairs a dropped
//! one.

use std::fmt::{self, Debug, Write};
use std::io;
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

use crate::term::stderr::{Priority, Stderr};

/// Collects the operations of a frame until `flush` queues them.
pub struct QueuedTerm {
    stderr: Stderr,
    pending_ops: Mutex<String>,
}

impl QueuedTerm {
    pub fn new(stderr: Stderr) -> QueuedTerm {
        QueuedTerm { stderr, pending_ops: Mutex::default() }
    }

    fn draw(&self, operation: fmt::Arguments) -> io::Result<()> {
        let mut pending = self.pending_ops.lock().unwrap_or_else(PoisonError::into_inner);
        pending.write_fmt(operation).map_err(io::Error::other)
    }

    fn move_cursor(&self, by: usize, direction: char) -> io::Result<()> {
        if by == 0 { Ok(()) } else { self.draw(format_args!("\x1b[{by}{direction}")) }
    }
}

impl Debug for QueuedTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for QueuedTerm {
    fn width(&self) -> u16 {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
        // A terminal of unknown size reports 0 columns.
        size.ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let mut pending = self.pending_ops.lock().unwrap_or_else(PoisonError::into_inner);
        if !pending.is_empty() {
            self.stderr.draw(std::mem::take(&mut pending), Priority::Droppable);
        }
        Ok(())
    }
}
