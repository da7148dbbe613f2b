//! The secret at the start of a path: knowing the path of a pre-authenticated request is the right to use it.
//!
//! Owns how such a path is put together, and how its secret is removed from a text of the service. Must
//! not know requests. Invariant: neither the debug output nor an error shows the secret.

use std::fmt;

use zeroize::Zeroizing;

/// What a text shows in the place of a secret.
pub(crate) const MASK: &str = "***";

/// A secret that is at least this long is removed wherever it is found; a shorter one only where it
/// follows `/p/`.
const MIN_DISTINCT: usize = 8;

/// The part `/p/SECRET` of a path.
#[derive(Clone, PartialEq, Eq)]
pub struct PathSecret(Zeroizing<String>);

impl PathSecret {
    /// The secret as the URL has it; `None` if it is empty or has a character that no segment of a path
    /// has.
    pub fn new(segment: &str) -> Option<PathSecret> {
        let legal =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
        let valid = !segment.is_empty() && segment.bytes().all(legal);
        valid.then(|| PathSecret(Zeroizing::new(segment.to_owned())))
    }

    /// The path that is sent: the secret before `target`, which begins with a slash.
    pub fn path(&self, target: &str) -> Zeroizing<String> {
        let secret = self.0.as_str();
        // Of the whole size at once: a text that grows leaves copies behind.
        let mut path = Zeroizing::new(String::with_capacity(3 + secret.len() + target.len()));
        path.extend(["/p/", secret, target]);
        path
    }

    /// The text with the mask in the place of each secret.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        if self.0.len() >= MIN_DISTINCT {
            return replace(text, self.0.as_bytes(), MASK.as_bytes());
        }
        let shown = format!("/p/{MASK}");
        let searched = self.path("");
        replace(text, searched.as_bytes(), shown.as_bytes())
    }
}

/// `text` with `with` in the place of each `what`, which is not empty.
fn replace(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

impl fmt::Debug for PathSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathSecret(/p/{MASK})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_removed_from_a_text_and_shown_by_nothing() {
        let secret = PathSecret::new("uIDx-3_kq4T").unwrap();
        let page = b"<p>/p/uIDx-3_kq4T/n/x was not found: uIDx-3_kq4T</p>";
        assert_eq!(secret.redact(page), b"<p>/p/***/n/x was not found: ***</p>");
        assert_eq!(secret.redact(b"nothing"), b"nothing");
        assert_eq!(format!("{secret:?}"), "PathSecret(/p/***)");
        let path: Zeroizing<String> = secret.path("/n/x");
        assert_eq!((path.as_str(), path.capacity()), ("/p/uIDx-3_kq4T/n/x", 18));
        let short = PathSecret::new("ab").unwrap();
        assert_eq!(short.redact(b"about /p/ab/n"), b"about /p/***/n");
    }

    #[test]
    fn a_secret_is_one_segment_of_a_path() {
        for text in ["", "a/b", "a b", "a?b", "a#b", "a\n", "\u{fc}"] {
            assert_eq!(PathSecret::new(text), None, "{text:?}");
        }
    }
}
