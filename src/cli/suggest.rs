//! What somebody most likely meant who wrote a word that is not known.
//!
//! Owns the words of the OCI CLI and of its peers that are written otherwise here, and how near a
//! word has to be to be suggested. Must not know what an option means. Invariant: a suggestion is
//! either the right word for a known habit or one slip of the hand away; a word that merely looks
//! like another is not explained.

/// Options that are written otherwise here, or not needed.
const OPTIONS: [(&str, &str); 32] = [
    ("-f", "write --file PATH, or --force"),
    ("-q", "write --quiet"),
    ("-v", "write --version for the version, --debug for what is sent and received"),
    ("--verbose", "write --debug for what is sent and received"),
    ("--silent", "write --quiet"),
    ("--concurrency", "write --parallel-upload-count N"),
    ("--threads", "write --parallel-upload-count N"),
    ("--connection-timeout", "write --stall-timeout DURATION"),
    ("--read-timeout", "write --stall-timeout DURATION"),
    ("--timeout", "write --stall-timeout DURATION, or --retry-for DURATION"),
    ("--content-md5", "write --checksum md5: every part is checked by it"),
    ("--opc-checksum-algorithm", "write --checksum sha256, crc32c or sha384"),
    ("--opc-content-crc32c", "write --checksum crc32c: every part is checked by it"),
    ("--opc-content-sha256", "leave it out: every part is checked by its SHA-256"),
    ("--opc-content-sha384", "write --checksum sha384: every part is checked by it"),
    ("--disable-parallel-uploads", "write --parallel-upload-count 1"),
    ("--max-retries", "write --retry-for DURATION"),
    ("--no-retry", "write --retry-for DURATION"),
    ("--memory", "write --max-memory SIZE"),
    ("--limit-rate", "write --bwlimit RATE"),
    ("--rate-limit", "write --bwlimit RATE"),
    ("--no-multipart", "leave it out: a stream that fits one part is sent as one request"),
    ("--multipart-download-threshold", "leave it out: long objects are read in parallel ranges"),
    ("--limit", "leave it out: all uploads are listed"),
    ("--page", "leave it out: all pages are read"),
    ("--page-size", "leave it out: all pages are read"),
    ("--output", "leave it out: the result is JSON"),
    ("--query", "leave it out: the result is JSON, which jq can filter"),
    ("--raw-output", "leave it out: the result is JSON, which jq can filter"),
    ("--overwrite", "write --force"),
    (
        "--if-none-match",
        "leave it out: an object that exists is left alone unless --force is given",
    ),
    ("--from-json", "write the options themselves"),
];

/// Commands of the OCI CLI and of its peers.
const COMMANDS: [(&str, &str); 11] = [
    ("os", "`oci os object put` is `ocipipe put`, `oci os multipart` is `ocipipe uploads`"),
    ("object", "`oci os object put` is `ocipipe put`, `oci os object get` is `ocipipe get`"),
    ("multipart", "`oci os multipart list` is `ocipipe uploads list`"),
    ("upload", "write `ocipipe put` to upload, `ocipipe uploads` for uploads that were left open"),
    ("cp", "write `ocipipe put` or `ocipipe get`"),
    ("copy", "write `ocipipe put` or `ocipipe get`"),
    ("rcat", "write `ocipipe put`"),
    ("download", "write `ocipipe get`"),
    ("cat", "write `ocipipe get`"),
    ("list", "write `ocipipe uploads list` for uploads that were left open"),
    ("version", "write `ocipipe --version`"),
];

/// The hint for an unknown option, as it was written.
pub fn option<'a>(spelt: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest(spelt, &OPTIONS, known)
}

/// The hint for an unknown command.
pub fn command<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest(word, &COMMANDS, known)
}

