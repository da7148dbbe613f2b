//! The custom format of pg_dump: a header, a table of contents, and blocks of data.
//!
//! Owns the parsing of all three for the archive versions 1.12 to 1.16 (PostgreSQL 9.0 to 18). Must not
//! know what the entries are or how their data is compressed. Invariant: an archive is whole only if
//! each entry with data has a terminated block, and there is no other block; a second table of contents, of
//! the same entries, may follow, which pg_dump 17 appends where its stdout is a file.

use super::FormatError;
use super::chunk_parser::{ChunkParser, Needed};

pub(super) const MAGIC: [u8; 5] = *b"PGDMP";

/// The type of a block with the data of a table.
const DATA: u8 = 1;
/// The type of a block with large objects.
const LARGE_OBJECTS: u8 = 3;
/// The offset state of an entry without data.
const NO_DATA: u8 = 3;

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct PgDump {
    state: PgDumpState,
    version: u8,
    int_size: usize,
    offset_size: usize,
    /// Entries of the table of contents.
    count: u64,
    /// Entries of the table of contents that are still to come, the current one included.
    entries: u64,
    /// The entries with data of the second table of contents, in which the stream is.
    repeated: Option<Ids>,
    /// The id of the current entry or block.
    id: i64,
    /// The entries with data.
    expected: Ids,
    /// The terminated blocks.
    found: Ids,
}

/// A multiset of ids in 16 bytes: its size, and a sum of hashes that differs between sets of one size.
#[derive(Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
struct Ids {
    count: u64,
    sum: u64,
}

impl Ids {
    fn add(&mut self, id: i64) {
        let mut mixed = (id as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
            mixed = (mixed ^ mixed >> shift).wrapping_mul(factor);
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed ^ mixed >> 31);
    }
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum PgDumpState {
    #[default]
    Header,
    /// The field of the header with this index.
    Head(usize),
    /// The field of an entry with this index.
    Entry(usize),
    /// The type of a block, and the id of its entry.
    Block,
    /// The length of a chunk of data. `object`: whether it belongs to a large object.
    Chunk { object: bool },
    /// The id of a large object.
    Object,
    /// The magnitude of the first id in the second table of contents, after this byte for the sign.
    RepeatedId(u8),
    /// The second table of contents has ended: nothing may follow.
    End,
}

/// The kinds of fields in the header and the entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Byte,
    Int,
    /// The number of entries.
    Count,
    /// The id of the entry.
    Id,
    Text,
    /// Texts up to an absent one.
    Texts,
    /// The offset of the data, and its state: none, known or unknown.
    Offset,
}

