//! A small client that writes HTTP by hand and signs with ring.
//!
//! Shares no code with the emulator or the real client, so that it cannot share a mistake with
//! them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use emulator::{Server, ServerOptions, StorageLayout, start};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const NS: &str = "/n/axlocalstore";

/// A server with its folder, which is removed when this is dropped.
pub struct Store {
    pub server: Server,
    pub dir: tempfile::TempDir,
}

pub async fn store() -> Store {
    store_with(|_| {}).await
}

pub async fn store_with(change: impl FnOnce(&mut ServerOptions)) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(dir.path(), StorageLayout::Durable);
    change(&mut options);
    Store { server: start(options).await.unwrap(), dir }
}

/// Signs requests.
pub struct Signer {
    pub key_id: String,
    key: ring::rsa::KeyPair,
    pub date: SystemTime,
    /// The headers to sign in place of the usual ones, separated by blanks.
    pub list: Option<&'static str>,
}

impl Signer {
    pub fn token(server: &Server) -> Signer {
        let token = std::fs::read_to_string(server.token_path()).unwrap();
        Signer::with(&server.key_path(), format!("ST${token}"))
    }

    pub fn api_key(server: &Server) -> Signer {
        let config = std::fs::read_to_string(server.config_path()).unwrap();
        let section = config.split_once("[API_KEY]").unwrap().1;
        let value = |name: &str| {
            let line = section.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches('=').to_owned()
        };
        let key_id = format!("{}/{}/{}", value("tenancy"), value("user"), value("fingerprint"));
        Signer::with(&server.key_path(), key_id)
    }

    pub fn with(key: &Path, key_id: String) -> Signer {
        Signer::of_pem(&std::fs::read_to_string(key).unwrap(), key_id)
    }

    /// A signer with the private key of this PEM, in PKCS#8 or PKCS#1.
    pub fn of_pem(pem: &str, key_id: String) -> Signer {
        let body: String = pem.lines().filter(|l| !l.contains(['-', '_'])).collect();
        let der = STANDARD.decode(body).unwrap();
        let key = if pem.contains("BEGIN RSA PRIVATE KEY") {
            ring::rsa::KeyPair::from_der(&der).unwrap()
        } else {
            ring::rsa::KeyPair::from_pkcs8(&der).unwrap()
        };
        Signer { key_id, key, date: SystemTime::now(), list: None }
    }

    /// The SubjectPublicKeyInfo of the key, in base64 on one line.
    pub fn public_key(&self) -> String {
        use ring::signature::KeyPair;
        // The algorithm rsaEncryption with the parameter NULL.
        let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
        let element = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, length[0], length[1]], content].concat()
        };
        let bits = element(3, &[&[0], self.key.public_key().as_ref()].concat());
        STANDARD.encode(element(0x30, &[&algorithm[..], &bits].concat()))
    }

    /// The modulus of the key, in base64url without padding.
    pub fn modulus(&self) -> String {
        let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(self.key.public());
        URL_SAFE_NO_PAD.encode(parts.n)
    }

    fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.key
            .sign(&ring::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .unwrap();
        STANDARD.encode(signature)
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{:?} {body}", self.headers);
        self
    }
}

/// A request.
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'a str, String)>,
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    pub fn new(method: &'a str, target: &'a str) -> Request<'a> {
        Request { method, target, headers: Vec::new(), body: b"" }
    }

    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Request<'a> {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: &'a [u8]) -> Request<'a> {
        self.body = body;
        self
    }

    /// The bytes of the signed head.
    pub fn head(&self, server: &Server, signer: &Signer) -> Vec<u8> {
        let mut headers = self.headers.clone();
        let (name, list) = ("date", "date (request-target) host");
        headers.push((name, httpdate::fmt_http_date(signer.date)));
        headers.push(("host", server.address().to_string()));
        let mut list = list.to_owned();
        if matches!(self.method, "PUT" | "POST") {
            headers.push(("content-length", self.body.len().to_string()));
        }
        if self.method == "POST" {
            headers.push(("content-type", "application/json".to_owned()));
            let hash = ring::digest::digest(&ring::digest::SHA256, self.body);
            headers.push(("x-content-sha256", STANDARD.encode(hash)));
            list += " content-length content-type x-content-sha256";
        }
        let list = signer.list.map_or(list, str::to_owned);
        let text: Vec<String> = list
            .split(' ')
            .map(|name| match name {
                "(request-target)" => {
                    format!("{name}: {} {}", self.method.to_lowercase(), self.target)
                }
                name => {
                    let name = name.to_lowercase();
                    let (_, value) = headers.iter().find(|(known, _)| *known == name).unwrap();
                    format!("{name}: {value}")
                }
            })
            .collect();
        let signature = signer.sign(&text.join("\n"));
        headers.push((
            "authorization",
            format!(
                r#"Signature version="1",headers="{list}",keyId="{}",algorithm="rsa-sha256",signature="{signature}""#,
                signer.key_id
            ),
        ));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        (head + "\r\n").into_bytes()
    }

    /// Sends the request on a connection of its own; fails if the connection breaks.
    pub async fn try_send(&self, server: &Server, signer: &Signer) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(server.address()).await?;
        stream.write_all(&self.head(server, signer)).await?;
        // The server may respond and close the connection before the whole body is sent.
        let _ = stream.write_all(self.body).await;
        read_reply(&mut stream, self.method).await
    }

    /// Sends the request without a signature.
    pub async fn send_unsigned(&self, server: &Server) -> Reply {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        head += &format!("host: {}\r\ncontent-length: {}\r\n", server.address(), self.body.len());
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        stream.write_all(self.body).await.unwrap();
        read_reply(&mut stream, self.method).await.unwrap()
    }

    pub async fn send(&self, server: &Server, signer: &Signer) -> Reply {
        self.try_send(server, signer).await.unwrap()
    }
}

