//! What came of spurious 404s, told from the log of requests.
//!
//! Pure. Knows records and no plan. Invariant: what it calls the beginning ends with the first answer
//! that shows a client that the bucket is there.

use super::log::Record;

/// The 404s that `Action::SpuriousNotFound` has made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpuriousCounts {
    pub injected: usize,
    /// So many of them came before any answer that showed the bucket. A client that saw nothing else
    /// cannot tell them from a bucket that is missing.
    pub at_first: usize,
}

impl SpuriousCounts {
    pub fn among(records: &[Record]) -> SpuriousCounts {
        let of = |records: &[Record]| records.iter().filter(|record| is_spurious(record)).count();
        let shown = records.iter().position(shows_the_bucket).unwrap_or(records.len());
        SpuriousCounts { injected: of(records), at_first: of(&records[..shown]) }
    }
}

fn is_spurious(record: &Record) -> bool {
    record.fault.as_deref() == Some("SpuriousNotFound")
}

/// A 404 to a HEAD has no code and tells nothing, and an answer that met a fault may never have come.
fn shows_the_bucket(record: &Record) -> bool {
    let told = matches!(record.status, 200..400 | 412);
    told && record.fault.is_none() && record.operation.names_a_bucket()
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::super::route::Operation::{self, *};
    use super::*;
    use std::sync::Arc;

    fn records(requests: &[(Operation, u16, bool)]) -> Vec<Record> {
        let log = Arc::new(Log::new(None));
        for (operation, status, spurious) in requests {
            log.arrival("GET", "/n", false).note(|record| {
                record.operation = *operation;
                record.status = *status;
                record.fault = spurious.then(|| "SpuriousNotFound".to_owned());
            });
        }
        log.records()
    }

    #[test]
    fn the_beginning_ends_with_the_first_answer_that_shows_the_bucket() {
        let seen = records(&[
            (GetNamespace, 200, false),
            (HeadObject, 404, true),
            (HeadObject, 404, false),
            (CreateMultipartUpload, 404, true),
            (CreateMultipartUpload, 503, false),
            (CreateMultipartUpload, 200, false),
            (UploadPart, 404, true),
        ]);
        assert_eq!(SpuriousCounts::among(&seen), SpuriousCounts { injected: 3, at_first: 2 });
        assert_eq!(SpuriousCounts::among(&seen[..5]), SpuriousCounts { injected: 2, at_first: 2 });
    }
}
