//! The signature of one attempt.
//!
//! Owns what of a request is signed, when, and on which thread. Must not know retries. Invariants: the body of
//! a request is signed unless it is a stream; the credentials are checked after the connection is open.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Client, PreparedRequest, Signature};
use crate::auth::session::{Credentials, DelegationToken, Session};
use crate::transfer::headers;
use proto::api::{Request, RequestClass, RequestPayload};
use proto::key::KeyError;
use proto::retry::Failure;
use proto::sign;
use proto::token_lifecycle::SigningRequest;
use proto::units::DisplayTime;

impl Client {
    /// Opens a connection and signs the request for it. The wait for credentials comes first, since
    /// an idle connection does not stay open that long; they are checked again after it is open.
    pub(super) async fn prepare_signed(
        &self,
        session: &Session,
        request: Request,
        chunks: Vec<Bytes>,
        size: u64,
    ) -> Result<PreparedRequest<'_>, Failure> {
        let class = match request.class {
            RequestClass::Small => SigningRequest::Small,
            RequestClass::Transfer(transfer_id) => SigningRequest::Transfer {
                transfer_id,
                estimate: self.connection_rate.estimate(size),
            },
            RequestClass::Abort => SigningRequest::Abort,
        };
        session.wait_until_ready(class).await.map_err(Failure::Credentials)?;
        let endpoint = self.endpoint.endpoint(&request.target).map_err(Failure::Local)?;
        let target = endpoint.target(&request.target);
        let connection = self.transport.connect(&endpoint).await?;
        let credentials = session.credentials(class).await.map_err(Failure::Credentials)?;
        let (date, at) = (session.signing_date(), Instant::now());
        let signed = if self.beside_a_transfer {
            let (request, credentials) = (request.clone(), Arc::clone(&credentials));
            let (target, authority) = (target.clone(), endpoint.authority.clone());
            let sign = move || sign_request(&request, &credentials, &target, &authority, date);
            connection.run_on_its_thread(sign).await?
        } else {
            sign_request(&request, &credentials, &target, &endpoint.authority, date)
        };
        let signed = signed.map_err(|error| Failure::Local(session.unusable_key(&error)))?;
        let mut headers = request.headers.clone();
        headers.extend(signed);
        let signature = Some(Signature { credentials, date, at });
        Ok(self.ready(connection, request, target.into(), headers, chunks, signature))
    }
}

/// The value of the header `date`; of the year 9999 at the latest, since a server's clock may be anything.
fn http_date(date: SystemTime) -> String {
    DisplayTime(date.duration_since(UNIX_EPOCH).unwrap_or_default()).to_string()
}

/// The headers that sign a request: date, host, digest of the body and authorization. Fails if the key cannot
/// sign.
fn sign_request(
    request: &Request,
    credentials: &Credentials,
    target: &str,
    authority: &str,
    date: SystemTime,
) -> Result<Vec<(String, String)>, KeyError> {
    let json = match &request.body {
        RequestPayload::Json(bytes) => Some(bytes.as_slice()),
        _ if request.method == "POST" => Some(&b""[..]),
        _ => None,
    };
    let signed = sign::try_authorize(
        &credentials.key_id,
        &credentials.key,
        &sign::SignedRequest {
            method: request.method,
            path_and_query: target,
            host: Some(authority),
            date: &http_date(date),
            delegation: credentials.delegation_token.as_ref().map(DelegationToken::secret),
            body: json.map(|bytes| sign::SignedBody { content_type: "application/json", bytes }),
        },
    );
    Ok(headers::owned(signed?.headers))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_that_no_http_date_can_express_is_the_last_one_that_it_can() {
        let end = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        for date in [end, end + Duration::from_secs(1), end + Duration::from_secs(1 << 40)] {
            assert_eq!(http_date(date), "Fri, 31 Dec 9999 23:59:59 GMT");
        }
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
