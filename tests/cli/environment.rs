//! Options of the service: the command line before the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ocipipe::internals::auth::options::{AuthMode, ServiceOptions, Setting};
use ocipipe::internals::cli::{self, Command, Environment};
use proto::error::Error;

use crate::parsing::{environment, words};

#[test]
fn an_option_overrides_a_variable() {
    let vars = environment(&[
        ("OCI_CLI_AUTH", "api_key"),
        ("OCI_CLI_PROFILE", "from-env"),
        ("OCI_CLI_CONFIG_FILE", "~/c"),
        ("OCI_CLI_REGION", "r"),
        ("OCI_CLI_ENDPOINT", "https://e"),
        ("OCI_CLI_CERT_BUNDLE", "/pem"),
        ("OCIPIPE_AUTH_ENDPOINT", "https://a"),
    ]);
    let parse = |line| match cli::parse(words(line), &vars) {
        Ok(Command::Put(put)) => put.service,
        other => panic!("{other:?}"),
    };
    let text = |setting: Option<Setting>| setting.unwrap().text;
    let service = parse("put oci://b/n");
    assert_eq!(service.auth, Some(AuthMode::ApiKey));
    assert_eq!(text(service.profile), "from-env");
    assert_eq!(service.config_file, Some(PathBuf::from("/home/me/c")));
    assert_eq!(text(service.region), "r");
    assert_eq!(text(service.endpoint), "https://e");
    assert_eq!(service.network.cert_bundle.unwrap().paths, [PathBuf::from("/pem")]);
    assert_eq!(text(service.auth_endpoint), "https://a");
    let service = parse(
        "put oci://b/n --auth security_token --profile p --config-file /d \
         --region q --endpoint https://f --cert-bundle /q --auth-endpoint https://g",
    );
    assert_eq!(service.auth, Some(AuthMode::SecurityToken));
    assert_eq!(text(service.profile), "p");
    assert_eq!(service.config_file, Some(PathBuf::from("/d")));
    assert_eq!(text(service.region), "q");
    assert_eq!(text(service.endpoint), "https://f");
    assert_eq!(service.network.cert_bundle.unwrap().paths, [PathBuf::from("/q")]);
    assert_eq!(text(service.auth_endpoint), "https://g");
}

#[test]
fn an_invalid_variable_is_named_and_an_empty_one_is_ignored() {
    let vars = environment(&[("OCI_CLI_AUTH", "kerberos")]);
    let error = cli::parse(words("session show"), &vars).unwrap_err();
    assert!(error.message.starts_with("OCI_CLI_AUTH: "), "{error}");
    let vars = environment(&[("OCI_CLI_AUTH", "")]);
    assert!(cli::parse(words("session show"), &vars).is_ok());
}

