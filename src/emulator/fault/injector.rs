//! Which request meets which fault of a plan.
//!
//! Pure. Owns the counts of requests and the choice among the rules. Must not know what a fault does.
//! Invariant: the first rule that chooses a request decides its fault, and the same requests always
//! meet the same faults. A chance depends on its seed, the operation, the part and the attempt only, so
//! the order in which parts arrive does not change which of them meet it.

use super::{Fault, FaultPlan, Trigger};
use crate::operation::Operation;
use std::collections::HashMap;

/// A fault plan with the counters of its requests.
#[derive(Debug, Default)]
pub(crate) struct FaultInjector {
    plan: FaultPlan,
    /// Attempts so far, by operation and part number.
    attempts: HashMap<(Operation, Option<u32>), u64>,
    /// Matching requests so far, for each rule.
    matched: Vec<u64>,
}

impl FaultInjector {
    /// A plan whose counters are at 0.
    pub(crate) fn new(plan: FaultPlan) -> FaultInjector {
        FaultInjector { matched: vec![0; plan.faults.len()], plan, attempts: HashMap::new() }
    }

    /// Counts a request and returns the fault that it meets; `par` for one through a
    /// pre-authenticated request.
    pub(crate) fn next_fault(
        &mut self,
        operation: Operation,
        part: Option<u32>,
        par: bool,
    ) -> Option<Fault> {
        let attempt = self.attempts.entry((operation, part)).or_insert(0);
        *attempt += 1;
        let attempt = *attempt;
        let mut found = None;
        for (rule, matched) in self.plan.faults.iter().zip(&mut self.matched) {
            if !rule.matches(operation, part, par) {
                continue;
            }
            *matched += 1;
            let chosen = match rule.when {
                Trigger::Every => true,
                Trigger::Attempt(n) => attempt == n,
                Trigger::First(n) => attempt <= n,
                Trigger::From(n) => attempt >= n,
                Trigger::Request(n) => *matched == n,
                Trigger::Requests(n) => *matched <= n,
                Trigger::RequestsFrom(n) => *matched >= n,
                Trigger::Chance { per_mille, seed } => {
                    is_chosen(per_mille, seed, operation, part, attempt)
                }
            };
            if chosen && found.is_none() {
                found = Some(rule.action.clone());
            }
        }
        found
    }
}

/// Whether a chance chooses this attempt. The hash (FNV-1a, then Wyrand) is written out so that a
/// seed chooses the same attempts in every build.
fn is_chosen(
    per_mille: u16,
    seed: u64,
    operation: Operation,
    part: Option<u32>,
    attempt: u64,
) -> bool {
    let text = format!("{seed} {operation:?} {} {attempt}", part.unwrap_or(0));
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    fastrand::Rng::with_seed(hash).u16(..1000) < per_mille
}

#[cfg(test)]
mod tests {
    use super::super::{FaultResponse, FaultRule};
    use super::*;
    use Operation::{GetObject, UploadPart};

    fn refuse(status: u16) -> Fault {
        Fault::Refuse(FaultResponse::status(status))
    }

    #[test]
    fn attempts_are_counted_for_each_part() {
        let rule = FaultRule::on(UploadPart, refuse(503)).when(Trigger::First(1));
        let mut injector = FaultInjector::new(FaultPlan::new().with(rule));
        assert_eq!(injector.next_fault(UploadPart, Some(1), false), Some(refuse(503)));
        assert_eq!(injector.next_fault(UploadPart, Some(2), false), Some(refuse(503)));
        assert_eq!(injector.next_fault(UploadPart, Some(1), false), None);
        assert_eq!(injector.next_fault(GetObject, None, false), None);
    }

    #[test]
    fn requests_are_counted_over_all_parts() {
        let rule = FaultRule::on(UploadPart, refuse(500)).when(Trigger::Request(3));
        let mut injector = FaultInjector::new(FaultPlan::new().with(rule));
        let met: Vec<bool> =
            (1..=4).map(|n| injector.next_fault(UploadPart, Some(n), false).is_some()).collect();
        assert_eq!(met, [false, false, true, false]);
    }

    #[test]
    fn the_first_matching_rule_decides_and_a_rule_can_match_one_part() {
        let plan = FaultPlan::new()
            .with(FaultRule::on(UploadPart, refuse(500)).part(2))
            .with(FaultRule::any(refuse(429)).when(Trigger::Attempt(2)));
        let mut injector = FaultInjector::new(plan);
        assert_eq!(injector.next_fault(UploadPart, Some(2), false), Some(refuse(500)));
        assert_eq!(injector.next_fault(UploadPart, Some(1), false), None);
        assert_eq!(injector.next_fault(UploadPart, Some(1), false), Some(refuse(429)));
    }

    #[test]
    fn a_rule_can_match_only_requests_with_or_without_a_pre_authenticated_request() {
        let plan = FaultPlan::new()
            .with(FaultRule::on(UploadPart, refuse(500)).par(true))
            .with(FaultRule::on(UploadPart, refuse(503)).par(false));
        let mut injector = FaultInjector::new(plan);
        assert_eq!(injector.next_fault(UploadPart, Some(1), true), Some(refuse(500)));
        assert_eq!(injector.next_fault(UploadPart, Some(1), false), Some(refuse(503)));
    }

    /// A published plan with a seed has to choose the same requests in every later version.
    #[test]
    fn a_seed_chooses_the_same_attempts_as_ever() {
        let chosen = |part| is_chosen(70, 17, UploadPart, part, 1);
        let parts: Vec<u32> = (1..=100).filter(|number| chosen(Some(*number))).collect();
        assert_eq!(parts, [32, 34, 36, 66, 95]);
        let chosen = |attempt: &u64| is_chosen(70, 17, Operation::HeadObject, None, *attempt);
        assert_eq!((1..=100).filter(chosen).collect::<Vec<u64>>(), [33, 44, 56]);
    }

    #[test]
    fn a_chance_has_its_rate_and_its_choice_does_not_depend_on_the_order_of_arrival() {
        let injector = || FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(70, 17)));
        let mut forwards = injector();
        let met: Vec<bool> = (1..=10_000)
            .map(|n| forwards.next_fault(UploadPart, Some(n), false).is_some())
            .collect();
        let hits = met.iter().filter(|met| **met).count();
        assert!((600..800).contains(&hits), "{hits} of 10,000");
        let mut backwards = injector();
        for (number, met) in (1..10_001).zip(&met).rev() {
            assert_eq!(
                backwards.next_fault(UploadPart, Some(number), false).is_some(),
                *met,
                "{number}"
            );
        }
        let mut other = FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(70, 18)));
        assert!(
            (1..=10_000)
                .zip(&met)
                .any(|(n, met)| other.next_fault(UploadPart, Some(n), false).is_some() != *met)
        );
    }

    #[test]
    fn a_spurious_404_of_every_operation_skips_requests_that_name_no_bucket() {
        let mut injector = FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(1000, 0)));
        assert_eq!(injector.next_fault(Operation::GetNamespace, None, false), None);
        assert_eq!(injector.next_fault(Operation::RefreshToken, None, false), None);
        assert_eq!(
            injector.next_fault(Operation::HeadObject, None, false),
            Some(Fault::SpuriousNotFound)
        );
    }
}
