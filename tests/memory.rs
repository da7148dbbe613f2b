//! What reading a stream costs the whole process, and what becomes of its stdin: seen from outside,
//! in a process of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use ocipipe::source::pool::Pool;
use ocipipe::source::{ByteSource, ReadEvent, Reader};
use proto::digest::Algorithm;
use proto::part_plan::{PlanInput, plan};

const ROLE: &str = "OCIPIPE_TEST_ROLE";

/// Resident memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// This test program once more, with a stream for its stdin.
fn child(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reads_stdin", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The body of the child; without a role it is no test.
#[test]
fn reads_stdin() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let before = resident();
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
        // Alive until the test has seen what it wants: stdin was not closed by the exit.
        loop {
            std::thread::park();
        }
    }
    assert!(matches!(reader.events.blocking_recv(), Some(ReadEvent::LastPartNext)));
    let Some(ReadEvent::Part(part)) = reader.events.blocking_recv() else { panic!("no part") };
    let grown = resident() - before;
    assert!(matches!(
        reader.events.blocking_recv(),
        Some(ReadEvent::EndOfStream { bytes: 1024, .. })
    ));
    println!("\n{} {grown}", part.digest.size);
}

#[test]
fn a_kilobyte_costs_hardly_any_memory() {
    let mut child = child("read");
    child.stdin.take().unwrap().write_all(&[7; 1024]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find(|line| line.starts_with("1024 ")).expect(&output);
    let grown: usize = line["1024 ".len()..].parse().unwrap();
    assert!(grown < 1024, "{grown} KiB for one");
}

#[test]
fn stopping_closes_stdin_so_that_the_producer_is_told() {
    let mut child = child("stop");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"some bytes").unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let stopped = lines.map_while(Result::ok).any(|line| line == "stopped");
    let written = stdin.write_all(b"more");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stopped, "the child said nothing");
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
