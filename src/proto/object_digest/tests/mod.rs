//! Tests of the comparison against objects whose digests are computed part by part.

mod records;
mod texts;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::digest;
use crate::part_plan::{self, PlanInput};
use crate::receipt::{Checksum, Receipt};
use crate::units::MIB;

/// Bytes that differ in each part.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; length];
    for chunk in bytes.chunks_mut(8) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes()[..chunk.len()]);
    }
    bytes
}

fn value(algorithm: Algorithm, bytes: &[u8]) -> Value {
    digest::part(algorithm, &[Bytes::copy_from_slice(bytes)]).value.unwrap()
}

/// What the service reports about an object of these parts. It always has the MD5.
fn object(bytes: &[u8], layout: &PartLayout, algorithm: Algorithm) -> ObjectMeta {
    let mut meta = ObjectMeta { size: Some(bytes.len() as u64), ..ObjectMeta::default() };
    let over_parts = |algorithm| {
        let mut rest = bytes;
        let parts: Vec<Value> = layout
            .sizes()
            .map(|size| {
                let (part, later) = rest.split_at(size as usize);
                rest = later;
                value(algorithm, part)
            })
            .collect();
        assert!(rest.is_empty());
        Some(digest::multipart(algorithm, &parts))
    };
    meta.multipart.md5 = over_parts(Algorithm::Md5);
    match algorithm {
        Algorithm::Sha256 => meta.multipart.sha256 = over_parts(algorithm),
        Algorithm::Sha384 => meta.multipart.sha384 = over_parts(algorithm),
        Algorithm::Crc32c => meta.content.crc32c = Some(value(algorithm, bytes).base64()),
        Algorithm::Md5 | Algorithm::None => {}
    }
    meta
}

fn compare(meta: &ObjectMeta, uploaded: &UploadedLayout, bytes: &[u8]) -> ComparisonResult {
    let mut comparison = StreamComparison::new(meta, uploaded).unwrap();
    bytes.chunks(300_007).for_each(|chunk| comparison.update(chunk));
    comparison.finish()
}

