//! The machine against a small model of the service, in virtual time.
//!
//! The model is written from the service's documentation and shares nothing with the machine. Each
//! run is made of a seed; a failing seed is printed and replays exactly.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;

mod doubt;
mod model;
mod outage;

use super::*;
use crate::digest::{self, Algorithm};
use crate::retry::Break;
use model::{Model, Sent, held};

const SECOND: Duration = Duration::from_secs(1);

enum Due {
    /// The service works on a request; the answer reaches us unless it is lost.
    Lands { sent: Sent, answer: bool },
    /// Something reaches the machine.
    Event(Event),
}

/// How badly the world behaves.
#[derive(Clone, Copy)]
struct Weather {
    /// Of 100 requests, so many meet a fault.
    faults: u32,
    /// After this time there are none.
    until: Duration,
}

struct World {
    upload: Upload,
    model: Model,
    due: BTreeMap<(Duration, u64), Due>,
    serial: u64,
    now: Duration,
    rng: fastrand::Rng,
    weather: Weather,
    condition: bool,
    stream: Vec<Bytes>,
    held: HashMap<u32, Bytes>,
    acknowledged: HashSet<u32>,
    cancelled: bool,
    commits: u32,
    aborts_under_way: u32,
    notes: Vec<String>,
    multipart: Option<String>,
}

fn settings(seed: u64, parallel: usize) -> Settings {
    Settings {
        parallel,
        retry_for: Duration::from_secs(3600),
        checksum: Algorithm::Sha256,
        allow_empty: false,
        min_size: 0,
        delete_on_mismatch: false,
        answered: true,
        before: Before::Nothing,
        named: Named {
            object: "oci://b@n/o".to_owned(),
            abort: "ABORT {}".to_owned(),
            head: "HEAD".to_owned(),
        },
        seed,
    }
}

