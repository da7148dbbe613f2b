//! The part of HTTP/1.1 that uploading clients use.
//!
//! Owns heads, bodies (by length or chunked, with trailers) and responses. Invariant: a body
//! is consumed to its last byte before the response, so that the connection can be used again.

use std::io;

use super::check::{self, Claim, Digests};
use super::wire::Wire;

/// Bodies of documents up to this size, in bytes, are kept.
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

/// The properties of a body that was consumed.
pub struct Received {
    pub size: u64,
    pub claims: Vec<Claim>,
    /// The body, if it is a small document.
    pub document: Vec<u8>,
    pub mismatch: Option<String>,
}

impl Received {
    pub fn read(wire: &mut Wire, head: &Head, verify: bool) -> io::Result<Received> {
        let is = |name: &str, word: &str| head.header(name).is_some_and(|v| v.contains(word));
        if is("expect", "100-continue") {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = head.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let chunked = is("transfer-encoding", "chunked");
        let keep = head.method == "POST" && length <= KEPT;
        let mut body = Body {
            left: if chunked { 0 } else { length },
            state: if chunked { State::Before } else { State::Plain },
            trailers: Vec::new(),
            digests: verify.then(Digests::new),
            document: keep.then(Vec::new),
            wire,
        };
        let mut size = 0;
        if is("content-encoding", "aws-chunked") {
            // Chunks of S3's own, inside those of HTTP; only what they hold is the object.
            loop {
                let chunk = chunk_size(&body.line()?)?;
                if chunk == 0 {
                    break;
                }
                body.pass(chunk)?;
                body.line()?;
                size += chunk;
            }
            loop {
                let line = body.line()?;
                let Some((name, value)) = line.split_once(':') else { break };
                body.trailers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        while body.more()? {
            let left = body.left;
            body.pass(left)?;
            size += left;
        }
        let claims: Vec<Claim> = head
            .headers
            .iter()
            .chain(&body.trailers)
            .filter(|(name, value)| check::is_claim(name, value))
            .cloned()
            .collect();
        let document = body.document.unwrap_or_default();
        let mismatch = body.digests.and_then(|digests| digests.mismatch(&claims));
        Ok(Received { size, claims, document, mismatch })
    }
}

/// A body, with the transfer encoding removed.
struct Body<'w> {
    wire: &'w mut Wire,
    /// Remaining bytes of the body, or of the current chunk.
    left: u64,
    state: State,
    trailers: Vec<(String, String)>,
    digests: Option<Digests>,
    document: Option<Vec<u8>>,
}

#[derive(PartialEq, Eq)]
enum State {
    /// Not chunked.
    Plain,
    /// Before the first chunk.
    Before,
    Within,
    Done,
}

impl Body<'_> {
    /// Whether the body continues; reads the next chunk's head if necessary.
    fn more(&mut self) -> io::Result<bool> {
        if self.left > 0 || matches!(self.state, State::Plain | State::Done) {
            return Ok(self.left > 0);
        }
        if self.state == State::Within {
            self.wire.line()?;
        }
        self.state = State::Within;
        self.left = chunk_size(&self.wire.line()?.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        if self.left == 0 {
            self.state = State::Done;
            self.trailers.append(&mut headers(self.wire)?);
        }
        Ok(self.left > 0)
    }

    /// Consumes bytes of the object, read or discarded.
    fn pass(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = bytes.min(self.left);
            let (digests, document) = (&mut self.digests, &mut self.document);
            if digests.is_none() && document.is_none() {
                self.wire.skip(now)?;
            } else {
                self.wire.take(now, |piece| {
                    digests.iter_mut().for_each(|d| d.update(piece));
                    document.iter_mut().for_each(|d| d.extend_from_slice(piece));
                })?;
            }
            self.left -= now;
            bytes -= now;
        }
        Ok(())
    }

    /// A line within the body, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if !self.more()? {
                break;
            }
            self.wire.take(1, |byte| line.extend_from_slice(byte))?;
            self.left -= 1;
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn chunk_size(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData.into())
}

pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// The value of `content-length` in a response to HEAD.
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
        206 => "Partial Content",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        _ => "Status",
    }
}
