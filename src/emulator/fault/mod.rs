//! The fault plan: which requests meet which fault, as data.
//!
//! Pure. Owns the rules, and which requests a rule matches; `injector` counts requests and chooses the
//! fault, and `apply_fault`, `body` and the handlers apply it. A plan is built in Rust with `FaultPlan::new().with(..)` or read from JSON, whose names are
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
//! Invariant: a name that was in a published version keeps its meaning.

mod injector;

use super::operation::Operation;
use serde::{Deserialize, Serialize};

pub(crate) use injector::FaultInjector;

/// The fault rules of a server, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The rules; the first that chooses a request decides its fault.
    #[serde(default)]
    pub faults: Vec<FaultRule>,
}

impl FaultPlan {
    /// A plan without rules.
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
    /// Whether it matches only requests through a pre-authenticated request, or only others; `None`
    /// matches both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub par: Option<bool>,
    /// Which of the matching requests meet the fault.
    #[serde(default)]
    pub when: Trigger,
    /// The fault that the chosen requests meet.
    pub action: Fault,
}

impl FaultRule {
    /// A rule that chooses every request of an operation; `part` and `when` narrow it.
    pub fn on(operation: Operation, action: Fault) -> FaultRule {
        FaultRule { operation: Some(operation), ..FaultRule::any(action) }
    }

    /// 404 `BucketNotFound` although the bucket exists, for `per_mille` in 1,000 attempts of every
    /// operation that names a bucket.
    #[doc(hidden)]
    pub fn spurious(per_mille: u16, seed: u64) -> FaultRule {
        FaultRule::any(Fault::SpuriousNotFound).when(Trigger::Chance { per_mille, seed })
    }

    /// A rule that chooses every request; `part` and `when` narrow it.
    pub fn any(action: Fault) -> FaultRule {
        FaultRule { operation: None, part: None, par: None, when: Trigger::Every, action }
    }

    /// Narrows the rule to one part number.
    pub fn part(mut self, number: u32) -> FaultRule {
        self.part = Some(number);
        self
    }

    /// Narrows the rule to requests through a pre-authenticated request, or to others.
    pub fn par(mut self, par: bool) -> FaultRule {
        self.par = Some(par);
        self
    }

    /// Narrows the rule to the requests that the trigger chooses.
    pub fn when(mut self, when: Trigger) -> FaultRule {
        self.when = when;
        self
    }

    fn matches(&self, operation: Operation, part: Option<u32>, par: bool) -> bool {
        let operation_matches = match self.operation {
            Some(named) => named == operation,
            None => self.action != Fault::SpuriousNotFound || operation.names_a_bucket(),
        };
        let part_matches = self.part.is_none() || self.part == part;
        operation_matches && part_matches && self.par.is_none_or(|wanted| wanted == par)
    }
}

/// Which of the matching requests a rule chooses. Attempts are counted from 1 for each pair of
/// operation and part number, over all requests and whether or not they met a fault. `request`,
/// `requests` and `requests_from` count, from 1, all requests that match the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    Chance {
        /// How many of 1,000 attempts.
        per_mille: u16,
        /// The same seed chooses the same attempts.
        seed: u64,
    },
}

/// What happens to a chosen request. Unless a fault names the work, the request has no effect on
/// the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    StallBody {
        /// How many bytes are read before.
        bytes: u64,
        /// The milliseconds without reading.
        ms: Option<u64>,
    },
    /// The request is handled, and the response is sent `ms` milliseconds late; `None` never sends
    /// it.
    StallAnswer {
        /// The milliseconds until the response.
        ms: Option<u64>,
    },
    /// The request is handled, and the connection closes after this many bytes of the response,
    /// counted from its status line.
    Truncate(u64),
    /// This text in place of an HTTP response, then the connection closes.
    Garbage(String),
    /// An HTTP response with the HTML page of a proxy, without the headers of the service.
    Html {
        /// The HTTP status.
        status: u16,
    },
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
        /// The operation that the request waits for; `None` is its own, with the same part.
        #[serde(default)]
        after: Option<Operation>,
    },
    /// As `LateLanding`, but the connection stays open without a response until the client closes
    /// it.
    SilentLateLanding {
        /// The operation that the request waits for; `None` is its own, with the same part.
        #[serde(default)]
        after: Option<Operation>,
    },
    /// The token of this request is revoked before the request is authenticated.
    RevokeToken,
    /// Object Storage refuses the token of this request from now on; the auth service accepts it.
    DistrustToken,
    /// All pre-authenticated requests of the bucket are deleted before the request is authorized.
    DeletePars,
    /// Before the request is handled, an object of this text gets the name that it writes, through
    /// another client.
    StoreOther(String),
    /// The login page redirects the browser with something that belongs to no login, or not at all.
    Login(LoginFault),
    /// The server's clock moves by this many seconds before the request is authenticated.
    MoveClock(i64),
    /// 404 `BucketNotFound` with the message for a missing bucket, after the body was read. A rule
    /// without an operation matches only operations that name a bucket.
    SpuriousNotFound,
}

/// What is wrong with the redirect of the login page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFault {
    /// The token is for another key than the one in the request.
    OtherKey,
    /// The key in the token is not valid.
    WrongJwk,
    /// The token names no key.
    NoJwk,
    /// The token has expired.
    Expired,
    /// The identity token has another nonce than the request.
    OtherNonce,
    /// The identity token has no nonce.
    NoNonce,
    /// The browser is redirected to 127.0.0.1 in place of localhost.
    OtherHost,
    /// The browser is redirected with an error in place of a token.
    Denied,
    /// The browser is not redirected.
    NoRedirect,
}

/// An error response. Without a code it has the usual one of its status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultResponse {
    /// The HTTP status.
    pub status: u16,
    /// The service's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error; `None` is a general one.
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

    /// Sets the service's error code.
    pub fn code(mut self, code: &str) -> FaultResponse {
        self.code = Some(code.to_owned());
        self
    }

    /// Sets the header `retry-after`: seconds or an HTTP date.
    pub fn retry_after(mut self, value: &str) -> FaultResponse {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// The code, or the usual one of the status.
    pub(crate) fn code_or_default(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
