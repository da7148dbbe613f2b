//! Memory that the system refuses, at any moment of a stream.

use super::*;

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

/// A reader of this stream whose pool gets memory where the gate is open.
fn gated(
    plan: &PartPlan,
    written: Vec<u8>,
    gate: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (Reader, Pool) {
    let pool = Pool::new(plan.buffer_size, plan.buffers_for(1)).with_refusal_hook(gate);
    let (reader, mut writer) = pipe().unwrap();
    thread::spawn(move || {
        // A reader that ends early leaves the writer with a broken pipe.
        let _ = writer.write_all(&written);
    });
    let (source, algorithm) = (piped(reader), Algorithm::Sha256);
    let reader = Reader::start(source, pool.clone(), plan.clone(), algorithm, None).unwrap();
    (reader, pool)
}

/// A gate that is open for the first so many mappings.
fn first(mappings: usize) -> impl Fn(usize) -> bool + Send + Sync {
    let seen = AtomicUsize::new(0);
    move |_| seen.fetch_add(1, Ordering::SeqCst) < mappings
}

#[test]
fn one_buffer_is_enough_for_a_stream_of_many_parts() {
    let plan = PartPlan::uniform(PART, 4);
    let written = ramp(5 * PART + 17);
    let (mut reader, pool) = gated(&plan, written.clone(), first(1));
    let mut read = Vec::new();
    let (mut held, mut warnings, mut continues) = (None, 0, false);
    loop {
        match reader.events.blocking_recv().unwrap() {
            ReadEvent::Part(part) => {
                assert_eq!(pool.allocated(), 1);
                read.extend(part.chunks.concat());
                if part.number == 1 {
                    // Held until it is known that there are more.
                    held = Some(part);
                }
            }
            ReadEvent::MultipartNeeded => {
                continues = true;
                assert!(held.take().is_some());
            }
            ReadEvent::Warning(text) => {
                assert!(text.contains("gives no more memory"), "{text}");
                warnings += 1;
            }
            ReadEvent::LastPartNext => {}
            ReadEvent::EndOfStream { bytes, .. } => break assert_eq!(bytes, written.len() as u64),
            ReadEvent::SourceFailed(error) => panic!("{error}"),
        }
    }
    assert!(read == written && continues);
    // None where each buffer was back before the next was asked for.
    assert!(warnings <= 1, "{warnings}");
}

#[test]
fn a_part_of_several_buffers_ends_where_memory_does() {
    let plan = PartPlan::level_plan(PART, 4 * PART as u64, 2);
    let written = ramp(12 * PART);
    let (mut reader, _pool) = gated(&plan, written.clone(), first(2));
    let (mut read, mut sizes) = (Vec::new(), Vec::new());
    loop {
        match reader.events.blocking_recv().unwrap() {
            ReadEvent::Part(part) => {
                let bytes = part.chunks.concat();
                sizes.push(bytes.len());
                read.extend(bytes);
            }
            ReadEvent::EndOfStream { .. } => break,
            ReadEvent::SourceFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
    assert!(read == written);
    assert!(sizes.iter().all(|size| (PART..=2 * PART).contains(size)), "{sizes:?}");
}

#[test]
fn not_even_one_buffer_is_an_error_that_says_what_to_do() {
    let (reader, pool) = gated(&PartPlan::uniform(PART, 4), ramp(10), |_| false);
    let error = broken(reader);
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.message.contains("no memory for a buffer"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--max-memory"), "{error}");
    assert_eq!(pool.outstanding(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_memory_is_refused_and_when_no_byte_is_lost(
        refusals in prop::collection::vec(any::<bool>(), 1..60),
        length in 0..30 * PART,
        shares in 1..5u64,
        parallel in 1..5u16,
        order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let plan = PartPlan::level_plan(PART, shares * PART as u64 - 3, parallel);
        let written = ramp(length);
        let at = AtomicUsize::new(0);
        let gate = move |_| {
            let at = at.fetch_add(1, Ordering::SeqCst);
            at == 0 || !refusals[at % refusals.len()]
        };
        let (mut reader, pool) = gated(&plan, written.clone(), gate);
        let mut choices = order.iter().cycle();
        let (mut parts, mut read, mut flying) = (0, Vec::new(), Vec::new());
        loop {
            // Parts are acknowledged in any order, and sometimes only when nothing else happens.
            let incoming = match reader.events.try_recv() {
                Ok(incoming) => incoming,
                Err(_) if !flying.is_empty() => {
                    let choice = usize::from(*choices.next().unwrap());
                    flying.swap_remove(choice % flying.len());
                    continue;
                }
                Err(_) => reader.events.blocking_recv().unwrap(),
            };
            match incoming {
                ReadEvent::Part(part) => {
                    parts += 1;
                    prop_assert_eq!(part.number, parts);
                    let bytes = part.chunks.concat();
                    prop_assert_eq!(&part.digest, &digest::part(Algorithm::Sha256, &part.chunks));
                    prop_assert!(bytes.len() as u64 <= plan.part_size(parts));
                    read.extend(bytes);
                    // Only the last is smaller than a buffer, or than a part if that is smaller.
                    prop_assert!(
                        part.digest.size >= plan.part_size(1).min(PART as u64)
                            || read.len() == written.len()
                    );
                    flying.push(part.chunks);
                }
                ReadEvent::EndOfStream { bytes, crc32 } => {
                    prop_assert_eq!(bytes, written.len() as u64);
                    prop_assert_eq!(crc32, crc32fast::hash(&written));
                    break;
                }
                ReadEvent::SourceFailed(error) => panic!("{error}"),
                _ => {}
            }
            prop_assert!(pool.allocated() <= plan.buffers_for(1));
        }
        prop_assert!(read == written);
    }
}
