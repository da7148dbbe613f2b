//! Promises of the command line: what is accepted, and the resulting command.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ocipipe::auth::options::{AuthMode, ServiceOptions, Setting};
use ocipipe::cli::{
    self, Command, Environment, Format, GetCommand, Overwrite, ProgressMode, PutCommand,
    SessionAction, Shell, StreamSource, UploadsAction, UploadsCommand, VerifyCommand, VerifyStream,
};
use proto::digest::Algorithm;
use proto::error::Error;

const MIB: u64 = 1 << 20;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment::of(vars.iter().copied(), Some(PathBuf::from("/home/me")))
}

fn parse(line: &str) -> Result<Command, Error> {
    cli::parse(words(line), &environment(&[]))
}

fn put(line: &str) -> PutCommand {
    match parse(line) {
        Ok(Command::Put(put)) => *put,
        other => panic!("{line}: {other:?}"),
    }
}

fn get(line: &str) -> GetCommand {
    match parse(line) {
        Ok(Command::Get(get)) => *get,
        other => panic!("{line}: {other:?}"),
    }
}

fn verify(line: &str) -> VerifyCommand {
    match parse(line) {
        Ok(Command::Verify(verify)) => *verify,
        other => panic!("{line}: {other:?}"),
    }
}

fn uploads(line: &str) -> UploadsCommand {
    match parse(line) {
        Ok(Command::Uploads(uploads)) => *uploads,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_put_without_options_has_the_promised_defaults() {
    let put = put("put oci://backups@ax/mydb.dump");
    assert_eq!(put.target.to_string(), "oci://backups@ax/mydb.dump");
    assert_eq!(put.source, StreamSource::Stdin);
    assert_eq!((put.part_size, put.parallel, put.max_memory), (None, None, None));
    assert_eq!((put.expected_size, put.min_size, put.bwlimit), (None, None, None));
    assert_eq!(put.checksum, Algorithm::Sha256);
    assert_eq!(put.overwrite, Overwrite::Never);
    assert!(!put.allow_empty && !put.delete_on_mismatch);
    assert_eq!(put.retry_for, Duration::from_secs(3600));
    assert_eq!(put.stall_timeout, Duration::from_secs(60));
    assert_eq!((put.expect, put.local, put.object), (None, None, Default::default()));
    assert_eq!(put.output, Default::default());
    assert_eq!(put.service.auth, None);
    assert!(put.warnings.is_empty());
}

#[test]
fn every_option_of_put_reaches_its_value() {
    let put = put("put oci://b/n --part-size 64 --parallel-upload-count 1000 --max-memory 1.5GiB \
         --expected-size 2T --checksum CRC32C --verify-checksum --force --delete-on-mismatch \
         --min-size 10M --retry-for 2h --stall-timeout 500ms --bwlimit 20MiB/s --expect pgdump \
         --progress json --debug --storage-tier infrequentACCESS --content-type text/plain \
         --content-encoding gzip --content-language de --content-disposition inline \
         --cache-control no-store --metadata {\"a\":\"b\"} --encryption-key-file ~/key");
    assert_eq!(put.part_size, Some(64 * MIB));
    assert_eq!(put.parallel, Some(1000));
    assert_eq!(put.max_memory, Some(1536 * MIB));
    assert_eq!(put.expected_size, Some(2048 * 1024 * MIB));
    assert_eq!(put.checksum, Algorithm::Crc32c);
    assert_eq!(put.overwrite, Overwrite::Force);
    assert!(put.delete_on_mismatch);
    assert_eq!(put.min_size, Some(10 * MIB));
    assert_eq!(put.retry_for, Duration::from_secs(7200));
    assert_eq!(put.stall_timeout, Duration::from_millis(500));
    assert_eq!(put.bwlimit, Some(20 * MIB));
    assert_eq!(put.expect, Some(Format::PgDump));
    assert_eq!((put.output.progress, put.output.debug), (ProgressMode::Json, true));
    assert_eq!(put.object.storage_tier.as_deref(), Some("InfrequentAccess"));
    assert_eq!(put.object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(put.object.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(put.object.content_language.as_deref(), Some("de"));
    assert_eq!(put.object.content_disposition.as_deref(), Some("inline"));
    assert_eq!(put.object.cache_control.as_deref(), Some("no-store"));
    assert_eq!(put.object.metadata, [("a".to_owned(), "b".to_owned())]);
    assert_eq!(put.object.encryption_key_file, Some(PathBuf::from("/home/me/key")));
}

#[test]
fn the_names_of_checksums_and_formats_are_those_promised() {
    for (name, algorithm) in [
        ("sha256", Algorithm::Sha256),
        ("crc32c", Algorithm::Crc32c),
        ("sha384", Algorithm::Sha384),
        ("md5", Algorithm::Md5),
        ("none", Algorithm::None),
    ] {
        assert_eq!(put(&format!("put oci://b/n --checksum {name}")).checksum, algorithm);
    }
    for (name, format) in [
        ("tar", Format::Tar),
        ("gzip", Format::Gzip),
        ("zstd", Format::Zstd),
        ("xz", Format::Xz),
        ("bzip2", Format::Bzip2),
        ("zip", Format::Zip),
        ("pgdump", Format::PgDump),
        ("sql", Format::Sql),
    ] {
        assert_eq!(put(&format!("put oci://b/n --expect {name}")).expect, Some(format));
    }
}

#[test]
fn the_options_of_the_oci_cli_have_the_same_meaning() {
    let put = put("--profile p put -ns ax -bn backups --name mydb.dump --file - --force \
         --part-size 128 --parallel-upload-count 8 --verify-checksum --auth security_token");
    assert_eq!(put.target.to_string(), "oci://backups@ax/mydb.dump");
    assert_eq!((put.source, put.overwrite), (StreamSource::Stdin, Overwrite::Force));
    assert_eq!((put.part_size, put.parallel), (Some(128 * MIB), Some(8)));
    assert_eq!(put.service.profile.unwrap().text, "p");
    assert_eq!(put.service.auth, Some(AuthMode::SecurityToken));
}

#[test]
fn the_stream_comes_from_stdin_a_file_or_a_command() {
    assert_eq!(put("put oci://b/n --file -").source, StreamSource::Stdin);
    assert_eq!(put("put - oci://b/n").source, StreamSource::Stdin);
    assert_eq!(put("put oci://b/n --file=/x/y").source, StreamSource::File("/x/y".into()));
    let run = put("put oci://b/n -- pg_dump --file - mydb").source;
    assert_eq!(run, StreamSource::Command(words("pg_dump --file - mydb")));
}

#[test]
fn a_file_gives_the_object_its_name_where_none_is_given() {
    assert_eq!(put("put -bn b --file /x/y.dump").target.name, "y.dump");
    assert_eq!(put("put -bn b --file /x/y.dump --name z").target.name, "z");
    assert_eq!(put("put oci://b/n --file /x/y.dump").target.name, "n");
    assert!(parse("put -bn b --file /x/..").unwrap_err().message.contains("no file name"));
}

#[test]
fn retry_for_may_be_zero() {
    assert_eq!(put("put oci://b/n --retry-for 0s").retry_for, Duration::ZERO);
    assert_eq!(uploads("uploads list oci://b --older-than 0s").older_than, Some(Duration::ZERO));
}

#[test]
fn of_several_overwrite_options_the_strictest_applies() {
    let overwrite = |options| put(&format!("put oci://b/n {options}")).overwrite;
    assert_eq!(overwrite("--no-overwrite"), Overwrite::Never);
    assert_eq!(overwrite("--if-match e"), Overwrite::IfMatch("e".to_owned()));
    assert_eq!(overwrite("--force --if-match e"), Overwrite::IfMatch("e".to_owned()));
    assert_eq!(overwrite("--force --force"), Overwrite::Force);
}

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

#[test]
fn a_name_that_ends_in_a_slash_is_used_as_given_with_a_warning() {
    let put = put("put oci://b/dir/");
    assert_eq!(put.target.name, "dir/");
    assert_eq!(put.warnings, ["the name \"dir/\" ends in a slash and is used just so"]);
}

#[test]
fn a_content_type_may_be_guessed_from_the_name() {
    let content_type = |line| put(line).object.content_type;
    assert_eq!(content_type("put oci://b/x.tar --content-type auto").unwrap(), "application/x-tar");
    assert_eq!(content_type("put oci://b/x.dump --content-type auto"), None);
    assert_eq!(content_type("put oci://b/x.tar"), None);
}

#[test]
fn the_other_commands_reach_their_values() {
    let command = get("get oci://b/n --file /x");
    assert_eq!((command.source.to_string(), command.file), ("oci://b/n".into(), Some("/x".into())));
    assert_eq!(get("get oci://b/n").file, None);
    assert_eq!(get("get oci://b/n -").file, None);
    assert_eq!(get("get -bn b --name n --file -").file, None);

    let list = uploads("uploads list oci://b@ns");
    assert_eq!((list.action, list.place.bucket.as_str()), (UploadsAction::List, "b"));
    assert_eq!((list.place.namespace.as_deref(), list.place.name), (Some("ns"), None));
    let abort = uploads("uploads abort oci://b/n --upload-id i --older-than 1d");
    assert_eq!(abort.action, UploadsAction::Abort);
    assert_eq!(abort.place.name.as_deref(), Some("n"));
    assert_eq!(abort.upload_id.as_deref(), Some("i"));
    assert_eq!(abort.older_than, Some(Duration::from_secs(86_400)));
    assert_eq!(uploads("uploads abort -bn b --name n").place.name.as_deref(), Some("n"));
    assert_eq!(uploads("uploads abort -bn b --all").place.name, None);

    let Ok(Command::Session(show)) = parse("session show --json") else { panic!("refused") };
    assert_eq!(show.action, SessionAction::Show { json: true });
    let Ok(Command::Session(refresh)) = parse("session refresh --profile p") else { panic!() };
    assert_eq!(refresh.action, SessionAction::Refresh);

    let Ok(Command::Serve(serve)) = parse("serve --dir /d --port 9000 --token-ttl 5s") else {
        panic!("refused");
    };
    assert_eq!((serve.dir, serve.port), (PathBuf::from("/d"), 9000));
    assert_eq!(serve.token_ttl, Some(Duration::from_secs(5)));
    let Ok(Command::Serve(serve)) = parse("serve --dir d") else { panic!("refused") };
    assert_eq!((serve.port, serve.token_ttl), (0, None));
    assert_eq!((serve.oke_port, serve.faults), (0, None));
    let Ok(Command::Serve(serve)) = parse("serve --dir d --faults f --oke-port 12250") else {
        panic!("refused")
    };
    assert_eq!((serve.faults, serve.oke_port), (Some(PathBuf::from("f")), 12250));

    for (name, shell) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
        assert!(
            matches!(parse(&format!("completions {name}")), Ok(Command::Completions(s)) if s == shell)
        );
    }
}

#[test]
fn verify_reads_stdin_unless_a_file_or_a_receipt_is_given() {
    let plain = verify("verify oci://b/n");
    assert_eq!(plain.source.unwrap().to_string(), "oci://b/n");
    assert_eq!((plain.stream, plain.receipt), (Some(VerifyStream::Stdin), None));
    assert_eq!((plain.restore, plain.uploaded_part_size, plain.max_memory), (false, None, None));
    assert_eq!(plain.retry_for, Duration::from_secs(3600));
    let file = verify("verify -bn b --name n --file /f --restore --uploaded-part-size 128");
    assert_eq!(file.stream, Some(VerifyStream::File("/f".into())));
    assert_eq!((file.restore, file.uploaded_part_size), (true, Some(128 * MIB)));
    let receipt = verify("verify --receipt r.json");
    assert_eq!((receipt.stream, receipt.source), (None, None));
    assert_eq!(receipt.receipt, Some(PathBuf::from("r.json")));
    assert_eq!(verify("verify --receipt r --file -").stream, Some(VerifyStream::Stdin));
    let named = verify("verify oci://b/other --receipt r --version-id v --if-match e");
    assert_eq!(named.source.unwrap().to_string(), "oci://b/other");
    assert_eq!((named.version_id.as_deref(), named.if_match.as_deref()), (Some("v"), Some("e")));
    let needs = |line: &str| parse(line).unwrap().required_fds();
    assert!(needs("verify oci://b/n").stdin && !needs("verify oci://b/n").stdout);
    assert!(!needs("verify oci://b/n --file f").stdin);
    assert!(!needs("verify --receipt r").stdin);
    for line in [
        "verify",
        "verify --receipt r --namespace ns",
        "verify oci://b/n --receipt -",
        "verify oci://b/n --receipt r --uploaded-part-size 10",
        "verify oci://b/n --max-memory 5",
        "verify oci://b/n --quiet --debug",
        "verify oci://b/n -- cat f",
    ] {
        assert_eq!(parse(line).unwrap_err().kind.exit_code(), 2, "{line}");
    }
}
