//! Streams of every format, whole or not: a validate that does not depend on how the stream arrives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use validate::{Format, StreamValidator, detecting_validator, validator_for};

// The first byte chooses the format, the second the size of the pieces; 0 asks for no format.
fuzz_target!(|bytes: &[u8]| {
    let [choice, size, stream @ ..] = bytes else { return };
    let validator = || match usize::from(*choice % 9) {
        0 => detecting_validator(),
        format => validator_for(Format::ALL[format - 1]).expect("a thread can be started"),
    };
    let whole = validate(validator(), std::iter::once(stream));
    let pieces = stream.chunks(usize::from(*size).max(1));
    assert_eq!(validate(validator(), pieces), whole);
});

fn validate<'a>(
    mut validator: Box<dyn StreamValidator>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<String>, String> {
    for piece in pieces {
        validator.bytes(piece).map_err(|error| error.message)?;
    }
    validator.end().map_err(|error| error.message)
}
