//! Streams that a validator accepts, warns about or rejects.

use super::*;
use validate::Rejection;

struct FakeValidator {
    seen: Vec<u8>,
    on_bytes: fn(&[u8]) -> Result<(), Rejection>,
    on_end: fn(&[u8]) -> Result<Option<String>, Rejection>,
}

impl StreamValidator for FakeValidator {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        self.seen.extend(bytes);
        (self.on_bytes)(&self.seen)
    }

    fn end(self: Box<Self>) -> Result<Option<String>, Rejection> {
        (self.on_end)(&self.seen)
    }
}

fn rejection(message: &str) -> Rejection {
    Rejection { message: message.to_owned(), hint: None }
}

/// The events of a validated stream other than its parts.
fn validated_events(
    on_bytes: fn(&[u8]) -> Result<(), Rejection>,
    on_end: fn(&[u8]) -> Result<Option<String>, Rejection>,
) -> Vec<ReadEvent> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&ramp(2500)).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let source = ByteSource::new(file.into(), "the file").unwrap();
    let validator = Box::new(FakeValidator { seen: vec![], on_bytes, on_end });
    let (mut reader, _pool) =
        start_validating(source, &PartPlan::uniform(PART, 2), Some(validator));
    let mut events = Vec::new();
    while let Some(event) = reader.events.blocking_recv() {
        if !matches!(
            event,
            ReadEvent::Part(_) | ReadEvent::MultipartNeeded | ReadEvent::LastPartNext
        ) {
            events.push(event);
        }
    }
    events
}

#[test]
fn the_validator_decides_the_end_of_the_stream() {
    let accept: fn(&[u8]) -> Result<(), Rejection> = |_| Ok(());
    let events = validated_events(accept, |seen| {
        assert!(seen == ramp(2500));
        Ok(None)
    });
    assert!(matches!(events[..], [ReadEvent::EndOfStream { bytes: 2500, .. }]), "{events:?}");
    let events = validated_events(accept, |_| Ok(Some("odd".to_owned())));
    assert!(
        matches!(events[..], [ReadEvent::Warning(_), ReadEvent::EndOfStream { .. }]),
        "{events:?}"
    );
    let events = validated_events(accept, |_| Err(rejection("cut off")));
    assert!(
        matches!(&events[..], [ReadEvent::EndRejected(e)] if e.message == "cut off"),
        "{events:?}"
    );
    let events = validated_events(|_| Err(rejection("no hope")), |_| panic!("it was hopeless"));
    assert!(
        matches!(&events[..], [ReadEvent::SourceFailed(e)] if e.message == "no hope"),
        "{events:?}"
    );
    let events = validated_events(accept, |_| panic!("planted"));
    assert!(
        matches!(&events[..], [ReadEvent::SourceFailed(e)] if e.kind == ErrorKind::Internal),
        "{events:?}"
    );
}
