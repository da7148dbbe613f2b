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
    /// cannot be part of a host or `OCI_REGION_METADATA` is needed and not valid.
    pub fn find(text: &str, sources: &RegionSources) -> Result<Region, Error> {
        let name = text.trim().to_ascii_lowercase();
        if !is_host(&name) {
            return Err(Error::usage(format!("{text:?} cannot be the name of a region"))
                .with_hint("regions are called like us-ashburn-1"));
        }
        let mut warnings = Vec::new();
        let (name, realm) = match table::find(&name) {
            Some((name, realm)) => (name.to_owned(), Some(realm.to_owned())),
            None => match sources.find(&name, &mut warnings)? {
                Some((name, realm)) => (name, Some(realm)),
                None if name.contains('.') => (name, None),
                None => {
                    let realm = sources.default_realm.as_deref().unwrap_or(FIRST_REALM);
                    (name, Some(realm.trim().to_ascii_lowercase()))
                }
            },
        };
        let domain = realm.as_ref().map_or(name.clone(), |realm| format!("{name}.{realm}"));
        if !is_host(&domain) {
            return Err(Error::usage(format!(
                "the region {name} has no usable domain: {domain:?}"
            ))
            .with_hint("check OCI_DEFAULT_REALM, OCI_REGION_METADATA and regions-config.json"));
        }
        Ok(Region { name, domain, realm, warnings })
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
}

impl RegionSources {
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
        let Some(text) = &self.region_metadata else { return Ok(None) };
        let value = serde_json::from_str::<Value>(text).map_err(|error| {
            Error::usage(format!("OCI_REGION_METADATA is no JSON: {error}"))
                .with_hint(METADATA_FORM)
        })?;
        let region = RegionDefinition::read(&value).ok_or_else(|| {
            Error::usage("OCI_REGION_METADATA defines no region").with_hint(METADATA_FORM)
        })?;
        Ok(region.matches(wanted).then_some((region.name, region.realm)))
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
mod tests {
    use super::*;

    const NEW: &str = r#"{"realmKey":"OC99","realmDomainComponent":"OracleCloud99.com",
        "regionKey":"ZZZ","regionIdentifier":"zz-new-1"}"#;

    fn storage(region: &Region) -> Endpoint {
        region.object_storage(&HostVariant::default()).unwrap().general
    }

    fn hosts(text: &str, sources: &RegionSources) -> (String, String) {
        let region = Region::find(text, sources).unwrap();
        (storage(&region).to_string(), region.auth().to_string())
    }

    fn domain(text: &str) -> String {
        let region = Region::find(text, &RegionSources::default()).unwrap();
        assert_eq!(region.auth().host, format!("auth.{}", region.domain));
        storage(&region).host.strip_prefix("objectstorage.").unwrap().to_owned()
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
        let environment =
            RegionSources { region_metadata: Some(NEW.into()), ..RegionSources::default() };
        let file = RegionSources {
            regions_config: Some(format!("[{{}}, {NEW}]")),
            ..RegionSources::default()
        };
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
        let sources = RegionSources {
            regions_config: Some(format!("[{NEW},{redefined}]")),
            region_metadata: Some(other),
            default_realm: Some("default.example".into()),
        };
        assert_eq!(hosts("zzz", &sources).1, "https://auth.zz-new-1.oraclecloud99.com");
        assert_eq!(hosts("us-phoenix-1", &sources).1, "https://auth.us-phoenix-1.oraclecloud.com");
        assert_eq!(hosts("qq-old-1", &sources).1, "https://auth.qq-old-1.default.example");
    }

