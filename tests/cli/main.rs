//! Promises of the command line: what is accepted, and what is refused with which words.

#![allow(clippy::unwrap_used)]

mod environment;
mod help;
mod manual;
mod parsing;
mod usage_errors;
