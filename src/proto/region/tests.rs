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
fn invalid_json_is_an_error_in_the_variable_and_in_the_file_a_warning_where_it_is_needed() {
    let variable = RegionSources { region_metadata: Some("{".into()), ..RegionSources::default() };
    for name in ["zz-new-1", "phx"] {
        let error = Region::find(name, &variable).unwrap_err();
        assert!(error.message.contains("OCI_REGION_METADATA"), "{error}");
    }
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
    for (region, realm_specific, from) in
        [("ltn", true, "R:"), ("zz-1.example.com", true, "R:"), ("zz-1.example.com", false, "D:")]
    {
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
    let evil =
        RegionSources { default_realm: Some("evil.example/".into()), ..RegionSources::default() };
    assert!(Region::find("zzz", &evil).is_err());
}
