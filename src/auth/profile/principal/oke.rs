//! The service account of a pod, and the token service of its cluster.
//!
//! Owns the variables of Kubernetes and `OCI_KUBERNETES_SERVICE_ACCOUNT_*`. Must not read a token.
//! Invariant: the token service is `https` at the host that the variables name.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::environment::Environment;
use crate::auth::options::AuthMode;
use crate::auth::profile::{OkeWorkloadIdentity, TextOrFile};
use proto::error::Error;
use proto::principal::oke;

const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT_PROXYMUX";
const TOKEN_TEXT: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING";
const TOKEN_FILE: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH";
const CA_FILE: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH";
/// Where Kubernetes mounts the token and the certificate authority of the service account.
const DEFAULT_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const DEFAULT_CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// Whether the process is in a pod with a token of its service account.
pub(in crate::auth::profile) fn has_service_account(environment: &Environment) -> bool {
    environment.var(HOST).is_some()
        && (environment.var(TOKEN_TEXT).is_some()
            || environment.path(TOKEN_FILE).is_some()
            || Path::new(DEFAULT_TOKEN_FILE).exists())
}

/// The service account of the pod. Fails if the host is not set, or host or port are malformed.
pub(super) fn identity(environment: &Environment) -> Result<OkeWorkloadIdentity, Error> {
    let host = environment.var(HOST).ok_or_else(|| {
        let mode = AuthMode::OkeWorkloadIdentity.name();
        Error::usage(format!("{HOST} is not set, which {mode} needs"))
            .with_hint("Kubernetes sets it in each pod: this process runs in none")
    })?;
    let port = match environment.var(PORT) {
        None => oke::PORT,
        Some(text) => match text.trim().parse() {
            Ok(port) if port > 0 => port,
            _ => {
                let message = format!("{PORT} {text:?}: it is a whole number from 1 to 65535");
                return Err(Error::usage(message));
            }
        },
    };
    let service = oke::endpoint(host, port)?;
    let token = match (environment.var(TOKEN_TEXT), environment.path(TOKEN_FILE)) {
        (Some(text), _) => {
            TextOrFile::Text { text: Zeroizing::new(text.trim().to_owned()), variable: TOKEN_TEXT }
        }
        (None, Some(file)) => TextOrFile::File(file),
        (None, None) => TextOrFile::File(PathBuf::from(DEFAULT_TOKEN_FILE)),
    };
    let ca_file = environment.path(CA_FILE).unwrap_or_else(|| PathBuf::from(DEFAULT_CA_FILE));
    Ok(OkeWorkloadIdentity { service, ca_file, token })
}
