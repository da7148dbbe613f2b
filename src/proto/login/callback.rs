//! The requests that reach the listener of a login, and which of them brings the token.
//!
//! Pure. Owns the checks. Must not read a request from a connection. Invariants: a token is accepted
//! only from a request to `localhost` at the listener's port, for the key of this login and with its
//! nonce; no refusal shows a part of a token.

use std::fmt;

use serde_json::{Map, Value};

use crate::token::{Token, TokenError, payload};

/// Characters of an error of the login page that are shown.
const MAX_REASON: usize = 300;

/// What a redirect must match.
#[derive(Debug, Clone)]
pub struct PendingLogin {
    /// The modulus of the key that the login is for, big endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// What the identity token has to name.
    pub nonce: String,
    /// The port of the listener.
    pub port: u16,
}

/// A request, as far as the checks need it.
#[derive(Debug, Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The authority of a request target in absolute form, which no browser sends.
    pub authority: Option<&'a str>,
    /// The header `host`; `None` if there is none, or more than one.
    pub host: Option<&'a str>,
    /// The request target.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
}

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
pub enum CallbackAnswer {
    /// The page whose script hands over the fragment of its address.
    Page,
    /// The token of this login.
    Accepted(Token),
    /// The request is none that ends the login, for this reason.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request names another host than this listener.
    Host,
    /// The method is not that of the page's script.
    Method,
    /// The path is another.
    Path,
    /// The login page sent an error instead of a token: its code and its description, as one line.
    LoginFailed(String),
    /// There is no token.
    NoToken,
    /// There is more than one token.
    SeveralTokens,
    /// The token cannot be parsed.
    Malformed(TokenError),
    /// The token names no key.
    NoKey,
    /// The token belongs to another key.
    OtherKey,
    /// The identity token has no nonce.
    NoNonce,
    /// The nonce is that of another login.
    OtherNonce,
    /// The token names no tenancy.
    NoTenancy,
}

impl PendingLogin {
    /// The answer to a request.
    pub fn answer(&self, request: CallbackRequest<'_>) -> CallbackAnswer {
        match self.check(request) {
            Ok(answer) => answer,
            Err(refusal) => CallbackAnswer::Refused(refusal),
        }
    }

    fn check(&self, request: CallbackRequest<'_>) -> Result<CallbackAnswer, Refusal> {
        let own = format!("localhost:{}", self.port);
        let is_own = |host: &str| host.eq_ignore_ascii_case(&own);
        if !request.host.is_some_and(is_own) || !request.authority.is_none_or(is_own) {
            return Err(Refusal::Host);
        }
        if request.method != "GET" {
            return Err(Refusal::Method);
        }
        match request.path {
            "/" => Ok(CallbackAnswer::Page),
            "/token" => self.token(request.query).map(CallbackAnswer::Accepted),
            _ => Err(Refusal::Path),
        }
    }

    /// The token in the query.
    fn token(&self, query: &str) -> Result<Token, Refusal> {
        let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let all = |name: &'static str| {
            parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
        };
        let text = match all("security_token").collect::<Vec<_>>()[..] {
            [text] => text,
            [] => {
                let words = all("error").chain(all("error_description")).collect::<Vec<_>>();
                return Err(match words.is_empty() {
                    true => Refusal::NoToken,
                    false => Refusal::LoginFailed(one_line(&words.join(": "))),
                });
            }
            _ => return Err(Refusal::SeveralTokens),
        };
        let token = Token::parse(text).map_err(Refusal::Malformed)?;
        match &token.modulus {
            None => return Err(Refusal::NoKey),
            Some(modulus) if *modulus != self.modulus => return Err(Refusal::OtherKey),
            Some(_) => {}
        }
        // OpenID Connect has the nonce in the identity token. Each one that is there must be ours.
        let claims = [all("id_token").collect(), vec![text]].concat();
        let claims = claims.into_iter().filter_map(|text| payload(text).ok());
        let nonces: Vec<String> = claims
            .filter_map(|claims| nonce(&claims))
            .chain(all("nonce").map(str::to_owned))
            .collect();
        match nonces[..] {
            [] => return Err(Refusal::NoNonce),
            _ if nonces.iter().any(|nonce| *nonce != self.nonce) => {
                return Err(Refusal::OtherNonce);
            }
            _ => {}
        }
        if token.tenancy.is_none() {
            return Err(Refusal::NoTenancy);
        }
        Ok(token)
    }
}

/// The beginning of a text as one line. Any page in the browser can send it: lines of its own could pass for
/// messages of this program.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
    text.chars().take(MAX_REASON).map(shown).collect()
}

/// The claim `nonce`; one that is no text matches no login.
fn nonce(claims: &Map<String, Value>) -> Option<String> {
    claims.get("nonce").map(|nonce| nonce.as_str().unwrap_or_default().to_owned())
}

impl Refusal {
    /// The HTTP status of the refusal.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Host => 421,
            Refusal::Method => 405,
            Refusal::Path => 404,
            Refusal::OtherKey | Refusal::OtherNonce => 403,
            _ => 400,
        }
    }

    /// Whether the request claims to end a login, so that the refusal is reported.
    pub fn is_of_a_login(&self) -> bool {
        !matches!(self, Refusal::Host | Refusal::Method | Refusal::Path)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Host => f.write_str("the request names another host"),
            Refusal::Method => f.write_str("only GET is possible"),
            Refusal::Path => f.write_str("there is nothing at this path"),
            Refusal::LoginFailed(reason) => write!(f, "the login page reports: {reason}"),
            Refusal::NoToken => f.write_str("the redirect brings no token"),
            Refusal::SeveralTokens => f.write_str("the redirect brings several tokens"),
            Refusal::Malformed(error) => write!(f, "the redirect brings no session token: {error}"),
            Refusal::NoKey => f.write_str("the token names no key"),
            Refusal::OtherKey => f.write_str("the token belongs to the key of another login"),
            Refusal::NoNonce => f.write_str("the redirect does not name the login it belongs to"),
            Refusal::OtherNonce => f.write_str("the redirect belongs to another login"),
            Refusal::NoTenancy => f.write_str("the token names no tenancy"),
        }
    }
}

impl std::error::Error for Refusal {}
