//! A run of the exploration: the life cycle, the requests it signs, and the services.
//!
//! Owns what each step does. Must not know which step comes next. Invariant: a decision is compared with
//! what the services would do.

use std::time::Duration;

use super::super::*;
use super::step::{Kind, Mode, Step};

/// The life of a token, in which the longest backoff is reached after three attempts.
pub(super) const LIFE: Duration = Duration::from_secs(60);
const RETRY_FOR: Duration = Duration::from_secs(300);
const START: Duration = Duration::from_secs(1_767_225_600);
/// How far a clock is set.
const JUMP: Duration = Duration::from_secs(1000);
/// The most requests in flight.
pub(super) const WORKERS: usize = 2;

/// A signed request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed {
    pub generation: u64,
    pub date: Duration,
    pub at: Duration,
    /// Whether the service accepts it.
    pub ok: bool,
}

#[derive(Clone)]
pub(super) struct Run {
    pub lifecycle: TokenLifecycle,
    pub mode: Mode,
    /// The time since the start.
    pub time: Duration,
    /// How far the local clock was set, in seconds.
    pub set: i64,
    pub workers: [Option<Signed>; WORKERS],
    /// The transfer of each worker, and whether it has caused a refresh.
    pub transfers: [(u64, bool); WORKERS],
    /// When the tokens end, by generation, by the clock of the service.
    ends: Vec<Duration>,
    /// Tokens up to this generation are revoked.
    pub revoked: u64,
    /// The current token was rejected, and has not passed a probe since.
    pub is_rejected: bool,
    pub file: Option<Duration>,
    /// When the refresh in flight is given up.
    pub refreshing: Option<Duration>,
    pub probing: Option<u64>,
    pub querying: bool,
    /// What may go wrong yet.
    pub faults: u32,
    /// Requests in flight.
    pub in_flight: usize,
    last_success: Duration,
    /// The last step was a success.
    pub has_succeeded: bool,
    pub gave_up: bool,
}

impl Run {
    pub(super) fn new(mode: Mode, streaming: bool, faults: u32, in_flight: usize) -> Run {
        let renewal = mode.renewal();
        let policy = RefreshPolicy {
            refresh_before: None,
            renewal,
            can_query_time: true,
            retry_for: RETRY_FOR,
            seed: None,
        };
        let now = Clocks { wall: START, monotonic: Duration::ZERO };
        let mut lifecycle = TokenLifecycle::new(now, policy, mode.token(1, START + LIFE));
        if streaming {
            lifecycle.set_streaming();
        }
        Run {
            lifecycle,
            mode,
            time: Duration::ZERO,
            set: 0,
            workers: [None; WORKERS],
            transfers: [(0, false), (1, false)],
            ends: vec![Duration::ZERO, mode.end(START)],
            revoked: 0,
            is_rejected: false,
            file: None,
            refreshing: None,
            probing: None,
            querying: false,
            faults,
            in_flight,
            last_success: Duration::ZERO,
            has_succeeded: true,
            gave_up: false,
        }
    }

    pub(super) fn now(&self) -> Clocks {
        let wall = (START.as_secs() as i64 + self.time.as_secs() as i64 + self.set) as u64;
        let wall =
            Duration::from_secs(wall) + Duration::from_nanos(self.time.subsec_nanos().into());
        Clocks { wall, monotonic: self.time }
    }

    /// The clock of the service.
    pub(super) fn service(&self) -> Duration {
        START + self.time
    }

    pub(super) fn generation(&self) -> u64 {
        self.lifecycle.token().generation
    }

    pub(super) fn end(&self) -> Duration {
        self.ends[self.generation() as usize]
    }

    /// Whether the service accepts what the current token signs now.
    pub(super) fn accepts(&self) -> bool {
        let date = self.lifecycle.clock(self.now());
        date.abs_diff(self.service()) <= Duration::from_secs(300)
            && self.generation() > self.revoked
            && self.end() > self.service()
    }

    pub(super) fn adopt(&mut self, end: Duration, origin: CredentialOrigin) {
        self.ends.push(end);
        let generation = self.ends.len() as u64 - 1;
        self.lifecycle.adopt(self.now(), self.mode.token(generation, end), origin);
        self.is_rejected = false;
    }

    pub(super) fn read_file(&mut self) {
        if let Some(end) = self.file.take()
            && self.lifecycle.is_better_than_current(
                self.now(),
                &self.mode.token(0, end),
                CandidateKey::Current,
            )
        {
            self.adopt(end, CredentialOrigin::Files);
        }
    }

