//! Suggests a known option or command for an unknown one.
//!
//! Owns the options and commands of the OCI CLI and similar tools that have another name here, and
//! the edit distance up to which a name is suggested. Must not know what an option means.
//! Invariant: a suggestion corrects a name of another tool or a typing error; a name that is merely
//! similar gets none.

/// Options of other tools that have another name here, or are not needed.
const FOREIGN_OPTION_HINTS: [(&str, &str); 34] = [
    ("-f", "write --file PATH, or --force"),
    ("-q", "write --quiet"),
    ("-v", "write --version for the version, --debug for what is sent and received"),
    ("--verbose", "write --debug for what is sent and received"),
    ("--silent", "write --quiet"),
    ("--concurrency", "write --parallel-upload-count N"),
    ("--threads", "write --parallel-upload-count N"),
    ("--timeout", "write --stall-timeout DURATION, or --retry-for DURATION"),
    ("--memory", "write --max-memory SIZE"),
    ("--limit-rate", "write --bwlimit RATE"),
    ("--rate-limit", "write --bwlimit RATE"),
    ("--multipart-download-threshold", "leave it out: long objects are read in parallel ranges"),
    ("--page", "leave it out: all pages are read"),
    ("--page-size", "leave it out: all pages are read"),
    ("--query", "leave it out: the result is JSON, which jq can filter"),
    ("--raw-output", "leave it out: the result is JSON, which jq can filter"),
    ("--overwrite", "write --force"),
    (
        "--if-none-match",
        "leave it out: an object that exists is left alone unless --force is given",
    ),
    ("--from-json", "write the options themselves"),
    ("--generate-full-command-json-input", "write the options themselves"),
    ("--generate-param-json-input", "write the options themselves"),
    ("-i", "leave it out: nothing is ever asked"),
    ("--cli-auto-prompt", "leave it out: nothing is ever asked"),
    ("--auth-purpose", "write --auth MODE"),
    ("--enable-propagation", "leave it out: no identity is propagated"),
    ("--release-info", "write --version"),
    ("--latest-version", "write --version"),
    ("--opc-meta", "write --metadata JSON"),
    ("--http-response-content-disposition", RESPONSE_HEADER),
    ("--http-response-cache-control", RESPONSE_HEADER),
    ("--http-response-content-type", RESPONSE_HEADER),
    ("--http-response-content-language", RESPONSE_HEADER),
    ("--http-response-content-encoding", RESPONSE_HEADER),
    ("--http-response-expires", RESPONSE_HEADER),
];

const RESPONSE_HEADER: &str = "leave it out: the headers of the response are not written";

const LIST: &str = "objects are listed by `oci os object list --bucket-name BUCKET`, uploads that were left open by \
                    `ocipipe uploads list`";
const STAT: &str = "write `ocipipe verify --receipt FILE` to compare an object with its receipt; `oci os object head` \
                    shows what the service reports of it";
const DELETE: &str = "objects are deleted by `oci os object delete --bucket-name BUCKET --name NAME`, open uploads by \
                      `ocipipe uploads abort`";

/// Commands of the OCI CLI and of similar tools.
const FOREIGN_COMMAND_HINTS: [(&str, &str); 20] = [
    ("os", "`oci os object put` is `ocipipe put`, `oci os multipart` is `ocipipe uploads`"),
    ("object", "`oci os object put` is `ocipipe put`, `oci os object get` is `ocipipe get`"),
    ("multipart", "`oci os multipart list` is `ocipipe uploads list`"),
    ("upload", "write `ocipipe put` to upload, `ocipipe uploads` for uploads that were left open"),
    ("cp", "write `ocipipe put` or `ocipipe get`"),
    ("copy", "write `ocipipe put` or `ocipipe get`"),
    ("rcat", "write `ocipipe put`"),
    ("download", "write `ocipipe get`"),
    ("cat", "write `ocipipe get`"),
    ("check", "write `ocipipe verify`"),
    ("compare", "write `ocipipe verify`"),
    ("list", LIST),
    ("ls", LIST),
    ("head", STAT),
    ("stat", STAT),
    ("delete", DELETE),
    ("rm", DELETE),
    ("remove", DELETE),
    ("validate", "write `ocipipe session show`: exit code 3 means that the session is not valid"),
    ("version", "write `ocipipe --version`"),
];

