//! What can be read and changed of the principals' services while a server runs.
//!
//! Owns the part of `Server` that concerns pods, resources and outside identities. Invariant: a
//! change on demand begins the time to the next automatic replacement anew.

use super::principals::env_files::Places;
use super::principals::identity_domain::CLIENT_ID;
use super::principals::resource_files::{FilesAfter, ResourceFileForm};
use super::principals::{FileReplacement, PrincipalServices};
use super::server::Server;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Addresses and files. All but the first two exist only with `ServerOptions::principals`.
impl Server {
    /// The port of the OKE token service, on 127.0.0.1 and, where IPv6 exists, on ::1; `None`
    /// without `ServerOptions::principals`.
    #[doc(hidden)]
    pub fn oke_port(&self) -> Option<u16> {
        self.places().map(|places| places.oke_port)
    }

    /// The folder with the files `MODE` of variables; `None` without `ServerOptions::principals`.
    pub fn env_dir(&self) -> Option<PathBuf> {
        self.places().map(Places::folder)
    }

    /// Whether a shell reads each value of these files back as one word in `env $(cat FILE)`.
    #[doc(hidden)]
    pub fn env_values_are_plain(&self) -> bool {
        self.places().is_some_and(Places::are_plain_words)
    }

    /// The certificate that clients of the OKE token service must trust, as PEM.
    #[doc(hidden)]
    pub fn oke_ca_path(&self) -> PathBuf {
        self.state_path().join("oke/ca.crt")
    }

    /// The token of the service account.
    #[doc(hidden)]
    pub fn service_account_token_path(&self) -> PathBuf {
        self.state_path().join("oke/token")
    }

    /// The JWT of the outside issuer that the identity domain trusts.
    #[doc(hidden)]
    pub fn subject_jwt_path(&self) -> PathBuf {
        self.state_path().join("exchange/jwt")
    }

    /// The id of the identity domain's OAuth client.
    #[doc(hidden)]
    pub fn client_id(&self) -> &'static str {
        CLIENT_ID
    }

    /// The secret of the identity domain's OAuth client.
    #[doc(hidden)]
    pub fn client_secret_path(&self) -> PathBuf {
        self.state_path().join("exchange/client-secret")
    }

    /// The token of the resource principal.
    #[doc(hidden)]
    pub fn resource_token_path(&self) -> PathBuf {
        self.state_path().join("resource_principal/token")
    }

    /// The private key of the resource principal.
    #[doc(hidden)]
    pub fn resource_key_path(&self) -> PathBuf {
        self.state_path().join("resource_principal/key.pem")
    }

    /// The pass phrase of the resource principal's key, where `ResourceFileForm` encrypts it.
    #[doc(hidden)]
    pub fn resource_pass_phrase_path(&self) -> PathBuf {
        self.state_path().join("resource_principal/passphrase")
    }

    /// The private key with which the resource signs the exchange of versions 2.1.x.
    #[doc(hidden)]
    pub fn resource_exchange_key_path(&self) -> PathBuf {
        self.state_path().join("resource_principal/resource-key.pem")
    }
}

/// Changes while the server runs; each fails without `ServerOptions::principals`, and where a file
/// cannot be written.
impl Server {
    /// Writes a new token of the service account and returns it; the older ones are accepted until
    /// they expire.
    #[doc(hidden)]
    pub fn replace_service_account_token(&self) -> io::Result<String> {
        self.change(|services| services.oke.service_account.replace(self.now()))
    }

    /// Writes a new JWT of the outside issuer and returns it; the older ones are accepted until they
    /// expire.
    #[doc(hidden)]
    pub fn replace_subject_jwt(&self) -> io::Result<String> {
        self.change(|services| services.domain.subject.replace(self.now()))
    }

    /// Writes a new secret of the OAuth client; the older one is refused from now on.
    #[doc(hidden)]
    pub fn replace_client_secret(&self) -> io::Result<()> {
        self.change(|services| services.domain.replace_secret())
    }

    /// Issues a new token and key of the resource principal and leaves the files in the state `after`.
    #[doc(hidden)]
    pub fn replace_resource_principal(&self, after: FilesAfter) -> io::Result<()> {
        let authenticator = self.authenticator();
        self.change(|services| services.resource_files.replace(authenticator, after, self.now()))
    }

    /// Brings the files of the resource principal to the token and key that were issued last.
    #[doc(hidden)]
    pub fn finish_resource_principal(&self) -> io::Result<()> {
        self.change(|services| services.resource_files.finish())
    }

    /// Sets how the files of the resource principal are written, and writes them so.
    #[doc(hidden)]
    pub fn set_resource_file_form(&self, form: ResourceFileForm) -> io::Result<()> {
        self.change(|services| services.resource_files.set_form(form))
    }

    /// Sets the lifetime of the service account's tokens and of the outside issuer's JWTs, and
    /// replaces both.
    #[doc(hidden)]
    pub fn set_outside_jwt_ttl(&self, ttl: Duration) -> io::Result<()> {
        self.change(|services| {
            for file in [&services.oke.service_account, &services.domain.subject] {
                file.set_life(ttl);
                file.replace(self.now())?;
            }
            Ok(())
        })
    }

    /// Sets whether the OKE token service sends double quotes around its answer, as the service does.
    #[doc(hidden)]
    pub fn set_oke_quoted(&self, quoted: bool) -> io::Result<()> {
        self.change(|services| {
            services.oke.set_quoted(quoted);
            Ok(())
        })
    }

    /// Sets how files are replaced at half the life of their tokens.
    #[doc(hidden)]
    pub fn set_file_replacement(&self, replacement: FileReplacement) -> io::Result<()> {
        self.change(|services| {
            services.set_replacement(replacement);
            Ok(())
        })
    }

    fn change<T>(&self, change: impl FnOnce(&PrincipalServices) -> io::Result<T>) -> io::Result<T> {
        let services = self.principals().ok_or(io::ErrorKind::Unsupported)?;
        let done = change(services)?;
        services.changed.notify_waiters();
        Ok(done)
    }
}
