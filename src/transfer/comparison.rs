//! Compares what was read of an object with what the service and the receipt report of it.
//!
//! Owns the plan of the comparison and the texts about its result. Must not know where the bytes
//! come from or go to. Invariant: a range of an object is never compared with a digest of the whole.

use proto::api::ObjectMeta;
use proto::error::Error;
use proto::object_digest::{ComparisonResult, StreamComparison, UploadedLayout, compare_receipt};
use proto::receipt::Receipt;

/// What the user knows of the upload of an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct UploadKnowledge {
    pub receipt: Option<Receipt>,
    /// Bytes of each part but the last.
    pub part_size: Option<u64>,
}

/// What a download ends with, for people.
#[derive(Debug)]
pub(crate) struct ComparisonText {
    pub text: String,
    /// The whole object was read, and nothing shows that it is what was stored.
    pub is_warning: bool,
}

/// The comparison of one download.
pub(crate) struct Comparison {
    plan: Plan,
    /// `None` where nothing is compared.
    running: Option<StreamComparison>,
}

enum Plan {
    Whole { meta: ObjectMeta, layout: UploadedLayout },
    Range,
}

impl Comparison {
    /// The comparison of the whole object. Fails with `ErrorKind::Integrity` where the object is not
    /// that of the receipt, and with `ErrorKind::Usage` where it has no parts of the given size.
    pub(crate) fn of_whole(
        meta: &ObjectMeta,
        known: &UploadKnowledge,
    ) -> Result<Comparison, Error> {
        let mut meta = meta.clone();
        let mut layout = UploadedLayout::Unknown;
        if let Some(receipt) = &known.receipt {
            if let ComparisonResult::Different(difference) = compare_receipt(receipt, &meta) {
                let difference = difference.to("the receipt");
                let what = format!("the object is not that of the receipt: {difference}");
                return Err(Error::integrity(what)
                    .with_hint("it was replaced, or the receipt is that of another object"));
            }
            let stored = receipt.object_meta();
            meta.content = meta.content.or(stored.content);
            meta.multipart = meta.multipart.or(stored.multipart);
            if let Some(sizes) = &receipt.part_sizes {
                layout = UploadedLayout::Receipt(sizes.clone());
            }
        }
        if let Some(size) = known.part_size {
            layout = UploadedLayout::PartSize(size);
        }
        let running = Some(StreamComparison::new(&meta, &layout)?);
        Ok(Comparison { plan: Plan::Whole { meta, layout }, running })
    }

    /// No comparison: the bytes are not the whole object.
    pub(crate) fn of_range() -> Comparison {
        Comparison { plan: Plan::Range, running: None }
    }

    /// Adds the next bytes of the object.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(running) = &mut self.running {
            running.update(bytes);
        }
    }

    /// Forgets all bytes. Fails as `of_whole` does.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        if let Plan::Whole { meta, layout } = &self.plan {
            self.running = Some(StreamComparison::new(meta, layout)?);
        }
        Ok(())
    }

    /// What the bytes were verified by, or why they were not compared, for people. Fails where they
    /// are not those of the object.
    pub(crate) fn finish(self) -> Result<ComparisonText, Error> {
        let Some(running) = self.running else {
            let reason = "a range was read, and digests are those of the whole object";
            return Ok(ComparisonText {
                text: format!("not compared: {reason}"),
                is_warning: false,
            });
        };
        match running.finish() {
            ComparisonResult::Equal(proof) => {
                Ok(ComparisonText { text: format!("verified by {proof}"), is_warning: false })
            }
            ComparisonResult::NotCompared(reason) => {
                Ok(ComparisonText { text: format!("not compared: {reason}"), is_warning: true })
            }
            ComparisonResult::Different(difference) => {
                Err(Error::integrity(difference.to_string()))
            }
        }
    }
}
