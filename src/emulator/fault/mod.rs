//! The fault plan: which requests meet which fault, as data.
//!
//! Pure: it decides which request meets which fault; `apply_fault`, `body` and the handlers apply
//! it. A plan is built in Rust with `FaultPlan::new().with(..)` or read from JSON, whose names are
//! documented in `docs/fault-plan.md` and are stable:
//!
//! ```json
//! {"faults": [
//!   {"operation": "UploadPart", "part": 3, "when": {"first": 2}, "action": {"refuse": {"status": 503}}},
//!   {"operation": "CommitMultipartUpload", "when": {"attempt": 1}, "action": "lose_answer"},
//!   {"when": {"chance": {"per_mille": 70, "seed": 17}}, "action": "spurious_not_found"}
//! ]}
//! ```
//!
//! Invariant: the first rule that chooses a request decides its fault, and the same requests always
//! meet the same faults. A chance depends on its seed, the operation, the part and the attempt
//! only, so the order in which parts arrive does not change which of them meet it.

use super::route::Operation;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The fault rules of a server, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    #[serde(default)]
    pub faults: Vec<FaultRule>,
}

impl FaultPlan {
    pub fn new() -> FaultPlan {
        FaultPlan::default()
    }

    /// Adds a rule behind the others.
    pub fn with(mut self, rule: FaultRule) -> FaultPlan {
        self.faults.push(rule);
        self
    }
}

/// One rule: which requests it matches, which of those it chooses, and the fault that they meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The operation to match; `None` matches every operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The part number to match; `None` matches requests of every part and those without a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// Which of the matching requests meet the fault.
    #[serde(default)]
    pub when: Trigger,
    pub action: Fault,
}

impl FaultRule {
    /// A rule that chooses every request of an operation; `part` and `when` narrow it.
    pub fn on(operation: Operation, action: Fault) -> FaultRule {
        FaultRule { operation: Some(operation), part: None, when: Trigger::Every, action }
    }

    /// 404 `BucketNotFound` although the bucket exists, for `per_mille` in 1,000 attempts of every
    /// operation that names a bucket.
    pub fn spurious(per_mille: u16, seed: u64) -> FaultRule {
        FaultRule::any(Fault::SpuriousNotFound).when(Trigger::Chance { per_mille, seed })
    }

    /// A rule that chooses every request; `part` and `when` narrow it.
    pub fn any(action: Fault) -> FaultRule {
        FaultRule { operation: None, part: None, when: Trigger::Every, action }
    }

    /// Narrows the rule to one part number.
    pub fn part(mut self, number: u32) -> FaultRule {
        self.part = Some(number);
        self
    }

    /// Narrows the rule to the requests that the trigger chooses.
    pub fn when(mut self, when: Trigger) -> FaultRule {
        self.when = when;
        self
    }

    fn matches(&self, operation: Operation, part: Option<u32>) -> bool {
        let operation_matches = match self.operation {
            Some(named) => named == operation,
            None => self.action != Fault::SpuriousNotFound || operation.names_a_bucket(),
        };
        operation_matches && (self.part.is_none() || self.part == part)
    }
}

/// Which of the matching requests a rule chooses. Attempts are counted from 1 for each pair of
/// operation and part number, over all requests and whether or not they met a fault. `request`,
/// `requests` and `requests_from` count, from 1, all requests that match the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// All of them.
    #[default]
    Every,
    /// This attempt only.
    Attempt(u64),
    /// Attempts 1 to this one.
    First(u64),
    /// This attempt and all after it.
    From(u64),
    /// This matching request only.
    Request(u64),
    /// Matching requests 1 to this one.
    Requests(u64),
    /// This matching request and all after it.
    RequestsFrom(u64),
    /// `per_mille` in 1,000 attempts, chosen by the seed.
    Chance { per_mille: u16, seed: u64 },
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

