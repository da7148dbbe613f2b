//! The floor: an upload that does only what is unavoidable.
//!
//!     floor --port N --ca FILE --object NAME [--part-size 128M] [--connections 4]
//!           [--checksum none|crc32c|sha256] < STREAM
//!     floor --download --port N --ca FILE --object NAME [--connections 4] [--checksum C] > STREAM
//!
//! Reads into reused buffers, takes the checksum of what was just read, seals records with ring and
//! writes them to a blocking socket. One thread reads, one thread each sends; no signature, no
//! retry, no HTTP library, no second pass over anything. The difference to a real client is the
//! cost of that client's features.

mod client;
mod download;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memmap2::{Advice, MmapMut, MmapOptions};
use ocipipe_bench::options::Options;

use client::{Client, Route};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Bytes per read; they are hashed while they are in the core's own cache.
const READ: usize = 256 << 10;
const BUCKET: &str = "/n/benchns/b/bench";

struct Part {
    number: usize,
    buffer: MmapMut,
    length: usize,
    checksum: Option<(&'static str, String)>,
}

fn main() -> Result<(), Failed> {
    let known = ["port", "ca", "object", "part-size", "connections", "checksum"];
    let options = Options::parse(&known, &["plain", "download"])?;
    let port = options.number("port", 0)? as u16;
    let route = Arc::new(match options.is_set("plain") {
        true => Route::plain(port),
        false => Route::tls(port, options.required("ca")?)?,
    });
    let object = options.required("object")?;
    let part_size = options.size("part-size")?.unwrap_or(128 << 20) as usize;
    let connections = options.number("connections", 4)?;
    let checksum = options.text("checksum").unwrap_or("none").to_owned();

    if options.is_set("download") {
        return download::download(&route, object, connections, &checksum);
    }
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // An error if stdin is no pipe.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdin, 1 << 20);
    let mut main = Client::connect(&route)?;
    let head = main.call("HEAD", &format!("{BUCKET}/o/{object}"), &[], b"")?;
    if head.status != 404 {
        return Err("the object is there already".into());
    }

    let mut first = buffer(part_size)?;
    let (length, value) = fill(&mut stdin, &mut first, part_size, &checksum)?;
    if length < part_size {
        let target = format!("{BUCKET}/o/{object}");
        main.call("PUT", &target, &value, &first[..length])?.expect(200)?;
        return Ok(());
    }

    let created =
        main.call("POST", &format!("{BUCKET}/u"), &[], created_body(object).as_bytes())?;
    let id = created.expect(200)?.field("uploadId")?;
    let (parts, queue) = channel::<Part>();
    let (returned, free) = channel::<MmapMut>();
    let queue = Arc::new(Mutex::new(queue));
    let etags = Arc::new(Mutex::new(Vec::<(usize, String)>::new()));
    let target = format!("{BUCKET}/u/{object}?uploadId={id}");
    let mut senders = Vec::new();
    for number in 0..connections {
        let (queue, returned, etags) = (queue.clone(), returned.clone(), etags.clone());
        let (route, target) = (route.clone(), target.clone());
        let open = if number == 0 { Some(main) } else { None };
        senders.push(thread::spawn(move || send(open, &route, &target, &queue, &returned, &etags)));
        main = Client::idle();
    }
    drop(returned);
    parts.send(Part { number: 1, buffer: first, length, checksum: value.into_iter().next() })?;
    let mut made = 1;
    for number in 2.. {
        let mut into = if made <= connections {
            made += 1;
            buffer(part_size)?
        } else {
            free.recv()?
        };
        let (length, value) = fill(&mut stdin, &mut into, part_size, &checksum)?;
        if length > 0 {
            let checksum = value.into_iter().next();
            parts.send(Part { number, buffer: into, length, checksum })?;
        }
        if length < part_size {
            break;
        }
    }
    drop(parts);
    for sender in senders {
        sender.join().map_err(|_| "a sender failed")??;
    }
    let mut etags = std::mem::take(&mut *etags.lock().unwrap_or_else(PoisonError::into_inner));
    etags.sort();
    let parts: Vec<_> = etags
        .into_iter()
        .map(|(number, etag)| serde_json::json!({ "partNum": number, "etag": etag }))
        .collect();
    let commit = serde_json::json!({ "partsToCommit": parts }).to_string();
    Client::connect(&route)?.call("POST", &target, &[], commit.as_bytes())?.expect(200)?;
    Ok(())
}

/// Sends parts until there are no more.
fn send(
    mut open: Option<Client>,
    route: &Route,
    target: &str,
    queue: &Mutex<Receiver<Part>>,
    returned: &Sender<MmapMut>,
    etags: &Mutex<Vec<(usize, String)>>,
) -> Result<(), Failed> {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(part) = next else { return Ok(()) };
        let client = match &mut open {
            Some(client) => client,
            none => none.insert(Client::connect(route)?),
        };
        let target = format!("{target}&uploadPartNum={}", part.number);
        let checksum: Vec<_> = part.checksum.into_iter().collect();
        let answer = client.call("PUT", &target, &checksum, &part.buffer[..part.length])?;
        let etag = answer.expect(200)?.header("etag").unwrap_or_default().to_owned();
        etags.lock().unwrap_or_else(PoisonError::into_inner).push((part.number, etag));
        // The reader has ended if the stream has.
        let _ = returned.send(part.buffer);
    }
}

fn created_body(object: &str) -> String {
    serde_json::json!({ "object": object }).to_string()
}

fn buffer(size: usize) -> io::Result<MmapMut> {
    let buffer = MmapOptions::new().len(size).map_anon()?;
    if size > 4 << 20 {
        let _ = buffer.advise(Advice::HugePage);
    }
    Ok(buffer)
}

type Headers = Vec<(&'static str, String)>;

/// Fills a buffer, or as much of it as there is.
fn fill(
    stdin: &mut File,
    buffer: &mut [u8],
    size: usize,
    checksum: &str,
) -> Result<(usize, Headers), Failed> {
    let mut sha256 = ring::digest::Context::new(&ring::digest::SHA256);
    let mut crc32c = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut used = 0;
    while used < size {
        let end = size.min(used + READ);
        let read = stdin.read(&mut buffer[used..end])?;
        if read == 0 {
            break;
        }
        let piece = &buffer[used..used + read];
        match checksum {
            "none" => {}
            "crc32c" => crc32c.update(piece),
            "sha256" => sha256.update(piece),
            other => return Err(format!("no such checksum: {other}").into()),
        }
        used += read;
    }
    let value = match checksum {
        "crc32c" => {
            let crc32c = crc32c.finalize() as u32;
            vec![("opc-content-crc32c", STANDARD.encode(crc32c.to_be_bytes()))]
        }
        "sha256" => vec![("opc-content-sha256", STANDARD.encode(sha256.finish()))],
        _ => Vec::new(),
    };
    Ok((used, value))
}
