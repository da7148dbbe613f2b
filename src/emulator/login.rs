//! The login page: it signs the one user in without a question and redirects the browser.
//!
//! Owns the form of the request and of the redirect; the session's token is issued in `auth`.
//! Invariant: the browser is redirected to a port of localhost only, and the token is in the fragment
//! of the address, which reaches no server.

use super::clock;
use super::context::{RequestContext, ServerState};
use super::fault::{Fault, LoginFault};
use super::response::{ErrorResponse, HandlerError, Payload, Response, respond};
use super::signature::PublicKey;
use super::state_dir::{TENANCY, USER};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What the login page shows to a fault that redirects nowhere.
const PAGE: &str = "<!doctype html><title>Sign in</title><p>User name or password is wrong.\n";

/// The parameters that have one value only.
const FIXED: [(&str, &str); 3] =
    [("action", "login"), ("client_id", "iaas_console"), ("scope", "openid")];

/// The client's public key, as in the parameter `public_key`.
#[derive(Deserialize)]
struct PublicJwk {
    kty: String,
    n: String,
    e: String,
}

/// The claims of the identity token.
#[derive(Serialize)]
struct IdentityClaims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'static str,
    tenant: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// AuthorizeLogin; fails with 400 on parameters that are missing or not valid.
pub(crate) async fn authorize(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    // The parameters are those of a form, in which a plus is a blank.
    let raw = request.path.split_once('?').map_or("", |(_, query)| query);
    let query: HashMap<_, _> = form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
    for (name, expected) in FIXED {
        if required(&query, name)? != expected {
            return Err(invalid(name).into());
        }
    }
    let mut kinds: Vec<&str> = required(&query, "response_type")?.split(' ').collect();
    kinds.sort_unstable();
    if kinds != ["id_token", "token"] {
        return Err(invalid("response_type").into());
    }
    let nonce = required(&query, "nonce")?;
    let key = public_key(required(&query, "public_key")?).ok_or_else(|| invalid("public_key"))?;
    let port = port_of(required(&query, "redirect_uri")?).ok_or_else(|| invalid("redirect_uri"))?;
    let fault = match &request.fault {
        Some(Fault::Login(fault)) => Some(*fault),
        _ => None,
    };
    let host = if fault == Some(LoginFault::OtherHost) { "127.0.0.1" } else { "localhost" };
    let redirect = |fragment: &[(&str, &str)]| {
        let pairs: Vec<String> = fragment
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let location = format!("http://{host}:{port}/#{}", pairs.join("&"));
        respond(302).header("location", location).header("cache-control", "no-store").empty()
    };
    match fault {
        Some(LoginFault::Denied) => {
            let reason = ("error_description", "The user cancelled the login.");
            return Ok(redirect(&[("error", "access_denied"), reason]));
        }
        Some(LoginFault::NoRedirect) => {
            let page = respond(200).header("content-type", "text/html; charset=utf-8");
            return Ok(page.body(Payload::bytes(PAGE)));
        }
        _ => {}
    }
    let token = state.authenticator.log_in_with(key, fault, state.clock.now())?;
    let identity = identity_token(state, nonce, fault)?;
    Ok(redirect(&[("security_token", &token), ("id_token", &identity)]))
}

/// The identity token, which holds the nonce.
fn identity_token(
    state: &ServerState,
    nonce: &str,
    fault: Option<LoginFault>,
) -> Result<String, HandlerError> {
    let nonce = match fault {
        Some(LoginFault::OtherNonce) => Some("00000000-0000-4000-8000-000000000000"),
        Some(LoginFault::NoNonce) => None,
        _ => Some(nonce),
    };
    let iat = clock::seconds(state.clock.now());
    let claims = IdentityClaims {
        iss: "https://identity.oraclecloud.com/",
        aud: "iaas_console",
        sub: USER,
        tenant: TENANCY,
        nonce,
        iat,
        exp: iat + 3_600,
    };
    Ok(state.authenticator.sign(&claims)?)
}

fn required<'a>(query: &'a HashMap<String, String>, name: &str) -> Result<&'a str, ErrorResponse> {
    let value = query.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| ErrorResponse::missing_parameter(name))
}

fn invalid(name: &str) -> ErrorResponse {
    ErrorResponse::invalid_parameter(format!("The parameter '{name}' is not valid"))
}

/// The RSA key in base64url of a JSON Web Key; `None` if it is none.
fn public_key(text: &str) -> Option<PublicKey> {
    let json = URL_SAFE.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
    let jwk: PublicJwk =
        serde_json::from_slice(&json).ok().filter(|jwk: &PublicJwk| jwk.kty == "RSA")?;
    let (n, e) = (URL_SAFE_NO_PAD.decode(jwk.n).ok()?, URL_SAFE_NO_PAD.decode(jwk.e).ok()?);
    (n.len() >= 256 && !e.is_empty()).then_some(PublicKey { n, e })
}

/// The port of `http://localhost:PORT`; `None` for any other address.
fn port_of(uri: &str) -> Option<u16> {
    let port = uri.strip_prefix("http://localhost:")?;
    port.strip_suffix('/').unwrap_or(port).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_led_to_a_port_of_localhost_only() {
        for (uri, port) in [
            ("http://localhost:8181", Some(8181)),
            ("http://localhost:8181/", Some(8181)),
            ("https://localhost:8181", None),
            ("http://localhost", None),
            ("http://localhost:8181.example.com", None),
            ("http://localhost:8181/path", None),
            ("http://example.com:8181", None),
        ] {
            assert_eq!(port_of(uri), port, "{uri}");
        }
    }

    #[test]
    fn a_key_is_an_rsa_key_of_at_least_2048_bits() {
        let jwk = |kty: &str, bytes: usize| {
            let n = URL_SAFE_NO_PAD.encode(vec![0xc1; bytes]);
            URL_SAFE
                .encode(format!(r#"{{"kty": "{kty}", "n": "{n}", "e": "AQAB", "kid": "Ignored"}}"#))
        };
        let key = public_key(&jwk("RSA", 256)).unwrap();
        assert_eq!((key.n.len(), key.e), (256, vec![1, 0, 1]));
        assert!(public_key(jwk("RSA", 257).trim_end_matches('=')).is_some());
        assert!(public_key(&jwk("EC", 256)).is_none() && public_key(&jwk("RSA", 128)).is_none());
        assert!(public_key("").is_none() && public_key("e30").is_none());
    }
}
