//! A stdin that delivers packets: a pipe whose writer uses `O_DIRECT`, and sockets.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::store::Store;
use common::stream::{PART, assert_same, ramp};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

/// More than a part, in bytes, and a multiple of the block size: `dd` removes `O_DIRECT` for a
/// partial block.
const BLOCKS: usize = 10_600 * 1000;

/// Writes a stream in packets of one size.
fn write(writer: &OwnedFd, stream: &[u8], size: usize) {
    for packet in stream.chunks(size) {
        assert_eq!(rustix::io::write(writer, packet), Ok(packet.len()));
    }
}

#[test]
fn a_pipe_in_packet_mode_loses_nothing_whatever_the_size_of_its_packets() {
    // 50 sizes: some divide a part, some nearly do, some do not.
    let ends = [1, 2, 3, 512, 1000, 1024, 2048, 3072, 4000, 4095, 4096];
    let spread = (0..39).map(|n| 97 + n * 101);
    let sizes: Vec<usize> = ends.into_iter().chain(spread).collect();
    assert_eq!(sizes.len(), 50);
    let store = Store::start();
    // The last part may be small.
    let stream = ramp(PART + 12_345);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(size) = sizes.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let (reader, writer) =
                        pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
                    let name = format!("of-{size}");
                    let run = store.put(&name).stdin_from(Stdio::from(reader)).start();
                    // Only around the end of the part the packets have a few bytes.
                    let (large, small) = stream.split_at(PART - 64 * size.min(&1000));
                    write(&writer, large, if *size < 64 { 4096 } else { *size });
                    write(&writer, small, *size);
                    drop(writer);
                    let done = run.wait_with_open_stdin().exits(0);
                    assert_eq!(done.receipt()["size"], stream.len());
                    assert_same(&store.object(&name).unwrap(), &stream);
                }
            });
        }
    });
}

#[test]
fn the_output_of_a_command_in_packet_mode_loses_nothing() {
    let store = Store::start();
    let stream = ramp(BLOCKS);
    let file = store.file("stream", &stream);
    // dd sets O_DIRECT on its stdout.
    let line = format!("dd if={} bs=1000 oflag=direct status=none", file.display());
    store.put("x").args("--").args(&line).run().exits(0);
    assert_same(&store.object("x").unwrap(), &stream);
}

#[test]
fn a_named_pipe_in_packet_mode_loses_nothing() {
    let store = Store::start();
    let stream = ramp(BLOCKS);
    let file = store.file("stream", &stream);
    let fifo = store.folder().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    let run = store.put("x").arg("--file").arg(&fifo).start();
    let mut writer = std::process::Command::new("dd")
        .arg(format!("if={}", file.display()))
        .args(["bs=1000", "oflag=direct", "status=none"])
        .stdout(File::options().write(true).open(&fifo).unwrap())
        .spawn()
        .unwrap();
    run.wait_with_open_stdin().exits(0);
    assert!(writer.wait().unwrap().success());
    assert_same(&store.object("x").unwrap(), &stream);
}

#[test]
fn a_packet_socket_is_refused_before_any_request_and_a_stream_socket_is_stored() {
    let store = Store::start();
    let pair = |kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    for (kind, name) in
        [(SocketType::DGRAM, "SOCK_DGRAM"), (SocketType::SEQPACKET, "SOCK_SEQPACKET")]
    {
        let (writer, reader) = pair(kind);
        let done = store.put("x").stdin_from(Stdio::from(reader)).run().fails(2);
        done.stderr_has(&["stdin is a socket of packets", name]).within_seconds(60);
        drop(writer);
    }
    assert!(store.requests().is_empty());

    let (writer, reader) = pair(SocketType::STREAM);
    let run = store.put("x").stdin_from(Stdio::from(reader)).start();
    let stream = ramp(300_000);
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&writer, rest).unwrap()..];
    }
    drop(writer);
    run.wait_with_open_stdin().exits(0);
    assert_same(&store.object("x").unwrap(), &stream);
}
