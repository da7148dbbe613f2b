//! The end of the stream: whether it may be stored.
//!
//! Owns the checks of the whole stream. Must not know parts or requests. Invariant: a stream that a check
//! refuses is never committed, and a stream that is only compared is never sent.

use super::core::Core;
use super::state::{State, Streaming};
use super::{EndOfStream, Now, resume};
use crate::error::Error;
use crate::units::format_size_exact;
use crate::whole_stream::ExpectedDigest;

/// The pause between the end of a stream and the request that makes an object appear. A supervisor
/// that ends a job signals its processes one after the other; the producer may end the stream before
/// the signal arrives here.
const SIGNAL_HOLD: Now = Now::from_millis(100);

/// An upload has at least one part, and PutObject has headers for the properties.
fn empty_with_other_letters() -> Error {
    let what = "the stream is empty, and metadata and dispositions that are not ASCII need a multipart upload";
    Error::usage(what).with_hint("write them in ASCII, for example percent-encoded")
}

impl Streaming {
    pub(super) fn on_end_of_stream(mut self, core: &mut Core, end: EndOfStream) -> State {
        core.end = Some(end);
        self.no_more_parts = true;
        let bytes = end.bytes;
        if bytes == 0 && !core.config.allow_empty {
            let error = Error::source("the stream is empty; nothing was stored")
                .with_hint("give --allow-empty if an empty object is wanted");
            return self.abort(core, error);
        }
        if bytes == 0 && self.multipart_needed {
            return self.abort(core, resume::empty_stream());
        }
        if bytes == 0 && core.config.always_multipart && self.conflict.is_none() {
            return self.abort(core, empty_with_other_letters());
        }
        if bytes < core.config.min_size {
            let least = core.config.min_size;
            let error = Error::source(format!(
                "the stream ended after {}, but --min-size asks for {}; nothing was stored",
                format_size_exact(bytes),
                format_size_exact(least)
            ));
            return self.abort(core, error);
        }
        if let Err(error) =
            ExpectedDigest::check(&core.config.expected_digests, &core.stream_digests)
        {
            return self.abort(core, error);
        }
        if let Some(conflict) = self.conflict.take() {
            return self.abort(core, conflict);
        }
        if !core.config.end_proven {
            self.hold_until = Some(core.now + SIGNAL_HOLD);
        }
        State::Streaming(self)
    }
}
