//! Small files that an option names: a key, a map of metadata, a receipt.
//!
//! Owns the bounded read, and the files of the customer's encryption key and of a receipt. Must not know which
//! command reads a file. Invariant: no error shows any of the content.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use proto::api::CustomerKey;
use proto::customer_key;
use proto::error::Error;
use proto::receipt::Receipt;

/// KiB; no key and no map of metadata needs as many.
const MAX_SIZE: u64 = 64;
/// KiB of a receipt: each of 10,000 parts may have a run of its own.
const MAX_RECEIPT: u64 = 1024;

/// The file as text. `option` names it in messages. Fails where the file cannot be read, is longer
/// than 64 KiB or is not UTF-8.
pub fn read(option: &str, path: &Path) -> Result<Zeroizing<String>, Error> {
    read_at_most(option, path, MAX_SIZE)
}

/// The receipt of an upload in the file that `--receipt` names. Fails where the file cannot be read
/// or is not a receipt.
pub fn read_receipt(path: &Path) -> Result<Receipt, Error> {
    let text = read_at_most("--receipt", path, MAX_RECEIPT)?;
    Receipt::parse(&text).map_err(|error| {
        let message = format!("--receipt {}: {}", path.display(), error.message);
        Error { message, ..error }
    })
}

fn read_at_most(option: &str, path: &Path, kib: u64) -> Result<Zeroizing<String>, Error> {
    let shown = path.display();
    let invalid = |reason: &str| Error::usage(format!("{option} {shown}: {reason}"));
    let limit = kib * 1024;
    // A secret is not left behind by a vector that grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit as usize + 1));
    let file = File::open(path).map_err(|error| invalid(&error.to_string()))?;
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
pub fn read_customer_key(path: &Path) -> Result<CustomerKey, Error> {
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
    }
}
