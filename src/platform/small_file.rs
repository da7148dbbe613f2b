//! Small files that an option names: a key, a map of metadata, a URL that is secret, a receipt.
//!
//! Owns the bounded reads, and the files of the customer's encryption key and of a receipt. Must not know which
//! command reads a file. Invariant: no error shows any of the content.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::exposed_file::is_too_open;
use super::standard_stream;
use proto::api::CustomerKey;
use proto::customer_key;
use proto::error::Error;
use proto::object_url::ObjectUrl;
use proto::receipt::Receipt;

/// KiB; no key and no map of metadata needs as many.
const MAX_SIZE: u64 = 64;
/// KiB of a file of receipts, to which each run may append one. One receipt has about 1 KiB, and at most 512: each of
/// 10,000 parts may have a run of its own.
const MAX_RECEIPTS: u64 = 16 * 1024;

/// The bytes of a file, which may be a device without an end.
///
/// # Errors
///
/// The file cannot be read, or has more than `limit` bytes (`FileTooLarge`).
pub(crate) fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_file(path)?;
    // A secret is not left behind by a vector that grows.
    let size = file.metadata().map_or(0, |found| found.len()).min(limit);
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// The file as text. `option` names it in messages. Fails where the file cannot be read, is longer
/// than 64 KiB or is not UTF-8.
pub(crate) fn read(option: &str, path: &Path) -> Result<Zeroizing<String>, Error> {
    read_at_most(option, path, MAX_SIZE)
}

/// A secret in a file, and whether users besides its owner may read it. Fails as `read` does.
pub(crate) fn read_secret(
    option: &str,
    path: &Path,
) -> Result<(Zeroizing<String>, Exposure), Error> {
    let file = open(option, path)?;
    // Of a pipe or a terminal the mode means nothing.
    let exposed = |found: Metadata| {
        found.is_file() && found.permissions().mode() & 0o044 != 0 && is_too_open(&found)
    };
    let exposure = match file.metadata().is_ok_and(exposed) {
        true => Exposure::ReadableByOthers,
        false => Exposure::None,
    };
    Ok((read_text(option, path, file, MAX_SIZE)?, exposure))
}

/// Which users can read a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Only its owner, as far as the mode of the file shows.
    None,
    /// Those of its group, or all.
    ReadableByOthers,
}

/// The receipt of an upload in the file that `--receipt` names; of several, the last one of `object`, or of all
/// where no object is named. Fails where the file cannot be read, holds anything but receipts, or holds several
/// and none of `object`.
pub(crate) fn read_receipt(path: &Path, object: Option<&ObjectUrl>) -> Result<Receipt, Error> {
    let text = read_at_most("--receipt", path, MAX_RECEIPTS)?;
    Receipt::parse_one_of(&text, object).map_err(|error| {
        let message = format!("--receipt {}: {}", path.display(), error.message);
        Error { message, ..error }
    })
}

fn read_at_most(option: &str, path: &Path, kib: u64) -> Result<Zeroizing<String>, Error> {
    read_text(option, path, open(option, path)?, kib)
}

fn invalid(option: &str, path: &Path, reason: &str) -> Error {
    Error::usage(format!("{option} {}: {reason}", path.display()))
}

/// Opens a file to read it.
///
/// # Errors
///
/// The file cannot be opened, or is a pipe that is stdin, stdout or stderr of this process: of stdin the
/// stream would be lost, and a process that waits for its own output waits without end.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    match found.file_type().is_fifo() {
        true if standard_stream::is_stdin(&found) => {
            Err(io::Error::other("this is stdin, which is data only"))
        }
        true if standard_stream::is_output(&found) => {
            Err(io::Error::other("this is the output of this process"))
        }
        _ => Ok(file),
    }
}

fn open(option: &str, path: &Path) -> Result<File, Error> {
    open_file(path).map_err(|error| invalid(option, path, &error.to_string()))
}

fn read_text(option: &str, path: &Path, file: File, kib: u64) -> Result<Zeroizing<String>, Error> {
    let invalid = |reason: &str| invalid(option, path, reason);
    let limit = kib * 1024;
    // A secret, which is short, is not left behind by a vector that grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.min(MAX_SIZE * 1024) as usize + 1));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| invalid(&error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(invalid(&format!("it is longer than {kib} KiB")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(invalid("it is not UTF-8 text")),
    }
}

/// The key in the file that `--encryption-key-file` names. Fails where the file cannot be read or
/// is not the base64 of 32 bytes.
pub(crate) fn read_customer_key(path: &Path) -> Result<CustomerKey, Error> {
    let text = read("--encryption-key-file", path)?;
    customer_key::parse(&text).ok_or_else(|| {
        let shown = path.display();
        Error::usage(format!("--encryption-key-file {shown}: not the base64 of 32 bytes"))
            .with_hint("make one with: openssl rand -base64 32")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "secret").unwrap();
        for (mode, exposure) in [
            (0o600, Exposure::None),
            (0o400, Exposure::None),
            (0o640, Exposure::ReadableByOthers),
            (0o604, Exposure::ReadableByOthers),
        ] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let (text, found) = read_secret("--option", &path).unwrap();
            assert_eq!((text.as_str(), found), ("secret", exposure), "{mode:o}");
        }
    }

    #[test]
    fn a_small_file_is_read_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let written = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read("--option", &path).map(|text| text.to_string())
        };
        assert_eq!(written("caf\u{e9}".as_bytes()), Ok("caf\u{e9}".to_owned()));
        assert_eq!(written(b"").unwrap(), "");
        assert!(written(b"\xff").unwrap_err().message.ends_with("not UTF-8 text"));
        assert_eq!(written(&[b'x'; 65536]).unwrap().len(), 65536);
        assert!(written(&[b'x'; 65537]).unwrap_err().message.ends_with("64 KiB"));
        let endless = read("--option", Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.message, "--option /dev/zero: it is longer than 64 KiB");
        assert!(read("--option", folder.path()).is_err());
        let endless = read_bytes(Path::new("/dev/zero"), 9).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, "123456789").unwrap();
        assert_eq!(read_bytes(&path, 9).unwrap(), b"123456789");
    }
}
