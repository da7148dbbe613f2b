//! Streams of every format, valid or not: the result does not depend on the pieces in which a
//! stream arrives. Where a decoder of a library finds damage may depend on them, and so may the text about it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use validate::{Format, StreamValidator, detecting_validator, validator_for};

// The first byte selects the format (0: detection), the second the size of the pieces.
fuzz_target!(|bytes: &[u8]| {
    let [choice, size, stream @ ..] = bytes else { return };
    let validator = || match usize::from(*choice) % (Format::ALL.len() + 1) {
        0 => detecting_validator(),
        format => validator_for(Format::ALL[format - 1]).expect("a thread can be started"),
    };
    let decodes = match usize::from(*choice) % (Format::ALL.len() + 1) {
        0 => true,
        format => matches!(Format::ALL[format - 1], Format::Gzip | Format::Bzip2),
    };
    let expected = validate(validator(), std::iter::once(stream));
    let found = validate(validator(), stream.chunks(usize::from(*size).max(1)));
    if !decodes {
        return assert_eq!(found, expected);
    }
    let kind =
        |result: Result<Option<String>, String>| result.map(|text| text.is_some()).map_err(drop);
    assert_eq!(kind(found), kind(expected));
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
