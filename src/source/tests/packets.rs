//! Sources that give a whole packet a read, and drop what of it does not fit.

use super::*;

use std::os::fd::OwnedFd;

use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

/// The most that a packet of a pipe holds.
const PIPE_BUF: usize = 4096;

/// A reader of a pipe in packet mode, into which these packets are written.
fn packets(plan: &PartPlan, packets: Vec<Vec<u8>>) -> (Reader, Pool) {
    let (reader, writer) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
    thread::spawn(move || {
        for packet in packets {
            assert_eq!(rustix::io::write(&writer, &packet), Ok(packet.len()));
        }
    });
    started(ByteSource::new(reader, "the pipe").unwrap(), plan)
}

/// One stream in packets of these sizes.
fn cut(sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let whole = ramp(sizes.iter().sum());
    let mut rest = whole.as_slice();
    let packets = sizes.iter().map(|size| {
        let (packet, after) = rest.split_at(*size);
        rest = after;
        packet.to_vec()
    });
    (packets.collect(), whole)
}

#[test]
fn a_packet_that_meets_the_end_of_a_part_is_kept_whole_wherever_it_meets_it() {
    const BUFFER: usize = 2 * PIPE_BUF;
    let plan = PartPlan::uniform(BUFFER, 2);
    for left in 1..=PIPE_BUF {
        let sizes = [PIPE_BUF, PIPE_BUF - left, PIPE_BUF, left, 1, PIPE_BUF - 1, left];
        let sizes: Vec<usize> = sizes.into_iter().filter(|size| *size > 0).collect();
        let (pieces, whole) = cut(&sizes);
        let (reader, pool) = packets(&plan, pieces);
        check(reader, &pool, &whole, BUFFER);
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
        // A part is one buffer or several, the last of which need not be full.
        let part = buffer * shares - missing;
        let (pieces, whole) = cut(&sizes);
        let (reader, pool) = packets(&PartPlan::level_plan(buffer, part as u64, 2), pieces);
        check(reader, &pool, &whole, part);
    }
}

#[test]
fn writing_nothing_into_a_pipe_is_not_its_end() {
    let plan = PartPlan::uniform(PART, 2);
    let whole = ramp(10);
    let pieces = vec![vec![], whole[..5].to_vec(), vec![], whole[5..].to_vec(), vec![]];
    let (reader, pool) = packets(&plan, pieces);
    check(reader, &pool, &whole, PART);
}

#[test]
fn sockets_that_keep_packets_are_refused_and_streams_are_not() {
    let pair = |kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    for (kind, name) in
        [(SocketType::DGRAM, "SOCK_DGRAM"), (SocketType::SEQPACKET, "SOCK_SEQPACKET")]
    {
        let error = ByteSource::new(pair(kind).0, "stdin").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(error.message.contains(name) && error.message.contains("stdin"), "{error}");
    }
    let (ours, theirs): (OwnedFd, OwnedFd) = pair(SocketType::STREAM);
    let plan = PartPlan::uniform(PART, 2);
    let (reader, pool) = started(ByteSource::new(ours, "stdin").unwrap(), &plan);
    rustix::io::write(&theirs, &ramp(2500)).unwrap();
    drop(theirs);
    check(reader, &pool, &ramp(2500), PART);
}
