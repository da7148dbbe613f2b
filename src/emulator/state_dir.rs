//! The state folder: the files that a client needs to use this server as its one user.
//!
//! Owns `config`, `key.pem`, `token`, `delegation_token`, `ca.pem` and `issuer.key`, and touches no other file.
//! Invariant: each of them has mode 0600 and is replaced by a rename, so that a reader never sees a
//! part of it.

use super::signature::PublicKey;
use super::token::Issuer;
use md5::Digest;
use rsa::Generate;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The namespace that the server serves.
pub(crate) const NAMESPACE: &str = "axlocalstore";
/// The tenancy and the user of the API key.
pub(crate) const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaalocalstoretenancy";
pub(crate) const USER: &str = "ocid1.user.oc1..aaaaaaaalocalstoreuser";
/// A tenancy that has nothing to do with this server, and its namespace.
pub(crate) const OTHER_TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaaanothertenancy";
pub(crate) const OTHER_NAMESPACE: &str = "axanothertenancy";
/// The compartment of the principals that are no users.
pub(crate) const COMPARTMENT: &str = "ocid1.compartment.oc1..aaaaaaaalocalstorecompartment";
/// The principals that are no users: an instance, a function, a pod.
pub(crate) const INSTANCE: &str = "ocid1.instance.oc1.local-test-1.aaaaaaaalocalstoreinstance";
pub(crate) const RESOURCE: &str = "ocid1.fnfunc.oc1.local-test-1.aaaaaaaalocalstorefunction";
pub(crate) const WORKLOAD: &str = "ocid1.workload.oc1.local-test-1.aaaaaaaalocalstorepod";
/// The profile that holds the session token.
pub(crate) const SESSION: &str = "SESSION";
/// The file with the key that signs tokens.
const ISSUER_KEY: &str = "issuer.key";
/// The file with the delegation token.
pub(crate) const DELEGATION_TOKEN: &str = "delegation_token";
/// The region in the config file. No such region exists, so a client that ignores `--endpoint`
/// reaches no server.
pub(crate) const REGION: &str = "local-test-1";

/// Creates a folder that only its owner can enter, with the folders above it. One that exists gets
/// the same mode if it is empty or an earlier server used it; any other keeps its own. Fails if the
/// system refuses to create it.
pub(crate) fn create_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if dir.join(ISSUER_KEY).exists() || fs::read_dir(dir)?.next().is_none() {
        // Its secrets have mode 0600, so a folder of another owner can be used.
        let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    }
    Ok(())
}

/// The paths of a state folder.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    dir: PathBuf,
}

