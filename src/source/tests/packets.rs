//! Sources that return a packet a read and drop the bytes that do not fit.

use super::*;

use std::os::fd::OwnedFd;

use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

/// Bytes of the largest packet of a pipe.
const PIPE_BUF: usize = 4096;

/// A reader of a pipe in packet mode, to which these packets are written.
fn packets(plan: &PartPlan, packets: Vec<Vec<u8>>) -> (Reader, Pool) {
    let (reader, writer) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
    thread::spawn(move || {
        for packet in packets {
            assert_eq!(rustix::io::write(&writer, &packet), Ok(packet.len()));
        }
    });
    start(ByteSource::new(reader, "the pipe").unwrap(), plan)
}

/// One stream, in packets of these sizes and as a whole.
fn split(sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let stream = ramp(sizes.iter().sum());
    let mut rest = stream.as_slice();
    let packets = sizes.iter().map(|size| {
        let (packet, after) = rest.split_at(*size);
        rest = after;
        packet.to_vec()
    });
    (packets.collect(), stream)
}

#[test]
fn a_packet_across_the_end_of_a_part_loses_no_byte_at_any_offset() {
    const BUFFER: usize = 2 * PIPE_BUF;
    let plan = PartPlan::uniform(BUFFER, 2);
    for left in 1..=PIPE_BUF {
        let sizes = [PIPE_BUF, PIPE_BUF - left, PIPE_BUF, left, 1, PIPE_BUF - 1, left];
        let sizes: Vec<usize> = sizes.into_iter().filter(|size| *size > 0).collect();
        let (pieces, stream) = split(&sizes);
        let (reader, pool) = packets(&plan, pieces);
        check(reader, &pool, &stream, BUFFER);
    }
}

proptest! {
    #[test]
    fn packets_of_any_sizes_fill_buffers_of_any_size_without_a_loss(
        sizes in prop::collection::vec(prop_oneof![1..=PIPE_BUF, Just(PIPE_BUF), Just(1)], 0..60),
        buffer in PIPE_BUF..=3 * PIPE_BUF,
        shares in 1..=3usize,
        missing in 0..100usize,
    ) {
        // A part is one buffer or several, of which the last may not be full.
        let part = buffer * shares - missing;
        let (pieces, stream) = split(&sizes);
        let (reader, pool) = packets(&PartPlan::level_plan(buffer, part as u64, 2), pieces);
        check(reader, &pool, &stream, part);
    }
}

#[test]
fn an_empty_write_to_a_pipe_is_not_its_end() {
    let plan = PartPlan::uniform(PART, 2);
    let stream = ramp(10);
    let pieces = vec![vec![], stream[..5].to_vec(), vec![], stream[5..].to_vec(), vec![]];
    let (reader, pool) = packets(&plan, pieces);
    check(reader, &pool, &stream, PART);
}

#[test]
fn sockets_of_packets_are_refused_and_streams_are_not() {
    let pair = |kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    for (kind, name) in
        [(SocketType::DGRAM, "SOCK_DGRAM"), (SocketType::SEQPACKET, "SOCK_SEQPACKET")]
    {
        let error = ByteSource::new(pair(kind).0, "stdin").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(error.message.contains(name) && error.message.contains("stdin"), "{error}");
    }
    let (local, peer): (OwnedFd, OwnedFd) = pair(SocketType::STREAM);
    let plan = PartPlan::uniform(PART, 2);
    let (reader, pool) = start(ByteSource::new(local, "stdin").unwrap(), &plan);
    rustix::io::write(&peer, &ramp(2500)).unwrap();
    drop(peer);
    check(reader, &pool, &ramp(2500), PART);
}
