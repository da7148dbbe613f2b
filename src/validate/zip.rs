//! zip: a directory at the end, and a record of it at the very end.
//!
//! Owns the reading of that record, of its 64-bit form, and of so much of the directory as fits into
//! the memory of the end. Knows nothing of members: their sizes may follow them, or be in the
//! directory only.
//! Invariant: a stream is whole only if the record's comment ends exactly where the stream ends, and
//! the directory it tells of ends exactly where the record begins.

use super::last_bytes::LastBytes;
use super::{FormatError, Validator};

pub(super) const MEMBER: [u8; 4] = *b"PK\x03\x04";
const CENTRAL_DIR: [u8; 4] = *b"PK\x01\x02";
const EOCD: [u8; 4] = *b"PK\x05\x06";
const RECORD_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";

const RECORD_SIZE: usize = 22;
const LOCATOR_SIZE: usize = 20;
const RECORD_64_SIZE: usize = 56;
/// Enough for the longest comment, and for the directory of a small archive.
const KEPT: usize = 128 << 10;

pub(super) struct Zip(LastBytes);

impl Default for Zip {
    fn default() -> Zip {
        Zip(LastBytes::new(KEPT))
    }
}

impl Validator for Zip {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.0.bytes(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        let last = self.0.last();
        let offset = self.0.total() - last.len() as u64;
        // A comment may contain what looks like a record: any that fits will do, the last one first.
        let starts = (0..(last.len() + 1).saturating_sub(RECORD_SIZE)).rev();
        let records = starts.filter(|start| {
            let comment = usize::from(u16_at(last, start + 20));
            last[*start..].starts_with(&EOCD) && start + RECORD_SIZE + comment == last.len()
        });
        let mut flaw = FormatError::truncated("the record of its end is missing");
        for start in records {
            match Directory::from_eocd(last, offset, start)
                .and_then(|told| told.check(last, offset))
            {
                Ok(()) => return Ok(()),
                Err(found) => flaw = found,
            }
        }
        Err(flaw)
    }
}

/// What a record tells of the directory, in places of the stream.
struct Directory {
    start: u64,
    end: u64,
    entries: u64,
}

impl Directory {
    /// Reads the record at `start` of the last bytes, which begin at `offset` of the stream.
    fn from_eocd(last: &[u8], offset: u64, start: usize) -> Result<Directory, FormatError> {
        let disks = [u16_at(last, start + 4), u16_at(last, start + 6)];
        let entries = u16_at(last, start + 10);
        let (size, at) = (u32_at(last, start + 12), u32_at(last, start + 16));
        let full = entries == u16::MAX || size == u32::MAX || at == u32::MAX;
        let locator = start.checked_sub(LOCATOR_SIZE);
        let locator = locator.filter(|at| last[*at..].starts_with(&LOCATOR_64));
        match locator {
            Some(locator) => Directory::from_zip64_eocd(last, offset, locator),
            None if full && at == u32::MAX => {
                Err(FormatError::truncated("its 64-bit record is missing"))
            }
            None if disks != [0, 0] => {
                Err(FormatError::unsupported("it is one of several volumes"))
            }
            None => {
                let end = offset + start as u64;
                Directory { start: u64::from(at), end, entries: u64::from(entries) }
                    .sized(u64::from(size))
            }
        }
    }

    /// Reads the 64-bit record that the locator at `locator` tells of.
    fn from_zip64_eocd(last: &[u8], offset: u64, locator: usize) -> Result<Directory, FormatError> {
        let missing = || FormatError::truncated("its 64-bit record is missing");
        let end = u64_at(last, locator + 8);
        let start = end.checked_sub(offset).and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|start| {
            start.checked_add(RECORD_64_SIZE).is_some_and(|end| end <= locator)
                && last[*start..].starts_with(&RECORD_64)
                && u64_at(last, start + 4).checked_add(12) == Some((locator - start) as u64)
        });
        let start = start.ok_or_else(missing)?;
        let (entries, size) = (u64_at(last, start + 32), u64_at(last, start + 40));
        Directory { start: u64_at(last, start + 48), end, entries }.sized(size)
    }

    fn sized(self, size: u64) -> Result<Directory, FormatError> {
        match self.start.checked_add(size) {
            Some(end) if end == self.end => Ok(self),
            _ => Err(FormatError::truncated("its directory is not where its end says")),
        }
    }

    /// Walks the directory, if all of it is among the last bytes.
    fn check(&self, last: &[u8], offset: u64) -> Result<(), FormatError> {
        let Some(start) = self.start.checked_sub(offset) else { return Ok(()) };
        let mut rest = &last[start as usize..(self.end - offset) as usize];
        for _ in 0..self.entries {
            let length = match rest.get(..46) {
                Some(entry) if entry.starts_with(&CENTRAL_DIR) => {
                    [28, 30, 32].map(|at| usize::from(u16_at(entry, at))).iter().sum::<usize>() + 46
                }
                _ => return Err(FormatError::truncated("its directory is damaged")),
            };
            rest = rest
                .get(length..)
                .ok_or_else(|| FormatError::truncated("its directory is damaged"))?;
        }
        // A signature of the directory may follow its entries.
        Ok(())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> Result<(), FormatError> {
        let mut zip = Box::new(Zip::default());
        zip.bytes(bytes)?;
        zip.end()
    }

    /// An archive of one member that is longer than what is kept of the end.
    fn large(comment: &[u8], change: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = vec![0; 2 * KEPT];
        let start = bytes.len() as u64;
        bytes.extend(CENTRAL_DIR);
        bytes.extend([0; 42]);
        let end = bytes.len() as u64;
        let mut record_64 = RECORD_64.to_vec();
        record_64.extend(44u64.to_le_bytes());
        record_64.extend([0; 12]);
        for number in [1, 1, end - start, start] {
            record_64.extend(number.to_le_bytes());
        }
        let mut locator = LOCATOR_64.to_vec();
        locator.extend([0; 4]);
        locator.extend(end.to_le_bytes());
        locator.extend(1u32.to_le_bytes());
        change(&mut record_64, &mut locator);
        bytes.extend(record_64);
        bytes.extend(locator);
        bytes.extend(EOCD);
        bytes.extend([0, 0, 0, 0]);
        bytes.extend([0xff; 12]);
        bytes.extend((comment.len() as u16).to_le_bytes());
        bytes.extend(comment);
        bytes
    }

    #[test]
    fn a_64_bit_record_is_followed() {
        assert_eq!(verdict(&large(b"", |_, _| {})), Ok(()));
        // The place of the directory, its size, and the place of the record itself.
        for (at, bit) in [(48, 1), (40, 1), (40, 2)] {
            assert!(verdict(&large(b"", |record, _| record[at] ^= bit)).is_err());
        }
        assert!(verdict(&large(b"", |_, locator| locator[8] ^= 1)).is_err());
        assert!(verdict(&large(b"", |_, locator| locator.clear())).is_err());
        assert!(verdict(&large(b"", |record, _| record.clear())).is_err());
    }

    #[test]
    fn a_comment_may_look_like_a_record() {
        let mut inner = EOCD.to_vec();
        inner.extend([0; 18]);
        assert_eq!(verdict(&large(&inner, |_, _| {})), Ok(()));
        let whole = large(&[b'c'; 65_535], |_, _| {});
        assert_eq!(verdict(&whole), Ok(()));
        assert!(verdict(&whole[..whole.len() - 1]).is_err());
    }
}