    fn ask(&mut self, worker: usize, kind: Kind) -> Result<(), String> {
        self.read_file();
        let now = self.now();
        let (transfer_id, refreshed) = self.transfers[worker];
        let request = match kind {
            Kind::Small => SigningRequest::Small,
            // A transfer that a fresh token outlasts, with the tolerance of 25 %.
            Kind::Transfer => SigningRequest::Transfer { transfer_id, estimate: Some(LIFE / 2) },
            Kind::Abort => SigningRequest::Abort,
        };
        match self.lifecycle.decide(now, request) {
            TokenDecision::Use => {
                let date = self.lifecycle.clock(now);
                if date >= self.end() {
                    return Err("a token signs that is known to have expired".to_owned());
                }
                if self.is_rejected && kind != Kind::Abort {
                    return Err("a token signs that was rejected".to_owned());
                }
                self.lifecycle.on_signed(now, request);
                let (generation, ok) = (self.generation(), self.accepts());
                self.workers[worker] = Some(Signed { generation, date, at: self.time, ok });
                Ok(())
            }
            TokenDecision::RefreshFirst if refreshed => {
                Err("a transfer waits for two refreshes".to_owned())
            }
            TokenDecision::RefreshFirst => {
                self.transfers[worker].1 = true;
                Ok(())
            }
            TokenDecision::Wait => Ok(()),
            TokenDecision::TimedOut => self.give_up(now),
        }
    }

    fn give_up(&mut self, now: Clocks) -> Result<(), String> {
        self.gave_up = true;
        let blocked_for = self.time - self.last_success;
        let is_over =
            self.mode == Mode::Never && self.lifecycle.clock(now) + SECOND * 3 >= self.end();
        // Before the stream is read, a run ends at once where nothing can help.
        if self.lifecycle.streaming && !is_over && blocked_for < RETRY_FOR {
            return Err(format!("given up after {blocked_for:?}"));
        }
        Ok(())
    }

    fn answer(&mut self, worker: usize, ok: bool) {
        let Some(signed) = self.workers[worker].take() else { return };
        let (now, server) = (self.now(), self.service());
        if ok {
            self.transfers[worker] = (self.transfers[worker].0 + WORKERS as u64, false);
            self.has_succeeded = true;
            self.last_success = self.time;
            self.lifecycle.on_success_with_date(now, server);
            return self.lifecycle.on_success(now);
        }
        let attempt = SignedAttempt {
            generation: signed.generation,
            date: signed.date,
            took: self.time - signed.at,
        };
        let result = self.lifecycle.on_unauthorized(now, attempt, Some(server));
        if result == On401::RereadFiles {
            self.is_rejected = true;
            self.read_file();
        }
    }

    pub(super) fn perform(&mut self, step: &Step) -> Result<(), String> {
        self.has_succeeded = false;
        match *step {
            Step::Ask(worker, kind) => return self.ask(worker, kind),
            Step::Answer(worker) => {
                let ok = self.workers[worker].is_some_and(|signed| signed.ok);
                self.answer(worker, ok);
            }
            Step::Reject(worker) => self.answer(worker, false),
            Step::Lose(worker) => self.workers[worker] = None,
            Step::StartTask => return self.start_task(),
            Step::Refresh(refresh) => self.refresh(refresh),
            Step::Probe(result) => {
                let generation = self.probing.take().unwrap_or_default();
                if result == ProbeResult::Accepted && generation == self.generation() {
                    self.is_rejected = false;
                }
                self.lifecycle.probe_finished(self.now(), generation, result);
            }
            Step::Time(answered) => {
                self.querying = false;
                if answered {
                    self.lifecycle.on_server_date(self.now(), self.service());
                }
                self.lifecycle.time_query_finished(self.now());
            }
            Step::Rotate => self.file = Some(self.mode.end(self.service())),
            Step::Revoke => self.revoked = self.ends.len() as u64 - 1,
            Step::SetClock(forward) => {
                let seconds = JUMP.as_secs() as i64;
                self.set += if forward { seconds } else { -seconds };
            }
            Step::Elapse | Step::Oversleep => {
                let times = self.collect().next_times();
                let index = usize::from(*step == Step::Oversleep);
                let step = times.into_iter().nth(index).unwrap_or(SECOND);
                let by = self.refreshing.unwrap_or(Duration::MAX);
                self.time = (self.time + step).min(by);
                self.read_file();
            }
        }
        Ok(())
    }
}

impl Mode {
    pub(super) fn renewal(self) -> Renewal {
        match self {
            Mode::Refresh => Renewal::Refresh,
            Mode::Issue => Renewal::Issue,
            Mode::FilesOnly | Mode::ApiKey => Renewal::FilesOnly,
            Mode::Never => Renewal::Never,
        }
    }

    /// When a token ends that is issued now.
    pub(super) fn end(self, now: Duration) -> Duration {
        if self == Mode::ApiKey { Duration::from_secs(u64::MAX / 4) } else { now + LIFE }
    }

    pub(super) fn token(self, generation: u64, end: Duration) -> TokenInfo {
        let expires = Some(end).filter(|_| self != Mode::ApiKey);
        let issued = expires.map(|expires| expires - LIFE);
        TokenInfo { generation, expires, issued, session_end: None }
    }
}
