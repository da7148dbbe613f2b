//! The settings of resource principals of each version.

use super::principals::{auth, error, resolve, shown, storage};
use super::*;
use crate::auth::options::AuthMode;

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
