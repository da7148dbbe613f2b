//! HTTP/1.1, the little of it that uploading clients send.
//!
//! Owns heads, bodies (by length or chunked, with trailers) and answers. Invariant: a body is
//! consumed to its last byte before the answer, so the connection can go on.

use std::io;

use super::check::{self, Claim, Digests};
use super::wire::Wire;

/// Bodies up to this size are kept if their request is one that needs it.
const KEPT: u64 = 32 << 20;

pub struct Head {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    pub fn read(wire: &mut Wire) -> io::Result<Option<Head>> {
        let Some(line) = wire.line()? else { return Ok(None) };
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok(Some(Head { method, target, headers: headers(wire)? }))
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A query value; empty for a name without one.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }
}

fn headers(wire: &mut Wire) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = wire.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

/// What is known of a body after it has passed.
pub struct Received {
    pub size: u64,
    pub claims: Vec<Claim>,
    /// Small bodies of calls that are documents.
    pub document: Vec<u8>,
    pub mismatch: Option<String>,
}

impl Received {
    pub fn read(wire: &mut Wire, head: &Head, verify: bool) -> io::Result<Received> {
        let length: u64 = head.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let chunked = head.header("transfer-encoding").is_some_and(|v| v.contains("chunked"));
        if head.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut document = Vec::new();
        let mut digests = verify.then(Digests::new);
        let keep = head.method == "POST" && length <= KEPT;
        let mut pass = |wire: &mut Wire, bytes: u64| match &mut digests {
            Some(digests) => wire.take(bytes, |piece| {
                digests.update(piece);
                if keep {
                    document.extend_from_slice(piece);
                }
            }),
            None if keep => wire.take(bytes, |piece| document.extend_from_slice(piece)),
            None => wire.skip(bytes),
        };
        let (mut size, mut trailers) = (length, Vec::new());
        if chunked {
            size = 0;
            loop {
                let line = wire.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let chunk = u64::from_str_radix(digits, 16)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                if chunk == 0 {
                    break;
                }
                pass(wire, chunk)?;
                size += chunk;
                wire.line()?;
            }
            trailers = headers(wire)?;
        } else {
            pass(wire, length)?;
        }
        let claims: Vec<Claim> = head
            .headers
            .iter()
            .chain(&trailers)
            .filter(|(name, value)| check::is_claim(name, value))
            .cloned()
            .collect();
        let mismatch = digests.and_then(|digests| digests.mismatch(&claims));
        Ok(Received { size, claims, document, mismatch })
    }
}

pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// What a HEAD says instead of the body's length.
    pub length: Option<u64>,
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: String::new(), length: None }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, content_type: &'static str, text: impl Into<String>) -> Answer {
        self.body = text.into();
        self.with("content-type", content_type)
    }

    pub fn error(status: u16, code: &str, message: &str) -> Answer {
        let body = serde_json::json!({ "code": code, "message": message });
        Answer::new(status).body("application/json", body.to_string())
    }

    pub fn bytes(&self, head: &Head) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("opc-request-id: sink\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
        let length = self.length.unwrap_or(self.body.len() as u64);
        if self.status != 204 {
            text.push_str(&format!("content-length: {length}\r\n"));
        }
        text.push_str("\r\n");
        if head.method != "HEAD" {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        _ => "Status",
    }
}
