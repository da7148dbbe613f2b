//! Counts of requests by the kind of call, whether or not they succeed.
//!
//! Owns the counters; knows no request but its operation. Invariant: every request that names an
//! operation adds 1 to exactly one kind.

use super::operation::Operation;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The kinds of calls that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallKind {
    /// The metadata service: the region.
    MetadataRegion,
    /// The metadata service: region and realm as JSON.
    MetadataRegionInfo,
    /// The metadata service: the canonical name of the region.
    MetadataRegionName,
    /// The metadata service: the instance's id.
    MetadataInstanceId,
    /// The metadata service: all properties of the instance.
    MetadataInstance,
    /// The metadata service: the instance's certificate.
    MetadataCertificate,
    /// The metadata service: the instance's private key.
    MetadataKey,
    /// The metadata service: the certificate of the issuer.
    MetadataIntermediate,
    /// `POST /v1/x509`.
    Federation,
    /// The token service of a Kubernetes cluster.
    Oke,
    /// The token exchange of an identity domain.
    Exchange,
    /// A resource principal token, by `GET`.
    ResourceToken,
    /// A resource principal session token, by `POST`.
    ResourceSessionToken,
    /// The refresh of a session token.
    Refresh,
    /// The issue of a session token for an API key.
    Generate,
    /// The login page of a browser session.
    Login,
    /// Object Storage.
    Storage,
}

impl CallKind {
    /// The kind of an operation; `None` for `Operation::Unknown`.
    pub fn of(operation: Operation) -> Option<CallKind> {
        use Operation::*;
        Some(match operation {
            GetMetadataRegion => CallKind::MetadataRegion,
            GetMetadataRegionInfo => CallKind::MetadataRegionInfo,
            GetMetadataCanonicalRegionName => CallKind::MetadataRegionName,
            GetMetadataInstanceId => CallKind::MetadataInstanceId,
            GetMetadataInstance => CallKind::MetadataInstance,
            GetMetadataCertificate => CallKind::MetadataCertificate,
            GetMetadataKey => CallKind::MetadataKey,
            GetMetadataIntermediate => CallKind::MetadataIntermediate,
            FederateInstance => CallKind::Federation,
            GetWorkloadToken => CallKind::Oke,
            ExchangeToken => CallKind::Exchange,
            GetResourceToken => CallKind::ResourceToken,
            GetResourceSessionToken => CallKind::ResourceSessionToken,
            RefreshToken => CallKind::Refresh,
            GenerateToken => CallKind::Generate,
            AuthorizeLogin => CallKind::Login,
            _ if operation.is_of_storage() => CallKind::Storage,
            _ => return None,
        })
    }
}

/// How many requests of each kind arrived; a kind without requests is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CallCounts(BTreeMap<CallKind, u64>);

impl CallCounts {
    /// The number of requests of this kind.
    pub fn of(&self, kind: CallKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// The number of requests to the metadata service.
    pub fn metadata(&self) -> u64 {
        let is_metadata = |kind: &CallKind| *kind <= CallKind::MetadataIntermediate;
        self.0.iter().filter(|(kind, _)| is_metadata(kind)).map(|(_, count)| count).sum()
    }
}

/// The counters of a running server.
#[derive(Debug, Default)]
pub(crate) struct CallCounters(Mutex<CallCounts>);

impl CallCounters {
    fn locked(&self) -> MutexGuard<'_, CallCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request.
    pub(crate) fn count(&self, operation: Operation) {
        if let Some(kind) = CallKind::of(operation) {
            *self.locked().0.entry(kind).or_insert(0) += 1;
        }
    }

    /// The counts so far.
    pub(crate) fn snapshot(&self) -> CallCounts {
        self.locked().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_by_its_kind() {
        let counters = CallCounters::default();
        for operation in [
            Operation::GetMetadataKey,
            Operation::GetMetadataRegion,
            Operation::FederateInstance,
            Operation::UploadPart,
            Operation::GetNamespace,
            Operation::Unknown,
        ] {
            counters.count(operation);
        }
        let counts = counters.snapshot();
        assert_eq!(counts.of(CallKind::Storage), 2);
        assert_eq!(counts.of(CallKind::Federation), 1);
        assert_eq!(counts.of(CallKind::Refresh), 0);
        assert_eq!(counts.metadata(), 2);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(json, r#"{"metadata_region":1,"metadata_key":1,"federation":1,"storage":2}"#);
    }
}
