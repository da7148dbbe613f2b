//! The options on the properties of the object: tier, headers, metadata, encryption.
//!
//! Owns the guess of the content type by name. Must not read a file. Invariant: every text in the
//! result is valid as the value of a header, except that metadata and the disposition need not be
//! ASCII.

use std::path::PathBuf;

use super::args::PutArgs;
use super::service::path;
use super::value;
use crate::cli::Environment;
use crate::cli::command::ObjectSettings;
use proto::error::Error;
use proto::metadata;

const TIERS: [(&str, &str); 3] =
    [("Standard", "Standard"), ("InfrequentAccess", "InfrequentAccess"), ("Archive", "Archive")];

/// Parses the properties; `name` is the file name for `--content-type auto`, or empty where it is not
/// known yet. Fails at the first
/// malformed value or contradiction.
pub(crate) fn settings(
    put: &PutArgs,
    name: &str,
    environment: &Environment,
) -> Result<ObjectSettings, Error> {
    let (metadata, metadata_file) = metadata(put.metadata.as_deref(), environment)?;
    if put.encryption_key_file.is_some() && put.opc_sse_kms_key_id.is_some() {
        return Err(Error::usage(
            "--encryption-key-file and --opc-sse-kms-key-id contradict each other",
        )
        .with_hint("an object is encrypted with your own key or with one of the Vault, not both"));
    }
    let content_type = match put.content_type.as_deref() {
        Some(auto) if auto.eq_ignore_ascii_case("auto") => {
            guess_content_type(name).map(str::to_owned)
        }
        given => value::header("--content-type", given)?,
    };
    let auto = |text: &str| text.eq_ignore_ascii_case("auto");
    Ok(ObjectSettings {
        guess_content_type: name.is_empty() && put.content_type.as_deref().is_some_and(auto),
        storage_tier: value::choice("--storage-tier", put.storage_tier.as_deref(), &TIERS)?
            .map(str::to_owned),
        content_type,
        content_encoding: value::header("--content-encoding", put.content_encoding.as_deref())?,
        content_language: value::header("--content-language", put.content_language.as_deref())?,
        content_disposition: value::text(
            "--content-disposition",
            put.content_disposition.as_deref(),
        )?,
        cache_control: value::header("--cache-control", put.cache_control.as_deref())?,
        metadata,
        metadata_file,
        encryption_key_file: path(environment, put.encryption_key_file.as_deref()),
        kms_key_id: value::header("--opc-sse-kms-key-id", put.opc_sse_kms_key_id.as_deref())?,
    })
}

/// The metadata in `--metadata`, or the path of a file with them. As in the OCI CLI, a leading `~`
/// and variables in `file://PATH` are expanded.
fn metadata(text: Option<&str>, environment: &Environment) -> Result<Metadata, Error> {
    let Some(text) = text else { return Ok((Vec::new(), None)) };
    match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("file://") => {
            let path = environment.with_variables(&text[7..]);
            if path.is_empty() {
                return Err(Error::usage("--metadata file:// names no file"));
            }
            Ok((Vec::new(), Some(environment.expand(&path))))
        }
        _ => Ok((metadata::parse(text)?, None)),
    }
}

type Metadata = (metadata::Pairs, Option<PathBuf>);

/// The media type by the extension of a file name: first the formats that are commonly streamed,
/// then a table of all registered types. `None` leaves the service's default,
/// application/octet-stream.
pub(crate) fn guess_content_type(name: &str) -> Option<&'static str> {
    let file = name.rsplit('/').next()?.to_ascii_lowercase();
    let (stem, extension) = file.rsplit_once('.')?;
    Some(match extension {
        "gz" | "zst" | "xz" | "bz2" if stem.ends_with(".tar") => "application/x-tar",
        "tar" | "tgz" | "tbz2" | "txz" | "tzst" => "application/x-tar",
        "gz" => "application/gzip",
        "zst" => "application/zstd",
        "xz" => "application/x-xz",
        "bz2" => "application/x-bzip2",
        "sql" => "application/sql",
        "yaml" | "yml" => "application/yaml",
        "jsonl" | "ndjson" => "application/x-ndjson",
        _ => {
            let known = mime_guess::from_ext(extension).first_raw();
            return known.filter(|media| *media != "application/octet-stream");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_guessed_from_the_name_only() {
        assert_eq!(guess_content_type("a/b.tar"), Some("application/x-tar"));
        assert_eq!(guess_content_type("a.b/c"), None);
        assert_eq!(guess_content_type("x.SQL.GZ"), Some("application/gzip"));
        assert_eq!(guess_content_type("mydb.nosuch"), None);
        assert_eq!(guess_content_type("mydb"), None);
    }

    #[test]
    fn common_files_have_the_type_that_the_oci_cli_gives_them() {
        // The types are those of Python's mimetypes, which the OCI CLI uses.
        for (name, media) in [
            ("a.tar.gz", "application/x-tar"),
            ("a.tar.xz", "application/x-tar"),
            ("a.tgz", "application/x-tar"),
            ("a.zst", "application/zstd"),
            ("a.zip", "application/zip"),
            ("a.7z", "application/x-7z-compressed"),
            ("a.pdf", "application/pdf"),
            ("a.json", "application/json"),
            ("a.sql", "application/sql"),
            ("a.csv", "text/csv"),
            ("a.txt", "text/plain"),
            ("a.html", "text/html"),
            ("a.css", "text/css"),
            ("a.svg", "image/svg+xml"),
            ("a.PNG", "image/png"),
            ("a.jpeg", "image/jpeg"),
            ("a.webp", "image/webp"),
            ("a.gif", "image/gif"),
            ("a.tiff", "image/tiff"),
            ("a.mp3", "audio/mpeg"),
            ("a.mp4", "video/mp4"),
            ("a.webm", "video/webm"),
            ("a.mov", "video/quicktime"),
            ("a.wasm", "application/wasm"),
            ("a.doc", "application/msword"),
            ("a.xls", "application/vnd.ms-excel"),
            ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ] {
            assert_eq!(guess_content_type(name), Some(media), "{name}");
        }
    }
}
