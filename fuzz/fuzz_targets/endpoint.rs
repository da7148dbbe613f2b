//! An endpoint: an accepted one parses back from its text, and uses TLS or stays on this machine.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use proto::endpoint::Endpoint;

fuzz_target!(|text: &str| {
    if let Ok(endpoint) = Endpoint::parse("--endpoint", text) {
        let here = endpoint.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        assert!(endpoint.https || here || endpoint.host == "localhost");
        assert_eq!(Endpoint::parse("--endpoint", &endpoint.to_string()), Ok(endpoint));
    }
});
