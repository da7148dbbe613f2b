//! The expiry, which no URL has: it comes from the option or from the file.

use std::time::{Duration, SystemTime};

use crate::common::store::UnreadStdin;
use crate::host::{Host, write_only};

/// A time this many seconds from now, in RFC 3339.
fn after(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    jiff_time(now + seconds)
}

/// Seconds since 1970 as a time of RFC 3339.
fn jiff_time(seconds: i64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64);
    let text = httpdate::fmt_http_date(time);
    // Sun, 06 Nov 1994 08:49:37 GMT
    let parts: Vec<&str> = text.split(' ').collect();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(parts[2]).unwrap() / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}

const UNKNOWN: &str = "expires is unknown";

#[test]
fn a_par_that_has_expired_is_exit_3_before_anything_is_read_or_sent() {
    for line in [true, false] {
        let host = Host::new(write_only());
        let (unread, stdin) = UnreadStdin::new(host.store.folder());
        let past = after(-5);
        let put = if line {
            let file = host.private_file(&format!("# expires: {past}\n{}", host.par.url));
            crate::common::run::ocipipe(["put", "--par-file"]).arg(file)
        } else {
            host.put().arg("--par-expires").arg(past)
        };
        let done = host.run(put.stdin_from(stdin)).fails(3);
        done.stderr_has(&["expired on", "create a new one"]);
        unread.assert_unread();
        assert_eq!(host.store.requests().len(), 0);
    }
}

#[test]
fn an_unknown_expiry_is_told_once_and_a_known_one_is_not() {
    let host = Host::new(write_only());
    let done = host.run(host.put().stdin("a")).exits(0);
    assert_eq!(done.stderr.matches(UNKNOWN).count(), 1, "{}", done.stderr);
    let known = host.put().args("--force --par-expires").arg(after(3600)).stdin("a");
    host.run(known).exits(0).stderr_lacks(UNKNOWN).stderr_lacks("will fail");
    // The option counts, and not the line of the file.
    let file = host.private_file(&format!("# Expires: {}\n{}", after(-5), host.par.url));
    let both = crate::common::run::ocipipe(["put", "--force", "--par-expires"]).arg(after(3600));
    host.run(both.arg("--par-file").arg(file).stdin("a")).exits(0).stderr_lacks(UNKNOWN);
}

#[test]
fn an_expected_end_behind_the_expiry_is_told_before() {
    let host = Host::new(write_only());
    let put = |options: &str| host.put().args(options).arg("--par-expires").arg(after(60));
    for (options, told) in [
        ("--force --expected-size 10TiB", "even at 10 Gbit/s"),
        ("--force --expected-size 100MiB --bwlimit 1MiB", "at the rate of --bwlimit"),
    ] {
        host.run(put(options).stdin("a")).exits(0).stderr_has(&["expires in", told, "will fail"]);
    }
    host.run(put("--force --expected-size 10MiB").stdin("a")).exits(0).stderr_lacks("will fail");
    let file = host.store.file("f", vec![0; 1 << 20]);
    let of_file = put("--force --bwlimit 10KiB").arg("--file").arg(file).start();
    of_file.wait_for_stderr("at the rate of --bwlimit");
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let host = Host::new(write_only());
    for time in
        ["tomorrow", "2026-01-01", "2026-01-01T00:00:00", "1767225600", "2026-13-01T00:00:00Z"]
    {
        let done = host.run(host.put().arg("--par-expires").arg(time).stdin("a")).fails(2);
        done.stderr_has(&["not a time as in RFC 3339"]);
        let file = host.private_file(&format!("# expires: {time}\n{}", host.par.url));
        let put = crate::common::run::ocipipe(["put", "--par-file"]).arg(file).stdin("a");
        host.run(put).fails(2).stderr_has(&["not a time as in RFC 3339", "expires"]);
    }
    for time in ["2099-01-01T01:00:00+01:00", "2099-01-01t00:00:00.5z"] {
        host.run(host.put().args("--force --par-expires").arg(time).stdin("a")).exits(0);
    }
    assert!(host.store.object("x").is_some());
}
