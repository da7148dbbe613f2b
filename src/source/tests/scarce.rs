//! Memory that the system refuses at any moment of a stream.

use super::*;

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

/// A reader of this stream whose pool gets memory where `permits` returns true.
fn start_refusing(
    plan: &PartPlan,
    written: Vec<u8>,
    permits: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (Reader, Pool) {
    let pool = Pool::new(plan.buffer_size, plan.buffers_for(1)).with_mapping_hook(permits);
    let (reader, mut writer) = pipe().unwrap();
    thread::spawn(move || {
        // A reader that ends early leaves the writer with a broken pipe.
        let _ = writer.write_all(&written);
    });
    let (source, algorithm) = (pipe_source(reader), Algorithm::Sha256);
    let reader = Reader::start(source, pool.clone(), plan.clone(), algorithm, None).unwrap();
    (reader, pool)
}

/// Permits the first `mappings` mappings.
fn permit_first(mappings: usize) -> impl Fn(usize) -> bool + Send + Sync {
    let tried = AtomicUsize::new(0);
    move |_| tried.fetch_add(1, Ordering::SeqCst) < mappings
}

#[test]
fn one_buffer_is_enough_for_a_stream_of_many_parts() {
    let plan = PartPlan::uniform(PART, 4);
    let written = ramp(5 * PART + 17);
    // A second buffer is never mapped.
    let (mut reader, _pool) = start_refusing(&plan, written.clone(), permit_first(1));
    let mut read = Vec::new();
    let (mut first_part, mut warnings, mut multipart) = (None, 0, false);
    loop {
        match reader.events.blocking_recv().unwrap() {
            ReadEvent::Part(part) => {
                read.extend(part.chunks.concat());
                if part.number.get() == 1 {
                    // The first part is kept until the stream is known to be longer.
                    first_part = Some(part);
                }
            }
            ReadEvent::MultipartNeeded => {
                multipart = true;
                assert!(first_part.take().is_some());
            }
            ReadEvent::Warning(text) => {
                assert!(text.contains("gives no more memory"), "{text}");
                warnings += 1;
            }
            ReadEvent::LastPartNext => {}
            ReadEvent::EndOfStream { bytes, .. } => break assert_eq!(bytes, written.len() as u64),
            ReadEvent::EndRejected(error) | ReadEvent::SourceFailed(error) => panic!("{error}"),
            ReadEvent::WholeStream(_) => {}
        }
    }
    assert!(read == written && multipart);
    // There is no warning if each buffer returned before the next was taken.
    assert!(warnings <= 1, "{warnings}");
}

#[test]
fn a_part_of_several_buffers_ends_where_memory_is_refused() {
    let plan = PartPlan::level_plan(PART, 4 * PART as u64, 2);
    let written = ramp(12 * PART);
    let (mut reader, _pool) = start_refusing(&plan, written.clone(), permit_first(2));
    let (mut read, mut sizes) = (Vec::new(), Vec::new());
    loop {
        match reader.events.blocking_recv().unwrap() {
            ReadEvent::Part(part) => {
                let bytes = part.chunks.concat();
                sizes.push(bytes.len());
                read.extend(bytes);
            }
            ReadEvent::EndOfStream { .. } => break,
            ReadEvent::EndRejected(error) | ReadEvent::SourceFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
    assert!(read == written);
    assert!(sizes.iter().all(|size| (PART..=2 * PART).contains(size)), "{sizes:?}");
}

#[test]
fn no_memory_for_one_buffer_is_an_error_with_a_hint() {
    let (reader, pool) = start_refusing(&PartPlan::uniform(PART, 4), ramp(10), |_| false);
    let error = source_error(reader);
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("no memory for a buffer"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--max-memory"), "{error}");
    assert_eq!(pool.outstanding(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_byte_is_lost_whenever_memory_is_refused(
        refusals in prop::collection::vec(any::<bool>(), 1..60),
        length in 0..30 * PART,
        shares in 1..5u64,
        parallel in 1..5u16,
        order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let plan = PartPlan::level_plan(PART, shares * PART as u64 - 3, parallel);
        let written = ramp(length);
        let tried = AtomicUsize::new(0);
        let permits = move |_| {
            let index = tried.fetch_add(1, Ordering::SeqCst);
            index == 0 || !refusals[index % refusals.len()]
        };
        let (mut reader, pool) = start_refusing(&plan, written.clone(), permits);
        let mut choices = order.iter().cycle();
        let (mut parts, mut read, mut in_flight) = (0, Vec::new(), Vec::new());
        loop {
            // Parts are acknowledged in any order, and sometimes only when there is no other event.
            let event = match reader.events.try_recv() {
                Ok(event) => event,
                Err(_) if !in_flight.is_empty() => {
                    let choice = usize::from(*choices.next().unwrap());
                    in_flight.swap_remove(choice % in_flight.len());
                    continue;
                }
                Err(_) => reader.events.blocking_recv().unwrap(),
            };
            match event {
                ReadEvent::Part(part) => {
                    parts += 1;
                    prop_assert_eq!(part.number.get(), parts);
                    let bytes = part.chunks.concat();
                    prop_assert_eq!(&part.digest, &digest::part(Algorithm::Sha256, &part.chunks));
                    prop_assert!(bytes.len() as u64 <= plan.part_size(parts));
                    read.extend(bytes);
                    // Only the last part is smaller than a buffer, or than a planned part.
                    prop_assert!(
                        part.digest.size >= plan.part_size(1).min(PART as u64)
                            || read.len() == written.len()
                    );
                    in_flight.push(part.chunks);
                }
                ReadEvent::EndOfStream { bytes, crc32 } => {
                    prop_assert_eq!(bytes, written.len() as u64);
                    prop_assert_eq!(crc32, crc32fast::hash(&written));
                    break;
                }
                ReadEvent::EndRejected(error) | ReadEvent::SourceFailed(error) => panic!("{error}"),
                _ => {}
            }
            prop_assert!(pool.allocated() <= plan.buffers_for(1));
        }
        prop_assert!(read == written);
    }
}
