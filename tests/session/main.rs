//! Uploads that outlive their credentials: the real program with tokens of a few seconds.
//!
//! The comment of each scenario gives the number of requests that may get a 401; the scenario
//! checks it in the store's log.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod debug_log;
mod expiry_at_each_call;
mod files;
mod fixture;
mod refresh;
mod refusal;
mod report;
mod retry_for;

/// Defines a test that runs its scenarios in parallel; they mostly wait, so together they take as
/// long as the longest.
macro_rules! together {
    ($group:ident { $($name:ident: $body:expr;)* }) => {
        #[test]
        fn $group() {
            let scenarios: &[(&'static str, fn())] =
                &[$((stringify!($name), || { $body; })),*];
            crate::fixture::together(scenarios);
        }
    };
}
pub(crate) use together;