fn suggest<'a>(
    word: &str,
    elsewhere: &[(&str, &str)],
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    if let Some((_, hint)) = elsewhere.iter().find(|(habit, _)| *habit == word) {
        return Some((*hint).to_owned());
    }
    nearest(word, known).map(|near| format!("did you mean {near}?"))
}

/// The known word that was most likely meant: one slip away (a letter left out, added, changed, or
/// exchanged with its neighbour), or else the only one that begins so, or else one that is two slips
/// away or three, if the word is as long as that.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.trim_start_matches('-').to_ascii_lowercase();
    let wanted = plain(word);
    // A single letter, and what is longer than any word here, was no slip.
    if !(2..=64).contains(&wanted.len()) {
        return None;
    }
    // Several commands have options of the same name.
    let known: std::collections::BTreeSet<&str> = known.collect();
    let slips = |known: &str| strsim::osa_distance(&wanted, &plain(known));
    let nearest = known.iter().map(|known| (slips(known), *known)).min()?;
    let mut begun = known.iter().filter(|known| plain(known).starts_with(&wanted));
    match (begun.next(), begun.next()) {
        (Some(only), None) if wanted.len() > 2 && nearest.0 > 1 => Some(only),
        _ => (nearest.0 <= 1 + wanted.len() / 8).then_some(nearest.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;
    use argh::CommandInfoWithArgs;

    fn every(info: &CommandInfoWithArgs) -> Vec<&'static str> {
        let mut all: Vec<&str> = info.flags.iter().map(|flag| flag.long).collect();
        info.commands.iter().for_each(|sub| all.extend(every(&sub.command)));
        all
    }

    fn suggested(spelt: &str) -> Option<&'static str> {
        nearest(spelt, every(&args::info()).into_iter())
    }

    #[test]
    fn a_slip_of_the_hand_is_seen() {
        for (slip, meant) in [
            ("--prat-size", "--part-size"),
            ("--partsize", "--part-size"),
            ("--part_size", "--part-size"),
            ("-part-size", "--part-size"),
            ("--nmae", "--name"),
            ("--names", "--name"),
            ("--fiel", "--file"),
            ("--forse", "--force"),
            ("--quite", "--quiet"),
            ("--porfile", "--profile"),
            ("--metdata", "--metadata"),
            ("--Profile", "--profile"),
            ("--chekcsum", "--checksum"),
            ("--paralell-uplaod-count", "--parallel-upload-count"),
            ("--content-encodnig", "--content-encoding"),
            ("--bucket", "--bucket-name"),
            ("--expected", "--expected-size"),
            ("--meta", "--metadata"),
        ] {
            assert_eq!(suggested(slip), Some(meant), "{slip}");
        }
    }

    #[test]
    fn a_word_that_merely_looks_like_another_is_not_explained() {
        for word in [
            "--page",
            "--time",
            "--tier",
            "--mode",
            "--size",
            "--rate",
            "--fast",
            "--data",
            "--host",
            "--limit",
            "--zone",
            "--user",
            "--json-input",
            "--zzz",
            "-n",
            "-x",
            "--content",
            "--version-id",
            "--key",
            "--etag",
            "--node",
            "--core",
        ] {
            assert_eq!(suggested(word), None, "{word}");
        }
    }

    #[test]
    fn no_word_that_is_known_here_is_explained_away() {
        let known = every(&args::info());
        for (option, _) in OPTIONS {
            assert!(!known.contains(&option), "{option} is an option by now");
        }
        let commands: Vec<&str> = args::info().commands.iter().map(|sub| sub.name).collect();
        for (command, _) in COMMANDS {
            assert!(!commands.contains(&command), "{command} is a command by now");
        }
    }

    #[test]
    fn every_option_that_a_hint_names_exists() {
        let known = every(&args::info());
        for (option, hint) in OPTIONS {
            for word in hint.split([' ', ',', ':']).filter(|word| word.starts_with("--")) {
                assert!(known.contains(&word), "{option}: {hint}");
            }
        }
    }
}
