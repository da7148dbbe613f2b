//! What `--debug` prints of parts that are cut again or recalled.
//!
//! Owns the wording. Must not know the upload. Invariant: a line has numbers and sizes of parts, and nothing of the
//! stream.

use std::time::Duration;

use proto::part_number::PartNumber;

/// The debug line of parts that are cut again.
pub(super) fn queue_split_message(first: PartNumber, sizes: &[u64]) -> String {
    let count = sizes.len();
    format!("what is read and not sent is cut into {count} parts from number {first} on")
}

/// The debug line of a recall.
pub(super) fn recall_message(first: Option<PartNumber>) -> String {
    match first {
        Some(first) => format!("the requests of the parts from number {first} on were cancelled"),
        None => "no request was cancelled: their bodies were sent".to_owned(),
    }
}

/// The debug line of a tail split.
pub(super) fn tail_split_message(first: PartNumber, sizes: &[u64], saves: Duration) -> String {
    format!(
        "the stream has ended: what is left is sent as {} parts from number {first} on, which saves \
         about {:.1} s",
        sizes.len(),
        saves.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_number_of_parts_and_the_first_of_them() {
        let first = PartNumber::new(7).unwrap();
        assert_eq!(
            queue_split_message(first, &[1, 2, 3]),
            "what is read and not sent is cut into 3 parts from number 7 on"
        );
        assert_eq!(
            recall_message(Some(first)),
            "the requests of the parts from number 7 on were cancelled"
        );
        assert_eq!(recall_message(None), "no request was cancelled: their bodies were sent");
        assert_eq!(
            tail_split_message(first, &[5, 4], Duration::from_millis(1250)),
            "the stream has ended: what is left is sent as 2 parts from number 7 on, which saves about \
             1.2 s"
        );
    }
}