    #[test]
    fn an_incomplete_definition_in_the_file_defines_nothing_and_one_in_the_variable_is_refused() {
        for field in ["realmKey", "realmDomainComponent", "regionKey", "regionIdentifier"] {
            for broken in [NEW.replace(field, "else"), NEW.replacen(':', ":\"\",\"x\":", 1)] {
                let file = Some(format!("[{broken}]"));
                let file = RegionSources { regions_config: file, ..RegionSources::default() };
                assert_eq!(hosts("zzz", &file).1, "https://auth.zzz.oraclecloud.com");
                let variable =
                    RegionSources { region_metadata: Some(broken), ..RegionSources::default() };
                let error = Region::find("zzz", &variable).unwrap_err();
                assert_eq!(error.kind.exit_code(), 2);
                assert!(error.message.contains("OCI_REGION_METADATA"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_json_matters_where_it_is_needed_the_variable_is_refused_the_file_warned_of() {
        let variable =
            RegionSources { region_metadata: Some("{".into()), ..RegionSources::default() };
        let error = Region::find("zz-new-1", &variable).unwrap_err();
        assert!(error.message.contains("OCI_REGION_METADATA"), "{error}");
        assert!(Region::find("phx", &variable).is_ok());
        let file = RegionSources { regions_config: Some("{".into()), ..RegionSources::default() };
        let region = Region::find("zz-new-1", &file).unwrap();
        assert_eq!(region.auth().host, "auth.zz-new-1.oraclecloud.com");
        assert!(region.warnings[0].contains("regions-config.json"), "{:?}", region.warnings);
        assert!(Region::find("phx", &file).unwrap().warnings.is_empty());
    }

    #[test]
    fn each_form_has_its_host_where_it_is_known_and_is_refused_where_it_is_not() {
        let shown = |region: &str, realm_specific: bool, dual_stack: bool| {
            let variant = HostVariant {
                realm_specific: realm_specific.then(|| "R".to_owned()),
                dual_stack: dual_stack.then(|| "D".to_owned()),
            };
            let region = Region::find(region, &RegionSources::default()).unwrap();
            region.object_storage(&variant).map(|storage| storage.to_string())
        };
        for (region, realm_specific, dual_stack, host) in [
            ("phx", false, false, "objectstorage.us-phoenix-1.oraclecloud.com"),
            ("phx", true, false, "NAMESPACE.objectstorage.us-phoenix-1.oci.customer-oci.com"),
            ("phx", false, true, "objectstorage.us-phoenix-1.ds.oci.oraclecloud.com"),
            ("phx", true, true, "NAMESPACE.objectstorage.us-phoenix-1.ds.oci.customer-oci.com"),
            ("ltn", false, true, "objectstorage.uk-gov-london-1.ds.oci.oraclegovcloud.uk"),
            ("zz-new-9", true, false, "NAMESPACE.objectstorage.zz-new-9.oci.customer-oci.com"),
        ] {
            let shown = shown(region, realm_specific, dual_stack);
            assert_eq!(shown, Ok(format!("https://{host}")));
        }
        for (region, realm_specific, from) in [
            ("ltn", true, "R:"),
            ("zz-1.example.com", true, "R:"),
            ("zz-1.example.com", false, "D:"),
        ] {
            let error = shown(region, realm_specific, !realm_specific).unwrap_err();
            assert_eq!((error.kind.exit_code(), &error.message[..2]), (2, from), "{error}");
        }
    }

    #[test]
    fn a_region_with_a_dot_is_the_whole_domain_and_an_unknown_one_is_in_the_first_realm() {
        assert_eq!(domain("zz-1.example.com"), "zz-1.example.com");
        assert_eq!(domain("zz-unknown-9"), "zz-unknown-9.oraclecloud.com");
    }

    #[test]
    fn what_cannot_be_part_of_a_host_is_refused() {
        for text in ["", " ", "a b", "a/b", "a@b", "a:1", "a..b", "phx\r\nx", "\u{e9}"] {
            let error = Region::find(text, &RegionSources::default()).expect_err(text);
            assert_eq!(error.kind.exit_code(), 2);
        }
        let evil = NEW.replace("OracleCloud99.com", "evil.example/x");
        let sources = RegionSources { region_metadata: Some(evil), ..RegionSources::default() };
        assert!(Region::find("zzz", &sources).is_err());
        let evil = RegionSources {
            default_realm: Some("evil.example/".into()),
            ..RegionSources::default()
        };
        assert!(Region::find("zzz", &evil).is_err());
    }
}
