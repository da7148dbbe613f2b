//! The plan of what goes wrong: faults as data, keyed by operation, part and attempt.
//!
//! Pure; who carries a fault out is in `listener`, `service` and the handlers. A plan is written in
//! Rust with `Plan::new().with(..)` or as JSON:
//!
//! ```json
//! {"faults": [
//!   {"operation": "UploadPart", "part": 3, "when": {"first": 2}, "action": {"refuse": {"status": 503}}},
//!   {"operation": "CommitMultipartUpload", "when": {"attempt": 1}, "action": "lose_answer"},
//!   {"when": {"chance": {"per_mille": 70, "seed": 17}}, "action": "spurious_not_found"}
//! ]}
//! ```
//!
//! Invariant: the first rule that matches decides, and the same requests always meet the same faults:
//! a chance is a function of its seed, the operation, the part and the attempt, so parts that arrive in
//! another order meet what they would have met.

use super::route::Operation;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// All the faults of a server.
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

    pub fn with(mut self, rule: FaultRule) -> FaultPlan {
        self.faults.push(rule);
        self
    }
}

/// One fault: which requests meet it, and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Nothing means every operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Nothing means every part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    #[serde(default)]
    pub when: Trigger,
    pub action: Fault,
}

impl FaultRule {
    /// A fault of every request of an operation, to be narrowed by the methods below.
    pub fn on(operation: Operation, action: Fault) -> FaultRule {
        FaultRule { operation: Some(operation), part: None, when: Trigger::Every, action }
    }

    /// 404 `BucketNotFound` although the bucket is there, of so many in 1,000 requests of every
    /// operation that names a bucket.
    pub fn spurious(per_mille: u16, seed: u64) -> FaultRule {
        FaultRule::any(Fault::SpuriousNotFound).when(Trigger::Chance { per_mille, seed })
    }

    /// A fault of every request.
    pub fn any(action: Fault) -> FaultRule {
        FaultRule { operation: None, part: None, when: Trigger::Every, action }
    }

    pub fn part(mut self, number: u32) -> FaultRule {
        self.part = Some(number);
        self
    }

    pub fn when(mut self, when: Trigger) -> FaultRule {
        self.when = when;
        self
    }

    fn matches(&self, operation: Operation, part: Option<u32>) -> bool {
        let operation_matches = match self.operation {
            Some(wanted) => wanted == operation,
            None => self.action != Fault::SpuriousNotFound || operation.names_a_bucket(),
        };
        operation_matches && (self.part.is_none() || self.part == part)
    }
}

/// Which of the matching requests. The attempts of each part (and of each operation that has no part)
/// are counted apart, from 1; `request` and `requests` count all requests that match the rule together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    #[default]
    Every,
    /// This attempt only.
    Attempt(u64),
    /// The first so many attempts.
    First(u64),
    /// From this attempt on.
    From(u64),
    /// This one of all matching requests.
    Request(u64),
    /// The first so many of all matching requests.
    Requests(u64),
    /// All matching requests from this one on.
    RequestsFrom(u64),
    /// So many in 1,000 attempts, chosen by the seed.
    Chance { per_mille: u16, seed: u64 },
}

/// Whether an attempt is one of the chosen. Written out (FNV-1a, then Wyrand) so that a seed means the
/// same in every build.
fn chosen(per_mille: u16, seed: u64, of: (Operation, Option<u32>), attempt: u64) -> bool {
    let (operation, part) = of;
    let text = format!("{seed} {operation:?} {} {attempt}", part.unwrap_or(0));
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    fastrand::Rng::with_seed(hash).u16(..1000) < per_mille
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An error answer, after the request body was read; nothing is done.
    Refuse(FaultResponse),
    /// An error answer before any of the body is read, and before `100 Continue`.
    Early(FaultResponse),
    /// As `early`, then the connection is reset while the body is still coming.
    EarlyReset(FaultResponse),
    /// The work begins this many milliseconds late.
    Delay(u64),
    /// The connection is reset before any of the body is read.
    ResetBeforeBody,
    /// The connection is reset after so many bytes of the body.
    ResetInBody(u64),
    /// The work is done, and the connection is reset instead of an answer.
    LoseAnswer,
    /// After `bytes` of the body no more is read, for `ms` or for ever.
    StallBody { bytes: u64, ms: Option<u64> },
    /// The work is done, and the answer comes after `ms` or never.
    StallAnswer { ms: Option<u64> },
    /// The work is done, and the connection closes after so many bytes of the answer, head included.
    Truncate(u64),
    /// These bytes instead of HTTP, then the connection closes; nothing is done.
    Garbage(String),
    /// A well-formed HTTP answer that holds a proxy's HTML page; nothing is done.
    Html { status: u16 },
    /// One bit of this byte of the body arrives flipped, before anything is verified.
    FlipBit(u64),
    /// Checksums in the answer (and the response's only) are not those of the bytes.
    WrongChecksum,
    /// The answer has no checksum headers.
    MissingChecksum,
    /// One bit of a part is flipped after it was received and verified.
    CorruptPart,
    /// At commit these two parts change places.
    SwapParts(u32, u32),
    /// At commit this part is left out.
    DropPart(u32),
    /// Before the commit the store has lost this part, and the commit is refused for it.
    LosePart(u32),
    /// Before the commit this part has become another, with other bytes and another etag.
    AlterPart(u32),
    /// At commit or put everything is answered as usual and nothing is stored.
    NothingStored,
    /// The request is received whole and its connection reset; its work is done only when a later
    /// request has been: of `after`, or else of the same operation and part.
    LateLanding {
        #[serde(default)]
        after: Option<Operation>,
    },
    /// As `late_landing`, but the connection stays open and silent until the client gives it up.
    SilentLateLanding {
        #[serde(default)]
        after: Option<Operation>,
    },
    /// The token of this request is revoked before the request is judged.
    RevokeToken,
    /// Object Storage refuses the token of this request from now on; the auth service takes it still.
    DistrustToken,
    /// The server's clock moves by so many seconds before the request is judged.
    MoveClock(i64),
    /// 404 `BucketNotFound` in the words for a bucket that is missing, after the body was read; nothing
    /// is done, and to a HEAD no code is told. A rule without an operation leaves those alone that name
    /// no bucket.
    SpuriousNotFound,
}

