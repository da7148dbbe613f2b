use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/principal-vectors.json")).unwrap()
}

fn key_text() -> String {
    vectors()["keys"]["session1"]["private_pem"].as_str().unwrap().to_owned()
}

fn token_text() -> String {
    let vectors = vectors();
    let line = vectors["browser_login"]["callback_request_line"].as_str().unwrap();
    line.split("security_token=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

fn values(more: &str) -> Section {
    let text = format!(
        "[S]\nregion=us-phoenix-1\ntenancy=ocid1.tenancy.oc1..x\nkey_file=/a/k.pem\n\
         security_token_file=/a/token\n{more}"
    );
    Profiles::parse(&text).unwrap().own("S")
}

fn session() -> CarriedSession {
    CarriedSession::of("S", &values(""), &key_text(), &token_text()).ok().unwrap()
}

/// An entry of an archive that a test makes.
#[derive(Clone)]
struct Entry {
    name: &'static str,
    content: Vec<u8>,
    mode: u32,
}

fn entry(name: &'static str, content: impl Into<Vec<u8>>) -> Entry {
    Entry { name, content: content.into(), mode: 0o600 }
}

const CONFIG_TEXT: &str = "[S]\nfingerprint = x\nkey_file = k\ntenancy = t\nregion = r\n\
                           security_token_file = t\n";

fn good() -> Vec<Entry> {
    vec![entry("config", CONFIG_TEXT), entry("k", key_text()), entry("t", token_text())]
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut out);
    for Entry { name, content, mode } in entries {
        let path = rawzip::path::EntryPath::verbatim(name.as_bytes());
        let entry = archive.new_file(path).unix_permissions(*mode);
        let (mut entry, data) =
            entry.compression_method(CompressionMethod::DEFLATE).start().unwrap();
        let mut writer = data.wrap(DeflateEncoder::new(&mut entry, flate2::Compression::default()));
        writer.write_all(content).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}

fn error(entries: &[Entry]) -> ArchiveError {
    read(&zip(entries)).err().unwrap()
}

/// The good archive with one entry more.
fn with(entry: Entry) -> ArchiveError {
    error(&[good(), vec![entry]].concat())
}

/// The good archive with another config.
fn with_config(config: &str) -> ArchiveError {
    let mut entries = good();
    entries[0] = entry("config", config);
    error(&entries)
}

#[test]
fn a_session_comes_out_of_an_archive_as_it_went_in() {
    let read = read(&write(&session()).unwrap()).ok().unwrap();
    assert_eq!((read.profile.as_str(), read.region.as_str()), ("S", "us-phoenix-1"));
    assert_eq!(read.tenancy, "ocid1.tenancy.oc1..x");
    assert_eq!(*read.key_text, key_text());
    assert_eq!(read.token.secret(), token_text());
    assert_eq!(read.fingerprint, vectors()["keys"]["session1"]["md5_fingerprint"]);
    assert!(read.ignored.is_empty() && read.pass_phrase.is_none());
}

#[test]
fn what_another_tool_adds_to_a_profile_is_not_taken() {
    let mut entries = good();
    entries[0] = entry("config", format!("{CONFIG_TEXT}user = u\npass_phrase = p\n"));
    let read = read(&zip(&entries)).ok().unwrap();
    // The key is not encrypted, so that it needs no pass phrase.
    assert_eq!((read.ignored, read.pass_phrase), (vec!["user".to_owned()], None));
}

#[test]
fn an_encrypted_key_keeps_its_pass_phrase() {
    let vectors = vectors();
    let encrypted = vectors["keys"]["rp"]["encrypted_pkcs8_pem"].as_str().unwrap();
    let pass_phrase = vectors["keys"]["rp"]["passphrase"].as_str().unwrap();
    let with = |more: &str| CarriedSession::of("S", &values(more), encrypted, &token_text());
    // The token of the vectors belongs to another key: the key was opened to see that.
    let given = format!("pass_phrase={pass_phrase}\n");
    assert_eq!(with(&given).err(), Some(ArchiveError::Mismatch));
    assert!(matches!(with("pass_phrase=x\n").err(), Some(ArchiveError::Key(_))));
    let locked = with("fingerprint=aa:bb\n").ok().unwrap();
    assert!(locked.key.is_none() && locked.fingerprint == "aa:bb");
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    for name in ["../x", "/etc/x", "a/b", "..", ".", "a\\b", "C:x", "a b", "\u{e9}", "a\0b", ""] {
        let mut entries = good();
        entries[1].name = name;
        assert!(matches!(error(&entries), ArchiveError::Path(_)), "{name:?}");
    }
}

#[test]
fn anything_but_the_files_of_one_profile_is_refused() {
    let mut entries = good();
    entries.pop();
    assert_eq!(error(&entries), ArchiveError::Missing("t".into()));
    let mut entries = good();
    entries[2].name = "other";
    assert_eq!(error(&entries), ArchiveError::Unknown("other".into()));
    assert_eq!(with(entry("other", "")), ArchiveError::TooMany);
    let mut two_names = good();
    two_names[0].content = CONFIG_TEXT.replace("= t\n", "= k\n").into();
    assert_eq!(error(&two_names), ArchiveError::Unknown("t".into()));
    assert_eq!(error(&good()[1..]), ArchiveError::Missing("config".into()));
    let mut entries = good();
    entries[2] = entries[1].clone();
    assert_eq!(error(&entries), ArchiveError::Duplicate("k".into()));
    assert_eq!(read(b"PK").err(), Some(ArchiveError::NotZip));
    assert_eq!(read(b"").err(), Some(ArchiveError::NotZip));
}

#[test]
fn a_symlink_a_folder_and_a_device_are_refused() {
    for kind in [0o120_000, 0o040_000, 0o020_000, 0o010_000] {
        let mut entries = good();
        entries[1].mode = kind | 0o777;
        assert!(matches!(error(&entries), ArchiveError::NotFile(_)), "{kind:o}");
    }
    let mut entries = good();
    entries[1].mode = 0o100_644;
    assert!(read(&zip(&entries)).is_ok());
}

#[test]
fn an_archive_of_more_than_1_mib_is_refused_before_and_after_unpacking() {
    assert_eq!(read(&vec![0; MAX_SIZE + 1]).err(), Some(ArchiveError::TooLarge));
    let mut entries = good();
    entries[1].content = vec![b'x'; MAX_SIZE + 1];
    let bomb = zip(&entries);
    assert!(bomb.len() < 16 * 1024);
    assert_eq!(read(&bomb).err(), Some(ArchiveError::TooLarge));
    entries[1].content = vec![b'x'; MAX_SIZE / 2 + 1];
    entries[2].content = vec![b'x'; MAX_SIZE / 2 + 1];
    assert_eq!(error(&entries), ArchiveError::TooLarge);
}

#[test]
fn an_entry_that_lies_about_its_size_or_checksum_is_refused() {
    let mut entries = good();
    entries[1].content = vec![b'x'; MAX_SIZE * 8];
    let mut bytes = zip(&entries);
    let central: Vec<usize> =
        (0..bytes.len() - 4).filter(|&at| bytes[at..].starts_with(b"PK\x01\x02")).collect();
    // The declared size of the second entry, in the central directory.
    bytes[central[1] + 24..central[1] + 28].copy_from_slice(&1000u32.to_le_bytes());
    assert_eq!(read(&bytes).err(), Some(ArchiveError::Damaged("k".into())));
    let mut bytes = zip(&good());
    let central: Vec<usize> =
        (0..bytes.len() - 4).filter(|&at| bytes[at..].starts_with(b"PK\x01\x02")).collect();
    bytes[central[1] + 16] ^= 1;
    assert_eq!(read(&bytes).err(), Some(ArchiveError::Damaged("k".into())));
    let mut bytes = zip(&good());
    // The name in front of the data differs from the one in the directory.
    let local =
        (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"PK\x03\x04")).nth(1).unwrap();
    bytes[local + 30] = b'j';
    assert_eq!(read(&bytes).err(), Some(ArchiveError::Damaged("k".into())));
}

#[test]
fn a_config_that_is_not_one_plain_profile_is_refused() {
    assert_eq!(with_config(""), ArchiveError::Profiles(0));
    assert_eq!(with_config(&format!("[A]\nk=1\n{CONFIG_TEXT}")), ArchiveError::Profiles(2));
    assert!(matches!(with_config("[S]\nx\n"), ArchiveError::Config(2, _)));
    let renamed = |name: &str| with_config(&CONFIG_TEXT.replace("[S]", name));
    assert!(matches!(renamed("[../S]"), ArchiveError::ProfileName(_)));
    assert!(matches!(renamed("[..]"), ArchiveError::ProfileName(_)));
    let region = |value: &str| with_config(&CONFIG_TEXT.replace("region = r", value));
    assert_eq!(region("x=y"), ArchiveError::Value("region"));
    // A continued value would become lines of the config file.
    assert_eq!(region("region = r\n  [DEFAULT]\n  user = u"), ArchiveError::Value("region"));
    assert_eq!(
        with_config(&CONFIG_TEXT.replace("= k", "= ../k")),
        ArchiveError::Unknown("k".into())
    );
}

#[test]
fn key_and_token_must_belong_together() {
    let mut entries = good();
    let other = vectors()["keys"]["session2"]["private_pem"].as_str().unwrap().to_owned();
    entries[1].content = other.into();
    assert_eq!(error(&entries), ArchiveError::Mismatch);
    entries[1].content = b"x".to_vec();
    assert_eq!(error(&entries), ArchiveError::Key(KeyError::NoPem));
    let mut entries = good();
    entries[2].content = b"a.b".to_vec();
    assert_eq!(error(&entries), ArchiveError::Token(TokenError::Parts(2)));
    entries[2].content = b"\xff".to_vec();
    assert_eq!(error(&entries), ArchiveError::NotText("t".into()));
}
