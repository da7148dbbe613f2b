//! The files of a resource principal of version 2.2: a token and the private key that it binds.
//!
//! Owns the files and their replacement, in order and as an injector without a lock may leave them;
//! what a token claims belongs to `auth`. Invariant: the latest pair belongs together, whatever the
//! files hold, and each file has mode 0600.

use super::super::auth::{Authenticator, PrincipalKind};
use super::super::key_pool;
use super::super::state_dir::{self, ApiKey};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use pkcs8::der::pem::LineEnding;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The iterations with which a pass phrase becomes a key; the default of OpenSSL.
const ITERATIONS: u32 = 2048;

/// What a replacement leaves in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesAfter {
    /// The new token and the new key, each by a rename.
    #[default]
    Complete,
    /// The new token beside the old key.
    TokenOnly,
    /// The new key beside the old token.
    KeyOnly,
    /// The new key beside the first half of the new token.
    PartialToken,
    /// The new token beside the first half of the new key.
    PartialKey,
    /// The new key beside an empty token file.
    EmptyToken,
    /// The new token beside an empty key file.
    EmptyKey,
}

/// How the files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceFileForm {
    /// Whether a line end follows the token.
    pub trailing_newline: bool,
    /// Whether the key is encrypted with the pass phrase in the file `passphrase`.
    pub encrypted_key: bool,
}

/// The files of one resource principal.
pub(crate) struct ResourceFiles {
    dir: PathBuf,
    pass_phrase: String,
    state: Mutex<FilesState>,
}

struct FilesState {
    form: ResourceFileForm,
    /// The number of replacements so far.
    turn: usize,
    /// The pair that was issued last; `None` before the first one.
    latest: Option<(String, ApiKey)>,
}

impl ResourceFiles {
    /// Uses this folder, which must exist, writes files in this form, and writes the file with the pass phrase. Fails if the
    /// file cannot be written.
    pub(crate) fn open(dir: PathBuf, form: ResourceFileForm) -> io::Result<ResourceFiles> {
        let path = dir.join("passphrase");
        let stored = state_dir::read_if_exists(&path)?;
        let stored = stored.and_then(|bytes| String::from_utf8(bytes).ok());
        let pass_phrase = stored.filter(|text| !text.is_empty()).unwrap_or_else(|| {
            std::iter::repeat_with(fastrand::alphanumeric).take(24).collect::<String>()
        });
        state_dir::write_private(&path, pass_phrase.as_bytes())?;
        let state = FilesState { form, turn: 0, latest: None };
        Ok(ResourceFiles { dir, pass_phrase, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, FilesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token_path(&self) -> PathBuf {
        self.dir.join("token")
    }
    fn key_path(&self) -> PathBuf {
        self.dir.join("key.pem")
    }
    #[cfg(test)]
    fn pass_phrase_path(&self) -> PathBuf {
        self.dir.join("passphrase")
    }

    /// Issues a token for another key than the one before, and leaves the files in the state `after`.
    /// Fails if a file cannot be written.
    pub(crate) fn replace(
        &self,
        authenticator: &Authenticator,
        after: FilesAfter,
        now: SystemTime,
    ) -> io::Result<()> {
        let turn = self.state().turn;
        let key = key_pool::key(turn)?;
        let token = authenticator.issue_principal(PrincipalKind::Resource, &key.public, now)?;
        let mut state = self.state();
        state.turn = turn + 1;
        state.latest = Some((token, key));
        self.write(&state, after)
    }

    /// Brings the files to the pair that was issued last. Fails if a file cannot be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.write(&self.state(), FilesAfter::Complete)
    }

    /// Sets how the files are written, and writes the latest pair so. Fails if a file cannot be
    /// written.
    pub(crate) fn set_form(&self, form: ResourceFileForm) -> io::Result<()> {
        let mut state = self.state();
        state.form = form;
        self.write(&state, FilesAfter::Complete)
    }

    fn write(&self, state: &FilesState, after: FilesAfter) -> io::Result<()> {
        use FilesAfter::*;
        let Some((token, key)) = &state.latest else { return Ok(()) };
        let token = if state.form.trailing_newline { format!("{token}\n") } else { token.clone() };
        let key = self.key_text(key, state.form)?;
        let half = |text: &str| text.as_bytes()[..text.len() / 2].to_vec();
        match after {
            Complete | KeyOnly | PartialToken | EmptyToken => {
                state_dir::write_private(&self.key_path(), key.as_bytes())?;
            }
            TokenOnly => {}
            PartialKey => overwrite(&self.key_path(), &half(&key))?,
            EmptyKey => overwrite(&self.key_path(), b"")?,
        }
        match after {
            Complete | TokenOnly | PartialKey | EmptyKey => {
                state_dir::write_private(&self.token_path(), token.as_bytes())
            }
            KeyOnly => Ok(()),
            PartialToken => overwrite(&self.token_path(), &half(&token)),
            EmptyToken => overwrite(&self.token_path(), b""),
        }
    }

    fn key_text(&self, key: &ApiKey, form: ResourceFileForm) -> io::Result<String> {
        if !form.encrypted_key {
            return Ok(key.pem().to_owned());
        }
        let failed = |error: String| io::Error::other(format!("encrypting a key: {error}"));
        let (_, der) = SecretDocument::from_pem(key.pem()).map_err(|e| failed(e.to_string()))?;
        let info = PrivateKeyInfoRef::try_from(der.as_bytes());
        let info = info.map_err(|error| failed(error.to_string()))?;
        let random = fastrand::u128(..).to_be_bytes();
        let iv = fastrand::u128(..).to_be_bytes();
        let parameters = pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(
            ITERATIONS, &random, iv,
        );
        let parameters = parameters.map_err(|error| failed(error.to_string()))?;
        let encrypted = info.encrypt_with_params(parameters, &self.pass_phrase);
        let encrypted = encrypted.map_err(|error| failed(error.to_string()))?;
        let pem = encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF);
        Ok(pem.map_err(|error| failed(error.to_string()))?.to_string())
    }
}

/// Overwrites a file in place, as a writer without a rename does: its reader can see any part of it.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::vectors;
    use super::*;
    use std::fs;

