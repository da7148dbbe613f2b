//! Ranges of bytes within files and between them.
//!
//! Knows files only. Invariant: at most 256 KiB of a range is in memory, however long it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Creates an empty file, or truncates the file of this name.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

/// Reads `length` bytes from `offset` on and passes them to `consume` in chunks of at most 256 KiB.
/// Fails if the file ends before, and with the first error of `consume`.
pub(super) fn read(
    file: &File,
    mut offset: u64,
    length: u64,
    mut consume: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let end = offset + length;
    let mut buffer = vec![0; 256 * 1024];
    while offset < end {
        let size = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..size], offset)?;
        consume(&buffer[..size])?;
        offset += size as u64;
    }
    Ok(())
}

/// Copies `length` bytes from `offset` of one file to `target` of another, inside the kernel where
/// it supports that. Fails if the source ends before.
pub(super) fn copy(
    from: &File,
    offset: u64,
    to: &File,
    target: u64,
    length: u64,
) -> io::Result<()> {
    let mut done = 0;
    #[cfg(target_os = "linux")]
    while done < length {
        let (mut source, mut sink) = (offset + done, target + done);
        let size = usize::try_from(length - done).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut sink), size) {
            Ok(0) | Err(_) => break,
            Ok(copied) => done += copied as u64,
        }
    }
    let mut sink = target + done;
    read(from, offset + done, length - done, |bytes| {
        to.write_all_at(bytes, sink)?;
        sink += bytes.len() as u64;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_copied_to_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let from = create(&dir.path().join("from")).unwrap();
        let to = create(&dir.path().join("to")).unwrap();
        let bytes: Vec<u8> = (0..700_000u32).map(|at| at as u8 ^ (at >> 8) as u8).collect();
        from.write_all_at(&bytes, 0).unwrap();
        copy(&from, 3, &to, 5, 699_000).unwrap();
        let mut back = Vec::new();
        read(&to, 5, 699_000, |chunk| {
            back.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        assert!(back == bytes[3..699_003]);
        assert!(copy(&from, 699_999, &to, 0, 2).is_err());
    }
}
