//! Tests of the checksums of parts and objects.

use super::*;
use proptest::prelude::*;

fn value(algorithm: Algorithm, bytes: &[u8]) -> Value {
    part(algorithm, &[Bytes::copy_from_slice(bytes)]).value.unwrap()
}

fn of_parts(algorithm: Algorithm) -> String {
    multipart(algorithm, &[value(algorithm, b"aaaaa"), value(algorithm, b"bbb")])
}

#[test]
fn the_worked_example_of_a_commit_is_reproduced() {
    assert_eq!(value(Algorithm::Md5, b"aaaaa").base64(), "WU+AOzgKQTlu1j3KOVA1Qg==");
    assert_eq!(value(Algorithm::Md5, b"bbb").base64(), "CPjgJgxkQYUQzvsrBu7lzQ==");
    assert_eq!(of_parts(Algorithm::Md5), "ctJ6+sji+9NmKGG51gegLA==-2");
    assert_eq!(of_parts(Algorithm::Sha256), "klO+rIGEBmpS+FYbl0V177NZOk8sR9bZjF+0fMGntig=-2");
    assert_eq!(
        of_parts(Algorithm::Sha384),
        "7AIO3qWtrjDg0JBoMYcAd8Sx+0Ak5a/vL0cJXVnavLqE4dHE04LPDNWLObYLLwfY-2"
    );
    let crc = |bytes| value(Algorithm::Crc32c, bytes).crc().unwrap();
    assert_eq!(crc32c_whole([(crc(b"aaaaa"), 5), (crc(b"bbb"), 3)]).base64(), "Yn9hSg==");
}

#[test]
fn check_values_of_the_two_crcs_are_not_confused() {
    let chunks = [Bytes::from_static(b"123456789")];
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Md5, Algorithm::None] {
        assert_eq!(part(algorithm, &chunks).crc32, 0xcbf4_3926);
    }
    let digest = part(Algorithm::Crc32c, &chunks);
    assert_eq!(digest.crc32, 0xe306_9283);
    let crc32c = digest.value.unwrap();
    assert_eq!(crc32c.crc(), Some(0xe306_9283));
    assert_eq!(crc32c.base64(), "4waSgw==");
    assert_eq!(crc32c.hex(), "e3069283");
    assert_eq!(crc32c.to_string(), "CRC32C 4waSgw==");
}

#[test]
fn a_part_longer_than_four_gib_combines_as_itself() {
    // The reference is another implementation, in steps that fit into 32 bits: appending zero bytes
    // is linear, so that a long shift is the sum of short ones; the CRC itself is added last.
    for length in [1, 5, (1 << 32) - 1, 1 << 32, 6 * (1 << 30) + 5, 50 << 30] {
        let (mut object, mut left) = (0x1234_5678, length);
        while left > 1 << 30 {
            object = crc32c::crc32c_combine(object, 0, 1 << 30);
            left -= 1 << 30;
        }
        let object = crc32c::crc32c_combine(object, 0x9abc_def0, left as usize);
        let computed = crc32c_whole([(0x1234_5678, 77), (0x9abc_def0, length)]);
        assert_eq!(computed.crc(), Some(object), "{length}");
    }
    assert_eq!(crc32c_whole([(0x1234_5678, 77), (0, 0)]).crc(), Some(0x1234_5678));
    assert_eq!(crc32c_whole([]).crc(), Some(0));
}

#[test]
fn a_value_is_read_back_only_as_what_it_is() {
    let sha = value(Algorithm::Sha256, b"abc");
    assert_eq!(Value::from_base64(Algorithm::Sha256, &sha.base64()), Some(sha.clone()));
    assert_eq!(Value::from_base64(Algorithm::Sha384, &sha.base64()), None);
    assert_eq!(Value::from_base64(Algorithm::Sha256, "not base64"), None);
    assert_eq!(sha.crc(), None);
}

#[test]
fn with_none_there_is_no_checksum_for_the_service_but_a_crc32() {
    let digest = part(Algorithm::None, &[Bytes::from_static(b"abc")]);
    assert_eq!((digest.size, digest.value), (3, None));
    assert_eq!(digest.crc32, crc32fast::hash(b"abc"));
}

proptest! {
    /// Lengths and alignments select different vector instructions.
    #[test]
    fn both_crcs_are_those_of_another_implementation_however_the_bytes_arrive(
        bytes in proptest::collection::vec(any::<u8>(), 0..9000),
        cuts in proptest::collection::vec(0usize..9000, 0..6),
    ) {
        let mut hasher = Hasher::new(Algorithm::Crc32c);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            hasher.update(&bytes[pair[0]..pair[1]]);
        }
        let digest = hasher.finish();
        prop_assert_eq!(digest.value.unwrap().crc(), Some(crc32c::crc32c(&bytes)));
        prop_assert_eq!(digest.crc32, crc32c::crc32c(&bytes));
        let other = part(Algorithm::None, &[Bytes::copy_from_slice(&bytes)]).crc32;
        let crc32 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &bytes);
        prop_assert_eq!(u64::from(other), crc32);
    }

    #[test]
    fn parts_combine_to_the_whole_and_swapped_parts_do_not(
        bytes in proptest::collection::vec(any::<u8>(), 2..2000),
        cut in 0usize..2000,
    ) {
        let cut = cut % (bytes.len() - 1) + 1;
        let (left, right) = bytes.split_at(cut);
        let object = part(Algorithm::Crc32c, &[Bytes::copy_from_slice(&bytes)]);
        let parts = [left, right].map(|piece| {
            part(Algorithm::Crc32c, &[Bytes::copy_from_slice(piece)])
        });
        for algorithm in [Algorithm::Crc32c, Algorithm::Sha256] {
            let crc_of = |piece: &[u8]| {
                let digest = part(algorithm, &[Bytes::copy_from_slice(piece)]);
                (digest.crc32, digest.size)
            };
            let (kind, crcs) = (algorithm.buffer_crc(), [left, right].map(crc_of));
            prop_assert_eq!(kind.combine(crcs), crc_of(&bytes).0);
            if [right, left].concat() != bytes {
                prop_assert_ne!(kind.combine(crcs.into_iter().rev()), crc_of(&bytes).0);
            }
        }
        let sent = parts.iter().map(|p| (p.value.as_ref().unwrap().crc().unwrap(), p.size));
        prop_assert_eq!(Some(crc32c_whole(sent)), object.value);
    }
}
