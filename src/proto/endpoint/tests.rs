//! What is accepted as an endpoint, and how it is shown.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Endpoint, Error> {
    Endpoint::parse("--endpoint", text)
}

#[test]
fn scheme_host_and_port_are_read_and_the_authority_is_as_it_is_signed() {
    for (text, https, authority, host, port) in [
        ("https://objectstorage.eu-zurich-1.oraclecloud.com", true, "", "", 443),
        ("https://h:443", true, "h", "h", 443),
        ("HTTPS://H.Example:8443/", true, "h.example:8443", "h.example", 8443),
        ("https://name_space.example", true, "", "name_space.example", 443),
        ("http://127.0.0.1:8080", false, "127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://127.9.9.9", false, "127.9.9.9", "127.9.9.9", 80),
        ("http://localhost:80/", false, "localhost", "localhost", 80),
        ("http://[::1]:81", false, "[::1]:81", "::1", 81),
        ("https://[2001:db8::1]", true, "[2001:db8::1]", "2001:db8::1", 443),
        (" https://h ", true, "h", "h", 443),
    ] {
        let endpoint = parse(text).unwrap();
        let bare = text.trim_start_matches("https://");
        let authority = if authority.is_empty() { bare } else { authority };
        let host = if host.is_empty() { bare } else { host };
        assert_eq!(
            endpoint,
            Endpoint {
                https,
                authority: authority.into(),
                host: host.into(),
                port,
                prefix: String::new()
            },
            "{text}"
        );
        assert_eq!(parse(&endpoint.to_string()), Ok(endpoint), "{text}");
    }
}

#[test]
fn plain_http_goes_to_this_machine_only() {
    for elsewhere in ["example.com", "10.0.0.1", "[::2]", "localhost.example", "128.0.0.1", "0"] {
        let error = parse(&format!("http://{elsewhere}")).unwrap_err();
        assert!(error.message.contains("this machine"), "{elsewhere}: {error}");
    }
}

#[test]
fn a_prefix_precedes_every_path_unchanged() {
    for (text, target, shown) in [
        ("https://H/oci", "/oci/n", "https://h/oci"),
        ("https://h:8443/A/b%20c/", "/A/b%20c/n", "https://h:8443/A/b%20c"),
        ("http://[::1]:81/x", "/x/n", "http://[::1]:81/x"),
        ("https://h/", "/n", "https://h"),
    ] {
        let endpoint = parse(text).unwrap();
        assert_eq!((endpoint.target("/n"), endpoint.to_string()), (target.into(), shown.into()));
    }
}

#[test]
fn a_namespace_can_be_the_first_part_of_the_host() {
    let storage = ObjectStorage::by_namespace(Endpoint::of_host("objectstorage.r.example"));
    let host = |target: &str| storage.endpoint(target).unwrap().authority;
    assert_eq!(host("/n"), "objectstorage.r.example");
    assert_eq!(host("/n/?compartmentId=x"), "objectstorage.r.example");
    assert_eq!(host("/"), "objectstorage.r.example");
    for target in ["/n/ax_1/b/c/o/d", "/n/ax_1", "/n/ax_1?x=y"] {
        assert_eq!(host(target), "ax_1.objectstorage.r.example");
    }
    for target in ["/n/a.b/b", "/n/a%2Fb/b"] {
        assert_eq!(storage.endpoint(target).unwrap_err().kind.exit_code(), 2);
    }
    let one = ObjectStorage::at(Endpoint::of_host("h"));
    assert_eq!(one.endpoint("/n/ax/b").unwrap().authority, "h");
}

#[test]
fn everything_besides_scheme_authority_and_path_is_refused() {
    for text in [
        "",
        "h",
        "//h",
        "ftp://h",
        "https://",
        "https:///",
        "https://h//",
        "https://h//p",
        "https://h/p//",
        "https://h/../p",
        "https://h/p/.",
        "https://h/p p",
        "https://h/p?q",
        "https://h/p#f",
        "https://h?q",
        "https://h#f",
        "https://u@h",
        "https://u:p@h",
        "https://h:",
        "https://h:0",
        "https://h:65536",
        "https://h:-1",
        "https://h:+1",
        "https://h:1:2",
        "https://a b",
        "https://a\r\nb",
        "https://.",
        "https://a..b",
        "https://::1",
        "https://[::1",
        "https://[x]",
        "https://[::1]x",
        "https://h%41",
        "https://\u{e9}",
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.kind.exit_code(), 2);
        assert!(error.message.starts_with("--endpoint: "));
    }
}

#[test]
fn a_password_in_the_url_is_not_repeated() {
    let error = parse("https://me:hunter2@example.com").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

proptest! {
    #[test]
    fn whatever_is_accepted_reads_back_as_itself(text in "https?://[a-zA0-9.:/\\[\\]@?%-]{0,20}") {
        if let Ok(endpoint) = parse(&text) {
            prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
        }
    }
}
