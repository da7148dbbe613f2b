//! The transport against servers of raw sockets, which can break HTTP where no library lets them.

mod body_into_sink;
mod connect;
mod drip;
mod early;
mod peer;
mod proxy;
mod redirect;
mod reuse;
mod stall;
mod tls;
mod tls_hostile;
