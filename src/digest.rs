//! The algorithms by which a part is checked.

/// What each part is checked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha384,
    Crc32c,
    Md5,
    None,
}
