//! The region that the metadata service names.
//!
//! Owns the reading of the region's text and of regionInfo. Must not know how they are asked for.
//! Invariant: the realm of a region that no table has comes from regionInfo, never from the name.

use serde_json::Value;

use crate::error::Error;
use crate::region::{Region, RegionSources};

/// The meaning of the text of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionText {
    /// A region whose realm is known.
    Known(Region),
    /// A region with this name that no table has: regionInfo has its realm.
    NeedsInfo(String),
}

impl RegionText {
    /// Whether the text can be a region's name or code.
    pub fn is_name(text: &str) -> bool {
        Region::in_realm(text, "oraclecloud.com").is_ok()
    }

    /// Reads a region's name or code in any case, with white space around it. `sources` may define more
    /// regions. Fails if it cannot be a region's name, or a source is needed and malformed.
    pub fn read(text: &str, sources: &RegionSources) -> Result<RegionText, Error> {
        Ok(match Region::find_defined(text, sources)? {
            Some(region) => RegionText::Known(region),
            None => RegionText::NeedsInfo(text.trim().to_ascii_lowercase()),
        })
    }
}

/// The fields of regionInfo that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionInfo {
    /// `regionIdentifier`, such as `us-phoenix-1`.
    pub name: String,
    /// `realmDomainComponent`, such as `oraclecloud.com`.
    pub domain: String,
}

impl RegionInfo {
    /// Reads the JSON object; the case of its keys does not matter. Fails with a text that follows
    /// "regionInfo of the metadata service".
    pub fn read(json: &[u8]) -> Result<RegionInfo, &'static str> {
        let value: Value = serde_json::from_slice(json).map_err(|_| "is no JSON")?;
        let fields = value.as_object().ok_or("is no JSON object")?;
        let field = |name: &str| {
            let (_, value) = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            let value = value.as_str()?.trim().to_ascii_lowercase();
            Some(value).filter(|value| !value.is_empty())
        };
        let name = field("regionIdentifier").ok_or("has no regionIdentifier")?;
        let domain = field("realmDomainComponent").ok_or("has no realmDomainComponent")?;
        Region::in_realm(&name, &domain).map_err(|_| "has names that no host can have")?;
        Ok(RegionInfo { name, domain })
    }

    /// The region. Fails if name and domain cannot be parts of a host.
    pub fn region(&self, sources: &RegionSources) -> Result<Region, Error> {
        match Region::find_defined(&self.name, sources)? {
            Some(region) => Ok(region),
            None => Region::in_realm(&self.name, &self.domain),
        }
    }
}
