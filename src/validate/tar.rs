//! tar: header blocks, and two blocks of zeros at the end.
//!
//! Owns the parsing of ustar, pax, GNU and old archives, from header to header. Must not know names or
//! contents. Invariant: an archive is whole only if two blocks of zeros follow its last member, and only
//! whole blocks of zeros or another archive follow those; or if exactly 1,024 zeros follow its last member
//! without padding, as pg_basebackup 13 writes after its manifest.

use super::FormatError;
use super::chunk_parser::{ChunkParser, Needed};

const BLOCK: usize = 512;
/// The longest pax header that is parsed, in bytes; real ones have a few kilobytes.
const MAX_EXTENDED: u64 = 8 << 20;

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Tar {
    state: TarState,
    /// The size of the next member from a pax header, in bytes.
    size: Option<u64>,
    /// The bytes that fill the last block of the last member.
    padding: usize,
}

#[derive(Default, Clone, Copy)]
enum TarState {
    #[default]
    Header,
    /// A header, or the first block of contents of this size: the member before is a link or directory
    /// with a size, for which some programs write contents and others do not.
    HeaderOrContents(u64),
    /// The records of a pax header.
    Extended,
    /// A further block of the map of a sparse file; contents of this size follow the map.
    SparseMap(u64),
    /// The number of blocks of zeros so far, at most two.
    Zeros(u8),
}

impl ChunkParser for Tar {
    fn initial(&self) -> Needed {
        Needed::take(BLOCK)
    }

    fn step(&mut self, bytes: &[u8], at: u64) -> Result<Needed, FormatError> {
        match self.state {
            TarState::Extended => {
                self.size = size_in(bytes).or(self.size);
                Ok(self.next(TarState::Header, 0))
            }
            TarState::SparseMap(size) => Ok(self.sparse(bytes[504], size)),
            TarState::HeaderOrContents(size) if !is_header(bytes) && !is_zero(bytes) => {
                // The block was the first one of the contents.
                let contents = self.contents(size);
                Ok(Needed { skip: contents.skip - BLOCK as u64, ..contents })
            }
            TarState::Zeros(count) if is_zero(bytes) => {
                Ok(self.next(TarState::Zeros(2.min(count + 1)), 0))
            }
            TarState::Header | TarState::HeaderOrContents(_) if is_zero(bytes) => {
                Ok(self.next(TarState::Zeros(1), 0))
            }
            TarState::Header | TarState::HeaderOrContents(_) | TarState::Zeros(_) => {
                self.header(bytes, at)
            }
        }
    }

    fn may_end_within(&self, rest: &[u8]) -> bool {
        let unpadded = self.padding > 0 && rest.len() == BLOCK - self.padding;
        matches!(self.state, TarState::Zeros(1)) && unpadded && is_zero(rest)
    }

    fn end(&self) -> Result<(), FormatError> {
        match self.state {
            TarState::Zeros(2) => Ok(()),
            TarState::Zeros(_) => {
                Err(FormatError::truncated("it ends with one block of zeros instead of two"))
            }
            _ => Err(FormatError::truncated("it ends without the two blocks of zeros")),
        }
    }
}

impl Tar {
    fn next(&mut self, state: TarState, skip: u64) -> Needed {
        self.state = state;
        Needed { skip, bytes: BLOCK }
    }

    /// What is needed after a header of a member of this size, in bytes.
    fn contents(&mut self, size: u64) -> Needed {
        self.padding = (padded(size) - size) as usize;
        self.next(TarState::Header, padded(size))
    }

    fn header(&mut self, block: &[u8], at: u64) -> Result<Needed, FormatError> {
        if !is_header(block) {
            return Err(FormatError::truncated(format!("there is no header at byte {at}")));
        }
        let Some(own) = number(&block[124..136]) else {
            return Err(FormatError::truncated(format!("the header at byte {at} has no size")));
        };
        let kind = block[156];
        if matches!(kind, b'x' | b'X') {
            if own > MAX_EXTENDED {
                return Err(FormatError::unsupported(format!(
                    "the header at byte {at} is {own} bytes long"
                )));
            }
            self.state = TarState::Extended;
            return Ok(match own {
                0 => self.next(TarState::Header, 0),
                _ => Needed::take(padded(own) as usize),
            });
        }
        // Long names and global headers can stand between a pax header and its member.
        let size = match kind {
            b'g' | b'L' | b'K' => own,
            _ => self.size.take().unwrap_or(own),
        };
        if size > u64::MAX / 2 {
            return Err(FormatError::truncated(format!(
                "the header at byte {at} has an impossible size"
            )));
        }
        Ok(match kind {
            b'S' => self.sparse(block[482], size),
            b'1'..=b'6' if size > 0 => {
                self.padding = 0;
                self.next(TarState::HeaderOrContents(size), 0)
            }
            _ => self.contents(size),
        })
    }

