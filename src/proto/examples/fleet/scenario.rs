//! The scenarios: what each fleet stores, what fails meanwhile, and the bars.
//!
//! Owns all numbers of the model. Must not know how a fleet runs. Invariant: a scenario with another
//! number of hosts has the limits of a tenancy of that size.

use std::time::Duration;

use ocipipe_proto::error::Error;
use ocipipe_proto::part_plan::{self, PartCut, PlanInput};

use crate::service::{Fault, Limit, Outage, ServicePlan};
use crate::tokens::Mode;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The longest pause between two attempts without `retry-after`.
const BACKOFF_CEILING: u64 = 30;
/// The longest pause between two probes of a token that the service rejects.
const PROBE_INTERVAL: u64 = 15;

/// What a run of a scenario has to show. Each host has to store its stream in any case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bars {
    /// The requests per second have a bound for these seconds after an outage: the longest pause between
    /// two attempts of a host.
    pub spread: Option<u64>,
    /// The most requests for tokens in one second, as a share of the hosts.
    pub token_share: Option<f64>,
    /// The least index of fairness.
    pub jain: Option<f64>,
    /// No decision waits for a token.
    pub no_token_waits: bool,
    /// The longest time from the start to the end of a host.
    pub longest: Duration,
}

/// One fleet and what happens to it.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// The hosts of each mode.
    pub fleet: Vec<(Mode, usize)>,
    /// Bytes of the stream of each host.
    pub stream: u64,
    /// Bytes per second of the producer of each host.
    pub producer: f64,
    /// Bytes per second of one connection.
    pub connection: f64,
    pub plan: PlanInput,
    /// All hosts start in this time.
    pub starts_within: Duration,
    pub storage: ServicePlan,
    pub auth: ServicePlan,
    pub retry_for: Duration,
    pub refresh_before: Option<Duration>,
    /// The probability that a request of a part breaks.
    pub loss: f64,
    /// All hosts draw the same random numbers: a mistake that the bars have to find.
    pub same_seed: bool,
    pub bars: Bars,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Scenario {
    fn new(name: &'static str, fleet: Vec<(Mode, usize)>) -> Scenario {
        Scenario {
            name,
            fleet,
            stream: GIB,
            producer: 2e9,
            connection: 50e6,
            plan: PlanInput { available_memory: Some(4 * GIB), ..PlanInput::default() },
            starts_within: secs(1),
            storage: ServicePlan::default(),
            auth: ServicePlan::default(),
            retry_for: secs(HOUR),
            refresh_before: None,
            loss: 0.001,
            same_seed: false,
            bars: Bars::default(),
        }
    }

    /// The number of hosts.
    pub fn hosts(&self) -> usize {
        self.fleet.iter().map(|(_, count)| count).sum()
    }

    /// The sizes of the parts.
    pub fn cut(&self) -> Result<PartCut, Error> {
        Ok(PartCut::new(part_plan::plan(&self.plan)?, &self.plan))
    }

    fn parts(self, size: u64, parallel: u16) -> Scenario {
        let plan = PlanInput { part_size: Some(size), parallel: Some(parallel), ..self.plan };
        Scenario { plan, ..self }
    }
}

/// All scenarios, with the number of hosts and the lengths divided by `scale`.
pub fn all(scale: u64) -> Vec<Scenario> {
    let scale = scale.max(1);
    let mut all = vec![
        tokens_of_a_day(scale),
        issue_in_an_outage(scale),
        ten_tebibytes(scale),
        slow_week(scale),
    ];
    all.extend(
        [
            ("outage, refused", Fault::Refused),
            ("outage, silent", Fault::Silent),
            ("outage, 503 for 60 s", Fault::Unavailable(Some(60))),
        ]
        .map(|(name, fault)| forty_minutes(scale, name, fault)),
    );
    all.push(all_rejected(scale));
    all.push(almost_the_budget(scale));
    all.push(shared_limit(scale));
    all.push(one_minute_of_cron(scale));
    all
}

fn count(hosts: u64, scale: u64) -> usize {
    (hosts / scale).max(1) as usize
}

