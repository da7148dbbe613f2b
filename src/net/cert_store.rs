//! The trusted certificates: the system's, or those of the configured bundle.
//!
//! Owns the reading of certificate files, and the errors that mean another certificate. Must not know which option names a bundle. Invariant: a
//! bundle without a certificate is an error, and never falls back to the system's certificates.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::auth::options::CertBundle;
use crate::platform::small_file;
use proto::error::Error;

/// Bytes of a file of certificates; that of all public authorities has 220 KB.
const MAX_FILE: u64 = 16 << 20;

/// A client configuration for TLS 1.2 and 1.3 that trusts `roots`.
pub(super) fn tls_config(roots: impl Into<Arc<RootCertStore>>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    #[allow(clippy::expect_used)] // The ring provider supports the default versions.
    let builder = builder.with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3 by ring");
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// The certificates of the system. Fails where it has none.
pub(super) fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
        return Err(Error::usage(format!("this system has no certificate authorities{why}"))
            .with_hint("install the system's CA certificates, or give --cert-bundle FILE"));
    }
    Ok(roots)
}

/// The certificates of the bundle's files and folders. Of several paths, as OpenSSL's variables
/// name them, one that holds a certificate is enough; fails where none does.
pub(super) fn read_bundle(bundle: &CertBundle) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let mut first_error = None;
    for path in &bundle.paths {
        match read(path).map(|certificates| roots.add_parsable_certificates(certificates)) {
            Ok((0, _)) => {
                first_error.get_or_insert((path, "no certificate in it".to_owned()));
            }
            Ok(_) => {}
            Err(why) => {
                first_error.get_or_insert((path, why));
            }
        }
    }
    match first_error {
        Some((path, why)) if roots.is_empty() => {
            Err(Error::usage(format!("{} {}: {why}", bundle.origin, path.display()))
                .with_hint("name a file of certificates in PEM, or a folder of such files"))
        }
        _ => Ok(roots),
    }
}

/// The certificates of a file, all of which must be valid; or of a folder, whose files without
/// valid certificates are left out.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    if !path.is_dir() {
        return read_file(path);
    }
    let mut certificates = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| error.to_string())? {
        let file = entry.map_err(|error| error.to_string())?.path();
        if file.is_file()
            && let Ok(found) = read_file(&file)
        {
            certificates.extend(found);
        }
    }
    Ok(certificates)
}

fn read_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = small_file::read_bytes(path, MAX_FILE).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    found.map_err(|error| error.to_string())
}

/// Whether a chain of causes holds rustls' error for a certificate that is not trusted.
pub(super) fn certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
            && certificate_error(inner)
        {
            return true;
        }
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
