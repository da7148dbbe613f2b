//! The zip archive of `oci session export`: a profile, its key and its token.
//!
//! Pure. Owns the format and what an archive may hold. Must not read or write a file. Invariants: only
//! the profile, its key and its token are taken from an archive, by names without a folder; whatever an
//! archive declares, at most 1 MiB of it is unpacked; no error shows a part of a file.

use std::fmt;
use std::io::{Read, Write};

use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};
use zeroize::Zeroizing;

use crate::auth::profile::{Profiles, Section};
use proto::key::{Key, KeyError};
use proto::login::is_profile_name;
use proto::token::{Token, TokenError};

/// Bytes of an archive, and of all that it unpacks to.
pub(crate) const MAX_SIZE: usize = 1 << 20;
/// Entries of an archive: the profile, the key and the token.
const MAX_ENTRIES: usize = 3;

const CONFIG: &str = "config";
const KEY: &str = "oci_api_key.pem";
const TOKEN: &str = "token";

/// The bits of a Unix mode that name the type of a file, and those of a plain file.
const TYPE_BITS: u32 = 0o170_000;
const PLAIN_FILE: u32 = 0o100_000;

/// The keys of a profile that an import takes.
const KNOWN: [&str; 6] =
    ["fingerprint", "key_file", "tenancy", "region", "security_token_file", "pass_phrase"];

/// A session outside of its files.
pub struct CarriedSession {
    /// The name of the profile.
    pub profile: String,
    /// The region.
    pub region: String,
    /// The OCID of the tenancy.
    pub tenancy: String,
    /// `None` if the key is encrypted and its pass phrase is not known.
    pub key: Option<Key>,
    /// The MD5 of the public key; as the profile has it, if `key` is `None`.
    pub fingerprint: String,
    /// The pass phrase of an encrypted key, if the profile has it.
    pub pass_phrase: Option<Zeroizing<String>>,
    /// The private key as PEM.
    pub key_text: Zeroizing<String>,
    /// The session token.
    pub token: Token,
    /// The keys of the profile that are not taken.
    pub ignored: Vec<String>,
}

/// Why an archive cannot be imported, or a session cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveError {
    /// It is no zip archive.
    NotZip,
    /// It is, or unpacks to, more than 1 MiB.
    TooLarge,
    /// The number of entries is more than three.
    TooMany,
    /// An entry has a name that is no plain file name.
    Path(String),
    /// Two entries have this name.
    Duplicate(String),
    /// An entry is a folder, a symlink or a device.
    NotFile(String),
    /// An entry is encrypted, or compressed by another method than Deflate.
    Method(String),
    /// An entry has another size or checksum than it declares.
    Damaged(String),
    /// An entry is neither the profile nor a file of it.
    Unknown(String),
    /// A file is missing.
    Missing(String),
    /// A file is no text.
    NotText(String),
    /// The config is malformed at this line.
    Config(usize, &'static str),
    /// The number of profiles is not one.
    Profiles(usize),
    /// The name of the profile cannot be that of a folder.
    ProfileName(String),
    /// The profile has no value, or none that can be used, for this key.
    Value(&'static str),
    /// The private key cannot be used.
    Key(KeyError),
    /// The token is malformed.
    Token(TokenError),
    /// The token belongs to another key.
    Mismatch,
}

/// The archive of a session. Fails if it would be too large.
pub fn write(session: &CarriedSession) -> Result<Zeroizing<Vec<u8>>, ArchiveError> {
    let mut config = Zeroizing::new(format!("[{}]\n", session.profile));
    let mut value = |key: &str, value: &str| config.extend([key, " = ", value, "\n"]);
    value("fingerprint", &session.fingerprint);
    value("key_file", KEY);
    value("tenancy", &session.tenancy);
    value("region", &session.region);
    if let Some(pass_phrase) = &session.pass_phrase {
        value("pass_phrase", pass_phrase);
    }
    value("security_token_file", TOKEN);
    // Larger than any session, so that no secret is left behind by a vector that grows.
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_SIZE));
    let failed = |_| ArchiveError::TooLarge;
    let mut archive = ZipArchiveWriter::new(&mut *out);
    for (name, text) in
        [(CONFIG, config.as_str()), (KEY, &session.key_text), (TOKEN, session.token.secret())]
    {
        let entry = archive.new_file(name).compression_method(CompressionMethod::DEFLATE);
        let (mut entry, data) = entry.unix_permissions(0o600).start().map_err(failed)?;
        let encoder = DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = data.wrap(encoder);
        let written = writer.write_all(text.as_bytes());
        written.map_err(|_| ArchiveError::TooLarge)?;
        let (encoder, descriptor) = writer.finish().map_err(failed)?;
        encoder.finish().map_err(|_| ArchiveError::TooLarge)?;
        entry.finish(descriptor).map_err(failed)?;
    }
    archive.finish().map_err(failed)?;
    Ok(out)
}

