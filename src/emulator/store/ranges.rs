//! Ranges of bytes within and between files.
//!
//! Knows files only. Invariant: however long a range, only a small buffer of it is in memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A new empty file, in place of whatever had its name.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

/// Reads a range in bounded pieces.
pub fn read(
    file: &File,
    mut offset: u64,
    length: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let end = offset + length;
    let mut buffer = vec![0; 256 * 1024];
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..wanted], offset)?;
        take(&buffer[..wanted])?;
        offset += wanted as u64;
    }
    Ok(())
}

/// Copies a range, within the kernel where the system can.
pub fn copy(from: &File, offset: u64, to: &File, at: u64, length: u64) -> io::Result<()> {
    let mut done = 0;
    #[cfg(target_os = "linux")]
    while done < length {
        let (mut source, mut target) = (offset + done, at + done);
        let left = usize::try_from(length - done).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), left) {
            Ok(0) | Err(_) => break,
            Ok(copied) => done += copied as u64,
        }
    }
    let mut target = at + done;
    read(from, offset + done, length - done, |bytes| {
        to.write_all_at(bytes, target)?;
        target += bytes.len() as u64;
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
        read(&to, 5, 699_000, |some| {
            back.extend_from_slice(some);
            Ok(())
        })
        .unwrap();
        assert!(back == bytes[3..699_003]);
        assert!(copy(&from, 699_999, &to, 0, 2).is_err());
    }
}
