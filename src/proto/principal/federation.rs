//! The request that trades the certificate of an instance for a token.
//!
//! Owns the body and the signature of `POST /v1/x509`, in the form of the Python SDK. Must not know where
//! the certificate comes from. Invariant: the certificate's key signs the request, and the token belongs
//! to the session key.

use zeroize::Zeroizing;

use super::call::{self, AuthCall, AuthCallError, AuthFailure, AuthReply, JSON};
use super::certificate::LeafCertificate;
use super::session_key::SessionKey;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::key::Key;
use crate::sign::{self, KeyId, SignedBody, SignedRequest};
use crate::token::Token;

const TARGET: &str = "/v1/x509";
const SERVICE: &str = "the auth service";

/// Where the request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationService {
    /// Where the federation service listens.
    pub endpoint: Endpoint,
    /// The path on the request line.
    target: String,
}

impl FederationService {
    /// The service of an auth endpoint, such as that of a region or `OCI_SDK_AUTH_CLIENT_REGION_URL`.
    pub fn below(endpoint: Endpoint) -> FederationService {
        FederationService { target: endpoint.target(TARGET), endpoint }
    }

    /// The service at a whole URL, as `--federation-endpoint` names it; one without a path means that of
    /// the service. Fails with a usage error that names `option` if the text is not such a URL.
    pub fn parse(option: &str, url: &str) -> Result<FederationService, Error> {
        let endpoint = Endpoint::parse(option, url).map_err(|error| {
            error.with_hint("it must look like https://auth.REGION.oraclecloud.com/v1/x509")
        })?;
        match endpoint.target("") {
            target if target.is_empty() => Ok(FederationService::below(endpoint)),
            target => Ok(FederationService { endpoint, target }),
        }
    }
}

/// What an instance proves its identity with.
#[derive(Debug, Clone, Copy)]
pub struct InstanceIdentity<'a> {
    /// The certificate of the instance.
    pub leaf: &'a LeafCertificate,
    /// The key of the leaf.
    pub leaf_key: &'a Key,
    /// The certificates of the issuers, as [`super::certificate::issuers`] returns them.
    pub issuers: &'a [String],
}

/// Why an identity must not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    /// Certificate and key do not belong together: one was replaced after the other was read. Reading
    /// both again brings a pair.
    TornPair,
    /// The certificate is of another tenancy than the one that the run began with.
    OtherTenancy {
        /// The OCID of the tenancy that the run began with.
        began: String,
        /// The OCID in the new certificate.
        now: String,
    },
}

impl std::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IdentityError::TornPair => {
                f.write_str("the instance's certificate and key do not belong together")
            }
            IdentityError::OtherTenancy { began, now } => write!(
                f,
                "the instance's certificate is of the tenancy {now}, and the run began in {began}"
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

impl InstanceIdentity<'_> {
    /// Checks that the certificate and the key belong together and, after the first token, that the
    /// tenancy is the one that the run `began` with. Fails if not.
    pub fn check(&self, began: Option<&str>) -> Result<(), IdentityError> {
        let now = &self.leaf.tenancy;
        if !self.leaf.matches_key(self.leaf_key) {
            return Err(IdentityError::TornPair);
        }
        match began.filter(|began| began != now) {
            Some(began) => {
                Err(IdentityError::OtherTenancy { began: began.to_owned(), now: now.clone() })
            }
            None => Ok(()),
        }
    }

    /// The key id of the request.
    pub fn key_id(&self) -> KeyId {
        KeyId::raw(&format!("{}/fed-x509/{}", self.leaf.tenancy, self.leaf.sha1()))
    }

    /// The request for a token that belongs to `session_key`. `date` is an HTTP date.
    pub fn call(
        &self,
        service: &FederationService,
        session_key: &SessionKey,
        date: &str,
    ) -> AuthCall {
        let body = Zeroizing::new(self.body(session_key).into_bytes());
        let head = SignedRequest {
            method: "POST",
            path_and_query: &service.target,
            host: None,
            date,
            delegation: None,
            body: Some(SignedBody { content_type: JSON, bytes: &body }),
        };
        let signed = sign::authorize(&self.key_id(), self.leaf_key, &head);
        let target = service.target.clone();
        AuthCall::signed("POST", target, &service.endpoint.authority, signed, body)
    }

    /// JSON with the fields and spaces of the Python SDK. Base64 needs no escapes.
    fn body(&self, session_key: &SessionKey) -> String {
        let (leaf, public_key) = (self.leaf.one_line(), session_key.public_one_line());
        let mut body = format!("{{\"certificate\": \"{leaf}\", \"publicKey\": \"{public_key}\"");
        if !self.issuers.is_empty() {
            let issuers: Vec<String> =
                self.issuers.iter().map(|issuer| format!("\"{issuer}\"")).collect();
            body.push_str(&format!(", \"intermediateCertificates\": [{}]", issuers.join(", ")));
        }
        body.push('}');
        body
    }
}

/// The token in the response. Fails if there is none, or it belongs to another key or tenancy.
pub fn token(
    reply: &AuthReply,
    leaf: &LeafCertificate,
    session_key: &SessionKey,
) -> Result<Token, AuthCallError> {
    let token = call::token(SERVICE, reply, &session_key.modulus(), &[]).map_err(with_hint)?;
    match &token.tenancy {
        Some(tenancy) if *tenancy != leaf.tenancy => {
            let reason = "with a token of another tenancy than the certificate's";
            Err(AuthCallError::unusable(SERVICE, reply, reason))
        }
        _ => Ok(token),
    }
}

fn with_hint(error: AuthCallError) -> AuthCallError {
    match (error.failure, error.status) {
        (AuthFailure::Rejected, 401) => error.with_hint(
            "the service rejects the instance's certificate: check the clock of this machine, and \
             that the auth endpoint is that of the instance's own region",
        ),
        _ => error,
    }
}
