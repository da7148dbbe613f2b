//! Writes incompressible bytes to stdout as fast as they are read.
//!
//!     feed --size 2GiB [--rate 50MB/s]
//!
//! The bytes are one random block, written over and over; its length is a prime, so that no two
//! parts of an upload are equal. It is small enough to stay in cache, so that generating the bytes
//! does not slow down the measured program.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ocipipe_bench::options::Options;
use ring::rand::{SecureRandom, SystemRandom};

/// A prime just above 4 MiB; the first bytes are repeated after it.
const BLOCK: usize = 4_194_319;
const WRITE: usize = 1 << 20;
/// With a rate, pieces are small, so that the stream is even.
const PACED: usize = 64 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse(&["size", "rate"], &[])?;
    let mut left = options.size("size")?.ok_or("--size is needed")?;
    let rate = options.size("rate")?;
    let mut block = vec![0; BLOCK];
    SystemRandom::new().fill(&mut block).map_err(|_| "no random bytes")?;
    block.extend_from_within(..WRITE);
    // The descriptor itself, because the library's stdout searches for line ends.
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let step = if rate.is_some() { PACED } else { WRITE };
    let (began, mut written, mut at) = (Instant::now(), 0u64, 0);
    while left > 0 {
        let length = left.min(step as u64) as usize;
        match stdout.write_all(&block[at..at + length]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error.into()),
        }
        at = (at + length) % BLOCK;
        left -= length as u64;
        written += length as u64;
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(written as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}
