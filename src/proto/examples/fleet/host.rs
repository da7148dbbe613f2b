//! One host: the real upload machine with its reader, its token and what the service holds of it.
//!
//! Owns what the driver of the program owns: buffers as sizes, the requests in flight, the digests. Must not
//! know other hosts or the queue of events. Invariant: a request has the body that the machine knows.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use ocipipe_proto::digest::{self, PartDigest};
use ocipipe_proto::error::Error;
use ocipipe_proto::part_number::PartNumber;
use ocipipe_proto::part_plan::PartCut;
use ocipipe_proto::token_lifecycle::{RefreshPolicy, SigningRequest};
use ocipipe_proto::upload::{
    Action, ApiCall, AutoConfig, Event, StoredObject, Upload, UploadConfig,
};

use crate::reader::{Digests, ReadPart, Reader};
use crate::scenario::Scenario;
use crate::store::{Sent, Store};
use crate::tokens::{Mode, Tokens};

/// A part whose bytes are on the line.
struct Sending {
    from: Duration,
    to: Duration,
    bytes: u64,
}

/// One host of a fleet.
pub struct Host {
    pub upload: Upload,
    pub reader: Reader,
    pub tokens: Tokens,
    pub store: Store,
    pub rng: Rng,
    pub started: Duration,
    pub ended: Option<(Duration, Result<StoredObject, Error>)>,
    /// When the timer of the machine is scheduled.
    pub timer_at: Option<Duration>,
    /// The requests of parts were cancelled.
    pub cancelled: bool,
    /// Decisions to wait for a token.
    pub token_waits: u64,
    sending: HashMap<PartNumber, Sending>,
    sent: u64,
    rate: f64,
}

impl Host {
    /// A host of a scenario that starts at a time.
    pub fn new(
        scenario: &Scenario,
        mode: Mode,
        cut: PartCut,
        seed: u64,
        started: Duration,
    ) -> Host {
        let mut rng = Rng::with_seed(seed);
        let config = UploadConfig {
            auto: AutoConfig::of(&cut),
            retry_for: scenario.retry_for,
            seed: rng.u64(..),
            ..UploadConfig::plain(cut.plan().parallel.into())
        };
        let policy = RefreshPolicy {
            refresh_before: scenario.refresh_before,
            renewal: ocipipe_proto::token_lifecycle::Renewal::Never,
            can_query_time: true,
            retry_for: scenario.retry_for,
            seed: Some(rng.u64(..)),
        };
        Host {
            upload: Upload::new(config),
            reader: Reader::new(cut, scenario.stream, scenario.producer),
            tokens: Tokens::new(mode, started, &policy, started),
            store: Store::default(),
            rate: scenario.connection * (0.9 + 0.2 * rng.f64()),
            rng,
            started,
            ended: None,
            timer_at: None,
            cancelled: false,
            token_waits: 0,
            sending: HashMap::new(),
            sent: 0,
        }
    }

    /// How long a request takes on the line.
    pub fn transfer_time(&mut self, sent: &Sent) -> Duration {
        let bytes = sent.body.as_ref().map_or(0, |digest| digest.size);
        Duration::from_secs_f64(bytes as f64 / self.rate * (0.9 + 0.2 * self.rng.f64()))
    }

    /// What a call is signed as.
    pub fn signing_request(&self, call: &ApiCall) -> SigningRequest {
        match call {
            ApiCall::Part(number) => SigningRequest::Transfer {
                transfer_id: number.get().into(),
                estimate: self
                    .upload
                    .part(*number)
                    .map(|part| Duration::from_secs_f64(part.size as f64 / self.rate)),
            },
            ApiCall::Abort { .. } => SigningRequest::Abort,
            _ => SigningRequest::Small,
        }
    }

