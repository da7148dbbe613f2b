//! Samples written by real tools: a validator accepts each in its own format, and no truncation of
//! it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use proptest::prelude::*;
use validate::{Format, detecting_validator, validator_for};

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    format: Format,
    bytes: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/expect");
    let mut samples: Vec<Sample> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let format = match path.extension()?.to_str()? {
                "tar" => Format::Tar,
                "gz" => Format::Gzip,
                "zst" => Format::Zstd,
                "xz" => Format::Xz,
                "bz2" => Format::Bzip2,
                "zip" => Format::Zip,
                "pgdump" => Format::PgDump,
                "sql" => Format::Sql,
                other => panic!("no format has the extension {other}"),
            };
            let name = path.file_name()?.to_str()?.to_owned();
            Some(Sample { name, format, bytes: std::fs::read(&path).unwrap() })
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(samples.len() > 50);
    samples
}

fn sample(name: &str) -> Vec<u8> {
    samples().into_iter().find(|sample| sample.name == name).unwrap().bytes
}

/// Validates a stream that arrives in these pieces.
fn validate_pieces<'a>(
    format: Format,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), String> {
    let mut validator = validator_for(format).unwrap();
    for piece in pieces {
        validator.bytes(piece).map_err(|error| error.message)?;
    }
    let warning = validator.end().map_err(|error| {
        assert!(!error.message.is_empty());
        error.message
    })?;
    assert_eq!(warning, None);
    Ok(())
}

fn validate_all(format: Format, bytes: &[u8]) -> Result<(), String> {
    validate_pieces(format, [bytes])
}

/// The warning about a stream whose format was not given.
fn warning(bytes: &[u8]) -> Option<String> {
    let mut validator = detecting_validator();
    validator.bytes(bytes).unwrap();
    validator.end().unwrap()
}

#[test]
fn what_the_real_tools_write_is_accepted() {
    for Sample { name, format, bytes } in samples() {
        assert_eq!(validate_all(format, &bytes), Ok(()), "{name}");
        assert_eq!(warning(&bytes), None, "{name}");
    }
}

#[test]
fn no_sample_is_accepted_as_another_format_or_with_a_byte_more() {
    for Sample { name, format, bytes } in samples() {
        for other in Format::ALL.into_iter().filter(|other| *other != format) {
            assert!(validate_all(other, &bytes).is_err(), "{name} as {}", other.option());
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(validate_all(format, &longer).is_err(), "{name} and one byte more");
    }
    for format in Format::ALL {
        let refusal = validate_all(format, b"").unwrap_err();
        assert!(refusal.ends_with("it is empty"), "{refusal}");
    }
}

/// Whether a sample is still complete when it is cut here, because the rest is a complete stream of
/// the same format, or only padding and comments are missing. No reader of the format could detect
/// that.
fn still_complete(sample: &Sample, cut: usize) -> bool {
    let (kept, lost) = sample.bytes.split_at(cut);
    // As pg_basebackup 13 ends an archive.
    if sample.format == Format::Tar && unpadded_ends(&sample.bytes).contains(&(cut - 1024.min(cut)))
    {
        return true;
    }
    let joined = |names: &[&str], gap: usize| {
        let ends = names.iter().scan(0, |end, name| {
            *end += self::sample(name).len();
            Some(*end)
        });
        ends.into_iter().any(|end| cut >= end && cut <= end + gap && (cut - end).is_multiple_of(4))
    };
    match sample.name.as_str() {
        "joined.gz" => joined(&["one.gz", "empty.gz"], 0),
        "padded.gz" => lost.iter().all(|byte| *byte == 0) && cut >= self::sample("one.gz").len(),
        "joined.bz2" => joined(&["one.bz2", "empty.bz2"], 0),
        // It begins with a skippable frame of 13 bytes and has one of 8 bytes in the middle.
        "joined.zst" => {
            let first = 13 + self::sample("check.zst").len();
            [13, first, first + 8].contains(&cut)
        }
        "joined.xz" => joined(&["crc32.xz"], 8),
        "joined.tar" => joined(&["one-block.tar"], 0),
        // Padded with zeros to 20 blocks; two of them are enough.
        "gnu.tar" | "pax.tar" | "python.tar" | "bsd.tar" => {
            let zeros = kept.iter().rev().take_while(|byte| **byte == 0).count();
            cut.is_multiple_of(512) && zeros >= 1024
        }
        _ => match sample.format {
            Format::Sql => ["dump complete\n--\n", "-- Dump completed"].iter().any(|closing| {
                let text = String::from_utf8_lossy(kept);
                let last = text.rfind(closing.split('\n').next().unwrap());
                last.is_some_and(|at| text[at..].contains('\n'))
            }),
            _ => false,
        },
    }
}

/// Where the contents of the last member of each joined archive end, unless they fill their last block.
fn unpadded_ends(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut end, mut ends) = (0, 0, Vec::new());
    while let Some(header) = bytes.get(at..at + 512) {
        at += 512;
        if header.iter().all(|byte| *byte == 0) {
            ends.extend(Some(std::mem::take(&mut end)).filter(|end| end % 512 != 0));
            continue;
        }
        let size = String::from_utf8_lossy(&header[124..135]);
        let size = usize::from_str_radix(&size, 8).unwrap();
        let mut more = header[156] == b'S' && header[482] != 0;
        while more {
            more = bytes[at + 504] != 0;
            at += 512;
        }
        end = at + size;
        at = end.next_multiple_of(512);
    }
    ends
}

