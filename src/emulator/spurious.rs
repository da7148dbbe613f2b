//! Counts the spurious 404s in the log of requests.
//!
//! Pure. Knows records and no fault plan. Invariant: the beginning of a run ends with the first
//! response that shows a client that the bucket exists.

use super::fault::Fault;
use super::log::Record;

/// How many 404s the fault `spurious_not_found` has made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpuriousCounts {
    /// All of them.
    pub injected: usize,
    /// Those before the first response that showed the bucket; a client cannot distinguish them
    /// from a missing bucket.
    pub at_first: usize,
}

impl SpuriousCounts {
    /// Counts among the records of one server, in the order of completion.
    pub fn among(records: &[Record]) -> SpuriousCounts {
        let count =
            |records: &[Record]| records.iter().filter(|record| is_spurious(record)).count();
        let shown = records.iter().position(shows_the_bucket).unwrap_or(records.len());
        SpuriousCounts { injected: count(records), at_first: count(&records[..shown]) }
    }
}

fn is_spurious(record: &Record) -> bool {
    record.fault == Some(Fault::SpuriousNotFound)
}

/// Whether the response proves that the bucket exists. A 404 to a HEAD has no code and proves
/// nothing, and a response that met a fault may never have arrived.
fn shows_the_bucket(record: &Record) -> bool {
    let proves = matches!(record.status, 200..400 | 412);
    proves && record.fault.is_none() && record.operation.names_a_bucket()
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::super::operation::Operation::{self, *};
    use super::*;
    use std::sync::Arc;

    fn records(requests: &[(Operation, u16, bool)]) -> Vec<Record> {
        let log = Arc::new(Log::new(None));
        for (operation, status, spurious) in requests {
            log.arrival("GET", "/n").note(|record| {
                record.operation = *operation;
                record.status = *status;
                record.fault = spurious.then_some(Fault::SpuriousNotFound);
            });
        }
        log.records()
    }

    #[test]
    fn the_beginning_ends_with_the_first_response_that_shows_the_bucket() {
        let records = records(&[
            (GetNamespace, 200, false),
            (HeadObject, 404, true),
            (HeadObject, 404, false),
            (CreateMultipartUpload, 404, true),
            (CreateMultipartUpload, 503, false),
            (CreateMultipartUpload, 200, false),
            (UploadPart, 404, true),
        ]);
        assert_eq!(SpuriousCounts::among(&records), SpuriousCounts { injected: 3, at_first: 2 });
        assert_eq!(
            SpuriousCounts::among(&records[..5]),
            SpuriousCounts { injected: 2, at_first: 2 }
        );
    }
}
