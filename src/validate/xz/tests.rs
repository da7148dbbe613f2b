use super::super::Validator;
use super::super::chunk_parser::ChunkDriver;
use super::*;

const SAMPLE: &[u8] = include_bytes!("../../../tests/data/expect/blocks.xz");

fn validate(bytes: &[u8]) -> Result<(), FormatError> {
    let mut driver = Box::new(ChunkDriver::new(Xz::default()));
    driver.bytes(bytes)?;
    driver.end()
}

/// The position of the index of the sample, without its CRC-32.
fn index() -> std::ops::Range<usize> {
    let footer = SAMPLE.len() - 12;
    let size = (crc(&SAMPLE[footer + 4..]) as usize + 1) * 4;
    footer - size..footer - 4
}

#[test]
fn an_index_of_other_blocks_is_rejected_though_its_crc_is_right() {
    assert_eq!(validate(SAMPLE), Ok(()));
    for at in index().skip(2) {
        let mut bytes = SAMPLE.to_vec();
        bytes[at] ^= 1;
        let wrong_crc = validate(&bytes).unwrap_err();
        let check = crc32fast::hash(&bytes[index()]).to_le_bytes();
        bytes[index().end..index().end + 4].copy_from_slice(&check);
        let right_crc = validate(&bytes).unwrap_err();
        let of_crc = |error: &FormatError| error.message.contains("check of the index");
        assert!(of_crc(&wrong_crc) || right_crc == wrong_crc, "{wrong_crc:?}");
        assert!(!of_crc(&right_crc), "{right_crc:?}");
    }
}

#[test]
fn every_byte_of_headers_and_footer_counts() {
    let header = (0..12).chain(12..24);
    for at in header.chain(index().start..SAMPLE.len()) {
        let mut bytes = SAMPLE.to_vec();
        bytes[at] ^= 0x20;
        assert!(validate(&bytes).is_err(), "byte {at}");
    }
}
