//! Tokens of a Kubernetes service account, issued by the token service of its cluster.
//!
//! Owns the read of the account's token before each issue, since Kubernetes replaces it about every
//! hour. Must not know how the cluster is found. Invariant: the account's token goes to the cluster
//! only, over a connection that trusts the cluster's authority only.

use super::{IssueContext, IssueError, issued, session_key};
use crate::auth::profile::OkeWorkloadIdentity;
use crate::auth::session::credential_files;
use crate::auth::session::key_and_token::KeyAndToken;
use crate::auth::session::transport::Route;
use proto::error::Error;
use proto::principal::oke::{self, ServiceAccountToken};
use proto::units::DisplayTime;

const SERVICE: &str = "the token service of the cluster";
const HINT: &str = "the pod needs automountServiceAccountToken: true, or a projected token at the path \
                    in OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH";

/// Issues the tokens of the service account.
pub(in crate::auth::session) struct OkeIssuer(OkeWorkloadIdentity);

impl OkeIssuer {
    pub(super) fn new(oke: &OkeWorkloadIdentity) -> OkeIssuer {
        OkeIssuer(oke.clone())
    }

    /// A new key and a token for it. Fails if the account's token is unusable, or the service does not
    /// answer or refuses.
    pub(super) async fn issue(&self, context: IssueContext<'_>) -> Result<KeyAndToken, IssueError> {
        let OkeWorkloadIdentity { service, ca_file, token } = &self.0;
        let text = credential_files::read_text(token, "service account token")?;
        let account = ServiceAccountToken::parse(&text).map_err(|error| {
            let message = format!("{token} holds no service account token: {error}");
            IssueError::needs_change(Error::credentials(message).with_hint(HINT))
        })?;
        let expires = std::time::Duration::from_secs(account.expires());
        if context.is_past(expires).await {
            let date = DisplayTime(expires);
            let message = format!("the service account token in {token} expired at {date}");
            return Err(IssueError::needs_change(Error::credentials(message).with_hint(HINT)));
        }
        let session_key = session_key().await?;
        let request_id = oke::request_id(&mut fastrand::Rng::new());
        let call = oke::call(service, &account, &session_key, &request_id);
        let route = Route::Cluster { ca_file: ca_file.clone() };
        let reply = context.send(SERVICE, service, route, call).await?;
        let token = oke::token(&reply, &account, &session_key)?;
        Ok(issued(&session_key, token))
    }
}
