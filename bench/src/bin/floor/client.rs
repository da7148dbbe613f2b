//! One blocking connection: a head, a body in records, a response.
//!
//! Owns the socket and a reused buffer of sealed records. Invariant: a body is passed over once,
//! from the caller's memory into that buffer, and from there to the kernel.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ocipipe_bench::records::{self, Records};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Failed;
use super::download::Block;

/// Bytes that are sealed before they are written; together with their source they fit into the
/// core's own cache.
const PIECE: usize = 256 << 10;

/// The address, and the trusted authority.
pub struct Route {
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Route {
    pub fn plain(port: u16) -> Route {
        Route { port, tls: None }
    }

    pub fn tls(port: u16, ca: &str) -> Result<Route, Failed> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        Ok(Route { port, tls: Some(Arc::new(config)) })
    }
}

pub struct Client {
    socket: Option<TcpStream>,
    records: Option<Records>,
    out: Vec<u8>,
    record: Vec<u8>,
}

impl Client {
    /// A client without a connection.
    pub fn idle() -> Client {
        Client { socket: None, records: None, out: Vec::new(), record: Vec::new() }
    }

    pub fn connect(route: &Route) -> Result<Client, Failed> {
        let mut socket = TcpStream::connect(("127.0.0.1", route.port))?;
        socket.set_nodelay(true)?;
        let records = match &route.tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from("127.0.0.1")?;
                let mut connection = ClientConnection::new(config.clone(), name)?;
                records::handshake(&mut connection, &mut socket)?;
                Some(Records::new(connection.dangerous_extract_secrets()?)?)
            }
        };
        Ok(Client { socket: Some(socket), records, ..Client::idle() })
    }

    /// Sends one request and reads its response.
    pub fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<Answer, Failed> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.write(head.as_bytes())?;
        for piece in body.chunks(PIECE) {
            self.write(piece)?;
        }
        self.answer(method == "HEAD")
    }

    /// Sends a GET and reads a body of `length` bytes into blocks: `next` gives an empty one, and
    /// `full` gets each one with its opened records.
    pub fn read_body(
        &mut self,
        target: &str,
        headers: &[(&'static str, String)],
        length: u64,
        mut full: impl FnMut(Block) -> Result<(), Failed>,
        mut next: impl FnMut() -> Result<Block, Failed>,
    ) -> Result<(), Failed> {
        let mut head = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())?;
        let Client { socket: Some(socket), records: Some(records), .. } = self else {
            return Err("a download needs TLS".into());
        };
        let (mut block, mut at, mut left) = (next()?, 0, length);
        let mut in_body = false;
        while left > 0 {
            let read = socket.read(&mut block.memory[block.used..])?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            block.used += read;
            while let Some(record) = records::complete(&block.memory[at..block.used]) {
                let (kind, plain) = records.open(&mut block.memory[at..at + record])?;
                if kind == records::DATA {
                    let mut start = at + records::HEADER;
                    let end = start + plain.len();
                    if !in_body {
                        // The head is one record or the beginning of one.
                        let body = plain.windows(4).position(|four| four == b"\r\n\r\n");
                        start += body.ok_or("a head in several records")? + 4;
                        in_body = true;
                    }
                    left -= (end - start) as u64;
                    block.plain.push((start, end));
                }
                at += record;
            }
            if left == 0 {
                break;
            }
            let longest = records::HEADER + records::PLAIN + 256;
            if block.memory.len() - at < longest {
                // The beginning of a record goes on in the next block.
                let mut later = next()?;
                later.used = block.used - at;
                later.memory[..later.used].copy_from_slice(&block.memory[at..block.used]);
                full(std::mem::replace(&mut block, later))?;
                at = 0;
            }
        }
        // A block that is not given away here would be missing from then on.
        full(block)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Client { socket: Some(socket), records, out, .. } = self else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match records {
            None => socket.write_all(bytes),
            Some(records) => {
                out.clear();
                records.seal(bytes, out)?;
                socket.write_all(out)
            }
        }
    }

    fn read(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let Client { socket: Some(socket), records, record, .. } = self else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match records {
            None => {
                let mut some = [0; 4096];
                let read = socket.read(&mut some)?;
                text.extend_from_slice(&some[..read]);
                if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            }
            Some(records) => {
                records::read_raw(socket, record)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let (kind, plain) = records.open(record)?;
                if kind == records::DATA {
                    text.extend_from_slice(plain);
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, headless: bool) -> Result<Answer, Failed> {
        let mut text = Vec::new();
        let end = loop {
            match text.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read(&mut text)?,
            }
        };
        let mut answer = Answer {
            status: 0,
            head: String::from_utf8_lossy(&text[..end]).into(),
            body: Vec::new(),
        };
        answer.status = answer.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let length = answer.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let length: usize = if headless { 0 } else { length };
        while text.len() < end + length {
            self.read(&mut text)?;
        }
        answer.body = text.split_off(end);
        Ok(answer)
    }
}

pub struct Answer {
    pub status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub fn expect(self, status: u16) -> Result<Answer, Failed> {
        if self.status == status { Ok(self) } else { Err(self.head.into()) }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
    }

    pub fn field(&self, name: &str) -> Result<String, Failed> {
        let document: serde_json::Value = serde_json::from_slice(&self.body)?;
        Ok(document[name].as_str().ok_or("a field is missing")?.to_owned())
    }
}