/// What happens to a chosen request. Unless a fault names the work, the request has no effect on
/// the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An error response after the request body was read.
    Refuse(FaultResponse),
    /// An error response before any of the body is read, and in place of `100 Continue`.
    Early(FaultResponse),
    /// As `Early`, then the connection is reset.
    EarlyReset(FaultResponse),
    /// The request is handled this many milliseconds late.
    Delay(u64),
    /// The connection is reset before any of the body is read.
    ResetBeforeBody,
    /// The connection is reset after this many bytes of the body.
    ResetInBody(u64),
    /// The request is handled, and the connection is reset in place of a response.
    LoseAnswer,
    /// After `bytes` bytes of the body the server stops reading for `ms` milliseconds; `None` never
    /// ends.
    StallBody { bytes: u64, ms: Option<u64> },
    /// The request is handled, and the response is sent `ms` milliseconds late; `None` never sends
    /// it.
    StallAnswer { ms: Option<u64> },
    /// The request is handled, and the connection closes after this many bytes of the response,
    /// counted from its status line.
    Truncate(u64),
    /// This text in place of an HTTP response, then the connection closes.
    Garbage(String),
    /// An HTTP response with the HTML page of a proxy, without the headers of the service.
    Html { status: u16 },
    /// One bit of the byte at this offset of the body is flipped before checksums are compared.
    FlipBit(u64),
    /// The request is handled, and the checksum headers of the response are wrong.
    WrongChecksum,
    /// The request is handled, and the response has no checksum headers.
    MissingChecksum,
    /// The part is stored, and one bit of it is flipped after its checksums were compared.
    CorruptPart,
    /// The commit makes an object in which these two parts have changed places.
    SwapParts(u32, u32),
    /// The commit makes an object without this part.
    DropPart(u32),
    /// Before the commit this part is lost, so the commit is an error response.
    LosePart(u32),
    /// Before the commit this part gets other bytes and another etag, so the commit is an error
    /// response.
    AlterPart(u32),
    /// A commit or PutObject gets the response of a success, and no object is stored.
    NothingStored,
    /// The request is received and its connection reset; it is handled when a later request has
    /// been: the next one of `after`, or else the next successful one of the same operation and
    /// part.
    LateLanding {
        #[serde(default)]
        after: Option<Operation>,
    },
    /// As `LateLanding`, but the connection stays open without a response until the client closes
    /// it.
    SilentLateLanding {
        #[serde(default)]
        after: Option<Operation>,
    },
    /// The token of this request is revoked before the request is authenticated.
    RevokeToken,
    /// Object Storage refuses the token of this request from now on; the auth service accepts it.
    DistrustToken,
    /// The server's clock moves by this many seconds before the request is authenticated.
    MoveClock(i64),
    /// 404 `BucketNotFound` with the message for a missing bucket, after the body was read. A rule
    /// without an operation matches only operations that name a bucket.
    SpuriousNotFound,
}

/// An error response. Without a code it has the usual one of its status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultResponse {
    pub status: u16,
    /// The service's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The value of the header `retry-after`: seconds or an HTTP date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
}

impl FaultResponse {
    /// A response with this status and the usual code.
    pub fn status(status: u16) -> FaultResponse {
        FaultResponse { status, ..FaultResponse::default() }
    }

    pub fn code(mut self, code: &str) -> FaultResponse {
        self.code = Some(code.to_owned());
        self
    }

    pub fn retry_after(mut self, value: &str) -> FaultResponse {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// The code, or the usual one of the status.
    pub fn code_or_default(&self) -> String {
        let default = match self.status {
            400 => "InvalidParameter",
            401 => "NotAuthenticated",
            403 => "NotAllowed",
            404 => "NotAuthorizedOrNotFound",
            405 => "MethodNotAllowed",
            409 => "ConcurrentObjectUpdate",
            412 => "IfMatchFailed",
            413 => "RequestEntityTooLarge",
            429 => "TooManyRequests",
            501 => "MethodNotImplemented",
            502..=504 => "ServiceUnavailable",
            _ => "InternalServerError",
        };
        self.code.clone().unwrap_or_else(|| default.to_owned())
    }
}

/// A fault plan with the counters of its requests.
#[derive(Debug, Default)]
pub struct FaultInjector {
    plan: FaultPlan,
    /// Attempts so far, by operation and part number.
    attempts: HashMap<(Operation, Option<u32>), u64>,
    /// Matching requests so far, for each rule.
    matched: Vec<u64>,
}

impl FaultInjector {
    /// A plan whose counters are at 0.
    pub fn new(plan: FaultPlan) -> FaultInjector {
        FaultInjector { matched: vec![0; plan.faults.len()], plan, attempts: HashMap::new() }
    }