/// The hint for an unknown option, in the form in which it was given.
pub(super) fn option<'a>(option: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest(option, &FOREIGN_OPTION_HINTS, known)
}

/// The hint for an option that another command has, but that means something else in another tool.
pub(super) fn of_other_command(option: &str) -> Option<&'static str> {
    let found = FOREIGN_OPTION_HINTS.iter().find(|(name, _)| *name == option);
    found.map(|(_, hint)| *hint)
}

/// The hint for an unknown command.
pub(super) fn command<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest(unknown, &FOREIGN_COMMAND_HINTS, known)
}

fn suggest<'a>(
    unknown: &str,
    foreign: &[(&str, &str)],
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    if let Some((_, hint)) = foreign.iter().find(|(name, _)| *name == unknown) {
        return Some((*hint).to_owned());
    }
    nearest(unknown, known).map(|known| format!("did you mean {known}?"))
}

/// The known name that is one edit away (a letter inserted, deleted, changed, or exchanged with its
/// neighbour), or else the only known name with this prefix, or else one that is as many edits away
/// as the length of the name allows: one more for each 8 letters.
fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.trim_start_matches('-').to_ascii_lowercase();
    let wanted = plain(unknown);
    // Neither a single letter nor a name that is longer than every known one is a typing error.
    if !(2..=64).contains(&wanted.len()) {
        return None;
    }
    // Several commands share the names of options.
    let known: std::collections::BTreeSet<&str> = known.collect();
    let distance = |known: &str| strsim::osa_distance(&wanted, &plain(known));
    let nearest = known.iter().map(|known| (distance(known), *known)).min()?;
    let mut completions = known.iter().filter(|known| plain(known).starts_with(&wanted));
    match (completions.next(), completions.next()) {
        (Some(only), None) if wanted.len() > 2 && nearest.0 > 1 => Some(only),
        _ => (nearest.0 <= 1 + wanted.len() / 8).then_some(nearest.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;
    use crate::cli::argv::all_options;

    fn suggested(option: &str) -> Option<&'static str> {
        nearest(option, all_options(&args::info()).into_iter())
    }

    #[test]
    fn a_typing_error_is_corrected() {
        for (option, expected) in [
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
            assert_eq!(suggested(option), Some(expected), "{option}");
        }
    }

    #[test]
    fn a_name_that_is_merely_similar_gets_no_suggestion() {
        for option in [
            "--page",
            "--tier",
            "--mode",
            "--size",
            "--rate",
            "--fast",
            "--data",
            "--host",
            "--zone",
            "--user",
            "--json-input",
            "--zzz",
            "-n",
            "-x",
            "--content",
            "--key",
            "--etag",
            "--node",
            "--core",
        ] {
            assert_eq!(suggested(option), None, "{option}");
        }
    }

    #[test]
    fn no_known_name_has_a_hint_for_another_tool() {
        let known = all_options(&args::info());
        // Only the login has a timeout; for other commands the hint stays.
        let shared = ["--timeout"];
        let foreign = FOREIGN_OPTION_HINTS.iter().map(|(option, _)| *option);
        for option in foreign.filter(|option| !shared.contains(option)) {
            assert!(!known.contains(&option), "{option} is an option by now");
        }
        let commands: Vec<&str> = args::info().commands.iter().map(|sub| sub.name).collect();
        for (command, _) in FOREIGN_COMMAND_HINTS {
            assert!(!commands.contains(&command), "{command} is a command by now");
        }
    }

    #[test]
    fn commands_of_other_tools_lead_to_what_does_the_same() {
        for (unknown, hint) in [
            ("ls", "oci os object list"),
            ("rm", "oci os object delete"),
            ("stat", "ocipipe verify"),
            ("validate", "ocipipe session show"),
        ] {
            let found = command(unknown, ["put", "get"].into_iter()).unwrap();
            assert!(found.contains(hint), "{unknown}: {found}");
        }
    }

    #[test]
    fn every_option_that_a_hint_names_exists() {
        let known = all_options(&args::info());
        for (foreign, hint) in FOREIGN_OPTION_HINTS {
            for option in hint.split([' ', ',', ':']).filter(|option| option.starts_with("--")) {
                assert!(known.contains(&option), "{foreign}: {hint}");
            }
        }
    }
}
