//! What happens in a simulated day.
//!
//! Owns the scenarios and the strategies that generate them. Must not know the life cycle. Invariant: a
//! scenario is complete; a run adds nothing random.

use crate::token_lifecycle::Renewal;
use std::time::Duration;

use proptest::prelude::*;

pub(crate) const HOUR: u64 = 3600;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How the auth service responds to refreshes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Auth {
    /// With a token of full lifetime.
    Works,
    /// With an error.
    Fails,
    /// With a token that expires no later.
    SameEnd,
    /// Not at all, until the timeout.
    Hangs,
    /// With a rejection.
    Rejects,
}

/// What happens in a run. Times are seconds since its start.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The lifetime of a token.
    pub life: u64,
    /// The length of the session; no refresh gives a token that expires later.
    pub session: u64,
    /// The length of the run.
    pub length: u64,
    pub retry_for: u64,
    pub renewal: Renewal,
    /// The seed of the jitter of the life cycle.
    pub seed: Option<u64>,
    /// How far the service's clock is ahead of the local one.
    pub skew: i64,
    /// Parts in flight.
    pub workers: usize,
    /// How long a part takes.
    pub part: u64,
    /// What the auth service does from which time on.
    pub auth: Vec<(u64, Auth)>,
    /// When another process writes a new token to the file.
    pub rotations: Vec<u64>,
    /// When the service revokes every token issued so far.
    pub revocations: Vec<u64>,
    /// Intervals in which the service rejects parts but accepts probes.
    pub part_rejections: Vec<std::ops::Range<u64>>,
    /// When the local clock is set, and by how much.
    pub jumps: Vec<(u64, i64)>,
}

impl Scenario {
    /// A day without any failure.
    pub(crate) fn quiet(life: u64) -> Scenario {
        Scenario {
            life,
            session: 48 * HOUR,
            length: 24 * HOUR,
            retry_for: HOUR,
            renewal: Renewal::Refresh,
            seed: Some(7),
            skew: 0,
            workers: 3,
            part: 70,
            auth: vec![(0, Auth::Works)],
            rotations: vec![],
            revocations: vec![],
            part_rejections: vec![],
            jumps: vec![],
        }
    }
}

fn any_renewal() -> impl Strategy<Value = Renewal> {
    prop_oneof![
        3 => Just(Renewal::Refresh),
        3 => Just(Renewal::Issue),
        2 => Just(Renewal::FilesOnly),
        1 => Just(Renewal::Never),
    ]
}

fn any_seed() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), any::<u64>().prop_map(Some)]
}

/// Any day of 24 hours.
pub(crate) fn any_day() -> impl Strategy<Value = Scenario> {
    let auth = prop_oneof![
        Just(Auth::Works),
        Just(Auth::Fails),
        Just(Auth::SameEnd),
        Just(Auth::Hangs),
        Just(Auth::Rejects),
    ];
    let day = 0..24 * HOUR;
    (
        prop_oneof![3 => Just(300u64), 3 => Just(3600), 1 => 5..10_000u64],
        prop_oneof![HOUR..30 * HOUR, Just(48 * HOUR)],
        prop_oneof![60..600u64, Just(HOUR)],
        (any_renewal(), any_seed()),
        prop_oneof![Just(0i64), -1000..1000i64],
        (1..5usize, 1..900u64),
        prop::collection::vec((day.clone(), auth), 0..12),
        prop::collection::vec(day.clone(), 0..30),
        (
            prop::collection::vec(day.clone(), 0..4),
            prop::collection::vec((day, -20_000..20_000i64), 0..3),
        ),
    )
        .prop_map(
            |(life, session, retry_for, (renewal, seed), skew, work, auth, rotations, events)| {
                let mut auth = auth;
                auth.sort_by_key(|(from, _)| *from);
                Scenario {
                    life,
                    session,
                    length: 24 * HOUR,
                    retry_for,
                    renewal,
                    seed,
                    skew,
                    workers: work.0,
                    part: work.1,
                    auth,
                    rotations,
                    revocations: events.0,
                    part_rejections: Vec::new(),
                    jumps: events.1,
                }
            },
        )
}

/// Two hours of tokens that live for seconds, with intervals in which the service rejects parts.
pub(crate) fn days_of_rejections() -> impl Strategy<Value = Scenario> {
    let interval = (0..2 * HOUR, 1..60u64).prop_map(|(from, length)| from..from + length);
    let renewal = (any_renewal(), any_seed());
    (5..40u64, 1..9u64, prop::collection::vec(interval, 100), renewal).prop_map(
        |(life, part, part_rejections, (renewal, seed))| Scenario {
            length: 2 * HOUR,
            part,
            part_rejections,
            renewal,
            seed,
            rotations: (0..2 * HOUR).step_by(45).collect(),
            ..Scenario::quiet(life)
        },
    )
}