#[test]
fn no_truncation_is_accepted() {
    for sample in samples() {
        for cut in 0..sample.bytes.len() {
            // In a large sample only cuts near block boundaries are tried.
            if sample.bytes.len() > 12_000 && !(cut % 512 < 3 || cut % 512 > 508) {
                continue;
            }
            let accepted = validate_all(sample.format, &sample.bytes[..cut]).is_ok();
            let complete = still_complete(&sample, cut);
            if sample.format == Format::Sql {
                // A validator may reject a truncated line after the closing comment.
                assert!(!accepted || complete, "{} cut at {cut}", sample.name);
            } else {
                assert_eq!(accepted, complete, "{} cut at {cut}", sample.name);
            }
        }
    }
}

#[test]
fn a_format_whose_streams_can_be_joined_does_not_prove_its_end() {
    let joined: Vec<Format> =
        Format::ALL.into_iter().filter(|format| !format.proves_its_end()).collect();
    let expected =
        [Format::Tar, Format::Gzip, Format::Zstd, Format::Xz, Format::Bzip2, Format::Sql];
    assert_eq!(joined, expected);
    for format in joined {
        let sample = samples().into_iter().find(|sample| sample.format == format).unwrap().bytes;
        assert_eq!(validate_all(format, &[&sample[..], &sample].concat()), Ok(()));
    }
}

#[test]
fn a_truncation_is_detected_without_the_option_where_that_is_cheap() {
    for sample in samples() {
        let length = sample.bytes.len();
        // Gzip needs decoding. Old tar has no magic number, and shorter samples have no content.
        let old = ["v7.tar", "empty.tar", "joined.zst"].contains(&sample.name.as_str());
        if sample.format == Format::Gzip || old || length < 40 {
            continue;
        }
        for cut in [length - 1, length - 3, length / 4 * 3] {
            let warning = warning(&sample.bytes[..cut]);
            let expected = validate_all(sample.format, &sample.bytes[..cut]).is_err();
            assert_eq!(warning.is_some(), expected, "{} cut at {cut}: {warning:?}", sample.name);
        }
    }
}

#[test]
fn damage_that_only_decoding_detects_is_detected() {
    for name in ["one.gz", "pigz.gz", "one.bz2", "blocks.bz2"] {
        let format = if name.ends_with("gz") { Format::Gzip } else { Format::Bzip2 };
        let mut bytes = sample(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        assert!(validate_all(format, &bytes).is_err(), "{name}");
    }
}

#[test]
fn a_stream_that_cannot_become_valid_is_refused_before_its_end() {
    for format in
        [Format::Tar, Format::Zstd, Format::Xz, Format::PgDump, Format::Gzip, Format::Bzip2]
    {
        let mut validator = validator_for(format).unwrap();
        // The decoding thread reports the error with a delay.
        let refused = (0..10_000).any(|_| validator.bytes(&[b'?'; 4096]).is_err());
        assert!(refused, "{}", format.option());
    }
}

#[test]
fn a_stream_of_no_known_format_gets_no_warning() {
    for bytes in [&b""[..], b"\x1f\x8b\x08 cut", b"BZh and so on", b"PK", b"plain text\n"] {
        assert_eq!(warning(bytes), None);
    }
    let mut later = sample("pipe.pgdump");
    later[6] = 99;
    assert_eq!(warning(&later), None, "a later version may be complete");
    let refusal = validate_all(Format::PgDump, &later).unwrap_err();
    assert!(refusal.contains("version 1.99 is not known"), "{refusal}");
}

/// Cuts bytes into pieces of these sizes, repeated.
fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_result_depends_on_the_bytes_and_not_on_the_pieces(
        sample in prop::sample::select(samples()),
        cut in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        sizes in proptest::collection::vec(1usize..700, 1..6),
    ) {
        let Sample { name, format, mut bytes } = sample;
        bytes.truncate(1 + cut.index(bytes.len() * 2));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let expected = validate_all(format, &bytes);
        prop_assert_eq!(&validate_pieces(format, pieces(&bytes, &sizes)), &expected, "{}", name);
        prop_assert_eq!(&validate_pieces(format, bytes.chunks(1)), &expected, "{}", name);
        let mut validator = detecting_validator();
        for piece in pieces(&bytes, &sizes) {
            validator.bytes(piece).unwrap();
        }
        prop_assert_eq!(validator.end().unwrap(), warning(&bytes), "{}", name);
    }

    #[test]
    fn no_bytes_make_a_validator_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for format in Format::ALL {
            let _ = validate_all(format, &bytes);
        }
        prop_assert_eq!(warning(&bytes), None);
    }
}
