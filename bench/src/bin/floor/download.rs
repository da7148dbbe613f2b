//! The floor of a download: ranges over blocking connections, written in order.
//!
//! One thread for each connection reads records into reused blocks and opens them in place; one
//! thread hashes what was opened and writes it to stdout, straight from the blocks. No signature,
//! no retry, no HTTP library, and no copy but those of the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::{Client, Route};
use super::{BUCKET, Failed};

/// Bytes of one request.
const RANGE: u64 = 64 << 20;
/// Bytes of one block of records.
const BLOCK: usize = 1 << 20;
/// The ranges that may be in memory.
const RANGES: usize = 4;
/// Blocks of all ranges together. A range needs a few more than its bytes fill, for the records' overhead.
const BLOCKS: usize = RANGES * (RANGE as usize / BLOCK + 4);

/// A block of opened records: its memory, and where the plain bytes are.
pub struct Block {
    pub memory: Vec<u8>,
    pub used: usize,
    pub plain: Vec<(usize, usize)>,
}

impl Block {
    fn new() -> Block {
        Block { memory: vec![0; BLOCK], used: 0, plain: Vec::new() }
    }
}

enum Arrived {
    Block(u64, Block),
    End(u64),
    Failed(String),
}

pub fn download(
    route: &Arc<Route>,
    object: &str,
    connections: usize,
    checksum: &str,
) -> Result<(), Failed> {
    let target = format!("{BUCKET}/o/{object}");
    let mut main = Client::connect(route)?;
    let head = main.call("HEAD", &target, &[], b"")?.expect(200)?;
    let size: u64 = head.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let expected = head.header(&format!("opc-content-{checksum}")).map(str::to_owned);
    let ranges = size.div_ceil(RANGE);
    let next = Arc::new(AtomicU64::new(0));
    let (arrived_tx, arrived) = channel::<Arrived>();
    let (returned, free) = channel::<Block>();
    for _ in 0..BLOCKS {
        returned.send(Block { memory: Vec::new(), used: 0, plain: Vec::new() })?;
    }
    let free = Arc::new(Mutex::new(free));
    // A range is begun only while all of it fits into the blocks.
    let (permits_tx, permits) = channel::<()>();
    let permits = Arc::new(Mutex::new(permits));
    for _ in 0..RANGES {
        permits_tx.send(())?;
    }
    for number in 0..connections {
        let (route, target, next) = (route.clone(), target.clone(), next.clone());
        let (arrived, free, permits) = (arrived_tx.clone(), free.clone(), permits.clone());
        let open = if number == 0 { Some(main) } else { None };
        main = Client::idle();
        thread::spawn(move || {
            let result = read_ranges(open, &route, &target, size, &next, &free, &permits, &arrived);
            if let Err(error) = result {
                let _ = arrived.send(Arrived::Failed(error.to_string()));
            }
        });
    }
    write_in_order(&arrived, &returned, &permits_tx, ranges, checksum, expected)
}

#[allow(clippy::too_many_arguments)]
fn read_ranges(
    mut open: Option<Client>,
    route: &Route,
    target: &str,
    size: u64,
    next: &AtomicU64,
    free: &Mutex<Receiver<Block>>,
    permits: &Mutex<Receiver<()>>,
    arrived: &Sender<Arrived>,
) -> Result<(), Failed> {
    loop {
        // The lock is held until the range has its number, so that permits go to ranges in order.
        let (permits, number) = {
            let permits = permits.lock().unwrap_or_else(PoisonError::into_inner);
            if permits.recv().is_err() {
                return Ok(());
            }
            (permits, next.fetch_add(1, Ordering::SeqCst))
        };
        drop(permits);
        let first = number * RANGE;
        if first >= size {
            return Ok(());
        }
        let end = size.min(first + RANGE);
        let client = match &mut open {
            Some(client) => client,
            none => none.insert(Client::connect(route)?),
        };
        let range = [("range", format!("bytes={first}-{}", end - 1))];
        client.read_body(
            target,
            &range,
            end - first,
            |block| {
                arrived.send(Arrived::Block(number, block)).map_err(|_| "the writer is gone".into())
            },
            || {
                let free = free.lock().unwrap_or_else(PoisonError::into_inner);
                let mut block = free.recv()?;
                if block.memory.is_empty() {
                    block = Block::new();
                }
                Ok(block)
            },
        )?;
        arrived.send(Arrived::End(number))?;
    }
}

fn write_in_order(
    arrived: &Receiver<Arrived>,
    returned: &Sender<Block>,
    permits: &Sender<()>,
    ranges: u64,
    checksum: &str,
    expected: Option<String>,
) -> Result<(), Failed> {
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, 1 << 20);
    let mut sha256 = ring::digest::Context::new(&ring::digest::SHA256);
    let mut crc32c = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut waiting: BTreeMap<u64, (Vec<Block>, bool)> = BTreeMap::new();
    let mut current = 0;
    while current < ranges {
        match arrived.recv()? {
            Arrived::Block(number, block) => waiting.entry(number).or_default().0.push(block),
            Arrived::End(number) => waiting.entry(number).or_default().1 = true,
            Arrived::Failed(error) => return Err(error.into()),
        }
        while let Some((blocks, ended)) = waiting.get_mut(&current) {
            for mut block in blocks.drain(..) {
                for (start, end) in &block.plain {
                    let bytes = &block.memory[*start..*end];
                    match checksum {
                        "crc32c" => crc32c.update(bytes),
                        "sha256" => sha256.update(bytes),
                        _ => {}
                    }
                }
                write_slices(&mut stdout, &block)?;
                block.plain.clear();
                block.used = 0;
                // The readers have ended if all was read.
                let _ = returned.send(block);
            }
            if !*ended {
                break;
            }
            waiting.remove(&current);
            current += 1;
            let _ = permits.send(());
        }
    }
    let read = match checksum {
        "crc32c" => Some(STANDARD.encode((crc32c.finalize() as u32).to_be_bytes())),
        "sha256" => Some(STANDARD.encode(sha256.finish())),
        _ => None,
    };
    if read.is_some() && read != expected { Err("the digest differs".into()) } else { Ok(()) }
}

fn write_slices(stdout: &mut File, block: &Block) -> io::Result<()> {
    let mut slices: Vec<IoSlice> =
        block.plain.iter().map(|(start, end)| IoSlice::new(&block.memory[*start..*end])).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        let written = stdout.write_vectored(slices)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}
