use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

const PASSPHRASE: &str = "ocipipe-test-pass";

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/keys/", $name))
    };
}

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap()
}

fn vector(encoding: &str) -> Vec<u8> {
    vectors()["keys"][encoding]["pem"].as_str().unwrap().as_bytes().to_vec()
}

fn key_error(pem: &[u8], passphrase: Option<&str>) -> KeyError {
    Key::from_pem(pem, passphrase).unwrap_err()
}

fn is_the_vector_key(key: Result<Key, KeyError>) {
    let expected = vectors();
    assert_eq!(key.unwrap().fingerprint(), expected["key_fingerprint_md5"].as_str().unwrap());
}

#[test]
fn the_key_of_the_vectors_is_the_same_in_each_of_its_encodings() {
    for key in vectors()["keys"].as_object().unwrap().values() {
        let pem = key["pem"].as_str().unwrap().as_bytes();
        is_the_vector_key(Key::from_pem(pem, key["passphrase"].as_str()));
    }
}

#[test]
fn encodings_that_the_vectors_lack_are_read_too() {
    for pem in [
        &file!("legacy-aes192.pem")[..],
        file!("pbes2-aes192-sha1.pem"),
        file!("pbes2-des3-sha1.pem"),
        file!("pbes2-aes256-sha512.pem"),
        file!("pbes1-md5-des.pem"),
        file!("pbes1-sha1-des.pem"),
        file!("pbes1-md5-rc2.pem"),
        file!("pbes1-sha1-rc2.pem"),
        file!("pbes1-sha1-3des.pem"),
        file!("pbes1-sha1-2des.pem"),
        file!("pbes1-sha1-rc2-128.pem"),
        file!("pbes1-sha1-rc2-40.pem"),
        file!("pbes1-100000-iterations.pem"),
    ] {
        assert_eq!(key_error(pem, None), KeyError::NoPassphrase);
        assert_eq!(key_error(pem, Some("wrong")), KeyError::WrongPassphrase);
        is_the_vector_key(Key::from_pem(pem, Some(PASSPHRASE)));
    }
}

#[test]
fn text_around_a_key_and_its_line_ends_are_ignored() {
    for encoding in ["pkcs8", "pkcs1", "legacy_aes128cbc", "pkcs8_encrypted_scrypt_aes256cbc"] {
        let plain = String::from_utf8(vector(encoding)).unwrap();
        let blank_before_end = plain.replace("-----END", "\n-----END");
        let blanks = plain.replace('\n', " \t\n");
        for spelled in [
            plain.replace('\n', "\r\n"),
            format!("\u{feff}{plain}"),
            format!("OCI_API_KEY\n{plain}"),
            format!("{plain}OCI_API_KEY"),
            format!("{}\nOCI_API_KEY", plain.trim_end()),
            plain.trim_end().to_owned(),
            format!("Bag Attributes\n    localKeyID: 01\n\nKey: x\n\n{plain}\n\n"),
            blank_before_end,
            blanks,
            format!("{}{plain}", std::str::from_utf8(file!("certificate.pem")).unwrap()),
            format!("{}{plain}", std::str::from_utf8(file!("public.pem")).unwrap()),
        ] {
            let passphrase = spelled.contains("ENCRYPTED").then_some(PASSPHRASE);
            is_the_vector_key(Key::from_pem(spelled.as_bytes(), passphrase));
        }
    }
}

#[test]
fn a_pass_phrase_that_is_not_needed_is_ignored() {
    is_the_vector_key(Key::from_pem(&vector("pkcs8"), Some("anything")));
    is_the_vector_key(Key::from_pem(&vector("pkcs1"), Some("anything")));
}

#[test]
fn a_missing_or_wrong_pass_phrase_is_reported() {
    for (encoding, key) in vectors()["keys"].as_object().unwrap() {
        if key["passphrase"].is_string() {
            let pem = key["pem"].as_str().unwrap().as_bytes();
            assert_eq!(key_error(pem, None), KeyError::NoPassphrase, "{encoding}");
            assert_eq!(key_error(pem, Some("wrong")), KeyError::WrongPassphrase, "{encoding}");
            assert_eq!(key_error(pem, Some("")), KeyError::WrongPassphrase, "{encoding}");
        }
    }
}

