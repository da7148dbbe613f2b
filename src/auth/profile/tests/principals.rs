//! The settings of instances, resources, pods and token exchanges.

use super::*;
use crate::auth::options::AuthMode;
use proto::endpoint::Endpoint;
use proto::principal::federation::FederationService;

fn auth(mode: AuthMode) -> ServiceOptions {
    ServiceOptions { auth: Some(mode), ..options() }
}

fn resolve(options: &ServiceOptions, vars: &[(&str, &str)]) -> Result<Identity, Error> {
    Identity::resolve(options, &Home::new().environment(vars))
}

#[track_caller]
fn error(options: &ServiceOptions, vars: &[(&str, &str)]) -> String {
    let error = resolve(options, vars).unwrap_err();
    assert_eq!(error.kind.exit_code(), 2, "{error}");
    error.to_string()
}

fn storage(identity: &Identity) -> Option<String> {
    identity.object_storage.as_ref().map(|storage| storage.general.to_string())
}

fn shown(endpoint: &Option<Endpoint>) -> Option<String> {
    endpoint.as_ref().map(ToString::to_string)
}

fn instance(options: &ServiceOptions, vars: &[(&str, &str)]) -> InstancePrincipal {
    match resolve(options, vars).unwrap().credentials {
        CredentialSource::InstancePrincipal(instance) => instance,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_instance_needs_no_setting_and_learns_its_region() {
    let options = auth(AuthMode::InstancePrincipal);
    let identity = resolve(&options, &[]).unwrap();
    assert_eq!((storage(&identity), &identity.region, identity.auth), (None, &None, None));
    assert_eq!(instance(&options, &[]), InstancePrincipal { metadata: None, federation: None });
    // An endpoint or a region of the user is that of Object Storage.
    let endpoint = ServiceOptions { endpoint: given("http://127.0.0.1:1"), ..options.clone() };
    let identity = resolve(&endpoint, &[]).unwrap();
    assert_eq!(storage(&identity).as_deref(), Some("http://127.0.0.1:1"));
    let fra = "https://objectstorage.eu-frankfurt-1.oraclecloud.com";
    let region = ServiceOptions { region: given("fra"), ..options.clone() };
    assert_eq!(storage(&resolve(&region, &[]).unwrap()).as_deref(), Some(fra));
    let in_profile = Home::with("[DEFAULT]\nregion=fra\n").resolve(&options).unwrap();
    assert_eq!(storage(&in_profile).as_deref(), Some(fra));
    // The region of a resource is not that of an instance.
    let of_resource = [("OCI_RESOURCE_PRINCIPAL_REGION", "fra")];
    assert_eq!(storage(&resolve(&options, &of_resource).unwrap()), None);
}

#[test]
fn the_services_of_an_instance_are_those_of_options_and_variables() {
    let options = auth(AuthMode::InstancePrincipal);
    let metadata = |text: &str| instance(&options, &[("OCI_METADATA_BASE_URL", text)]).metadata;
    let expected = Some("http://192.0.2.1:8080/opc/v2".to_owned());
    assert_eq!(shown(&metadata("http://192.0.2.1:8080/opc/v2")), expected);
    assert_eq!(shown(&metadata(" http://192.0.2.1:8080/opc/v2/ ")), expected);
    assert_eq!(metadata("  "), None);
    let bad = error(&options, &[("OCI_METADATA_BASE_URL", "192.0.2.1")]);
    assert!(bad.contains("OCI_METADATA_BASE_URL") && bad.contains("169.254.169.254"), "{bad}");
    // Only the last of these variables leaves the path of the call out.
    let sdk = ("OCI_SDK_AUTH_CLIENT_REGION_URL", "http://127.0.0.1:2/");
    let federation = |options| instance(options, &[sdk]).federation.unwrap();
    let at = |url| FederationService::parse("", url).unwrap();
    assert_eq!(federation(&options), at("http://127.0.0.1:2"));
    let named = |url| ServiceOptions { federation_endpoint: given(url), ..options.clone() };
    let other = "http://127.0.0.1:3/v1/x509";
    assert_eq!(federation(&named(other)), at(other));
    let bad = error(&named("http://192.0.2.1/v1/x509"), &[]);
    assert!(bad.contains("--option: http://") && bad.contains("/v1/x509"), "{bad}");
    let bad = error(&options, &[("OCI_SDK_AUTH_CLIENT_REGION_URL", "auth")]);
    assert!(bad.contains("OCI_SDK_AUTH_CLIENT_REGION_URL"), "{bad}");
}

#[test]
fn a_delegation_token_is_in_the_file_of_the_variable_or_the_profile() {
    let options = auth(AuthMode::InstanceOboUser);
    let file = |home: &Home, vars: &[(&str, &str)]| match Identity::resolve(
        &options,
        &home.environment(vars),
    )
    .unwrap()
    .credentials
    {
        CredentialSource::InstanceOboUser { delegation_token_file, .. } => delegation_token_file,
        other => panic!("{other:?}"),
    };
    let home = Home::with("[DEFAULT]\ndelegation_token_file=~/obo\n");
    assert_eq!(file(&home, &[]), home.path().join("obo"));
    let variable = [("OCI_CLI_DELEGATION_TOKEN_FILE", "~/other")];
    assert_eq!(file(&home, &variable), home.path().join("other"));
    let empty = Home::new();
    assert_eq!(file(&empty, &variable), empty.path().join("other"));
    let missing = error(&options, &[]);
    assert!(missing.contains("OCI_CLI_DELEGATION_TOKEN_FILE"), "{missing}");
}

const RESOURCE: [(&str, &str); 4] = [
    ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"),
    ("OCI_RESOURCE_PRINCIPAL_RPST", "aa.bb.cc"),
    ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "/run/key.pem"),
    ("OCI_RESOURCE_PRINCIPAL_REGION", "phx"),
];

/// `RESOURCE` with one value replaced or added.
fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    RESOURCE.into_iter().chain([(name, value)]).collect()
}

