//! The layouts that an object of a given size may have, if it was stored with default options.
//!
//! Owns the default part sizes of ocipipe, the OCI CLI, rclone and the TypeScript SDK, and the choice of
//! at most four layouts that fit an object. Must not know digests. Invariant: each layout has the size
//! and, where it is known, the number of parts of the object, and occurs once.
//!
//! Verified with the OCI CLI 3.95.1 (Python SDK 2.189.0), rclone 1.75.2 and the TypeScript SDK 2.142.1:
//!
//! - OCI CLI, file: 128 MiB; where that gives more than 10,000 parts, the least whole MiB that does not.
//! - OCI CLI, stdin: 10 MiB.
//! - rclone (`chunk_size`): 5 MiB; where that gives more than 10,000 parts, about the least whole MiB
//!   that does not.
//! - TypeScript SDK (`UploadManager`): 20 MiB.

use crate::part_layout::{PartLayout, UNIT};
use crate::part_number::MAX_PARTS;
use crate::part_plan::{self, PlanInput};
use crate::units::MIB;

/// The most layouts that are tried at once: each one costs a digest of the whole stream.
pub(super) const MAX_CANDIDATES: usize = 4;

/// A client whose layouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// ocipipe.
    Ocipipe,
    /// The OCI CLI and the SDK for Python.
    OciCli,
    /// rclone.
    Rclone,
    /// The SDK for TypeScript.
    TypescriptSdk,
}

impl Client {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Client::Ocipipe => "ocipipe",
            Client::OciCli => "the OCI CLI",
            Client::Rclone => "rclone",
            Client::TypescriptSdk => "the TypeScript SDK",
        }
    }
}

/// A layout, and the client that would have chosen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LikelyLayout {
    pub layout: PartLayout,
    pub client: Client,
}

/// At most four layouts that fit an object of `bytes` bytes in `parts` parts, where the number of parts
/// is known; the likeliest first.
pub(super) fn candidates(bytes: u64, parts: Option<u32>) -> Vec<LikelyLayout> {
    let layouts = [
        (Client::Ocipipe, planned(bytes, None)),
        (Client::OciCli, oci_cli_file(bytes)),
        (Client::OciCli, PartLayout::level(bytes, 10 * MIB)),
        (Client::Rclone, rclone(bytes)),
        (Client::TypescriptSdk, PartLayout::level(bytes, 20 * MIB)),
        (Client::Ocipipe, planned(bytes, Some(bytes))),
        (Client::Ocipipe, only_whole_mib(bytes, parts)),
    ];
    let mut found: Vec<LikelyLayout> = Vec::new();
    for (client, layout) in layouts {
        let Some(layout) = layout else { continue };
        let fits = layout.bytes() == bytes && parts.is_none_or(|parts| parts == layout.parts());
        if fits && found.iter().all(|candidate| candidate.layout != layout) {
            found.push(LikelyLayout { layout, client });
        }
    }
    found.truncate(MAX_CANDIDATES);
    found
}

/// The plan of ocipipe on a machine with enough memory, for a stream or, with its size, for a file.
fn planned(bytes: u64, expected_size: Option<u64>) -> Option<PartLayout> {
    let plan = part_plan::plan(&PlanInput { expected_size, ..PlanInput::default() }).ok()?;
    plan.layout(bytes)
}

/// The plan of ocipipe where memory or an option make the parts smaller: parts of one size, where the
/// number of parts leaves only one whole number of MiB for it.
fn only_whole_mib(bytes: u64, parts: Option<u32>) -> Option<PartLayout> {
    let parts = u64::from(parts?);
    let least = bytes.div_ceil(parts.max(1)).next_multiple_of(UNIT);
    let most = bytes.checked_sub(1)?.checked_div(parts.checked_sub(1)?)? / UNIT * UNIT;
    if least == most { PartLayout::level(bytes, least) } else { None }
}

fn oci_cli_file(bytes: u64) -> Option<PartLayout> {
    const DEFAULT: u64 = 128 * MIB;
    let least = bytes.div_ceil(MAX_PARTS.into()).next_multiple_of(MIB);
    PartLayout::level(bytes, DEFAULT.max(least))
}

