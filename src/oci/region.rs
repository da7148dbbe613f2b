//! Regions: from what a user calls one to the hosts of its services.
//!
//! Pure: the texts that may define further regions are arguments. Must not guess: the realm of a
//! region is never derived from how its name begins (`eu-madrid-2` is not in the realm of
//! `eu-madrid-1`). Invariant: a host is made of what a table or the user said, and of nothing else.

mod table;

use serde_json::Value;

use super::endpoint::{Endpoint, is_host};
use crate::error::Error;

/// What may define regions besides the table that is built in.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The contents of `~/.oci/regions-config.json`.
    pub regions_config: Option<String>,
    /// The value of `OCI_REGION_METADATA`.
    pub region_metadata: Option<String>,
    /// The value of `OCI_DEFAULT_REALM`, which is a domain.
    pub default_realm: Option<String>,
}

/// A region whose hosts are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// `eu-frankfurt-1`, or the whole domain where the user gave one.
    pub name: String,
    /// All that follows the name of the service in its host.
    domain: String,
    /// Sources that were looked at for this region and could not be read.
    pub warnings: Vec<String>,
}

impl Region {
    /// Finds a region by its name or its three-letter code, in the order of the Python SDK.
    pub fn find(text: &str, sources: &Sources) -> Result<Region, Error> {
        let name = text.trim().to_ascii_lowercase();
        if !is_host(&name) {
            return Err(Error::usage(format!("{text:?} cannot be the name of a region"))
                .next("regions are called like us-ashburn-1"));
        }
        let mut warnings = Vec::new();
        let (name, domain) = match table::find(&name) {
            Some((name, realm)) => (name.to_owned(), format!("{name}.{realm}")),
            None => match sources.find(&name, &mut warnings) {
                Some((name, realm)) => (name.clone(), format!("{name}.{realm}")),
                None if name.contains('.') => (name.clone(), name),
                None => {
                    let realm = sources.default_realm.as_deref().unwrap_or("oraclecloud.com");
                    let domain = format!("{name}.{}", realm.trim().to_ascii_lowercase());
                    (name, domain)
                }
            },
        };
        if !is_host(&domain) {
            return Err(Error::usage(format!(
                "the region {name} has no usable domain: {domain:?}"
            ))
            .next("check OCI_DEFAULT_REALM, OCI_REGION_METADATA and regions-config.json"));
        }
        Ok(Region { name, domain, warnings })
    }

    pub fn object_storage(&self) -> Endpoint {
        Endpoint::of_host(&format!("objectstorage.{}", self.domain))
    }

    pub fn auth(&self) -> Endpoint {
        Endpoint::of_host(&format!("auth.{}", self.domain))
    }
}

impl Sources {
    /// Name and realm of a region that the texts define.
    fn find(&self, wanted: &str, warnings: &mut Vec<String>) -> Option<(String, String)> {
        let mut look = |what: &str, text: Option<&String>| {
            let value = match serde_json::from_str::<Value>(text?) {
                Ok(value) => value,
                Err(error) => {
                    warnings.push(format!("{what} is no JSON and was ignored: {error}"));
                    return None;
                }
            };
            let regions = match &value {
                Value::Array(regions) => regions.as_slice(),
                one => std::slice::from_ref(one),
            };
            regions.iter().find_map(|region| matching(region, wanted))
        };
        look("~/.oci/regions-config.json", self.regions_config.as_ref())
            .or_else(|| look("OCI_REGION_METADATA", self.region_metadata.as_ref()))
    }
}

