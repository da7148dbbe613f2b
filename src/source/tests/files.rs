//! Files that change while they are read, and files whose size is not their length.

use std::io::{Seek, SeekFrom};
use std::time::{Duration, SystemTime};

use super::*;

fn file_of(length: usize) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&ramp(length)).unwrap();
    file
}

/// Reads a source to its end; returns the number of bytes and the warnings.
fn read_to_end(source: ByteSource) -> (u64, String) {
    let (mut reader, _pool) = start(source, &PartPlan::uniform(PART, 2));
    let (mut warnings, mut end) = (String::new(), None);
    while let Some(event) = reader.events.blocking_recv() {
        match event {
            ReadEvent::Warning(text) => warnings.push_str(&text),
            ReadEvent::EndOfStream { bytes, .. } => end = Some(bytes),
            ReadEvent::EndRejected(error) | ReadEvent::SourceFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
    (end.expect("the thread sends an end"), warnings)
}

#[test]
fn a_file_that_does_not_change_is_read_without_a_warning() {
    let file = file_of(2 * PART);
    let source = ByteSource::file(file.path()).unwrap();
    assert_eq!(source.size(), Some(2 * PART as u64));
    let (reader, pool) = start(source, &PartPlan::uniform(PART, 2));
    check(reader, &pool, &ramp(2 * PART), PART);
    assert_eq!(
        read_to_end(ByteSource::file(file.path()).unwrap()),
        (2 * PART as u64, String::new())
    );
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    for left in [0, 1, PART, 2 * PART - 1] {
        let file = file_of(2 * PART);
        let source = ByteSource::file(file.path()).unwrap();
        file.as_file().set_len(left as u64).unwrap();
        let error = source_error(start(source, &PartPlan::uniform(PART, 2)).0);
        assert!(error.kind == ErrorKind::Source && error.message.contains("shrank"), "{error}");
    }
}

#[test]
fn a_file_is_read_to_the_size_at_its_opening_and_later_bytes_are_a_warning() {
    for length in [1, PART - 1, PART, PART + 1, 3 * PART] {
        let file = file_of(length);
        let source = ByteSource::file(file.path()).unwrap();
        file.as_file().set_len(length as u64 + 7).unwrap();
        let (bytes, warnings) = read_to_end(source);
        assert_eq!(bytes, length as u64);
        assert!(warnings.contains("grew") && warnings.contains("the 7 after"), "{warnings}");
    }
    // An empty file stays empty, whatever is written to it later.
    let file = file_of(0);
    let source = ByteSource::file(file.path()).unwrap();
    file.as_file().set_len(9).unwrap();
    assert_eq!(read_to_end(source).0, 0);
    // A file that is open already is read from its offset.
    let file = file_of(100);
    let mut open = File::open(file.path()).unwrap();
    open.seek(SeekFrom::Start(40)).unwrap();
    let source = ByteSource::new(open.into(), "stdin").unwrap();
    assert_eq!(source.size(), Some(60));
    file.as_file().set_len(110).unwrap();
    let (bytes, warnings) = read_to_end(source);
    assert!(bytes == 60 && warnings.contains("the 10 after"), "{bytes}: {warnings}");
}

#[test]
fn a_file_that_is_overwritten_without_growing_is_a_warning() {
    let mut file = file_of(PART);
    let source = ByteSource::file(file.path()).unwrap();
    file.rewind().unwrap();
    file.write_all(b"other").unwrap();
    // The clock of the file system can be too coarse to show the write.
    file.as_file().set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    let (bytes, warnings) = read_to_end(source);
    assert!(bytes == PART as u64 && warnings.contains("was written to"), "{warnings}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_content_is_generated_is_read_to_its_end() {
    // The first has size 0, the others a page.
    for path in ["/proc/self/limits", "/sys/kernel/notes", "/sys/kernel/mm/ksm/run"] {
        let Ok(content) = std::fs::read(path) else {
            eprintln!("skipped: this system has no {path}");
            continue;
        };
        let source = ByteSource::file(path.as_ref()).unwrap();
        assert!(source.size().is_none() && source.is_file(), "{path}");
        assert_eq!(read_to_end(source), (content.len() as u64, String::new()), "{path}");
    }
}
