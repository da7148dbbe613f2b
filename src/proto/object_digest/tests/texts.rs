//! The texts of proofs, differences and reasons.

use super::*;

#[test]
fn a_proof_names_the_digest_and_what_it_does_not_rule_out() {
    use LayoutOrigin::*;
    let (content, multipart) = (Evidence::Content, Evidence::Multipart);
    for (evidence, parts, origin, text) in [
        (content(Algorithm::Sha256), 0, Whole, "opc-content-sha256"),
        (
            content(Algorithm::Crc32c),
            0,
            Whole,
            "opc-content-crc32c (CRC-32C alone, which finds damage but no forgery)",
        ),
        (
            content(Algorithm::Md5),
            0,
            Whole,
            "opc-content-md5 (MD5 alone, which finds damage but no forgery)",
        ),
        (
            multipart(Algorithm::Sha384),
            1,
            Receipt,
            "opc-multipart-sha384 over 1 part of the receipt's sizes",
        ),
        (
            multipart(Algorithm::Sha256),
            2,
            Run,
            "opc-multipart-sha256 over 2 parts as this run cuts the stream",
        ),
        (
            multipart(Algorithm::Sha256),
            7,
            Default(Client::TypescriptSdk),
            "opc-multipart-sha256 over 7 parts as the TypeScript SDK makes them",
        ),
        (content(Algorithm::Sha256), 0, Read, "SHA-256 of every byte, read back from the service"),
        (Evidence::ContentLength, 0, Whole, "content-length (the size alone)"),
    ] {
        assert_eq!(Proof { evidence, parts, origin }.to_string(), text);
    }
}

#[test]
fn a_difference_names_both_sides() {
    let evidence = Evidence::Content(Algorithm::Crc32c);
    let (stream, object) = ("4waSgw==".to_owned(), "Yn9hSg==".to_owned());
    for (difference, read, receipt) in [
        (
            Difference::Size { stream: 5, object: 7 },
            "the object has 7 bytes, what was read 5",
            "the object has 7 bytes, the receipt 5",
        ),
        (
            Difference::Digest { evidence, stream, object },
            "opc-content-crc32c of the object is Yn9hSg==, of what was read 4waSgw==",
            "opc-content-crc32c of the object is Yn9hSg==, of the receipt 4waSgw==",
        ),
        (
            Difference::Bytes { first: 16, last: 31 },
            "the first difference to what was read is within bytes 16 to 31",
            "the first difference to the receipt is within bytes 16 to 31",
        ),
    ] {
        assert_eq!(difference.to_string(), read);
        assert_eq!(difference.to("the receipt"), receipt);
    }
}

#[test]
fn the_reason_why_nothing_was_compared_names_what_decides() {
    assert_eq!(Reason::NoDigest.to_string(), "the service has no digest of the object");
    let algorithm = Algorithm::Md5;
    for (parts, over) in [(None, ""), (Some(4), " over 4 parts")] {
        let expected = format!(
            "the service has only opc-multipart-md5{over}, and no part sizes that clients choose by \
             default give it: the object was cut in another way, or it is damaged; --receipt or \
             --uploaded-part-size decides (an object stored with --checksum crc32c is compared without)"
        );
        assert_eq!(Reason::NoLayout { algorithm, parts }.to_string(), expected);
    }
}
