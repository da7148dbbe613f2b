//! Pre-authenticated requests (PARs): URLs with a secret, through which objects are stored unsigned.
//!
//! Owns the forms of the URLs, the file that holds one, and the requests and responses that differ from
//! those of the signed API. Must not know how a request is sent, and which failures are retried.
//! Invariants: a request goes to the host of the PAR's URL only; an error shows no part of a URL but the
//! names in it.
//!
//! No SDK uploads through a PAR, and the pages of the service show few responses: `response` accepts
//! each of the forms that a response may have.

mod destination;
mod file;
mod recognize;
pub mod request;
pub mod response;
mod upload_uri;
mod url;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::options as test_options;

pub use destination::{GivenNames, ParObject};
pub use file::ParFile;
pub use recognize::is_par_url;
pub use upload_uri::UploadUri;
pub use url::ParUrl;
