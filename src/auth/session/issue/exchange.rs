//! Tokens that an identity domain gives in exchange for a token of another issuer.
//!
//! Owns the read of the JWT and of the client's secret before each exchange, since another process
//! replaces both. Must not know who issues the JWT. Invariant: both go to the identity domain only.

use std::time::Duration;

use super::{IssueContext, IssueError, issued, secret_text, session_key};
use crate::auth::profile::TokenExchange;
use crate::auth::session::key_and_token::KeyAndToken;
use crate::auth::session::transport::Route;
use proto::error::Error;
use proto::principal::exchange::{self, OauthClient, SubjectToken};
use proto::units::DisplayTime;

const SERVICE: &str = "the identity domain";

/// Exchanges tokens at an identity domain.
pub(in crate::auth::session) struct ExchangeIssuer(TokenExchange);

impl ExchangeIssuer {
    pub(super) fn new(exchange: &TokenExchange) -> ExchangeIssuer {
        ExchangeIssuer(exchange.clone())
    }

    /// A new key and a token for it. Fails if the JWT or the secret is unusable, or the domain does not
    /// answer or refuses.
    pub(super) async fn issue(&self, context: IssueContext<'_>) -> Result<KeyAndToken, IssueError> {
        let TokenExchange { domain, jwt_file, client_id, client_secret_file } = &self.0;
        let (jwt_name, secret_name) = (jwt_file.display(), client_secret_file.display());
        let unusable = |message: String, hint: &str| {
            IssueError::needs_change(Error::credentials(message).with_hint(hint))
        };
        let text = secret_text(jwt_file, "JWT")?;
        let subject = SubjectToken::parse(&text).map_err(|error| {
            let message = format!("the file {jwt_name} holds no JWT: {error}");
            unusable(message, "let the job write the token of its issuer to the file")
        })?;
        if let Some(expires) = subject.expires().map(Duration::from_secs)
            && context.is_past(expires).await
        {
            let message = format!("the JWT in {jwt_name} expired at {}", DisplayTime(expires));
            return Err(unusable(message, "let the job write a new one: it is read again"));
        }
        let secret = secret_text(client_secret_file, "client secret")?;
        let client = OauthClient::new(client_id, &secret).map_err(|error| {
            let message = format!("the client secret in {secret_name} cannot be used: {error}");
            unusable(message, "write the secret of the OAuth client to the file")
        })?;
        let session_key = session_key().await?;
        let call = exchange::call(domain, &client, &subject, &session_key);
        let reply = context.send(SERVICE, domain, Route::Service, call).await?;
        let token = exchange::token(&reply, &client, &subject, &session_key)?;
        Ok(issued(&session_key, token))
    }
}
