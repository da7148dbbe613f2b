//! The zip archive of a session: any bytes are refused with one printable line, or the session that they hold is
//! the same after it was written and read again.
//!
//! An input that begins with `[` is the config of an archive that is whole, with a key and its token.

#![no_main]

use std::borrow::Cow;
use std::io::Write;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ocipipe::internals::login::{read_session, write_session};
use proto::login::is_profile_name;
use rawzip::ZipArchiveWriter;

/// The texts of a key and of its token.
static GIVEN: LazyLock<(String, String)> = LazyLock::new(|| {
    let session = read_session(include_bytes!("../seeds/session_zip/stored"));
    let session = session.unwrap_or_else(|error| panic!("a good archive: {error}"));
    (session.key_text.to_string(), session.token.secret().to_owned())
});

/// An archive with this config. Its entries are not compressed.
fn archive(config: &[u8]) -> Result<Vec<u8>, rawzip::Error> {
    let mut out = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut out);
    let (key, token) = &*GIVEN;
    for (name, content) in
        [("config", config), ("oci_api_key.pem", key.as_bytes()), ("token", token.as_bytes())]
    {
        let (mut entry, data) = archive.new_file(name).start()?;
        let mut writer = data.wrap(&mut entry);
        writer.write_all(content).expect("a vector takes all");
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()?;
    Ok(out)
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = match bytes.first() {
        Some(b'[') => Cow::Owned(archive(bytes).expect("an archive can be written")),
        _ => Cow::Borrowed(bytes),
    };
    let session = match read_session(&bytes) {
        Ok(session) => session,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.is_empty() && !shown.contains(char::is_control), "{shown:?}");
            return;
        }
    };
    assert!(is_profile_name(&session.profile));
    let Ok(written) = write_session(&session) else { return };
    let again = read_session(&written).expect("a written archive can be read");
    assert_eq!(again.profile, session.profile);
    assert_eq!((&again.region, &again.tenancy), (&session.region, &session.tenancy));
    assert_eq!(again.fingerprint, session.fingerprint);
    assert_eq!(*again.key_text, *session.key_text);
    assert_eq!(again.token.secret(), session.token.secret());
    assert!(again.ignored.is_empty());
});
