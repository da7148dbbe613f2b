//! What the object is that is to be read, before any of it is.
//!
//! Owns the meaning of a refused look. Knows nothing of ranges. Invariant: an object is said not to
//! exist only where the service says so by its code, which a HEAD's 404 does not have.

use std::time::{Duration, Instant};

use crate::ask::{Ask, Unanswered};
use crate::error::Error;
use crate::oci::api::{Answer, Archival, CustomerKey, Held, Target, answer, request};
use crate::retry::{self, Failure, Operation, Tally, Verdict};
use crate::service::unreadable;
use crate::shell;

/// Asks what the object is. A HEAD's 404 has no code: a GET tells whether no object stands there or the
/// service has declined the one request.
pub(super) async fn head(
    ask: &Ask<'_>,
    target: &Target,
    customer_key: &Option<CustomerKey>,
) -> Result<Held, Error> {
    let Target { namespace, bucket, object } = target;
    let name = format!("oci://{bucket}@{namespace}/{object}");
    let read = |answer: &Answer| {
        Ok((answer::read_object(answer).map_err(unreadable)?, Archival::of(answer)))
    };
    let (began, mut tally) = (Instant::now(), Tally::default());
    loop {
        let request = request::head_object(target, customer_key);
        let no = match ask.ask(Operation::Head, request, read).await {
            Ok((held, Archival::Readable)) => return Ok(held),
            Ok((_, archival)) => return Err(not_readable(target, archival)),
            Err(no) => no,
        };
        if no.verdict != Some(Verdict::Hidden) {
            return Err(keyed(no, customer_key));
        }
        let request = request::get_first_byte(target, customer_key);
        match ask.ask(Operation::Get, request, |_| Ok(())).await {
            Err(Unanswered { error, verdict: Some(Verdict::Missing), .. }) => {
                return Err(Error::service(format!("{name} does not exist")).next(error.what));
            }
            Err(no) if no.verdict == Some(Verdict::Hidden) => {
                let what = format!("{name} cannot be read: {}", no.error.what);
                return Err(Error { what, ..no.error });
            }
            // Credentials, or a service that does not answer.
            Err(no) if !matches!(no.verdict, Some(Verdict::Refuse(_) | Verdict::Exists)) => {
                return Err(no.error);
            }
            // Something stands there: the 404 was not the last word.
            Ok(()) | Err(_) => {}
        }
        let now = began.elapsed();
        tally.add(now);
        if !tally.may_pass(now, true, Duration::ZERO) {
            return Err(tally.in_vain(no.error, now, true));
        }
        let pause = retry::pause(tally.count() - 1, fastrand::f64(), &no.failure);
        tokio::time::sleep(pause).await;
    }
}

/// What a refused look means where a customer's key is in play, or should be: its error has no code.
fn keyed(no: Unanswered, customer_key: &Option<CustomerKey>) -> Error {
    let Failure::Refused(refusal) = &no.failure else { return no.error };
    match (refusal.status, customer_key) {
        (400 | 403, Some(_)) => no.error.next(
            "the object may have been stored with another key than that of --encryption-key-file, \
             or a policy forbids to read it, which takes OBJECT_READ",
        ),
        (400, None) => no.error.next(
            "if the object was stored with a customer's key, give it with --encryption-key-file",
        ),
        _ => no.error,
    }
}

/// What to do about an object whose bytes are not at hand.
fn not_readable(target: &Target, archival: Archival) -> Error {
    let Target { namespace, bucket, object } = target;
    let name = format!("oci://{bucket}@{namespace}/{object}");
    if archival == Archival::Restoring {
        return Error::service(format!("{name} is archived and being restored"))
            .next("try again when it is restored, about an hour after that was asked for");
    }
    let place = format!("-bn {} --name {}", shell::word(bucket), shell::word(object));
    let restore = format!("oci os object restore -ns {} {place}", shell::word(namespace));
    Error::service(format!("{name} is archived"))
        .next(format!("restore it first, which takes about an hour, and try again: `{restore}`"))
}
