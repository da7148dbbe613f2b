//! The bytes of an object that `--range` names.
//!
//! Owns the three forms of a range in HTTP: `a-b`, `a-` and `-n`. Must not know requests. Invariant: a
//! range that is resolved lies within the object and is not empty.

use std::fmt;

/// A range as the user gives it, before the size of the object is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last byte, both included, counted from 0.
    FromTo(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last bytes of the object, this many.
    Last(u64),
}

/// Bytes of an object, as the position of the first one and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the first byte.
    pub first: u64,
    /// Bytes.
    pub length: u64,
}

impl Extent {
    /// All bytes of an object of this size.
    pub fn whole(size: u64) -> Extent {
        Extent { first: 0, length: size }
    }
}

impl ByteRange {
    /// Parses a range; a leading `bytes=`, as in the header of HTTP, is accepted. Fails with the right
    /// form as a message.
    pub fn parse(text: &str) -> Result<ByteRange, String> {
        let range = text.strip_prefix("bytes=").unwrap_or(text);
        let wrong =
            || "write A-B, A- or -N: the first and the last byte, counted from 0".to_owned();
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse::<u64>().map_err(|_| wrong()) } else { Err(wrong()) }
        };
        match range.split_once('-').ok_or_else(wrong)? {
            ("", "") => Err(wrong()),
            ("", last) => match number(last)? {
                0 => Err("the last 0 bytes are none".to_owned()),
                last => Ok(ByteRange::Last(last)),
            },
            (first, "") => Ok(ByteRange::From(number(first)?)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(ByteRange::FromTo(first, last)),
                _ => Err("the last byte comes before the first".to_owned()),
            },
        }
    }

    /// The bytes of an object of `size` bytes; `None` where the range has none of them. The end of the
    /// object cuts a range that goes beyond it.
    pub fn resolve(self, size: u64) -> Option<Extent> {
        let (first, end) = match self {
            ByteRange::FromTo(first, last) => (first, last.saturating_add(1).min(size)),
            ByteRange::From(first) => (first, size),
            ByteRange::Last(count) => (size.saturating_sub(count), size),
        };
        (first < end).then(|| Extent { first, length: end - first })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::FromTo(first, last) => write!(f, "{first}-{last}"),
            ByteRange::From(first) => write!(f, "{first}-"),
            ByteRange::Last(count) => write!(f, "-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_http_are_read_and_anything_else_is_refused() {
        assert_eq!(ByteRange::parse("2-4"), Ok(ByteRange::FromTo(2, 4)));
        assert_eq!(ByteRange::parse("bytes=2-"), Ok(ByteRange::From(2)));
        assert_eq!(ByteRange::parse("-3"), Ok(ByteRange::Last(3)));
        for text in ["", "-", "5", "-0", "4-2", "+1-2", "1-2,4-5", "a-b", "0x1-2", "1 - 2"] {
            assert!(ByteRange::parse(text).is_err(), "{text:?}");
        }
        assert!(ByteRange::parse("0-99999999999999999999").is_err());
    }

    #[test]
    fn a_range_is_cut_at_the_end_of_the_object_and_never_empty() {
        let resolved = |text: &str| {
            let extent = ByteRange::parse(text).unwrap().resolve(10);
            extent.map(|extent| (extent.first, extent.length))
        };
        assert_eq!(resolved("2-4"), Some((2, 3)));
        assert_eq!(resolved("5-99"), Some((5, 5)));
        assert_eq!(resolved("9-"), Some((9, 1)));
        assert_eq!(resolved("-30"), Some((0, 10)));
        assert_eq!(resolved("0-18446744073709551615"), Some((0, 10)));
        assert_eq!((resolved("10-"), resolved("10-12")), (None, None));
        assert_eq!(ByteRange::Last(5).resolve(0), None);
    }
}
