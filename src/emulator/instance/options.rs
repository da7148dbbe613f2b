//! What the metadata service of the instance is started with.
//!
//! Pure: values and their defaults, which are also those of the file that `serve --faults` reads.
//! Invariant: an unknown name is an error and never ignored.

use super::super::state_dir::REGION;
use super::subject::SubjectShape;
use serde::Deserialize;
use std::time::Duration;

/// The encoding of `key.pem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// `BEGIN RSA PRIVATE KEY`.
    #[default]
    Pkcs1,
    /// `BEGIN PRIVATE KEY`.
    Pkcs8,
}

/// The instance that the server plays. Durations are in seconds, at most ten years.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceOptions {
    /// The identifier of the region.
    pub region: String,
    /// The text at `/instance/region` where it differs from the identifier, such as `phx`.
    pub region_text: Option<String>,
    /// The short name of the region, as `iad`.
    pub region_key: String,
    /// The short name of the realm, as `oc1`.
    pub realm_key: String,
    /// The domain of the realm's hosts.
    pub realm_domain: String,
    /// Whether the text at `/instance/region` and so on ends with a newline, and PEM text too.
    pub final_newline: bool,
    /// The form of the private key in `identity/key.pem`.
    pub key_encoding: KeyEncoding,
    /// How the certificate's subject names the tenancy.
    pub subject: SubjectShape,
    /// The life of a certificate. It is replaced when half of it is over.
    pub certificate_life: u64,
    /// A read of `cert.pem` replaces the certificate first, once in this many reads.
    pub rotate_every: Option<u64>,
    /// After each replacement this many reads of `key.pem` still return the key before it.
    pub torn_reads: u64,
    /// The life of a delegation token.
    pub delegation_life: u64,
    /// How long a delegation token is accepted after it was replaced.
    pub delegation_grace: u64,
}

/// The longest life in seconds: ten years.
const MAX_LIFE: u64 = 10 * 365 * 86_400;

impl InstanceOptions {
    /// The life of a certificate, at least a second.
    pub fn certificate_life(&self) -> Duration {
        Duration::from_secs(self.certificate_life.clamp(1, MAX_LIFE))
    }

    /// The life of a delegation token, at least a second.
    pub fn delegation_life(&self) -> Duration {
        Duration::from_secs(self.delegation_life.clamp(1, MAX_LIFE))
    }

    /// How long a delegation token is accepted after it was replaced.
    pub fn delegation_grace(&self) -> Duration {
        Duration::from_secs(self.delegation_grace.min(MAX_LIFE))
    }

    /// Checks durations and counts; fails with the name of a field that is out of its range.
    pub fn check(&self) -> Result<(), String> {
        let lives = [
            ("certificate_life", self.certificate_life, 1),
            ("delegation_life", self.delegation_life, 1),
            ("delegation_grace", self.delegation_grace, 0),
            ("rotate_every", self.rotate_every.unwrap_or(1), 1),
        ];
        for (name, value, least) in lives {
            check_range(name, value, least)?;
        }
        Ok(())
    }
}

/// Fails with the name of the field if the value is not from `least` to `MAX_LIFE`.
pub(crate) fn check_range(name: &str, value: u64, least: u64) -> Result<(), String> {
    if (least..=MAX_LIFE).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}; it is a number from {least} to {MAX_LIFE}"))
}

impl Default for InstanceOptions {
    fn default() -> InstanceOptions {
        InstanceOptions {
            region: REGION.to_owned(),
            region_text: None,
            region_key: "LOC".to_owned(),
            realm_key: "oclocal".to_owned(),
            realm_domain: "localhost".to_owned(),
            final_newline: false,
            key_encoding: KeyEncoding::Pkcs1,
            subject: SubjectShape::SingleValued,
            certificate_life: 4 * 3600,
            rotate_every: None,
            torn_reads: 0,
            delegation_life: 24 * 3600,
            delegation_grace: 60,
        }
    }
}
