//! Decisions and wire formats of an upload to OCI Object Storage.
//!
//! Owns the upload machine, the token life cycle, the retry policy, the part plan, request signing, and
//! the requests and responses of the API. Must not know a runtime, socket, file, process or clock.
//! Invariant: the manifest names no crate that does I/O.
//!
//! Everything here is a function of its arguments. Time is an argument too: a [`Duration`] since the
//! run began, or [`token_lifecycle::Clocks`]. Random delays come from a generator with a given seed. So
//! a test can run a day of an upload in milliseconds, and repeat it exactly.
//!
//! There are two state machines, both driven by calls: what happened goes in, what to do comes out.
//! [`upload`] and [`token_lifecycle`] document the contract and the order of their calls, and the examples
//! of the crate drive each of them: `fake_service_upload`, `two_tokens` and `sign_request`.
//!
//! | Module | Owns |
//! |---|---|
//! | [`upload`] | the upload machine: parts, commit, resolve, confirm, cleanup |
//! | [`token_lifecycle`] | whether a session token may sign a request, and when to refresh it |
//! | [`retry`] | what a failed attempt means for the upload, the backoff, the retry budget |
//! | [`concurrency`] | how many connections a transfer uses |
//! | [`part_plan`] | the size of each part and the memory for buffers |
//! | [`part_layout`] | the layout of an object as run lengths, and the family of part sizes |
//! | [`range_plan`] | the size of each range of a download and the memory for buffers |
//! | [`digest`] | checksums of parts, and how they combine to those of an object |
//! | [`object_digest`], [`evidence`] | whether a stream is the content of an object, and what proves it |
//! | [`whole_stream`] | what is computed over a whole stream besides the digests of its parts |
//! | [`api`] | requests as data, responses as typed values |
//! | [`sign`], [`key`], [`token`] | request signatures, RSA private keys, session tokens |
//! | [`principal`] | how instances, resources, workloads and outside identities get a token |
//! | [`login`] | the login in a browser that begins a session |
//! | [`par`], [`path_secret`] | pre-authenticated requests: URLs with a secret, through which objects are stored |
//! | [`endpoint`], [`region`] | where a service listens |
//! | [`object_url`], [`metadata`], [`customer_key`], [`byte_range`], [`units`] | values of the command line |
//! | [`receipt`], [`error`] | the two results of a run: JSON on stdout, or a message and an exit code |
//! | [`run_metrics`] | the metrics of the last run, as text in the format of Prometheus |
//! | [`request_fields`] | the request that a message is about, as fields of a log |
//! | [`printable`], [`shell`] | text that is safe on a terminal, and safe to paste into a shell |
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
pub mod byte_range;
pub mod concurrency;
pub mod customer_key;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod evidence;
pub mod key;
pub mod login;
pub mod metadata;
pub mod object_digest;
pub mod object_url;
pub mod par;
pub mod part_layout;
pub mod part_number;
pub mod part_plan;
pub mod path_secret;
pub mod principal;
pub mod printable;
pub mod range_plan;
pub mod receipt;
pub mod region;
pub mod request_fields;
pub mod retry;
pub mod run_metrics;
pub mod shell;
pub mod sign;
pub mod token;
pub mod token_lifecycle;
pub mod transport_error;
pub mod units;
pub mod upload;
pub mod whole_stream;