#[test]
fn token_key_and_pass_phrase_of_a_resource_are_texts_or_absolute_paths_in_any_mixture() {
    let options = auth(AuthMode::ResourcePrincipal);
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nSECRET";
    for (token, key, passphrase) in [
        ("aa.bb.cc", pem, "hunter2"),
        ("/t", "/k", "hunter2"),
        ("aa.bb.cc", "/k", "/p"),
        ("/t", pem, ""),
    ] {
        let mut vars = with("OCI_RESOURCE_PRINCIPAL_RPST", token);
        vars.push(("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", key));
        vars.push(("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", passphrase));
        let identity = resolve(&options, &vars).unwrap();
        let CredentialSource::ResourcePrincipal(ResourcePrincipal::TokenAndKey {
            token: token_value,
            key: key_value,
            passphrase: passphrase_value,
        }) = &identity.credentials
        else {
            panic!("{identity:?}");
        };
        for (value, text) in [
            (Some(token_value), token),
            (Some(key_value), key),
            (passphrase_value.as_ref(), passphrase),
        ] {
            match value {
                None => assert_eq!(text, ""),
                Some(TextOrFile::File(path)) => assert_eq!(path, Path::new(text)),
                Some(TextOrFile::Text { text: value, .. }) => assert_eq!(value.as_str(), text),
            }
        }
        let debug = format!("{identity:?}");
        assert!(
            !debug.contains("SECRET") && !debug.contains("hunter2") && !debug.contains("aa.bb")
        );
    }
}

#[test]
fn a_relative_path_is_refused_and_no_secret_shown() {
    let options = auth(AuthMode::ResourcePrincipal);
    for (name, value) in [
        ("OCI_RESOURCE_PRINCIPAL_RPST", "secrets/token"),
        ("OCI_RESOURCE_PRINCIPAL_RPST", "./token.v2.2"),
        ("OCI_RESOURCE_PRINCIPAL_RPST", "aa.bb"),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "secrets/key.pem"),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "MIIEvQIBADAN"),
    ] {
        let error = error(&options, &with(name, value));
        assert!(error.contains(name) && error.contains("absolute path"), "{error}");
        assert!(!error.contains(value), "{error}");
    }
}

#[test]
fn the_region_of_a_resource_is_the_last_one_that_counts() {
    let options = auth(AuthMode::ResourcePrincipal);
    let host = |identity: Identity| identity.object_storage.unwrap().general.host;
    let phx = "objectstorage.us-phoenix-1.oraclecloud.com";
    let fra = "objectstorage.eu-frankfurt-1.oraclecloud.com";
    assert_eq!(host(resolve(&options, &RESOURCE).unwrap()), phx);
    assert_eq!(
        host(resolve(&options, &with("OCI_RESOURCE_PRINCIPAL_REGION", "PHX")).unwrap()),
        phx
    );
    assert_eq!(host(resolve(&options, &with("OCI_REGION", "fra")).unwrap()), fra);
    let named = ServiceOptions { region: given("fra"), ..options.clone() };
    assert_eq!(host(resolve(&named, &RESOURCE).unwrap()), fra);
    let home = Home::with("[DEFAULT]\nregion=fra\n");
    let in_profile = Identity::resolve(&options, &home.environment(&RESOURCE)).unwrap();
    assert_eq!(host(in_profile), fra);
    // An endpoint is enough.
    let endpoint = ServiceOptions { endpoint: given("https://e"), ..options.clone() };
    assert_eq!(host(resolve(&endpoint, &RESOURCE[..3]).unwrap()), "e");
    let none = error(&options, &RESOURCE[..3]);
    assert!(none.contains("no region") && none.contains("OCI_RESOURCE_PRINCIPAL_REGION"), "{none}");
    let bad = error(&options, &with("OCI_RESOURCE_PRINCIPAL_REGION", "a b"));
    assert!(bad.contains("OCI_RESOURCE_PRINCIPAL_REGION: "), "{bad}");
}