impl World {
    fn new(seed: u64, parts: usize, weather: Weather) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stream: Vec<Bytes> =
            (0..parts).map(|i| Bytes::from(vec![i as u8; 1 + rng.usize(..5)])).collect();
        let values: Vec<Value> = stream
            .iter()
            .filter_map(|p| digest::part(Algorithm::Sha256, std::slice::from_ref(p)).value)
            .collect();
        World {
            upload: Upload::new(settings(seed, 1 + rng.usize(..8))),
            model: Model::default(),
            due: BTreeMap::new(),
            serial: 0,
            now: Duration::ZERO,
            rng,
            weather,
            condition: true,
            multipart: (parts > 1).then(|| digest::multipart(Algorithm::Sha256, &values)),
            stream,
            held: HashMap::new(),
            acknowledged: HashSet::new(),
            cancelled: false,
            commits: 0,
            aborts_under_way: 0,
            notes: Vec::new(),
        }
    }

    fn after(&mut self, delay: Duration, due: Due) {
        self.serial += 1;
        self.due.insert((self.now + delay, self.serial), due);
    }

    /// Schedules the whole stream, ended cleanly or broken after all parts.
    fn read(&mut self, last: Event) {
        let mut at = Duration::ZERO;
        for (index, part) in self.stream.clone().into_iter().enumerate() {
            let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&part));
            at += Duration::from_millis(self.rng.u64(..2000));
            self.after(at, Due::Event(Event::Part { number: index as u32 + 1, digest }));
            if index == 0 && self.stream.len() > 1 {
                self.after(at, Due::Event(Event::Continues));
            }
        }
        self.after(at + SECOND, Due::Event(last));
    }

    fn whole(&self) -> Bytes {
        Bytes::from(self.stream.concat())
    }

    fn end(&self) -> Event {
        let whole = self.whole();
        Event::End { bytes: whole.len() as u64, crc32: crc32fast::hash(&whole) }
    }

    fn begin(&mut self, call: Call) {
        if call == Call::Commit {
            self.commits += 1;
            assert_eq!(self.acknowledged.len(), self.stream.len(), "commit with parts missing");
        }
        if call == Call::Abort {
            self.aborts_under_way += 1;
            assert_eq!(self.aborts_under_way, 1, "two aborts at a time");
        }
        let body = match call {
            Call::Part(n) => self.held.get(&n).expect("a part is sent from its buffer").clone(),
            Call::Put => self.stream.first().cloned().unwrap_or_default(),
            _ => self.whole(),
        };
        let sent = Sent {
            upload: self.upload.upload_id().map(str::to_owned),
            parts: self.upload.commit_parts().map(|(n, e)| (n, e.to_owned())).collect(),
            multipart: self.multipart.clone(),
            call,
            body,
        };
        let stormy = self.now < self.weather.until && self.rng.u32(..100) < self.weather.faults;
        let there = Duration::from_millis(self.rng.u64(..800));
        if !stormy {
            return self.after(there, Due::Lands { sent, answer: true });
        }
        let lost = |text: &str| Failure::Transport { how: Break::Lost, text: text.to_owned() };
        let failure = match self.rng.u32(..11) {
            0 => Failure::Transport { how: Break::Connect, text: "refused".to_owned() },
            1 => lost("reset before the request"),
            2 => {
                self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                lost("reset after the request")
            }
            3 => {
                // It lands when a later try may long have succeeded.
                let late = Duration::from_secs(self.rng.u64(..40));
                self.after(late, Due::Lands { sent: sent.clone(), answer: false });
                lost("stalled; lands late")
            }
            4 => Model::refuse(503, "ServiceUnavailable"),
            5 => Model::refuse(429, "TooManyRequests"),
            6 => Model::refuse(500, "InternalServerError"),
            7 => {
                self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                Model::refuse(500, "InternalServerError")
            }
            8 => Model::refuse(409, "ConcurrentObjectUpdate"),
            9 => {
                if self.rng.bool() {
                    self.after(there, Due::Lands { sent: sent.clone(), answer: false });
                }
                let how = Break::Stalled;
                let failure = Failure::Transport { how, text: "no byte moved".to_owned() };
                let event = Event::Done { call: sent.call, result: Err(failure) };
                return self.after(60 * SECOND, Due::Event(event));
            }
            _ => Model::refuse(401, "NotAuthenticated"),
        };
        let call = sent.call;
        self.after(there, Due::Event(Event::Done { call, result: Err(failure) }));
    }

    /// Runs to the end, or panics where the machine neither ends nor waits.
    fn run(&mut self) -> Result<Stored, Error> {
        for _ in 0..200_000 {
            while let Some(action) = self.upload.next_action() {
                match action {
                    Action::Begin(call) => self.begin(call),
                    Action::Free(number) => drop(self.held.remove(&number)),
                    Action::CancelParts => self.cancelled = true,
                    Action::Note(text) => self.notes.push(text),
                    Action::StopReading | Action::Rehash(_) => {}
                    Action::Finish(result) => return result,
                }
            }
            assert!(self.upload.waiting_for().is_some());
            let timeout = self.upload.next_timeout();
            let due = self.due.keys().next().copied();
            match (due, timeout) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    let due = self.due.remove(&key).expect("it was just seen");
                    self.now = key.0;
                    self.happen(due);
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    self.upload.handle_timeout(self.now);
                }
                (_, None) => panic!("nothing is due, and the machine waits for nothing"),
            }
        }
        panic!("no end; waiting for {:?}", self.upload.waiting_for());
    }

    fn happen(&mut self, due: Due) {
        let event = match due {
            Due::Event(event) => event,
            Due::Lands { sent, answer } => {
                let result = self.model.perform(&sent, self.condition);
                if !answer {
                    return;
                }
                Event::Done { call: sent.call, result }
            }
        };
        match &event {
            Event::Part { number, .. } => {
                self.held.insert(*number, self.stream[*number as usize - 1].clone());
            }
            // What was cancelled may still land at the service, but is never heard of again.
            Event::Done { call: Call::Part(_), .. } if self.cancelled => return,
            Event::Done { call: Call::Part(number), result: Ok(_) } => {
                assert!(self.held.contains_key(number), "freed before it was acknowledged");
                self.acknowledged.insert(*number);
            }
            Event::Done { call: Call::Abort, .. } => self.aborts_under_way -= 1,
            _ => {}
        }
        self.upload.handle(self.now, event);
    }

    /// What must hold after every run.
    fn judge(&self, seed: u64, result: &Result<Stored, Error>) {
        let object = self.model.object.as_ref().map(|(_, body)| body);
        match result {
            Ok(stored) => {
                assert_eq!(object, Some(&self.whole()), "seed {seed}: a false success");
                assert_eq!(stored.size, self.whole().len() as u64);
            }
            Err(error) if error.kind == Kind::Unknown => {}
            Err(error) => {
                assert_eq!(object, None, "seed {seed}: {error} but an object appeared");
            }
        }
        let named = |id: &String| {
            let next = result.as_ref().err().and_then(|e| e.next.clone()).unwrap_or_default();
            next.contains(id) || self.notes.iter().any(|n| n.contains(id) || n.contains("listed"))
        };
        for id in self.model.uploads.keys() {
            assert!(named(id), "seed {seed}: {id} is open and unnamed after {result:?}");
        }
    }
}

