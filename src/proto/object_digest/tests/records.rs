//! What is kept of a stream that is read once.

use super::*;

/// An object in parts of 30 bytes, which no client chooses by default.
fn odd_object(bytes: &[u8]) -> ObjectMeta {
    let layout = PartLayout::level(bytes.len() as u64, 30).unwrap();
    object(bytes, &layout, Algorithm::Sha256)
}

fn read(mut stream: ComparedStream, bytes: &[u8]) -> (Option<ComparisonResult>, Option<u64>) {
    bytes.chunks(17).for_each(|chunk| stream.update(chunk));
    let (by_digests, chunks) = stream.finish();
    (by_digests, chunks.map(|chunks| chunks.stream_bytes()))
}

#[test]
fn the_chunks_of_a_stream_are_kept_where_the_digests_may_not_decide() {
    let bytes = content(100);
    let with = |meta: &ObjectMeta, uploaded| {
        ComparedStream::with(StreamComparison::new(meta, &uploaded).unwrap())
    };
    let meta = odd_object(&bytes);
    // With the size of its parts the digest decides.
    let (result, chunks) = read(with(&meta, UploadedLayout::PartSize(30)), &bytes);
    assert!(matches!(result, Some(ComparisonResult::Equal(_))), "{result:?}");
    assert_eq!(chunks, None);
    let (result, _) = read(with(&meta, UploadedLayout::PartSize(30)), &flipped(&bytes, 5));
    assert!(matches!(result, Some(ComparisonResult::Different(_))), "{result:?}");
    // Without it the object has to be read.
    let (result, chunks) = read(with(&meta, UploadedLayout::Unknown), &bytes);
    assert!(matches!(result, Some(ComparisonResult::NotCompared(_))), "{result:?}");
    assert_eq!(chunks, Some(100));
    let none = ObjectMeta { size: Some(100), ..ObjectMeta::default() };
    let (result, chunks) = read(with(&none, UploadedLayout::Unknown), &bytes);
    assert_eq!(result, Some(ComparisonResult::NotCompared(Reason::NoDigest)));
    assert_eq!(chunks, Some(100));
}

#[test]
fn all_of_a_stream_is_kept_for_an_object_that_appears_later() {
    let bytes = content(100);
    assert_eq!(read(ComparedStream::with_unknown_object(), &bytes), (None, Some(100)));
}

#[test]
fn a_digest_over_parts_is_none_of_a_stream_of_another_length() {
    let layout = PartLayout::of_sizes([30, 0, 30, 5, 0]).unwrap();
    let of = |bytes: &[u8]| {
        let origin = LayoutOrigin::Receipt;
        let mut hasher = LayoutHasher::new(layout.clone(), origin, Algorithm::Sha256);
        bytes.chunks(7).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    };
    let bytes = content(200);
    let stored = object(&bytes[..65], &layout, Algorithm::Sha256).multipart.sha256;
    for length in 0..200 {
        let expected = if length == 65 { stored.clone() } else { None };
        assert_eq!(of(&bytes[..length]), expected, "{length}");
    }
    let empty = LayoutHasher::new(PartLayout::default(), LayoutOrigin::Run, Algorithm::Md5);
    assert_eq!(empty.finish().as_deref(), Some("1B2M2Y8AsgTpgAmY7PhCfg==-0"));
}