impl StateDir {
    /// Uses this folder; fails if it does not exist.
    pub(crate) fn new(dir: &Path) -> io::Result<StateDir> {
        Ok(StateDir { dir: dir.canonicalize()? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("config")
    }
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }
    pub(crate) fn token(&self) -> PathBuf {
        self.dir.join("token")
    }
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
    fn delegation_token(&self) -> PathBuf {
        self.dir.join(DELEGATION_TOKEN)
    }
    fn issuer(&self) -> PathBuf {
        self.dir.join(ISSUER_KEY)
    }

    /// The issuer of tokens: the one in the folder, whose tokens stay valid, or a new one. Fails if
    /// the file cannot be read, written or parsed.
    pub(crate) fn load_issuer(&self) -> io::Result<Issuer> {
        if let Some(pkcs8) = read_if_exists(&self.issuer())? {
            return Issuer::load(&pkcs8);
        }
        let pkcs8 = Issuer::generate()?;
        write_private(&self.issuer(), &pkcs8)?;
        Issuer::load(&pkcs8)
    }

    /// The user's key: the one in the folder, or a new one. Fails if the file cannot be read,
    /// written or parsed.
    pub(crate) fn load_key(&self) -> io::Result<ApiKey> {
        if let Some(pem) = read_if_exists(&self.key())? {
            return ApiKey::from_pem(&String::from_utf8_lossy(&pem));
        }
        let key = ApiKey::shared()?;
        self.write_key(&key)?;
        Ok(key)
    }

    /// Replaces the key file by this key, followed by the label that the service's own tools write.
    pub(crate) fn write_key(&self, key: &ApiKey) -> io::Result<()> {
        write_private(&self.key(), format!("{}OCI_API_KEY\n", key.pem).as_bytes())
    }

    /// Replaces the session token; fails if the folder cannot be written.
    pub(crate) fn write_token(&self, token: &str) -> io::Result<()> {
        write_private(&self.token(), token.as_bytes())
    }

    /// Replaces the delegation token; fails if the folder cannot be written.
    pub(crate) fn write_delegation_token(&self, token: &str) -> io::Result<()> {
        write_private(&self.delegation_token(), token.as_bytes())
    }

    /// Replaces the certificate of the authority; fails if the folder cannot be written.
    pub(crate) fn write_ca(&self, pem: &str) -> io::Result<()> {
        write_private(&self.ca(), pem.as_bytes())
    }

    /// Writes the config: the API key in `DEFAULT` and `API_KEY`, the session token in a profile of
    /// its own. Profiles inherit from `DEFAULT`, and a client that finds a token there may sign
    /// with it in place of the user's key.
    pub(crate) fn write_config(&self, fingerprint: &str) -> io::Result<()> {
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

/// The bytes of a file; `None` if it does not exist.
pub(crate) fn read_if_exists(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of mode 0600 and moves it into place.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The user's key pair; the private key is held only as the PEM text of the key file.
#[derive(Clone)]
pub(crate) struct ApiKey {
    pem: String,
    pub public: PublicKey,
    /// The MD5 of the public key, as pairs of hexadecimal digits.
    pub fingerprint: String,
}

impl ApiKey {
    /// The private key in PKCS#1, as PEM. Fails if it cannot be encoded.
    pub(crate) fn pkcs1_pem(&self) -> io::Result<String> {
        let key = rsa::PrivateKey::from_pkcs8_pem(&self.pem).map_err(invalid)?;
        Ok(key.to_pkcs1_pem(LineEnding::LF).map_err(invalid)?.to_string())
    }

    /// The SubjectPublicKeyInfo in DER. Fails if it cannot be encoded.
    pub(crate) fn public_der(&self) -> io::Result<Vec<u8>> {
        let key = rsa::PrivateKey::from_pkcs8_pem(&self.pem).map_err(invalid)?;
        Ok(key.to_public_key().to_public_key_der().map_err(invalid)?.into_vec())
    }

    /// The private key in PKCS#8, as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The key that all servers of this process share: generating one takes most of a second.
    pub(crate) fn shared() -> io::Result<ApiKey> {
        static SHARED: Mutex<Option<ApiKey>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some(key) => Ok(key.clone()),
            None => Ok(shared.insert(ApiKey::generate()?).clone()),
        }
    }

    /// A new key; generating one takes most of a second. Fails if the system gives no random bytes.
    pub(crate) fn generate() -> io::Result<ApiKey> {
        let key = rsa::PrivateKey::try_generate().map_err(|error| {
            io::Error::other(format!("the system gives no random bytes for a key: {error}"))
        })?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(invalid)?;
        ApiKey::from_pem(&pem)
    }

    /// Reads a PKCS#8 private key; text after it is ignored. Fails if the key cannot be parsed.
    pub(crate) fn from_pem(text: &str) -> io::Result<ApiKey> {
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
        let state_dir = StateDir::new(dir.path()).unwrap();
        let key = state_dir.load_key().unwrap();
        state_dir.write_token("t").unwrap();
        state_dir.write_delegation_token("d").unwrap();
        state_dir.write_config(&key.fingerprint).unwrap();
        state_dir.load_issuer().unwrap();
        for path in [
            state_dir.key(),
            state_dir.token(),
            state_dir.delegation_token(),
            state_dir.config(),
            state_dir.issuer(),
        ] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(state_dir.load_key().unwrap().fingerprint, key.fingerprint);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_new_folder_is_private_and_a_folder_with_other_content_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        let new = dir.path().join("a/b");
        create_private(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
        open(&new).unwrap();
        create_private(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
        fs::write(new.join("mine"), "").unwrap();
        open(&new).unwrap();
        create_private(&new).unwrap();
        assert_eq!(mode(&new), 0o755);
        StateDir::new(&new).unwrap().load_issuer().unwrap();
        create_private(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
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
        let state_dir = StateDir::new(dir.path()).unwrap();
        state_dir.write_config("f").unwrap();
        let text = fs::read_to_string(state_dir.config()).unwrap();
        let (keys, session) = text.split_once("[SESSION]").unwrap();
        assert!(session.contains("security_token_file=") && !session.contains("user="));
        assert_eq!(keys.matches("user=").count(), 2);
        assert!(!keys.contains("security_token_file="));
    }
}
