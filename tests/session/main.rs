//! Uploads that outlive their credentials: the real binary, and tokens of a few seconds.
//!
//! Each scenario says how many requests the store may refuse with 401, and counts them there.

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

/// One test of several scenarios side by side: they wait for most of their time, and together they
/// take no longer than the longest.
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
