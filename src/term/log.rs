//! The form of messages on stderr: text for people, or JSON for programs.
//!
//! Owns the keys of a JSON message, in which a request is named by fields and not only in the text.
//! Must not know what a message is about, or where it is written. Invariant: a message is one line of
//! JSON, or text without a character that a terminal interprets.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use proto::error::Error;
use proto::printable;
use proto::request_fields::RequestFields;

/// How messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// What precedes the text of a message.
    fn label(self) -> &'static str {
        match self {
            Level::Debug => "debug: ",
            Level::Warning => "warning: ",
            Level::Info | Level::Error => "",
        }
    }
}

/// A message and the request that it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub level: Level,
    pub text: &'a str,
    pub request: Option<&'a RequestFields>,
}

impl Message<'_> {
    /// The line for people, without its end. A time is left out: the journal and most log files add one.
    pub(crate) fn text_line(&self) -> String {
        format!("ocipipe: {}{}", self.level.label(), printable::text(self.text))
    }

    /// The JSON object, without a line end; `more` are further fields.
    pub(crate) fn json_line(&self, time: Timestamp, more: Map<String, Value>) -> String {
        let mut fields = Map::new();
        fields.insert("time".to_owned(), rfc3339(time).into());
        fields.insert("level".to_owned(), self.level.name().into());
        fields.insert("message".to_owned(), self.text.into());
        if let Some(request) = self.request {
            add_request(&mut fields, request);
        }
        fields.extend(more);
        printable::json(&Value::Object(fields).to_string()).into_owned()
    }
}

/// The error of a run, without a line end.
pub(crate) fn error_line(error: &Error, format: LogFormat, time: Timestamp) -> String {
    if format == LogFormat::Text {
        return format!("ocipipe: {error}");
    }
    let request = error.request.as_deref();
    let message = Message { level: Level::Error, text: &error.message, request };
    let mut more = Map::new();
    if let Some(hint) = &error.hint {
        more.insert("hint".to_owned(), hint.as_str().into());
    }
    more.insert("exit-code".to_owned(), error.kind.exit_code().into());
    message.json_line(time, more)
}

/// A result that stdout did not accept, with the reason.
pub(crate) fn lost_result_line(
    result: &str,
    reason: &str,
    format: LogFormat,
    time: Timestamp,
) -> String {
    let text = format!("stdout took no result ({reason}); this is it:");
    match format {
        LogFormat::Text => {
            let message = Message { level: Level::Warning, text: &text, request: None };
            format!("{}\n{result}", message.text_line())
        }
        LogFormat::Json => {
            let text = text.trim_end_matches("; this is it:");
            let message = Message { level: Level::Warning, text, request: None };
            let result = serde_json::from_str(result).unwrap_or_else(|_| json!(result));
            message.json_line(time, Map::from_iter([("result".to_owned(), result)]))
        }
    }
}

/// The time in UTC with milliseconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn add_request(fields: &mut Map<String, Value>, request: &RequestFields) {
    let RequestFields { operation, part, attempt, status, code, request_id } = request;
    let known = [
        ("operation", operation.map(Value::from)),
        ("part", part.map(Value::from)),
        ("attempt", attempt.map(Value::from)),
        ("status", status.map(Value::from)),
        ("code", code.as_deref().map(Value::from)),
        ("opc-request-id", request_id.as_deref().map(Value::from)),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    fields.extend(known);
}