    /// What is needed after a block of the map of a sparse file; `more` is 0 for the last block.
    fn sparse(&mut self, more: u8, size: u64) -> Needed {
        match more {
            0 => self.contents(size),
            _ => self.next(TarState::SparseMap(size), 0),
        }
    }
}

fn padded(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64)
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Whether a stream begins with a ustar, pax or GNU header. Old archives have no magic.
pub(super) fn begins(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| &block[257..262] == b"ustar" && is_header(block))
}

/// Whether the checksum of the block is right; some old programs sum signed bytes.
fn is_header(block: &[u8]) -> bool {
    let Some(sum) = number(&block[148..156]) else { return false };
    let spaces = 8 * u64::from(b' ');
    let others = || block[..148].iter().chain(&block[156..]);
    let unsigned = others().map(|byte| u64::from(*byte)).sum::<u64>() + spaces;
    let signed = others().map(|byte| i64::from(*byte as i8)).sum::<i64>() + spaces as i64;
    sum == unsigned || i64::try_from(sum) == Ok(signed)
}

/// A number: octal digits between spaces and zeros, or big endian if the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let first = u64::from(field[0] & 0x7f);
        return field[1..]
            .iter()
            .try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = field.trim_ascii_start();
    let digits = text.iter().take_while(|byte| !matches!(byte, 0 | b' '));
    digits.into_iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The value of `size` in the records of a pax header, each `LENGTH KEY=VALUE` and a newline.
fn size_in(mut records: &[u8]) -> Option<u64> {
    let mut size = None;
    loop {
        let blank = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            size = std::str::from_utf8(value.trim_ascii_end()).ok()?.parse().ok().or(size);
        }
        records = &records[length..];
        if !records.first().is_some_and(u8::is_ascii_digit) {
            return size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Validator;
    use super::super::chunk_parser::ChunkDriver;
    use super::*;

    fn validate(blocks: &[Vec<u8>]) -> Result<(), FormatError> {
        let mut driver = Box::new(ChunkDriver::new(Tar::default()));
        driver.bytes(&blocks.concat())?;
        driver.end()
    }

    fn header(kind: u8, size: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..4].copy_from_slice(b"name");
        block[124..124 + size.len()].copy_from_slice(size);
        block[156] = kind;
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn contents(blocks: usize) -> Vec<u8> {
        vec![b'c'; blocks * BLOCK]
    }

    fn records(text: &str) -> Vec<u8> {
        let mut block = text.as_bytes().to_vec();
        block.resize(BLOCK, 0);
        block
    }

    fn end() -> Vec<u8> {
        vec![0; 2 * BLOCK]
    }

    #[test]
    fn a_size_in_a_pax_header_counts_for_the_next_member_only() {
        let pax = || header(b'x', b"37");
        let sizes = || records("9 path=a\n13 size=1025\n9 path=b\n");
        let member = || header(b'0', b"0");
        assert_eq!(validate(&[pax(), sizes(), member(), contents(3), end()]), Ok(()));
        assert!(validate(&[pax(), sizes(), member(), contents(2), end()]).is_err());
        let two = [pax(), sizes(), member(), contents(3), member(), end()];
        assert_eq!(validate(&two), Ok(()));
        // A long name between the two has a size of its own.
        let long = [pax(), sizes(), header(b'L', b"5"), contents(1), member(), contents(3), end()];
        assert_eq!(validate(&long), Ok(()));
    }

    #[test]
    fn a_binary_size_is_read() {
        let mut size = [0; 12];
        size[0] = 0x80;
        size[10] = 2;
        assert_eq!(validate(&[header(b'0', &size), contents(1), end()]), Ok(()));
        size[0] = 0xff;
        assert!(validate(&[header(b'0', &size), contents(1), end()]).is_err());
    }

    #[test]
    fn a_link_with_a_size_may_have_contents_or_not() {
        let link = || header(b'1', b"2000");
        assert_eq!(validate(&[link(), end()]), Ok(()));
        assert_eq!(validate(&[link(), header(b'0', b"1000"), contents(1), end()]), Ok(()));
        assert_eq!(validate(&[link(), contents(2), end()]), Ok(()));
    }

    #[test]
    fn the_manifest_of_pg_basebackup_may_lack_its_padding() {
        let whole = |zeros: usize| {
            let mut manifest = vec![b'm'; 182];
            manifest.resize(182 + zeros, 0);
            validate(&[header(b'0', b"266"), manifest])
        };
        assert_eq!(whole(1024), Ok(()));
        assert_eq!(whole(1024 + 330), Ok(()), "with padding");
        for zeros in (0..1354).filter(|zeros| *zeros != 1024) {
            assert!(whole(zeros).is_err(), "{zeros}");
        }
        let full = [header(b'0', b"1000"), contents(1), vec![0; BLOCK]];
        assert!(validate(&full).is_err(), "a member that needs no padding");
    }
}
