//! SQL dumps: the comment that pg_dump, pg_dumpall and mysqldump end with.
//!
//! Owns the comments that begin and close a dump. Knows no SQL.
//! Invariant: a dump is whole only if its last line that is neither blank nor a comment nor
//! `\unrestrict` comes before the closing comment, and that comment is a whole line.

use super::tail::Tail;
use super::{Flaw, Judge};

/// Where the opening comment is looked for, and how much may follow the closing one.
const KEPT: usize = 64 << 10;

const CLUSTER_BEGINS: &[u8] = b"-- PostgreSQL database cluster dump";
const CLUSTER_ENDS: &[u8] = b"-- PostgreSQL database cluster dump complete";
const DATABASE_BEGINS: &[u8] = b"-- PostgreSQL database dump";
const DATABASE_ENDS: &[u8] = b"-- PostgreSQL database dump complete";
const MYSQL_BEGINS: &[u8] = b"-- MySQL dump ";
const MARIADB_BEGINS: &[u8] = b"-- MariaDB dump ";
/// A date may follow.
const MYSQL_ENDS: &[u8] = b"-- Dump completed";

pub(super) struct Sql {
    head: Vec<u8>,
    tail: Tail,
}

impl Default for Sql {
    fn default() -> Sql {
        Sql { head: Vec::new(), tail: Tail::new(KEPT) }
    }
}

impl Judge for Sql {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let missing = KEPT - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.tail.bytes(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), Flaw> {
        let cluster = matches!(origin(&self.head), Some(Origin::Cluster));
        let mut lines = self.tail.last().split(|byte| *byte == b'\n').rev();
        // What follows the last newline is no whole line; usually it is nothing.
        let unfinished = lines.next().unwrap_or_default();
        if !harmless(unfinished) {
            return Err(Flaw::cut("it does not end with a closing comment"));
        }
        for line in lines {
            let line = line.trim_ascii_end();
            // The dump of a cluster contains dumps of databases, each with its own closing comment.
            if line == CLUSTER_ENDS || !cluster && (line == DATABASE_ENDS || mysql_ends(line)) {
                return Ok(());
            }
            if !harmless(line) {
                break;
            }
        }
        Err(Flaw::cut("it does not end with a closing comment"))
    }
}

fn mysql_ends(line: &[u8]) -> bool {
    line.strip_prefix(MYSQL_ENDS).is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

/// Whether a line may follow the closing comment.
fn harmless(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"--") || line.starts_with(b"\\unrestrict ")
}

/// Which program's dump it is.
pub(super) enum Origin {
    Database,
    Cluster,
    Mysql,
}

/// Looks for the opening comment in the first lines of a stream.
pub(super) fn origin(head: &[u8]) -> Option<Origin> {
    head.split(|byte| *byte == b'\n').take(20).find_map(|line| match line.trim_ascii_end() {
        CLUSTER_BEGINS => Some(Origin::Cluster),
        DATABASE_BEGINS => Some(Origin::Database),
        line if line.starts_with(MYSQL_BEGINS) => Some(Origin::Mysql),
        line if line.starts_with(MARIADB_BEGINS) => Some(Origin::Mysql),
        _ => None,
    })
}
