//! What a run of a scenario came to: a row of the table, and the bars that it misses.
//!
//! Owns the judgement. Must not know how a fleet runs. Invariant: a bar that is missed is named with its
//! number.

use std::ops::Range;
use std::time::{Duration, Instant};

use ocipipe_proto::error::Error;

use crate::measure::{PerSecond, jain, median_and_most};
use crate::scenario::Scenario;
use crate::tokens::Mode;
use crate::world::World;

/// The result of one scenario.
pub struct Report {
    scenario: Scenario,
    world: World,
    real_time: Duration,
}

/// The requests after an outage, or after a herd was refused.
struct Spread {
    peak: u32,
    mean: f64,
}

impl Spread {
    /// Full jitter lets twice the mean of the longest pause come in the first second after an outage: a host that has waited is the likelier to come, the less of its pause is left. A quarter more
    /// is for what the first hosts send next, and four standard deviations of a count for chance.
    fn bound(&self) -> f64 {
        2.5 * self.mean + 4.0 * (2.0 * self.mean).sqrt()
    }

    fn of(requests: &PerSecond, seconds: Range<u64>) -> Spread {
        Spread { peak: requests.peak(seconds.clone()), mean: requests.mean(seconds) }
    }
}

impl Report {
    /// The heading of the table.
    pub const HEADING: &str = "scenario                      hosts  parts   events  virtual  stored  gave up  \
         retries: median  most  after the outage: peak/s  mean/s  tokens/s: peak  Jain   real";

    /// Runs a scenario. Fails if its plan of parts is not valid.
    pub fn of(scenario: &Scenario, seed: u64) -> Result<Report, Error> {
        let started = Instant::now();
        let mut world = World::new(scenario, seed)?;
        world.run(scenario.bars.longest * 2);
        Ok(Report { scenario: scenario.clone(), world, real_time: started.elapsed() })
    }

    fn stored(&self) -> usize {
        let whole = Some(self.scenario.stream);
        let stored = self.world.hosts.iter().filter(|host| {
            host.ended.as_ref().is_some_and(|(_, result)| result.is_ok())
                && host.store.object_size() == whole
        });
        stored.count()
    }

    fn gave_up(&self) -> usize {
        let ended = self.world.hosts.iter().filter_map(|host| host.ended.as_ref());
        ended.filter(|(_, result)| result.is_err()).count()
    }

    /// The time of the slowest host from its start to its end, or to the end of the run.
    fn longest(&self) -> Duration {
        let times = self.world.hosts.iter().map(|host| {
            let ended = host.ended.as_ref().map_or(self.world.now, |(at, _)| *at);
            ended - host.started
        });
        times.max().unwrap_or_default()
    }

    fn spread(&self) -> Spread {
        let end = self.world.storage.recovered_at().as_secs();
        // Without an outage: the herd of the start itself is no choice of the hosts.
        let from = if end == 0 { 2 } else { end };
        Spread::of(
            &self.world.storage.requests,
            from..from + self.scenario.bars.spread.unwrap_or(30),
        )
    }

    fn hosts_with_tokens(&self) -> usize {
        let hosts = self.world.hosts.iter();
        hosts.filter(|host| !matches!(host.tokens.mode, Mode::ApiKey | Mode::ResourceFile)).count()
    }

    fn token_peak(&self) -> u32 {
        self.world.auth.requests.peak(0..self.world.auth.requests.seconds())
    }

    /// The row of the table.
    pub fn row(&self) -> String {
        let world = &self.world;
        let (median, most) =
            median_and_most(world.hosts.iter().map(|host| host.upload.retries()).collect());
        let spread = self.spread();
        format!(
            "{:29} {:5} {:6} {:8} {:6.1} h {:7} {:8} {:16} {:5} {:25} {:7.1} {:15} {:.3} {:4.1} s",
            self.scenario.name,
            world.hosts.len(),
            world.hosts.iter().map(|host| host.upload.acknowledged().0).max().unwrap_or(0),
            world.events,
            world.now.as_secs_f64() / 3600.0,
            self.stored(),
            self.gave_up(),
            median,
            most,
            spread.peak,
            spread.mean,
            self.token_peak(),
            jain(&world.shares),
            self.real_time.as_secs_f64(),
        )
    }

    /// The bars that were missed.
    pub fn missed(&self) -> Vec<String> {
        let (bars, hosts) = (self.scenario.bars, self.scenario.hosts());
        let mut missed = Vec::new();
        let first_error = self.world.hosts.iter().find_map(|host| match &host.ended {
            Some((_, Err(error))) => Some(error.to_string()),
            _ => None,
        });
        if let Some(error) = first_error {
            missed.push(format!("{} hosts gave up: {error}", self.gave_up()));
        }
        if self.stored() < hosts {
            missed.push(format!("{} of {hosts} hosts stored their stream", self.stored()));
        }
        let open: usize = self.world.hosts.iter().map(|host| host.store.open_uploads()).sum();
        if open > 0 {
            missed.push(format!("{open} uploads are left open"));
        }
        if self.longest() > bars.longest {
            let (took, most) = (self.longest().as_secs(), bars.longest.as_secs());
            missed.push(format!("a host took {took} s, at most {most} s are allowed"));
        }
        let spread = self.spread();
        if bars.spread.is_some() && f64::from(spread.peak) > spread.bound() {
            let (peak, bound) = (spread.peak, spread.bound());
            missed.push(format!(
                "{peak} requests came in one second, at most {bound:.0} are allowed"
            ));
        }
        let most = bars.token_share.map(|share| share * self.hosts_with_tokens() as f64);
        if let Some(most) = most.filter(|most| f64::from(self.token_peak()) > *most) {
            let peak = self.token_peak();
            missed.push(format!(
                "{peak} tokens were requested in one second, at most {most:.0} are allowed"
            ));
        }
        if let Some(least) = bars.jain.filter(|least| jain(&self.world.shares) < *least) {
            let index = jain(&self.world.shares);
            missed.push(format!("Jain's index is {index:.3}, at least {least} is required"));
        }
        let waits: u64 = self.world.hosts.iter().map(|host| host.token_waits).sum();
        if bars.no_token_waits && waits > 0 {
            missed.push(format!("{waits} requests waited for a token"));
        }
        missed
    }

    /// The requests of Object Storage and of the auth service in each second.
    pub fn series(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        let (storage, auth) = (&self.world.storage.requests, &self.world.auth.requests);
        let seconds = storage.seconds().max(auth.seconds());
        (0..seconds).map(|second| (second, storage.at(second), auth.at(second)))
    }
}
