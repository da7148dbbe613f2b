//! A small OCI Object Storage and what its callers sign in with, on loopback: HTTP and TLS,
//! signatures, tokens, and the services from which users, instances, pods, resources and outside
//! identities get them.
//!
//! It exists for tests: of any client of OCI Object Storage, without an account and a network. It
//! checks signatures, tokens, checksums and conditions as the service does, and it fails where a
//! [fault plan](fault) says so. `ocipipe serve` runs it as a program, for tests in other languages. It
//! is written from the service's documentation and shares no code with a client, so that client and
//! emulator cannot share a mistake. It is not made for production: one user, no encryption at rest.
//!
//! # Use
//!
//! | | |
//! |---|---|
//! | Start | [`Server::builder`] |
//! | Point a client at it | [`Server::url`], [`Server::https_url`] with [`Server::ca_path`], [`Server::config_path`], [`Server::env_dir`]; without credentials: [`Server::create_par`] |
//! | Make it fail | [`fault::FaultPlan`] by [`ServerBuilder::faults`] or [`Server::set_faults`]; [`PermissionSet`], [`BucketProtection`], [`Server::set_refresh`], [`Server::revoke`], [`Server::set_clock_offset`] |
//! | Look at what arrived | [`Server::requests`], [`Server::wait_for`], [`Server::counts`], [`Server::object`], [`Server::open_uploads`] |
//! | Stop | [`Server::stop`] |
//!
//! ```
//! use oci_emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
//! use oci_emulator::{Operation, Server};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Part 2 of every upload is refused twice.
//! let busy = Fault::Refuse(FaultResponse::status(503));
//! let rule = FaultRule::on(Operation::UploadPart, busy).part(2).when(Trigger::First(2));
//! let dir = tempfile::tempdir()?;
//! let server = Server::builder(dir.path()).faults(FaultPlan::new().with(rule)).start().await?;
//!
//! // Here the client runs, with `server.url()` as endpoint and the credentials of this file.
//! assert!(server.config_path().is_file());
//!
//! let parts = server.requests().into_iter().filter(|r| r.operation == Operation::UploadPart);
//! println!("{} parts arrived, {} uploads are open", parts.count(), server.open_uploads().len());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/rust_test.rs` is a whole test, to be pasted into another project.
//!
//! # Inside
//!
//! The way of a request: `listener` -> `connection` -> `dispatch` (`route`, `fault`, `apply_fault`,
//! `auth`, `par`, `policy`) -> `handlers` -> `buckets`, `objects`, `multipart`, `par_handlers` ->
//! `store` -> `store::durable` or `plain_files`; or -> `auth_handlers` and `login` -> `auth`,
//! `instance_handlers` -> `instance`, `principal_handlers` -> `principals`. `context` holds the types
//! that they share, `opening` makes them, `control` changes them over HTTP, `server` and its parts from
//! Rust.
//!
//! Invariant: it listens on loopback only, writes only below the folder that it is given, and
//! reads no environment variable.

#![cfg_attr(not(test), warn(missing_docs, unreachable_pub))]

mod apply_fault;
mod auth;
mod auth_handlers;
mod body;
mod body_hasher;
mod buckets;
mod builder;
mod call_counts;
mod checksum;
mod clock;
mod conditions;
mod confined_path;
mod connection;
mod context;
mod control;
mod delay;
mod dispatch;
pub mod fault;
mod handlers;
mod instance;
mod instance_handlers;
mod key_pool;
mod listener;
mod log;
mod login;
mod multipart;
mod objects;
mod opening;
mod operation;
mod paging;
mod par;
mod par_handlers;
mod par_route;
mod par_secret;
mod plain_files;
mod policy;
mod principal_handlers;
mod principals;
mod properties;
mod range;
mod response;
mod rotation;
mod route;
mod run_dir;
mod server;
mod server_config;
mod server_instance;
mod server_options;
mod server_pars;
mod server_principals;
mod signature;
mod spurious;
mod state_dir;
mod store;
mod threads;
mod tls;
mod token;

pub use auth::{KeyKind, PrincipalKind, RefreshMode};
pub use builder::ServerBuilder;
pub use call_counts::{CallCounts, CallKind};
pub use log::Record;
pub use operation::Operation;
pub use par::access::{AccessType, ListingAction};
pub use policy::{BucketProtection, Permission, PermissionSet, Retention};
pub use server::Server;
pub use server_pars::{CreatedPar, NewPar};

// The settings of `ocipipe serve`, and what the tests of `ocipipe` vary. They change without notice.
#[doc(hidden)]
pub use confined_path::check_writable;
#[doc(hidden)]
pub use instance::{
    InstanceOptions, KeyEncoding, LeafTenancy, Rotation, RotationMoment, SubjectShape,
};
#[doc(hidden)]
pub use par::options::{
    AbortStatus, ParConditions, ParOptions, ParRefusal, PartListing, SlashForm,
};
#[doc(hidden)]
pub use principals::resource_files::{FilesAfter, ResourceFileForm};
#[doc(hidden)]
pub use principals::{FileReplacement, PrincipalOptions};
#[doc(hidden)]
pub use server::start;
#[doc(hidden)]
pub use server_config::ServerConfig;
#[doc(hidden)]
pub use server_options::{ServerOptions, StorageLayout};
#[doc(hidden)]
pub use spurious::SpuriousCounts;

/// The parsers of client input, for the fuzz targets.
#[doc(hidden)]
pub mod parsers {
    pub use super::checksum::ClaimedChecksums;
    pub use super::conditions::Conditions;
    pub use super::properties::of_headers;
    pub use super::range::parse_range;
    pub use super::route::route;
    pub use super::signature::{
        Authorization, Coverage, PublicKey, SignedHead, check_coverage, signed_text,
    };
}
