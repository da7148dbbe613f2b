//! A fleet in virtual time: a queue of events, the hosts and the services that they share.
//!
//! Owns the order of events. Must not know what a scenario is judged by. Invariant: scenario and seed
//! determine the run.

mod background;
mod queue;

use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;
use ocipipe_proto::api::ErrorResponse;
use ocipipe_proto::error::Error;
use ocipipe_proto::retry::Failure;
use ocipipe_proto::token_lifecycle::{CredentialOrigin, On401, SignedAttempt, TokenDecision};
use ocipipe_proto::transport_error::TransportError;
use ocipipe_proto::upload::{ApiCall, Event as UploadEvent};

use self::queue::{Attempt, Entry, Event};
use crate::host::Host;
use crate::reader::Digests;
use crate::scenario::Scenario;
use crate::service::{ROUND_TRIP, Rejection, Service, response, transport};
use crate::tokens::{WaitingCall, clocks};

const SECOND: Duration = Duration::from_secs(1);
/// Between two samples of the line.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// How long a transfer waits for a token that outlives it.
const REFRESH_WAIT: Duration = Duration::from_secs(15);

/// A fleet and its services.
pub struct World {
    pub now: Duration,
    pub hosts: Vec<Host>,
    pub storage: Service,
    pub auth: Service,
    pub events: u64,
    /// The bytes that each host had stored when the first host was done.
    pub shares: Vec<f64>,
    /// The hosts choose their number of connections.
    samples: bool,
    /// The probability that a request of a part breaks.
    loss: f64,
    queue: BinaryHeap<Entry>,
    serial: u64,
    running: usize,
    digests: Digests,
}

