//! Streams of every format, whole or not: a verdict that does not depend on how the stream arrives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use validate::{Format, guess, watch};
use ocipipe::source::Watch;

// The first byte chooses the format, the second the size of the pieces; 0 asks for no format.
fuzz_target!(|bytes: &[u8]| {
    let [choice, size, stream @ ..] = bytes else { return };
    let judge = || match usize::from(*choice % 9) {
        0 => guess(),
        format => watch(Format::ALL[format - 1]).expect("a thread can be started"),
    };
    let whole = verdict(judge(), std::iter::once(stream));
    let pieces = stream.chunks(usize::from(*size).max(1));
    assert_eq!(verdict(judge(), pieces), whole);
});

fn verdict<'a>(
    mut judge: Box<dyn Watch>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<String>, String> {
    for piece in pieces {
        judge.bytes(piece).map_err(|error| error.what)?;
    }
    judge.end().map_err(|error| error.what)
}
