//! The forms of the URLs, the names in them, the file, and what is recognized on a command line.

use proptest::prelude::*;

use super::*;

#[test]
fn every_form_of_a_url_names_its_host_its_bucket_and_its_object() {
    let path = format!("/p/{SECRET}/n/ax/b/backups/o/");
    for (host, authority, https) in [
        ("https://objectstorage.eu-zurich-1.oraclecloud.com", "", true),
        ("https://ax.objectstorage.eu-zurich-1.oci.customer-oci.com", "", true),
        ("https://p1-ax.private.objectstorage.eu-zurich-1.oci.customer-oci.com", "", true),
        ("HTTPS://H.example:443", "h.example", true),
        ("http://127.0.0.1:9000", "127.0.0.1:9000", false),
        ("http://[::1]:9000", "[::1]:9000", false),
    ] {
        for (end, name) in [("", None), ("x", Some("x")), ("a%2Fb/c%20d", Some("a/b/c d"))] {
            let url = parse(&format!(" {host}{path}{end}\n"));
            let expected = if authority.is_empty() { &host[8..] } else { authority };
            assert_eq!((url.endpoint.authority.as_str(), url.endpoint.https), (expected, https));
            assert_eq!((url.namespace.as_str(), url.bucket.as_str()), ("ax", "backups"));
            assert_eq!(url.is_of_object(), name.is_some());
            if let Some(name) = name {
                let object = url.object(&GivenNames::default()).unwrap();
                assert_eq!(object.location.object, name);
                // The path is sent as the URL has it.
                assert_eq!(object.target, format!("/n/ax/b/backups/o/{end}"));
            }
        }
    }
    assert!(!parse(url("").strip_suffix('/').unwrap()).is_of_object());
}

#[test]
fn anything_else_is_refused_and_no_error_shows_the_url() {
    let good = url("x");
    for text in [
        String::new(),
        "https://h".into(),
        good.replace("https://", ""),
        good.replace("https://", "http://"),
        good.replace("https://", "ftp://"),
        good.replace("https://", "https://user:hunter2@"),
        good.replace("/p/", "/q/"),
        good.replace("/p/", "/x/p/"),
        good.replace(SECRET, ""),
        good.replace("/n/ax", ""),
        good.replace("/b/backups", ""),
        good.replace("backups", "back%20ups"),
        good.replace("/o/x", "/"),
        good.replace("/o/x", "/u/x/id/1/"),
        format!("{good}?a=b"),
        format!("{good}#a"),
        format!("{good} {good}"),
        format!("{good}{good}"),
        format!("{good}{}", good.replace('/', "%2F")),
        format!("{good}%zz"),
        format!("{good}%ff"),
        format!("{good}%0a"),
        format!("{good}\u{fc}"),
        format!("{good}{}", "n".repeat(3500)),
        url(&"n".repeat(1025)),
    ] {
        let error = ParUrl::parse("FILE", &text).expect_err(&text);
        assert_eq!(error.kind.exit_code(), 2, "{text}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("hunter2"), "{shown}");
    }
    assert!(!format!("{:?} {:?}", parse(&good), object()).contains(SECRET));
}

fn given(bucket: &str, namespace: &str, name: &str) -> GivenNames {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    GivenNames {
        bucket: text(bucket),
        namespace: text(namespace),
        name: text(name),
        default_name: None,
    }
}

#[test]
fn a_destination_that_is_not_the_par_s_is_a_usage_error() {
    let object = parse(&url("x"));
    for same in [given("", "", ""), given("backups", "", "x"), given("", "ax", "")] {
        assert!(object.object(&same).is_ok(), "{same:?}");
    }
    for other in [given("b", "", ""), given("backups", "bx", "x"), given("", "", "y")] {
        let error = object.object(&other).unwrap_err();
        assert_eq!(error.kind.exit_code(), 2);
        assert!(error.message.contains("the pre-authenticated request is for"), "{error}");
    }
}

#[test]
fn a_bucket_s_par_takes_any_name_and_needs_one() {
    let bucket = parse(&url(""));
    let error = bucket.object(&GivenNames::default()).unwrap_err();
    assert!(error.message.contains("has no name"), "{error}");
    let default = GivenNames { default_name: Some("f".into()), ..GivenNames::default() };
    assert_eq!(bucket.object(&default).unwrap().location.object, "f");
    for (name, encoded) in [
        ("a/b c.dump", "a/b%20c.dump"),
        ("50%?#\u{fc}", "50%25%3F%23%C3%BC"),
        ("a//b", "a%2F%2Fb"),
        ("/a", "%2Fa"),
        ("a/../b", "a%2F..%2Fb"),
        ("..", "%2E%2E"),
        ("dir/", "dir%2F"),
    ] {
        let object = bucket.object(&given("", "", name)).unwrap();
        assert_eq!(object.target, format!("/n/ax/b/backups/o/{encoded}"));
        assert_eq!(object.location.object, name);
    }
    assert!(bucket.object(&given("", "", &"\u{fc}".repeat(512))).is_ok());
    let host = format!("https://{}h", "h.".repeat(100));
    let long = parse(&url("").replace("https://", &host).replace(SECRET, &"s".repeat(1000)));
    let error = long.object(&given("", "", &"%".repeat(1024))).unwrap_err();
    assert!(error.message.contains("bytes, with the"), "{error}");
}

#[test]
fn a_file_has_one_url_and_at_most_one_time() {
    let file = |text: &str| ParFile::parse("--par-file F", text);
    let par = url("x");
    let parsed =
        file(&format!("\u{feff}# for db1\r\n\n # Expires : soon \n  {par}\r\n#\n")).unwrap();
    assert_eq!(parsed.url, parse(&par));
    assert_eq!(parsed.expires.as_deref(), Some("soon"));
    assert_eq!(file(&par).unwrap().expires, None);
    assert!(!format!("{parsed:?}").contains(SECRET));
    for (text, what) in [
        ("", "no URL"),
        ("# only\n", "no URL"),
        (&*format!("{par}\n{par}"), "line 2 is a second URL"),
        (&format!("# expires: a\n# expires: b\n{par}"), "second line `# expires:`"),
        (&format!("# expires 2026-12-31T00:00:00Z\n{par}"), "has no colon"),
        (&format!("#EXPIRES=2026-12-31T00:00:00Z\n{par}"), "has no colon"),
        ("secret-that-is-no-url", "not the URL"),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.message.contains(what) && error.hint.is_some(), "{error}");
        assert!(!error.to_string().contains("secret-that") && !error.to_string().contains(SECRET));
    }
}

