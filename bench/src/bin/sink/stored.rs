//! Objects for downloading clients: `stored-SIZE-CHECKSUM`, made up when they are asked for.
//!
//! Owns their bytes (one block, over and over; its length is a prime, so that no two ranges are
//! equal), their digest and the responses to HEAD and GET of both APIs, and the listing of those that
//! were asked for, which rclone reads after the HEAD. Invariant: an object of one name always has the
//! same bytes.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::json;

use super::http::{Answer, Head};
use super::oci;
use super::wire::Wire;

/// A prime just above 4 MiB; the first bytes are repeated after it.
const BLOCK: usize = 4_194_319;
/// Bytes that are sealed and sent at a time.
const PIECE: usize = 256 << 10;
const EMPTY_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
const ETAG: &str = "5f0c3f1e-6f0a-4a3e-9d4e-1f5a1f0e7c11";

pub struct Stored {
    block: Vec<u8>,
    /// The header with the digest of an object, by its name.
    digests: Mutex<HashMap<String, (&'static str, String)>>,
    /// The sizes of the objects that were asked for, by their names.
    sizes: Mutex<BTreeMap<String, u64>>,
}

impl Stored {
    pub fn new() -> Stored {
        // Incompressible, and the same in every process.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block: Vec<u8> = (0..BLOCK.div_ceil(8))
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .take(BLOCK)
            .collect();
        block.extend_from_within(..PIECE);
        Stored { block, digests: Mutex::default(), sizes: Mutex::default() }
    }

    /// Answers a request for such an object; false if it is none.
    pub fn serve(&self, wire: &mut Wire, head: &Head) -> io::Result<bool> {
        if oci::is_ours(head) && head.method == "GET" && head.path().ends_with("/b/bench/o") {
            wire.send(&self.listing(head).bytes(head))?;
            return Ok(true);
        }
        let name = oci::decoded(head.path().rsplit('/').next().unwrap_or_default());
        let mut words = name.splitn(3, '-');
        let (Some("stored"), Some(Ok(size)), Some(checksum)) =
            (words.next(), words.next().map(str::parse::<u64>), words.next())
        else {
            return Ok(false);
        };
        if !matches!(head.method.as_str(), "GET" | "HEAD") {
            return Ok(false);
        }
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.insert(name.clone(), size);
        drop(sizes);
        let (first, end) = range(head.header("range"), size);
        let partial = head.header("range").is_some() && head.method == "GET";
        let mut answer = Answer::new(if partial { 206 } else { 200 })
            .with("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            .with("accept-ranges", "bytes")
            .with("content-type", "application/octet-stream");
        if oci::is_ours(head) {
            answer = answer.with("etag", ETAG).with("storage-tier", "Standard");
            answer = match self.digest(&name, size, checksum) {
                Some((header, value)) => answer.with(header, value),
                // As of an upload in parts; no client here compares it.
                None => answer.with("opc-multipart-md5", format!("{EMPTY_MD5}-2")),
            };
        } else {
            answer = answer.with("etag", format!("\"{ETAG}\""));
        }
        if partial {
            answer = answer.with("content-range", format!("bytes {first}-{}/{size}", end - 1));
        }
        answer.length = Some(if partial { end - first } else { size });
        wire.send(&answer.bytes(head))?;
        if head.method == "GET" {
            self.send(wire, first, end)?;
        }
        Ok(true)
    }

    fn listing(&self, head: &Head) -> Answer {
        let prefix = oci::decoded(head.query("prefix").unwrap_or_default());
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let time = "2026-01-01T00:00:00.000Z";
        let objects: Vec<_> = sizes
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .map(|(name, size)| {
                json!({
                    "name": name, "size": size, "etag": ETAG, "storageTier": "Standard",
                    "timeCreated": time, "timeModified": time,
                })
            })
            .collect();
        Answer::new(200)
            .body("application/json", json!({ "objects": objects, "prefixes": [] }).to_string())
    }

    fn send(&self, wire: &mut Wire, first: u64, end: u64) -> io::Result<()> {
        let mut at = first;
        while at < end {
            let length = (end - at).min(PIECE as u64) as usize;
            let start = (at % BLOCK as u64) as usize;
            wire.send(&self.block[start..start + length])?;
            at += length as u64;
        }
        Ok(())
    }

    fn digest(&self, name: &str, size: u64, checksum: &str) -> Option<(&'static str, String)> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests.get(name) {
            return Some(known.clone());
        }
        let pieces = |each: &mut dyn FnMut(&[u8])| {
            let mut left = size;
            while left > 0 {
                let length = left.min(BLOCK as u64) as usize;
                each(&self.block[..length]);
                left -= length as u64;
            }
        };
        let (header, value) = match checksum {
            "crc32c" => {
                let mut crc = 0;
                pieces(&mut |bytes| crc = crc32c::crc32c_append(crc, bytes));
                ("opc-content-crc32c", STANDARD.encode(crc.to_be_bytes()))
            }
            "sha256" => {
                let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
                pieces(&mut |bytes| hash.update(bytes));
                ("opc-content-sha256", STANDARD.encode(hash.finish()))
            }
            "md5" => {
                let mut hash = Md5::new();
                pieces(&mut |bytes| hash.update(bytes));
                ("opc-content-md5", STANDARD.encode(hash.finalize()))
            }
            _ => return None,
        };
        digests.insert(name.to_owned(), (header, value.clone()));
        Some((header, value))
    }
}

/// The first byte of a range and the one after its last.
fn range(header: Option<&str>, size: u64) -> (u64, u64) {
    let parse = |text: &str| {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let first: u64 = first.parse().ok()?;
        Some((first, last.parse().map_or(size, |last: u64| (last + 1).min(size))))
    };
    header.and_then(parse).filter(|(first, end)| first < end).unwrap_or((0, size))
}
