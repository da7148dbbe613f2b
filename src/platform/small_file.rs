//! Small files that an option names: a key, a map of metadata.
//!
//! Owns the bounded read, and the file of the customer's encryption key. Must not know which
//! command reads a file. Invariant: no error shows any of the content.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use proto::api::CustomerKey;
use proto::customer_key;
use proto::error::Error;

/// Bytes; no such file needs as many.
const MAX_SIZE: u64 = 64 * 1024;

/// The file as text. `option` names it in messages. Fails where the file cannot be read, is longer
/// than 64 KiB or is not UTF-8.
pub fn read(option: &str, path: &Path) -> Result<Zeroizing<String>, Error> {
    let shown = path.display();
    let invalid = |reason: &str| Error::usage(format!("{option} {shown}: {reason}"));
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SIZE as usize + 1));
    let file = File::open(path).map_err(|error| invalid(&error.to_string()))?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| invalid(&error.to_string()))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(invalid("it is longer than 64 KiB"));
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
