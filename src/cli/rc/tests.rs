//! Options set by the rc file, and what overrides them.

use std::path::PathBuf;

use super::*;
use crate::auth::options::AuthMode;
use crate::cli::{self, Command, GetCommand, Overwrite, PutCommand, UploadsAction};

/// A home folder with an rc file.
struct Home(tempfile::TempDir);

impl Home {
    fn with(rc: &str) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        home.write(".oci/oci_cli_rc", rc.as_bytes());
        home
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn parse(&self, line: &str, vars: &[(&str, &str)]) -> Result<Command, Error> {
        let environment = Environment::of(vars.iter().copied(), Some(self.0.path().to_owned()));
        cli::parse(line.split_whitespace().map(Into::into).collect(), &environment)
    }

    #[track_caller]
    fn put(&self, line: &str) -> PutCommand {
        match self.parse(&format!("put {line}"), &[]) {
            Ok(Command::Put(put)) => *put,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn get(&self, line: &str, vars: &[(&str, &str)]) -> GetCommand {
        match self.parse(&format!("get oci://b/n {line}"), vars) {
            Ok(Command::Get(get)) => *get,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn error(&self, line: &str) -> String {
        let error = self.parse(line, &[]).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2);
        error.to_string()
    }
}

fn text(setting: &Option<Setting>) -> &str {
    setting.as_ref().map_or("", |setting| &setting.text)
}

#[test]
fn the_profile_is_that_of_the_option_the_variable_or_the_settings_and_has_its_own_defaults() {
    let home = Home::with(
        "[OCI_CLI_SETTINGS]\ndefault_profile = PROD\n\
         [DEFAULT]\nregion = r-default\nauth = api_key\n\
         [PROD]\nregion = r-prod\n[OTHER]\nregion = r-other\nauth=security_token\n",
    );
    let of = |line: &str, vars: &[(&str, &str)]| {
        let service = home.get(line, vars).service;
        (text(&service.profile).to_owned(), text(&service.region).to_owned(), service.auth)
    };
    let triple = |profile: &str, region: &str, auth| (profile.to_owned(), region.to_owned(), auth);
    let api_key = Some(AuthMode::ApiKey);
    assert_eq!(of("", &[]), triple("PROD", "r-prod", api_key));
    let variable = [("OCI_CLI_PROFILE", "OTHER")];
    assert_eq!(of("", &variable), triple("OTHER", "r-other", Some(AuthMode::SecurityToken)));
    assert_eq!(of("--profile DEFAULT", &variable), triple("DEFAULT", "r-default", api_key));
    // A profile that the file lacks inherits nothing.
    assert_eq!(of("--profile NEW", &[]), triple("NEW", "", None));
}

#[test]
fn an_option_overrides_a_variable_and_a_variable_overrides_the_file() {
    let home = Home::with(
        "[DEFAULT]\nregion=f\nendpoint=https://f\ncert-bundle=/f\nauth=api_key\n\
         [OCI_CLI_SETTINGS]\nproxy=http://f:1\n",
    );
    let all = [
        ("OCI_CLI_REGION", "v"),
        ("OCI_CLI_ENDPOINT", "https://v"),
        ("OCI_CLI_CERT_BUNDLE", "/v"),
        ("HTTPS_PROXY", "http://v:1"),
    ];
    let options = "--region o --endpoint https://o --cert-bundle /o --proxy http://o:1";
    for (line, vars, from) in [(options, &all[..], "o"), ("", &all, "v"), ("", &[], "f")] {
        let service = home.get(line, vars).service;
        assert_eq!(text(&service.region), from);
        assert_eq!(text(&service.endpoint), format!("https://{from}"));
        assert_eq!(text(&service.network.proxy), format!("http://{from}:1"));
        let bundle = service.network.cert_bundle.unwrap();
        assert_eq!(bundle.paths, [PathBuf::from(format!("/{from}"))]);
    }
    // The key is named as the origin, and comes after the variables of other tools too.
    let bundle = home.get("", &[]).service.network.cert_bundle.unwrap();
    assert!(bundle.origin.starts_with("cert-bundle in ") && bundle.origin.ends_with("oci_cli_rc"));
    for variable in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"] {
        let bundle = home.get("", &[(variable, "/r")]).service.network.cert_bundle.unwrap();
        assert_eq!(bundle.paths, [PathBuf::from("/r")], "{variable}");
    }
}

#[test]
fn the_key_with_the_longest_prefix_counts_and_variables_in_values_are_replaced() {
    let home = Home::with(
        "[DEFAULT]\npart-size = 10\nos.part-size = 20\nos.object.part-size = 30\n\
         os.object.put.part-size = 40\nos.object.get.retry-for = 5s\nretry-for = 7s\n\
         os.multipart.list.older-than = 2d\nbn = one\nos.object.put.bucket-name = $B-2\n\
         ns = ${NS}\ncontent-type = $NOT/x\n",
    );
    let vars = [("B", "two"), ("NS", "ax")];
    let mib = 1 << 20;
    let Ok(Command::Put(put)) = home.parse("put --name n", &vars) else { panic!() };
    assert_eq!((put.part_size, put.retry_for.as_secs()), (Some(40 * mib), 7));
    let error = home.parse("put oci://c/n", &[("NS", "a b")]).unwrap_err();
    assert!(error.to_string().contains("ns in "), "{error}");
    let Ok(Command::Put(put)) = home.parse("put oci://c/n", &vars) else { panic!() };
    assert_eq!(put.target.url().unwrap().to_string(), "oci://c@ax/n");
    assert_eq!(put.object.content_type.as_deref(), Some("$NOT/x"));
    assert_eq!(home.get("", &vars).retry_for.as_secs(), 5);
    assert_eq!(put.target.url().unwrap().bucket, "c");
    let Ok(Command::Uploads(list)) = home.parse("uploads list", &vars) else { panic!() };
    assert_eq!((list.place.bucket.as_str(), list.older_than.unwrap().as_secs()), ("one", 172800));
}

#[test]
fn an_option_on_the_command_line_suppresses_those_it_excludes() {
    let home = Home::with(
        "[DEFAULT]\nforce=true\nquiet=yes\nbucket-name=b\nnamespace=ns\nfile=/f\nno-refresh=on\n\
         realm-specific-endpoint=true\n",
    );
    let put = home.put("oci://c@other/n");
    assert_eq!(
        (put.target.url().unwrap().to_string().as_str(), put.overwrite),
        ("oci://c@other/n", Overwrite::Force)
    );
    assert!(put.output.quiet && put.service.no_refresh);
    assert_eq!(put.source, cli::StreamSource::File("/f".into()));
    let put =
        home.put("--no-overwrite --debug --name n --endpoint https://e --refresh-before 1s -- x");
    assert_eq!(
        (put.target.url().unwrap().to_string().as_str(), put.overwrite),
        ("oci://b@ns/n", Overwrite::Never)
    );
    assert!(put.output.debug && !put.output.quiet && !put.service.no_refresh);
    assert_eq!(put.service.host_variant.realm_specific, None);
    assert!(home.parse("session refresh", &[]).is_ok());
    let put = home.put("--if-match e --name n");
    assert_eq!(put.overwrite, Overwrite::IfMatch("e".into()));
}

#[test]
fn a_switch_is_true_false_or_an_error_and_an_empty_value_is_ignored() {
    for (value, force) in [("TRUE", true), ("1", true), ("off", false), ("N", false), ("", false)] {
        let home = Home::with(&format!("[DEFAULT]\nos.object.put.force = {value}\nregion =\n"));
        let put = home.put("oci://b/n");
        assert_eq!(put.overwrite == Overwrite::Force, force, "{value}");
        assert!(put.service.region.is_none());
        let warned = put.service.warnings.iter().any(|text| text.contains("os.object.put.force"));
        assert_eq!(warned, force, "{value}");
    }
    let home = Home::with("[DEFAULT]\nforce = maybe\n");
    let error = home.error("put oci://b/n");
    assert!(error.contains("force in ") && error.contains("neither yes nor no"), "{error}");
}

#[test]
fn keys_that_look_as_if_they_had_an_effect_are_warnings_and_the_rest_are_not() {
    let home = Home::with(
        "[DEFAULT]\nprofile = P\nconfig-file = c\nproxy = p\ncert_bundle = x\n\
         os.object.put.no-such = 1\nos.object.put.part_size = 1\n\
         os.object.get.no-such = 1\ncompartment-id = ocid1\noutput = table\ncompute.image.x = 1\n\
         [OCI_CLI_SETTINGS]\nregion = r\nuse_click_help = true\n[OCI_CLI_CANNED_QUERIES]\nall = 1\n",
    );
    let put = home.put("oci://b/n");
    let mut warned: Vec<&str> =
        put.service.warnings.iter().map(|text| text.split(' ').next().unwrap()).collect();
    warned.sort_unstable();
    let expected = ["cert_bundle", "config-file", "os.object.put.no-such"];
    let expected = [&expected[..], &["os.object.put.part_size", "profile", "proxy", "region"]];
    assert_eq!(warned, expected.concat());
    assert!(put.service.region.is_none() && put.service.profile.is_none());
}

#[test]
fn the_mode_and_its_settings_are_those_of_the_option_the_variable_or_the_file() {
    let home = Home::with(
        "[DEFAULT]\nauth=instance_principal\nfederation-endpoint=https://f\n\
         exchange-url=https://f\nexchange-jwt-file=~/f\nexchange-client-id=f\n\
         exchange-client-secret-file=/f\nopc-client-request-id=f\n",
    );
    let all = [
        ("OCI_CLI_AUTH", "resource_principal"),
        ("OCI_CLI_FEDERATION_ENDPOINT", "https://v"),
        ("OCIPIPE_EXCHANGE_URL", "https://v"),
        ("OCIPIPE_EXCHANGE_JWT_FILE", "/v"),
        ("OCIPIPE_EXCHANGE_CLIENT_ID", "v"),
        ("OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE", "/v"),
    ];
    let options = "--auth token_exchange --federation-endpoint https://o --exchange-url https://o \
                   --exchange-jwt-file /o --exchange-client-id o --exchange-client-secret-file /o \
                   --request-id o";
    for (line, vars, auth, from, id) in [
        (options, &all[..], AuthMode::TokenExchange, "o", "o"),
        ("", &all, AuthMode::ResourcePrincipal, "v", "f"),
        ("", &[], AuthMode::InstancePrincipal, "f", "f"),
    ] {
        let service = home.get(line, vars).service;
        assert_eq!((service.auth, service.client_request_id.as_deref()), (Some(auth), Some(id)));
        // As in the OCI CLI, the file does not set this one.
        let federation = if from == "f" { String::new() } else { format!("https://{from}") };
        assert_eq!(text(&service.federation_endpoint), federation);
        let exchange = service.exchange;
        assert_eq!(text(&exchange.url), format!("https://{from}"));
        assert_eq!(text(&exchange.client_id), from);
        let expand = |path: PathBuf| path.file_name().unwrap().to_owned();
        assert_eq!(exchange.jwt_file.map(expand).unwrap(), from);
        assert_eq!(exchange.client_secret_file, Some(PathBuf::from(format!("/{from}"))));
        let on_command_line = (from == "o").then_some("--exchange-url");
        assert_eq!(exchange.on_command_line.first().map(String::as_str), on_command_line);
        let warned = service.warnings.iter().any(|text| text.contains("federation-endpoint"));
        assert!(warned, "{:?}", service.warnings);
    }
    let error = home.error("put oci://b/n --auth kerberos");
    assert!(error.contains("--auth: ") && error.contains("token_exchange"), "{error}");
    let error = home.parse("put oci://b/n", &[("OCI_CLI_AUTH", "Instance_Principal")]);
    assert!(error.unwrap_err().message.starts_with("OCI_CLI_AUTH: "));
}

#[test]
fn a_section_of_the_profile_is_known_as_one() {
    let home = Home::with("[DEFAULT]\n[P]\nauth=instance_principal\n");
    for (line, known) in [("", true), ("--profile P", true), ("--profile Q", false)] {
        assert_eq!(home.get(line, &[]).service.profile_in_rc, known, "{line}");
    }
}

#[test]
fn all_uploads_are_never_aborted_because_of_a_file() {
    let home = Home::with("[DEFAULT]\nall = true\nos.multipart.abort.all = true\n");
    assert!(home.error("uploads abort oci://b").contains("nothing says which uploads"));
    let Ok(Command::Uploads(all)) = home.parse("uploads abort oci://b --all", &[]) else {
        panic!()
    };
    assert_eq!(all.action, UploadsAction::Abort);
}

#[test]
fn the_file_is_the_named_one_or_a_default_path() {
    let home = Home::with("[DEFAULT]\nregion = usual\n");
    let region =
        |line: &str, vars: &[(&str, &str)]| text(&home.get(line, vars).service.region).to_owned();
    let named = home.write("named", b"[DEFAULT]\nregion = named\n");
    let other = home.write("other", b"[DEFAULT]\nregion = other\n");
    home.write(".oci/cli-defaults", b"[DEFAULT]\nregion = older\n");
    let vars = [("OCI_CLI_RC_FILE", "$DIR/named"), ("DIR", home.0.path().to_str().unwrap())];
    assert_eq!(region("", &[]), "usual");
    assert_eq!(region("", &vars), "named");
    assert_eq!(region(&format!("--cli-rc-file {}", other.display()), &vars), "other");
    assert_eq!(region("--cli-rc-file ~/named", &[]), "named");
    // A printed command names the file that an option has named.
    let rc_file = |line: &str, vars: &[(&str, &str)]| home.get(line, vars).service.rc_file;
    assert_eq!(rc_file("--cli-rc-file ~/named", &[]), Some(named.clone()));
    assert_eq!(rc_file("", &vars), None);
    std::fs::remove_file(home.0.path().join(".oci/oci_cli_rc")).unwrap();
    assert_eq!(region("", &[]), "older");
    std::fs::remove_file(home.0.path().join(".oci/cli-defaults")).unwrap();
    assert_eq!(region("", &[]), "");
    std::fs::remove_file(named).unwrap();
    let missing = home.parse("get oci://b/n", &vars).unwrap_err();
    assert!(missing.message.starts_with("OCI_CLI_RC_FILE: there is no file"), "{missing}");
    assert!(home.error("get oci://b/n --cli-rc-file /no/such").contains("--cli-rc-file"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_for_commands_that_use_it() {
    for bytes in [&b"region = x\n"[..], b"[DEFAULT\n", b"[DEFAULT]\nk=\xff\n", b"[A]\n[A]\n"] {
        let home = Home::with("");
        home.write(".oci/oci_cli_rc", bytes);
        assert!(home.error("put oci://b/n").contains("oci_cli_rc"));
        assert!(home.error("session show").contains("oci_cli_rc"));
        // A command without an account does not read the file.
        assert!(home.parse("put --local /d oci://b/n", &[]).is_ok());
        assert!(home.parse("serve --dir /d", &[]).is_ok());
    }
    let home = Home::with("");
    std::fs::remove_file(home.0.path().join(".oci/oci_cli_rc")).unwrap();
    std::fs::create_dir(home.0.path().join(".oci/oci_cli_rc")).unwrap();
    assert!(home.error("get oci://b/n").contains("cannot be read"));
    let both = "put --local /d oci://b/n --cli-rc-file /x";
    assert!(home.error(both).contains("contradict"));
}

#[test]
fn an_error_names_the_key_that_set_the_option() {
    let home = Home::with("[DEFAULT]\nos.object.put.part-size = many\nauth = kerberos\n");
    let error = home.error("put oci://b/n");
    assert!(error.contains("os.object.put.part-size in "), "{error}");
    let error = home.error("get oci://b/n");
    assert!(error.starts_with("auth in ") && error.contains("kerberos"), "{error}");
}

#[test]
fn the_object_of_a_receipt_is_not_that_of_the_file() {
    let home = Home::with(
        "[DEFAULT]\nbucket-name = b\nname = n\nnamespace = ns\nos.object.verify.max-memory = 64MiB\n\
         os.object.get.max-memory = 32MiB\n",
    );
    let verify = |line: &str| match home.parse(&format!("verify {line}"), &[]) {
        Ok(Command::Verify(verify)) => *verify,
        other => panic!("{line}: {other:?}"),
    };
    let of_receipt = verify("--receipt r");
    assert_eq!((of_receipt.source, of_receipt.max_memory), (None, Some(64 << 20)));
    let name = |line: &str| verify(line).source.unwrap().to_string();
    assert_eq!(name(""), "oci://b@ns/n");
    assert_eq!(name("--receipt r oci://c@other/m"), "oci://c@other/m");
    assert_eq!(name("--receipt r --name m"), "oci://b@ns/m");
}

#[test]
fn keys_that_people_set_for_the_oci_cli_do_not_stop_a_run() {
    let home = Home::with(
        "[DEFAULT]\noutput = table\nquery = data\nraw_output = true\nno_retry = true\n\
         read-timeout = 7\nos.object.put.part-size = 64\npart-size = 32\n",
    );
    let put = home.put("oci://b/n");
    assert_eq!((put.stall_timeout.as_secs(), put.part_size), (7, Some(64 << 20)));
    let [warning] = &put.service.warnings[..] else { panic!("{:?}", put.service.warnings) };
    assert!(
        warning.contains("no_retry in") && warning.contains("--retry-for decides"),
        "{warning}"
    );
    assert_eq!(home.put("oci://b/n --stall-timeout 3s").stall_timeout.as_secs(), 3);
}

#[test]
fn a_force_for_aborts_is_no_word_about_replacing() {
    let home = Home::with("[DEFAULT]\nforce = true\n");
    let Ok(Command::Uploads(abort)) = home.parse("uploads abort oci://b/n", &[]) else { panic!() };
    assert_eq!(abort.service.warnings, [""; 0]);
    let put = home.put("oci://b/n");
    assert!(put.overwrite == Overwrite::Force && put.service.warnings.len() == 1);
    assert_eq!(home.put("oci://b/n --identical-ok").overwrite, Overwrite::Never);
}
