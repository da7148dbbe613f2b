//! SQL dumps: the closing comment of pg_dump, pg_dumpall and mysqldump.
//!
//! Owns the opening and closing comments of a dump. Must not know SQL. Invariant: a dump is whole only if
//! the closing comment is a whole line, and only blank lines, comments and `\unrestrict` follow it.

use super::last_bytes::LastBytes;
use super::{FormatError, Validator};

/// Bytes at the start that are searched for the opening comment, and bytes at the end that are searched
/// for the closing one.
const MAX_TAIL: usize = 64 << 10;

const PG_DUMPALL_BEGINS: &[u8] = b"-- PostgreSQL database cluster dump";
const PG_DUMPALL_ENDS: &[u8] = b"-- PostgreSQL database cluster dump complete";
const PG_DUMP_BEGINS: &[u8] = b"-- PostgreSQL database dump";
const PG_DUMP_ENDS: &[u8] = b"-- PostgreSQL database dump complete";
/// The line before the closing comment of pg_dump and pg_dumpall.
const FRAME: &[u8] = b"--";
const MYSQL_BEGINS: &[u8] = b"-- MySQL dump ";
const MARIADB_BEGINS: &[u8] = b"-- MariaDB dump ";
/// A date may follow.
const MYSQL_ENDS: &[u8] = b"-- Dump completed";

pub(super) struct Sql {
    head: Vec<u8>,
    tail: LastBytes,
}

impl Default for Sql {
    fn default() -> Sql {
        Sql { head: Vec::new(), tail: LastBytes::new(MAX_TAIL) }
    }
}

impl Validator for Sql {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let missing = MAX_TAIL - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.tail.bytes(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        self.check_end()
    }
}

impl Sql {
    /// Fails if a stream that ends here is not whole.
    pub(super) fn check_end(&self) -> Result<(), FormatError> {
        let is_cluster = matches!(origin(&self.head), Some(DumpProgram::PgDumpall));
        let mut lines = self.tail.last().split(|byte| *byte == b'\n').rev().peekable();
        // The text after the last newline is not a whole line; usually it is empty.
        let unfinished = lines.next().unwrap_or_default();
        if !is_trailing_blank(unfinished) {
            return Err(FormatError::truncated("it does not end with a closing comment"));
        }
        while let Some(line) = lines.next() {
            let line = line.trim_ascii_end();
            // A text in a statement may have the same line, but hardly one of two hyphens before it.
            let framed = lines.peek().is_some_and(|before| before.trim_ascii_end() == FRAME);
            // The dump of a cluster contains dumps of databases, each with a closing comment of its own.
            let ends = match line {
                PG_DUMPALL_ENDS => framed,
                PG_DUMP_ENDS => framed && !is_cluster,
                line => mysql_ends(line) && !is_cluster,
            };
            if ends {
                return Ok(());
            }
            if !is_trailing_blank(line) {
                break;
            }
        }
        Err(FormatError::truncated("it does not end with a closing comment"))
    }
}

fn mysql_ends(line: &[u8]) -> bool {
    line.strip_prefix(MYSQL_ENDS).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// Whether a line may follow the closing comment.
fn is_trailing_blank(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"--") || line.starts_with(b"\\unrestrict ")
}

/// The program that wrote a dump.
pub(super) enum DumpProgram {
    PgDump,
    PgDumpall,
    Mysql,
}

/// Searches the first 20 lines of a stream for an opening comment.
pub(super) fn origin(head: &[u8]) -> Option<DumpProgram> {
    head.split(|byte| *byte == b'\n').take(20).find_map(|line| match line.trim_ascii_end() {
        PG_DUMPALL_BEGINS => Some(DumpProgram::PgDumpall),
        PG_DUMP_BEGINS => Some(DumpProgram::PgDump),
        line if line.starts_with(MYSQL_BEGINS) => Some(DumpProgram::Mysql),
        line if line.starts_with(MARIADB_BEGINS) => Some(DumpProgram::Mysql),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(text: &str) -> Result<(), FormatError> {
        let mut sql = Box::new(Sql::default());
        sql.bytes(text.as_bytes())?;
        sql.end()
    }

    #[test]
    fn only_the_first_and_the_last_bytes_are_kept() {
        let mut sql = Sql::default();
        for _ in 0..5 {
            sql.bytes(&[b'-'; MAX_TAIL / 2 + 1]).unwrap();
            assert!(sql.head.len() <= MAX_TAIL && sql.tail.last().len() <= MAX_TAIL);
        }
    }

    #[test]
    fn a_text_that_has_the_line_of_the_closing_comment_ends_no_dump() {
        let begins = "--\n-- PostgreSQL database dump\n--\n\n";
        let cut =
            format!("{begins}COMMENT ON TABLE t IS 'x\n-- PostgreSQL database dump complete\n");
        assert!(validate(&cut).is_err());
        let ends = "--\n-- PostgreSQL database dump complete\n--\n\n";
        assert_eq!(validate(&format!("{cut}of a dump';\n\n{ends}")), Ok(()));
        let dumpall = ends.replace("database", "database cluster");
        assert_eq!(validate(&dumpall), Ok(()));
        assert!(validate(dumpall.trim_start_matches("--\n")).is_err());
    }
}
