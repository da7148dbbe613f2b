//! Streams of lengths around the boundaries and of any pace, and failures of a source.

mod files;
mod packets;
mod scarce;
mod validation;

use super::*;
use proto::digest;
use proto::part_plan::PartPlan;
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use validate::StreamValidator;

const PART: usize = 1000;

/// Bytes with a prime period, so that no two parts of a round size are equal.
fn ramp(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn pipe_source(reader: PipeReader) -> ByteSource {
    ByteSource::new(reader.into(), "the pipe").unwrap()
}

fn start(source: ByteSource, plan: &PartPlan) -> (Reader, Pool) {
    start_validating(source, plan, None)
}

fn start_validating(
    source: ByteSource,
    plan: &PartPlan,
    validator: Option<Box<dyn StreamValidator>>,
) -> (Reader, Pool) {
    let pool = Pool::new(plan.buffer_size, plan.buffers_for(1));
    let reader =
        Reader::start(source, pool.clone(), plan.clone(), Algorithm::Sha256, validator).unwrap();
    (reader, pool)
}

/// A stream that `write` writes on a thread of its own.
fn stream(plan: &PartPlan, write: impl FnOnce(PipeWriter) + Send + 'static) -> (Reader, Pool) {
    let (reader, writer) = pipe().unwrap();
    thread::spawn(move || write(writer));
    start(pipe_source(reader), plan)
}

fn source_error(mut reader: Reader) -> Error {
    loop {
        match reader.events.blocking_recv() {
            Some(ReadEvent::SourceFailed(error)) => return error,
            Some(ReadEvent::EndOfStream { .. }) => panic!("taken for the end of the stream"),
            Some(_) => {}
            None => panic!("the thread sent no event"),
        }
    }
}

/// Reads to the end and compares every event with the bytes that were written.
fn check(mut reader: Reader, pool: &Pool, written: &[u8], part_size: usize) {
    let mut read = Vec::new();
    let mut guards = Vec::new();
    let (mut parts, mut multipart, mut last_announced) = (0, false, false);
    loop {
        match reader.events.blocking_recv().expect("the thread sends an end") {
            ReadEvent::Part(part) => {
                parts += 1;
                assert_eq!(part.number.get(), parts);
                assert_eq!(multipart, parts > 1, "the second part is announced, the first not");
                assert_eq!(part.digest, digest::part(Algorithm::Sha256, &part.chunks));
                let bytes = part.chunks.concat();
                assert_eq!(part.digest.size, bytes.len() as u64);
                let left = written.len() - read.len();
                assert_eq!(bytes.len(), left.min(part_size));
                guards.push((part.digest.crc32, part.digest.size));
                read.extend(bytes);
            }
            ReadEvent::MultipartNeeded => {
                assert!(parts == 1 && !multipart);
                multipart = true;
            }
            ReadEvent::LastPartNext => {
                let left = written.len() - read.len();
                assert!((1..part_size).contains(&left) && !last_announced, "{left} bytes are left");
                last_announced = true;
            }
            ReadEvent::EndOfStream { bytes, crc32 } => {
                assert_eq!(last_announced, !written.len().is_multiple_of(part_size));
                assert!(read == written, "the bytes differ");
                assert_eq!(bytes, written.len() as u64);
                assert_eq!(crc32, crc32fast::hash(written));
                assert_eq!(crc32, digest::BufferCrc::Crc32.combine(guards));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(reader.events.blocking_recv().is_none(), "nothing follows the end");
    assert_eq!(parts as usize, written.len().div_ceil(part_size));
    assert_eq!(reader.stats().bytes(), written.len() as u64);
    assert!(!reader.stats().waits_for_source());
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn every_length_around_a_boundary_is_divided_as_planned() {
    for length in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 7 * PART, 7 * PART + 17] {
        // A part of one buffer, of several, and of several of which the last is not full.
        for buffer in [PART, PART / 4, 300] {
            let plan = PartPlan::level_plan(buffer, PART as u64, 2);
            let written = ramp(length);
            let data = written.clone();
            let (reader, pool) = stream(&plan, move |mut pipe| pipe.write_all(&data).unwrap());
            check(reader, &pool, &written, PART);
        }
    }
}

#[test]
fn a_trickle_and_a_non_blocking_pipe_are_waited_for() {
    let plan = PartPlan::uniform(64, 2);
    for non_blocking in [false, true] {
        let (reader, mut writer) = pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
        if non_blocking {
            rustix::fs::fcntl_setfl(&reader, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        }
        let written = ramp(300);
        let (source, data) = (pipe_source(reader), written.clone());
        let (reader, pool) = start(source, &plan);
        let stats = reader.stats();
        thread::spawn(move || {
            for (index, byte) in data.iter().enumerate() {
                // The pipe is empty at each write: the reader has read all bytes before it.
                while stats.bytes() < index as u64 || !stats.waits_for_source() {
                    thread::yield_now();
                }
                writer.write_all(&[*byte]).unwrap();
            }
        });
        check(reader, &pool, &written, 64);
    }
}

#[test]
fn reading_goes_no_further_than_there_are_buffers() {
    let plan = PartPlan::uniform(PART, 1);
    let written = ramp(5 * PART);
    let (mut reader, pool) = stream(&plan, move |mut pipe| pipe.write_all(&written).unwrap());
    let mut parts = Vec::new();
    while parts.len() < 2 {
        if let Some(ReadEvent::Part(part)) = reader.events.blocking_recv() {
            parts.push(part);
        }
    }
    assert_eq!((pool.outstanding(), pool.allocated()), (2, 2));
    assert_eq!(reader.stats().bytes(), 2 * PART as u64);
    assert!(reader.events.try_recv().is_err());
    parts.clear();
    assert!(matches!(reader.events.blocking_recv(), Some(ReadEvent::Part(_))));
}

#[test]
fn reading_goes_no_further_than_the_second_part_while_the_pool_is_held() {
    for stop in [false, true] {
        let plan = PartPlan::uniform(PART, 4);
        let written = ramp(5 * PART);
        let (source, mut pipe) = pipe().unwrap();
        let data = written.clone();
        thread::spawn(move || pipe.write_all(&data));
        let pool = Pool::new(plan.buffer_size, plan.buffers_for(1));
        pool.hold();
        let mut reader =
            Reader::start(pipe_source(source), pool.clone(), plan, Algorithm::Sha256, None)
                .unwrap();
        for _ in 0..3 {
            let event = reader.events.blocking_recv();
            assert!(
                matches!(event, Some(ReadEvent::Part(_) | ReadEvent::MultipartNeeded)),
                "{event:?}"
            );
        }
        let stats = reader.stats();
        while !stats.waits_for_buffer() {
            assert!(stats.bytes() <= 2 * PART as u64, "a third part is read");
            thread::yield_now();
        }
        assert_eq!((stats.bytes(), pool.outstanding()), (2 * PART as u64, 0));
        assert!(reader.events.try_recv().is_err());
        if stop {
            reader.stop();
            assert!(reader.events.blocking_recv().is_none());
            continue;
        }
        reader.resume();
        let mut parts = 2;
        while let Some(event) = reader.events.blocking_recv() {
            parts += usize::from(matches!(event, ReadEvent::Part(_)));
        }
        assert_eq!((parts, stats.bytes()), (5, 5 * PART as u64));
    }
}

#[test]
fn a_failed_read_is_never_the_end_of_the_stream() {
    let memory = File::open("/proc/self/mem").unwrap();
    let source = ByteSource::new(memory.into(), "the file").unwrap();
    let error = source_error(start(source, &PartPlan::uniform(PART, 1)).0);
    assert_eq!(error.kind, ErrorKind::Source);
    assert!(error.message.starts_with("cannot read the file: "), "{error}");

    // A peer that closes a socket with unread bytes resets the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    stream.write_all(b"never read").unwrap();
    peer.write_all(b"some of it").unwrap();
    let mut first = [0];
    peer.peek(&mut first).unwrap();
    drop(peer);
    let source = ByteSource::new(stream.into(), "the socket").unwrap();
    let error = source_error(start(source, &PartPlan::uniform(PART, 1)).0);
    assert_eq!(error.kind, ErrorKind::Source);
}

#[test]
fn a_directory_and_a_missing_file_are_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = ByteSource::file(folder.path()).err().unwrap();
    assert!(error.kind == ErrorKind::Source && error.message.contains("is a directory"), "{error}");
    let error = ByteSource::file(&folder.path().join("missing")).err().unwrap();
    assert!(error.kind == ErrorKind::Source && error.message.contains("missing"), "{error}");
}

#[test]
fn a_stream_longer_than_can_be_stored_ends_cleanly() {
    let plan = PartPlan::uniform(1, 40);
    let max_length = plan.max_stream() as usize;
    let written = ramp(max_length);
    let data = written.clone();
    let (reader, pool) = stream(&plan, move |mut pipe| pipe.write_all(&data).unwrap());
    check(reader, &pool, &written, 1);

    let (error_tx, error_rx) = mpsc::channel();
    let (reader, _pool) = stream(&plan, move |mut pipe| {
        let error = loop {
            if let Err(error) = pipe.write_all(&ramp(1 << 16)) {
                break error;
            }
        };
        error_tx.send(error.kind()).unwrap();
    });
    let error = source_error(reader);
    assert_eq!(error.kind, ErrorKind::Source);
    assert!(error.message.contains("longer than 10000 bytes"), "{error}");
    assert_eq!(error_rx.recv().unwrap(), std::io::ErrorKind::BrokenPipe);
}

/// Stops a reader and waits until it has closed its source.
fn stop_and_wait(mut reader: Reader, mut writer: PipeWriter) {
    reader.stop();
    while let Some(event) = reader.events.blocking_recv() {
        assert!(
            matches!(
                event,
                ReadEvent::Part(_) | ReadEvent::MultipartNeeded | ReadEvent::LastPartNext
            ),
            "{event:?}"
        );
    }
    let error = writer.write_all(b"more").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "the producer gets EPIPE");
}

#[test]
fn stopping_works_while_the_source_is_silent() {
    let (reader, writer) = pipe().unwrap();
    let (reader, _pool) = start(pipe_source(reader), &PartPlan::uniform(PART, 1));
    while !reader.stats().waits_for_source() {
        thread::yield_now();
    }
    stop_and_wait(reader, writer);
}

#[test]
fn stopping_works_while_there_is_no_buffer() {
    let (reader, mut writer) = pipe().unwrap();
    let (mut reader, pool) = start(pipe_source(reader), &PartPlan::uniform(PART, 1));
    writer.write_all(&ramp(3 * PART)).unwrap();
    let mut events = Vec::new();
    while events.len() < 3 {
        events.push(reader.events.blocking_recv().unwrap());
    }
    assert_eq!(pool.outstanding(), 2);
    stop_and_wait(reader, writer);
}

#[test]
fn a_named_pipe_is_waited_for_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
    let plan = PartPlan::uniform(PART, 2);

    let (mut reader, _pool) = start(ByteSource::file(&path).unwrap(), &plan);
    while !reader.stats().waits_for_source() {
        thread::yield_now();
    }
    reader.stop();
    assert!(reader.events.blocking_recv().is_none(), "no writer is not an empty stream");

    let (reader, pool) = start(ByteSource::file(&path).unwrap(), &plan);
    while !reader.stats().waits_for_source() {
        thread::yield_now();
    }
    File::options().write(true).open(&path).unwrap().write_all(&ramp(2500)).unwrap();
    check(reader, &pool, &ramp(2500), PART);
}
