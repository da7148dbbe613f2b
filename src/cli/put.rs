//! Turns the options of `put` into a `PutCommand`, or into an error about the first invalid one.
//!
//! Owns which options contradict each other. Must not access a file, the clock or the service.
//! Invariant: of two options that contradict each other at most one reaches the command, and no
//! option is silently ignored.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::args::PutArgs;
use super::command::{
    ExpectedDigest, Format, Overwrite, PutCommand, PutTarget, ResumeSettings, StreamSource,
};
use super::service::{path, stall_timeout};
use super::target::RawTarget;
use super::{Environment, metrics, object, par, value};
use proto::digest::{Algorithm, Value};
use proto::error::Error;

/// The default of `--retry-for`.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(3600);

const CHECKSUMS: [(&str, Algorithm); 5] = [
    ("sha256", Algorithm::Sha256),
    ("crc32c", Algorithm::Crc32c),
    ("sha384", Algorithm::Sha384),
    ("md5", Algorithm::Md5),
    ("none", Algorithm::None),
];

/// Builds the command. Fails at the first option that is missing, malformed or in contradiction to
/// another one. `run` is the program after `--` and its arguments.
pub(super) fn command(
    put: &PutArgs,
    run: Option<Vec<OsString>>,
    environment: &Environment,
) -> Result<PutCommand, Error> {
    let source = source(put, run, environment)?;
    let default_name = match &source {
        StreamSource::File(file) => Some(base_name(file)?),
        _ => None,
    };
    let target = destination(put, default_name, environment)?;
    let local = path(environment, put.local.as_deref());
    let service = match (&target, &local) {
        (PutTarget::Par(_), _) => put.service().through_par(environment)?,
        (PutTarget::Object(url), Some(_)) => {
            url.check_path()?;
            put.service().local()?
        }
        (PutTarget::Object(_), None) => put.service().resolve(environment)?,
    };
    // The name of the source file shows the content type better than the name of the object.
    let name = match &target {
        PutTarget::Object(url) => Some(url.name.as_str()),
        PutTarget::Par(par) => par.given.name.as_deref(),
    };
    let file_name = default_name.or(name).unwrap_or_default();
    let object = object::settings(put, file_name, environment)?;
    if source == StreamSource::Stdin {
        reject_stdin("--metadata", object.metadata_file.as_deref(), "the stream")?;
        reject_stdin("--encryption-key-file", object.encryption_key_file.as_deref(), "the stream")?;
    }
    Ok(PutCommand {
        source,
        local,
        part_size: value::size_or_mebibytes("--part-size", put.part_size.as_deref())?,
        parallel: parallel(put)?,
        max_memory: value::size("--max-memory", put.max_memory.as_deref())?,
        expected_size: value::size("--expected-size", put.expected_size.as_deref())?,
        checksum: value::choice("--checksum", put.checksum.as_deref(), &CHECKSUMS)?
            .unwrap_or(Algorithm::Sha256),
        object,
        overwrite: overwrite(put)?,
        identical_ok: put.identical_ok,
        no_multipart: put.no_multipart,
        expected_digests: expected_digests(put)?,
        resume: resume(put)?,
        delete_on_mismatch: put.delete_on_mismatch,
        allow_empty: put.allow_empty,
        min_size: value::size("--min-size", put.min_size.as_deref())?,
        retry_for: value::duration_or_none("--retry-for", put.retry_for.as_deref())?
            .unwrap_or(RETRY_FOR),
        stall_timeout: stall_timeout(put.stall_timeout.as_deref(), &service)?,
        bwlimit: value::rate("--bwlimit", put.bwlimit.as_deref())?,
        expect: format(put.expect.as_deref())?,
        output: put.output().resolve()?,
        metrics: metrics::settings(put, environment)?,
        service,
        warnings: target.url().and_then(|url| slash_warning(&url.name)).into_iter().collect(),
        target,
    })
}

/// Where the object is stored: at DEST or the options in its place, or where a PAR leads to.
fn destination(
    put: &PutArgs,
    default_name: Option<&str>,
    environment: &Environment,
) -> Result<PutTarget, Error> {
    if let Some(source) = par::source(put, environment)? {
        return Ok(PutTarget::Par(par::settings(put, source, default_name)?));
    }
    let target = RawTarget::of(&put.dest, &put.bucket_name, &put.namespace, &put.name);
    Ok(PutTarget::Object(RawTarget { default_name, ..target }.object("DEST")?))
}

/// The value of `--expect`.
fn format(text: Option<&str>) -> Result<Option<Format>, Error> {
    value::choice("--expect", text, &Format::ALL.map(|format| (format.option(), format)))
}

/// A warning if the name of the object ends like that of a folder.
fn slash_warning(name: &str) -> Option<String> {
    name.ends_with('/').then(|| format!("the name {name:?} ends in a slash and is used just so"))
}

/// The source of the stream. Fails if a file and a command are both given.
fn source(
    put: &PutArgs,
    run: Option<Vec<OsString>>,
    environment: &Environment,
) -> Result<StreamSource, Error> {
    match (put.file.as_deref(), run) {
        (Some(file), Some(_)) => {
            Err(Error::usage(format!("--file {file:?} and a command behind -- are both given"))
                .with_hint("the stream comes from one of them: leave the other out"))
        }
        (None, Some(run)) => Ok(StreamSource::Command(run)),
        (None, None) => Ok(StreamSource::Stdin),
        (Some(file), None) if is_stdin(file) => Ok(StreamSource::Stdin),
        (Some(file), None) => Ok(StreamSource::File(environment.expand(file))),
    }
}

