//! The body of a request: the pooled buffers themselves, handed to the socket piece by piece.
//!
//! Owns the CRC-32 of what is handed over, taken at that moment, and the bandwidth limit. Knows
//! nothing of where the bytes came from. Invariant: the bytes are never copied here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How much is handed over at once: enough to keep the socket busy, little enough that the CRC-32
/// of it (30 microseconds) delays nobody and the bytes are still in cache when they are encrypted.
const FRAME_SIZE: usize = 1 << 20;
/// With a bandwidth limit so many pieces fill a second, so that the line is used evenly and the turn
/// of each of many bodies comes long before the watchdog takes its connection for a dead one.
const FRAMES_PER_SEC: u64 = 64;
/// Who comes late makes up for so much of it: a timer is late by a millisecond or two, a busy machine
/// by tens of them, and without this each delay would be lost for good.
const BURST: Duration = Duration::from_millis(200);

/// What has been handed to the socket so far.
#[derive(Debug, Default)]
pub struct BodyProgress {
    bytes: AtomicU64,
    total: u64,
    crc32: AtomicU64,
}

impl BodyProgress {
    /// Whether the whole body was handed over.
    pub fn complete(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == self.total
    }

    /// The CRC-32 of what was handed over.
    pub fn crc32(&self) -> u32 {
        self.crc32.load(Ordering::Acquire) as u32
    }
}

pub struct RequestBody {
    frames: VecDeque<Bytes>,
    remaining: u64,
    crc32: crc32fast::Hasher,
    progress: Arc<BodyProgress>,
    throttle: Option<Arc<Throttle>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub fn new(chunks: Vec<Bytes>, throttle: Option<Arc<Throttle>>) -> RequestBody {
        let remaining = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let progress = Arc::new(BodyProgress { total: remaining, ..BodyProgress::default() });
        let frames = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        RequestBody {
            frames,
            remaining,
            crc32: crc32fast::Hasher::new(),
            progress,
            throttle,
            pause: None,
        }
    }

    /// A view of what is handed over, which outlives the body.
    pub fn sent(&self) -> Arc<BodyProgress> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            std::task::ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        let Some(front) = this.frames.front_mut() else { return Poll::Ready(None) };
        let limit = this.throttle.as_ref().map_or(FRAME_SIZE, |throttle| throttle.piece());
        let piece = front.split_to(front.len().min(limit));
        if front.is_empty() {
            this.frames.pop_front();
        }
        this.crc32.update(&piece);
        this.remaining -= piece.len() as u64;
        this.progress.crc32.store(u64::from(this.crc32.clone().finalize()), Ordering::Release);
        this.progress.bytes.fetch_add(piece.len() as u64, Ordering::Release);
        if let Some(throttle) = &this.throttle {
            let pause = throttle.acquire(Instant::now(), piece.len());
            this.pause = Some(Box::pin(tokio::time::sleep_until(pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// A bandwidth limit over all bodies together.
pub struct Throttle {
    per_second: u64,
    /// When what has been spent so far is paid for.
    next_free: Mutex<Option<Instant>>,
}

impl Throttle {
    pub fn new(per_second: u64) -> Throttle {
        Throttle { per_second: per_second.max(1), next_free: Mutex::new(None) }
    }

    /// How much is handed over at once.
    fn piece(&self) -> usize {
        (self.per_second / FRAMES_PER_SEC).clamp(1, FRAME_SIZE as u64) as usize
    }

    /// Spends bytes; when the next may be spent.
    fn acquire(&self, now: Instant, bytes: usize) -> Instant {
        let mut free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let next = free.map_or(now, |at| at.max(earliest)) + cost;
        *free = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_body_is_handed_over_whole_in_order_and_uncopied_with_its_crc() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let first = Bytes::from(data[..1_500_000].to_vec());
        let second = Bytes::from(data[1_500_000..].to_vec());
        let start = first.as_ptr();
        let mut body = RequestBody::new(vec![first, Bytes::new(), second], None);
        let sent = body.sent();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame.as_ptr(), start);
        assert!(!sent.complete());
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!([&frame[..], &rest[..]].concat(), data);
        assert!(sent.complete());
        assert_eq!(sent.crc32(), crc32fast::hash(&data));
    }

    #[test]
    fn a_body_has_its_turn_often_however_small_the_limit_and_however_many_share_it() {
        for per_second in [1, 1000, 64 << 10, 1 << 30] {
            let throttle = Throttle::new(per_second);
            let turn = Duration::from_secs_f64(throttle.piece() as f64 / per_second as f64);
            assert!(turn <= Duration::from_secs(1), "{per_second}: {turn:?}");
        }
    }

    #[test]
    fn the_bandwidth_limit_is_shared_and_saves_up_no_more_than_a_delay() {
        let throttle = Throttle::new(1000);
        let start = Instant::now();
        assert_eq!(throttle.acquire(start, 500), start + Duration::from_millis(500));
        assert_eq!(throttle.acquire(start, 500), start + Duration::from_millis(1000));
        let late = start + Duration::from_millis(1150);
        assert_eq!(throttle.acquire(late, 1000), start + Duration::from_millis(2000));
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.acquire(later, 1000), later + Duration::from_secs(1) - BURST);
    }

    /// In virtual time, where a timer is late by up to a millisecond as it is in real time.
    #[tokio::test(start_paused = true)]
    async fn the_bandwidth_limit_is_reached_and_kept_by_one_body_and_by_several() {
        for (rate, bodies) in [(20_000, 1), (20 << 20, 1), (20 << 20, 4), (400 << 20, 3)] {
            let throttle = Arc::new(Throttle::new(rate));
            let start = Instant::now();
            let share = Bytes::from(vec![0; (2 * rate / bodies) as usize]);
            let all = (0..bodies).map(|_| {
                tokio::spawn(
                    RequestBody::new(vec![share.clone()], Some(throttle.clone())).collect(),
                )
            });
            for one in all.collect::<Vec<_>>() {
                one.await.unwrap().unwrap();
            }
            let seconds = start.elapsed().as_secs_f64();
            assert!((1.8..2.1).contains(&seconds), "{rate} a second, {bodies} bodies: {seconds} s");
        }
    }
}
