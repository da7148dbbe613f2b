//! Which config file is read, and when none is needed.

use super::*;

#[test]
fn the_config_file_is_not_read_when_the_environment_is_complete() {
    let home = Home::with("this is no config file");
    let all = [
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_TENANCY", TENANCY),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_KEY_FILE", "/k.pem"),
    ];
    let options = ServiceOptions { region: given("FRA"), ..options() };
    let identity = Identity::resolve(&options, &home.environment(&all)).unwrap();
    assert_eq!(identity.config_file, None);
    assert_eq!(
        identity.object_storage.unwrap().general.host,
        "objectstorage.eu-frankfurt-1.oraclecloud.com"
    );
    for missing in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(missing);
        let error = Identity::resolve(&options, &home.environment(&some)).unwrap_err();
        assert!(error.message.contains("line 1"), "{error}");
    }
}

#[test]
fn the_content_of_a_key_comes_before_a_file() {
    let home = Home::new();
    let mut vars = vec![
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_TENANCY", TENANCY),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_KEY_CONTENT", "-----BEGIN secret"),
    ];
    let options = ServiceOptions { region: given("FRA"), ..options() };
    let resolve =
        |vars: &[(&str, &str)]| Identity::resolve(&options, &home.environment(vars)).unwrap();
    let content = KeySource::Content(Zeroizing::new("-----BEGIN secret".to_owned()));
    let identity = resolve(&vars);
    assert_eq!((key_source(&identity), &identity.config_file), (&content, &None));
    assert!(!format!("{identity:?} {}", key_source(&identity)).contains("secret"));
    vars.push(("OCI_CLI_KEY_FILE", "/k.pem"));
    assert_eq!(*key_source(&resolve(&vars)), content);
    vars.remove(3);
    assert_eq!(*key_source(&resolve(&vars)), KeySource::File("/k.pem".into()));
    // With an endpoint no region is needed.
    let endpoint = ServiceOptions { endpoint: given("https://e"), ..ServiceOptions::default() };
    let identity = Identity::resolve(&endpoint, &home.environment(&vars)).unwrap();
    assert_eq!(identity.object_storage.as_ref().unwrap().to_string(), "https://e");
    let token = [vars[2], ("OCI_CLI_KEY_CONTENT", "x"), ("OCI_CLI_SECURITY_TOKEN_FILE", "/t")];
    assert_eq!(token_file_of(&resolve(&token).credentials), Some(Path::new("/t")));
}

#[test]
fn a_session_in_the_environment_needs_no_config_file() {
    let home = Home::new();
    let all = [("OCI_CLI_KEY_FILE", "/k.pem"), ("OCI_CLI_SECURITY_TOKEN_FILE", "/token")];
    let options = ServiceOptions { region: given("FRA"), ..options() };
    let identity = Identity::resolve(&options, &home.environment(&all)).unwrap();
    assert_eq!(identity.config_file, None);
    assert_eq!(token_file_of(&identity.credentials), Some(Path::new("/token")));
    let error = |options: &ServiceOptions, vars: &[(&str, &str)]| {
        Identity::resolve(options, &home.environment(vars)).unwrap_err().message
    };
    assert!(error(&options, &all[1..]).contains("there is no config file"));
    let named = ServiceOptions { profile: given("backup"), ..options };
    assert!(error(&named, &all).contains("there is no config file"));
}

#[test]
fn which_config_file_is_read_follows_the_rule_of_the_sdk() {
    let home = Home::new();
    let region = |environment: &Environment, options: &ServiceOptions| {
        let identity = Identity::resolve(options, environment)?;
        Ok::<String, Error>(
            identity.object_storage.unwrap().general.host.split('.').nth(1).unwrap().to_owned(),
        )
    };
    let write = |path: &str, region: &str| {
        home.write(path, &api_key_profile().replace("us-ashburn-1", region))
    };
    let variable = write("variable", "r-variable");
    let environment = home.environment(&[("OCI_CONFIG_FILE", variable.to_str().unwrap())]);
    let bare = home.environment(&[]);

    assert!(region(&bare, &options()).unwrap_err().message.contains(".oci/config"));
    write(".oraclebmc/config", "r-old");
    assert_eq!(region(&bare, &options()).unwrap(), "r-old");
    assert_eq!(region(&environment, &options()).unwrap(), "r-variable");
    write(".oci/config", "r-usual");
    assert_eq!(region(&environment, &options()).unwrap(), "r-usual");
    write("named", "r-named");
    let named = ServiceOptions { config_file: Some("~/named".into()), ..options() };
    assert_eq!(region(&environment, &named).unwrap(), "r-named");
}

#[test]
fn a_missing_config_file_is_an_error_with_and_without_a_home() {
    let error = Home::new().error(&options());
    assert!(error.contains("there is no config file") && error.contains("oci setup config"));
    let no_home = Identity::resolve(&options(), &Environment::default()).unwrap_err();
    assert!(no_home.message.contains("no HOME"), "{no_home}");
    assert_eq!(no_home.kind.exit_code(), 2);
    let named = ServiceOptions { config_file: Some("/nowhere/config".into()), ..options() };
    assert!(Home::new().error(&named).contains("/nowhere/config"));
    let folder = ServiceOptions { config_file: Some("/".into()), ..options() };
    assert!(Home::new().error(&folder).contains("cannot be read"));
}

#[test]
fn the_error_of_an_unknown_profile_lists_the_existing_ones() {
    let error = Home::with("[ONE]\n[TWO]\n").error(&profile("three"));
    assert!(error.contains("\"three\"") && error.contains("ONE, TWO"), "{error}");
}