/// An error answer. Without a code it is the usual one of the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultResponse {
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
}

impl FaultResponse {
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

    pub fn code_or_usual(&self) -> String {
        let usual = match self.status {
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
        self.code.clone().unwrap_or_else(|| usual.to_owned())
    }
}

/// A plan being carried out: counts requests and says what happens to each.
#[derive(Debug, Default)]
pub struct FaultInjector {
    plan: FaultPlan,
    attempts: HashMap<(Operation, Option<u32>), u64>,
    matched: Vec<u64>,
}

impl FaultInjector {
    pub fn new(plan: FaultPlan) -> FaultInjector {
        FaultInjector { matched: vec![0; plan.faults.len()], plan, attempts: HashMap::new() }
    }

    /// Counts a request and finds its fault.
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
            let now = match rule.when {
                Trigger::Every => true,
                Trigger::Attempt(n) => attempt == n,
                Trigger::First(n) => attempt <= n,
                Trigger::From(n) => attempt >= n,
                Trigger::Request(n) => *matched == n,
                Trigger::Requests(n) => *matched <= n,
                Trigger::RequestsFrom(n) => *matched >= n,
                Trigger::Chance { per_mille, seed } => {
                    chosen(per_mille, seed, (operation, part), attempt)
                }
            };
            if now && found.is_none() {
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
        let mut desk = FaultInjector::new(FaultPlan::new().with(rule));
        assert_eq!(desk.next_fault(UploadPart, Some(1)), Some(refuse(503)));
        assert_eq!(desk.next_fault(UploadPart, Some(2)), Some(refuse(503)));
        assert_eq!(desk.next_fault(UploadPart, Some(1)), None);
        assert_eq!(desk.next_fault(GetObject, None), None);
    }

    #[test]
    fn requests_are_counted_over_all_parts() {
        let rule = FaultRule::on(UploadPart, refuse(500)).when(Trigger::Request(3));
        let mut desk = FaultInjector::new(FaultPlan::new().with(rule));
        let met: Vec<bool> =
            (1..=4).map(|n| desk.next_fault(UploadPart, Some(n)).is_some()).collect();
        assert_eq!(met, [false, false, true, false]);
    }

    #[test]
    fn the_first_matching_rule_decides_and_one_part_can_be_meant() {
        let plan = FaultPlan::new()
            .with(FaultRule::on(UploadPart, refuse(500)).part(2))
            .with(FaultRule::any(refuse(429)).when(Trigger::Attempt(2)));
        let mut desk = FaultInjector::new(plan);
        assert_eq!(desk.next_fault(UploadPart, Some(2)), Some(refuse(500)));
        assert_eq!(desk.next_fault(UploadPart, Some(1)), None);
        assert_eq!(desk.next_fault(UploadPart, Some(1)), Some(refuse(429)));
    }

    #[test]
    fn a_chance_has_its_rate_and_its_choice_does_not_depend_on_the_order_of_arrival() {
        let desk = || FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(70, 17)));
        let mut forwards = desk();
        let met: Vec<bool> =
            (1..=10_000).map(|n| forwards.next_fault(UploadPart, Some(n)).is_some()).collect();
        let hits = met.iter().filter(|met| **met).count();
        assert!((600..800).contains(&hits), "{hits} of 10,000");
        let mut backwards = desk();
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
    fn a_spurious_404_of_every_operation_leaves_alone_what_names_no_bucket() {
        let mut desk = FaultInjector::new(FaultPlan::new().with(FaultRule::spurious(1000, 0)));
        assert_eq!(desk.next_fault(Operation::GetNamespace, None), None);
        assert_eq!(desk.next_fault(Operation::RefreshToken, None), None);
        assert_eq!(desk.next_fault(Operation::HeadObject, None), Some(Fault::SpuriousNotFound));
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
