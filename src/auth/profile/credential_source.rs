//! Where the credentials of each authentication mode come from.
//!
//! Owns the types, one for each mode, with the places of its key, token and services. Must not read
//! a file or send a request. Invariant: a value is complete for its mode, and its debug output shows
//! no secret.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::options::AuthMode;
use proto::endpoint::Endpoint;
use proto::principal::federation::FederationService;

/// The kind of credentials that sign requests, with everything that their mode needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The OCIDs of tenancy and user, and the fingerprint that the profile states for the key.
    ApiKey { key: PrivateKey, tenancy: String, user: String, fingerprint: String },
    /// A session token; the file is not read yet.
    SecurityToken { key: PrivateKey, token_file: PathBuf },
    /// The instance that the process runs on.
    InstancePrincipal(InstancePrincipal),
    /// The user of a delegation token, on whose behalf the instance acts. The file is not read yet.
    InstanceOboUser { instance: InstancePrincipal, delegation_token_file: PathBuf },
    /// A resource, such as a function or a container instance.
    ResourcePrincipal(ResourcePrincipal),
    /// The service account of a Kubernetes pod.
    OkeWorkloadIdentity(OkeWorkloadIdentity),
    /// The subject of a token of another issuer, exchanged at an identity domain.
    TokenExchange(TokenExchange),
}

impl CredentialSource {
    pub fn mode(&self) -> AuthMode {
        match self {
            CredentialSource::ApiKey { .. } => AuthMode::ApiKey,
            CredentialSource::SecurityToken { .. } => AuthMode::SecurityToken,
            CredentialSource::InstancePrincipal(_) => AuthMode::InstancePrincipal,
            CredentialSource::InstanceOboUser { .. } => AuthMode::InstanceOboUser,
            CredentialSource::ResourcePrincipal(_) => AuthMode::ResourcePrincipal,
            CredentialSource::OkeWorkloadIdentity(_) => AuthMode::OkeWorkloadIdentity,
            CredentialSource::TokenExchange(_) => AuthMode::TokenExchange,
        }
    }

    /// Whether the metadata service names the region, so that no setting has to.
    pub fn knows_its_region(&self) -> bool {
        matches!(
            self,
            CredentialSource::InstancePrincipal(_)
                | CredentialSource::InstanceOboUser { .. }
                | CredentialSource::ResourcePrincipal(ResourcePrincipal::OfInstance { .. })
        )
    }

    /// The files with secrets that a profile or a variable names.
    pub fn secret_files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        if let Some(PrivateKey { source: KeySource::File(file), .. }) = self.private_key() {
            files.push(file.as_path());
        }
        match self {
            CredentialSource::SecurityToken { token_file, .. } => files.push(token_file),
            CredentialSource::InstanceOboUser { delegation_token_file, .. } => {
                files.push(delegation_token_file);
            }
            CredentialSource::TokenExchange(exchange) => files.push(&exchange.client_secret_file),
            _ => {}
        }
        files
    }

    /// The private key that a profile names; `None` for the modes whose key comes from elsewhere.
    pub fn private_key(&self) -> Option<&PrivateKey> {
        match self {
            CredentialSource::ApiKey { key, .. } | CredentialSource::SecurityToken { key, .. } => {
                Some(key)
            }
            _ => None,
        }
    }
}

/// A private key and what decrypts it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pub source: KeySource,
    /// `None` for a key that is not encrypted.
    pub passphrase: Option<Zeroizing<String>>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.source)
    }
}

/// The place of the private key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// The key itself in PEM, from OCI_CLI_KEY_CONTENT.
    Content(Zeroizing<String>),
}

/// Names the key in a message.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(file) => file.display().fmt(f),
            KeySource::Content(_) => f.write_str("OCI_CLI_KEY_CONTENT"),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The metadata service of an instance, and the federation service that exchanges its certificate
/// for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePrincipal {
    /// The base URL in `OCI_METADATA_BASE_URL`, such as `http://169.254.169.254/opc/v2`; `None` for
    /// the link-local addresses of IPv4 and IPv6.
    pub metadata: Option<Endpoint>,
    /// The complete address of the federation call (`.../v1/x509`), from `--federation-endpoint` and
    /// the like; `None` for the auth service of the instance's region.
    pub federation: Option<FederationService>,
}

/// A value of `OCI_RESOURCE_PRINCIPAL_*` or the like: the text itself, or a file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum TextOrFile {
    /// The text, and the variable that contains it.
    Text {
        text: Zeroizing<String>,
        variable: &'static str,
    },
    File(PathBuf),
}

/// Names the value in a message.
impl fmt::Display for TextOrFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextOrFile::Text { variable, .. } => f.write_str(variable),
            TextOrFile::File(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for TextOrFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A resource principal, by the version in `OCI_RESOURCE_PRINCIPAL_VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourcePrincipal {
    /// 2.2: token and key are handed to the process, which cannot renew them itself.
    TokenAndKey { token: TextOrFile, key: TextOrFile, passphrase: Option<TextOrFile> },
    /// 2.1, 2.1.1, 2.1.2: a key of the resource, with which tokens are requested.
    ResourceKey(ResourceKey),
    /// 1.1: the instance requests a token for the resource.
    OfInstance {
        instance: InstancePrincipal,
        resource: ResourceTokenService,
        /// `OCI_RESOURCE_PRINCIPAL_RPT_ID`; `None` for the OCID of the instance.
        resource_id: Option<String>,
    },
}

/// The two services that issue the tokens of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceTokenService {
    /// `OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT`
    pub resource_token: Endpoint,
    /// `OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT`; `None` for the auth service of the region.
    pub session_token: Option<Endpoint>,
    /// `OCI_RESOURCE_PRINCIPAL_RPT_PATH`; `None` for the documented path of the version.
    pub path: Option<String>,
}

/// A resource principal of version 2.1, 2.1.1 or 2.1.2.
#[derive(Clone, PartialEq, Eq)]
pub struct ResourceKey {
    pub version: ResourceKeyVersion,
    pub service: ResourceTokenService,
    pub resource_id: String,
    pub key: TextOrFile,
    pub passphrase: Option<TextOrFile>,
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceKey({}, {})", self.resource_id, self.key)
    }
}

/// The version of a resource key, with what it needs besides.
#[derive(Clone, PartialEq, Eq)]
pub enum ResourceKeyVersion {
    V2_1,
    V2_1_1 { tenancy: String },
    V2_1_2 { tenancy: String, security_context: Zeroizing<String> },
}

/// The service account of a pod and the token service of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OkeWorkloadIdentity {
    /// `https` at the address of the cluster's token service.
    pub service: Endpoint,
    /// The certificate authority of the cluster, the only one that is trusted there.
    pub ca_file: PathBuf,
    /// The token of the service account.
    pub token: TextOrFile,
}

/// An identity domain, the client that it knows, and the token to exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenExchange {
    /// The URL of the identity domain, without `/oauth2/v1/token`.
    pub domain: Endpoint,
    /// The token of the other issuer, read again at each renewal.
    pub jwt_file: PathBuf,
    pub client_id: String,
    /// Read again at each renewal.
    pub client_secret_file: PathBuf,
}
