//! The login in a browser that begins a session: the address of the login page, and what its redirect
//! must bring.
//!
//! Owns the form of both. Must not listen, open a browser or write a file. Invariant: the address holds
//! the public key and no secret, and [`callback`] accepts a token only for the key and the nonce of the
//! login that it belongs to.

pub mod callback;
pub mod page;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::principal::SessionKey;

/// The port that the service redirects the browser to, as it is registered there.
pub const PORT: u16 = 8181;

/// The path of the login page below its endpoint.
const PATH: &str = "/v1/oauth2/authorize";

/// What the address of the login page names.
pub struct AuthorizeRequest<'a> {
    /// The endpoint of the login service.
    pub endpoint: &'a Endpoint,
    /// The key that the token is to be bound to.
    pub key: &'a SessionKey,
    /// What the identity token has to name.
    pub nonce: &'a str,
    /// The name of the tenancy, which the page asks for otherwise.
    pub tenancy: Option<&'a str>,
    /// The name of the identity provider, which the page asks for otherwise.
    pub provider: Option<&'a str>,
}

impl AuthorizeRequest<'_> {
    /// The address to open in a browser, with the parameters in the order of the OCI CLI.
    pub fn url(&self) -> String {
        let mut query = Serializer::new(String::new());
        query
            .append_pair("action", "login")
            .append_pair("client_id", "iaas_console")
            .append_pair("response_type", "token id_token")
            .append_pair("nonce", self.nonce)
            .append_pair("scope", "openid")
            .append_pair("public_key", &public_key(self.key))
            .append_pair("redirect_uri", &format!("http://localhost:{PORT}"));
        if let Some(tenancy) = self.tenancy {
            query.append_pair("tenant", tenancy);
        }
        if let Some(provider) = self.provider {
            query.append_pair("provider", provider);
        }
        let endpoint = self.endpoint;
        format!("{}{}?{}", endpoint.origin(), endpoint.target(PATH), query.finish())
    }
}

/// The public key as the login page takes it: a JSON Web Key in padded base64url. The text is that of
/// the OCI CLI, blanks included.
fn public_key(key: &SessionKey) -> String {
    let n = URL_SAFE_NO_PAD.encode(key.modulus());
    // The exponent of a generated key is 65537.
    URL_SAFE.encode(format!(
        "{{\"kty\": \"RSA\", \"n\": \"{n}\", \"e\": \"AQAB\", \"kid\": \"Ignored\"}}"
    ))
}

/// A random UUID of version 4, which ties the redirect to one login. Fails if the operating system gives
/// no random bytes.
pub fn new_nonce() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Internal, "there are no random bytes"))?;
    let mut value = u128::from_be_bytes(bytes);
    value = value & !(0xf << 76) | 0x4 << 76;
    value = value & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{value:032x}");
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(groups.join("-"))
}

/// Whether a profile may have this name: it is the name of a folder too. The rule is that of the OCI CLI.
pub fn is_profile_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests;
