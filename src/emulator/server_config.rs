//! The file that `serve --faults` reads: faults, permissions, protected buckets, the instance, other
//! principals and pre-authenticated requests.
//!
//! Pure: reads text and no file. The format is documented in `docs/fault-plan.md`. Invariant: an
//! unknown name is an error and never ignored.

use super::fault::{FaultPlan, FaultRule};
use super::instance::{InstanceOptions, check_range};
use super::par::options::ParOptions;
use super::policy::{BucketProtection, PermissionSet};
use super::principals::PrincipalOptions;
use super::server_options::ServerOptions;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The content of the file; each key is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// The rules of the fault plan, in the order in which they are tried.
    #[serde(default)]
    pub faults: Vec<FaultRule>,
    /// The permissions of the principal; all by default.
    #[serde(default)]
    pub rights: PermissionSet,
    /// The protected buckets, by name.
    #[serde(default)]
    pub buckets: BTreeMap<String, BucketProtection>,
    /// The lifetime, in seconds, of the tokens of other principals than the user.
    #[serde(default)]
    pub principal_token_life: Option<u64>,
    /// The instance that the server plays.
    #[serde(default)]
    pub instance: InstanceOptions,
    /// The services of pods, resources and outside identities.
    #[serde(default)]
    pub principals: PrincipalOptions,
    /// What the documentation of pre-authenticated requests leaves open.
    #[serde(default)]
    pub pars: ParOptions,
}

impl ServerConfig {
    /// Parses the text of the file; fails with the parser's message, or with the name of a number
    /// that is out of its range.
    pub fn parse(text: &[u8]) -> Result<ServerConfig, String> {
        let config: ServerConfig =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        check_range("principal_token_life", config.principal_token_life.unwrap_or(1), 1)?;
        config.instance.check()?;
        check_range("jwt_life", config.principals.jwt_life, 1)?;
        check_range("torn_ms", config.principals.torn_ms, 0)?;
        Ok(config)
    }

    /// Sets the faults, permissions, protected buckets and principals of `options`.
    pub fn apply(self, options: &mut ServerOptions) {
        options.faults = FaultPlan { faults: self.faults };
        options.rights = self.rights;
        options.buckets = self.buckets;
        if let Some(seconds) = self.principal_token_life {
            options.principal_token_ttl = Duration::from_secs(seconds);
        }
        options.instance = self.instance;
        options.principal_options = self.principals;
        options.pars = self.pars;
    }
}

#[cfg(test)]
mod tests {
    use super::super::par::options::{ParConditions, ParRefusal};
    use super::super::policy::{Permission, Retention};
    use super::*;

    #[test]
    fn faults_rights_and_protections_are_read_and_unknown_names_are_errors() {
        let text = br#"{
            "faults": [{"operation": "UploadPart", "action": "spurious_not_found"}],
            "rights": ["OBJECT_CREATE", "OBJECT_OVERWRITE"],
            "buckets": {"backups": {"retention": "from_commit"}, "demo": {"read_only": true}},
            "principal_token_life": 60,
            "instance": {"region": "eu-nowhere-1", "subject": "multi_valued", "torn_reads": 2},
            "principals": {"oke_quotes": false, "torn_ms": 500},
            "pars": {"invalid": "bucket_not_found", "conditions": "not_at_commit"}
        }"#;
        let config = ServerConfig::parse(text).unwrap();
        assert_eq!(config.faults.len(), 1);
        let rights = [Permission::ObjectCreate, Permission::ObjectOverwrite];
        assert_eq!(config.rights, PermissionSet::of(rights));
        let retention = BucketProtection::retention(Retention::FromCommit);
        assert_eq!(config.buckets["backups"], retention);
        assert!(config.buckets["demo"].read_only);
        assert_eq!(config.principal_token_life, Some(60));
        assert_eq!(config.instance.region, "eu-nowhere-1");
        assert_eq!((config.instance.torn_reads, config.instance.delegation_grace), (2, 60));
        assert!(!config.principals.oke_quotes && config.principals.replace_files);
        assert_eq!((config.principals.torn_ms, config.principals.jwt_life), (500, 3600));
        let pars = ParOptions {
            invalid: ParRefusal::BucketNotFound,
            conditions: ParConditions::NotAtCommit,
            ..ParOptions::default()
        };
        assert_eq!(config.pars, pars);
        assert_eq!(ServerConfig::parse(b"{}").unwrap(), ServerConfig::default());
        for wrong in [
            &br#"{"fault": []}"#[..],
            br#"{"rights": ["OBJECT_WRITE"]}"#,
            br#"{"buckets": {"b": {"readonly": true}}}"#,
            br#"{"principal_token_life": 0}"#,
            br#"{"instance": {"certificate_life": 18446744073709551615}}"#,
            br#"{"instance": {"rotate_every": 0}}"#,
            br#"{"instance": {"subject": "both"}}"#,
            br#"{"instance": {"life": 1}}"#,
            br#"{"principals": {"jwt_life": 0}}"#,
            br#"{"principals": {"quotes": false}}"#,
            br#"{"pars": {"slashes": "none"}}"#,
            br#"{"pars": {"slash": "raw"}}"#,
        ] {
            assert!(ServerConfig::parse(wrong).is_err());
        }
    }
}
