//! The driver: performs the actions of the upload machine and brings it the events.
//!
//! Owns the buffers that are held for parts, the tasks under way and the only loop over them.
//! Decides nothing. Invariant: a buffer is let go of only when the machine says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::{call, rehash};
use crate::child::{LINGER, Producer};
use crate::digest::Algorithm;
use crate::error::{Error, Kind};
use crate::input::{Incoming, Reader};
use crate::oci::api::{Storing, Target, request};
use crate::progress::{Reporter, Snapshot};
use crate::retry::{Break, Failure};
use crate::service::Service;
use crate::signals::{Signals, Stop, Stops};
use crate::upload::{Action, Call, Event, Stored, Upload};

/// How often the progress is looked at; what is shown, and when, the reporter decides.
const TICK: Duration = Duration::from_millis(250);

/// Before so long nothing is said of when the upload will likely end.
const FORESIGHT: Duration = Duration::from_secs(30);

/// Where the bytes come from while the driver runs.
pub struct Source {
    pub reader: Reader,
    pub producer: Option<Producer>,
    pub expected: Option<u64>,
}

pub struct Drive {
    pub service: Arc<Service>,
    pub target: Arc<Target>,
    pub storing: Arc<Storing>,
    pub upload: Upload,
    began: Instant,
    held: HashMap<u32, Vec<Bytes>>,
    /// The end of the stream in other parts, while their digests are computed.
    cut: Vec<Vec<Bytes>>,
    tasks: JoinSet<Event>,
    parts: HashMap<u32, AbortHandle>,
    /// A commit or put under way, and whether its first byte has left.
    decisive: Option<(Call, AbortHandle, Arc<AtomicBool>)>,
}

/// What the loop woke up for.
enum Woke {
    Read(Option<Incoming>),
    Event(Event),
    Exited(Result<(), Error>),
    Lingered,
    Tick,
    Timeout,
    Signal(Error),
}

/// How far the command after `--` has come.
#[derive(Default)]
struct Ending {
    /// The stream has ended, and waits for the command's exit.
    end: Option<(u64, u32)>,
    exited: bool,
    /// When a stdout still open after the exit is taken as someone else writing. Time in which it
    /// could not be read, for want of a buffer, does not count.
    lingers_until: Option<Instant>,
}

impl Drive {
    pub fn new(
        service: Arc<Service>,
        target: Target,
        storing: Storing,
        upload: Upload,
        began: Instant,
    ) -> Drive {
        Drive {
            service,
            target: Arc::new(target),
            storing: Arc::new(storing),
            upload,
            began,
            held: HashMap::new(),
            cut: Vec::new(),
            tasks: JoinSet::new(),
            parts: HashMap::new(),
            decisive: None,
        }
    }

