//! Everything that knows Oracle, and nothing else.

pub mod api;
pub mod customer_key;
pub mod endpoint;
pub mod key;
pub mod lifecycle;
pub mod metadata;
pub mod options;
pub mod profile;
pub mod region;
pub mod session;
pub mod sign;
pub mod token;