#[test]
fn wrong_pass_phrases_that_pass_the_padding_by_chance_are_still_wrong() {
    // One in 256 does, so that several of 2000 do.
    let pem = vector("legacy_aes128cbc");
    for guess in 0..2000 {
        assert_eq!(key_error(&pem, Some(&guess.to_string())), KeyError::WrongPassphrase);
    }
}

#[test]
fn keys_of_every_accepted_size_sign_and_their_signatures_verify() {
    for pem in [&file!("rsa-3072.pem")[..], file!("rsa-4096.pem"), &vector("pkcs8")] {
        let key = Key::from_pem(pem, None).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key())
            .verify(b"message", &key.sign(b"message"))
            .unwrap();
        assert_eq!(key.modulus().len(), key.sign(b"x").len());
    }
}

#[test]
fn keys_of_other_sizes_and_exponents_have_their_own_errors() {
    assert_eq!(key_error(file!("rsa-1024.pem"), None), KeyError::Size(1024));
    assert_eq!(key_error(file!("rsa-2056.pem"), None), KeyError::Size(2056));
    assert_eq!(key_error(file!("rsa-5120.pem"), None), KeyError::Size(5120));
    assert_eq!(key_error(file!("rsa-exponent-3.pem"), None), KeyError::Exponent);
}

#[test]
fn other_kinds_of_keys_have_their_own_errors() {
    for pem in [
        &file!("ec-pkcs8.pem")[..],
        file!("ec-sec1.pem"),
        file!("ec-legacy.pem"),
        file!("ed25519.pem"),
    ] {
        assert_eq!(key_error(pem, Some(PASSPHRASE)), KeyError::NotRsa);
    }
    assert_eq!(key_error(file!("public.pem"), None), KeyError::PublicKey);
    assert_eq!(key_error(file!("openssh.pem"), None), KeyError::OpenSsh);
    assert_eq!(key_error(file!("certificate.pem"), None), KeyError::OtherPem("CERTIFICATE".into()));
    // The text of a key in the place of a label or of a cipher is not shown.
    let misplaced = |label: &str, body: &str| {
        let pem = format!("-----BEGIN {label}-----\n{body}AAAA\n-----END {label}-----\n");
        key_error(pem.as_bytes(), None).to_string()
    };
    for shown in [
        misplaced("MIIEpAIBAAKCAQEAq9", ""),
        misplaced("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: MIIEpAIBq9,00\n\n"),
    ] {
        assert!(shown.contains("unknown") && !shown.contains("MIIE"), "{shown}");
    }
    assert_eq!(key_error(b"", None), KeyError::NoPem);
    assert_eq!(key_error(b"ssh-rsa AAAA", None), KeyError::NoPem);
    assert_eq!(key_error(&vec![b'-'; MAX_FILE + 1], None), KeyError::Malformed);
}

