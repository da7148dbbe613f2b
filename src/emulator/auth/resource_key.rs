//! The key of a resource, which signs two calls without a token: the exchange of versions 2.1, 2.1.1
//! and 2.1.2 of resource principals.
//!
//! Owns the form of its key ids; knows neither the calls' bodies nor a token. Invariant: the key of
//! a resource opens the calls of its own version for this resource, and no other call.

use super::super::signature::PublicKey;
use super::{Authenticator, Caller, KeyKind};

/// A resource and its key.
#[derive(Debug, Clone)]
pub(crate) struct ResourceIdentity {
    /// The OCID of its tenancy.
    pub tenancy: String,
    /// The OCID of the resource.
    pub resource: String,
    pub key: PublicKey,
}

impl ResourceIdentity {
    /// Whether the key id names this resource and its version allows the request target.
    fn permits(&self, key_id: &str, target: &str) -> bool {
        let parts: Vec<&str> = key_id.split('/').collect();
        let (resource, api) = match parts.as_slice() {
            ["resource", "v2.1", resource] => (resource, "resourcePrincipalTokenV2"),
            ["resource", "v2.1.1", tenancy, resource] if *tenancy == self.tenancy => {
                (resource, "resourcePrincipalTokenV2")
            }
            ["resource", "v2.1.2", tenancy, resource] if *tenancy == self.tenancy => {
                (resource, "resourcePrincipalTokenV212")
            }
            _ => return false,
        };
        let first = format!("/20180711/{api}/{}", self.resource);
        *resource == self.resource
            && (target == first || target == "/v1/resourcePrincipalSessionToken")
    }
}

impl Authenticator {
    /// Sets the resource whose key is accepted, in place of the one before.
    pub(crate) fn set_resource(&self, resource: ResourceIdentity) {
        self.state().resource = Some(resource);
    }

    /// The key that a key id of the form `resource/...` names for a request target, and its owner.
    pub(super) fn identify_resource(
        &self,
        key_id: &str,
        target: &str,
    ) -> Option<(PublicKey, Caller)> {
        let state = self.state();
        let resource = state.resource.as_ref()?;
        let caller = Caller { kind: KeyKind::ResourceKey, token: None, delegated: false };
        resource.permits(key_id, target).then(|| (resource.key.clone(), caller))
    }
}
