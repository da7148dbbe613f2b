//! Decisions and wire formats of an upload to OCI Object Storage.
//!
//! Owns the upload machine, the token life cycle, the retry policy, the part plan, request signing, and
//! the requests and responses of the API. Must not know a runtime, socket, file, process or clock.
//! Invariant: the manifest names no runtime, and no crate that opens a socket or a file; `signal-hook` gives the
//! names of signals.
//!
//! Every decision here is a function of its arguments. Time is an argument too: a [`Duration`] since the
//! run began, or [`token_lifecycle::Clocks`]. Random delays come from a generator with a given seed. So
//! a test can run a day of an upload in milliseconds, and repeat it exactly. Only new keys, the blinding of
//! RSA and the secrets of a login use the random numbers of the system.
//!
//! There are two state machines, both driven by calls: what happened goes in, what to do comes out.
//! [`upload`] and [`token_lifecycle`] document the contract and the order of their calls, and an example of the
//! crate drives each of them: `fake_service_upload` and `two_tokens`. The example `sign_request` signs one request.
//!
//! | Module | Owns |
//! |---|---|
//! | [`upload`] | the upload machine: parts, commit, resolve, confirm, cleanup |
//! | [`token_lifecycle`] | whether a session token may sign a request, and when to refresh it |
//! | [`retry`] | what a failed attempt means for the upload |
//! | [`api`] | requests as data, responses as typed values |
//! | [`sign`], [`key`] | request signatures, RSA private keys |
//! | [`digest`], [`part_number`] | checksums of parts, and how they combine to those of an object |
//! | [`evidence`] | what proves that an object is the stream |
//! | [`error`], [`transport_error`] | the error of a run, and how a connection can fail |
//!
//! These modules are what the examples need. The others are public for the program `ocipipe`, its tests and
//! its fuzz targets only: they are hidden here, and change without notice.
//!
//! Sizes and offsets are bytes, times are [`Duration`]s. Errors for users are [`error::Error`]: a message, a
//! hint and an exit code; each parser has an error type of its own. No function panics, whatever its input.
//!
//! The wire formats are those of the Object Storage API
//! (<https://docs.oracle.com/en-us/iaas/api/#/en/objectstorage/latest/>) and of "Request Signatures"
//! (<https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm>). Each module names its source.
//!
//! # Example
//!
//! What a failed attempt means is a function of the operation and the response:
//!
//! ```
//! use ocipipe_proto::api::ErrorResponse;
//! use ocipipe_proto::retry::{Failure, Operation, RetryDecision, RunStage, classify};
//! use ocipipe_proto::transport_error::TransportError;
//!
//! let throttled = ErrorResponse { status: 429, ..ErrorResponse::default() };
//! let lost = Failure::Transport { kind: TransportError::ResponseLost, text: String::new() };
//! let decide = |operation, failure: &Failure| classify(operation, RunStage::Streaming, failure);
//! assert_eq!(
//!     decide(Operation::Part, &Failure::ErrorResponse(throttled)),
//!     RetryDecision::Retry { throttled: true }
//! );
//! // A part is sent again; a commit may have been done.
//! assert_eq!(decide(Operation::Part, &lost), RetryDecision::Retry { throttled: false });
//! assert_eq!(decide(Operation::Commit, &lost), RetryDecision::ResolveOutcome);
//! ```
//!
//! [`Duration`]: std::time::Duration

#![cfg_attr(not(test), warn(missing_docs, unreachable_pub))]

pub mod api;
pub mod digest;
pub mod error;
pub mod evidence;
pub mod key;
pub mod part_number;
pub mod retry;
pub mod sign;
#[cfg(test)]
mod state_space;
pub mod token_lifecycle;
pub mod transport_error;
pub mod upload;

#[doc(hidden)]
pub mod byte_range;
#[doc(hidden)]
pub mod concurrency;
#[doc(hidden)]
pub mod customer_key;
#[doc(hidden)]
pub mod endpoint;
#[doc(hidden)]
pub mod login;
#[doc(hidden)]
pub mod metadata;
#[doc(hidden)]
pub mod object_digest;
#[doc(hidden)]
pub mod object_url;
#[doc(hidden)]
pub mod par;
#[doc(hidden)]
pub mod part_layout;
#[doc(hidden)]
pub mod part_plan;
#[doc(hidden)]
pub mod path_secret;
#[doc(hidden)]
pub mod principal;
#[doc(hidden)]
pub mod printable;
#[doc(hidden)]
pub mod range_plan;
#[doc(hidden)]
pub mod receipt;
#[doc(hidden)]
pub mod region;
#[doc(hidden)]
pub mod request_fields;
#[doc(hidden)]
pub mod run_metrics;
#[doc(hidden)]
pub mod shell;
#[doc(hidden)]
pub mod token;
#[doc(hidden)]
pub mod units;
#[doc(hidden)]
pub mod whole_stream;
