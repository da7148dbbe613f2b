//! xz: streams of LZMA2 blocks with an index at the end.
//!
//! Owns the parsing of blocks, chunk by chunk, and the comparison with the index. Must not know the
//! contents: checks of decoded data are not verified. Invariant: a stream is whole only if its index has
//! a right CRC-32 and lists exactly the blocks of the stream, and its footer matches the index; several
//! streams, with padding, may follow each other.

use super::FormatError;
use super::chunk_parser::{ChunkParser, Needed};

pub(super) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// The filter id of LZMA2, which is always the last filter.
const LZMA2: u64 = 0x21;

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Xz {
    state: XzState,
    streams: u64,
    /// The flags of the stream, which its footer repeats.
    flags: [u8; 2],
    /// Of the current block in bytes: its header, its compressed chunks, and their decoded size.
    header: u64,
    packed: u64,
    unpacked: u64,
    /// The blocks of the stream.
    parsed: Blocks,
    /// The blocks that the index lists.
    listed: Blocks,
    index: Index,
}

/// A list of blocks in 16 bytes: its length, and a hash of the sizes in order.
#[derive(Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
struct Blocks {
    count: u64,
    hash: u64,
}

impl Blocks {
    fn push(&mut self, unpadded: u64, unpacked: u64) {
        self.count += 1;
        for number in [unpadded, unpacked] {
            self.hash = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        }
    }
}

/// The part of the index that has been parsed.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Index {
    /// Bytes.
    length: u64,
    crc: crc32fast::Hasher,
    /// The number that is being parsed.
    number: VarInt,
    /// The records that are still to come.
    records: u64,
    /// The first number of the current record.
    unpadded: Option<u64>,
}

#[derive(Default, Clone, Copy)]
enum XzState {
    #[default]
    StreamHeader,
    /// Four bytes of padding, or of the header of a further stream.
    AfterStream,
    /// The last eight bytes of the header of a further stream.
    RestOfHeader,
    /// The first byte of a block header or of the index.
    BlockOrIndex,
    BlockHeader,
    /// The first byte of a chunk.
    Chunk,
    /// The sizes of a chunk with this control byte.
    ChunkSizes(u8),
    RecordCount,
    Record,
    IndexPadding,
    IndexCheck,
    Footer,
}

impl ChunkParser for Xz {
    fn initial(&self) -> Needed {
        Needed::take(12)
    }

    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        match self.state {
            XzState::StreamHeader => self.stream_header(bytes, at),
            XzState::AfterStream if bytes == [0; 4] => Ok(Needed::take(4)),
            XzState::AfterStream if bytes == &MAGIC[..4] => {
                self.state = XzState::RestOfHeader;
                Ok(Needed::take(8))
            }
            XzState::AfterStream => {
                Err(FormatError::truncated(format!("there is no stream at byte {at}")))
            }
            XzState::RestOfHeader => {
                let header = [&MAGIC[..4], bytes].concat();
                self.stream_header(&header, at)
            }
            XzState::BlockOrIndex if bytes[0] == 0 => {
                self.index = Index { length: 1, ..Index::default() };
                self.index.crc.update(bytes);
                self.listed = Blocks::default();
                Ok(self.enter(XzState::RecordCount, 1))
            }
            XzState::BlockOrIndex => {
                self.header = (u64::from(bytes[0]) + 1) * 4;
                Ok(self.enter(XzState::BlockHeader, self.header as usize - 1))
            }
            XzState::BlockHeader => self.block_header(bytes, at),
            XzState::Chunk => self.chunk(bytes[0], at),
            XzState::ChunkSizes(control) => Ok(self.chunk_sizes(control, bytes)),
            XzState::RecordCount | XzState::Record => self.record(bytes, at),
            XzState::IndexPadding => {
                self.index.add(bytes);
                match bytes {
                    [0] => Ok(self.padding()),
                    _ => Err(FormatError::truncated(format!(
                        "the index is not padded with zeros at byte {at}"
                    ))),
                }
            }
            XzState::IndexCheck => {
                if crc(bytes) != self.index.crc.clone().finalize() {
                    return Err(FormatError::truncated("the check of the index is wrong"));
                }
                if self.parsed != self.listed {
                    return Err(FormatError::truncated("the index does not match the blocks"));
                }
                self.index.length += 4;
                Ok(self.enter(XzState::Footer, 12))
            }
            XzState::Footer => self.footer(bytes),
        }
    }

    fn end(&self) -> Result<(), FormatError> {
        match self.state {
            XzState::AfterStream => Ok(()),
            _ if self.streams == 0 => Err(FormatError::truncated("it ends before its index")),
            _ => Err(FormatError::truncated("its last stream ends before the index")),
        }
    }
}

impl Xz {
    /// Enters a state that needs `take` bytes.
    fn enter(&mut self, state: XzState, take: usize) -> Needed {
        self.state = state;
        Needed::take(take)
    }

    fn stream_header(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        if bytes[..6] != MAGIC {
            return Err(FormatError::truncated(format!("there is no stream at byte {at}")));
        }
        if crc(&bytes[8..]) != crc32fast::hash(&bytes[6..8]) {
            return Err(FormatError::truncated("the check of a stream header is wrong"));
        }
        self.flags = [bytes[6], bytes[7]];
        if self.flags[0] != 0 || self.flags[1] > 0xf {
            return Err(FormatError::unsupported("it has flags that are not known"));
        }
        self.parsed = Blocks::default();
        Ok(self.enter(XzState::BlockOrIndex, 1))
    }