/// The auth service is out of order 12 times a day, at all times in the lives of tokens, and for less than a
/// refresh has time: 6.7 minutes of a token of 20.
fn auth_outages(days: u64) -> ServicePlan {
    let faults = [Fault::Refused, Fault::Silent, Fault::Unavailable(Some(20))];
    let outages = (0..12 * days).zip(faults.into_iter().cycle()).map(|(nth, fault)| {
        Outage::at(nth * 2 * HOUR + 7 * MINUTE * (1 + nth % 9), 5 * MINUTE, fault)
    });
    ServicePlan { outages: outages.collect(), limit: None }
}

fn tokens_of_a_day(scale: u64) -> Scenario {
    let fleet = Mode::ALL.map(|mode| (mode, count(60, scale))).to_vec();
    let hours = if scale > 1 { 8 } else { 24 };
    let (part, interval) = (64 * MIB, MINUTE);
    Scenario {
        stream: hours * HOUR / interval * part,
        producer: part as f64 / interval as f64,
        connection: 2e6,
        auth: auth_outages(1),
        bars: Bars {
            token_share: Some(0.25),
            no_token_waits: true,
            longest: secs(hours * HOUR + 10 * MINUTE),
            ..Bars::default()
        },
        ..Scenario::new("24 h of tokens of 7 modes", fleet)
    }
    .parts(part, 4)
}

/// Tokens expire while the service that issues them is out of order.
fn issue_in_an_outage(scale: u64) -> Scenario {
    let modes = [Mode::Instance, Mode::Resource, Mode::Workload, Mode::Exchange];
    let fleet = modes.map(|mode| (mode, count(500, scale))).to_vec();
    let (part, interval) = (64 * MIB, MINUTE);
    Scenario {
        stream: 90 * MINUTE / interval * part,
        producer: part as f64 / interval as f64,
        connection: 10e6,
        auth: ServicePlan {
            outages: vec![Outage::at(10 * MINUTE, 40 * MINUTE, Fault::Silent)],
            limit: Some(Limit { rate: 2000.0 / scale as f64 / 40.0, retry_after: Some(5) }),
        },
        bars: Bars {
            spread: Some(BACKOFF_CEILING),
            token_share: Some(0.25),
            longest: secs(125 * MINUTE),
            ..Bars::default()
        },
        ..Scenario::new("auth service out for 40 min", fleet)
    }
    .parts(part, 4)
}

fn ten_tebibytes(scale: u64) -> Scenario {
    let (stream, part) = (10 * TIB / scale, (10 * TIB).div_ceil(10_000 * MIB) * MIB);
    let scenario = Scenario {
        stream,
        connection: 100e6,
        loss: 0.01,
        storage: ServicePlan {
            outages: vec![Outage::at(10 * MINUTE, 5 * MINUTE, Fault::Silent)],
            limit: None,
        },
        auth: auth_outages(1),
        bars: Bars { longest: secs(3 * HOUR), ..Bars::default() },
        ..Scenario::new("10 TiB in 10,000 parts", vec![(Mode::Instance, 1)])
    };
    let plan = PlanInput { available_memory: Some(128 * GIB), ..PlanInput::default() };
    Scenario { plan, ..scenario }.parts(part, 16)
}

fn slow_week(scale: u64) -> Scenario {
    let days = if scale > 1 { 1 } else { 7 };
    let modes: &[Mode] = if scale > 1 { &[Mode::Session, Mode::Resource] } else { &Mode::ALL };
    let storage = [
        (5 * HOUR, Fault::Refused),
        (30 * HOUR, Fault::Silent),
        (99 * HOUR, Fault::Unavailable(None)),
    ]
    .map(|(at, fault)| Outage::at(at, 20 * MINUTE, fault));
    Scenario {
        stream: 2_000_000 * days * DAY,
        producer: 2e6,
        connection: 5e6,
        loss: 0.005,
        storage: ServicePlan { outages: storage.to_vec(), limit: None },
        auth: auth_outages(days),
        // The parts grow to most of the memory of 1 GiB for them, so that reading waits now and then.
        bars: Bars { longest: secs(days * DAY * 102 / 100 + 2 * HOUR), ..Bars::default() },
        ..Scenario::new("a week at 2 MB/s", modes.iter().map(|mode| (*mode, 1)).collect())
    }
}