fn service(line: &str, vars: &[(&str, &str)]) -> Result<ServiceOptions, Error> {
    match cli::parse(words(&format!("get oci://b/n {line}")), &environment(vars)) {
        Ok(Command::Get(get)) => Ok(get.service),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

#[test]
fn certificates_come_from_the_variables_of_the_oci_cli_and_openssl() {
    let variables =
        ["OCI_CLI_CERT_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"];
    let mut vars: Vec<(&str, &str)> = variables.map(|name| (name, "~/x")).into();
    let bundle = |line, vars: &[(&str, &str)]| service(line, vars).unwrap().network.cert_bundle;
    assert_eq!(bundle("--cert-bundle /y", &vars).unwrap().origin, "--cert-bundle");
    for name in variables {
        let bundle = bundle("", &vars).unwrap();
        assert_eq!(
            (bundle.origin.as_str(), bundle.paths),
            (name, vec![PathBuf::from("/home/me/x")])
        );
        vars.remove(0);
    }
    assert_eq!(bundle("", &[("REQUESTS_CA_BUNDLE", "")]), None);
    let both = bundle("", &[("SSL_CERT_FILE", "/f"), ("SSL_CERT_DIR", "/a:/b")]).unwrap();
    assert_eq!(both.origin, "SSL_CERT_FILE and SSL_CERT_DIR");
    assert_eq!(both.paths, ["/f", "/a", "/b"].map(PathBuf::from));
}

#[test]
fn the_proxy_is_that_of_the_option_or_of_the_first_variable() {
    let proxy = |line: &str, vars: &[(&str, &str)]| {
        let network = service(line, vars).unwrap().network;
        let text = |setting: Option<Setting>| setting.map(|setting| setting.text);
        (text(network.proxy).unwrap_or_default(), text(network.no_proxy).unwrap_or_default())
    };
    let pair = |proxy: &str, no_proxy: &str| (proxy.to_owned(), no_proxy.to_owned());
    let mut vars = vec![
        ("https_proxy", "a"),
        ("HTTPS_PROXY", "b"),
        ("all_proxy", "c"),
        ("ALL_PROXY", "d"),
        ("NO_PROXY", "n"),
        ("HTTP_PROXY", "never"),
    ];
    // `no_proxy` does not apply to `--proxy`.
    assert_eq!(proxy("--proxy p", &vars), pair("p", ""));
    for expected in ["a", "b", "c", "d"] {
        assert_eq!(proxy("", &vars), pair(expected, "n"));
        vars.remove(0);
    }
    assert_eq!(proxy("", &vars), pair("", "n"));
    let off = [("https_proxy", ""), ("HTTPS_PROXY", "b"), ("no_proxy", "m"), ("NO_PROXY", "n")];
    assert_eq!(proxy("", &off), pair("", "m"));
}

#[test]
fn the_host_variant_is_set_by_options_and_variables() {
    let (realm, stack) =
        ("OCI_REALM_SPECIFIC_SERVICE_ENDPOINT_TEMPLATE_ENABLED", "OCI_DUAL_STACK_ENDPOINT_ENABLED");
    let form = |line: &str, vars: &[(&str, &str)]| {
        service(line, vars).map(|service| {
            (
                service.host_variant.realm_specific.is_some(),
                service.host_variant.dual_stack.is_some(),
            )
        })
    };
    assert_eq!(form("", &[]), Ok((false, false)));
    assert_eq!(form("--realm-specific-endpoint", &[(realm, "false")]), Ok((true, false)));
    assert_eq!(form("--enable-dual-stack", &[]), Ok((false, true)));
    assert_eq!(form("", &[(realm, "True"), (stack, "FALSE")]), Ok((true, false)));
    assert_eq!(form("", &[(realm, ""), (stack, "true")]), Ok((false, true)));
    for (name, value) in [(realm, "1"), (realm, " true"), (stack, "yes")] {
        let error = form("", &[(name, value)]).unwrap_err();
        assert!(error.kind.exit_code() == 2 && error.message.contains(name), "{error}");
    }
    let error = form("--endpoint https://e --enable-dual-stack", &[]).unwrap_err();
    assert!(error.message.contains("contradict"), "{error}");
    assert_eq!(form("--endpoint https://e", &[(realm, "true")]), Ok((true, false)));
}

#[test]
fn a_variable_that_is_no_utf_8_is_refused_unless_it_is_a_path() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(b"/\xff".to_vec());
    let parse = |name: &str, line: &str| {
        let vars = Environment::of([(name, bytes())], None);
        cli::parse(words(line), &vars)
    };
    for name in ["OCI_CLI_PROFILE", "OCI_CLI_REGION", "HTTPS_PROXY", "no_proxy", "OCI_REGION"] {
        let error = parse(name, "put oci://b/n").unwrap_err();
        assert!(error.kind.exit_code() == 2 && error.message.contains(name), "{name}: {error}");
        // Account variables are ignored with `--local`.
        assert!(parse(name, "put --local /d oci://b/n").is_ok());
    }
    let Ok(Command::Put(put)) = parse("OCI_CLI_CONFIG_FILE", "put oci://b/n") else { panic!() };
    assert_eq!(put.service.config_file, Some(PathBuf::from(bytes())));
}

#[test]
fn local_ignores_the_variables_of_an_account() {
    let vars = environment(&[("OCI_CLI_AUTH", "kerberos"), ("OCI_CLI_ENDPOINT", "https://e")]);
    let Ok(Command::Put(put)) =
        cli::parse(words("put --local /d oci://b/n --refresh-before 5s"), &vars)
    else {
        panic!("refused");
    };
    assert_eq!(put.local, Some(PathBuf::from("/d")));
    assert_eq!((put.service.auth, put.service.endpoint), (None, None));
    assert_eq!(put.service.refresh_before, Some(Duration::from_secs(5)));
}

/// The options of the OCI CLI that command lines carry, and what they mean here.
#[test]
fn options_of_the_oci_cli_without_effect_are_taken_with_a_word() {
    let warnings = |line: &str| service(line, &[]).unwrap().warnings;
    assert_eq!(warnings("--output json --connection-timeout 5"), [""; 0]);
    for (line, option) in [("--no-retry", "--no-retry"), ("--max-retries 3", "--max-retries")] {
        let expected =
            format!("{option} has no effect: --retry-for decides how long a request is sent again");
        assert_eq!(warnings(line), [expected]);
    }
    let seconds = |count| Some(Duration::from_secs(count));
    let network = service("--connection-timeout 5", &[]).unwrap().network;
    assert_eq!(network.connect_timeout, seconds(5));
    let parse = |line: &str| cli::parse(words(line), &environment(&[])).unwrap();
    let Command::Put(put) = parse("put oci://b/n --read-timeout 5 --disable-parallel-uploads")
    else {
        panic!()
    };
    assert_eq!((Some(put.stall_timeout), put.parallel), (seconds(5), Some(1)));
    let Command::Get(get) = parse("get oci://b/n --read-timeout 5 --no-multipart") else {
        panic!()
    };
    assert_eq!((Some(get.stall_timeout), get.parallel), (seconds(5), Some(1)));
    let Command::Verify(verify) = parse("verify oci://b/n --read-timeout 5") else { panic!() };
    assert_eq!(Some(verify.stall_timeout), seconds(5));
    let Command::Uploads(list) = parse("uploads list oci://b --limit 5 --read-timeout 5") else {
        panic!()
    };
    assert_eq!(list.service.read_timeout, seconds(5));
    parse("uploads abort oci://b/n --force");
    let Command::Put(put) = parse("put oci://b/n --if-match e --no-overwrite") else { panic!() };
    assert_eq!(put.overwrite, ocipipe::internals::cli::Overwrite::IfMatch("e".to_owned()));
    let Command::Put(put) = parse("put oci://b/n --opc-checksum-algorithm CRC32C") else {
        panic!()
    };
    assert_eq!(put.checksum, proto::digest::Algorithm::Crc32c);
    let Command::Put(put) = parse("put oci://b/n --parallel-upload-count auto") else { panic!() };
    assert_eq!(put.parallel, None);
}
