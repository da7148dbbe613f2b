//! Tokens: JWTs that bind the public key of a principal.
//!
//! Knows claims and the issuer's key, and no request and no file. Invariant: `read` returns the
//! claims of a token only if this issuer signed it; expiry and revocation are checked by the
//! caller. The issuer signs with ES256 where the service uses RS256: clients do not verify that
//! signature, and a P-256 key is generated in less than a millisecond.

use super::clock;
use super::signature::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, UNIX_EPOCH};

/// The claims of a token. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub sub: String,
    pub tenant: String,
    pub iss: String,
    pub aud: String,
    pub jti: String,
    pub ptype: String,
    pub ttype: String,
    pub iat: u64,
    pub exp: u64,
    /// The public key, as the text of a JSON Web Key.
    pub jwk: String,
    /// Present in the token of a user's session.
    #[serde(flatten)]
    pub session: Option<SessionClaims>,
    #[serde(flatten)]
    pub resource: ResourceClaims,
}

/// The claims of a user's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionClaims {
    pub sid: String,
    /// The end of the session as an HTTP date that ends in `UTC`.
    pub sess_exp: String,
    /// Padding, since the service's tokens are long.
    pub rtok: String,
}

/// The claims of principals that are no users; each is absent where its kind does not have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ResourceClaims {
    #[serde(rename = "opc-certtype", skip_serializing_if = "Option::is_none")]
    pub opc_certtype: Option<String>,
    #[serde(rename = "opc-instance", skip_serializing_if = "Option::is_none")]
    pub opc_instance: Option<String>,
    #[serde(rename = "opc-compartment", skip_serializing_if = "Option::is_none")]
    pub opc_compartment: Option<String>,
    #[serde(rename = "opc-tenant", skip_serializing_if = "Option::is_none")]
    pub opc_tenant: Option<String>,
    #[serde(rename = "opc-tag", skip_serializing_if = "Option::is_none")]
    pub opc_tag: Option<String>,
    /// The SHA-1 of the certificate, as pairs of upper-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_compartment: Option<String>,
}

/// The kind of principal that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// The one user, by API key or session token.
    User,
    /// An instance, by its certificate.
    Instance,
    /// A function or another resource.
    Resource,
    /// A pod of a Kubernetes cluster.
    Workload,
    /// A user by a token that an identity domain issued for one from outside.
    FederatedUser,
}

impl Claims {
    /// The number of this token in the order of issue, from 1.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.jti.split_once('-')?.0.parse().ok()
    }

    /// The end of the session in seconds since 1970.
    pub(crate) fn session_end(&self) -> Option<u64> {
        let text = self.session.as_ref()?.sess_exp.replace("UTC", "GMT");
        httpdate::parse_http_date(&text).ok().map(clock::seconds)
    }

    /// The kind of principal that the token was issued to.
    pub(crate) fn principal(&self) -> PrincipalKind {
        match (self.ptype.as_str(), &self.session) {
            ("instance", _) => PrincipalKind::Instance,
            ("resource", _) => PrincipalKind::Resource,
            ("workload", _) => PrincipalKind::Workload,
            (_, None) => PrincipalKind::FederatedUser,
            (_, Some(_)) => PrincipalKind::User,
        }
    }

    /// The public key that the token binds.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        let jwk: Jwk = serde_json::from_str(&self.jwk).ok()?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        Some(PublicKey { n: decode(&jwk.n)?, e: decode(&jwk.e)? })
    }
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    kid: String,
    n: String,
    e: String,
    kty: String,
    alg: String,
    #[serde(rename = "use")]
    usage: String,
}

/// The claim `jwk` for a key.
pub(crate) fn jwk(key: &PublicKey) -> String {
    let jwk = Jwk {
        kid: "Ignored".to_owned(),
        n: URL_SAFE_NO_PAD.encode(&key.n),
        e: URL_SAFE_NO_PAD.encode(&key.e),
        kty: "RSA".to_owned(),
        alg: "RS256".to_owned(),
        usage: "sig".to_owned(),
    };
    serde_json::to_string(&jwk).unwrap_or_default()
}

/// The claim `sess_exp` for a time in seconds since 1970.
pub(crate) fn session_text(end: u64) -> String {
    clock::utc(UNIX_EPOCH + Duration::from_secs(end))
}

/// The key that signs tokens.
pub(crate) struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// A new private key in PKCS#8, for `Issuer::load`. Fails if the system provides no randomness.
    pub(crate) fn generate() -> io::Result<Vec<u8>> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| io::Error::other("the system gave no randomness for the issuer's key"))
    }

    /// The issuer with this private key; fails if the key cannot be parsed.
    pub(crate) fn load(pkcs8: &[u8]) -> io::Result<Issuer> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Ok(Issuer { pair, random })
    }

    /// The token with these claims. Fails if they cannot be written as JSON.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> io::Result<String> {
        let head = URL_SAFE_NO_PAD.encode(r#"{"kid":"asw_local","alg":"ES256","typ":"JWT"}"#);
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
        let text = format!("{head}.{body}");
        let signature = self
            .pair
            .sign(&self.random, text.as_bytes())
            .map_err(|_| io::Error::other("the issuer's key cannot sign"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token, if this issuer signed it and it has all that `C` names.
    pub(crate) fn read<C: DeserializeOwned>(&self, token: &str) -> Option<C> {
        let (text, signature) = token.rsplit_once('.')?;
        let (_, body) = text.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(text.as_bytes(), &signature)
            .ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let key = PublicKey { n: vec![0xc1; 256], e: vec![1, 0, 1] };
        Claims {
            sub: "u".into(),
            tenant: "t".into(),
            iss: "i".into(),
            aud: "a".into(),
            jti: "7-x".into(),
            ptype: "user".into(),
            ttype: "login".into(),
            iat: 1,
            exp: 2,
            jwk: jwk(&key),
            session: Some(SessionClaims {
                sid: "s".into(),
                sess_exp: session_text(1_678_249_752),
                rtok: String::new(),
            }),
            resource: ResourceClaims::default(),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_was_signed() {
        let issuer = Issuer::load(&Issuer::generate().unwrap()).unwrap();
        let read: Claims = issuer.read(&issuer.sign(&claims()).unwrap()).unwrap();
        assert_eq!(read, claims());
        assert_eq!(read.generation(), Some(7));
        assert_eq!(read.session_end(), Some(1_678_249_752));
        assert_eq!(read.session.as_ref().unwrap().sess_exp, "Wed, 08 Mar 2023 04:29:12 UTC");
        assert_eq!(read.key().unwrap().e, [1, 0, 1]);
    }

    #[test]
    fn a_token_of_another_issuer_or_with_other_claims_is_rejected() {
        let issuer = Issuer::load(&Issuer::generate().unwrap()).unwrap();
        let other = Issuer::load(&Issuer::generate().unwrap()).unwrap();
        let token = issuer.sign(&claims()).unwrap();
        assert_eq!(other.read::<Claims>(&token), None);
        let mut more = claims();
        more.exp += 1;
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&more).unwrap());
        let mut pieces: Vec<&str> = token.split('.').collect();
        pieces[1] = &body;
        assert_eq!(issuer.read::<Claims>(&pieces.join(".")), None);
        assert_eq!(issuer.read::<Claims>("not a token"), None);
    }
}
