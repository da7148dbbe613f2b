//! The Object Storage API as the client speaks it: requests and answers as data.

pub mod answer;
pub mod request;

pub use answer::{Answer, Archival, Held, ListedPart, ListedUpload, Page, Refusal, Unreadable};
pub use request::{Body, Condition, CustomerKey, Request, Sort, Storing, Target};