#[test]
fn encryptions_that_are_not_supported_are_named() {
    let named = |pem: &[u8]| match key_error(pem, Some(PASSPHRASE)) {
        KeyError::Encryption(what) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(named(file!("pbes1-sha1-rc4.pem")), "algorithm 1.2.840.113549.1.12.1.1");
    assert_eq!(named(file!("pbes2-camellia128.pem")), "algorithm 1.2.840.113549.1.5.13");
    assert_eq!(named(file!("legacy-camellia128.pem")), "CAMELLIA-128-CBC");
}

#[test]
fn a_key_derivation_that_would_take_minutes_is_refused_at_once() {
    let pem = file!("pbes2-50000000-iterations.pem");
    assert_eq!(key_error(pem, Some("x")), KeyError::Expensive("50000000 iterations".into()));
    // The same of PBES1: 100,000 replaced in its DER.
    let block = pem::parse(file!("pbes1-100000-iterations.pem")).unwrap();
    let mut der = block.contents().to_vec();
    let at = der.windows(5).position(|bytes| bytes == b"\x02\x03\x01\x86\xa0").unwrap();
    der[at + 2] = 0x7f;
    let pem = pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", der));
    let expected = KeyError::Expensive("8357536 iterations".into());
    assert_eq!(key_error(pem.as_bytes(), Some("x")), expected);
}

#[test]
fn scrypt_parameters_out_of_bounds_are_refused_before_they_cost_anything() {
    // The cost 0x4000 and the block size 8 of the vector, replaced in its DER.
    let block = pem::parse(vector("pkcs8_encrypted_scrypt_aes256cbc")).unwrap();
    let der = block.contents();
    let at = der.windows(10).position(|bytes| bytes == b"\x02\x02\x40\x00\x02\x01\x08\x02\x01\x01");
    let at = at.unwrap();
    let with = |cost: [u8; 2], block_size: u8, lanes: u8| {
        let mut der = der.to_vec();
        der[at + 2..at + 4].copy_from_slice(&cost);
        (der[at + 6], der[at + 9]) = (block_size, lanes);
        let pem = pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", der));
        key_error(pem.as_bytes(), Some("wrong"))
    };
    assert_eq!(with([0x40, 0x00], 8, 1), KeyError::WrongPassphrase);
    assert_eq!(with([0x40, 0x00], 127, 1), KeyError::WrongPassphrase);
    assert_eq!(with([0x40, 0x00], 8, 127), KeyError::Expensive("scrypt over 16 MiB".into()));
    assert_eq!(with([0x40, 0x01], 8, 1), KeyError::Malformed);
}

#[test]
fn a_scrypt_cost_must_be_a_power_of_two_above_one() {
    use pkcs8::pkcs5::pbes2::{Kdf, Salt, ScryptParams};
    for cost_parameter in [0, 1, 3, u64::MAX] {
        let kdf = Kdf::Scrypt(ScryptParams {
            salt: Salt::new([0; 8]).unwrap(),
            cost_parameter,
            block_size: u16::MAX,
            parallelization: u16::MAX,
            key_length: None,
        });
        assert_eq!(encrypted::check_limits(&kdf), Err(KeyError::Malformed));
    }
}

#[test]
fn a_damaged_key_is_rejected_whichever_part_is_damaged() {
    let intact = String::from_utf8(vector("pkcs8")).unwrap();
    for damaged in [
        intact.replace("-----END PRIVATE KEY-----", ""),
        intact.replace("END PRIVATE", "END PUBLIC"),
        intact.replacen("MII", "M!I", 1),
        intact.replacen("MIIEv", "MIIEu", 1),
        intact.replacen("MIIEv", "", 1),
    ] {
        assert_eq!(key_error(damaged.as_bytes(), None), KeyError::Malformed);
    }
    let no_cipher = String::from_utf8(vector("legacy_aes128cbc")).unwrap();
    for dek_info in ["", "AES-128-CBC", "AES-128-CBC,xyz", "AES-128-CBC,00", "AES-128-CBC,\u{e9}0"]
    {
        let at = no_cipher.find("DEK-Info").unwrap();
        let end = at + no_cipher[at..].find('\n').unwrap();
        let pem = format!("{}DEK-Info: {dek_info}{}", &no_cipher[..at], &no_cipher[end..]);
        assert_eq!(key_error(pem.as_bytes(), Some(PASSPHRASE)), KeyError::Malformed, "{dek_info}");
    }
}

#[test]
fn a_key_whose_numbers_do_not_fit_together_is_refused() {
    let block = pem::parse(vector("pkcs1")).unwrap();
    let mut der = block.contents().to_vec();
    let middle = der.len() / 2;
    der[middle] ^= 1;
    let pem = pem::encode(&pem::Pem::new("RSA PRIVATE KEY", der));
    assert_eq!(key_error(pem.as_bytes(), None), KeyError::Inconsistent);
}

#[test]
fn a_key_that_could_be_read_but_could_not_sign_is_refused() {
    assert_eq!(key_error(file!("damaged-exponent.pem"), None), KeyError::Inconsistent);
}

#[test]
fn a_key_that_was_read_untried_and_cannot_sign_gives_an_error_and_no_signature() {
    let key = Key::from_pem_untried(file!("damaged-exponent.pem"), None).unwrap();
    assert_eq!(key.try_sign(b"message"), Err(KeyError::Inconsistent));
    assert!(key.sign(b"message").is_empty());
    let intact = Key::from_pem_untried(&vector("pkcs8"), None).unwrap();
    assert_eq!(intact.try_sign(b"message"), Ok(intact.sign(b"message")));
}

#[test]
fn every_error_has_a_message_and_a_hint() {
    for error in [KeyError::NoPem, KeyError::NotRsa, KeyError::Size(1024), KeyError::OpenSsh] {
        assert!(!error.to_string().is_empty() && !error.hint().is_empty());
    }
}