    /// Runs the upload to its end.
    pub async fn run(
        &mut self,
        source: Source,
        signals: &mut Signals,
        reporter: &Reporter,
    ) -> Result<Stored, Error> {
        let Source { mut reader, mut producer, expected } = source;
        let mut reading = true;
        let (mut stops, mut left) = (Stops::default(), false);
        let mut ending = Ending::default();
        let mut last_words = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            while let Some(action) = self.upload.next_action() {
                match action {
                    Action::Begin(call) => self.begin(call),
                    Action::Rehash(number) => self.rehash(number),
                    Action::Cut { first, sizes, saves } => {
                        self.cut(first, &sizes);
                        reporter.debug(|| shared(first, &sizes, saves));
                    }
                    Action::Free(number) => drop(self.held.remove(&number)),
                    Action::CancelParts => {
                        self.parts.drain().for_each(|(_, task)| task.abort());
                    }
                    Action::StopReading => {
                        reading = false;
                        reader.stop();
                        if let Some(producer) = producer.take() {
                            last_words = Some(tokio::spawn(producer.end()));
                        }
                    }
                    Action::Note(text) => reporter.warn(&text),
                    Action::Finish(result) => {
                        reader.stop();
                        self.tasks.abort_all();
                        if let Some(task) = last_words
                            && !left
                        {
                            let told = stops.any();
                            tokio::select! {
                                _ = task => {}
                                () = self.impatience(signals, &mut stops), if told => {}
                            }
                        }
                        reporter.update(&self.snapshot(&reader, expected));
                        return result;
                    }
                }
            }
            let timeout = self.upload.next_timeout().map(|at| self.began + at);
            let woke = tokio::select! {
                biased;
                error = signals.next() => Woke::Signal(error),
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok(event) => Woke::Event(event),
                    Err(error) if error.is_cancelled() => continue,
                    Err(error) => Woke::Event(Event::Stop(Error::new(
                        Kind::Unforeseen,
                        format!("a task failed: {error}"),
                    ))),
                },
                incoming = reader.events.recv(), if reading => Woke::Read(incoming),
                result = exited(&mut producer), if !ending.exited => Woke::Exited(result),
                () = until(ending.lingers_until) => Woke::Lingered,
                () = until(timeout) => Woke::Timeout,
                _ = ticks.tick() => Woke::Tick,
            };
            let event = match woke {
                Woke::Signal(error) => match stops.signal(self.now()) {
                    Stop::First => {
                        self.recall();
                        Some(Event::Stop(error))
                    }
                    Stop::Same => None,
                    Stop::Impatient => {
                        left = true;
                        self.upload.leave();
                        None
                    }
                },
                Woke::Event(event) => Some(event),
                Woke::Read(incoming) => {
                    reading = !matches!(
                        incoming,
                        None | Some(Incoming::End { .. } | Incoming::Broken(_))
                    );
                    self.read(incoming, producer.as_ref(), &mut ending, reporter)
                }
                Woke::Exited(result) => {
                    ending.exited = true;
                    if reading {
                        ending.lingers_until = Some(Instant::now() + LINGER);
                    }
                    let judge = |producer: &Producer| match producer.broke_its_pipe() {
                        true => Ok(()),
                        false => producer.judge(),
                    };
                    match result.and_then(|()| producer.as_ref().map_or(Ok(()), judge)) {
                        // Whatever else it has written, it is not wanted any more.
                        Err(error) => Some(Event::Broken(error)),
                        Ok(()) => self.end_of_command(producer.as_ref(), &mut ending),
                    }
                }
                // Nothing is read while all buffers are on their way: the end may lie in the pipe.
                Woke::Lingered if reader.gauge().waits_for_buffer() => {
                    ending.lingers_until = Some(Instant::now() + TICK);
                    None
                }
                Woke::Lingered => {
                    ending.lingers_until = None;
                    let error = producer.as_ref().map(Producer::lingering);
                    if reading { error.map(Event::Broken) } else { None }
                }
                Woke::Timeout => {
                    let now = self.now();
                    self.upload.handle_timeout(now);
                    None
                }
                Woke::Tick => {
                    if let Some(at) = &mut ending.lingers_until
                        && reader.gauge().waits_for_buffer()
                    {
                        *at += TICK;
                    }
                    if self.began.elapsed() >= FORESIGHT {
                        self.service.session.set_likely_end(self.likely_end(expected));
                    }
                    reporter.update(&self.snapshot(&reader, expected));
                    None
                }
            };
            if let Some(event) = event {
                match &event {
                    Event::Done { call: Call::Part(number), .. } => drop(self.parts.remove(number)),
                    Event::Done { call: Call::Commit | Call::Put, .. } => self.decisive = None,
                    Event::Done { call: Call::Create, result: Ok(_) } => reader.go_on(),
                    Event::Cut { first, .. } => self.hold_cut(*first),
                    _ => {}
                }
                let now = self.now();
                self.upload.handle(now, event);
            }
        }
    }

    /// Resolves when a signal says that nothing is waited for any more.
    async fn impatience(&self, signals: &mut Signals, stops: &mut Stops) {
        loop {
            signals.next().await;
            if stops.signal(self.now()) == Stop::Impatient {
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What came from the reading thread, as an event; the end waits for the command's exit.
    fn read(
        &mut self,
        incoming: Option<Incoming>,
        producer: Option<&Producer>,
        ending: &mut Ending,
        reporter: &Reporter,
    ) -> Option<Event> {
        match incoming {
            Some(Incoming::Part(filled)) => {
                self.held.insert(filled.number, filled.chunks);
                Some(Event::Part { number: filled.number, digest: filled.digest })
            }
            Some(Incoming::Continues) => Some(Event::Continues),
            Some(Incoming::Ending) => Some(Event::Ending),
            Some(Incoming::Warning(text)) => {
                reporter.warn(&text);
                None
            }
            Some(Incoming::Broken(error)) => Some(Event::Broken(error)),
            Some(Incoming::End { bytes, crc32 }) => {
                ending.end = Some((bytes, crc32));
                ending.lingers_until = None;
                match producer {
                    None => Some(Event::End { bytes, crc32 }),
                    Some(_) => self.end_of_command(producer, ending),
                }
            }
            None => Some(Event::Broken(Error::new(
                Kind::Unforeseen,
                "the reading thread ended without a word",
            ))),
        }
    }

    /// The stream is whole when it has ended and the command has exited with success.
    fn end_of_command(&self, producer: Option<&Producer>, ending: &mut Ending) -> Option<Event> {
        let ((bytes, crc32), producer) = (ending.end?, producer?);
        if !ending.exited {
            return None;
        }
        Some(match producer.judge() {
            Ok(()) => Event::End { bytes, crc32 },
            Err(error) => Event::Broken(error),
        })
    }

    fn snapshot(&self, reader: &Reader, expected: Option<u64>) -> Snapshot {
        let (parts_acknowledged, acknowledged) = self.upload.acknowledged();
        Snapshot {
            read: reader.gauge().bytes(),
            acknowledged,
            parts_acknowledged,
            parts_in_flight: self.upload.in_flight() as u32,
            retries: self.upload.retries(),
            token_left: self.service.session.left(),
            expected,
            elapsed: self.began.elapsed(),
            waiting: self.upload.stands_still().map(str::to_owned),
        }
    }

    /// When the upload will end at the rate so far, where a size is expected.
    fn likely_end(&self, expected: Option<u64>) -> Option<SystemTime> {
        let (_, done) = self.upload.acknowledged();
        let left = expected?.saturating_sub(done);
        let rate = done as f64 / self.began.elapsed().as_secs_f64();
        if done == 0 {
            return None;
        }
        SystemTime::now().checked_add(Duration::try_from_secs_f64(left as f64 / rate).ok()?)
    }

    fn begin(&mut self, call: Call) {
        let chunks = match &call {
            Call::Part(number) => self.held.get(number).cloned().unwrap_or_default(),
            Call::Put => self.held.get(&1).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let request = call::request(&self.upload, &self.target, &self.storing, &call);
        let Some(request) = request else { return };
        if let (Call::Part(1), Some(id)) = (&call, self.upload.upload_id()) {
            let probe = request::list_parts(&self.target, id, None);
            self.service.session.set_probe(probe.method, &probe.target);
        }
        let service = self.service.clone();
        let target = self.target.clone();
        let upload_id = self.upload.upload_id().map(str::to_owned);
        let number = match call {
            Call::Part(number) => Some(number),
            _ => None,
        };
        let sent = Arc::new(AtomicBool::new(false));
        let decisive =
            matches!(call, Call::Commit | Call::Put).then(|| (call.clone(), sent.clone()));
        let task = self.tasks.spawn(async move {
            let result =
                call::perform(&service, &target, &call, (request, chunks), upload_id, &sent).await;
            Event::Done { call, result }
        });
        if let Some((call, sent)) = decisive {
            self.decisive = Some((call, task, sent));
        } else if let Some(number) = number {
            self.parts.insert(number, task);
        }
    }

    /// Takes back a commit or put that still waits for a connection or a token: a signal cancels
    /// only what has not been sent.
    fn recall(&mut self) {
        let Some((call, task, sent)) = self.decisive.take() else { return };
        if sent.load(Ordering::Acquire) || task.is_finished() {
            return;
        }
        task.abort();
        let text = "it was not sent any more".to_owned();
        let failure = Failure::Transport { how: Break::Connect, text };
        let now = self.now();
        self.upload.handle(now, Event::Done { call, result: Err(failure) });
    }

    /// Makes parts of other sizes of the bytes held from a part on. Nothing is copied.
    fn cut(&mut self, first: u32, sizes: &[u64]) {
        let held = (first..).map_while(|number| self.held.get(&number));
        let mut chunks: VecDeque<Bytes> = held.flatten().cloned().collect();
        let piece = |size: &u64| {
            let (mut piece, mut left) = (Vec::new(), *size as usize);
            while left > 0
                && let Some(mut chunk) = chunks.pop_front()
            {
                if chunk.len() > left {
                    chunks.push_front(chunk.split_off(left));
                }
                left -= chunk.len();
                piece.push(chunk);
            }
            piece
        };
        let pieces: Vec<_> = sizes.iter().map(piece).collect();
        self.cut.clone_from(&pieces);
        let algorithm: Algorithm = self.storing.checksum;
        self.tasks.spawn(async move {
            let mut digests = Vec::new();
            for piece in &pieces {
                digests.push(rehash::part(algorithm, piece).await);
            }
            Event::Cut { first, digests }
        });
    }

    /// The parts that were cut take the place of those they were cut from.
    fn hold_cut(&mut self, first: u32) {
        self.held.retain(|number, _| *number < first);
        self.held.extend((first..).zip(self.cut.drain(..)));
    }

    fn rehash(&mut self, number: u32) {
        let chunks = self.held.get(&number).cloned().unwrap_or_default();
        let algorithm: Algorithm = self.storing.checksum;
        self.tasks.spawn(async move {
            let digest = rehash::part(algorithm, &chunks).await;
            Event::Rehashed { number, digest, md5: rehash::md5_of(&chunks).await }
        });
    }
}

/// What is said of the end of a stream that is shared among connections.
fn shared(first: u32, sizes: &[u64], saves: Duration) -> String {
    format!(
        "the stream has ended: what is left is sent as {} parts from number {first} on, which saves \
         about {:.1} s",
        sizes.len(),
        saves.as_secs_f64()
    )
}

async fn exited(producer: &mut Option<Producer>) -> Result<(), Error> {
    match producer {
        Some(producer) => producer.exited().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
