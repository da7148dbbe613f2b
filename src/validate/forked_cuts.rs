//! Which cuts of a stream a decoder takes for whole, in one pass over the stream.
//!
//! Owns the child process that is forked at each cut, in which the stream ends there while the pass goes on. Must not
//! know a format. Invariant: a child runs the decoder that the validator runs, from the state that this has at the
//! cut, and only the exit code leaves it.
#![allow(unsafe_code)] // A decoder of the libraries has no copy of its state but that of a process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use super::decode_thread::{ChunkReader, MemberDecoder, decode};

/// Exit codes of a child.
const WHOLE: i32 = 0;
const REJECTED: i32 = 1;
const PANICKED: i32 = 2;

/// The cuts, of these ascending ones, at which the stream is whole.
pub(super) fn accepted(member: MemberDecoder, bytes: &[u8], cuts: &[usize]) -> Vec<usize> {
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let is_child = Arc::new(Mutex::new(false));
    let next = {
        let (bytes, cuts) = (bytes.to_vec(), cuts.to_vec());
        let (accepted, is_child) = (accepted.clone(), is_child.clone());
        let (mut at, mut index) = (0, 0);
        move || {
            while cuts.get(index) == Some(&at) {
                index += 1;
                match exit_code_of_fork() {
                    None => {
                        *is_child.lock().unwrap() = true;
                        return None;
                    }
                    Some(WHOLE) => accepted.lock().unwrap().push(at),
                    Some(REJECTED) => {}
                    Some(code) => panic!("the decoder ends with {code} at {at}"),
                }
            }
            let end = cuts.get(index).copied()?;
            let chunk = bytes[at..end].to_vec();
            at = end;
            Some(chunk)
        }
    };
    let result =
        catch_unwind(AssertUnwindSafe(|| decode(ChunkReader::new(Box::new(next)), member)));
    if *is_child.lock().unwrap() {
        let code = match result {
            Ok(Ok(())) => WHOLE,
            Ok(Err(_)) => REJECTED,
            Err(_) => PANICKED,
        };
        // SAFETY: `_exit` ends this process at once; nothing of the test that it is a copy of runs in it.
        unsafe { libc::_exit(code) }
    }
    // The whole stream is not judged here.
    let _ = result.unwrap_or_else(|panic| resume_unwind(panic));
    std::mem::take(&mut *accepted.lock().unwrap())
}

/// Forks this process. Returns `None` in the child, and its exit code in the parent; a signal that has ended it is
/// negative.
fn exit_code_of_fork() -> Option<i32> {
    // SAFETY: the child of a process with threads may use what is safe after `fork`; that is the decoder, the locks
    // of this file, which no other thread has, the allocator of glibc, which is usable after `fork`, and `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        return None;
    }
    let mut status = 0;
    // SAFETY: `status` is an integer that lives longer than the call.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        let error = std::io::Error::last_os_error();
        assert!(error.kind() == std::io::ErrorKind::Interrupted, "waitpid: {error}");
    }
    Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) })
}

#[test]
fn a_forked_decoder_accepts_the_cuts_that_the_validator_accepts() {
    let sample = include_bytes!("../../tests/data/expect/blocks.bz2");
    let twice = [&sample[..], &sample[..], &[0; 5]].concat();
    let cuts: Vec<usize> =
        (0..twice.len()).filter(|at| at % 97 == 0 || at % sample.len() < 6).collect();
    let whole = |cut: &usize| {
        let mut validator: Box<dyn super::Validator> = Box::new(super::bzip2::decoder().unwrap());
        validator.bytes(&twice[..*cut]).and_then(|()| validator.end()).is_ok()
    };
    let expected: Vec<usize> = cuts.iter().copied().filter(whole).collect();
    assert_eq!(accepted(super::bzip2::member, &twice, &cuts), expected);
    assert!(expected.contains(&sample.len()) && expected.len() < 20, "{expected:?}");
}
