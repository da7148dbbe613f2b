//! Many hosts behind one limit of a tenancy.
//!
//! Owns the joint run of many transfers, and the index of their fairness. Must not know how a controller
//! decides. Invariant: the hosts share only the number of requests that the service accepts.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use super::fixed::BUFFERS;
use super::judge::{Auto, MOST};
use super::line::{LineKind, MB, Rates, Scenario};
use super::transfer::{Keyed, Transfer};

/// A host with 10 Gbit/s whose service accepts `most` requests of all hosts together.
pub fn host(most: usize, connection: f64) -> Scenario {
    Scenario {
        kind: LineKind::Throttled,
        rates: Rates { shared: 1200.0 * MB, connection },
        change: None,
        round_trip: 0.02,
        service_time: 0.02,
        bytes_per_break: None,
        most_requests: Some(most),
        producer: 4000.0 * MB,
        // No host stores all of it.
        stream: 1e15,
        length_known: false,
    }
}

/// The bytes that each of the hosts has stored after this many seconds.
pub fn shares(scenario: &Scenario, hosts: usize, seconds: f64) -> Vec<f64> {
    let accepted = Rc::new(Cell::new(0));
    let mut fleet: Vec<_> = (0..hosts)
        .map(|seed| {
            let transfer = Transfer::new(scenario, BUFFERS, accepted.clone(), seed as u64);
            (transfer, Auto::new(scenario, MOST))
        })
        .collect();
    let mut queue = BinaryHeap::new();
    for (host, (transfer, _)) in fleet.iter_mut().enumerate() {
        transfer.start();
        queue.push(Reverse(Keyed(transfer.next_at(), host)));
    }
    while let Some(Reverse(Keyed(at, host))) = queue.pop()
        && at < seconds
    {
        let (transfer, policy) = &mut fleet[host];
        transfer.step(policy);
        queue.push(Reverse(Keyed(transfer.next_at(), host)));
    }
    fleet.iter().map(|(transfer, _)| transfer.acknowledged()).collect()
}

/// Jain's index: 1 if all shares are equal, 1/n if one host has all.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|share| share * share).sum::<f64>())
}
