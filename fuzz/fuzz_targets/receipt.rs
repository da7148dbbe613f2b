//! Receipts: any text is refused, or reads back as it is written; a stream is compared with the digests of
//! any receipt without a panic, and is never equal where its size is another one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::object_digest::{ComparisonResult, StreamComparison, UploadedLayout, compare_receipt};
use proto::receipt::Receipt;

fuzz_target!(|text: &str| {
    let Ok(receipt) = Receipt::parse(text) else { return };
    let again = Receipt::parse(&receipt.to_json()).expect("a written receipt is read");
    assert_eq!((again.size, &again.part_sizes), (receipt.size, &receipt.part_sizes));
    let meta = receipt.object_meta();
    let same = compare_receipt(&receipt, &meta);
    assert!(!matches!(same, ComparisonResult::Different(_)), "{same:?}");
    let layouts = [
        UploadedLayout::Unknown,
        UploadedLayout::PartSize(10 << 20),
        UploadedLayout::Receipt(receipt.part_sizes.clone().unwrap_or_default()),
    ];
    for layout in layouts {
        let Ok(mut comparison) = StreamComparison::new(&meta, &layout) else { continue };
        comparison.update(text.as_bytes());
        let result = comparison.finish();
        let equal = matches!(result, ComparisonResult::Equal(_));
        assert!(!equal || receipt.size == text.len() as u64);
    }
});