#[test]
fn urls_and_paths_of_pars_are_recognized_and_names_of_objects_are_not() {
    let path = format!("/p/{SECRET}/n/ax/b/backups/o/x");
    for text in [
        url("x"),
        url(""),
        path.clone(),
        format!("--par-file={}", url("x")),
        format!("curl {} -o y", url("x")),
        path.replace("/o/x", "/u/x/id/1/"),
        path.replace("/o/x", "/o"),
    ] {
        assert!(is_par_url(&text), "{text}");
    }
    for text in [
        "oci://b/p/s/n/ax/b/c/o/x",
        "oci://backups/p/x",
        "https://objectstorage.eu-zurich-1.oraclecloud.com/n/ax/b/backups/o/x",
        "/p/s/n/ax",
        "/home/p/n/b",
        "",
    ] {
        assert!(!is_par_url(text), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "(https?://h/p/)?[a-zA-Z0-9/%?#.~\u{fc} \n-]{0,60}") {
        let _ = (ParUrl::parse("F", &text), ParFile::parse("F", &text), is_par_url(&text));
        let _ = UploadUri::parse(&object(), Some("1"), &text);
    }

    #[test]
    fn whatever_is_accepted_is_recognized_and_keeps_its_name(name in "[^\0\r\n]{1,60}") {
        let bucket = parse(&url(""));
        let names = GivenNames { name: Some(name.clone()), ..GivenNames::default() };
        let stored = bucket.object(&names).unwrap();
        let text = format!("{}{}", bucket.endpoint.origin(), &*stored.secret.path(&stored.target));
        prop_assert!(is_par_url(&text));
        prop_assert_eq!(parse(&text).object(&GivenNames::default()).unwrap().location, stored.location);
    }
}
