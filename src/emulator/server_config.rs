//! The file that `serve` is given: what shall go wrong, what may not be done, how buckets are protected.
//!
//! Pure. Invariant: a name that is not known is an error, never passed over.

use super::ServerOptions;
use super::fault::{FaultPlan, FaultRule};
use super::policy::{BucketProtection, PermissionSet};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the file may hold; each of the three may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    #[serde(default)]
    pub faults: Vec<FaultRule>,
    #[serde(default)]
    pub rights: PermissionSet,
    #[serde(default)]
    pub buckets: BTreeMap<String, BucketProtection>,
}

impl ServerConfig {
    /// Reads the file's text.
    pub fn parse(text: &[u8]) -> Result<ServerConfig, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    pub fn apply(self, options: &mut ServerOptions) {
        options.faults = FaultPlan { faults: self.faults };
        options.rights = self.rights;
        options.buckets = self.buckets;
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Permission, Retention};
    use super::*;

    #[test]
    fn faults_rights_and_protections_are_read_and_nothing_unknown_is_passed_over() {
        let text = br#"{
            "faults": [{"operation": "UploadPart", "action": "spurious_not_found"}],
            "rights": ["OBJECT_CREATE", "OBJECT_OVERWRITE"],
            "buckets": {"backups": {"retention": "from_commit"}, "demo": {"read_only": true}}
        }"#;
        let settings = ServerConfig::parse(text).unwrap();
        assert_eq!(settings.faults.len(), 1);
        let rights = [Permission::ObjectCreate, Permission::ObjectOverwrite];
        assert_eq!(settings.rights, PermissionSet::of(rights));
        let kept = BucketProtection::retention(Retention::FromCommit);
        assert_eq!(settings.buckets["backups"], kept);
        assert!(settings.buckets["demo"].read_only);
        assert_eq!(ServerConfig::parse(b"{}").unwrap(), ServerConfig::default());
        for wrong in [
            &br#"{"fault": []}"#[..],
            br#"{"rights": ["OBJECT_WRITE"]}"#,
            br#"{"buckets": {"b": {"readonly": true}}}"#,
        ] {
            assert!(ServerConfig::parse(wrong).is_err());
        }
    }
}
