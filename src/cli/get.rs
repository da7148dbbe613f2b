//! Turns the options of `get` into a `GetCommand`.
//!
//! Owns the defaults and the checks of its options. Must not access a file or the service.
//! Invariant: the command names exactly one object, and no option is silently ignored.

use std::path::Path;

use super::args::GetArgs;
use super::command::GetCommand;
use super::put::{RETRY_FOR, reject_stdin};
use super::service::{path, stall_timeout};
use super::target::RawTarget;
use super::{Environment, value};
use proto::byte_range::ByteRange;
use proto::error::Error;

/// The paths of stdout. Opened again, a regular file would be written from its start, or replaced.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
/// Hours for which a restored object can be read, where the user gives none.
const DEFAULT_HOURS: u32 = 24;
/// The most hours that the service takes.
const MAX_HOURS: u32 = 240;

/// Builds the command. Fails at the first option that is missing, malformed or in contradiction to
/// another one.
pub(super) fn command(get: &GetArgs, environment: &Environment) -> Result<GetCommand, Error> {
    let range = range(get)?;
    if get.receipt.is_some() && get.uploaded_part_size.is_some() {
        return Err(Error::usage("--receipt and --uploaded-part-size contradict each other")
            .with_hint("the receipt has the sizes of the parts: leave the other out"));
    }
    let names_stdout = get.file.as_deref().is_some_and(|file| STDOUT.contains(&file));
    for (option, file) in
        [("--receipt", &get.receipt), ("--encryption-key-file", &get.encryption_key_file)]
    {
        reject_stdin(option, file.as_deref().map(Path::new), "stdin")?;
    }
    let service = get.service().resolve(environment)?;
    Ok(GetCommand {
        source: RawTarget::of(&get.source, &get.bucket_name, &get.namespace, &get.name)
            .object("SOURCE")?,
        file: path(environment, get.file.as_deref().filter(|_| !names_stdout)),
        names_stdout,
        if_match: value::header("--if-match", get.if_match.as_deref())?,
        version_id: value::header("--version-id", get.version_id.as_deref())?,
        range,
        receipt: path(environment, get.receipt.as_deref()),
        uploaded_part_size: value::size("--uploaded-part-size", get.uploaded_part_size.as_deref())?,
        encryption_key_file: path(environment, get.encryption_key_file.as_deref()),
        restore: restore(get)?,
        part_size: value::size_or_mebibytes("--part-size", get.part_size.as_deref())?,
        parallel: parallel(get)?,
        max_memory: value::size("--max-memory", get.max_memory.as_deref())?,
        bwlimit: value::rate("--bwlimit", get.bwlimit.as_deref())?,
        retry_for: value::duration_or_none("--retry-for", get.retry_for.as_deref())?
            .unwrap_or(RETRY_FOR),
        stall_timeout: stall_timeout(get.stall_timeout.as_deref(), &service)?,
        output: get.output().resolve()?,
        service,
    })
}

/// The value of `--range`. Fails with an option that compares the whole.
fn range(get: &GetArgs) -> Result<Option<ByteRange>, Error> {
    let Some(text) = get.range.as_deref() else { return Ok(None) };
    let range =
        ByteRange::parse(text).map_err(|reason| value::invalid_value("--range", text, reason))?;
    let compares = [
        ("--receipt", get.receipt.is_some()),
        ("--uploaded-part-size", get.uploaded_part_size.is_some()),
    ];
    match compares.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            Err(Error::usage(format!("--range and {option} contradict each other"))
                .with_hint("only the whole object can be compared"))
        }
        None => Ok(Some(range)),
    }
}

/// The value of `--parallel-download-count`; `None` for `auto`. `--no-multipart` is 1.
fn parallel(get: &GetArgs) -> Result<Option<u16>, Error> {
    let option = "--parallel-download-count";
    match (get.no_multipart, get.parallel_download_count.as_deref()) {
        (true, Some(_)) => {
            Err(Error::usage(format!("{option} and --no-multipart contradict each other"))
                .with_hint("one request at a time is --no-multipart"))
        }
        (true, None) => Ok(Some(1)),
        (false, given) => value::parallel(option, given),
    }
}

/// The hours of `--restore`.
fn restore(get: &GetArgs) -> Result<Option<u32>, Error> {
    match (get.restore, get.hours.as_deref()) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Error::usage("--hours is given without --restore")
            .with_hint("it is how long a restored object can be read")),
        (true, None) => Ok(Some(DEFAULT_HOURS)),
        (true, Some(text)) => match text.parse::<u32>() {
            Ok(hours) if (1..=MAX_HOURS).contains(&hours) => Ok(Some(hours)),
            _ => {
                let reason = format!("it is a whole number from 1 to {MAX_HOURS}");
                Err(value::invalid_value("--hours", text, reason))
            }
        },
    }
}
