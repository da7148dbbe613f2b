//! The pre-authenticated request (PAR) that a `put` goes through.
//!
//! Owns the choice between option and variable, and the options that make no sense with a PAR. Must not
//! read the file or parse the URL. Invariant: the URL of a PAR is never an argument, and no error repeats
//! one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::PutArgs;
use super::command::{ParSettings, ParSource};
use super::service::path;
use super::target::RawTarget;
use super::{Environment, value};
use proto::error::Error;
use proto::object_url::BucketUrl;
use proto::par::{GivenNames, is_par_url};

/// The variable that holds the URL of a PAR.
pub(crate) const VARIABLE: &str = "OCIPIPE_PAR_URL";

/// Names of stdin as a file.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Fails if an argument looks like the URL of a PAR: every user of the host sees the arguments of a
/// process. The command behind `--` is no exception.
pub(crate) fn reject_urls(argv: &[OsString]) -> Result<(), Error> {
    if argv.iter().any(|arg| is_par_url(&arg.to_string_lossy())) {
        return Err(Error::usage(
            "an argument is the URL of a pre-authenticated request: other users of this host see it, and \
             the shell keeps it",
        )
        .with_hint(
            "delete that request, create another one, and write its URL into a file that only you can \
             read: --par-file PATH, or into the variable OCIPIPE_PAR_URL",
        ));
    }
    Ok(())
}

/// The source of the URL: `--par-file` before the variable, which does not count with `--local`. `None`
/// without a PAR. Fails if the file is stdin, or if there is an expiry without a PAR.
pub(crate) fn source(put: &PutArgs, environment: &Environment) -> Result<Option<ParSource>, Error> {
    if let Some(file) = put.par_file.as_deref() {
        let path = path(environment, Some(file)).unwrap_or_else(|| PathBuf::from(file));
        if STDIN.iter().any(|stdin| path == Path::new(stdin)) {
            return Err(Error::usage(format!("--par-file {file} is stdin"))
                .with_hint("give it another file: stdin is data only"));
        }
        return Ok(Some(ParSource::File(path)));
    }
    let variable = environment.var(VARIABLE).filter(|_| put.local.is_none());
    if put.par_expires.is_some() && variable.is_none() {
        return Err(Error::usage("--par-expires without a pre-authenticated request")
            .with_hint("give --par-file PATH, or set OCIPIPE_PAR_URL"));
    }
    Ok(variable.map(|url| ParSource::Variable(Zeroizing::new(url.to_owned()))))
}

/// The PAR and the names that have to be its. Fails at the first option that makes no sense with a PAR.
pub(crate) fn settings(
    put: &PutArgs,
    source: ParSource,
    default_name: Option<&str>,
) -> Result<ParSettings, Error> {
    reject_options(put, &source)?;
    Ok(ParSettings {
        source,
        expires: value::time("--par-expires", put.par_expires.as_deref())?,
        given: given_names(put, default_name)?,
    })
}

/// The names in DEST or in the options in its place.
fn given_names(put: &PutArgs, default_name: Option<&str>) -> Result<GivenNames, Error> {
    let default_name = default_name.map(str::to_owned);
    if put.dest.is_empty() {
        return Ok(GivenNames {
            bucket: put.bucket_name.clone(),
            namespace: put.namespace.clone(),
            name: put.name.clone(),
            default_name,
        });
    }
    let target = RawTarget::of(&put.dest, &put.bucket_name, &put.namespace, &put.name);
    let BucketUrl { bucket, namespace, name } = target.bucket()?;
    Ok(GivenNames { bucket: Some(bucket), namespace, name, default_name })
}

/// The options on the service that have an effect with a PAR, or none at all.
const WITH_PAR: [&str; 8] = [
    "--opc-client-request-id",
    "--cert-bundle",
    "--proxy",
    "--connection-timeout",
    "--read-timeout",
    "--output",
    "--no-retry",
    "--max-retries",
];

/// Fails if an option is given that a PAR gives no meaning.
fn reject_options(put: &PutArgs, source: &ParSource) -> Result<(), Error> {
    const ACCOUNT: &str = "a pre-authenticated request needs no account: its URL is all there is";
    const HOST: &str = "the URL of the pre-authenticated request names the host";
    const LOCAL: &str = "--local has an Object Storage of its own";
    const RESUME: &str = "a pre-authenticated request cannot list uploads or their parts";
    const IDENTICAL: &str = "a pre-authenticated request may not be able to read what is compared";
    const DELETE: &str = "a pre-authenticated request cannot delete objects";
    const TOKEN: &str = "a pre-authenticated request has no token and cannot be renewed";
    let given = [
        ("--local", put.local.is_some(), LOCAL),
        ("--resume", put.resume, RESUME),
        ("--upload-id", put.upload_id.is_some(), RESUME),
        ("--identical-ok", put.identical_ok, IDENTICAL),
        ("--delete-on-mismatch", put.delete_on_mismatch, DELETE),
    ];
    let of_transfer = given.into_iter().find(|(_, given, _)| *given);
    let of_transfer = of_transfer.map(|(option, _, reason)| (option.to_owned(), reason));
    let of_account = put.service().given().find_map(|option| {
        let reason = match option.as_str() {
            "--auth" | "--profile" | "--config-file" | "--cli-rc-file" => ACCOUNT,
            "--region" | "--endpoint" | "--realm-specific-endpoint" | "--enable-dual-stack" => HOST,
            option if WITH_PAR.contains(&option) => return None,
            _ => TOKEN,
        };
        Some((option, reason))
    });
    let Some((option, reason)) = of_transfer.or(of_account) else { return Ok(()) };
    let par = match source {
        ParSource::File(_) => "--par-file",
        ParSource::Variable(_) => VARIABLE,
    };
    Err(Error::usage(format!("{par} and {option} contradict each other"))
        .with_hint(format!("{reason}: leave one of them out")))
}
