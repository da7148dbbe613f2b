//! The `Range` header of a read.
//!
//! Pure. Knows the size of the object and nothing else of it. Invariant: a range that is returned
//! lies within the object and is not empty.

use super::response::ErrorResponse;

/// The offset and the length in bytes of the range that `header` requests of an object of `size`
/// bytes; `None` means the whole object. Fails with 416 if the range holds no byte of the object.
pub fn parse_range(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, ErrorResponse> {
    let Some(list) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Ok(None);
    };
    // The service does not support several ranges at once; HTTP allows the whole object as the
    // response.
    let Some((first, last)) = list.split_once('-').filter(|_| !list.contains(',')) else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if last.trim().is_empty() => (start, size),
        (None, Some(count)) if first.trim().is_empty() => (size.saturating_sub(count), size),
        _ => return Ok(None),
    };
    if start < end {
        return Ok(Some((start, end - start)));
    }
    let message = format!("The range '{list}' is not within the object's {size} bytes");
    Err(ErrorResponse::new(416, "InvalidRange", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_in_their_three_forms() {
        assert_eq!(parse_range(None, 10).unwrap(), None);
        assert_eq!(parse_range(Some("bytes=2-4"), 10).unwrap(), Some((2, 3)));
        assert_eq!(parse_range(Some("bytes=2-"), 10).unwrap(), Some((2, 8)));
        assert_eq!(parse_range(Some("bytes=-3"), 10).unwrap(), Some((7, 3)));
        assert_eq!(parse_range(Some("bytes=-30"), 10).unwrap(), Some((0, 10)));
        assert_eq!(parse_range(Some("bytes=5-99"), 10).unwrap(), Some((5, 5)));
    }

    #[test]
    fn a_range_beyond_the_object_is_refused_and_a_strange_one_ignored() {
        assert_eq!(parse_range(Some("bytes=10-"), 10).unwrap_err().status, 416);
        assert_eq!(parse_range(Some("bytes=0-"), 0).unwrap_err().status, 416);
        assert_eq!(parse_range(Some("bytes=4-2"), 10).unwrap(), None);
        assert_eq!(parse_range(Some("bytes=0-1,3-4"), 10).unwrap(), None);
        assert_eq!(parse_range(Some("lines=1-2"), 10).unwrap(), None);
    }
}
