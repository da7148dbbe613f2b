//! Files that change while they are read, and files whose size says nothing.

use std::io::{Seek, SeekFrom};
use std::time::{Duration, SystemTime};

use super::*;

fn file_of(length: usize) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&ramp(length)).unwrap();
    file
}

/// Reads a source to its end; how much that was, and the warnings.
fn read_of(source: ByteSource) -> (u64, String) {
    let (mut reader, _pool) = started(source, &PartPlan::uniform(PART, 2));
    let (mut warnings, mut end) = (String::new(), None);
    while let Some(incoming) = reader.events.blocking_recv() {
        match incoming {
            ReadEvent::Warning(text) => warnings.push_str(&text),
            ReadEvent::EndOfStream { bytes, .. } => end = Some(bytes),
            ReadEvent::SourceFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
    (end.expect("an end is told"), warnings)
}

#[test]
fn a_file_that_does_not_change_is_read_without_a_word() {
    let file = file_of(2 * PART);
    let source = ByteSource::file(file.path()).unwrap();
    assert_eq!(source.size(), Some(2 * PART as u64));
    let (reader, pool) = started(source, &PartPlan::uniform(PART, 2));
    check(reader, &pool, &ramp(2 * PART), PART);
    assert_eq!(read_of(ByteSource::file(file.path()).unwrap()), (2 * PART as u64, String::new()));
}

#[test]
fn a_file_that_shrinks_is_broken() {
    for left in [0, 1, PART, 2 * PART - 1] {
        let file = file_of(2 * PART);
        let source = ByteSource::file(file.path()).unwrap();
        file.as_file().set_len(left as u64).unwrap();
        let error = broken(started(source, &PartPlan::uniform(PART, 2)).0);
        assert!(error.kind == ErrorKind::Source && error.message.contains("shrank"), "{error}");
    }
}

#[test]
fn a_file_is_as_long_as_it_was_at_the_start_and_what_comes_after_is_told() {
    for length in [1, PART - 1, PART, PART + 1, 3 * PART] {
        let file = file_of(length);
        let source = ByteSource::file(file.path()).unwrap();
        file.as_file().set_len(length as u64 + 7).unwrap();
        let (bytes, warnings) = read_of(source);
        assert_eq!(bytes, length as u64);
        assert!(warnings.contains("grew") && warnings.contains("the 7 after"), "{warnings}");
    }
    // An empty one is empty, whatever somebody writes into it meanwhile.
    let file = file_of(0);
    let source = ByteSource::file(file.path()).unwrap();
    file.as_file().set_len(9).unwrap();
    assert_eq!(read_of(source).0, 0);
    // One that is open already is read from where it stands.
    let file = file_of(100);
    let mut open = File::open(file.path()).unwrap();
    open.seek(SeekFrom::Start(40)).unwrap();
    let source = ByteSource::new(open.into(), "stdin").unwrap();
    assert_eq!(source.size(), Some(60));
    file.as_file().set_len(110).unwrap();
    let (bytes, warnings) = read_of(source);
    assert!(bytes == 60 && warnings.contains("the 10 after"), "{bytes}: {warnings}");
}

#[test]
fn a_file_that_is_written_to_without_getting_longer_is_told() {
    let mut file = file_of(PART);
    let source = ByteSource::file(file.path()).unwrap();
    file.rewind().unwrap();
    file.write_all(b"other").unwrap();
    // A clock of files can be too coarse to see it.
    file.as_file().set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    let (bytes, warnings) = read_of(source);
    assert!(bytes == PART as u64 && warnings.contains("was written to"), "{warnings}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_the_system_makes_up_is_read_to_its_end() {
    // Of the first the size is said to be 0, of the others a page.
    for path in ["/proc/self/limits", "/sys/kernel/notes", "/sys/kernel/mm/ksm/run"] {
        let Ok(content) = std::fs::read(path) else {
            eprintln!("skipped: this system has no {path}");
            continue;
        };
        let source = ByteSource::file(path.as_ref()).unwrap();
        assert!(source.size().is_none() && source.is_file(), "{path}");
        assert_eq!(read_of(source), (content.len() as u64, String::new()), "{path}");
    }
}
