//! The two requests that trade the identity of a resource for a token: versions 1.1 and 2.1.x.
//!
//! Owns paths, key ids and bodies. Must not know where endpoints and keys come from, or how the instance
//! principal of version 1.1 signs in. Invariant: both requests are signed by the same key and key id, and
//! neither of the two intermediate tokens appears in an error or in debug output.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::call::{self, AuthCall, AuthCallError, AuthReply, JSON};
use super::session_key::SessionKey;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::key::Key;
use crate::sign::{self, KeyId, SignedBody, SignedRequest};
use crate::token::Token;

const SESSION_TOKEN_TARGET: &str = "/v1/resourcePrincipalSessionToken";
const CLIENT_INFO: &str = concat!("ocipipe/", env!("CARGO_PKG_VERSION"));
const RESOURCE_SERVICE: &str = "the resource's token service";
const AUTH_SERVICE: &str = "the auth service";

/// The versions of resource principals that need requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceVersion {
    /// The instance principal of the instance signs.
    V1_1,
    /// The key of the resource signs.
    V2_1,
    /// Version 2.1.1.
    V2_1_1,
    /// Version 2.1.2.
    V2_1_2,
}

impl ResourceVersion {
    /// The version in `OCI_RESOURCE_PRINCIPAL_VERSION`; `None` for those that need no request, and for
    /// unknown ones.
    pub fn find(text: &str) -> Option<ResourceVersion> {
        match text {
            "1.1" => Some(ResourceVersion::V1_1),
            "2.1" => Some(ResourceVersion::V2_1),
            "2.1.1" => Some(ResourceVersion::V2_1_1),
            "2.1.2" => Some(ResourceVersion::V2_1_2),
            _ => None,
        }
    }

    /// The key id of both requests; `None` for version 1.1, whose key id is the instance's token.
    /// `tenancy` is used by versions 2.1.1 and 2.1.2.
    pub fn key_id(self, tenancy: &str, resource: &str) -> Option<KeyId> {
        Some(KeyId::raw(&match self {
            ResourceVersion::V1_1 => return None,
            ResourceVersion::V2_1 => format!("resource/v2.1/{resource}"),
            ResourceVersion::V2_1_1 => format!("resource/v2.1.1/{tenancy}/{resource}"),
            ResourceVersion::V2_1_2 => format!("resource/v2.1.2/{tenancy}/{resource}"),
        }))
    }

    /// The path of the first request for the resource or instance `id`. `path` is
    /// `OCI_RESOURCE_PRINCIPAL_RPT_PATH`, with `{}` or `{id}` for the id. Without a place holder the id is
    /// appended, except in version 1.1, where the path is whole. Fails with a usage error if it cannot be
    /// on a request line.
    pub fn token_path(self, path: Option<&str>, id: &str) -> Result<String, Error> {
        let default = match self {
            ResourceVersion::V1_1 => "/20180711/resourcePrincipalToken/{}",
            ResourceVersion::V2_1 | ResourceVersion::V2_1_1 => {
                "/20180711/resourcePrincipalTokenV2/{}"
            }
            ResourceVersion::V2_1_2 => "/20180711/resourcePrincipalTokenV212/{}",
        };
        let path = path.map(str::trim).filter(|path| !path.is_empty()).unwrap_or(default);
        let slash = if path.starts_with('/') { "" } else { "/" };
        let filled = path.replace("{}", id).replace("{id}", id);
        let target = match self {
            _ if path.contains("{}") || path.contains("{id}") => format!("{slash}{filled}"),
            ResourceVersion::V1_1 => format!("{slash}{path}"),
            _ => format!("{slash}{}/{id}", path.trim_end_matches('/')),
        };
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        if !target.bytes().all(legal) {
            return Err(Error::usage("OCI_RESOURCE_PRINCIPAL_RPT_PATH: it cannot be a path")
                .with_hint("it must look like /20180711/resourcePrincipalToken/{id}"));
        }
        Ok(target)
    }
}

/// The OCID of a resource, instance or tenancy in a variable, without white space around it. Fails with a
/// usage error if it has a character that no OCID has, since it becomes part of a header and of a path.
pub fn checked_id(variable: &str, value: &str) -> Result<String, Error> {
    let id = value.trim();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.is_empty() || !id.bytes().all(legal) {
        return Err(Error::usage(format!("{variable}: it is not an OCID"))
            .with_hint("it must look like ocid1.TYPE.REALM.REGION.ID"));
    }
    Ok(id.to_owned())
}