/// The session in an archive. Fails if the archive holds anything else, or if key and token do not
/// belong together.
pub fn read(bytes: &[u8]) -> Result<CarriedSession, ArchiveError> {
    let entries = unpack(bytes)?;
    let text = |name: &str| -> Result<&str, ArchiveError> {
        let (_, content) = entries
            .iter()
            .find(|(entry, _)| entry == name)
            .ok_or_else(|| ArchiveError::Missing(name.to_owned()))?;
        std::str::from_utf8(content).map_err(|_| ArchiveError::NotText(name.to_owned()))
    };
    let (profile, values) = profile(text(CONFIG)?)?;
    let key_file = value(&values, "key_file")?;
    let token_file = value(&values, "security_token_file")?;
    let is_known = |name: &str| [CONFIG, key_file, token_file].contains(&name);
    if let Some((name, _)) = entries.iter().find(|(name, _)| !is_known(name)) {
        return Err(ArchiveError::Unknown(name.clone()));
    }
    CarriedSession::of(&profile, &values, text(key_file)?, text(token_file)?)
}

impl CarriedSession {
    /// The session of a profile with these values, and with the texts of its key and its token. Fails if
    /// a value is missing or cannot be carried, or if key and token do not belong together.
    pub(crate) fn of(
        profile: &str,
        values: &Section,
        key_text: &str,
        token: &str,
    ) -> Result<CarriedSession, ArchiveError> {
        if !is_profile_name(profile) {
            return Err(ArchiveError::ProfileName(profile.to_owned()));
        }
        let token = Token::parse(token).map_err(ArchiveError::Token)?;
        let given = values.get("pass_phrase").filter(|text| !text.is_empty());
        let (key, pass_phrase) = open_key(key_text, given)?;
        if key.as_ref().is_some_and(|key| !token.matches_key(&key.modulus())) {
            return Err(ArchiveError::Mismatch);
        }
        let tenancy = match value(values, "tenancy") {
            Ok(tenancy) => tenancy.to_owned(),
            Err(error) => token.tenancy.clone().filter(|text| is_value(text)).ok_or(error)?,
        };
        let fingerprint = match &key {
            Some(key) => key.fingerprint().to_owned(),
            None => value(values, "fingerprint")?.to_owned(),
        };
        let is_known = |key: &String| KNOWN.contains(&key.as_str());
        Ok(CarriedSession {
            profile: profile.to_owned(),
            region: value(values, "region")?.to_owned(),
            tenancy,
            key,
            fingerprint,
            pass_phrase,
            key_text: Zeroizing::new(key_text.to_owned()),
            token,
            ignored: values.keys().filter(|key| !is_known(key)).cloned().collect(),
        })
    }
}

/// The names and contents of the entries.
type Entries = Vec<(String, Zeroizing<Vec<u8>>)>;

/// Unpacks an archive. Fails at the first entry that is not a plain file of the folder itself.
fn unpack(bytes: &[u8]) -> Result<Entries, ArchiveError> {
    if bytes.len() > MAX_SIZE {
        return Err(ArchiveError::TooLarge);
    }
    let archive = ZipArchive::from_slice(bytes).map_err(|_| ArchiveError::NotZip)?;
    let mut found: Entries = Vec::new();
    let mut left = MAX_SIZE as u64;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(|_| ArchiveError::NotZip)? {
        if found.len() == MAX_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        let path = entry.file_path();
        let name = file_name(path.as_bytes())?;
        if found.iter().any(|(other, _)| other == name) {
            return Err(ArchiveError::Duplicate(name.to_owned()));
        }
        let kind = entry.mode().value() & TYPE_BITS;
        if entry.is_dir() || kind != 0 && kind != PLAIN_FILE {
            return Err(ArchiveError::NotFile(name.to_owned()));
        }
        let damaged = || ArchiveError::Damaged(name.to_owned());
        let size = entry.uncompressed_size_hint();
        left = left.checked_sub(size).ok_or(ArchiveError::TooLarge)?;
        let local = archive.get_entry(entry.wayfinder()).map_err(|_| damaged())?;
        if local.local_header().file_path().as_bytes() != path.as_bytes() {
            return Err(damaged());
        }
        let decoder: Box<dyn Read + '_> = match entry.compression_method() {
            _ if entry.flags().is_encrypted() => {
                return Err(ArchiveError::Method(name.to_owned()));
            }
            CompressionMethod::STORE => Box::new(local.data()),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(local.data())),
            _ => return Err(ArchiveError::Method(name.to_owned())),
        };
        let mut content = Zeroizing::new(Vec::with_capacity(size as usize + 1));
        // One byte more than declared, so that a longer entry is found without unpacking it.
        local
            .verifying_reader(decoder)
            .take(size + 1)
            .read_to_end(&mut content)
            .map_err(|_| damaged())?;
        if content.len() as u64 != size {
            return Err(damaged());
        }
        found.push((name.to_owned(), content));
    }
    Ok(found)
}