fn proof(result: ComparisonResult) -> Proof {
    match result {
        ComparisonResult::Equal(proof) => proof,
        other => panic!("{other:?}"),
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x40;
    bytes
}

/// The layouts that clients choose for an object of this size, each once.
fn default_layouts(bytes: u64) -> Vec<PartLayout> {
    let planned = |expected_size| {
        let plan = part_plan::plan(&PlanInput { expected_size, ..PlanInput::default() });
        plan.unwrap().layout(bytes)
    };
    let level = |size| PartLayout::level(bytes, size);
    let mut layouts: Vec<PartLayout> = Vec::new();
    for layout in [
        planned(None),
        planned(Some(bytes)),
        level(128 * MIB),
        level(10 * MIB),
        level(5 * MIB),
        level(20 * MIB),
    ] {
        let new = layout.filter(|layout| layout.parts() > 0 && !layouts.contains(layout));
        layouts.extend(new);
    }
    layouts
}

#[test]
fn a_longer_object_of_each_client_is_equal_and_the_client_is_named() {
    let bytes = content((129 * MIB + 3) as usize);
    let of = |layout: &PartLayout| {
        let meta = object(&bytes, layout, Algorithm::None);
        proof(compare(&meta, &UploadedLayout::Unknown, &bytes)).to_string()
    };
    let names: Vec<String> = default_layouts(bytes.len() as u64).iter().map(of).collect();
    let text = |parts: u32, client: &str| {
        format!(
            "opc-multipart-md5 over {parts} parts as {client} makes them (MD5 alone, which finds \
             damage but no forgery)"
        )
    };
    assert_eq!(
        names,
        [
            text(2, "ocipipe"),
            text(13, "the OCI CLI"),
            text(26, "rclone"),
            text(7, "the TypeScript SDK"),
        ]
    );
}

#[test]
fn a_layout_that_no_client_chooses_is_not_compared_and_never_different() {
    let bytes = content(31 * MIB as usize);
    // As many parts as the OCI CLI makes from stdin, but of other sizes: after a tail split.
    let odd = PartLayout::of_sizes([10, 10, 8, 3].map(|mib| mib * MIB)).unwrap();
    for (layout, algorithm) in [(&odd, Algorithm::Sha256), (&odd, Algorithm::Md5)] {
        let meta = object(&bytes, layout, algorithm);
        let ComparisonResult::NotCompared(reason) =
            compare(&meta, &UploadedLayout::Unknown, &bytes)
        else {
            panic!("a guess that does not fit decides nothing")
        };
        let text = reason.to_string();
        assert!(text.contains("over 4 parts") && text.contains("--receipt"), "{text}");
        // The receipt makes it certain.
        let receipt = UploadedLayout::Receipt(layout.clone());
        assert_eq!(proof(compare(&meta, &receipt, &bytes)).origin, LayoutOrigin::Receipt);
        let other = compare(&meta, &receipt, &flipped(&bytes, 5));
        assert!(matches!(other, ComparisonResult::Different(_)), "{other:?}");
    }
    // A CRC-32C is one of the whole object: no layout matters, and MD5 is not computed.
    let meta = object(&bytes, &odd, Algorithm::Crc32c);
    let comparison = StreamComparison::new(&meta, &UploadedLayout::Unknown).unwrap();
    assert_eq!((comparison.certainty(), comparison.parts.is_none()), (Certainty::Certain, true));
    let found = proof(compare(&meta, &UploadedLayout::Unknown, &bytes));
    assert_eq!(found.evidence, Evidence::Content(Algorithm::Crc32c));
    assert!(found.to_string().contains("CRC-32C alone"), "{found}");
    let other = compare(&meta, &UploadedLayout::Unknown, &flipped(&bytes, bytes.len() - 1));
    assert!(matches!(other, ComparisonResult::Different(Difference::Digest { .. })));
}

#[test]
fn the_strongest_digest_of_a_single_request_is_compared() {
    let bytes = content(1000);
    let meta = |algorithms: &[Algorithm]| {
        let mut meta = ObjectMeta { size: Some(1000), ..ObjectMeta::default() };
        for algorithm in algorithms {
            let value = Some(value(*algorithm, &bytes).base64());
            match algorithm {
                Algorithm::Sha256 => meta.content.sha256 = value,
                Algorithm::Sha384 => meta.content.sha384 = value,
                Algorithm::Crc32c => meta.content.crc32c = value,
                Algorithm::Md5 => meta.content.md5 = value,
                Algorithm::None => {}
            }
        }
        meta
    };
    use Algorithm::*;
    for (reported, strongest) in [
        (&[Md5, Sha256][..], Sha256),
        (&[Md5, Sha384], Sha384),
        (&[Md5, Crc32c], Crc32c),
        (&[Md5, Crc32c, Sha256], Sha256),
        (&[Md5], Md5),
    ] {
        let meta = meta(reported);
        let found = proof(compare(&meta, &UploadedLayout::Unknown, &bytes));
        assert_eq!(found.evidence, Evidence::Content(strongest), "{reported:?}");
        let other = compare(&meta, &UploadedLayout::Unknown, &flipped(&bytes, 999));
        assert!(matches!(other, ComparisonResult::Different(_)), "{reported:?}");
    }
    let none = meta(&[]);
    let comparison = StreamComparison::new(&none, &UploadedLayout::Unknown).unwrap();
    assert_eq!(comparison.certainty(), Certainty::SizeOnly);
    let nothing = compare(&none, &UploadedLayout::Unknown, &bytes);
    assert_eq!(nothing, ComparisonResult::NotCompared(Reason::NoDigest));
    // The size is always compared.
    let shorter = compare(&none, &UploadedLayout::Unknown, &bytes[1..]);
    assert_eq!(
        shorter,
        ComparisonResult::Different(Difference::Size { stream: 999, object: 1000 })
    );
}

#[test]
fn a_given_layout_of_another_object_is_an_error_before_the_first_byte() {
    let bytes = content(100);
    let layout = PartLayout::level(100, 30).unwrap();
    let meta = object(&bytes, &layout, Algorithm::Sha256);
    let code = |uploaded| StreamComparison::new(&meta, &uploaded).err().unwrap().kind.exit_code();
    assert_eq!(code(UploadedLayout::PartSize(50)), 2);
    assert_eq!(code(UploadedLayout::PartSize(0)), 2);
    assert_eq!(code(UploadedLayout::Receipt(PartLayout::level(100, 50).unwrap())), 7);
    assert_eq!(code(UploadedLayout::Receipt(PartLayout::level(99, 30).unwrap())), 7);
    // 25 and 30 bytes both make four parts: the size is given, so the digest decides.
    let other = compare(&meta, &UploadedLayout::PartSize(25), &bytes);
    assert!(matches!(other, ComparisonResult::Different(_)), "{other:?}");
    let found = proof(compare(&meta, &UploadedLayout::PartSize(30), &bytes));
    assert_eq!((found.origin, found.parts), (LayoutOrigin::PartSize, 4));
    assert_eq!(found.to_string(), "opc-multipart-sha256 over 4 parts of --uploaded-part-size");
}

#[test]
fn a_digest_without_the_number_of_parts_is_compared_with_at_most_four_layouts() {
    let bytes = content(23 * MIB as usize);
    for layout in default_layouts(bytes.len() as u64) {
        let mut meta = object(&bytes, &layout, Algorithm::Sha256);
        for digest in [&mut meta.multipart.md5, &mut meta.multipart.sha256] {
            *digest = digest.as_deref().and_then(|text| text.split('-').next()).map(str::to_owned);
        }
        let comparison = StreamComparison::new(&meta, &UploadedLayout::Unknown).unwrap();
        assert!(comparison.parts.is_some_and(|parts| parts.candidates.len() <= 4));
        proof(compare(&meta, &UploadedLayout::Unknown, &bytes));
        let other = compare(&meta, &UploadedLayout::Unknown, &flipped(&bytes, 7));
        assert!(matches!(other, ComparisonResult::NotCompared(_)), "{other:?}");
    }
}

#[test]
fn a_digest_that_cannot_be_read_is_none() {
    let bytes = content(100);
    let whole = PartLayout::level(100, 30).unwrap();
    for text in ["", "-4", "x-4", "AAAA-4", "klO+rIGEBmpS+FYbl0V177NZOk8sR9bZjF+0fMGntig=-many"] {
        let mut meta = object(&bytes, &whole, Algorithm::None);
        meta.multipart.md5 = None;
        meta.multipart.sha256 = Some(text.to_owned());
        let result = compare(&meta, &UploadedLayout::Unknown, &bytes);
        assert_eq!(result, ComparisonResult::NotCompared(Reason::NoDigest), "{text:?}");
    }
}

#[test]
fn a_receipt_and_an_object_are_compared_by_the_digests_that_both_have() {
    let bytes = content(100);
    let layout = PartLayout::level(100, 30).unwrap();
    let meta = object(&bytes, &layout, Algorithm::Sha256);
    let receipt = Receipt {
        size: 100,
        parts: 4,
        part_sizes: Some(layout.clone()),
        upload_id: Some("u".into()),
        checksum: Some(Checksum {
            algorithm: "SHA256".into(),
            value: meta.multipart.sha256.clone().unwrap(),
        }),
        opc_multipart_md5: meta.multipart.md5.clone(),
        ..Receipt::default()
    };
    let found = proof(compare_receipt(&receipt, &meta));
    assert_eq!((found.evidence, found.parts), (Evidence::Multipart(Algorithm::Sha256), 4));
    assert_eq!(found.origin, LayoutOrigin::Receipt);
    let mut weaker = meta.clone();
    weaker.multipart.sha256 = None;
    let found = proof(compare_receipt(&receipt, &weaker));
    assert_eq!(found.strength(), result::Strength::Md5Alone);
    // A copy that the service made as one part shares no digest.
    let copy = ObjectMeta { size: Some(100), ..ObjectMeta::default() };
    let nothing = compare_receipt(&receipt, &copy);
    assert_eq!(nothing, ComparisonResult::NotCompared(Reason::NoDigest));
    let longer = ObjectMeta { size: Some(101), ..meta.clone() };
    let other = compare_receipt(&receipt, &longer);
    assert_eq!(other, ComparisonResult::Different(Difference::Size { stream: 100, object: 101 }));
    // Any digest that differs decides, also if a stronger one is equal.
    let mut damaged = meta;
    damaged.multipart.md5 = Some("ctJ6+sji+9NmKGG51gegLA==-4".into());
    let other = compare_receipt(&receipt, &damaged);
    assert!(matches!(other, ComparisonResult::Different(_)), "{other:?}");
    // The digests of a receipt are those of the object, so a stream is compared with them too.
    let uploaded = UploadedLayout::Receipt(layout);
    proof(compare(&receipt.object_meta(), &uploaded, &bytes));
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    use Algorithm::*;
    prop::sample::select(vec![Sha256, Sha384, Crc32c, Md5, None])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_the_layout_a_stream_is_equal_and_with_one_flipped_byte_different(
        mut sizes in prop::collection::vec(0..400u64, 1..40),
        algorithm in algorithms(),
        at in any::<prop::sample::Index>(),
    ) {
        sizes[0] += 1;
        let layout = PartLayout::of_sizes(sizes).unwrap();
        let bytes = content(layout.bytes() as usize);
        let meta = object(&bytes, &layout, algorithm);
        let receipt = UploadedLayout::Receipt(layout);
        proof(compare(&meta, &receipt, &bytes));
        let other = compare(&meta, &receipt, &flipped(&bytes, at.index(bytes.len())));
        prop_assert!(matches!(other, ComparisonResult::Different(_)), "{:?}", other);
        let shorter = compare(&meta, &receipt, &bytes[..bytes.len() - 1]);
        let by_size = matches!(shorter, ComparisonResult::Different(Difference::Size { .. }));
        prop_assert!(by_size);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn an_object_in_the_default_layout_of_any_client_is_equal(
        length in 0..25 * MIB, algorithm in algorithms(),
    ) {
        let bytes = content(length as usize);
        for layout in default_layouts(length) {
            let meta = object(&bytes, &layout, algorithm);
            proof(compare(&meta, &UploadedLayout::Unknown, &bytes));
        }
    }
}
