//! The environment of an upload for one day, in virtual seconds: the service and its tokens, the auth
//! service with its failures, the token file that other processes write, and the background task.
//!
//! Owns what these components do, and asserts the invariants of the life cycle at each call. Must not know
//! which requests are sent. Invariant: a run depends on its scenario only.

use std::collections::BTreeSet;

use super::super::*;
use super::scenario::{Auth, Scenario, secs};

/// The local clock at the start of a run.
const START: u64 = 1_767_225_600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EnvironmentEvent {
    RefreshAnswered {
        token: Option<u64>,
        longer: bool,
    },
    ProbeAnswered {
        generation: u64,
        ok: bool,
    },
    /// The background task wakes up. Only the last planned wakeup is current.
    Wake {
        plan: u64,
    },
    TimeAnswered,
    Rotate,
    Revoke,
    /// The local clock is set, and the background task wakes up.
    Jump,
}

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Parts that succeeded.
    pub parts: u64,
    /// Requests that failed with a 401.
    pub rejected: u64,
    pub refreshes: u64,
    pub probes: u64,
    pub time_queries: u64,
    /// Decisions to wait.
    pub waits: u64,
    pub gave_up: bool,
}

/// A signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signed {
    pub generation: u64,
    /// The date of the request, since 1970.
    pub date: u64,
    /// Whether the service accepts it.
    pub ok: bool,
}

/// The environment and the life cycle under test.
pub(crate) struct SimEnvironment {
    pub scenario: Scenario,
    pub lifecycle: TokenLifecycle,
    /// Seconds since the start.
    pub time: u64,
    pub tally: Tally,
    /// The expiry of each token that was in use, by generation, since 1970 by the service's clock.
    ends: Vec<u64>,
    /// Tokens up to this generation are revoked.
    revoked: u64,
    /// Generations that were rejected under a valid date and have not passed a probe since.
    rejected: BTreeSet<u64>,
    /// The expiry of a token in the file that has not been read.
    file: Option<u64>,
    refreshing: bool,
    probing: bool,
    querying: bool,
    /// The number of the last planned wakeup.
    plan: u64,
    last_success: u64,
    /// Events to schedule, with their delay in seconds.
    pub scheduled: Vec<(u64, EnvironmentEvent)>,
}

impl SimEnvironment {
    pub(crate) fn new(scenario: Scenario) -> SimEnvironment {
        let policy = RefreshPolicy {
            refresh_before: None,
            renewal: scenario.renewal,
            can_query_time: true,
            retry_for: secs(scenario.retry_for),
            seed: scenario.seed,
        };
        let end = START.checked_add_signed(scenario.skew).unwrap() + scenario.life;
        let token = token_info(&scenario, 1, end);
        let now = Clocks { wall: secs(START), monotonic: secs(0) };
        let mut lifecycle = TokenLifecycle::new(now, policy, token);
        lifecycle.set_streaming();
        let rotations = scenario.rotations.iter().map(|at| (*at, EnvironmentEvent::Rotate));
        let revocations = scenario.revocations.iter().map(|at| (*at, EnvironmentEvent::Revoke));
        let jumps = scenario.jumps.iter().map(|(at, _)| (*at, EnvironmentEvent::Jump));
        SimEnvironment {
            scheduled: rotations.chain(revocations).chain(jumps).collect(),
            lifecycle,
            time: 0,
            tally: Tally::default(),
            ends: vec![0, end],
            revoked: 0,
            rejected: BTreeSet::new(),
            file: None,
            refreshing: false,
            probing: false,
            querying: false,
            plan: 0,
            last_success: 0,
            scenario,
        }
    }

    pub(crate) fn now(&self) -> Clocks {
        let set: i64 = self.scenario.jumps.iter().filter(|j| j.0 <= self.time).map(|j| j.1).sum();
        let wall = (START + self.time).checked_add_signed(set).unwrap();
        Clocks { wall: secs(wall), monotonic: secs(self.time) }
    }

    /// The service's clock, since 1970.
    fn service(&self) -> u64 {
        (START + self.time).checked_add_signed(self.scenario.skew).unwrap()
    }

