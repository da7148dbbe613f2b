//! Sends the requests of the session: token refreshes, and queries of the service's clock.
//!
//! Owns the adapter between the session and the transport. Must not know what a request is for, and
//! signs nothing. Invariant: each exchange has a connection of the run's transport, with its timeouts
//! and its proxy.

use std::sync::Arc;

use super::headers;
use crate::auth::session::transport;
use crate::net::{self, Transport, TransportFailure};

/// Sends the small requests of the session over the transport of the run.
pub struct SessionTransport {
    pub transport: Arc<Transport>,
}

impl transport::AuthTransport for SessionTransport {
    fn exchange(&self, request: transport::AuthRequest) -> transport::Exchange<'_> {
        Box::pin(async move {
            let message = |failure: TransportFailure| format!("the auth service: {failure}");
            let connection = self.transport.connect(&request.endpoint).await.map_err(message)?;
            let head = net::RequestHead {
                method: request.method,
                target: request.target,
                headers: headers::owned(request.headers),
            };
            let body = net::collect_small_body(request.body.to_vec());
            let response = connection.exchange(head, body).await.map_err(message)?;
            Ok(transport::AuthResponse {
                status: response.status,
                date: headers::date(&response),
                body: response.body,
            })
        })
    }
}