/// The security context of version 2.1.2 in a variable, without white space around it. Fails with a usage
/// error, which does not quote it, if it cannot be the value of a header.
pub fn checked_security_context(variable: &str, value: &str) -> Result<Zeroizing<String>, Error> {
    let context = value.trim();
    if context.is_empty() || !context.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Error::usage(format!("{variable}: it has a character that no header has")));
    }
    Ok(Zeroizing::new(context.to_owned()))
}

/// The signature of both requests.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSigner<'a> {
    /// The key id of the signature.
    pub key_id: &'a KeyId,
    /// The key that signs.
    pub key: &'a Key,
    /// An HTTP date.
    pub date: &'a str,
    /// The `opc-request-id`.
    pub request_id: &'a str,
}

/// The response to the first request, and the body of the second.
#[derive(Clone, PartialEq, Eq)]
pub struct ResourceTokens {
    resource_principal_token: Zeroizing<String>,
    service_principal_session_token: Zeroizing<String>,
}

impl fmt::Debug for ResourceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResourceTokens(..)")
    }
}

impl ResourceSigner<'_> {
    /// The first request. `path` is that of [`ResourceVersion::token_path`], `security_context` is
    /// `OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT` of version 2.1.2, which is secret.
    pub fn tokens_call(
        &self,
        endpoint: &Endpoint,
        path: &str,
        security_context: Option<&str>,
    ) -> AuthCall {
        let mut call = self.sign("GET", endpoint, path, None);
        let context = security_context.map(|context| ("security-context", context.to_owned()));
        call.headers.extend(context);
        call
    }

    /// The second request, for a token that belongs to `session_key`.
    pub fn session_token_call(
        &self,
        endpoint: &Endpoint,
        tokens: &ResourceTokens,
        session_key: &SessionKey,
    ) -> AuthCall {
        // The strings of the first response can have any characters.
        let quoted = |text: &str| Zeroizing::new(serde_json::Value::from(text).to_string());
        let body = Zeroizing::new(format!(
            "{{\"resourcePrincipalToken\": {}, \"servicePrincipalSessionToken\": {}, \
             \"sessionPublicKey\": \"{}\"}}",
            quoted(&tokens.resource_principal_token).as_str(),
            quoted(&tokens.service_principal_session_token).as_str(),
            session_key.public_one_line(),
        ));
        self.sign("POST", endpoint, SESSION_TOKEN_TARGET, Some(body.as_bytes()))
    }

    fn sign(
        &self,
        method: &'static str,
        endpoint: &Endpoint,
        path: &str,
        body: Option<&[u8]>,
    ) -> AuthCall {
        let target = endpoint.target(path);
        let head = SignedRequest {
            method,
            path_and_query: &target,
            host: Some(&endpoint.authority),
            date: self.date,
            delegation: None,
            body: body.map(|bytes| SignedBody { content_type: JSON, bytes }),
        };
        let mut signed = sign::authorize(self.key_id, self.key, &head);
        signed.headers.push(("opc-client-info", CLIENT_INFO.to_owned()));
        signed.headers.push(("opc-request-id", self.request_id.to_owned()));
        let body = Zeroizing::new(body.unwrap_or_default().to_vec());
        AuthCall::signed(method, target, &endpoint.authority, signed, body)
    }
}

/// The tokens in the response to the first request. Fails if either is missing.
pub fn tokens(reply: &AuthReply) -> Result<ResourceTokens, AuthCallError> {
    if !reply.is_success() {
        return Err(AuthCallError::of_status(RESOURCE_SERVICE, reply, &[]));
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TokensBody {
        resource_principal_token: String,
        service_principal_session_token: String,
    }
    let body: TokensBody = serde_json::from_slice(&reply.body).map_err(|_| {
        let reason = "with a body that has not the two tokens of a resource";
        AuthCallError::unusable(RESOURCE_SERVICE, reply, reason)
    })?;
    Ok(ResourceTokens {
        resource_principal_token: Zeroizing::new(body.resource_principal_token),
        service_principal_session_token: Zeroizing::new(body.service_principal_session_token),
    })
}

/// The token in the response to the second request. Fails if there is none, or it belongs to another key.
pub fn session_token(
    reply: &AuthReply,
    tokens: &ResourceTokens,
    session_key: &SessionKey,
) -> Result<Token, AuthCallError> {
    let secrets: [&str; 2] =
        [&tokens.resource_principal_token, &tokens.service_principal_session_token];
    call::token(AUTH_SERVICE, reply, &session_key.modulus(), &secrets)
}
