//! Whether a text looks like the URL of a PAR.
//!
//! Owns the shape that counts. Must not know where the text is from. Invariant: each URL or path that
//! `ParUrl::parse` accepts, also with other letters around it, is recognized.

/// Whether the text contains the URL or the path of a PAR, or of a multipart upload through one. URLs of
/// objects (`oci://`) are none.
pub fn is_par_url(text: &str) -> bool {
    let is_object_url = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("oci://"));
    !is_object_url
        && text.match_indices("/p/").any(|(at, key)| is_par_path(&text[at + key.len()..]))
}

/// Whether the text behind `/p/` is `SECRET/n/NAMESPACE/b/BUCKET/` with `o` or `u`.
fn is_par_path(text: &str) -> bool {
    let mut segments = text.split('/');
    let mut next = || segments.next().unwrap_or_default();
    let filled = |segment: &str| !segment.is_empty();
    filled(next())
        && next() == "n"
        && filled(next())
        && next() == "b"
        && filled(next())
        && next().starts_with(['o', 'u'])
}