    fn generation(&self) -> u64 {
        self.lifecycle.token().generation
    }

    fn is_valid(&self, generation: u64) -> bool {
        generation > self.revoked && self.ends[generation as usize] > self.service()
    }

    /// Whether the service accepts a request that is signed now with the token of this generation.
    fn accepts(&self, generation: u64) -> bool {
        let date = self.lifecycle.clock(self.now()).as_secs();
        date.abs_diff(self.service()) <= 300 && self.is_valid(generation)
    }

    fn adopt(&mut self, end: u64, origin: CredentialOrigin) {
        self.ends.push(end);
        let token = token_info(&self.scenario, self.ends.len() as u64 - 1, end);
        self.lifecycle.adopt(self.now(), token, origin);
    }

    fn read_file(&mut self) {
        if let Some(end) = self.file.take()
            && self.lifecycle.is_better_than_current(
                self.now(),
                &token_info(&self.scenario, 0, end),
                CandidateKey::Current,
            )
        {
            self.adopt(end, CredentialOrigin::Files);
        }
    }

    /// The decision for an attempt, and the signed request if it may be sent.
    pub(crate) fn decide(&mut self, request: SigningRequest) -> (TokenDecision, Option<Signed>) {
        self.read_file();
        let decision = self.lifecycle.decide(self.now(), request);
        let mut signed = None;
        match decision {
            TokenDecision::Use => {
                let generation = self.generation();
                let date = self.lifecycle.clock(self.now());
                assert!(
                    date < secs(self.ends[generation as usize]),
                    "a token known to have expired"
                );
                let rejected = self.rejected.contains(&generation);
                assert!(
                    !rejected || request == SigningRequest::Abort,
                    "a rejected token without a probe"
                );
                self.lifecycle.on_signed(self.now(), request);
                let is_part = matches!(request, SigningRequest::Transfer { .. });
                let ok = self.accepts(generation) && !(is_part && self.rejects_parts());
                signed = Some(Signed { generation, date: date.as_secs(), ok });
            }
            TokenDecision::Wait => self.tally.waits += 1,
            TokenDecision::TimedOut => {
                let blocked_for = self.time - self.last_success;
                let generation = self.generation();
                let known = self.lifecycle.clock(self.now()) + secs(1);
                let is_over = self.scenario.renewal == Renewal::Never
                    && known >= secs(self.ends[generation as usize]);
                let in_time = blocked_for >= self.scenario.retry_for;
                assert!(in_time || is_over, "given up after {blocked_for} s");
                self.tally.gave_up = true;
            }
            TokenDecision::RefreshFirst => {}
        }
        (decision, signed)
    }

    fn rejects_parts(&self) -> bool {
        self.scenario.part_rejections.iter().any(|interval| interval.contains(&self.time))
    }

    /// Handles the response to a request that was signed `took` seconds ago.
    pub(crate) fn on_response(&mut self, signed: Signed, took: u64) {
        if signed.ok {
            self.lifecycle.on_success_with_date(self.now(), secs(self.service()));
            self.last_success = self.time;
            return self.lifecycle.on_success(self.now());
        }
        self.tally.rejected += 1;
        let attempt = SignedAttempt {
            generation: signed.generation,
            date: secs(signed.date),
            took: secs(took),
        };
        let server = Some(secs(self.service()));
        let action = self.lifecycle.on_unauthorized(self.now(), attempt, server);
        if action == On401::RereadFiles {
            self.rejected.insert(signed.generation);
        }
    }

    /// Whether an event is to be handled: all but outdated wakeups are.
    pub(crate) fn is_current(&self, event: EnvironmentEvent) -> bool {
        !matches!(event, EnvironmentEvent::Wake { plan } if plan != self.plan)
    }

