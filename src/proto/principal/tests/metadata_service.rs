//! The metadata service: its addresses and what its responses name.

use crate::principal::metadata;
use crate::principal::metadata::{RegionInfo, RegionText};
use crate::region::RegionSources;

#[test]
fn the_addresses_of_the_metadata_service_are_ipv4_then_ipv6_or_the_one_of_the_variable() {
    let shown = |base_url: Option<&str>| {
        let bases = metadata::bases(base_url).unwrap();
        bases.iter().map(|base| base.to_string()).collect::<Vec<_>>()
    };
    let both = ["http://169.254.169.254/opc/v2", "http://[fd00:c1::a9fe:a9fe]/opc/v2"];
    assert_eq!(shown(None), both);
    assert_eq!(shown(Some("  ")), both);
    assert_eq!(shown(Some(" http://10.0.0.1:8080/opc/v2//\n")), ["http://10.0.0.1:8080/opc/v2"]);
    for base_url in ["169.254.169.254", "ftp://h", "http://"] {
        let error = metadata::bases(Some(base_url)).unwrap_err();
        assert!(error.message.contains("OCI_METADATA_BASE_URL"), "{error}");
        assert_eq!(error.kind.exit_code(), 2);
    }
    let call = metadata::call(&metadata::bases(None).unwrap()[1], metadata::Item::Region);
    assert_eq!(call.target, "/opc/v2/instance/region");
    assert_eq!(call.header("host"), Some("[fd00:c1::a9fe:a9fe]"));
    assert_eq!(call.header("authorization"), Some("Bearer Oracle"));
}

#[test]
fn the_region_is_read_in_any_case_as_a_code_and_with_white_space() {
    let none = RegionSources::default();
    for text in ["phx", "PHX\n", " us-phoenix-1 ", "US-Phoenix-1"] {
        let Ok(RegionText::Known(region)) = RegionText::read(text, &none) else { panic!("{text}") };
        assert_eq!(region.name, "us-phoenix-1");
    }
    assert_eq!(
        RegionText::read(" XX-New-1\n", &none),
        Ok(RegionText::NeedsInfo("xx-new-1".to_owned()))
    );
    for text in ["", "<html>", "a b"] {
        assert!(RegionText::read(text, &none).is_err(), "{text:?}");
    }
}

#[test]
fn the_realm_of_an_unknown_region_comes_from_region_info_whatever_the_case_of_its_keys() {
    let none = RegionSources::default();
    let info = br#"{"realmkey":"oc99","realmdomaincomponent":"Example-Cloud.com ","REGIONKEY":"XXN","regionidentifier":"xx-new-1"}"#;
    let region = RegionInfo::read(info).unwrap().region(&none).unwrap();
    assert_eq!(region.name, "xx-new-1");
    assert_eq!(region.auth().authority, "auth.xx-new-1.example-cloud.com");
    for (json, reason) in [
        ("", "is no JSON"),
        ("[1]", "is no JSON object"),
        (r#"{"regionIdentifier":"x"}"#, "has no realmDomainComponent"),
        (r#"{"realmDomainComponent":"x","regionIdentifier":""}"#, "has no regionIdentifier"),
        (r#"{"realmDomainComponent":"x","regionIdentifier":5}"#, "has no regionIdentifier"),
        (
            r#"{"realmDomainComponent":"x/evil?","regionIdentifier":"xx-new-1"}"#,
            "has names that no host can have",
        ),
    ] {
        assert_eq!(RegionInfo::read(json.as_bytes()), Err(reason));
    }
}

#[test]
fn the_id_of_an_instance_is_an_ocid() {
    assert_eq!(metadata::instance_id(" OCID1.Instance.x\n").as_deref(), Some("ocid1.instance.x"));
    for text in ["", "<html>", "ocid1.a/b", "ocid1.a b"] {
        assert_eq!(metadata::instance_id(text), None);
    }
}