const CALM: Weather = Weather { faults: 0, until: Duration::ZERO };

#[test]
fn a_stream_of_many_parts_is_committed_once_and_verified() {
    let mut world = World::new(1, 7, CALM);
    world.read(world.end());
    let stored = world.run().unwrap();
    assert_eq!((stored.parts, world.commits), (7, 1));
    assert_eq!(stored.verified_by.0, "opc-multipart-sha256");
    world.judge(1, &Ok(stored));
}

#[test]
fn a_short_stream_is_one_put_and_no_upload() {
    let mut world = World::new(1, 1, CALM);
    world.read(world.end());
    let stored = world.run().unwrap();
    assert_eq!((stored.parts, stored.upload_id, world.model.made), (1, None, 1));
    assert!(stored.sha256.is_some());
}

#[test]
fn an_empty_stream_is_refused_unless_it_is_allowed() {
    let end = || Event::End { bytes: 0, crc32: 0 };
    let mut world = World::new(1, 0, CALM);
    world.read(end());
    assert_eq!(world.run().unwrap_err().kind, Kind::Source);
    let mut world = World::new(1, 0, CALM);
    world.upload.settings.allow_empty = true;
    world.read(end());
    assert_eq!(world.run().unwrap().size, 0);
}

#[test]
fn a_broken_source_never_leads_to_a_commit_and_leaves_no_upload() {
    for seed in 0..50 {
        let mut world = World::new(seed, 1 + seed as usize % 6, CALM);
        world.read(Event::Broken(Error::source("killed")));
        let result = world.run();
        assert_eq!(result.as_ref().unwrap_err().kind, Kind::Source);
        assert_eq!(world.commits, 0);
        world.judge(seed, &result);
    }
}

#[test]
fn whatever_passes_never_loses_the_stream() {
    for seed in 0..3000 {
        let weather = Weather { faults: 40, until: Duration::from_secs(1200) };
        let mut world = World::new(seed, 1 + seed as usize % 9, weather);
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        if let Err(error) = result {
            assert_eq!(error.kind, Kind::Unknown, "seed {seed}: {error}");
        }
    }
}

#[test]
fn patience_ends_in_an_error_and_never_before_it_is_over() {
    for seed in 0..500 {
        let weather = Weather { faults: 100, until: Duration::from_secs(1 << 30) };
        let mut world = World::new(seed, 1 + seed as usize % 5, weather);
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        // A commit that landed although its answer was lost may have been found out by then.
        if result.is_err() {
            assert!(
                world.now >= Duration::from_secs(3600),
                "seed {seed}: gave up at {:?}",
                world.now
            );
        }
    }
}

#[test]
fn a_signal_at_any_moment_ends_within_ten_seconds_and_leaves_nothing_false() {
    for seed in 0..3000 {
        let weather = Weather { faults: seed as u32 % 60, until: Duration::from_secs(600) };
        let mut world = World::new(seed, 1 + seed as usize % 6, weather);
        world.read(world.end());
        let at = Duration::from_millis(world.rng.u64(..20_000));
        let stop = Error::new(Kind::Signal(15), "stopped by SIGTERM");
        world.after(at, Due::Event(Event::Stop(stop)));
        let result = world.run();
        world.judge(seed, &result);
        assert!(world.now <= at + 10 * SECOND, "seed {seed}: {:?} after it", world.now - at);
    }
}