impl World {
    /// The fleet of a scenario before its start.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<World, Error> {
        let cut = scenario.cut()?;
        let mut rng = Rng::with_seed(seed);
        let modes = scenario.fleet.iter().flat_map(|(mode, count)| vec![*mode; *count]);
        let hosts: Vec<Host> = modes
            .map(|mode| {
                let start = scenario.starts_within.mul_f64(rng.f64());
                let seed = if scenario.same_seed { seed } else { rng.u64(..) };
                Host::new(scenario, mode, cut.clone(), seed, start)
            })
            .collect();
        let mut world = World {
            now: Duration::ZERO,
            storage: Service::new(scenario.storage.clone()),
            auth: Service::new(scenario.auth.clone()),
            events: 0,
            shares: Vec::new(),
            samples: scenario.plan.parallel.is_none(),
            loss: scenario.loss,
            queue: BinaryHeap::new(),
            serial: 0,
            running: hosts.len(),
            hosts,
            digests: Digests::default(),
        };
        for host in 0..world.hosts.len() {
            world.schedule(world.hosts[host].started, host, Event::Start);
        }
        Ok(world)
    }

    /// Runs until each host has ended, or until `end`.
    pub fn run(&mut self, end: Duration) {
        while self.running > 0
            && let Some(entry) = self.queue.pop()
            && entry.at <= end
        {
            let Entry { at, host, event, .. } = entry;
            self.now = self.now.max(at);
            if self.hosts[host].ended.is_some() {
                continue;
            }
            if self.handle(host, event) {
                self.events += 1;
                self.perform_consequences(host);
            }
        }
    }

    fn schedule(&mut self, at: Duration, host: usize, event: Event) {
        self.serial += 1;
        self.queue.push(Entry { at, serial: self.serial, host, event });
    }

    /// Returns whether the event has not been replaced by an earlier one.
    fn handle(&mut self, host: usize, event: Event) -> bool {
        let now = self.now;
        match event {
            Event::Start => {
                if self.samples {
                    self.schedule(now + SAMPLE_INTERVAL, host, Event::Sample);
                }
                self.schedule_rotation(host);
            }
            Event::BufferRead => self.hosts[host].buffer_read(now, &mut self.digests),
            Event::Timer => {
                let host = &mut self.hosts[host];
                // An earlier one has replaced this one.
                if host.timer_at.take_if(|at| *at <= now).is_none() {
                    return false;
                }
                if host.upload.poll_timeout().is_some_and(|at| at <= now) {
                    host.upload.handle_timeout(now);
                }
            }
            Event::Sample => self.sample(host),
            Event::AskAgain => {
                if self.hosts[host].tokens.asks_at.take_if(|at| *at <= now).is_none() {
                    return false;
                }
                self.ask_again(host, now);
            }
            Event::Response(attempt) => self.on_response(host, *attempt),
            Event::Background => {
                return self.hosts[host].tokens.wakes_at.take_if(|at| *at <= now).is_some();
            }
            Event::Token(result) => self.on_token(host, result),
            Event::Probe { generation, answered } => self.on_probe(host, generation, answered),
            Event::Time { answered } => {
                let life = &mut self.hosts[host].tokens.life;
                if answered {
                    life.on_server_date(clocks(now), clocks(now).wall);
                }
                life.time_query_finished(clocks(now));
            }
            Event::Rotate => {
                self.hosts[host].tokens.adopt(now, CredentialOrigin::Files);
                self.schedule_rotation(host);
                self.ask_again(host, Duration::MAX);
            }
        }
        true
    }

    fn schedule_rotation(&mut self, host: usize) {
        if let Some(interval) = self.hosts[host].tokens.mode.rotation() {
            self.schedule(self.now + interval, host, Event::Rotate);
        }
    }

    fn sample(&mut self, host: usize) {
        let now = self.now;
        let uses = &mut self.hosts[host];
        let sample = uses.sample(now);
        uses.upload.handle_event(now, sample);
        self.schedule(now + SAMPLE_INTERVAL, host, Event::Sample);
    }

    /// Performs what follows from an event: actions, reading, the timer, the background task.
    fn perform_consequences(&mut self, host: usize) {
        let now = self.now;
        while let Some(action) = self.hosts[host].upload.poll_action() {
            let call = self.hosts[host].perform(now, action, &mut self.digests);
            if let Some(call) = call {
                self.sign(host, call);
            }
            if self.hosts[host].ended.is_some() {
                self.running -= 1;
                if self.shares.is_empty() {
                    let stored = |host: &Host| host.upload.acknowledged().1 as f64;
                    self.shares = self.hosts.iter().map(stored).collect();
                }
                return;
            }
        }
        if let Some(takes) = self.hosts[host].reader.begin_buffer(now) {
            self.schedule(now + takes, host, Event::BufferRead);
        }
        self.background(host);
        let uses = &mut self.hosts[host];
        if let Some(at) = uses.upload.poll_timeout()
            && uses.timer_at.is_none_or(|scheduled| at < scheduled)
        {
            uses.timer_at = Some(at);
            self.schedule(at.max(now), host, Event::Timer);
        }
    }

    /// Signs a call and sends it, or lets it wait for a token.
    fn sign(&mut self, host: usize, call: ApiCall) {
        let now = self.now;
        let uses = &mut self.hosts[host];
        if uses.cancelled && matches!(call, ApiCall::Part(_)) {
            return;
        }
        let request = uses.signing_request(&call);
        let until = match uses.tokens.life.decide(clocks(now), request) {
            TokenDecision::Use => {
                uses.tokens.life.on_signed(clocks(now), request);
                return self.send(host, call);
            }
            TokenDecision::TimedOut => {
                let error = Error::credentials("no valid token");
                let result = Err(Failure::Credentials(error));
                return uses.upload.handle_event(now, UploadEvent::CallDone { call, result });
            }
            TokenDecision::RefreshFirst => now + REFRESH_WAIT,
            TokenDecision::Wait => {
                uses.token_waits += 1;
                now + SECOND
            }
        };
        uses.tokens.waiting.push(WaitingCall { call, until });
        if uses.tokens.asks_at.is_none_or(|at| until < at) {
            uses.tokens.asks_at = Some(until);
            self.schedule(until, host, Event::AskAgain);
        }
    }

    /// Signs again what has waited until a time.
    fn ask_again(&mut self, host: usize, until: Duration) {
        let waiting = std::mem::take(&mut self.hosts[host].tokens.waiting);
        let (due, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|call| call.until <= until);
        if let Some(next) = later.iter().map(|call| call.until).min() {
            self.hosts[host].tokens.asks_at = Some(next);
            self.schedule(next, host, Event::AskAgain);
        }
        self.hosts[host].tokens.waiting = later;
        for WaitingCall { call, .. } in due {
            self.sign(host, call);
        }
    }

    fn send(&mut self, host: usize, call: ApiCall) {
        let (now, loss) = (self.now, self.loss);
        let received = self.storage.receive(now);
        let uses = &mut self.hosts[host];
        let sent = uses.request(call);
        let mut attempt = Attempt {
            sent,
            generation: uses.tokens.life.token().generation,
            signed_at: now,
            failure: None,
            performed: true,
        };
        if let Some(Rejection { after, failure }) = received {
            (attempt.failure, attempt.performed) = (Some(failure), false);
            return self.schedule(now + after, host, Event::Response(Box::new(attempt)));
        }
        let takes = ROUND_TRIP + uses.transfer_time(&attempt.sent);
        uses.begin_sending(&attempt.sent, now, now + takes);
        let is_part = matches!(attempt.sent.call, ApiCall::Part(_));
        let outage =
            self.storage.broken_at(now, now + takes).map(|at| at + SECOND.mul_f64(uses.rng.f64()));
        let lost = is_part && uses.rng.f64() < loss;
        let lost = lost.then(|| now + takes.mul_f64(uses.rng.f64()));
        let broken = outage.or(lost);
        if broken.is_some() {
            attempt.performed = !is_part && uses.rng.bool();
            attempt.failure = Some(transport(TransportError::ResponseLost));
        } else if !uses.tokens.is_valid(now) {
            attempt.performed = false;
            attempt.failure = Some(response(401, "NotAuthenticated", None));
        }
        self.schedule(broken.unwrap_or(now + takes), host, Event::Response(Box::new(attempt)));
    }

    fn on_response(&mut self, host: usize, attempt: Attempt) {
        let (now, clocks_now) = (self.now, clocks(self.now));
        let uses = &mut self.hosts[host];
        let Attempt { sent, generation, signed_at, failure, performed } = attempt;
        uses.end_sending(&sent.call, now);
        let outcome = performed.then(|| uses.store.perform(&sent));
        let result = match (failure, outcome) {
            (Some(failure), _) => Err(failure),
            (None, Some(result)) => result,
            (None, None) => return,
        };
        let life = &mut uses.tokens.life;
        match &result {
            Err(Failure::Transport { .. } | Failure::Credentials(_) | Failure::Local(_)) => {}
            Err(Failure::ErrorResponse(ErrorResponse { status: 401, .. })) => {
                let date = clocks(signed_at).wall;
                let signed = SignedAttempt { generation, date, took: now - signed_at };
                let _: On401 = life.on_unauthorized(clocks_now, signed, Some(clocks_now.wall));
            }
            Ok(_) | Err(Failure::ErrorResponse(_)) => {
                life.on_success_with_date(clocks_now, clocks_now.wall);
                life.on_success(clocks_now);
            }
        }
        if !(uses.cancelled && matches!(sent.call, ApiCall::Part(_))) {
            uses.upload.handle_event(now, UploadEvent::CallDone { call: sent.call, result });
        }
    }
}
