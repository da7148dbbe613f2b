//! The authentication mode of each combination of config file, variables, rc file and options.

use super::*;
use crate::auth::options::AuthMode::{self, *};

const POD: [(&str, &str); 2] = [
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING", "a.b.c"),
];
const POD_REGION: (&str, &str) = ("OCI_RESOURCE_PRINCIPAL_REGION", "fra");
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// The variables of a resource principal of this version.
fn resource(version: &str) -> Vec<(&str, &str)> {
    let name = |name: &str| -> &'static str { format!("OCI_RESOURCE_PRINCIPAL_{name}").leak() };
    let given: &[(&str, &str)] = match version {
        "2.2" => &[("RPST", "a.b.c"), ("PRIVATE_PEM", KEY), ("REGION", "PHX")],
        "1.1" => &[("RPT_ENDPOINT", "https://rpt.example")],
        _ => &[
            ("RPT_ENDPOINT", "https://rpt.example"),
            ("RESOURCE_ID", "ocid1.x"),
            ("TENANCY_ID", TENANCY),
            ("SECURITY_CONTEXT", "context"),
            ("PRIVATE_PEM", "/run/key.pem"),
            ("REGION", "us-ashburn-1"),
        ],
    };
    let given = given.iter().map(|(key, value)| (name(key), *value));
    [("OCI_RESOURCE_PRINCIPAL_VERSION", version)].into_iter().chain(given).collect()
}

/// The mode and the notes, or the error.
fn detected(
    config: Option<&str>,
    vars: &[(&str, &str)],
    options: &ServiceOptions,
) -> Result<(AuthMode, Vec<String>), Error> {
    let home = config.map_or_else(Home::new, Home::with);
    let identity = Identity::resolve(options, &home.environment(vars))?;
    Ok((identity.credentials.mode(), identity.notes))
}

#[track_caller]
fn mode(config: Option<&str>, vars: &[(&str, &str)], options: &ServiceOptions) -> AuthMode {
    let (mode, notes) = detected(config, vars, options).unwrap();
    // A mode that nothing but its settings names has a note with its name.
    assert_eq!(notes.len(), usize::from(options.auth.is_none()), "{notes:?}");
    assert!(notes.iter().all(|note| note.contains(mode.name())), "{notes:?}");
    mode
}

#[track_caller]
fn error(config: Option<&str>, vars: &[(&str, &str)], options: &ServiceOptions) -> String {
    let error = detected(config, vars, options).unwrap_err();
    assert_eq!(error.kind.exit_code(), 2, "{error}");
    error.to_string()
}

fn auth(mode: AuthMode) -> ServiceOptions {
    ServiceOptions { auth: Some(mode), ..options() }
}

#[test]
fn a_config_file_decides_whatever_the_host_offers() {
    let api_key = api_key_profile();
    let session = SESSION.replace("[S]", "[DEFAULT]");
    let of_type = |name: &str| format!("[DEFAULT]\nregion=fra\nauthentication_type={name}\n");
    let delegated = format!("{}delegation_token_file=~/obo\n", of_type("instance_principal"));
    let own_type = format!("{api_key}[A]\nauthentication_type=instance_principal\n");
    let everything = [resource("2.2"), POD.to_vec()].concat();
    for vars in [&[][..], &everything] {
        assert_eq!(mode(Some(&api_key), vars, &options()), ApiKey);
        assert_eq!(mode(Some(&session), vars, &options()), SecurityToken);
        assert_eq!(mode(Some(&of_type("instance_principal")), vars, &options()), InstancePrincipal);
        assert_eq!(mode(Some(&delegated), vars, &options()), InstanceOboUser);
        assert_eq!(mode(Some(&own_type), vars, &profile("A")), InstancePrincipal);
        assert_eq!(mode(Some(&own_type), vars, &options()), ApiKey);
    }
    assert_eq!(
        mode(Some(&of_type("resource_principal")), &everything, &options()),
        ResourcePrincipal
    );
    assert_eq!(
        mode(Some(&of_type("oke_workload_identity")), &everything, &options()),
        OkeWorkloadIdentity
    );
    let file = ("OCI_CLI_DELEGATION_TOKEN_FILE", "/obo");
    assert_eq!(mode(Some(&of_type("instance_obo_user")), &[file], &options()), InstanceOboUser);
    // A config file without credentials is a mistake and no reason to look elsewhere.
    assert!(
        error(Some("[DEFAULT]\nregion=fra\n"), &everything, &options()).contains("no key_file")
    );
    assert!(error(Some("no section"), &everything, &options()).contains("line 1"));
    assert!(error(Some(&of_type("kerberos")), &everything, &options()).contains("\"kerberos\""));
}

