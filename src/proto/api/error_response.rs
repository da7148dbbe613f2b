//! Responses with an error status.
//!
//! Owns the error body of the API and the header `retry-after`. Must not know what follows from an error.
//! Invariant: text from the network has no control characters and a bounded length.

use serde::Deserialize;

use super::response::{Response, body_excerpt, shortened};

/// A response with an error status, and the error body of the API where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// The service's error code, such as `BucketNotFound`; `None` without a body of the service.
    pub code: Option<String>,
    /// The service's message, or the beginning of another body.
    pub message: String,
    /// The `opc-request-id` of the response.
    pub request_id: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// The `date` of the response, an HTTP date.
    pub date: Option<String>,
    /// Whether the request went through a pre-authenticated request, and not under a signature.
    pub through_par: bool,
}

impl ErrorResponse {
    /// Reads a response with an error status. A body that is not the API's JSON becomes part of the
    /// message, quoted.
    pub fn of(response: &Response) -> ErrorResponse {
        #[derive(Deserialize)]
        struct ErrorBody {
            code: Option<String>,
            message: Option<String>,
        }
        let (code, message) = match serde_json::from_slice::<ErrorBody>(&response.body) {
            Ok(body) => (
                body.code.map(|code| shortened(&code)),
                shortened(&body.message.unwrap_or_default()),
            ),
            Err(_) if response.body.is_empty() => (None, String::new()),
            Err(_) => (None, format!("the answer was {}", body_excerpt(&response.body))),
        };
        ErrorResponse {
            status: response.status,
            code,
            message,
            request_id: response.request_id(),
            retry_after: retry_after(response),
            date: response.owned_header("date"),
            through_par: false,
        }
    }

    /// The same response to a request that went through a pre-authenticated request.
    pub fn through_par(self) -> ErrorResponse {
        ErrorResponse { through_par: true, ..self }
    }

    /// Whether Object Storage wrote the response, and not a proxy or load balancer in front of it.
    pub fn from_service(&self) -> bool {
        self.request_id.is_some() || self.code.is_some()
    }
}

impl std::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (opc-request-id {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorResponse {}

/// The header `retry-after` in seconds. It is a number of seconds or a date; a date is measured from the
/// `date` of the same response.
fn retry_after(response: &Response) -> Option<u64> {
    let text = response.header("retry-after")?.trim();
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = || date(text)?.duration_since(date(response.header("date")?)?).ok();
    text.parse().ok().or_else(|| until().map(|wait| wait.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_response(body: &str) -> Response {
        Response { status: 400, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let seconds = |value: &str| {
            let headers = [("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("retry-after", value)];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            ErrorResponse::of(&Response { headers, ..error_response("") }).retry_after
        };
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Thu, 01 Jan 2026 00:01:30 GMT"), Some(90));
        assert_eq!(seconds("Wed, 31 Dec 2025 00:00:00 GMT"), None);
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn text_of_the_service_has_no_control_characters() {
        let response = ErrorResponse::of(&error_response(
            r#"{"code":"A\u001bB","message":"one\ntwo \u001b[2J"}"#,
        ));
        assert_eq!(response.to_string(), "HTTP 400 A B: one two  [2J");
        let html = ErrorResponse::of(&error_response("<html>\n\u{1b}[2J</html>"));
        assert!(!html.to_string().contains(char::is_control), "{html}");
        let long = "x".repeat(60_000);
        let long = error_response(&format!(r#"{{"code":"{long}","message":"{long}"}}"#));
        assert!(ErrorResponse::of(&long).to_string().len() < 1000);
    }
}
