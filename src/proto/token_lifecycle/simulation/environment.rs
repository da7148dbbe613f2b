//! What surrounds an upload for a day, in virtual seconds: the service and its tokens, the auth
//! service that fails and recovers, the files that other processes rotate, and the background work.
//!
//! What must hold at every moment is asserted where the moment passes.

use std::collections::BTreeSet;

use super::super::*;

pub const HOUR: u64 = 3600;
/// The local clock at the beginning.
const BEGINNING: u64 = 1_767_225_600;

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the auth service does for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Auth {
    Works,
    Fails,
    SameEnd,
    Hangs,
    Refuses,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub life: u64,
    /// The day of the session; refreshes give no token beyond it.
    pub session: u64,
    pub length: u64,
    pub retry_for: u64,
    pub can_refresh: bool,
    /// How far the service's clock is ahead.
    pub skew: i64,
    pub workers: usize,
    /// How long a part takes.
    pub part: u64,
    /// From which second on the auth service does what.
    pub auth: Vec<(u64, Auth)>,
    /// When another process puts a new token in the file.
    pub rotations: Vec<u64>,
    /// When the service revokes every token given so far.
    pub revocations: Vec<u64>,
    /// When the local clock is set, and how far.
    pub jumps: Vec<(u64, i64)>,
}

impl Scenario {
    pub fn quiet(life: u64) -> Scenario {
        Scenario {
            life,
            session: 48 * HOUR,
            length: 24 * HOUR,
            retry_for: HOUR,
            can_refresh: true,
            skew: 0,
            workers: 3,
            part: 70,
            auth: vec![(0, Auth::Works)],
            rotations: vec![],
            revocations: vec![],
            jumps: vec![],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    RefreshAnswered {
        token: Option<u64>,
        longer: bool,
    },
    ProbeAnswered {
        generation: u64,
        ok: bool,
    },
    /// The background wakes; of these only the last that was planned counts.
    Wake {
        plan: u64,
    },
    TimeAnswered,
    Rotate,
    Revoke,
    /// Nothing but that the background wakes at this moment.
    Jump,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub parts: u64,
    pub refused: u64,
    pub refreshes: u64,
    pub probes: u64,
    pub questions: u64,
    pub waits: u64,
    pub gave_up: bool,
}

/// A request as it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signed {
    pub generation: u64,
    /// By the clock that requests are dated with.
    pub date: u64,
    /// Whether the service takes it.
    pub ok: bool,
}

pub struct SimEnvironment {
    pub scenario: Scenario,
    pub lifecycle: TokenLifecycle,
    /// In seconds since the beginning.
    pub time: u64,
    pub tally: Tally,
    /// Of the tokens that were in use, by generation: their end, by the service's clock since 1970.
    ends: Vec<u64>,
    /// Tokens of generations up to this are revoked.
    revoked: u64,
    /// Generations that were refused under a good date, and have not passed a probe since.
    refused: BTreeSet<u64>,
    file: Option<u64>,
    refreshing: bool,
    probing: bool,
    asking: bool,
    plan: u64,
    last_accepted: u64,
    /// What is due, and after how many seconds.
    pub later: Vec<(u64, Event)>,
}

impl SimEnvironment {
    pub fn new(scenario: Scenario) -> SimEnvironment {
        let rules = RefreshPolicy {
            refresh_before: None,
            can_refresh: scenario.can_refresh,
            can_query_time: true,
            retry_for: secs(scenario.retry_for),
        };
        let end = BEGINNING.checked_add_signed(scenario.skew).unwrap() + scenario.life;
        let facts = facts(&scenario, 1, end);
        let now = Clocks { wall: secs(BEGINNING), monotonic: secs(0) };
        let mut lifecycle = TokenLifecycle::new(now, rules, facts);
        lifecycle.set_streaming();
        let rotations = scenario.rotations.iter().map(|at| (*at, Event::Rotate));
        let revocations = scenario.revocations.iter().map(|at| (*at, Event::Revoke));
        let jumps = scenario.jumps.iter().map(|(at, _)| (*at, Event::Jump));
        SimEnvironment {
            later: rotations.chain(revocations).chain(jumps).collect(),
            lifecycle,
            time: 0,
            tally: Tally::default(),
            ends: vec![0, end],
            revoked: 0,
            refused: BTreeSet::new(),
            file: None,
            refreshing: false,
            probing: false,
            asking: false,
            plan: 0,
            last_accepted: 0,
            scenario,
        }
    }

    pub fn now(&self) -> Clocks {
        let set: i64 = self.scenario.jumps.iter().filter(|j| j.0 <= self.time).map(|j| j.1).sum();
        let wall = (BEGINNING + self.time).checked_add_signed(set).unwrap();
        Clocks { wall: secs(wall), monotonic: secs(self.time) }
    }

    /// The service's clock.
    fn service(&self) -> u64 {
        (BEGINNING + self.time).checked_add_signed(self.scenario.skew).unwrap()
    }

    fn generation(&self) -> u64 {
        self.lifecycle.token().generation
    }

    fn valid(&self, generation: u64) -> bool {
        generation > self.revoked && self.ends[generation as usize] > self.service()
    }

    fn takes(&self, generation: u64) -> bool {
        let date = self.lifecycle.clock(self.now()).as_secs();
        date.abs_diff(self.service()) <= 300 && self.valid(generation)
    }

    fn adopt(&mut self, end: u64, origin: CredentialOrigin) {
        self.ends.push(end);
        let facts = facts(&self.scenario, self.ends.len() as u64 - 1, end);
        self.lifecycle.adopt(self.now(), facts, origin);
    }