/// Reads the response to a request of this method, after any `100 Continue`.
pub async fn read_reply(stream: &mut (impl AsyncRead + Unpin), method: &str) -> io::Result<Reply> {
    loop {
        let reply = read_one(stream, method).await?;
        if reply.status != 100 {
            return Ok(reply);
        }
    }
}

/// Reads one response, which may be `100 Continue`.
pub async fn read_one(stream: &mut (impl AsyncRead + Unpin), method: &str) -> io::Result<Reply> {
    let early = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(early());
        }
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(early)?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
    stream.read_exact(&mut body).await?;
    Ok(Reply { status, headers, body })
}

/// The claims of a token, without verifying its signature.
pub fn claims(token: &str) -> serde_json::Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// A multipart upload to the bucket `demo`.
pub struct Upload<'a> {
    pub store: &'a Store,
    pub signer: Signer,
    pub name: &'a str,
    pub id: String,
}

impl<'a> Upload<'a> {
    pub async fn create(store: &'a Store, name: &'a str) -> Upload<'a> {
        Upload::create_with(store, name, &[]).await
    }

    pub async fn create_with(
        store: &'a Store,
        name: &'a str,
        headers: &[(&'static str, String)],
    ) -> Upload<'a> {
        let signer = Signer::token(&store.server);
        let body = format!(r#"{{"object": "{name}"}}"#);
        let mut request = Request::new("POST", "/n/axlocalstore/b/demo/u").body(body.as_bytes());
        request.headers.extend_from_slice(headers);
        let reply = request.send(&store.server, &signer).await.is(200);
        let id = reply.json()["uploadId"].as_str().unwrap().to_owned();
        Upload { store, signer, name, id }
    }

    pub fn target(&self) -> String {
        format!("{NS}/b/demo/u/{}?uploadId={}", self.name, self.id)
    }

    pub async fn try_part(&self, number: u32, body: &[u8]) -> io::Result<Reply> {
        let target = format!("{}&uploadPartNum={number}", self.target());
        let request = Request::new("PUT", &target).body(body);
        request.try_send(&self.store.server, &self.signer).await
    }

    /// Uploads a part and returns its etag.
    pub async fn part(&self, number: u32, body: &[u8]) -> String {
        self.try_part(number, body).await.unwrap().is(200).header("etag").to_owned()
    }

    pub async fn commit(&self, parts: &[(u32, &str)], exclude: &[u32]) -> Reply {
        self.commit_with(parts, exclude, &[]).await.unwrap()
    }

    pub async fn commit_with(
        &self,
        parts: &[(u32, &str)],
        exclude: &[u32],
        headers: &[(&'static str, String)],
    ) -> io::Result<Reply> {
        let list: Vec<_> = parts
            .iter()
            .map(|(number, etag)| serde_json::json!({"partNum": number, "etag": etag}))
            .collect();
        let body = serde_json::json!({"partsToCommit": list, "partsToExclude": exclude});
        let (target, body) = (self.target(), body.to_string());
        let mut request = Request::new("POST", &target).body(body.as_bytes());
        request.headers.extend_from_slice(headers);
        request.try_send(&self.store.server, &self.signer).await
    }

    /// ListMultipartUploadParts.
    pub async fn list_parts(&self) -> Reply {
        Request::new("GET", &self.target()).send(&self.store.server, &self.signer).await
    }

    /// GetObject of the upload's object.
    pub async fn object(&self) -> Reply {
        let target = format!("{NS}/b/demo/o/{}", self.name);
        Request::new("GET", &target).send(&self.store.server, &self.signer).await
    }
}