#[test]
fn a_resource_key_has_the_settings_of_its_version() {
    let options = auth(AuthMode::ResourcePrincipal);
    let base = [
        ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT", "https://rpt.example"),
        ("OCI_RESOURCE_PRINCIPAL_RESOURCE_ID", "ocid1.r"),
        ("OCI_RESOURCE_PRINCIPAL_TENANCY_ID", TENANCY),
        ("OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT", "context-secret"),
    ];
    let key = |version: &'static str, more: &[(&str, &str)]| {
        let vars = [&base[..], &RESOURCE, &[("OCI_RESOURCE_PRINCIPAL_VERSION", version)], more];
        match resolve(&options, &vars.concat()).unwrap().credentials {
            CredentialSource::ResourcePrincipal(ResourcePrincipal::ResourceKey(key)) => key,
            other => panic!("{other:?}"),
        }
    };
    assert!(key("2.1", &[]).version == ResourceKeyVersion::V2_1);
    assert!(key("2.1.1", &[]).version == ResourceKeyVersion::V2_1_1 { tenancy: TENANCY.into() });
    let newest = key("2.1.2", &[]);
    assert!(matches!(&newest.version, ResourceKeyVersion::V2_1_2 { security_context, .. }
        if security_context.as_str() == "context-secret"));
    assert!(!format!("{newest:?}").contains("context-secret"));
    assert_eq!((newest.resource_id.as_str(), &newest.service.path), ("ocid1.r", &None));
    // The session token comes from the region of the resource, not from that of Object Storage.
    let auth_host = "https://auth.us-phoenix-1.oraclecloud.com";
    assert_eq!(shown(&newest.service.session_token).as_deref(), Some(auth_host));
    assert_eq!(
        shown(&key("2.1", &[("OCI_REGION", "fra")]).service.session_token).as_deref(),
        Some(auth_host)
    );
    let own = [("OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT", "http://127.0.0.1:4")];
    assert_eq!(
        shown(&key("2.1", &own).service.session_token).as_deref(),
        Some("http://127.0.0.1:4")
    );
    let path = [("OCI_RESOURCE_PRINCIPAL_RPT_PATH", "/a/{}")];
    assert_eq!(key("2.1", &path).service.path.as_deref(), Some("/a/{}"));
    // Each variable of a version is needed.
    for (at, (name, _)) in base.iter().enumerate() {
        let mut vars = base.to_vec();
        vars.remove(at);
        vars.extend(with("OCI_RESOURCE_PRINCIPAL_VERSION", "2.1.2"));
        let error = error(&options, &vars);
        assert!(error.contains(name) && error.contains("2.1.2"), "{error}");
    }
    let bad = [("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT", "http://192.0.2.1")];
    let vars = [&bad[..], &with("OCI_RESOURCE_PRINCIPAL_VERSION", "1.1")].concat();
    assert!(error(&options, &vars).contains("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT"));
}

#[test]
fn a_resource_of_an_instance_needs_no_region() {
    let options = auth(AuthMode::ResourcePrincipal);
    let vars = [
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "1.1"),
        ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT", "https://rpt.example"),
        ("OCI_RESOURCE_PRINCIPAL_RPT_ID", "ocid1.r"),
        ("OCI_METADATA_BASE_URL", "http://127.0.0.1:5"),
    ];
    let identity = resolve(&options, &vars).unwrap();
    assert_eq!(storage(&identity), None);
    let CredentialSource::ResourcePrincipal(ResourcePrincipal::OfInstance {
        instance,
        resource,
        resource_id,
    }) = identity.credentials
    else {
        panic!()
    };
    assert_eq!(shown(&instance.metadata).as_deref(), Some("http://127.0.0.1:5"));
    assert_eq!((resource.session_token, resource_id.as_deref()), (None, Some("ocid1.r")));
}

