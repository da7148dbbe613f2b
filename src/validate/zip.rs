//! zip: a central directory near the end, and a record of its position at the end.
//!
//! Owns the parsing of the end of central directory record (EOCD), its zip64 form, and the central
//! directory if it is within the last 128 KiB. Must not know members: their sizes may follow them, or
//! be in the directory only. Invariant: a stream is whole only if the comment of the EOCD ends with the
//! stream, and the directory ends where the EOCD (or its zip64 form) starts.

use super::last_bytes::LastBytes;
use super::{FormatError, Validator};

pub(super) const MEMBER: [u8; 4] = *b"PK\x03\x04";
const CENTRAL_DIR: [u8; 4] = *b"PK\x01\x02";
const EOCD: [u8; 4] = *b"PK\x05\x06";
const ZIP64_EOCD: [u8; 4] = *b"PK\x06\x06";
const ZIP64_LOCATOR: [u8; 4] = *b"PK\x06\x07";

const EOCD_SIZE: usize = 22;
const LOCATOR_SIZE: usize = 20;
const ZIP64_EOCD_SIZE: usize = 56;
/// Bytes at the end that are buffered: the longest comment, and the directory of a small archive.
const TAIL_SIZE: usize = 128 << 10;

pub(super) struct Zip(LastBytes);

impl Default for Zip {
    fn default() -> Zip {
        Zip(LastBytes::new(TAIL_SIZE))
    }
}

impl Validator for Zip {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.0.bytes(bytes);
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), FormatError> {
        self.check_end()
    }
}

impl Zip {
    /// Fails if a stream that ends here is not whole.
    pub(super) fn check_end(&self) -> Result<(), FormatError> {
        let last = self.0.last();
        let offset = self.0.total() - last.len() as u64;
        // A comment may contain the bytes of a record: any record that fits is accepted, the last first.
        let first = last.len().saturating_sub(EOCD_SIZE + usize::from(u16::MAX));
        let starts = (first..(last.len() + 1).saturating_sub(EOCD_SIZE)).rev();
        let records = starts.filter(|start| {
            let comment = || usize::from(u16_at(last, start + 20));
            last[*start..].starts_with(&EOCD) && start + EOCD_SIZE + comment() == last.len()
        });
        let mut error = FormatError::truncated("the record of its end is missing");
        for start in records {
            let directory = Directory::from_eocd(last, offset, start);
            match directory.and_then(|directory| directory.check_entries(last, offset)) {
                Ok(()) => return Ok(()),
                Err(reason) => error = reason,
            }
        }
        Err(error)
    }
}

/// The central directory as its record describes it; positions are those in the stream.
struct Directory {
    start: u64,
    end: u64,
    entries: u64,
}

impl Directory {
    /// Parses the EOCD at `start` of the last bytes, which begin at `offset` of the stream. Fails if it does
    /// not end where the directory has to, or the archive has several volumes.
    fn from_eocd(last: &[u8], offset: u64, start: usize) -> Result<Directory, FormatError> {
        let disks = [u16_at(last, start + 4), u16_at(last, start + 6)];
        let entries = u16_at(last, start + 10);
        let (size, at) = (u32_at(last, start + 12), u32_at(last, start + 16));
        let locator = start.checked_sub(LOCATOR_SIZE);
        let locator = locator.filter(|at| last[*at..].starts_with(&ZIP64_LOCATOR));
        match locator {
            Some(locator) => Directory::from_zip64_eocd(last, offset, locator),
            None if at == u32::MAX => Err(FormatError::truncated("its 64-bit record is missing")),
            None if disks != [0, 0] => {
                Err(FormatError::unsupported("it is one of several volumes"))
            }
            None => {
                let end = offset + start as u64;
                Directory { start: u64::from(at), end, entries: u64::from(entries) }
                    .check_size(u64::from(size))
            }
        }
    }

    /// Parses the zip64 EOCD that the locator at `locator` points to. Fails if there is none.
    fn from_zip64_eocd(last: &[u8], offset: u64, locator: usize) -> Result<Directory, FormatError> {
        let missing = || FormatError::truncated("its 64-bit record is missing");
        let end = u64_at(last, locator + 8);
        let start = end.checked_sub(offset).and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|start| {
            start.checked_add(ZIP64_EOCD_SIZE).is_some_and(|end| end <= locator)
                && last[*start..].starts_with(&ZIP64_EOCD)
                && u64_at(last, start + 4).checked_add(12) == Some((locator - start) as u64)
        });
        let start = start.ok_or_else(missing)?;
        let (entries, size) = (u64_at(last, start + 32), u64_at(last, start + 40));
        Directory { start: u64_at(last, start + 48), end, entries }.check_size(size)
    }

    /// Checks that the directory, with this size in bytes, ends where it has to.
    fn check_size(self, size: u64) -> Result<Directory, FormatError> {
        match self.start.checked_add(size) {
            Some(end) if end == self.end => Ok(self),
            _ => Err(FormatError::truncated("its directory is not where its end says")),
        }
    }

    /// Checks the entries of the directory, if it is within the last bytes.
    fn check_entries(&self, last: &[u8], offset: u64) -> Result<(), FormatError> {
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
        // A digital signature may follow the entries.
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

    fn validate(bytes: &[u8]) -> Result<(), FormatError> {
        let mut zip = Box::new(Zip::default());
        zip.bytes(bytes)?;
        zip.end()
    }

    /// A zip64 archive of one member that is longer than the buffered end.
    fn large(comment: &[u8], change: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = vec![0; 2 * TAIL_SIZE];
        let start = bytes.len() as u64;
        bytes.extend(CENTRAL_DIR);
        bytes.extend([0; 42]);
        let end = bytes.len() as u64;
        let mut record_64 = ZIP64_EOCD.to_vec();
        record_64.extend(44u64.to_le_bytes());
        record_64.extend([0; 12]);
        for number in [1, 1, end - start, start] {
            record_64.extend(number.to_le_bytes());
        }
        let mut locator = ZIP64_LOCATOR.to_vec();
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
        assert_eq!(validate(&large(b"", |_, _| {})), Ok(()));
        // The position of the directory, its size, and the position of the record.
        for (at, bit) in [(48, 1), (40, 1), (40, 2)] {
            assert!(validate(&large(b"", |record, _| record[at] ^= bit)).is_err());
        }
        assert!(validate(&large(b"", |_, locator| locator[8] ^= 1)).is_err());
        assert!(validate(&large(b"", |_, locator| locator.clear())).is_err());
        assert!(validate(&large(b"", |record, _| record.clear())).is_err());
    }

    #[test]
    fn a_comment_may_look_like_a_record() {
        let mut inner = EOCD.to_vec();
        inner.extend([0; 18]);
        assert_eq!(validate(&large(&inner, |_, _| {})), Ok(()));
        let whole = large(&[b'c'; 65_535], |_, _| {});
        assert_eq!(validate(&whole), Ok(()));
        assert!(validate(&whole[..whole.len() - 1]).is_err());
    }
}