#[test]
fn without_config_file_and_credentials_the_host_decides() {
    let region = [POD_REGION];
    let endpoint = ServiceOptions { endpoint: given("https://e"), ..options() };
    let by_option = ServiceOptions { region: given("fra"), ..options() };
    for version in ["2.2", "2.1", "2.1.1", "2.1.2", "1.1"] {
        // In a pod, a resource principal comes first.
        for pod in [&[][..], &POD] {
            let vars = [&resource(version), pod].concat();
            assert_eq!(mode(None, &vars, &options()), ResourcePrincipal, "{version}");
        }
    }
    for (vars, options) in [
        ([&POD[..], &region].concat(), options()),
        (POD.to_vec(), endpoint.clone()),
        (POD.to_vec(), by_option),
        ([&POD[..], &[("OCI_REGION", "fra")]].concat(), options()),
        // As the Go SDK needs it in a pod.
        ([&POD[..], &region, &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")]].concat(), options()),
    ] {
        assert_eq!(mode(None, &vars, &options), OkeWorkloadIdentity, "{vars:?}");
    }
}

#[test]
fn an_instance_principal_is_never_a_guess() {
    let metadata = ("OCI_METADATA_BASE_URL", "http://169.254.169.254/opc/v2");
    let delegation = ("OCI_CLI_DELEGATION_TOKEN_FILE", "/obo");
    let federation = ("OCI_CLI_FEDERATION_ENDPOINT", "https://auth.example/v1/x509");
    let by_region = ServiceOptions { region: given("fra"), ..options() };
    for options in [options(), by_region] {
        let error = error(None, &[metadata, delegation, federation], &options);
        assert!(error.contains("there are no credentials"), "{error}");
        for mode in [InstancePrincipal, ResourcePrincipal, OkeWorkloadIdentity, TokenExchange] {
            assert!(error.contains(mode.name()), "{error}");
        }
    }
}

#[test]
fn what_is_missing_on_the_host_is_named() {
    let pod = error(None, &POD, &options());
    assert!(pod.contains("OCI_RESOURCE_PRINCIPAL_REGION or --region"), "{pod}");
    // Without the token or the host there is no pod.
    for one in POD {
        let error = error(None, &[one, POD_REGION], &options());
        assert!(!error.contains("this is a pod"), "{error}");
    }
    let version = ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2");
    let incomplete = error(None, &[version], &options());
    assert!(incomplete.contains("is 2.2, but OCI_RESOURCE_PRINCIPAL_RPST"), "{incomplete}");
    // Without its version, a token is not one of a resource principal.
    let unversioned = error(None, &resource("2.2")[1..], &options());
    assert!(unversioned.contains("there are no credentials"), "{unversioned}");
    for (version, expected) in [("3.0", "is 3.0"), ("9", "\"9\"")] {
        let vars =
            [resource("2.2"), POD.to_vec(), vec![("OCI_RESOURCE_PRINCIPAL_VERSION", version)]];
        let error = error(None, &vars.concat(), &options());
        assert!(error.contains(expected) && error.contains("2.1.2"), "{error}");
    }
}

#[test]
fn a_part_of_a_user_s_credentials_is_a_mistake_and_no_reason_to_look_elsewhere() {
    let everything = [resource("2.2"), POD.to_vec()].concat();
    for (name, value) in [
        ("OCI_CLI_USER", USER),
        ("OCI_CLI_FINGERPRINT", FINGERPRINT),
        ("OCI_CLI_KEY_FILE", "/k.pem"),
        ("OCI_CLI_KEY_CONTENT", KEY),
        ("OCI_CLI_SECURITY_TOKEN_FILE", "/token"),
    ] {
        let vars = [&everything[..], &[(name, value)]].concat();
        assert!(error(None, &vars, &options()).contains("there is no config file"), "{name}");
    }
    let session = [("OCI_CLI_KEY_FILE", "/k.pem"), ("OCI_CLI_SECURITY_TOKEN_FILE", "/token")];
    let by_region = ServiceOptions { region: given("fra"), ..options() };
    assert_eq!(mode(None, &[&everything[..], &session].concat(), &by_region), SecurityToken);
}

#[test]
fn a_named_mode_needs_no_config_file_unless_it_is_a_user_s() {
    for named in [ApiKey, SecurityToken] {
        assert!(error(None, &[], &auth(named)).contains("there is no config file"));
    }
    let everything = [resource("2.2"), POD.to_vec()].concat();
    let vars = [&everything[..], &[("OCI_CLI_DELEGATION_TOKEN_FILE", "/obo")]].concat();
    for named in [InstancePrincipal, InstanceOboUser, ResourcePrincipal, OkeWorkloadIdentity] {
        assert_eq!(mode(None, &vars, &auth(named)), named);
        // A config file may be there without a profile, with a bad key, or with another mode.
        for config in ["", "[OTHER]\n", &api_key_profile().replace("~/key.pem", "/no/such")] {
            assert_eq!(mode(Some(config), &vars, &auth(named)), named, "{config}");
        }
        // One that cannot be understood is an error.
        assert!(error(Some("no section"), &vars, &auth(named)).contains("line 1"));
    }
    // An option overrides the type in the profile and its delegation token.
    let config = format!("{}delegation_token_file=~/obo\n", api_key_profile());
    assert_eq!(mode(Some(&config), &[], &auth(InstancePrincipal)), InstancePrincipal);
}

#[test]
fn a_profile_or_config_file_that_is_named_must_exist() {
    let named = |name: &str| ServiceOptions { profile: given(name), ..auth(InstancePrincipal) };
    let missing = error(Some("[DEFAULT]\n"), &[], &named("P"));
    assert!(missing.contains("no profile \"P\", named by --option"), "{missing}");
    let missing = error(None, &[], &named("P"));
    assert!(missing.contains("no config file") && missing.contains("--option"), "{missing}");
    let file = ServiceOptions { config_file: Some("/no/such".into()), ..auth(InstancePrincipal) };
    assert!(error(None, &[], &file).contains("/no/such"));
    // A profile of the rc file is one.
    let in_rc = ServiceOptions { profile_in_rc: true, ..named("P") };
    assert_eq!(mode(None, &[], &in_rc), InstancePrincipal);
    assert_eq!(mode(Some("[DEFAULT]\n"), &[], &in_rc), InstancePrincipal);
}

#[test]
fn options_of_an_exchange_need_its_mode() {
    let exchange = ExchangeOptions {
        on_command_line: vec!["--exchange-url".to_owned()],
        ..Default::default()
    };
    let options = ServiceOptions { exchange, ..options() };
    let error = error(Some(&api_key_profile()), &[], &options);
    assert!(error.contains("--exchange-url has no effect") && error.contains("api_key"), "{error}");
}
