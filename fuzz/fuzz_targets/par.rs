//! A pre-authenticated request: any file is refused, or gives a URL whose objects lie in its bucket; the address of
//! an upload through it is refused, or names its object. No message shows a secret.
//!
//! The first line of the input is the name of an object, the second an address of an upload, the rest the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::par::{GivenNames, ParFile, ParUrl, UploadUri, is_par_url};

/// The segment behind `/p/` of a text; only long ones of the characters of a secret, which no message has by chance.
fn secret(text: &str) -> Option<&str> {
    let secret = text.split_once("/p/")?.1.split(['/', '\n']).next()?;
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_%".contains(&byte);
    let is_long = secret.len() > 20 && secret.bytes().all(is_legal);
    (is_long && text.matches(secret).count() == 1).then_some(secret)
}

fn hidden(shown: &str, text: &str) {
    assert!(secret(text).is_none_or(|secret| !shown.contains(secret)), "{shown}");
}

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let (Some(name), Some(address), Some(text)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let _ = is_par_url(text);
    let file = match ParFile::parse("the file", text) {
        Ok(file) => file,
        Err(error) => return hidden(&format!("{error:?}"), text),
    };
    let again = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    hidden(&format!("{:?}", file.url), again.unwrap_or_default());
    let again = ParUrl::parse("a URL", again.unwrap_or_default().trim_start_matches('\u{feff}'));
    assert_eq!(again.as_ref().ok(), Some(&file.url));
    let given = GivenNames { name: Some(name.to_owned()), ..GivenNames::default() };
    let given = if file.url.is_of_object() { GivenNames::default() } else { given };
    let object = match file.url.object(&given) {
        Ok(object) => object,
        Err(error) => return hidden(&format!("{error:?}"), text),
    };
    assert_eq!(object.location.bucket, file.url.bucket);
    assert_eq!(object.location.namespace, file.url.namespace);
    assert!((1..=1024).contains(&object.location.object.len()));
    assert!(file.url.is_of_object() || object.location.object == name);
    match UploadUri::parse(&object, None, address) {
        Ok(uri) => {
            assert!(!uri.upload_id.is_empty());
            hidden(&format!("{uri:?}"), address);
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
});
