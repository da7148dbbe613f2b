//! The ways in which a connection can fail, as far as a caller acts differently on them.
//!
//! Owns the kinds alone: the transport reports one, the retry policy reads it. Knows neither of
//! them. Invariant: each kind states what the service can have seen of the request.

/// How far a connection got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportError {
    /// No connection was made, or none of the request was sent: the service has seen nothing.
    Connect,
    /// The certificate of the service, or of the proxy, is not trusted: the service has seen
    /// nothing.
    UntrustedCertificate,
    /// The proxy requires a user and a password, or rejects these (407): the service has seen
    /// nothing.
    ProxyAuthRequired,
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