#[test]
fn a_version_that_does_not_exist_here_is_named() {
    let options = auth(AuthMode::ResourcePrincipal);
    for (version, expected) in [("3.0", "is 3.0"), ("2", "\"2\""), ("", "VERSION is not set")] {
        let error = error(&options, &with("OCI_RESOURCE_PRINCIPAL_VERSION", version));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_pod_reaches_the_token_service_of_its_cluster() {
    let options = ServiceOptions { region: given("fra"), ..auth(AuthMode::OkeWorkloadIdentity) };
    let pod = |vars: &[(&str, &str)]| match resolve(&options, vars).unwrap().credentials {
        CredentialSource::OkeWorkloadIdentity(pod) => pod,
        other => panic!("{other:?}"),
    };
    for (host, port, service) in [
        ("10.96.0.1", "", "https://10.96.0.1:12250"),
        ("fd00::1", "", "https://[fd00::1]:12250"),
        ("[fd00::1]", "9", "https://[fd00::1]:9"),
        ("kubernetes.default.svc", "443", "https://kubernetes.default.svc"),
    ] {
        let vars = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT_PROXYMUX", port)];
        assert_eq!(pod(&vars).service.to_string(), service);
    }
    let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    let mounted = "/var/run/secrets/kubernetes.io/serviceaccount/";
    let default = pod(&[host]);
    assert_eq!(default.ca_file, Path::new(mounted).join("ca.crt"));
    assert_eq!(default.token, TextOrFile::File(Path::new(mounted).join("token")));
    let named = [
        host,
        ("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", "/ca"),
        ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", "/token"),
    ];
    assert_eq!(pod(&named).ca_file, Path::new("/ca"));
    assert_eq!(pod(&named).token, TextOrFile::File("/token".into()));
    // The text comes before the path.
    let text = ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING", "account.secret");
    let token = pod(&[&named[..], &[text]].concat()).token;
    assert_eq!(token.to_string(), text.0);
    assert!(!format!("{token:?}").contains("secret"));
    for (host, port, expected) in [
        ("", "", "KUBERNETES_SERVICE_HOST is not set"),
        ("10.96.0.1", "http", "KUBERNETES_SERVICE_PORT_PROXYMUX \"http\""),
        ("10.96.0.1", "0", "KUBERNETES_SERVICE_PORT_PROXYMUX \"0\""),
        ("10.96.0.1/x", "", "KUBERNETES_SERVICE_HOST"),
        ("a@b", "", "KUBERNETES_SERVICE_HOST"),
        ("[fd00::1", "", "KUBERNETES_SERVICE_HOST"),
    ] {
        let vars = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT_PROXYMUX", port)];
        let error = error(&options, &vars);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_pod_needs_a_region_or_an_endpoint() {
    let options = auth(AuthMode::OkeWorkloadIdentity);
    let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    assert!(error(&options, &[host]).contains("OCI_RESOURCE_PRINCIPAL_REGION"));
    let region = ("OCI_RESOURCE_PRINCIPAL_REGION", "iad");
    assert_eq!(resolve(&options, &[host, region]).unwrap().region.as_deref(), Some("us-ashburn-1"));
    let endpoint = ServiceOptions { endpoint: given("https://e"), ..options };
    assert_eq!(storage(&resolve(&endpoint, &[host]).unwrap()).as_deref(), Some("https://e"));
}

#[test]
fn a_token_exchange_needs_all_of_its_settings() {
    let setting = |text: &str| Some(Setting::new(text, "--exchange"));
    let complete = ExchangeOptions {
        url: setting("https://idcs-1.identity.oraclecloud.com:443/"),
        jwt_file: Some("/jwt".into()),
        client_id: setting("client"),
        client_secret_file: Some("/secret".into()),
        on_command_line: Some("--exchange-url"),
    };
    let options = |exchange| ServiceOptions {
        exchange,
        region: given("fra"),
        ..auth(AuthMode::TokenExchange)
    };
    let domain = |url: &str| {
        let exchange = ExchangeOptions { url: setting(url), ..complete.clone() };
        match resolve(&options(exchange), &[]).unwrap().credentials {
            CredentialSource::TokenExchange(exchange) => exchange.domain.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let expected = "https://idcs-1.identity.oraclecloud.com";
    for url in [":443", ":443/", "", "/oauth2/v1/token", "/oauth2/v1/token/"] {
        assert_eq!(domain(&format!("{expected}{url}")), expected);
    }
    assert_eq!(domain("http://127.0.0.1:6"), "http://127.0.0.1:6");
    for (exchange, expected) in [
        (ExchangeOptions { url: None, ..complete.clone() }, "OCIPIPE_EXCHANGE_URL"),
        (ExchangeOptions { jwt_file: None, ..complete.clone() }, "OCIPIPE_EXCHANGE_JWT_FILE"),
        (ExchangeOptions { client_id: None, ..complete.clone() }, "OCIPIPE_EXCHANGE_CLIENT_ID"),
        (
            ExchangeOptions { client_secret_file: None, ..complete.clone() },
            "OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE",
        ),
        (
            ExchangeOptions { url: setting("http://192.0.2.1"), ..complete.clone() },
            "--exchange: http",
        ),
        (ExchangeOptions { url: setting("idcs"), ..complete.clone() }, "--exchange: "),
    ] {
        let error = error(&options(exchange), &[]);
        assert!(error.contains(expected), "{error}");
    }
}
