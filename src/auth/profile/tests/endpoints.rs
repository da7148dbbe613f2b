//! Endpoints and regions, and the warnings about a config file.

use super::*;

#[test]
fn an_endpoint_makes_the_region_unnecessary_and_overrides_it() {
    let config = api_key_profile();
    let endpoint = given("http://127.0.0.1:81");
    let options = ServiceOptions { endpoint, ..options() };
    let identity = Home::with(&config).resolve(&options).unwrap();
    assert_eq!(identity.object_storage.as_ref().unwrap().to_string(), "http://127.0.0.1:81");
    assert!(identity.auth.is_some());
    let identity = Home::with(&config.replace("region=", "x=")).resolve(&options).unwrap();
    assert_eq!(identity.auth, None);
    let auth_endpoint = given("http://127.0.0.1:82");
    let both = ServiceOptions { auth_endpoint, ..options };
    let identity = Home::with(&config).resolve(&both).unwrap();
    assert_eq!(identity.auth.unwrap().to_string(), "http://127.0.0.1:82");
}

#[test]
fn an_unknown_region_is_an_error_only_if_it_is_needed() {
    let home = Home::with(&api_key_profile().replace("us-ashburn-1", "us-ashburn-1 # home"));
    let error = home.error(&options());
    assert!(error.contains("the profile DEFAULT") && error.contains("cannot be"), "{error}");
    let named = ServiceOptions { region: given("a b"), ..options() };
    assert!(home.error(&named).contains("--option: "));
    let endpoint = ServiceOptions { endpoint: given("https://e"), ..options() };
    let identity = home.resolve(&endpoint).unwrap();
    assert_eq!(identity.object_storage.as_ref().unwrap().to_string(), "https://e");
    assert_eq!((identity.region, identity.auth), (None, None));
    assert!(identity.warnings[0].contains("the region is left out"), "{:?}", identity.warnings);
}

#[test]
fn an_endpoint_in_the_config_file_is_a_warning() {
    let home = Home::with(&format!("{}endpoint = https://e\n", api_key_profile()));
    let identity = home.resolve(&options()).unwrap();
    assert_eq!(
        identity.object_storage.unwrap().general.host,
        "objectstorage.us-ashburn-1.oraclecloud.com"
    );
    assert!(identity.warnings[0].contains("endpoint has no effect"), "{:?}", identity.warnings);
}

#[test]
fn a_host_variant_applies_to_the_region_and_an_endpoint_overrides_it() {
    let home = Home::with(&api_key_profile());
    let host_variant = HostVariant { realm_specific: Some("--x".into()), dual_stack: None };
    let options = ServiceOptions { host_variant, ..options() };
    let storage = home.resolve(&options).unwrap().object_storage;
    let host = "ax.objectstorage.us-ashburn-1.oci.customer-oci.com";
    assert_eq!(storage.as_ref().unwrap().endpoint("/n/ax/b/c").unwrap().host, host);
    let options = ServiceOptions { endpoint: given("https://e/oci"), ..options };
    let storage = home.resolve(&options).unwrap().object_storage;
    assert_eq!(storage.as_ref().unwrap().to_string(), "https://e/oci");
}

#[test]
fn regions_can_be_defined_in_the_home_and_in_the_environment() {
    let new = r#"{"realmKey":"OC99","realmDomainComponent":"oraclecloud99.com",
        "regionKey":"ZZZ","regionIdentifier":"zz-new-1"}"#;
    let config = api_key_profile().replace("us-ashburn-1", "zzz");
    let expected = "objectstorage.zz-new-1.oraclecloud99.com";
    let home = Home::with(&config);
    let environment = home.environment(&[("OCI_REGION_METADATA", new)]);
    let identity = Identity::resolve(&options(), &environment).unwrap();
    assert_eq!(identity.object_storage.unwrap().general.host, expected);
    home.write(".oci/regions-config.json", &format!("[{new}]"));
    assert_eq!(home.resolve(&options()).unwrap().object_storage.unwrap().general.host, expected);
}

#[test]
fn permissions_that_are_too_open_are_a_warning_for_each_file() {
    let home = Home::with(SESSION);
    let (key, token) = (home.write("key.pem", "k"), home.write("token", "t"));
    assert!(home.resolve(&profile("S")).unwrap().warnings.is_empty());
    for file in [&key, &token, &home.path().join(".oci/config")] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let warnings = home.resolve(&profile("S")).unwrap().warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[1].contains(&format!("chmod 600 {}", key.display())));
    let quiet = home.environment(&[("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING", "True")]);
    assert!(Identity::resolve(&profile("S"), &quiet).unwrap().warnings.is_empty());
    // A symlink counts by the permissions of its target.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&key, home.path().join("real.pem")).unwrap();
    std::os::unix::fs::symlink("real.pem", &key).unwrap();
    assert_eq!(home.resolve(&profile("S")).unwrap().warnings.len(), 2);
}

#[test]
fn an_error_in_a_config_line_does_not_repeat_the_line() {
    let error = Home::with("[A]\npass_phrase hunter2\n").error(&profile("A"));
    assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
}
