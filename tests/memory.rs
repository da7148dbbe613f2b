//! The memory that reading a stream costs, and the state of stdin, each in a process of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use ocipipe::internals::source::pool::Pool;
use ocipipe::internals::source::{ByteSource, ReadEvent, Reader};
use proto::digest::Algorithm;
use proto::part_plan::{PlanInput, plan};

const ROLE: &str = "OCIPIPE_TEST_ROLE";

/// Resident memory of this process, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Starts this test program again, with a pipe as stdin.
fn child(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reads_stdin", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The body of the child process; without a role it does nothing.
#[test]
fn reads_stdin() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let before = resident_kib();
    let plan = plan(&PlanInput::default()).unwrap();
    let pool = Pool::new(plan.buffer_size, plan.buffers_for(1));
    let source = ByteSource::stdin().unwrap();
    let mut reader = Reader::start(source, pool, plan, Algorithm::Sha256, None).unwrap();
    if role == "stop" {
        while reader.stats().bytes() == 0 {
            std::thread::yield_now();
        }
        reader.stop();
        assert!(reader.events.blocking_recv().is_none());
        println!("\nstopped");
        // Stays alive until the test kills it, so that stdin is not closed by the exit.
        loop {
            std::thread::park();
        }
    }
    assert!(matches!(reader.events.blocking_recv(), Some(ReadEvent::LastPartNext)));
    let Some(ReadEvent::Part(part)) = reader.events.blocking_recv() else { panic!("no part") };
    let grown = resident_kib() - before;
    assert!(matches!(
        reader.events.blocking_recv(),
        Some(ReadEvent::EndOfStream { bytes: 1024, .. })
    ));
    println!("\n{} {grown}", part.digest.size);
}

#[test]
fn a_kilobyte_costs_less_than_a_mebibyte_of_memory() {
    let mut child = child("read");
    child.stdin.take().unwrap().write_all(&[7; 1024]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find(|line| line.starts_with("1024 ")).expect(&output);
    let grown: usize = line["1024 ".len()..].parse().unwrap();
    assert!(grown < 1024, "{grown} KiB for 1 KiB");
}

#[test]
fn stopping_closes_stdin_so_that_the_producer_gets_an_error() {
    let mut child = child("stop");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"some bytes").unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let stopped = lines.map_while(Result::ok).any(|line| line == "stopped");
    let written = stdin.write_all(b"more");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stopped, "the child printed nothing");
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
