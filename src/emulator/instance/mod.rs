//! What makes a machine an instance: its metadata service, its certificate, and the federation that
//! gives it a token for that certificate.
//!
//! `certificate` writes DER, `subject` the names in it, `authority` issues and checks chains,
//! `metadata` decides which pair the metadata service serves, `federation` checks a request for a
//! token; `super::instance_handlers` speaks HTTP. Invariant: everything is signed by an authority
//! that lives as long as the server, so a certificate of one server is refused by every other.

mod authority;
mod certificate;
mod federation;
mod metadata;
mod options;
mod subject;

pub(crate) use federation::verify_request;
pub(crate) use metadata::MetadataService;
pub use metadata::{LeafTenancy, Rotation, RotationMoment};
pub(crate) use options::check_range;
pub use options::{InstanceOptions, KeyEncoding};
pub use subject::SubjectShape;