    fn block_header(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        let (fields, check) = bytes.split_at(bytes.len() - 4);
        let mut header = crc32fast::Hasher::new();
        header.update(&[(self.header / 4 - 1) as u8]);
        header.update(fields);
        if crc(check) != header.finalize() {
            return Err(FormatError::truncated(format!(
                "the check of the block header at byte {at} is wrong"
            )));
        }
        if last_filter(fields) != Some(LZMA2) {
            return Err(FormatError::unsupported("it is packed by a method that is not known"));
        }
        (self.packed, self.unpacked) = (0, 0);
        Ok(self.enter(XzState::Chunk, 1))
    }

    fn chunk(&mut self, control: u8, at: u64) -> Result<Needed, FormatError> {
        self.packed += 1;
        match control {
            0 => {
                let check = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
                    [usize::from(self.flags[1] & 0xf)];
                self.parsed.push(self.header + self.packed + check, self.unpacked);
                self.state = XzState::BlockOrIndex;
                // The header is a multiple of four bytes already.
                Ok(Needed { skip: self.packed.next_multiple_of(4) - self.packed + check, bytes: 1 })
            }
            1 | 2 => Ok(self.enter(XzState::ChunkSizes(control), 2)),
            0x80.. => Ok(self.enter(XzState::ChunkSizes(control), 4)),
            _ => Err(FormatError::truncated(format!("the chunk at byte {at} is of no kind"))),
        }
    }

    fn chunk_sizes(&mut self, control: u8, bytes: &[u8]) -> Needed {
        let size = |high: u8, low: u8| u64::from(high) << 8 | u64::from(low);
        let plain = size(bytes[0], bytes[1]) + 1;
        let (unpacked, follows) = match bytes {
            [_, _] => (plain, plain),
            _ => {
                let properties = u64::from(control >= 0xc0);
                let high = u64::from(control & 0x1f) << 16;
                (high + plain, size(bytes[2], bytes[3]) + 1 + properties)
            }
        };
        self.unpacked += unpacked;
        self.packed += bytes.len() as u64 + follows;
        self.state = XzState::Chunk;
        Needed { skip: follows, bytes: 1 }
    }

    /// Parses a byte of the number of records, or of a number in a record.
    fn record(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        self.index.add(bytes);
        let Some(number) = self.index.number.add(bytes[0]) else {
            return Err(FormatError::truncated(format!(
                "a number of the index is too long at byte {at}"
            )));
        };
        let Some(number) = number else { return Ok(Needed::take(1)) };
        if let XzState::RecordCount = self.state {
            self.index.records = number;
            self.state = XzState::Record;
        } else if let Some(unpadded) = self.index.unpadded.take() {
            self.listed.push(unpadded, number);
            self.index.records -= 1;
        } else {
            self.index.unpadded = Some(number);
        }
        Ok(match self.index.records {
            0 => self.padding(),
            _ => Needed::take(1),
        })
    }

    /// What is needed after the last record or a byte of padding.
    fn padding(&mut self) -> Needed {
        match self.index.length % 4 {
            0 => self.enter(XzState::IndexCheck, 4),
            _ => self.enter(XzState::IndexPadding, 1),
        }
    }

    fn footer(&mut self, bytes: &[u8]) -> Result<Needed, FormatError> {
        let backward = (u64::from(crc(&bytes[4..8])) + 1) * 4;
        let is_valid = crc(&bytes[..4]) == crc32fast::hash(&bytes[4..10])
            && backward == self.index.length
            && bytes[8..10] == self.flags
            && bytes[10..] == FOOTER_MAGIC;
        if !is_valid {
            return Err(FormatError::truncated("a stream footer is wrong"));
        }
        self.streams += 1;
        Ok(self.enter(XzState::AfterStream, 4))
    }
}

impl Index {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.crc.update(bytes);
    }
}

/// A number of variable length: seven bits in each byte, little endian.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct VarInt {
    value: u64,
    shift: u32,
}

impl VarInt {
    /// Adds a byte. Returns `None` if the number is too long, and `Some(None)` if it is not complete.
    fn add(&mut self, byte: u8) -> Option<Option<u64>> {
        if self.shift >= 63 {
            return None;
        }
        self.value |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Some(None);
        }
        Some(Some(std::mem::take(self).value))
    }

    /// Removes a number from the front of `bytes`.
    fn from_front(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = VarInt::default();
        loop {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some(value) = number.add(*byte)? {
                return Some(value);
            }
        }
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// The id of the last filter in a block header without its size and CRC-32.
fn last_filter(fields: &[u8]) -> Option<u64> {
    let (flags, mut rest) = fields.split_first()?;
    if flags & 0x3c != 0 {
        return None;
    }
    // The sizes of the block, which are optional.
    for present in [0x40, 0x80] {
        if flags & present != 0 {
            VarInt::from_front(&mut rest)?;
        }
    }
    let mut last = None;
    for _ in 0..=flags & 3 {
        last = Some(VarInt::from_front(&mut rest)?);
        let properties = usize::try_from(VarInt::from_front(&mut rest)?).ok()?;
        rest = rest.get(properties..)?;
    }
    last
}

#[cfg(test)]
mod tests;