/// The paths of stdin.
const STDIN: [&str; 3] = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Whether `--file` names stdin.
pub(super) fn is_stdin(file: &str) -> bool {
    file == "-" || STDIN.contains(&file)
}

/// Fails if the file of an option is stdin, which is the stream.
pub(super) fn reject_stdin(option: &str, file: Option<&Path>, what: &str) -> Result<(), Error> {
    match file.filter(|file| STDIN.iter().any(|stdin| *file == Path::new(stdin))) {
        Some(file) => Err(Error::usage(format!("{option} {} is {what}", file.display()))
            .with_hint("give it another file: stdin is data only")),
        None => Ok(()),
    }
}

/// The name of the object if only `--file` is given, as in the OCI CLI.
fn base_name(file: &Path) -> Result<&str, Error> {
    file.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Error::usage(format!("--file {:?} has no file name in it", file.display().to_string()))
            .with_hint("write the path of a file, or - for stdin")
    })
}

/// `--if-match` with `--force` is allowed, since scripts for the OCI CLI use both (`--force`
/// suppresses its question); the stricter of the two applies. `--no-overwrite` is the default.
fn overwrite(put: &PutArgs) -> Result<Overwrite, Error> {
    if put.force && put.no_overwrite {
        return Err(Error::usage("--force and --no-overwrite contradict each other").with_hint(
            "an existing object is left alone unless one of --force, --if-match is given",
        ));
    }
    if put.force && put.identical_ok {
        return Err(Error::usage("--force and --identical-ok contradict each other").with_hint(
            "--identical-ok never replaces an object, --force always does: leave one of them out",
        ));
    }
    Ok(match value::header("--if-match", put.if_match.as_deref())? {
        Some(etag) => Overwrite::IfMatch(etag),
        None if put.force => Overwrite::Force,
        None => Overwrite::Never,
    })
}

/// The digests of `--content-md5` and the like. Fails at the first one that is malformed.
fn expected_digests(put: &PutArgs) -> Result<Vec<ExpectedDigest>, Error> {
    let options = [
        ("--content-md5", Algorithm::Md5, &put.content_md5),
        ("--opc-content-sha256", Algorithm::Sha256, &put.opc_content_sha256),
        ("--opc-content-sha384", Algorithm::Sha384, &put.opc_content_sha384),
        ("--opc-content-crc32c", Algorithm::Crc32c, &put.opc_content_crc32c),
    ];
    let given = options.into_iter().filter_map(|(option, algorithm, text)| {
        let text = text.as_deref()?;
        Some(match Value::from_base64(algorithm, text) {
            Some(value) => Ok(ExpectedDigest { option, value }),
            None => {
                let name = algorithm.name();
                let form =
                    format!("it is the base64 of the {} bytes of the {name}", algorithm.size());
                Err(value::invalid_value(option, text, form))
            }
        })
    });
    given.collect()
}

/// `--resume` and `--upload-id`. Encryption cannot be seen in the list of open uploads, so that the user
/// has to name the upload.
fn resume(put: &PutArgs) -> Result<Option<ResumeSettings>, Error> {
    let upload_id = value::header("--upload-id", put.upload_id.as_deref())?;
    if !put.resume {
        return match upload_id {
            Some(_) => Err(Error::usage("--upload-id without --resume")
                .with_hint("give --resume too: it continues the open upload with this id")),
            None => Ok(None),
        };
    }
    if put.no_multipart {
        return Err(Error::usage("--no-multipart and --resume contradict each other")
            .with_hint("one request leaves nothing to continue: leave one of them out"));
    }
    if put.local.is_some() {
        return Err(Error::usage("--local and --resume contradict each other")
            .with_hint("--local leaves no upload open: leave one of them out"));
    }
    let encryption = [
        ("--encryption-key-file", put.encryption_key_file.is_some()),
        ("--opc-sse-kms-key-id", put.opc_sse_kms_key_id.is_some()),
    ];
    if let Some((option, _)) = encryption.iter().find(|(_, given)| *given && upload_id.is_none()) {
        return Err(Error::usage(format!("--resume and {option} without --upload-id")).with_hint(
            "the list of open uploads does not show how one is encrypted: name it with --upload-id ID",
        ));
    }
    Ok(Some(ResumeSettings { upload_id }))
}

/// The value of `--parallel-upload-count`, 1 to 1000; `None` for `auto`. `--disable-parallel-uploads` is 1.
fn parallel(put: &PutArgs) -> Result<Option<u16>, Error> {
    let option = "--parallel-upload-count";
    let given = put.parallel_upload_count.as_deref();
    if put.disable_parallel_uploads {
        return match given {
            None => Ok(Some(1)),
            Some(_) => {
                let what = format!("{option} and --disable-parallel-uploads contradict each other");
                Err(Error::usage(what)
                    .with_hint("one part at a time is --disable-parallel-uploads"))
            }
        };
    }
    value::parallel(option, given)
}