    struct Fixture {
        files: ResourceFiles,
        authenticator: Authenticator,
        _dir: tempfile::TempDir,
    }

    impl Fixture {
        fn replace(&self, after: FilesAfter) {
            let now = vectors::at(vectors::now());
            self.files.replace(&self.authenticator, after, now).unwrap();
        }

        fn texts(&self) -> (String, String) {
            let read = |path| fs::read_to_string(path).unwrap();
            (read(self.files.token_path()), read(self.files.key_path()))
        }
    }

    fn fixture() -> Fixture {
        let (authenticator, dir) = vectors::authenticator();
        let folder = dir.path().join("resource_principal");
        fs::create_dir(&folder).unwrap();
        let files = ResourceFiles::open(folder, ResourceFileForm::default()).unwrap();
        let fixture = Fixture { files, authenticator, _dir: dir };
        fixture.replace(FilesAfter::Complete);
        fixture
    }

    /// Whether the token binds the public half of the key.
    fn belong_together(token: &str, key: &str) -> bool {
        use base64::Engine;
        let n = ApiKey::from_pem(key).unwrap().public.n;
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(n);
        vectors::modulus(&vectors::claims(token)) == n
    }

    #[test]
    fn a_complete_replacement_changes_both_files_and_a_torn_one_can_be_finished() {
        let fixture = fixture();
        let (token, key) = fixture.texts();
        assert!(belong_together(&token, &key));
        fixture.replace(FilesAfter::TokenOnly);
        let (torn, same) = fixture.texts();
        assert!(torn != token && same == key && !belong_together(&torn, &same));
        fixture.files.finish().unwrap();
        let (finished, new) = fixture.texts();
        assert!(finished == torn && new != key && belong_together(&finished, &new));
        fixture.replace(FilesAfter::KeyOnly);
        let (same, torn) = fixture.texts();
        assert!(same == finished && torn != new && !belong_together(&same, &torn));
    }

    #[test]
    fn partial_and_empty_files_can_be_left_and_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let fixture = fixture();
        let latest = || {
            let texts = fixture.texts();
            fixture.files.finish().unwrap();
            let whole = fixture.texts();
            assert!(belong_together(&whole.0, &whole.1));
            (texts, whole)
        };
        fixture.replace(FilesAfter::PartialToken);
        let ((token, key), whole) = latest();
        assert!(whole.0.starts_with(&token) && token.len() == whole.0.len() / 2 && key == whole.1);
        fixture.replace(FilesAfter::PartialKey);
        let ((token, key), whole) = latest();
        assert!(token == whole.0 && whole.1.starts_with(&key) && key.len() == whole.1.len() / 2);
        fixture.replace(FilesAfter::EmptyToken);
        assert_eq!(latest().0.0, "");
        fixture.replace(FilesAfter::EmptyKey);
        assert_eq!(latest().0.1, "");
        for path in
            [fixture.files.token_path(), fixture.files.key_path(), fixture.files.pass_phrase_path()]
        {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_line_end_can_follow_the_token_and_a_pass_phrase_can_encrypt_the_key() {
        use rsa::pkcs8::DecodePrivateKey;
        let fixture = fixture();
        let form = ResourceFileForm { trailing_newline: true, encrypted_key: true };
        fixture.files.set_form(form).unwrap();
        let (token, key) = fixture.texts();
        assert!(token.ends_with('\n') && key.contains("ENCRYPTED PRIVATE KEY"), "{key}");
        let pass_phrase = fs::read_to_string(fixture.files.pass_phrase_path()).unwrap();
        assert!(rsa::PrivateKey::from_pkcs8_encrypted_pem(&key, pass_phrase).is_ok());
        assert!(rsa::PrivateKey::from_pkcs8_encrypted_pem(&key, "wrong").is_err());
    }
}
