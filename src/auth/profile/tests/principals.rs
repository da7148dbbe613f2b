//! The settings of instances, resources, pods and token exchanges.

use super::*;
use crate::auth::options::AuthMode;
use proto::endpoint::Endpoint;
use proto::principal::federation::FederationService;

pub(super) fn auth(mode: AuthMode) -> ServiceOptions {
    ServiceOptions { auth: Some(mode), ..options() }
}

pub(super) fn resolve(options: &ServiceOptions, vars: &[(&str, &str)]) -> Result<Identity, Error> {
    Identity::resolve(options, &Home::new().environment(vars))
}

#[track_caller]
pub(super) fn error(options: &ServiceOptions, vars: &[(&str, &str)]) -> String {
    let error = resolve(options, vars).unwrap_err();
    assert_eq!(error.kind.exit_code(), 2, "{error}");
    error.to_string()
}

pub(super) fn storage(identity: &Identity) -> Option<String> {
    identity.object_storage.as_ref().map(|storage| storage.general.to_string())
}

pub(super) fn shown(endpoint: &Option<Endpoint>) -> Option<String> {
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
        on_command_line: vec!["--exchange-url".to_owned()],
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
