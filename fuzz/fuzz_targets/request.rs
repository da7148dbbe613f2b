//! A request to the emulator: any request line and headers are accepted or refused without a panic.
//!
//! The input is the request as text: method, target, then header lines.

#![no_main]

use emulator::parsers::{
    Authorization, ClaimedChecksums, Conditions, Coverage, SignedHead, check_coverage, of_headers,
    parse_range, route, signed_text,
};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    lines.filter_map(header).collect()
}

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let headers = headers(lines);
    if let Ok(found) = route(method, target) {
        assert!(found.part().is_none_or(|part| {
            found.query.number("uploadPartNum").is_ok_and(|n| n == Some(part.into()))
        }));
    }
    if let Some(given) = headers.get("authorization").and_then(|value| value.to_str().ok())
        && let Some(given) = Authorization::parse(given)
    {
        let head = SignedHead { method, target, headers: &headers };
        if let Some(text) = signed_text(&given.headers, &head) {
            assert_eq!(text.lines().count().max(1), given.headers.len().max(1));
        }
        let _ = check_coverage(&given, Coverage::HeadAndBody);
    }
    if let Some(range) = headers.get("range").and_then(|value| value.to_str().ok())
        && let Ok(Some((from, length))) = parse_range(Some(range), 1000)
    {
        assert!(length > 0 && from + length <= 1000, "{range}: {from}, {length}");
    }
    let _ = Conditions::of(&headers).allow_write(Some("etag"));
    let _ = Conditions::of(&headers).allow_read("etag");
    let _ = ClaimedChecksums::of(&headers);
    let _ = of_headers(&headers);
});