fn rclone(bytes: u64) -> Option<PartLayout> {
    const DEFAULT: u64 = 5 * MIB;
    let parts = u64::from(MAX_PARTS);
    if bytes <= DEFAULT * parts {
        return PartLayout::level(bytes, DEFAULT);
    }
    // rclone rounds the quotient down before it rounds up to MiB. If a part is missing then, it adds
    // 1 MiB.
    let mut size = (bytes / parts).next_multiple_of(MIB);
    if bytes / size == parts && !bytes.is_multiple_of(parts) {
        size += MIB;
    }
    PartLayout::level(bytes, size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{GIB, TIB};

    fn names(bytes: u64, parts: u32) -> Vec<(Client, u64)> {
        candidates(bytes, Some(parts))
            .into_iter()
            .map(|LikelyLayout { layout, client }| (client, layout.sizes().next().unwrap() / MIB))
            .collect()
    }

    #[test]
    fn size_and_number_of_parts_select_the_client() {
        assert_eq!(names(GIB, 8), [(Client::Ocipipe, 128)]);
        assert_eq!(names(GIB, 103), [(Client::OciCli, 10)]);
        assert_eq!(names(GIB, 205), [(Client::Rclone, 5)]);
        assert_eq!(names(GIB, 52), [(Client::TypescriptSdk, 20)]);
        assert_eq!(names(GIB, 9), []);
        // 16 MiB is the only whole number of MiB that gives 64 parts: 17 MiB gives 61.
        assert_eq!(names(GIB, 64), [(Client::Ocipipe, 16)]);
    }

    #[test]
    fn an_unknown_number_of_parts_leaves_at_most_four() {
        for bytes in [1, 5 * MIB, 300 * MIB, 40 * GIB, 200 * GIB, TIB, 10 * TIB] {
            let found = candidates(bytes, None);
            assert!(!found.is_empty() && found.len() <= MAX_CANDIDATES, "{bytes}: {found:?}");
        }
        assert_eq!(candidates(0, None).len(), 2, "no part, or one empty part");
    }

    #[test]
    fn the_layout_of_a_file_is_the_one_that_its_size_makes_ocipipe_choose() {
        // Level parts of 256 MiB; a stream of unknown length has parts that grow from 128 MiB.
        let file = LikelyLayout {
            layout: PartLayout::level(TIB, 256 * MIB).unwrap(),
            client: Client::Ocipipe,
        };
        assert_eq!(candidates(TIB, Some(4096)), std::slice::from_ref(&file));
        assert!(candidates(TIB, None).contains(&file));
    }

    #[test]
    fn each_client_has_the_name_that_its_users_know() {
        let clients = [Client::Ocipipe, Client::OciCli, Client::Rclone, Client::TypescriptSdk];
        let names = ["ocipipe", "the OCI CLI", "rclone", "the TypeScript SDK"];
        assert_eq!(clients.map(Client::name), names);
    }

    #[test]
    fn default_sizes_grow_where_10_000_parts_hold_no_more() {
        let size = |layout: Option<PartLayout>| layout.unwrap().sizes().next().unwrap() / MIB;
        assert_eq!(size(oci_cli_file(1250 * GIB)), 128);
        assert_eq!(size(oci_cli_file(1250 * GIB + 1)), 129);
        assert_eq!(size(rclone(50_000 * MIB)), 5);
        assert_eq!(size(rclone(50_000 * MIB + 1)), 6);
        // The quotient is a whole number of MiB after it was rounded down.
        assert_eq!(size(rclone(60_000 * MIB + 1)), 7);
        assert_eq!(size(rclone(60_000 * MIB)), 6);
        // The OCI CLI cannot store a longer stream from stdin, nor the TypeScript SDK.
        assert_eq!(PartLayout::level(100_000 * MIB + 1, 10 * MIB), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_layout_of_a_client_is_among_the_candidates_of_its_size_and_number(
            bytes in 1..10 * TIB,
        ) {
            let layouts = [
                planned(bytes, None),
                planned(bytes, Some(bytes)),
                oci_cli_file(bytes),
                PartLayout::level(bytes, 10 * MIB),
                rclone(bytes),
                PartLayout::level(bytes, 20 * MIB),
            ];
            for layout in layouts.into_iter().flatten() {
                prop_assert!(layout.parts() <= MAX_PARTS);
                let found = candidates(bytes, Some(layout.parts()));
                prop_assert!(found.iter().any(|candidate| candidate.layout == layout));
                prop_assert!(found.len() <= MAX_CANDIDATES);
            }
        }
    }
}