impl ChunkParser for PgDump {
    fn initial(&self) -> Needed {
        // Magic, version, sizes, format.
        Needed::take(MAGIC.len() + 6)
    }

    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        match self.state {
            PgDumpState::Header => self.header(bytes),
            PgDumpState::Head(index) => {
                let (state, skip) =
                    self.field(self.head()[index], bytes, PgDumpState::Head(index), at)?;
                let next = match state {
                    PgDumpState::Head(index) if index == self.head().len() => self.next_entry(),
                    state => state,
                };
                Ok(self.enter(next, skip))
            }
            PgDumpState::Entry(index) => {
                let (state, skip) =
                    self.field(self.entry()[index], bytes, PgDumpState::Entry(index), at)?;
                let next = match state {
                    PgDumpState::Entry(index) if index == self.entry().len() => {
                        self.entries -= 1;
                        self.next_entry()
                    }
                    state => state,
                };
                Ok(self.enter(next, skip))
            }
            PgDumpState::Block => {
                let (kind, id) = (bytes[0], int(&bytes[1..]));
                self.id = id;
                match kind {
                    DATA => Ok(self.enter(PgDumpState::Chunk { object: false }, 0)),
                    LARGE_OBJECTS => Ok(self.enter(PgDumpState::Object, 0)),
                    _ if self.is_second_table(bytes) => {
                        self.entries = self.count;
                        self.repeated = Some(Ids::default());
                        Ok(self.enter(PgDumpState::RepeatedId(bytes[bytes.len() - 1]), 0))
                    }
                    _ => {
                        Err(FormatError::truncated(format!("the block at byte {at} is of no kind")))
                    }
                }
            }
            PgDumpState::Chunk { object } => match int(bytes) {
                0 if object => Ok(self.enter(PgDumpState::Object, 0)),
                0 => Ok(self.block_ended()),
                length @ 1.. => Ok(self.enter(self.state, length as u64)),
                _ => Err(FormatError::truncated(format!("the data at byte {at} has no length"))),
            },
            PgDumpState::Object => match int(bytes) {
                0 => Ok(self.block_ended()),
                _ => Ok(self.enter(PgDumpState::Chunk { object: true }, 0)),
            },
            PgDumpState::RepeatedId(sign) => {
                self.id = int(&[&[sign], bytes].concat());
                Ok(self.enter(PgDumpState::Entry(1), 0))
            }
            PgDumpState::End => Err(FormatError::truncated(format!(
                "there is data after the second table of contents, at byte {at}"
            ))),
        }
    }

    fn end(&self) -> Result<(), FormatError> {
        match self.state {
            PgDumpState::Block if self.found == self.expected => Ok(()),
            PgDumpState::End if self.repeated.as_ref() == Some(&self.expected) => Ok(()),
            PgDumpState::End => Err(FormatError::truncated("its two tables of contents differ")),
            PgDumpState::Block if self.found.count < self.expected.count => {
                Err(FormatError::truncated(format!(
                    "it has {} of {} blocks of data",
                    self.found.count, self.expected.count
                )))
            }
            PgDumpState::Block => {
                Err(FormatError::truncated("its data is not that of its table of contents"))
            }
            PgDumpState::Header
            | PgDumpState::Head(_)
            | PgDumpState::Entry(_)
            | PgDumpState::RepeatedId(_) => {
                Err(FormatError::truncated("it ends within its table of contents"))
            }
            PgDumpState::Chunk { .. } | PgDumpState::Object => {
                Err(FormatError::truncated("its last block is not terminated"))
            }
        }
    }
}

impl PgDump {
    fn header(&mut self, bytes: &[u8]) -> Result<Needed, FormatError> {
        let Some(&[major, minor, _, int_size, offset_size, format]) = bytes.strip_prefix(&MAGIC)
        else {
            return Err(FormatError::truncated("it does not begin as one"));
        };
        if major != 1 || !(12..=16).contains(&minor) {
            return Err(FormatError::unsupported(format!(
                "version {major}.{minor} is not known here"
            )));
        }
        if format != 1 {
            return Err(FormatError::unsupported("it is of another format of pg_dump"));
        }
        if !(1..=8).contains(&int_size) || !(1..=8).contains(&offset_size) {
            return Err(FormatError::truncated("its numbers have impossible sizes"));
        }
        self.version = minor;
        self.int_size = usize::from(int_size);
        self.offset_size = usize::from(offset_size);
        Ok(self.enter(PgDumpState::Head(0), 0))
    }