#[test]
fn a_wrong_checksum_in_an_answer_is_an_integrity_failure() {
    let mut upload = Upload::new(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle(SECOND, Event::Part { number: 1, digest });
    upload.handle(SECOND, Event::Continues);
    let created = Outcome::Created { upload_id: "u".to_owned() };
    upload.handle(SECOND, Event::Done { call: Call::Create, result: Ok(created) });
    let wrong = held("e", &Bytes::from_static(b"abd"), false);
    let stored = Outcome::Stored { held: wrong, crc32: crc32fast::hash(&body) };
    upload.handle(SECOND, Event::Done { call: Call::Part(1), result: Ok(stored) });
    upload.handle(SECOND, Event::Done { call: Call::Abort, result: Ok(Outcome::Gone) });
    let finish = std::iter::from_fn(|| upload.next_action()).find_map(|action| match action {
        Action::Finish(result) => Some(result),
        _ => None,
    });
    assert_eq!(finish.unwrap().unwrap_err().kind, Kind::Integrity);
}

#[test]
fn a_buffer_that_changed_between_reading_and_sending_is_caught_before_the_commit() {
    let mut parts = parts::Parts::new(2);
    let body = Bytes::from_static(b"abc");
    parts.add(1, digest::part(Algorithm::None, std::slice::from_ref(&body)));
    assert_eq!(parts.next_to_send(), Some(1));
    let error = parts.answered(1, held("e", &body, false), 7, Algorithm::None).unwrap_err();
    assert_eq!(error.kind, Kind::Integrity);
}

#[test]
fn a_certificate_that_was_never_trusted_ends_the_run_and_a_later_one_is_waited_out() {
    for (answered, ends) in [(false, true), (true, false)] {
        let mut upload = Upload::new(Settings { answered, ..settings(1, 2) });
        let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
        upload.handle(SECOND, Event::Part { number: 1, digest });
        upload.handle(SECOND, Event::Continues);
        let failure = Failure::Transport { how: Break::Untrusted, text: "who?".to_owned() };
        upload.handle(SECOND, Event::Done { call: Call::Create, result: Err(failure) });
        let mut actions = std::iter::from_fn(|| upload.next_action());
        assert_eq!(actions.any(|action| matches!(action, Action::Finish(Err(_)))), ends);
    }
}

#[test]
fn a_signal_takes_back_a_put_that_only_waits_to_be_tried_again() {
    let mut upload = Upload::new(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle(SECOND, Event::Part { number: 1, digest });
    upload.handle(SECOND, Event::End { bytes: 3, crc32: crc32fast::hash(&body) });
    let failure = Failure::Transport { how: Break::Connect, text: "refused".to_owned() };
    upload.handle(SECOND, Event::Done { call: Call::Put, result: Err(failure) });
    upload.handle(SECOND, Event::Stop(Error::new(Kind::Signal(15), "stopped by SIGTERM")));
    let finish = std::iter::from_fn(|| upload.next_action()).find_map(|action| match action {
        Action::Finish(result) => Some(result),
        _ => None,
    });
    assert_eq!(finish.unwrap().unwrap_err().kind, Kind::Signal(15));
}

#[test]
fn giving_up_on_a_lost_commit_is_no_certain_failure_unless_the_upload_was_aborted() {
    for (aborted, kind) in [(true, Kind::Service), (false, Kind::Unknown)] {
        let mut upload = Upload::new(settings(1, 2));
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        upload.handle(SECOND, Event::Part { number: 1, digest });
        upload.handle(SECOND, Event::Continues);
        upload.handle(SECOND, Event::End { bytes: 3, crc32: crc32fast::hash(&body) });
        let refused = |status, code| Err(Model::refuse(status, code));
        let mut commits = 0;
        let (mut now, mut finish) = (SECOND, None);
        while finish.is_none() {
            let Some(action) = upload.next_action() else {
                now = now.max(upload.next_timeout().expect("it waits for something"));
                upload.handle_timeout(now);
                continue;
            };
            let call = match action {
                Action::Begin(call) => call,
                Action::Finish(result) => {
                    finish = Some(result);
                    continue;
                }
                _ => continue,
            };
            let result = match &call {
                Call::Create => Ok(Outcome::Created { upload_id: "u".to_owned() }),
                Call::Part(_) => Ok(Outcome::Stored {
                    held: held("e", &body, false),
                    crc32: crc32fast::hash(&body),
                }),
                Call::Commit => {
                    commits += 1;
                    let lost = Failure::Transport { how: Break::Lost, text: String::new() };
                    if commits == 1 { Err(lost) } else { refused(503, "ServiceUnavailable") }
                }
                Call::Head => refused(404, ""),
                Call::ListParts => Ok(Outcome::Parts(Vec::new())),
                Call::Abort if aborted => Ok(Outcome::Gone),
                _ => refused(503, "ServiceUnavailable"),
            };
            upload.handle(now, Event::Done { call, result });
        }
        assert_eq!(finish.unwrap().unwrap_err().kind, kind, "aborted: {aborted}");
    }
}