    /// The request of a call.
    pub fn request(&self, call: ApiCall) -> Sent {
        let body = match &call {
            ApiCall::Part(number) => self.upload.part(*number).cloned(),
            ApiCall::Put => self.upload.part(PartNumber::FIRST).cloned(),
            _ => None,
        };
        let parts = match &call {
            ApiCall::Commit => {
                self.upload.commit_parts().map(|(n, etag)| (n, etag.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        Sent { upload_id: self.upload.upload_id().map(str::to_owned), call, body, parts }
    }

    /// The bytes of a part are on the line in this time.
    pub fn begin_sending(&mut self, sent: &Sent, from: Duration, to: Duration) {
        if let (ApiCall::Part(number), Some(body)) = (&sent.call, &sent.body) {
            self.sending.insert(*number, Sending { from, to, bytes: body.size });
        }
    }

    /// The request of a part has ended.
    pub fn end_sending(&mut self, call: &ApiCall, now: Duration) {
        if let ApiCall::Part(number) = call
            && let Some(sending) = self.sending.remove(number)
        {
            self.sent += sending.bytes_at(now);
        }
    }

    /// What the controller of connections observes.
    pub fn sample(&self, now: Duration) -> Event {
        let in_flight: u64 = self.sending.values().map(|sending| sending.bytes_at(now)).sum();
        Event::Sample { sent: self.sent + in_flight, waited: self.reader.waited(now) }
    }

    /// Performs an action that concerns the host alone. Returns the call to sign, if it is one.
    pub fn perform(
        &mut self,
        now: Duration,
        action: Action,
        digests: &mut Digests,
    ) -> Option<ApiCall> {
        match action {
            Action::StartCall(call) => return Some(call),
            Action::ReleasePart(number) => {
                self.reader.held.remove(&number);
            }
            Action::StopReading => self.reader.stopped = true,
            Action::CancelParts => self.cancelled = true,
            Action::SetConnections { to, .. } => self.reader.connections = to,
            Action::SplitTail { first, sizes, .. } | Action::SplitQueue { first, sizes } => {
                self.reader.split(first, &sizes);
                let digests: Vec<PartDigest> = sizes.iter().map(|size| digests.of(*size)).collect();
                self.upload.handle_event(now, Event::TailSplit { first, digests });
            }
            // Requests of the model cannot be called off.
            Action::RecallParts(_) => {
                self.upload.handle_event(now, Event::PartsRecalled { first: None });
            }
            Action::Rehash(number) => {
                if let Some(digest) = self.upload.part(number).cloned() {
                    let md5 = digest::md5_of(&[]);
                    self.upload.handle_event(now, Event::Rehashed { number, digest, md5 });
                }
            }
            Action::Finish(result) => self.ended = Some((now, result)),
            Action::ReadOn | Action::Warn(_) | Action::Transition { .. } => {}
        }
        None
    }

    /// The next buffer is read, and with it perhaps a part.
    pub fn buffer_read(&mut self, now: Duration, digests: &mut Digests) {
        let Some(ReadPart { size, is_second, is_last }) = self.reader.end_buffer() else { return };
        if is_second {
            self.upload.handle_event(now, Event::MultipartNeeded);
        }
        if is_last {
            self.upload.handle_event(now, Event::LastPartNext);
        }
        let Some(number) = self.upload.next_part_number() else { return };
        let digest = digests.of(size);
        self.reader.hold(number, &digest);
        self.upload.handle_event(now, Event::Part { number, digest });
        if is_last {
            let (bytes, crc32) = (self.reader.offset, self.reader.crc32);
            self.upload.handle_event(now, Event::EndOfStream { bytes, crc32 });
        }
    }
}

impl Sending {
    /// The bytes that the line has taken by now.
    fn bytes_at(&self, now: Duration) -> u64 {
        let length = (self.to - self.from).as_secs_f64().max(1e-9);
        let share = now.saturating_sub(self.from).as_secs_f64() / length;
        (self.bytes as f64 * share.min(1.0)) as u64
    }
}