/// The name of an entry, if it is one of a file in the folder itself.
fn file_name(bytes: &[u8]) -> Result<&str, ArchiveError> {
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !b"/\\:".contains(byte);
    let name = std::str::from_utf8(bytes).ok();
    name.filter(|name| name.bytes().all(|byte| is_allowed(&byte)))
        .filter(|name| !["", ".", ".."].contains(name))
        .ok_or_else(|| ArchiveError::Path(String::from_utf8_lossy(bytes).into_owned()))
}

/// The only profile of the archive's config.
fn profile(config: &str) -> Result<(String, Section), ArchiveError> {
    let profiles =
        Profiles::parse(config).map_err(|error| ArchiveError::Config(error.line, error.message))?;
    let names = profiles.names();
    let [name] = names[..] else { return Err(ArchiveError::Profiles(names.len())) };
    if !is_profile_name(name) {
        return Err(ArchiveError::ProfileName(name.to_owned()));
    }
    Ok((name.to_owned(), profiles.own(name)))
}

/// A value that can stand in a config file as it is.
fn value<'a>(values: &'a Section, key: &'static str) -> Result<&'a str, ArchiveError> {
    let value = values.get(key).map(|value| value.as_str());
    value.filter(|value| is_value(value)).ok_or(ArchiveError::Value(key))
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The key, unless it is encrypted and there is no pass phrase, and the pass phrase if the key needs it.
fn open_key(
    text: &str,
    pass_phrase: Option<&Zeroizing<String>>,
) -> Result<(Option<Key>, Option<Zeroizing<String>>), ArchiveError> {
    match (Key::from_pem(text.as_bytes(), None), pass_phrase) {
        (Ok(key), _) => Ok((Some(key), None)),
        (Err(KeyError::NoPassphrase), None) => Ok((None, None)),
        (Err(KeyError::NoPassphrase), Some(pass_phrase)) => {
            if pass_phrase.chars().any(char::is_control) {
                return Err(ArchiveError::Value("pass_phrase"));
            }
            let key =
                Key::from_pem(text.as_bytes(), Some(pass_phrase)).map_err(ArchiveError::Key)?;
            Ok((Some(key), Some(pass_phrase.clone())))
        }
        (Err(error), _) => Err(ArchiveError::Key(error)),
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::NotZip => f.write_str("it is no zip archive, or a damaged one"),
            ArchiveError::TooLarge => f.write_str("it is, or unpacks to, more than 1 MiB"),
            ArchiveError::TooMany => f.write_str("it holds more than a profile, a key and a token"),
            ArchiveError::Path(name) => write!(f, "the entry {name:?} is no plain file name"),
            ArchiveError::Duplicate(name) => write!(f, "it holds two entries {name}"),
            ArchiveError::NotFile(name) => write!(f, "the entry {name} is not a plain file"),
            ArchiveError::Method(name) => {
                write!(f, "the entry {name} is encrypted, or compressed by an unusual method")
            }
            ArchiveError::Damaged(name) => {
                write!(f, "the entry {name} is damaged: its size, checksum or name is another one")
            }
            ArchiveError::Unknown(name) => {
                write!(f, "the entry {name} is neither the config nor a file of its profile")
            }
            ArchiveError::Missing(name) => write!(f, "it holds no entry {name}"),
            ArchiveError::NotText(name) => write!(f, "the entry {name} is no text"),
            ArchiveError::Config(line, message) => {
                write!(f, "line {line} of its config is malformed: {message}")
            }
            ArchiveError::Profiles(count) => {
                write!(f, "its config holds {count} profiles, not one")
            }
            ArchiveError::ProfileName(name) => {
                write!(f, "{name:?} cannot be the name of a profile with a session")
            }
            ArchiveError::Value(key) => write!(f, "the profile has no usable {key}"),
            ArchiveError::Key(error) => write!(f, "the private key: {error}"),
            ArchiveError::Token(error) => write!(f, "the token: {error}"),
            ArchiveError::Mismatch => f.write_str("the token belongs to another key"),
        }
    }
}

#[cfg(test)]
mod tests;
