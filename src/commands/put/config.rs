//! What the transfer of a `put` needs, made from the command: object properties, upload settings
//! and the commands that messages name.
//!
//! Owns the translation from options to requests and settings. Must not send anything; the only I/O
//! is to read `--metadata file://` and `--encryption-key-file`. Invariant: every option that
//! concerns the object or the upload is translated.

use crate::cli::{ObjectSettings, Overwrite, PutCommand, StreamSource, object};
use crate::platform::small_file;
use crate::transfer::preflight::PreflightResult;
use proto::api::{ObjectLocation, Precondition, PutOptions};
use proto::error::Error;
use proto::metadata;
use proto::part_plan::PartCut;
use proto::shell;
use proto::units;
use proto::upload::{
    AutoConfig, ConflictRule, ContinuedUpload, MessageContext, ResumeConfig, TailRule,
    UploadCommand, UploadConfig, long_attempt,
};

/// The content type of an object if neither the options nor its name give one.
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Whether the end of the stream is known to be its real end, and not that of a producer which
/// failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndOfStream {
    /// By an exit status, a file or the format.
    Proven,
    Unproven,
}

/// The properties of the object of this name and the condition of its request. Fails if the file of the metadata
/// or of the encryption key cannot be read or is malformed.
pub(super) fn put_options(command: &PutCommand, name: &str) -> Result<PutOptions, Error> {
    let ObjectSettings {
        storage_tier,
        content_type,
        guess_content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        metadata_file,
        encryption_key_file,
        kms_key_id,
    } = command.object.clone();
    let metadata = match metadata_file {
        None => metadata,
        Some(file) => metadata::parse(&small_file::read("--metadata", &file)?)?,
    };
    let guessed = object::guess_content_type(name).filter(|_| guess_content_type);
    Ok(PutOptions {
        condition: match &command.overwrite {
            Overwrite::Never => Precondition::IfNoneMatch,
            Overwrite::Force => Precondition::None,
            Overwrite::IfMatch(etag) => Precondition::IfMatch(etag.clone()),
        },
        checksum: command.checksum,
        storage_tier,
        content_type: content_type
            .or_else(|| guessed.map(str::to_owned))
            .unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()),
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        customer_key: encryption_key_file
            .as_deref()
            .map(small_file::read_customer_key)
            .transpose()?,
        kms_key_id,
    })
}

/// The settings of the upload machine.
pub(super) fn upload_config(
    command: &PutCommand,
    options: &PutOptions,
    cut: &PartCut,
    preflight: &PreflightResult,
    continued: Option<ContinuedUpload>,
    end: EndOfStream,
) -> UploadConfig {
    UploadConfig {
        parallel: cut.plan().parallel.into(),
        auto: AutoConfig::of(cut),
        retry_for: command.retry_for,
        long_attempt: long_attempt(command.stall_timeout),
        checksum: command.checksum,
        allow_empty: command.allow_empty,
        min_size: command.min_size.unwrap_or(0),
        end_proven: end == EndOfStream::Proven,
        delete_on_mismatch: command.delete_on_mismatch,
        service_seen: preflight.service_seen,
        bucket: preflight.bucket,
        previous_object: preflight.previous_object.clone(),
        messages: message_context(&preflight.location, command),
        seed: fastrand::u64(..),
        tail_split: TailRule::of_parts(),
        always_multipart: !options.fits_headers(),
        expected_digests: command.expected_digests.clone(),
        single_put: command.no_multipart.then(|| cut.plan().memory()),
        conflict: ConflictRule::End,
        resume: command.resume.as_ref().map(|_| ResumeConfig { continued }),
        par: None,
    }
}

/// The names and the shell commands that messages contain.
pub(super) fn message_context(location: &ObjectLocation, command: &PutCommand) -> MessageContext {
    let ObjectLocation { namespace, bucket, object } = location;
    let options = format!(
        "--namespace {} --bucket-name {} --name {}",
        shell::shell_quote(namespace),
        shell::shell_quote(bucket),
        shell::shell_quote(object)
    );
    let (account, own) = (command.service.shell_words(), command.service.own_shell_words());
    let can_resume = command.local.is_none() && command.target.par().is_none();
    MessageContext {
        object_url: location.to_string(),
        abort_command: UploadCommand::new(
            format!("ocipipe uploads abort {options} --upload-id "),
            own.clone(),
        ),
        head_command: format!("oci os object head {options}{account}"),
        resume_command: can_resume.then(|| {
            UploadCommand::new(
                "ocipipe put --resume --upload-id ",
                format!(" {options}{own}{}", resume_options(command)),
            )
        }),
    }
}

/// The options that a run which goes on with this upload has to have too. A command behind `--` may have
/// secrets in its arguments, so that it is not repeated.
fn resume_options(command: &PutCommand) -> String {
    // Each property by its name, so that a new one cannot be left out.
    let ObjectSettings {
        storage_tier,
        content_type,
        guess_content_type: _,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        metadata_file,
        encryption_key_file,
        kms_key_id,
    } = command.object.clone();
    let checksum = command.checksum.name().to_lowercase();
    let metadata = (!metadata.is_empty()).then(|| {
        let map: serde_json::Map<_, _> =
            metadata.into_iter().map(|(name, text)| (name, text.into())).collect();
        serde_json::Value::Object(map).to_string()
    });
    let metadata_file = metadata_file.map(|path| format!("file://{}", path.display()));
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let (file, suffix) = match &command.source {
        StreamSource::File(file) => (Some(path(file)), ""),
        StreamSource::Command(_) => (None, " -- COMMAND"),
        StreamSource::Stdin => (None, ""),
    };
    let (if_match, force) = match &command.overwrite {
        Overwrite::Never => (None, ""),
        Overwrite::Force => (None, " --force"),
        Overwrite::IfMatch(etag) => (Some(etag.clone()), ""),
    };
    let options = [
        ("--file", file),
        ("--if-match", if_match),
        // What the first run would have refused is refused by this one too.
        ("--expect", command.expect.map(|format| format.option().to_owned())),
        ("--min-size", command.min_size.map(|bytes| format!("{bytes}B"))),
        ("--checksum", (checksum != "sha256").then_some(checksum)),
        ("--part-size", command.part_size.map(|bytes| format!("{}MiB", bytes / units::MIB))),
        ("--storage-tier", storage_tier),
        ("--content-type", content_type),
        ("--content-encoding", content_encoding),
        ("--content-language", content_language),
        ("--content-disposition", content_disposition),
        ("--cache-control", cache_control),
        ("--metadata", metadata.or(metadata_file)),
        ("--encryption-key-file", encryption_key_file.as_ref().map(path)),
        ("--opc-sse-kms-key-id", kms_key_id),
    ];
    let given = options.into_iter().filter_map(|(option, value)| Some((option, value?)));
    let digests = command.expected_digests.iter().map(|it| (it.option, it.value.base64()));
    let words = given.chain(digests);
    let words = words.map(|(option, value)| format!(" {option} {}", shell::shell_quote(&value)));
    let identical = if command.identical_ok { " --identical-ok" } else { "" };
    let delete = if command.delete_on_mismatch { " --delete-on-mismatch" } else { "" };
    format!("{}{force}{identical}{delete}{suffix}", words.collect::<String>())
}
