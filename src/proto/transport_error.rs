//! The ways in which a connection can fail, as far as a caller acts differently on them.
//!
//! Owns the kinds, and what the user can do about those that a setting causes. The transport reports
//! one, the retry policy reads it; knows neither of them. Invariant: each kind states what the service
//! can have seen of the request.

use std::fmt;

/// How far a connection got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection was made, or none of the request was sent: the service has seen nothing.
    Connect,
    /// The certificate of the service is not trusted: the service has seen nothing.
    UntrustedCertificate,
    /// The certificate of the proxy is not trusted: the service has seen nothing.
    UntrustedProxyCertificate,
    /// The proxy requires a user and a password, or rejects these (407): the service has seen
    /// nothing.
    ProxyAuthRequired,
    /// The rules of the proxy forbid the connection (403 and other 4xx): the service has seen nothing.
    ProxyRefused,
    /// The connection failed before the whole body was written. The service has seen a part of the
    /// request at most, and does not act on that.
    RequestIncomplete,
    /// The connection failed, and the service may have seen the whole request.
    ResponseLost,
    /// No byte moved for the stall timeout; the service may have seen the whole request.
    Timeout,
    /// What came back is not HTTP, or not a response of the API; the service may have seen the
    /// whole request.
    InvalidResponse,
}

impl TransportError {
    /// What the user can do where a setting of this host or of the proxy is the cause; `None` for the
    /// other kinds. Such a failure at the first contact is a wrong setting. After an exchange that
    /// succeeded it lasts for a while only: an interception, or a fault of the proxy.
    pub fn setting_hint(self) -> Option<&'static str> {
        Some(match self {
            TransportError::UntrustedCertificate => {
                "if the endpoint is right, give the certificate of its authority with --cert-bundle FILE"
            }
            TransportError::UntrustedProxyCertificate => {
                "give the certificate of the authority of the proxy with --cert-bundle FILE; the file \
                 replaces those of the system, so it also needs the authority of the service"
            }
            TransportError::ProxyAuthRequired => {
                "put the user and the password of the proxy into its URL, as in \
                 http://USER:PASSWORD@HOST:PORT"
            }
            TransportError::ProxyRefused => {
                "the rules of the proxy must allow CONNECT to this host and port; if the host can be \
                 reached without the proxy, name it in NO_PROXY"
            }
            TransportError::Connect
            | TransportError::RequestIncomplete
            | TransportError::ResponseLost
            | TransportError::Timeout
            | TransportError::InvalidResponse => return None,
        })
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportError::Connect => "no connection was made",
            TransportError::UntrustedCertificate => "the certificate is not trusted",
            TransportError::UntrustedProxyCertificate => "the proxy's certificate is not trusted",
            TransportError::ProxyAuthRequired => "the proxy requires a user and a password",
            TransportError::ProxyRefused => "the proxy forbids the connection",
            TransportError::RequestIncomplete => "the connection failed within the request",
            TransportError::ResponseLost => "the connection failed before the response",
            TransportError::Timeout => "no byte moved for the stall timeout",
            TransportError::InvalidResponse => "the response is not one of the API",
        })
    }
}

impl std::error::Error for TransportError {}
