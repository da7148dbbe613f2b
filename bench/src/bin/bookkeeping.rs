//! The cost of the decisions about one part, by the number of the part: the upload machine alone.
//!
//!     bookkeeping [--parts 10000]
//!
//! Feeds the machine a stream of this many parts, completes its calls, and prints a JSON line: the
//! nanoseconds per part along the upload, and the cost of the body of a commit of several lengths.
//! No byte is moved, so that a growing cost is visible.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocipipe_bench::options::Options;
use proto::api::{ObjectLocation, ObjectMeta, Precondition, RequestPayload, request};
use proto::digest::{self, Algorithm};
use proto::part_number::PartNumber;
use proto::upload::{Action, ApiCall, Event, Outcome, Upload, UploadConfig};

const PARALLEL: usize = 4;
const WINDOWS: u32 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(&["parts"], &[])?;
    let parts = options.number("parts", 10_000)? as u32;
    // The first run warms the memory.
    measure_parts(parts);
    let (windows, upload) = measure_parts(parts);
    let commits: Vec<_> = [parts / 4, parts / 2, parts].map(|count| commit(&upload, count)).into();
    println!("{}", serde_json::json!({ "parts": windows, "commits": commits }));
    Ok(())
}

/// The last part of each window with the nanoseconds per part in it; and the machine, with every
/// part acknowledged.
fn measure_parts(parts: u32) -> (Vec<(u32, f64)>, Upload) {
    let mut upload = Upload::new(UploadConfig::plain(PARALLEL));
    let body = Bytes::from_static(b"what is in a part does not matter here");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    let crc32 = digest.crc32;
    let (mut windows, mut now) = (Vec::new(), Duration::ZERO);
    let window = (parts / WINDOWS).max(1);
    let mut started_at = Instant::now();
    for part in PartNumber::all().take(parts as usize) {
        let number = part.get();
        now += Duration::from_millis(100);
        upload.handle_event(now, Event::Part { number: part, digest: digest.clone() });
        if number == 1 {
            upload.handle_event(now, Event::MultipartNeeded);
        }
        while let Some(action) = upload.poll_action() {
            let Action::StartCall(call) = action else { continue };
            let outcome = match call {
                ApiCall::Create => Outcome::Created { upload_id: "u".to_owned() },
                ApiCall::Part(number) => {
                    let etag = Some(format!("0b51d6e4-8a1f-4c5c-9f0e-{number:012}"));
                    Outcome::Stored { meta: ObjectMeta { etag, ..ObjectMeta::default() }, crc32 }
                }
                _ => continue,
            };
            upload.handle_event(now, Event::CallDone { call, result: Ok(outcome) });
        }
        if number % window == 0 {
            windows.push((number, started_at.elapsed().as_nanos() as f64 / f64::from(window)));
            started_at = Instant::now();
        }
    }
    (windows, upload)
}

/// A commit of the first `count` parts: their count, the length of the request's body in bytes, and
/// the microseconds to create it.
fn commit(upload: &Upload, count: u32) -> (u32, usize, f64) {
    let location = ObjectLocation { namespace: "n".into(), bucket: "b".into(), object: "o".into() };
    let mut best = f64::MAX;
    let mut length = 0;
    for _ in 0..20 {
        let began = Instant::now();
        let parts = upload.commit_parts().take(count as usize);
        let request = request::commit(&location, &Precondition::IfNoneMatch, "u", parts, &[]);
        best = best.min(began.elapsed().as_nanos() as f64 / 1e3);
        if let RequestPayload::Json(bytes) = &request.body {
            length = bytes.len();
        }
    }
    (count, length, best)
}
