//! The custom format of pg_dump: a header, a table of contents, and blocks of data.
//!
//! Owns the walk over all three for the versions 1.12 to 1.16, those of PostgreSQL 9.0 to 18. Knows
//! nothing of what the entries are or how their data is packed.
//! Invariant: an archive is whole only if each entry that has data has a block, that block is
//! terminated, and there is no other.

use super::FormatError;
use super::chunk_parser::{ChunkParser, Needed};

pub(super) const MAGIC: [u8; 5] = *b"PGDMP";

/// Types of blocks.
const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;
/// The state of an entry that has no data.
const NO_DATA: u8 = 3;

#[derive(Default)]
pub(super) struct PgDump {
    state: PgDumpState,
    version: u8,
    int_size: usize,
    offset_size: usize,
    /// Entries of the table of contents that are still to come, this one included.
    entries: u64,
    /// The number of the entry, or of the block, that is being passed.
    id: i64,
    expected: Ids,
    found: Ids,
}

/// A set of numbers, condensed: how many there are, and a sum that tells sets of one size apart.
#[derive(Default, PartialEq, Eq)]
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
    /// The fields of the header or of an entry, from the one of this index on.
    Head(usize),
    Entry(usize),
    /// The type of a block, and the number of its entry.
    Block,
    /// The length of a chunk of data, in a large object or not.
    Chunk {
        object: bool,
    },
    /// The number of a large object.
    Object,
}

/// What the header and the entries are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Byte,
    Int,
    /// The number of entries, or of the entry.
    Count,
    Id,
    Text,
    /// Texts until one is missing.
    Texts,
    /// Whether the entry has data, and where, if that was known when it was written.
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
                let (place, skip) =
                    self.field(self.head()[index], bytes, PgDumpState::Head(index), at)?;
                let next = match place {
                    PgDumpState::Head(index) if index == self.head().len() => self.next_entry(),
                    place => place,
                };
                Ok(self.want(next, skip))
            }
            PgDumpState::Entry(index) => {
                let (place, skip) =
                    self.field(self.entry()[index], bytes, PgDumpState::Entry(index), at)?;
                let next = match place {
                    PgDumpState::Entry(index) if index == self.entry().len() => {
                        self.entries -= 1;
                        self.next_entry()
                    }
                    place => place,
                };
                Ok(self.want(next, skip))
            }
            PgDumpState::Block => {
                let (kind, id) = (bytes[0], int(&bytes[1..]));
                self.id = id;
                match kind {
                    DATA => Ok(self.want(PgDumpState::Chunk { object: false }, 0)),
                    LARGE_OBJECTS => Ok(self.want(PgDumpState::Object, 0)),
                    _ => {
                        Err(FormatError::truncated(format!("the block at byte {at} is of no kind")))
                    }
                }
            }
            PgDumpState::Chunk { object } => match int(bytes) {
                0 if object => Ok(self.want(PgDumpState::Object, 0)),
                0 => Ok(self.block_ended()),
                length @ 1.. => Ok(self.want(self.state, length as u64)),
                _ => Err(FormatError::truncated(format!("the data at byte {at} has no length"))),
            },
            PgDumpState::Object => match int(bytes) {
                0 => Ok(self.block_ended()),
                _ => Ok(self.want(PgDumpState::Chunk { object: true }, 0)),
            },
        }
    }

    fn end(&self) -> Result<(), FormatError> {
        match self.state {
            PgDumpState::Block if self.found == self.expected => Ok(()),
            PgDumpState::Block if self.found.count < self.expected.count => {
                Err(FormatError::truncated(format!(
                    "it has {} of {} blocks of data",
                    self.found.count, self.expected.count
                )))
            }
            PgDumpState::Block => {
                Err(FormatError::truncated("its data is not that of its table of contents"))
            }
            PgDumpState::Header | PgDumpState::Head(_) | PgDumpState::Entry(_) => {
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
        Ok(self.want(PgDumpState::Head(0), 0))
    }

    /// The header after its fixed part: compression, time of creation, name of the database, versions
    /// of server and program, number of entries.
    fn head(&self) -> &'static [Field] {
        use Field::{Byte, Count, Int, Text};
        match self.version {
            15.. => &[Byte, Int, Int, Int, Int, Int, Int, Int, Text, Text, Text, Count],
            _ => &[Int, Int, Int, Int, Int, Int, Int, Int, Text, Text, Text, Count],
        }
    }

    /// An entry: number, whether it has data, two identifiers, tag, description, section, three
    /// statements, schema, tablespace; access method since 1.14; kind since 1.16; owner, whether it
    /// has OIDs, dependencies, place of its data.
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

    /// Takes the field of `here`, and tells the place after it and what to skip on the way.
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
                    self.entries = count;
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
            // A negative length is a text that is missing.
            Field::Text => Ok((after, int(bytes).max(0) as u64)),
            Field::Texts => match int(bytes) {
                length @ 0.. => Ok((here, length as u64)),
                _ => Ok((after, 0)),
            },
            Field::Offset => match bytes[0] {
                1 | 2 => {
                    self.expected.add(self.id);
                    Ok((after, 0))
                }
                NO_DATA => Ok((after, 0)),
                _ => Err(FormatError::truncated(format!("the entry before byte {at} is damaged"))),
            },
        }
    }

    fn next_entry(&self) -> PgDumpState {
        match self.entries {
            0 => PgDumpState::Block,
            _ => PgDumpState::Entry(0),
        }
    }

    fn block_ended(&mut self) -> Needed {
        self.found.add(self.id);
        self.want(PgDumpState::Block, 0)
    }

    /// Goes to a place, past `skip` bytes; what is wanted there follows from the place.
    fn want(&mut self, place: PgDumpState, skip: u64) -> Needed {
        self.state = place;
        let int = 1 + self.int_size;
        let field = match place {
            PgDumpState::Head(index) => Some(self.head()[index]),
            PgDumpState::Entry(index) => Some(self.entry()[index]),
            _ => None,
        };
        let take = match (place, field) {
            (_, Some(Field::Byte)) => 1,
            (_, Some(Field::Offset)) => 1 + self.offset_size,
            (PgDumpState::Block, _) => 1 + int,
            _ => int,
        };
        Needed { skip, bytes: take }
    }
}