    /// Handles an event.
    pub(crate) fn handle(&mut self, event: EnvironmentEvent) {
        let now = self.now();
        match event {
            EnvironmentEvent::RefreshAnswered { token, longer } => {
                self.refreshing = false;
                if let Some(end) = token
                    && self.lifecycle.is_better_than_current(
                        now,
                        &token_info(&self.scenario, 0, end),
                        CandidateKey::Current,
                    )
                {
                    self.adopt(end, CredentialOrigin::Refresh);
                }
                let how = match (token, longer) {
                    (Some(_), true) => RefreshOutcome::Extended,
                    (Some(_), false) => RefreshOutcome::NotExtended,
                    (None, _) => RefreshOutcome::Failed {
                        why: "503".into(),
                        retry_after: None,
                        request: None,
                    },
                };
                self.lifecycle.refresh_finished(now, &how);
            }
            EnvironmentEvent::ProbeAnswered { generation, ok } => {
                self.probing = false;
                if ok {
                    self.rejected.remove(&generation);
                }
                let how = if ok { ProbeResult::Accepted } else { ProbeResult::Rejected };
                self.lifecycle.probe_finished(now, generation, how);
            }
            EnvironmentEvent::TimeAnswered => {
                self.querying = false;
                self.lifecycle.on_server_date(now, secs(self.service()));
                self.lifecycle.time_query_finished(now);
            }
            EnvironmentEvent::Wake { .. } | EnvironmentEvent::Jump => self.read_file(),
            EnvironmentEvent::Rotate => self.file = Some(self.service() + self.scenario.life),
            EnvironmentEvent::Revoke => self.revoked = self.ends.len() as u64 - 1,
        }
    }

    /// Performs the tasks of the background task that are due.
    pub(crate) fn run_background(&mut self) {
        let now = self.now();
        self.lifecycle.take_events();
        loop {
            match self.lifecycle.next_task(now) {
                BackgroundTask::Refresh(reason) => {
                    assert!(!std::mem::replace(&mut self.refreshing, true), "two refreshes");
                    self.tally.refreshes += 1;
                    self.lifecycle.refresh_started(reason);
                    self.send_refresh();
                }
                BackgroundTask::Probe => {
                    assert!(!std::mem::replace(&mut self.probing, true), "two probes");
                    self.tally.probes += 1;
                    self.lifecycle.probe_started(now);
                    let generation = self.generation();
                    let ok = self.accepts(generation);
                    self.scheduled.push((1, EnvironmentEvent::ProbeAnswered { generation, ok }));
                }
                BackgroundTask::AskTime => {
                    assert!(!std::mem::replace(&mut self.querying, true), "two time queries");
                    self.tally.time_queries += 1;
                    self.lifecycle.time_query_started();
                    self.scheduled.push((1, EnvironmentEvent::TimeAnswered));
                }
                BackgroundTask::Idle(idle) => {
                    assert!(!idle.is_zero(), "idle for no time");
                    let seconds = idle.as_nanos().div_ceil(1_000_000_000) as u64;
                    self.plan += 1;
                    return self
                        .scheduled
                        .push((seconds, EnvironmentEvent::Wake { plan: self.plan }));
                }
            }
        }
    }

    fn send_refresh(&mut self) {
        let timeout = self.lifecycle.refresh_timeout(self.now()).as_secs();
        let generation = self.generation();
        let current = self.ends[generation as usize];
        let issued = self.scenario.renewal == Renewal::Issue;
        assert!(
            issued || self.lifecycle.clock(self.now()) < secs(current),
            "a refresh with an expired token"
        );
        let auth = self.scenario.auth.iter().rev().find(|(from, _)| *from <= self.time);
        let valid = issued || self.accepts(generation);
        let start = START.checked_add_signed(self.scenario.skew).unwrap();
        let end_of_session = start + self.scenario.session;
        let fresh = (self.service() + self.scenario.life).min(end_of_session).max(current);
        let (delay, token) = match auth.map_or(Auth::Works, |(_, auth)| *auth) {
            Auth::Works if valid => (1, Some(fresh)),
            Auth::SameEnd if valid => (1, Some(current)),
            Auth::Hangs => (timeout, None),
            _ => (1, None),
        };
        let longer = token.is_some_and(|end| end > current);
        self.scheduled.push((delay, EnvironmentEvent::RefreshAnswered { token, longer }));
    }
}

fn token_info(scenario: &Scenario, generation: u64, end: u64) -> TokenInfo {
    TokenInfo {
        generation,
        expires: Some(secs(end)),
        issued: Some(secs(end - scenario.life)),
        session_end: None,
    }
}