/// Name and realm of one region-metadata object, if it is the wanted region and complete.
fn matching(region: &Value, wanted: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        let (_, value) =
            region.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        let value = value.as_str()?.trim().to_ascii_lowercase();
        Some(value).filter(|value| !value.is_empty())
    };
    field("realmKey")?;
    let (realm, code) = (field("realmDomainComponent")?, field("regionKey")?);
    let name = field("regionIdentifier")?;
    (wanted == name || wanted == code).then_some((name, realm))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = r#"{"realmKey":"OC99","realmDomainComponent":"OracleCloud99.com",
        "regionKey":"ZZZ","regionIdentifier":"zz-new-1"}"#;

    fn hosts(text: &str, sources: &Sources) -> (String, String) {
        let region = Region::find(text, sources).unwrap();
        (region.object_storage().to_string(), region.auth().to_string())
    }

    fn domain(text: &str) -> String {
        let region = Region::find(text, &Sources::default()).unwrap();
        assert_eq!(region.auth().host, format!("auth.{}", region.domain));
        region.object_storage().host.strip_prefix("objectstorage.").unwrap().to_owned()
    }

    #[test]
    fn every_region_has_a_name_a_code_and_a_realm_of_its_own_row() {
        let (mut names, mut codes) = (Vec::new(), Vec::new());
        for (realm, regions) in table::REALMS {
            for (name, code) in *regions {
                assert_eq!(domain(name), format!("{name}.{realm}"));
                assert_eq!(domain(&code.to_uppercase()), format!("{name}.{realm}"));
                assert!(code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase()));
                names.push(*name);
                codes.push(*code);
            }
        }
        assert_eq!(names.len(), 85);
        for list in [&mut names, &mut codes] {
            let all = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), all);
        }
    }

    #[test]
    fn the_realm_is_not_derived_from_the_beginning_of_the_name() {
        assert_eq!(domain("eu-madrid-1"), "eu-madrid-1.oraclecloud.com");
        assert_eq!(domain("eu-madrid-2"), "eu-madrid-2.oraclecloud.eu");
        assert_eq!(domain("eu-madrid-3"), "eu-madrid-3.oraclecloud.com");
        assert_eq!(domain("eu-frankfurt-2"), "eu-frankfurt-2.oraclecloud.eu");
        assert_eq!(domain("ap-seoul-2"), "ap-seoul-2.oraclecloud35.com");
        assert_eq!(domain("eu-madrid-9"), "eu-madrid-9.oraclecloud.com");
        assert_eq!(domain("us-ashburn-2"), "us-ashburn-2.oraclecloud42.com");
        assert_eq!(domain("us-gov-phoenix-1"), "us-gov-phoenix-1.oraclegovcloud.com");
        assert_eq!(domain("uk-gov-london-1"), "uk-gov-london-1.oraclegovcloud.uk");
    }

    #[test]
    fn names_and_codes_are_read_in_any_case_and_with_blanks_around() {
        for text in ["us-phoenix-1", "US-Phoenix-1", "phx", "PHX", " phx\n"] {
            assert_eq!(domain(text), "us-phoenix-1.oraclecloud.com");
        }
    }

    #[test]
    fn a_region_can_be_defined_by_the_environment_or_by_a_file() {
        let expected = (
            "https://objectstorage.zz-new-1.oraclecloud99.com".to_owned(),
            "https://auth.zz-new-1.oraclecloud99.com".to_owned(),
        );
        let environment = Sources { region_metadata: Some(NEW.into()), ..Sources::default() };
        let file = Sources { regions_config: Some(format!("[{{}}, {NEW}]")), ..Sources::default() };
        for sources in [environment, file] {
            assert_eq!(hosts("ZZZ", &sources), expected);
            assert_eq!(hosts("zz-new-1", &sources), expected);
            assert_eq!(hosts("phx", &sources).1, "https://auth.us-phoenix-1.oraclecloud.com");
        }
    }

    #[test]
    fn the_file_comes_before_the_environment_and_the_built_in_table_before_both() {
        let other = NEW.replace("OracleCloud99.com", "other.example");
        let redefined = NEW.replace("zz-new-1", "us-phoenix-1");
        let sources = Sources {
            regions_config: Some(format!("[{NEW},{redefined}]")),
            region_metadata: Some(other),
            default_realm: Some("default.example".into()),
        };
        assert_eq!(hosts("zzz", &sources).1, "https://auth.zz-new-1.oraclecloud99.com");
        assert_eq!(hosts("us-phoenix-1", &sources).1, "https://auth.us-phoenix-1.oraclecloud.com");
        assert_eq!(hosts("qq-old-1", &sources).1, "https://auth.qq-old-1.default.example");
    }

    #[test]
    fn an_incomplete_definition_defines_nothing() {
        for field in ["realmKey", "realmDomainComponent", "regionKey", "regionIdentifier"] {
            for broken in [NEW.replace(field, "else"), NEW.replacen(':', ":\"\",\"x\":", 1)] {
                let sources = Sources { region_metadata: Some(broken), ..Sources::default() };
                assert_eq!(hosts("zzz", &sources).1, "https://auth.zzz.oraclecloud.com");
            }
        }
    }

    #[test]
    fn a_source_that_is_no_json_is_ignored_with_a_warning_where_it_was_needed() {
        let sources = Sources { region_metadata: Some("{".into()), ..Sources::default() };
        let region = Region::find("zz-new-1", &sources).unwrap();
        assert_eq!(region.auth().host, "auth.zz-new-1.oraclecloud.com");
        assert!(region.warnings[0].contains("OCI_REGION_METADATA"), "{:?}", region.warnings);
        assert!(Region::find("phx", &sources).unwrap().warnings.is_empty());
    }

    #[test]
    fn a_region_with_a_dot_is_the_whole_domain_and_an_unknown_one_is_in_the_first_realm() {
        assert_eq!(domain("zz-1.example.com"), "zz-1.example.com");
        assert_eq!(domain("zz-unknown-9"), "zz-unknown-9.oraclecloud.com");
    }

    #[test]
    fn what_cannot_be_part_of_a_host_is_refused() {
        for text in ["", " ", "a b", "a/b", "a@b", "a:1", "a..b", "phx\r\nx", "\u{e9}"] {
            let error = Region::find(text, &Sources::default()).expect_err(text);
            assert_eq!(error.kind.exit_code(), 2);
        }
        let evil = NEW.replace("OracleCloud99.com", "evil.example/x");
        let sources = Sources { region_metadata: Some(evil), ..Sources::default() };
        assert!(Region::find("zzz", &sources).is_err());
        let evil = Sources { default_realm: Some("evil.example/".into()), ..Sources::default() };
        assert!(Region::find("zzz", &evil).is_err());
    }
}