    /// The fields of the header after its fixed part: compression, time of creation, name of the database,
    /// versions of server and program, number of entries.
    fn head(&self) -> &'static [Field] {
        use Field::{Byte, Count, Int, Text};
        match self.version {
            15.. => &[Byte, Int, Int, Int, Int, Int, Int, Int, Text, Text, Text, Count],
            _ => &[Int, Int, Int, Int, Int, Int, Int, Int, Text, Text, Text, Count],
        }
    }

    /// The fields of an entry: id, whether it has data, two identifiers, tag, description, section, three
    /// statements, schema, tablespace; access method since 1.14; kind since 1.16; owner, whether it
    /// has OIDs, dependencies, offset of its data.
    fn entry(&self) -> &'static [Field] {
        use Field::{Id, Int, Offset, Text, Texts};
        match self.version {
            16.. => &[
                Id, Int, Text, Text, Text, Text, Int, Text, Text, Text, Text, Text, Text, Int,
                Text, Text, Texts, Offset,
            ],
            14.. => &[
                Id, Int, Text, Text, Text, Text, Int, Text, Text, Text, Text, Text, Text, Text,
                Text, Texts, Offset,
            ],
            _ => &[
                Id, Int, Text, Text, Text, Text, Int, Text, Text, Text, Text, Text, Text, Text,
                Texts, Offset,
            ],
        }
    }

    /// Parses the field of state `here`. Returns the state after it and the bytes to skip before that.
    fn field(
        &mut self,
        field: Field,
        bytes: &[u8],
        here: PgDumpState,
        at: u64,
    ) -> Result<(PgDumpState, u64), FormatError> {
        let after = match here {
            PgDumpState::Head(index) => PgDumpState::Head(index + 1),
            PgDumpState::Entry(index) => PgDumpState::Entry(index + 1),
            other => other,
        };
        match field {
            Field::Byte | Field::Int => Ok((after, 0)),
            Field::Count => match u64::try_from(int(bytes)) {
                Ok(count) => {
                    (self.count, self.entries) = (count, count);
                    Ok((after, 0))
                }
                Err(_) => Err(FormatError::truncated(format!(
                    "the number of entries at byte {at} is negative"
                ))),
            },
            Field::Id => {
                self.id = int(bytes);
                Ok((after, 0))
            }
            // A negative length means an absent text.
            Field::Text => Ok((after, int(bytes).max(0) as u64)),
            Field::Texts => match int(bytes) {
                length @ 0.. => Ok((here, length as u64)),
                _ => Ok((after, 0)),
            },
            Field::Offset => match bytes[0] {
                1 | 2 => {
                    self.repeated.as_mut().unwrap_or(&mut self.expected).add(self.id);
                    Ok((after, 0))
                }
                NO_DATA => Ok((after, 0)),
                _ => Err(FormatError::truncated(format!("the entry before byte {at} is damaged"))),
            },
        }
    }

    fn next_entry(&self) -> PgDumpState {
        match self.entries {
            0 if self.repeated.is_some() => PgDumpState::End,
            0 => PgDumpState::Block,
            _ => PgDumpState::Entry(0),
        }
    }

    /// Whether the bytes where a block could start are the number of entries that the table of contents
    /// has, and a byte of the first entry. A block has another first byte, which is that of the sign here.
    fn is_second_table(&self, bytes: &[u8]) -> bool {
        let number = int(&bytes[..bytes.len() - 1]);
        let same = bytes[0] == 0 && number > 0 && u64::try_from(number) == Ok(self.count);
        same && self.found == self.expected
    }

    fn block_ended(&mut self) -> Needed {
        self.found.add(self.id);
        self.enter(PgDumpState::Block, 0)
    }

    /// Enters a state after `skip` bytes. The state determines how many bytes it needs.
    fn enter(&mut self, state: PgDumpState, skip: u64) -> Needed {
        self.state = state;
        let int = 1 + self.int_size;
        let field = match state {
            PgDumpState::Head(index) => Some(self.head()[index]),
            PgDumpState::Entry(index) => Some(self.entry()[index]),
            _ => None,
        };
        let take = match (state, field) {
            (_, Some(Field::Byte)) => 1,
            (_, Some(Field::Offset)) => 1 + self.offset_size,
            (PgDumpState::Block, _) => 1 + int,
            (PgDumpState::RepeatedId(_), _) => self.int_size,
            (PgDumpState::End, _) => 1,
            _ => int,
        };
        Needed { skip, bytes: take }
    }
}

/// An integer: a byte for the sign, then the bytes of the magnitude in little endian.
fn int(bytes: &[u8]) -> i64 {
    let size = bytes[1..].iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if bytes[0] == 0 { size } else { -size }
}

#[cfg(test)]
mod tests;
