//! RSA keys that all servers of a process use in turn, since generating one takes a quarter of a
//! second.
//!
//! Knows no file and no principal. Invariant: two keys that follow each other differ.

use super::state_dir::ApiKey;
use std::io;
use std::sync::{Mutex, PoisonError};

/// The number of keys.
const SIZE: usize = 3;

static KEYS: Mutex<Vec<ApiKey>> = Mutex::new(Vec::new());

/// The key number `turn`, counted from 0; it is generated when it is first asked for, and the keys
/// come round again. Blocks while a key is generated; fails if the system provides no randomness.
pub(crate) fn key(turn: usize) -> io::Result<ApiKey> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = turn % SIZE;
    while keys.len() <= index {
        keys.push(ApiKey::generate()?);
    }
    Ok(keys[index].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_differs_from_the_one_before_it() {
        let keys: Vec<ApiKey> = (0..4).map(|turn| key(turn).unwrap()).collect();
        for pair in keys.windows(2) {
            assert_ne!(pair[0].fingerprint, pair[1].fingerprint);
        }
    }
}
