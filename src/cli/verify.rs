//! Turns the options of `verify` into a `VerifyCommand`.
//!
//! Owns the defaults and the checks of its options. Must not access a file or the service.
//! Invariant: the object is named by the options or by a receipt.

use std::path::Path;

use super::args::VerifyArgs;
use super::command::{VerifyCommand, VerifyStream};
use super::put::{RETRY_FOR, is_stdin, reject_stdin};
use super::service::{path, stall_timeout};
use super::target::RawTarget;
use super::{Environment, value};
use proto::error::Error;
use proto::object_url::ObjectUrl;

/// Builds the command. Fails at the first option that is missing, malformed or in contradiction to
/// another one.
pub(super) fn command(
    verify: &VerifyArgs,
    environment: &Environment,
) -> Result<VerifyCommand, Error> {
    if verify.receipt.is_some() && verify.uploaded_part_size.is_some() {
        return Err(Error::usage("--receipt and --uploaded-part-size contradict each other")
            .with_hint("the receipt has the sizes of the parts: leave the other out"));
    }
    if verify.receipt.as_deref() == Some("-") {
        return Err(Error::usage("--receipt -: a receipt is not read from stdin")
            .with_hint("stdin is data only: write the receipt to a file"));
    }
    let stream = match verify.file.as_deref() {
        Some(file) if is_stdin(file) => Some(VerifyStream::Stdin),
        Some(file) => path(environment, Some(file)).map(VerifyStream::File),
        None if verify.receipt.is_some() => None,
        None => Some(VerifyStream::Stdin),
    };
    for (option, file) in
        [("--receipt", &verify.receipt), ("--encryption-key-file", &verify.encryption_key_file)]
    {
        reject_stdin(option, file.as_deref().map(Path::new), "stdin")?;
    }
    let service = verify.service().resolve(environment)?;
    Ok(VerifyCommand {
        source: source(verify)?,
        stream,
        receipt: path(environment, verify.receipt.as_deref()),
        if_match: value::header("--if-match", verify.if_match.as_deref())?,
        version_id: value::header("--version-id", verify.version_id.as_deref())?,
        uploaded_part_size: value::size(
            "--uploaded-part-size",
            verify.uploaded_part_size.as_deref(),
        )?,
        encryption_key_file: path(environment, verify.encryption_key_file.as_deref()),
        restore: verify.restore,
        max_memory: value::size("--max-memory", verify.max_memory.as_deref())?,
        retry_for: value::duration_or_none("--retry-for", verify.retry_for.as_deref())?
            .unwrap_or(RETRY_FOR),
        stall_timeout: stall_timeout(verify.stall_timeout.as_deref(), &service)?,
        output: verify.output().resolve()?,
        service,
    })
}

/// The object; `None` if that of the receipt is meant.
fn source(verify: &VerifyArgs) -> Result<Option<ObjectUrl>, Error> {
    let named = !verify.source.is_empty() || verify.bucket_name.is_some() || verify.name.is_some();
    if !named && verify.receipt.is_some() && verify.namespace.is_none() {
        return Ok(None);
    }
    RawTarget::of(&verify.source, &verify.bucket_name, &verify.namespace, &verify.name)
        .object("SOURCE")
        .map(Some)
}