/// A number: its sign, and its bytes, the lowest first.
fn int(bytes: &[u8]) -> i64 {
    let size = bytes[1..].iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if bytes[0] == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::super::Validator;
    use super::super::chunk_parser::ChunkDriver;
    use super::*;

    fn verdict(bytes: &[u8]) -> Result<(), FormatError> {
        let mut walker = Box::new(ChunkDriver::new(PgDump::default()));
        walker.bytes(bytes)?;
        walker.end()
    }

    struct Archive(Vec<u8>);

    impl Archive {
        fn int(&mut self, value: i32) {
            self.0.push(u8::from(value < 0));
            self.0.extend(value.unsigned_abs().to_le_bytes());
        }

        fn text(&mut self, text: &str) {
            self.int(text.len() as i32);
            self.0.extend(text.bytes());
        }

        fn texts(&mut self, texts: &[&str]) {
            texts.iter().for_each(|text| self.text(text));
        }

        /// A header and entries of which each has data or not.
        fn of(version: u8, entries: &[(i32, bool)]) -> Archive {
            let mut archive = Archive(b"PGDMP".to_vec());
            archive.0.extend([1, version, 0, 4, 8, 1]);
            match version {
                15.. => archive.0.push(1),
                _ => archive.int(-1),
            }
            (0..7).for_each(|time| archive.int(time));
            archive.texts(&["base", "15.1", "15.1"]);
            archive.int(entries.len() as i32);
            for (id, data) in entries {
                archive.int(*id);
                archive.int(i32::from(*data));
                archive.texts(&["1259", "16400", "tag", "TABLE"]);
                archive.int(2);
                archive.texts(&["create", "drop"]);
                archive.int(-1);
                archive.texts(&["public", ""]);
                if version >= 14 {
                    archive.text("heap");
                }
                if version >= 16 {
                    archive.int(114);
                }
                archive.texts(&["owner", "false"]);
                if *id != 7 {
                    archive.texts(&["7", "12"]);
                }
                archive.int(-1);
                archive.0.push(if *data { 1 } else { 3 });
                archive.0.extend([0; 8]);
            }
            archive
        }

        fn block(mut self, id: i32, chunks: &[&str]) -> Archive {
            self.0.push(DATA);
            self.int(id);
            self.texts(chunks);
            self.int(0);
            self
        }

        fn large_objects(mut self, id: i32, objects: &[&str]) -> Archive {
            self.0.push(LARGE_OBJECTS);
            self.int(id);
            for object in objects {
                // Numbers beyond the positive ones are written as negative ones.
                self.int(-5);
                self.text(object);
                self.int(0);
            }
            self.int(0);
            self
        }
    }

    const ENTRIES: [(i32, bool); 4] = [(1, false), (300, true), (7, false), (20, true)];

    #[test]
    fn every_version_is_walked_and_no_truncation_of_it_is_whole() {
        for version in 12..=16 {
            let archive = Archive::of(version, &ENTRIES);
            let archive = archive.block(300, &["some", "data"]).large_objects(20, &["a", "bc"]).0;
            assert_eq!(verdict(&archive), Ok(()), "1.{version}");
            for cut in 0..archive.len() {
                assert!(verdict(&archive[..cut]).is_err(), "1.{version} cut at {cut}");
            }
        }
    }

    #[test]
    fn blocks_are_those_of_the_table_of_contents() {
        let archive = || Archive::of(14, &ENTRIES).block(20, &[]);
        assert_eq!(verdict(&archive().block(300, &["x"]).0), Ok(()));
        assert!(verdict(&archive().0).is_err(), "one is missing");
        assert!(verdict(&archive().block(301, &["x"]).0).is_err(), "a foreign one");
        assert!(verdict(&archive().block(20, &["x"]).0).is_err(), "one twice");
        let more = archive().block(300, &["x"]).block(7, &["x"]);
        assert!(verdict(&more.0).is_err(), "one of an entry without data");
        assert_eq!(verdict(&Archive::of(14, &[(1, false)]).0), Ok(()));
    }
}
