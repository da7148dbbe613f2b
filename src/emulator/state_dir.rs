//! The state folder: the files a client needs to talk to this server as its one user.
//!
//! Owns `config`, `key.pem`, `token`, `ca.pem` and the issuer's key, and touches no other file.
//! Invariant: a secret is never readable by others and never seen half-written (temporary file,
//! mode 0600, rename).

use super::signature::PublicKey;
use super::token::Issuer;
use md5::Digest;
use rsa::Generate;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub const NAMESPACE: &str = "axlocalstore";
pub const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaalocalstoretenancy";
pub const USER: &str = "ocid1.user.oc1..aaaaaaaalocalstoreuser";
/// The profile with the session token.
pub const SESSION: &str = "SESSION";
/// No such region exists, so a client that forgets the endpoint reaches nobody.
pub const REGION: &str = "local-test-1";

/// The paths of a state folder.
#[derive(Debug, Clone)]
pub struct StateDir {
    dir: PathBuf,
}

impl StateDir {
    /// Takes over the folder, which must exist.
    pub fn new(dir: &Path) -> io::Result<StateDir> {
        Ok(StateDir { dir: dir.canonicalize()? })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }
    pub fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }
    pub fn token(&self) -> PathBuf {
        self.dir.join("token")
    }
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
    fn issuer(&self) -> PathBuf {
        self.dir.join("issuer.key")
    }

    /// The issuer of tokens: that of an earlier run, so its tokens stay good, or a new one.
    pub fn load_issuer(&self) -> io::Result<Issuer> {
        if let Some(pkcs8) = read_if_there(&self.issuer())? {
            return Issuer::load(&pkcs8);
        }
        let pkcs8 = Issuer::generate()?;
        write_private(&self.issuer(), &pkcs8)?;
        Issuer::load(&pkcs8)
    }

    /// The user's key: the one in the folder, or a new one.
    pub fn load_key(&self) -> io::Result<ApiKey> {
        if let Some(pem) = read_if_there(&self.key())? {
            return ApiKey::from_pem(&String::from_utf8_lossy(&pem));
        }
        let key = ApiKey::shared()?;
        self.write_key(&key)?;
        Ok(key)
    }

    /// Writes the key with the label that the service's own tools put after it.
    pub fn write_key(&self, key: &ApiKey) -> io::Result<()> {
        write_private(&self.key(), format!("{}OCI_API_KEY\n", key.pem).as_bytes())
    }

    pub fn write_token(&self, token: &str) -> io::Result<()> {
        write_private(&self.token(), token.as_bytes())
    }

    pub fn write_ca(&self, pem: &str) -> io::Result<()> {
        write_private(&self.ca(), pem.as_bytes())
    }

    /// The API key in `DEFAULT` and `API_KEY`, the session token in a profile of its own: what stands
    /// in `DEFAULT` is inherited, and a client that finds a token there may sign by it in the place of
    /// the user's key.
    pub fn write_config(&self, fingerprint: &str) -> io::Result<()> {
        let key = self.key();
        let token = self.token();
        let (key, token) = (key.display(), token.display());
        let common = format!(
            "tenancy={TENANCY}\nregion={REGION}\nfingerprint={fingerprint}\nkey_file={key}\n"
        );
        let text = format!(
            "# An API key, and the same by its name.\n\
             [DEFAULT]\nuser={USER}\n{common}\n\
             [API_KEY]\nuser={USER}\n{common}\n\
             # A session token, as `oci session authenticate` leaves it.\n\
             [{SESSION}]\n{common}security_token_file={token}\n"
        );
        write_private(&self.config(), text.as_bytes())
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner may read, all at once.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The user's key pair; the private half is kept only as the text that goes into the file.
#[derive(Clone)]
pub struct ApiKey {
    pem: String,
    pub public: PublicKey,
    pub fingerprint: String,
}

impl ApiKey {
    /// One key for every store this process starts: making one takes a good part of a second.
    pub fn shared() -> io::Result<ApiKey> {
        static SHARED: Mutex<Option<ApiKey>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some(key) => Ok(key.clone()),
            None => Ok(shared.insert(ApiKey::generate()?).clone()),
        }
    }

    pub fn generate() -> io::Result<ApiKey> {
        let key = rsa::PrivateKey::generate();
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(invalid)?;
        ApiKey::from_pem(&pem)
    }

    pub fn from_pem(text: &str) -> io::Result<ApiKey> {
        let end = "-----END PRIVATE KEY-----\n";
        let pem = text.find(end).map_or(text, |at| &text[..at + end.len()]);
        let key = rsa::PrivateKey::from_pkcs8_pem(pem).map_err(invalid)?;
        let public = key.to_public_key();
        let der = public.to_public_key_der().map_err(invalid)?;
        let hash = md5::Md5::digest(der.as_bytes());
        let pairs: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(ApiKey {
            pem: pem.to_owned(),
            public: PublicKey { n: public.n_bytes().to_vec(), e: public.e_bytes().to_vec() },
            fingerprint: pairs.join(":"),
        })
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the user's key: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_readable_by_their_owner_only_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateDir::new(dir.path()).unwrap();
        let key = folder.load_key().unwrap();
        folder.write_token("t").unwrap();
        folder.write_config(&key.fingerprint).unwrap();
        folder.load_issuer().unwrap();
        for path in [folder.key(), folder.token(), folder.config(), folder.issuer()] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(folder.load_key().unwrap().fingerprint, key.fingerprint);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn the_fingerprint_is_that_of_the_published_key() {
        let pem = include_str!("testkey.pem");
        let key = ApiKey::from_pem(pem).unwrap();
        assert_eq!(key.fingerprint, "66:11:d3:f4:e2:74:de:3c:80:fd:c8:13:69:27:dc:63");
    }

    #[test]
    fn the_session_has_a_profile_of_its_own_and_no_other_inherits_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateDir::new(dir.path()).unwrap();
        folder.write_config("f").unwrap();
        let text = fs::read_to_string(folder.config()).unwrap();
        let (keys, session) = text.split_once("[SESSION]").unwrap();
        assert!(session.contains("security_token_file=") && !session.contains("user="));
        assert_eq!(keys.matches("user=").count(), 2);
        assert!(!keys.contains("security_token_file="));
    }
}
