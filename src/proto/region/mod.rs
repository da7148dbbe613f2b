//! Regions: from a name or code to the hosts of a region's services.
//!
//! Owns the order in which the definitions of regions apply. Must not read files or the environment:
//! their texts are arguments. Invariant: the realm of a region comes from a table or the user and is
//! never derived from the name (`eu-madrid-2` is not in the realm of `eu-madrid-1`).

mod table;

use serde_json::Value;

use crate::endpoint::{Endpoint, ObjectStorage, is_host};
use crate::error::Error;

/// Texts that can define regions in addition to the built-in table.
#[derive(Debug, Clone, Default)]
pub struct RegionSources {
    /// The contents of `~/.oci/regions-config.json`.
    pub regions_config: Option<String>,
    /// The value of `OCI_REGION_METADATA`.
    pub region_metadata: Option<String>,
    /// The value of `OCI_DEFAULT_REALM`, a domain.
    pub default_realm: Option<String>,
}

/// The domain of realm OC1, the default for unknown regions.
const FIRST_REALM: &str = "oraclecloud.com";

/// Which of a region's hosts to use. Each variant is requested by the option or variable that its text
/// names, for error messages; `None` if it is not requested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostVariant {
    /// A host for each namespace.
    pub realm_specific: Option<String>,
    /// Hosts with IPv4 and IPv6 addresses.
    pub dual_stack: Option<String>,
}

/// A region with known hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// `eu-frankfurt-1`, or a whole domain if the user gave one.
    pub name: String,
    /// The host of a service without the name of the service.
    domain: String,
    /// The domain of the realm; `None` if the user gave a whole domain.
    realm: Option<String>,
    /// One warning for each source that could not be parsed.
    pub warnings: Vec<String>,
}

impl Region {
    /// Finds a region by its name or three-letter code, in the order of the Python SDK: built-in table,
    /// `regions-config.json`, `OCI_REGION_METADATA`, default realm. Fails with a usage error if the text
    /// cannot be part of a host or `OCI_REGION_METADATA` is not valid, also where it is not needed.
    pub fn find(text: &str, sources: &RegionSources) -> Result<Region, Error> {
        sources.check_variable()?;
        let name = region_name(text)?;
        let mut warnings = Vec::new();
        let (name, realm) = match sources.defined(&name, &mut warnings)? {
            Some((name, realm)) => (name, Some(realm)),
            None if name.contains('.') => (name, None),
            None => {
                let realm = sources.default_realm.as_deref().unwrap_or(FIRST_REALM);
                (name, Some(realm.trim().to_ascii_lowercase()))
            }
        };
        let region = Region::with_realm(name, realm).map_err(|error| {
            error.with_hint("check OCI_DEFAULT_REALM, OCI_REGION_METADATA and regions-config.json")
        })?;
        Ok(Region { warnings, ..region })
    }

    /// Finds a region as [`Region::find`] does, without the default realm: `None` if neither the table nor
    /// a source defines it.
    pub(crate) fn find_defined(
        text: &str,
        sources: &RegionSources,
    ) -> Result<Option<Region>, Error> {
        let name = region_name(text)?;
        let mut warnings = Vec::new();
        let Some((name, realm)) = sources.defined(&name, &mut warnings)? else { return Ok(None) };
        Ok(Some(Region { warnings, ..Region::with_realm(name, Some(realm))? }))
    }

    /// The region with this name in the realm with this domain. Fails with a usage error if they cannot be
    /// parts of a host.
    pub(crate) fn in_realm(name: &str, realm: &str) -> Result<Region, Error> {
        Region::with_realm(region_name(name)?, Some(realm.trim().to_ascii_lowercase()))
    }

    fn with_realm(name: String, realm: Option<String>) -> Result<Region, Error> {
        let domain = realm.as_ref().map_or(name.clone(), |realm| format!("{name}.{realm}"));
        if !is_host(&domain) {
            return Err(Error::usage(format!(
                "the region {name} has no usable domain: {domain:?}"
            )));
        }
        Ok(Region { name, domain, realm, warnings: Vec::new() })
    }

    /// The endpoint of Object Storage. Fails with a usage error if the variant is not known for the region.
    pub fn object_storage(&self, variant: &HostVariant) -> Result<ObjectStorage, Error> {
        let Region { name, domain, realm, .. } = self;
        let unknown = |from: &str, what: &str| {
            Error::usage(format!("{from}: the region {name} has no known {what} endpoint"))
                .with_hint("unset it, or name the host itself with --endpoint")
        };
        Ok(match (&variant.realm_specific, &variant.dual_stack) {
            (Some(from), dual_stack) => {
                if realm.as_deref() != Some(FIRST_REALM) {
                    return Err(unknown(from, "realm-specific"));
                }
                let stack = if dual_stack.is_some() { ".ds" } else { "" };
                let host = format!("objectstorage.{name}{stack}.oci.customer-oci.com");
                ObjectStorage::by_namespace(Endpoint::of_host(&host))
            }
            (None, Some(from)) => {
                let realm = realm.as_ref().ok_or_else(|| unknown(from, "dual-stack"))?;
                let host = format!("objectstorage.{name}.ds.oci.{realm}");
                ObjectStorage::at(Endpoint::of_host(&host))
            }
            (None, None) => {
                ObjectStorage::at(Endpoint::of_host(&format!("objectstorage.{domain}")))
            }
        })
    }

