//! The bytes that were written to a socket and that the peer has not acknowledged.
//!
//! Owns the reading of the kernel's table of connections. Knows nothing of stalls. Invariant:
//! without the table (another system, no `/proc`) the result is `None`.

use rustix::fs::fstat;
use tokio::net::TcpStream;

/// The row of one socket in the kernel's table.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendQueue {
    inode: u64,
    table: &'static str,
}

impl SendQueue {
    /// The send queue of a connected socket; `None` for a socket that is closed.
    pub(super) fn of(stream: &TcpStream) -> Option<SendQueue> {
        let is_ipv4 = stream.local_addr().ok()?.is_ipv4();
        let table = if is_ipv4 { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
        Some(SendQueue { inode: fstat(stream).ok()?.st_ino, table })
    }

    /// Bytes in the send queue. Reads a file with a line for every connection of the machine, which
    /// can take milliseconds.
    pub(super) fn bytes(self) -> Option<u64> {
        let table = std::fs::read_to_string(self.table).ok()?;
        table.lines().skip(1).find_map(|line| queued_bytes(line, self.inode))
    }
}

/// Bytes in the send queue, if the line is that of this socket.
fn queued_bytes(line: &str, inode: u64) -> Option<u64> {
    // Number, addresses, state, queues, timer, retransmissions, user, timeouts, inode.
    let mut fields = line.split_ascii_whitespace().skip(4);
    let (queues, line_inode) = (fields.next()?, fields.nth(4)?);
    if line_inode.parse() != Ok(inode) {
        return None;
    }
    u64::from_str_radix(queues.split(':').next()?, 16).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    #[test]
    fn a_line_of_the_kernel_s_table_is_parsed() {
        let line = "   1: 0100007F:1F90 0100007F:D431 01 00028A00:00000010 01:00000014 00000000 \
                    1000        0 48213 3 0000000000000000 20 4 30 10 -1";
        assert_eq!(queued_bytes(line, 48213), Some(0x28a00));
        assert_eq!(queued_bytes(line, 48214), None);
        assert_eq!(queued_bytes("", 1), None);
    }

    #[tokio::test]
    async fn bytes_that_the_peer_has_not_read_are_counted_until_it_reads_them() {
        for (socket, address) in
            [(TcpSocket::new_v4(), "127.0.0.1:0"), (TcpSocket::new_v6(), "[::1]:0")]
        {
            let socket = socket.unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            // Not every machine has IPv6.
            let Ok(()) = socket.bind(address.parse().unwrap()) else { continue };
            let listener = socket.listen(1).unwrap();
            let mut local = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            let queue = SendQueue::of(&local).unwrap();
            assert_eq!(queue.bytes(), Some(0));
            local.write_all(&[7; 200_000]).await.unwrap();
            assert!(queue.bytes().unwrap() > 100_000, "{queue:?}");
            peer.read_exact(&mut [0; 200_000]).await.unwrap();
            while queue.bytes().unwrap() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
