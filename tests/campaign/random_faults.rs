//! The fault rules of the campaign, at random.
//!
//! Of the results it knows only which faults are transient. Invariant: the same generator gives the
//! same rules.

use emulator::Operation::{self, *};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};

/// One of these, at random.
pub fn pick<'a, T>(d: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[d.usize(..from.len())]
}

/// A fault by which a part, a commit or a put takes effect after the program has checked for it or
/// sent it again.
pub fn late(d: &mut fastrand::Rng) -> FaultRule {
    let (operation, after) = *pick(
        d,
        &[
            (UploadPart, None),
            (UploadPart, Some(CommitMultipartUpload)),
            (CommitMultipartUpload, None),
            (CommitMultipartUpload, Some(HeadObject)),
            (CommitMultipartUpload, Some(ListMultipartUploadParts)),
            (PutObject, Some(HeadObject)),
        ],
    );
    let action =
        if d.bool() { Fault::LateLanding { after } } else { Fault::SilentLateLanding { after } };
    FaultRule::on(operation, action).when(Trigger::Attempt(1 + d.u64(..2)))
}

const OPERATIONS: [Operation; 14] = [
    UploadPart,
    UploadPart,
    UploadPart,
    CommitMultipartUpload,
    CommitMultipartUpload,
    PutObject,
    PutObject,
    CreateMultipartUpload,
    HeadObject,
    HeadObject,
    ListMultipartUploadParts,
    ListMultipartUploads,
    AbortMultipartUpload,
    GetNamespace,
];

/// A fault rule; a mild one has a transient fault only.
pub fn rule(d: &mut fastrand::Rng, mild: bool, length: usize, part_size: usize) -> FaultRule {
    let operation = *pick(d, &OPERATIONS);
    let harsh = !mild && d.u32(..5) == 0;
    let action =
        if harsh { harsh_fault(d, operation) } else { transient_fault(d, operation, part_size) };
    let mut rule = FaultRule::on(operation, action);
    if operation == UploadPart && d.bool() {
        rule = rule.part(1 + d.u32(..(length.div_ceil(part_size) as u32).max(1)));
    }
    rule.when(match d.u32(..8) {
        0..=1 => Trigger::Attempt(1 + d.u64(..3)),
        2..=3 => Trigger::First(1 + d.u64(..2)),
        4..=5 => Trigger::Request(1 + d.u64(..4)),
        6 => Trigger::Requests(1 + d.u64(..4)),
        _ if mild => Trigger::Request(1),
        _ => Trigger::Every,
    })
}

/// A fault that is transient unless it is injected forever.
fn transient_fault(d: &mut fastrand::Rng, operation: Operation, part_size: usize) -> Fault {
    let part_size = part_size as u64;
    let streams = operation.streams_its_body();
    match d.u32(..22) {
        0 => Fault::Refuse(FaultResponse::status(503)),
        1 => Fault::Refuse(FaultResponse::status(429).retry_after("1")),
        // A response to HEAD has no code, and a 409 without a code is not retried.
        2 if operation == HeadObject => {
            Fault::Refuse(FaultResponse::status(*pick(d, &[500, 502, 504])))
        }
        2 => Fault::Refuse(FaultResponse::status(*pick(d, &[500, 502, 504, 409, 408]))),
        3 => Fault::Early(FaultResponse::status(*pick(d, &[503, 429, 500]))),
        4 => Fault::EarlyReset(FaultResponse::status(503)),
        5 => Fault::Delay(d.u64(..500)),
        6 => Fault::ResetBeforeBody,
        7 | 8 => Fault::LoseAnswer,
        9 => Fault::StallAnswer { ms: Some(d.u64(..1500)) },
        10 => Fault::StallAnswer { ms: None },
        11 => Fault::Truncate(d.u64(..400)),
        12 => Fault::Garbage("\u{1}what is this\r\n\r\n".to_owned()),
        13 => Fault::Html { status: *pick(d, &[200, 403, 502, 504]) },
        // During the preflight rejected credentials end the run.
        14 if ![GetNamespace, HeadObject].contains(&operation) => {
            Fault::Refuse(FaultResponse::status(401))
        }
        15 if ![GetNamespace, HeadObject].contains(&operation) => Fault::RevokeToken,
        16 => Fault::MoveClock(*pick(d, &[-600, -400, 400, 600])),
        17 if streams => Fault::ResetInBody(d.u64(..part_size)),
        18 if streams => Fault::StallBody { bytes: d.u64(..part_size), ms: None },
        19 if streams => Fault::StallBody { bytes: d.u64(..part_size), ms: Some(d.u64(..1500)) },
        20 if operation == UploadPart => Fault::LateLanding { after: None },
        21 if streams => Fault::Refuse(FaultResponse::status(400).code("UnmatchedContentSHA256")),
        _ => Fault::ResetBeforeBody,
    }
}

/// A fault that may end a run.
fn harsh_fault(d: &mut fastrand::Rng, operation: Operation) -> Fault {
    match d.u32(..10) {
        0 => Fault::WrongChecksum,
        1 if operation == UploadPart => Fault::CorruptPart,
        2 if operation == CommitMultipartUpload => Fault::SwapParts(1, 2),
        3 if operation == CommitMultipartUpload => Fault::DropPart(1 + d.u32(..2)),
        4 if operation == CommitMultipartUpload => Fault::NothingStored,
        5 => Fault::MissingChecksum,
        6 => Fault::LateLanding { after: None },
        7 => Fault::MoveClock(*pick(d, &[-7200, 7200])),
        8 => Fault::Refuse(FaultResponse::status(*pick(d, &[400, 404]))),
        _ => Fault::Refuse(FaultResponse::status(403)),
    }
}
