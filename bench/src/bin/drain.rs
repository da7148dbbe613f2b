//! Discards stdin in the kernel, and prints the number of its bytes; with `--hash` their CRC-32C.
//!
//!     drain [--hash]
//!
//! The reader of a measured download: `splice` to /dev/null copies nothing, so that the cores are
//! left to the client.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use ocipipe_bench::options::Options;
use rustix::pipe::SpliceFlags;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse(&[], &["hash"])?;
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut bytes, mut crc) = (0, 0);
    if options.is_set("hash") {
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = stdin.read(&mut piece)?;
            if read == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..read]);
            bytes += read as u64;
        }
    } else {
        let null = File::options().write(true).open("/dev/null")?;
        loop {
            let moved =
                rustix::pipe::splice(&stdin, None, &null, None, 1 << 20, SpliceFlags::MOVE)?;
            if moved == 0 {
                break;
            }
            bytes += moved as u64;
        }
    }
    println!("{bytes} {crc:08x}");
    Ok(())
}