    /// Counts a request and returns the fault that it meets.
    pub fn next_fault(&mut self, operation: Operation, part: Option<u32>) -> Option<Fault> {
        let attempt = self.attempts.entry((operation, part)).or_insert(0);
        *attempt += 1;
        let attempt = *attempt;
        let mut found = None;
        for (rule, matched) in self.plan.faults.iter().zip(&mut self.matched) {
            if !rule.matches(operation, part) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{GetObject, UploadPart};

    fn refuse(status: u16) -> Fault {
        Fault::Refuse(FaultResponse::status(status))
    }

    #[test]
    fn attempts_are_counted_for_each_part() {
        let rule = FaultRule::on(UploadPart, refuse(503)).when(Trigger::First(1));
        let mut injector = FaultInjector::new(FaultPlan::new().with(rule));
        assert_eq!(injector.next_fault(UploadPart, Some(1)), Some(refuse(503)));
        assert_eq!(injector.next_fault(UploadPart, Some(2)), Some(refuse(503)));
        assert_eq!(injector.next_fault(UploadPart, Some(1)), None);
        assert_eq!(injector.next_fault(GetObject, None), None);
    }

    #[test]
    fn requests_are_counted_over_all_parts() {
        let rule = FaultRule::on(UploadPart, refuse(500)).when(Trigger::Request(3));
        let mut injector = FaultInjector::new(FaultPlan::new().with(rule));
        let met: Vec<bool> =
            (1..=4).map(|n| injector.next_fault(UploadPart, Some(n)).is_some()).collect();
        assert_eq!(met, [false, false, true, false]);
    }

    #[test]
    fn the_first_matching_rule_decides_and_a_rule_can_match_one_part() {
        let plan = FaultPlan::new()
            .with(FaultRule::on(UploadPart, refuse(500)).part(2))
            .with(FaultRule::any(refuse(429)).when(Trigger::Attempt(2)));
        let mut injector = FaultInjector::new(plan);
        assert_eq!(injector.next_fault(UploadPart, Some(2)), Some(refuse(500)));
        assert_eq!(injector.next_fault(UploadPart, Some(1)), None);
        assert_eq!(injector.next_fault(UploadPart, Some(1)), Some(refuse(429)));
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
        let met: Vec<bool> =
            (1..=10_000).map(|n| forwards.next_fault(UploadPart, Some(n)).is_some()).collect();
        let hits = met.iter().filter(|met| **met).count();
        assert!((600..800).contains(&hits), "{hits} of 10,000");
        let mut backwards = injector();
        for (number, met) in (1..10_001).zip(&met).rev() {
            assert_eq!(backwards.next_fault(UploadPart, Some(number)).is_some(), *met, "{number}");
        }
        let mut other = FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(70, 18)));
        assert!(
            (1..=10_000)
                .zip(&met)
                .any(|(n, met)| other.next_fault(UploadPart, Some(n)).is_some() != *met)
        );
    }

    #[test]
    fn a_spurious_404_of_every_operation_skips_requests_that_name_no_bucket() {
        let mut injector = FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(1000, 0)));
        assert_eq!(injector.next_fault(Operation::GetNamespace, None), None);
        assert_eq!(injector.next_fault(Operation::RefreshToken, None), None);
        assert_eq!(injector.next_fault(Operation::HeadObject, None), Some(Fault::SpuriousNotFound));
    }

    #[test]
    fn a_plan_is_read_from_json() {
        let plan: FaultPlan = serde_json::from_str(
            r#"{"faults": [
                {"operation": "UploadPart", "part": 3, "when": {"first": 2},
                 "action": {"refuse": {"status": 503, "retry_after": "1"}}},
                {"operation": "CommitMultipartUpload", "when": {"attempt": 1}, "action": "lose_answer"},
                {"action": {"stall_body": {"bytes": 10, "ms": null}}},
                {"operation": "UploadPart", "action": {"late_landing": {}}},
                {"operation": "CommitMultipartUpload", "action": {"swap_parts": [1, 2]}},
                {"when": {"chance": {"per_mille": 70, "seed": 17}}, "action": "spurious_not_found"}
            ]}"#,
        )
        .unwrap();
        assert_eq!(plan.faults.len(), 6);
        assert_eq!(plan.faults[5], FaultRule::spurious(70, 17));
        assert_eq!(plan.faults[1].action, Fault::LoseAnswer);
        assert_eq!(plan.faults[2].action, Fault::StallBody { bytes: 10, ms: None });
        let again: FaultPlan =
            serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again, plan);
        assert!(serde_json::from_str::<FaultPlan>(r#"{"fault": []}"#).is_err());
    }
}
