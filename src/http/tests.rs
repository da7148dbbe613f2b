//! The transport against servers made of raw sockets, which can do what no HTTP library does.

mod dial;
mod early;
mod peer;
mod reuse;
mod stall;
