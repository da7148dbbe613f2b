//! The request that a message is about, as fields for logs that programs read.
//!
//! Owns these fields and the name of an attempt in texts. Must not know how a log is written. Invariant:
//! a field is set where its value is known as a value, and never read out of a text.

use std::fmt;

/// What is known of a request and its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFields {
    /// The name of the operation in the API reference.
    pub operation: Option<&'static str>,
    /// The number of the part, from 1.
    pub part: Option<u32>,
    /// The number of the attempt, from 1.
    pub attempt: Option<u32>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The error code of the service.
    pub code: Option<String>,
    /// The `opc-request-id` of the response.
    pub request_id: Option<String>,
}

/// One attempt at a request: its name in texts, and its numbers where they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptName {
    name: String,
    part: Option<u32>,
    attempt: Option<u32>,
}

impl AttemptName {
    /// An attempt at a request that is no part; `attempt` counts from 1.
    pub fn numbered(name: &str, attempt: u32) -> AttemptName {
        let name = format!("{name}, attempt {attempt}");
        AttemptName { name, part: None, attempt: Some(attempt) }
    }

    /// An attempt at a part; both numbers count from 1.
    pub(crate) fn of_part(part: u32, attempt: u32) -> AttemptName {
        let name = format!("part {part}, attempt {attempt}");
        AttemptName { name, part: Some(part), attempt: Some(attempt) }
    }

    /// The same name, with the number of the attempt, from 1, as a field only.
    pub fn with_attempt(self, attempt: u32) -> AttemptName {
        AttemptName { attempt: Some(attempt), ..self }
    }

    /// The name in texts.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The fields of the attempt, without those of a response.
    pub fn fields(&self, operation: &'static str) -> RequestFields {
        let AttemptName { part, attempt, .. } = *self;
        RequestFields { operation: Some(operation), part, attempt, ..RequestFields::default() }
    }
}

/// A name without numbers.
impl From<&str> for AttemptName {
    fn from(name: &str) -> AttemptName {
        AttemptName { name: name.to_owned(), part: None, attempt: None }
    }
}

impl From<&AttemptName> for AttemptName {
    fn from(name: &AttemptName) -> AttemptName {
        name.clone()
    }
}

impl fmt::Display for AttemptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A warning of a run, and the request that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The text, on one line.
    pub text: String,
    /// The request that it is about.
    pub request: Option<Box<RequestFields>>,
}

impl From<&str> for Warning {
    fn from(text: &str) -> Warning {
        Warning { text: text.to_owned(), request: None }
    }
}

impl From<String> for Warning {
    fn from(text: String) -> Warning {
        Warning { text, request: None }
    }
}