fn forty_minutes(scale: u64, name: &'static str, fault: Fault) -> Scenario {
    let fleet = vec![
        (Mode::ApiKey, count(800, scale)),
        (Mode::Instance, count(600, scale)),
        (Mode::Workload, count(300, scale)),
        (Mode::ResourceFile, count(300, scale)),
    ];
    let outages =
        ServicePlan { outages: vec![Outage::at(10 * MINUTE, 40 * MINUTE, fault)], limit: None };
    Scenario {
        stream: 20 * 64 * MIB,
        producer: 1e6,
        connection: 10e6,
        starts_within: secs(MINUTE),
        storage: outages.clone(),
        auth: outages,
        bars: Bars { spread: Some(BACKOFF_CEILING), longest: secs(70 * MINUTE), ..Bars::default() },
        ..Scenario::new(name, fleet)
    }
    .parts(64 * MIB, 4)
}

/// The service rejects every token for a while, and probes show when that is over.
fn all_rejected(scale: u64) -> Scenario {
    let modes = [Mode::ApiKey, Mode::Session, Mode::Instance, Mode::ResourceFile];
    let fleet = modes.map(|mode| (mode, count(500, scale))).to_vec();
    let outages = vec![Outage::at(0, 15 * MINUTE, Fault::Unauthorized)];
    Scenario {
        stream: 20 * 64 * MIB,
        producer: 1e6,
        connection: 10e6,
        storage: ServicePlan { outages, limit: None },
        bars: Bars { spread: Some(PROBE_INTERVAL), longest: secs(45 * MINUTE), ..Bars::default() },
        ..Scenario::new("401 for 15 min", fleet)
    }
    .parts(64 * MIB, 4)
}

/// The last attempt is made when the retry budget ends, which is after the outage.
fn almost_the_budget(scale: u64) -> Scenario {
    let modes = [Mode::ApiKey, Mode::Instance, Mode::Workload];
    let outages = vec![Outage::at(10 * MINUTE, 59 * MINUTE, Fault::Unavailable(Some(300)))];
    Scenario {
        stream: 20 * 64 * MIB,
        producer: 1e6,
        connection: 10e6,
        starts_within: secs(MINUTE),
        storage: ServicePlan { outages: outages.clone(), limit: None },
        auth: ServicePlan { outages, limit: None },
        bars: Bars { longest: secs(90 * MINUTE), ..Bars::default() },
        ..Scenario::new(
            "59 of the 60 min of the budget",
            modes.map(|mode| (mode, count(200, scale))).to_vec(),
        )
    }
    .parts(64 * MIB, 4)
}

fn shared_limit(scale: u64) -> Scenario {
    let hosts = count(1000, scale);
    let limit = Limit { rate: hosts as f64 / 2.0, retry_after: None };
    let length = if scale > 1 { 10 } else { 40 };
    Scenario {
        stream: length * GIB,
        storage: ServicePlan { outages: Vec::new(), limit: Some(limit) },
        bars: Bars {
            jain: Some(if scale > 1 { 0.8 } else { 0.9 }),
            longest: secs(20 * MINUTE),
            ..Bars::default()
        },
        ..Scenario::new("one limit for 1,000 hosts", vec![(Mode::ApiKey, hosts)])
    }
}

/// Jobs that start in the same second, more than the tenancy may send requests.
fn one_minute_of_cron(scale: u64) -> Scenario {
    let hosts = count(2000, scale);
    let limit = Limit { rate: hosts as f64 / 20.0, retry_after: Some(10) };
    Scenario {
        stream: 20 * MIB,
        storage: ServicePlan { outages: Vec::new(), limit: Some(limit) },
        bars: Bars { spread: Some(BACKOFF_CEILING), longest: secs(5 * MINUTE), ..Bars::default() },
        ..Scenario::new("2,000 jobs in one second", vec![(Mode::Instance, hosts)])
    }
    .parts(32 * MIB, 4)
}