    fn look_at_files(&mut self) {
        if let Some(end) = self.file.take()
            && self.lifecycle.is_better_than_current(
                self.now(),
                &facts(&self.scenario, 0, end),
                true,
            )
        {
            self.adopt(end, CredentialOrigin::Files);
        }
    }

    /// What an attempt may do now. It is signed where it may be sent.
    pub fn judge(&mut self, attempt: SigningRequest) -> (TokenDecision, Option<Signed>) {
        self.look_at_files();
        let verdict = self.lifecycle.decide(self.now(), attempt);
        let mut signed = None;
        match verdict {
            TokenDecision::Use => {
                let generation = self.generation();
                let date = self.lifecycle.clock(self.now());
                assert!(date < secs(self.ends[generation as usize]), "a token known to be over");
                let refused = self.refused.contains(&generation);
                assert!(
                    !refused || attempt == SigningRequest::Abort,
                    "a refused token without a probe"
                );
                self.lifecycle.on_signed(self.now(), attempt);
                let ok = self.takes(generation);
                signed = Some(Signed { generation, date: date.as_secs(), ok });
            }
            TokenDecision::Wait => self.tally.waits += 1,
            TokenDecision::TimedOut => {
                let stood = self.time - self.last_accepted;
                assert!(stood >= self.scenario.retry_for, "given up after {stood} s");
                self.tally.gave_up = true;
            }
            TokenDecision::RefreshFirst => {}
        }
        (verdict, signed)
    }

    /// An attempt has been answered, so long after it was signed.
    pub fn answered(&mut self, signed: Signed, took: u64) {
        if signed.ok {
            self.lifecycle.on_success_with_date(self.now(), secs(self.service()));
            self.last_accepted = self.time;
            return self.lifecycle.on_success();
        }
        self.tally.refused += 1;
        let (when, server) = ((secs(signed.date), secs(took)), Some(secs(self.service())));
        let refusal = self.lifecycle.on_unauthorized(self.now(), signed.generation, when, server);
        if refusal == On401::RereadFiles {
            self.refused.insert(signed.generation);
        }
    }

    /// Whether an event still counts.
    pub fn counts(&self, event: Event) -> bool {
        !matches!(event, Event::Wake { plan } if plan != self.plan)
    }

    pub fn happens(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::RefreshAnswered { token, longer } => {
                self.refreshing = false;
                if let Some(end) = token
                    && self.lifecycle.is_better_than_current(
                        now,
                        &facts(&self.scenario, 0, end),
                        true,
                    )
                {
                    self.adopt(end, CredentialOrigin::Refresh);
                }
                let how = match (token, longer) {
                    (Some(_), true) => RefreshOutcome::Extended,
                    (Some(_), false) => RefreshOutcome::NotExtended,
                    (None, _) => RefreshOutcome::Failed("503".into()),
                };
                self.lifecycle.refresh_finished(now, &how);
            }
            Event::ProbeAnswered { generation, ok } => {
                self.probing = false;
                if ok {
                    self.refused.remove(&generation);
                }
                let how = if ok { ProbeResult::Accepted } else { ProbeResult::Refused };
                self.lifecycle.probe_finished(now, generation, how);
            }
            Event::TimeAnswered => {
                self.asking = false;
                self.lifecycle.on_server_date(now, secs(self.service()));
                self.lifecycle.time_query_finished(now);
            }
            Event::Wake { .. } | Event::Jump => self.look_at_files(),
            Event::Rotate => self.file = Some(self.service() + self.scenario.life),
            Event::Revoke => self.revoked = self.ends.len() as u64 - 1,
        }
    }

    /// The background work that is to be done now.
    pub fn background(&mut self) {
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
                    self.lifecycle.probe_started();
                    let generation = self.generation();
                    let ok = self.takes(generation);
                    self.later.push((1, Event::ProbeAnswered { generation, ok }));
                }
                BackgroundTask::AskTime => {
                    assert!(!std::mem::replace(&mut self.asking, true), "asked twice at a time");
                    self.tally.questions += 1;
                    self.lifecycle.time_query_started();
                    self.later.push((1, Event::TimeAnswered));
                }
                BackgroundTask::Idle(idle) => {
                    assert!(!idle.is_zero(), "idle without end");
                    let seconds = idle.as_millis().div_ceil(1000) as u64;
                    self.plan += 1;
                    return self.later.push((seconds, Event::Wake { plan: self.plan }));
                }
            }
        }
    }

    fn send_refresh(&mut self) {
        let patience = self.lifecycle.refresh_timeout(self.now()).as_secs();
        let generation = self.generation();
        let present = self.ends[generation as usize];
        assert!(self.lifecycle.clock(self.now()) < secs(present), "a refresh of what is over");
        let auth = self.scenario.auth.iter().rev().find(|(from, _)| *from <= self.time);
        let valid = self.takes(generation);
        let beginning = BEGINNING.checked_add_signed(self.scenario.skew).unwrap();
        let end_of_session = beginning + self.scenario.session;
        let fresh = (self.service() + self.scenario.life).min(end_of_session).max(present);
        let (delay, token) = match auth.map_or(Auth::Works, |(_, auth)| *auth) {
            Auth::Works if valid => (1, Some(fresh)),
            Auth::SameEnd if valid => (1, Some(present)),
            Auth::Hangs => (patience, None),
            _ => (1, None),
        };
        let longer = token.is_some_and(|end| end > present);
        self.later.push((delay, Event::RefreshAnswered { token, longer }));
    }
}

fn facts(scenario: &Scenario, generation: u64, end: u64) -> TokenInfo {
    TokenInfo {
        generation,
        expires: Some(secs(end)),
        issued: Some(secs(end - scenario.life)),
        session_end: None,
    }
}
