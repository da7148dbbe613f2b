//! The transport against servers made of raw sockets, which can do what no HTTP library does.

mod dial;
mod early;
mod peer;
mod proxy;
mod reuse;
mod stall;
