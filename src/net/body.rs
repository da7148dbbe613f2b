//! The body of a request: slices of the pooled buffers, passed to hyper frame by frame.
//!
//! Owns the sizes of the frames and the bandwidth limit. Knows nothing of the source of the bytes.
//! Invariant: the bytes are never copied here.

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

use proto::digest::BufferCrc;

use super::body_progress::{BodyFrame, BodyProgress};

/// Bytes of one frame: enough to keep the socket busy.
const FRAME_SIZE: usize = 1 << 20;
/// Frames per second under a bandwidth limit: the line is used evenly, and each of many bodies
/// sends a frame long before the watchdog's timeout.
const FRAMES_PER_SEC: u64 = 64;
/// Burst allowance of the bandwidth limit. Timers fire 1 to 2 ms late, and tens of ms late under
/// load; without the allowance each delay would lower the rate.
const BURST: Duration = Duration::from_millis(200);

/// A body of known length, in the frames that hyper polls.
pub struct RequestBody {
    chunks: VecDeque<Bytes>,
    remaining: u64,
    progress: Arc<BodyProgress>,
    throttle: Option<Arc<Throttle>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// The bytes of all bodies of a run.
    counter: Option<Arc<AtomicU64>>,
}

impl RequestBody {
    /// A body of these bytes, of which this CRC is taken. `throttle` is the bandwidth limit that it shares
    /// with other bodies.
    pub fn new(chunks: Vec<Bytes>, crc: BufferCrc, throttle: Option<Arc<Throttle>>) -> RequestBody {
        let remaining = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let progress = Arc::new(BodyProgress::new(remaining, crc));
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        RequestBody { chunks, remaining, progress, throttle, pause: None, counter: None }
    }

    /// The same body, whose bytes are added to `counter` as they are passed on.
    pub fn counted(self, counter: Arc<AtomicU64>) -> RequestBody {
        RequestBody { counter: Some(counter), ..self }
    }

    /// The progress of this body; it outlives the body.
    pub fn sent(&self) -> Arc<BodyProgress> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = BodyFrame;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<BodyFrame>, Infallible>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            std::task::ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        let Some(front) = this.chunks.front_mut() else { return Poll::Ready(None) };
        let limit = this.throttle.as_ref().map_or(FRAME_SIZE, |throttle| throttle.frame_size());
        let bytes = front.split_to(front.len().min(limit));
        if front.is_empty() {
            this.chunks.pop_front();
        }
        let length = bytes.len();
        // The request of a cancelled body is dropped by the component that cancelled it.
        let Some(frame) = this.progress.give(bytes) else { return Poll::Pending };
        this.remaining -= length as u64;
        if let Some(counter) = &this.counter {
            counter.fetch_add(length as u64, Ordering::Relaxed);
        }
        if let Some(throttle) = &this.throttle {
            let next = throttle.acquire(Instant::now(), length);
            this.pause = Some(Box::pin(tokio::time::sleep_until(next)));
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// A bandwidth limit that all bodies of a run share.
pub struct Throttle {
    bytes_per_sec: u64,
    /// When the next byte may be sent.
    next_free: Mutex<Option<Instant>>,
    /// How often bytes had to wait.
    delays: AtomicU64,
}

impl Throttle {
    /// A limit in bytes per second; 0 counts as 1.
    pub fn new(bytes_per_sec: u64) -> Throttle {
        Throttle {
            bytes_per_sec: bytes_per_sec.max(1),
            next_free: Mutex::new(None),
            delays: AtomicU64::new(0),
        }
    }

    /// How often the limit has made bytes wait, so far.
    pub fn delays(&self) -> u64 {
        self.delays.load(Ordering::Relaxed)
    }

    /// Bytes of one frame.
    fn frame_size(&self) -> usize {
        (self.bytes_per_sec / FRAMES_PER_SEC).clamp(1, FRAME_SIZE as u64) as usize
    }

    /// Whether bytes are held back now, or were within the last 100 ms.
    pub fn is_limiting(&self) -> bool {
        let next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        next_free.is_some_and(|next| next + BURST / 2 > Instant::now())
    }

    /// Accounts for bytes that have arrived, and waits until the next ones may be read.
    pub(super) async fn pass(&self, bytes: usize) {
        tokio::time::sleep_until(self.acquire(Instant::now(), bytes)).await;
    }

    /// Accounts for bytes that are sent now. Returns when the next byte may be sent.
    fn acquire(&self, now: Instant, bytes: usize) -> Instant {
        let mut next_free = self.next_free.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_sec as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let next = next_free.map_or(now, |at| at.max(earliest)) + cost;
        *next_free = Some(next);
        if next > now {
            self.delays.fetch_add(1, Ordering::Relaxed);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Buf, BufMut};
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_body_is_passed_on_complete_in_order_and_uncopied_with_its_crc() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let first = Bytes::from(data[..1_500_000].to_vec());
        let second = Bytes::from(data[1_500_000..].to_vec());
        let start = first.as_ptr();
        let mut body = RequestBody::new(vec![first, Bytes::new(), second], BufferCrc::Crc32, None);
        let sent = body.sent();
        let frame = body.frame().await.unwrap().unwrap().into_data().ok().unwrap();
        assert_eq!(frame.chunk().as_ptr(), start);
        let mut passed = Vec::new();
        passed.put(frame);
        assert!(!sent.complete());
        passed.put(body.collect().await.unwrap().to_bytes());
        assert_eq!(passed, data);
        assert!(sent.complete());
        assert_eq!(sent.crc(), Some(crc32fast::hash(&data)));
    }

    #[test]
    fn a_body_has_its_turn_often_however_small_the_limit_and_however_many_share_it() {
        for rate in [1, 1000, 64 << 10, 1 << 30] {
            let throttle = Throttle::new(rate);
            let turn = Duration::from_secs_f64(throttle.frame_size() as f64 / rate as f64);
            assert!(turn <= Duration::from_secs(1), "{rate}: {turn:?}");
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

    #[tokio::test(start_paused = true)]
    async fn a_limit_holds_bytes_back_only_where_bodies_reach_it() {
        let throttle = Throttle::new(1000);
        assert!(!throttle.is_limiting());
        for rate in [500, 2000] {
            for _ in 0..20 {
                let sent = Duration::from_secs_f64(100.0 / f64::from(rate));
                let next = throttle.acquire(Instant::now(), 100);
                tokio::time::sleep_until(next.max(Instant::now() + sent)).await;
            }
            assert_eq!(throttle.is_limiting(), rate > 1000, "{rate}");
        }
    }

    /// In virtual time, where timers fire up to 1 ms late, as they do in real time.
    #[tokio::test(start_paused = true)]
    async fn the_bandwidth_limit_is_reached_and_kept_by_one_body_and_by_several() {
        for (rate, bodies) in [(20_000, 1), (20 << 20, 1), (20 << 20, 4), (400 << 20, 3)] {
            let throttle = Arc::new(Throttle::new(rate));
            let start = Instant::now();
            let share = Bytes::from(vec![0; (2 * rate / bodies) as usize]);
            let all = (0..bodies).map(|_| {
                tokio::spawn(
                    RequestBody::new(vec![share.clone()], BufferCrc::Crc32, Some(throttle.clone()))
                        .collect(),
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