    /// The endpoint of the auth service, which refreshes session tokens.
    pub fn auth(&self) -> Endpoint {
        Endpoint::of_host(&format!("auth.{}", self.domain))
    }

    /// The endpoint of the login page for browsers, with IPv4 and IPv6 addresses if `dual_stack` names what
    /// requests them. Fails with a usage error if the realm has none with both.
    pub fn login(&self, dual_stack: Option<&str>) -> Result<Endpoint, Error> {
        let Region { name, domain, realm, .. } = self;
        match dual_stack {
            None => Ok(Endpoint::of_host(&format!("login.{domain}"))),
            Some(_) if realm.as_deref() == Some(FIRST_REALM) => {
                Ok(Endpoint::of_host(&format!("login.{name}.ds.oci.{FIRST_REALM}")))
            }
            Some(from) => Err(Error::usage(format!(
                "{from}: the region {name} has no known dual-stack login page"
            ))
            .with_hint("unset it for this command")),
        }
    }
}

/// The name or code of a region in lower case. Fails with a usage error if it cannot be part of a host.
fn region_name(text: &str) -> Result<String, Error> {
    let name = text.trim().to_ascii_lowercase();
    if !is_host(&name) {
        return Err(Error::usage(format!("{text:?} cannot be the name of a region"))
            .with_hint("regions are called like us-ashburn-1"));
    }
    Ok(name)
}

impl RegionSources {
    /// Name and realm of a region that the table or the texts define. Fails as `find` does.
    fn defined(
        &self,
        wanted: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Option<(String, String)>, Error> {
        match table::find(wanted) {
            Some((name, realm)) => Ok(Some((name.to_owned(), realm.to_owned()))),
            None => self.find(wanted, warnings),
        }
    }

    /// Name and realm of a region that the texts define. A file that cannot be parsed causes a warning, as
    /// in Oracle's SDKs; a variable that cannot be parsed is a usage error.
    fn find(
        &self,
        wanted: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Option<(String, String)>, Error> {
        if let Some(text) = &self.regions_config {
            match serde_json::from_str::<Value>(text) {
                Ok(value) => {
                    let regions = match &value {
                        Value::Array(regions) => regions.as_slice(),
                        one => std::slice::from_ref(one),
                    };
                    let mut complete = regions.iter().filter_map(RegionDefinition::read);
                    if let Some(found) = complete.find(|region| region.matches(wanted)) {
                        return Ok(Some((found.name, found.realm)));
                    }
                }
                Err(error) => {
                    warnings.push(format!("{REGIONS_CONFIG} is no JSON and was ignored: {error}"));
                }
            }
        }
        let region = self.of_variable()?.filter(|region| region.matches(wanted));
        Ok(region.map(|region| (region.name, region.realm)))
    }

    /// Fails if `OCI_REGION_METADATA` is not valid, whether or not it is needed.
    pub fn check_variable(&self) -> Result<(), Error> {
        self.of_variable().map(|_| ())
    }

    /// The region that `OCI_REGION_METADATA` defines.
    fn of_variable(&self) -> Result<Option<RegionDefinition>, Error> {
        let Some(text) = &self.region_metadata else { return Ok(None) };
        let value = serde_json::from_str::<Value>(text).map_err(|error| {
            Error::usage(format!("OCI_REGION_METADATA is no JSON: {error}"))
                .with_hint(METADATA_FORM)
        })?;
        let region = RegionDefinition::read(&value).ok_or_else(|| {
            Error::usage("OCI_REGION_METADATA defines no region").with_hint(METADATA_FORM)
        })?;
        Ok(Some(region))
    }
}

const REGIONS_CONFIG: &str = "~/.oci/regions-config.json";
const METADATA_FORM: &str = "it is an object with the texts realmKey, realmDomainComponent, regionKey \
                             and regionIdentifier";

/// A region-metadata object with all its fields.
struct RegionDefinition {
    name: String,
    code: String,
    realm: String,
}

impl RegionDefinition {
    fn read(region: &Value) -> Option<RegionDefinition> {
        let field = |name: &str| {
            let (_, value) =
                region.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            let value = value.as_str()?.trim().to_ascii_lowercase();
            Some(value).filter(|value| !value.is_empty())
        };
        field("realmKey")?;
        let (realm, code) = (field("realmDomainComponent")?, field("regionKey")?);
        Some(RegionDefinition { name: field("regionIdentifier")?, code, realm })
    }

    fn matches(&self, wanted: &str) -> bool {
        wanted == self.name || wanted == self.code
    }
}

#[cfg(test)]
mod tests;
