//! The endpoint of Object Storage, which may be one for each namespace.
//!
//! Owns the choice of the endpoint by the path of a request. Must not know regions or resolve names. Invariant: the
//! host of a namespace is a valid host name.

use std::fmt;

use super::{Endpoint, is_host};
use crate::error::Error;

/// The endpoint of Object Storage: one for all namespaces, or one for each namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStorage {
    /// For requests without a namespace, such as GetNamespace.
    pub general: Endpoint,
    by_namespace: bool,
}

impl ObjectStorage {
    /// One endpoint for all namespaces.
    pub fn at(endpoint: Endpoint) -> ObjectStorage {
        ObjectStorage { general: endpoint, by_namespace: false }
    }

    /// One endpoint for each namespace, which is the first label of the host.
    pub(crate) fn by_namespace(general: Endpoint) -> ObjectStorage {
        ObjectStorage { general, by_namespace: true }
    }

    /// The endpoint for a request with this path, `/n/NAMESPACE/...`. Fails with a usage error if the
    /// namespace would have to be a label of the host and cannot be one.
    pub fn endpoint(&self, target: &str) -> Result<Endpoint, Error> {
        let namespace = target.strip_prefix("/n/").and_then(|rest| rest.split(['/', '?']).next());
        let Some(namespace) =
            namespace.filter(|namespace| self.by_namespace && !namespace.is_empty())
        else {
            return Ok(self.general.clone());
        };
        let host = format!("{namespace}.{}", self.general.host);
        if is_host(&host) && !namespace.contains('.') {
            return Ok(Endpoint::of_host(&host.to_ascii_lowercase()));
        }
        Err(Error::usage(format!(
            "the namespace {namespace:?} cannot be part of a host, as a realm-specific endpoint \
             needs it"
        ))
        .with_hint("leave --realm-specific-endpoint out"))
    }
}

impl fmt::Display for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_namespace {
            write!(f, "https://NAMESPACE.{}", self.general.host)
        } else {
            self.general.fmt(f)
        }
    }
}
