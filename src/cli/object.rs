//! What the object shall be besides its bytes: tier, headers, metadata, encryption.
//!
//! Must not read a file. Invariant: every text in the result is safe as a header's value, every name
//! of the metadata as part of a header's name.

use serde_json::Value;

use super::args::Put;
use super::service::path;
use super::value;
use crate::cli::Environment;
use crate::cli::command::ObjectSettings;
use crate::error::Error;

const TIERS: [(&str, &str); 3] =
    [("Standard", "Standard"), ("InfrequentAccess", "InfrequentAccess"), ("Archive", "Archive")];

/// Checks the settings of `put` for the object called `name`.
pub fn settings(put: &Put, name: &str, environment: &Environment) -> Result<ObjectSettings, Error> {
    if put.encryption_key_file.is_some() && put.opc_sse_kms_key_id.is_some() {
        return Err(Error::usage(
            "--encryption-key-file and --opc-sse-kms-key-id contradict each other",
        )
        .next("an object is encrypted with your own key or with one of the Vault, not both"));
    }
    let content_type = match put.content_type.as_deref() {
        Some(auto) if auto.eq_ignore_ascii_case("auto") => guess(name).map(str::to_owned),
        given => value::header("--content-type", given)?,
    };
    Ok(ObjectSettings {
        storage_tier: value::choice("--storage-tier", put.storage_tier.as_deref(), &TIERS)?
            .map(str::to_owned),
        content_type,
        content_encoding: value::header("--content-encoding", put.content_encoding.as_deref())?,
        content_language: value::header("--content-language", put.content_language.as_deref())?,
        content_disposition: value::header(
            "--content-disposition",
            put.content_disposition.as_deref(),
        )?,
        cache_control: value::header("--cache-control", put.cache_control.as_deref())?,
        metadata: put.metadata.as_deref().map(metadata).transpose()?.unwrap_or_default(),
        encryption_key_file: path(environment, put.encryption_key_file.as_deref()),
        kms_key_id: value::header("--opc-sse-kms-key-id", put.opc_sse_kms_key_id.as_deref())?,
    })
}

/// Reads `--metadata`: a JSON map of header-safe names, without `opc-meta-`, to header-safe texts.
pub fn metadata(json: &str) -> Result<Vec<(String, String)>, Error> {
    let form = "write a JSON map of texts, such as --metadata '{\"host\": \"db1\"}'";
    if json.starts_with("file://") {
        return Err(Error::usage("--metadata does not read files")
            .next("let the shell do it: --metadata \"$(cat FILE)\""));
    }
    let value: Value = serde_json::from_str(json)
        .map_err(|fault| Error::usage(format!("--metadata is not JSON: {fault}")).next(form))?;
    let Value::Object(map) = value else {
        return Err(Error::usage("--metadata is JSON, but not a map").next(form));
    };
    let mut pairs: Vec<(String, String)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        let Value::String(value) = value else {
            return Err(Error::usage(format!("--metadata: the value of {name:?} is not a text"))
                .next("put it in quotes: names and values are texts"));
        };
        check_name(&name)?;
        if let Some(fault) = value::header_fault(&value) {
            return Err(Error::usage(format!("--metadata: the value of {name:?}: {fault}")));
        }
        // Header names have no case: the service would keep one of the two, nobody knows which.
        if pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(Error::usage(format!("--metadata has {name:?} twice")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.get(..9).is_some_and(|prefix| prefix.eq_ignore_ascii_case("opc-meta-")) {
        return Err(Error::usage(format!("--metadata: {name:?} begins with opc-meta-"))
            .next(format!("that is added to every name: write {:?}", &name[9..])));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return Err(Error::usage(format!(
            "--metadata: {name:?} cannot be part of a header's name"
        ))
        .next("use letters, digits, - and _"));
    }
    Ok(())
}

/// The media type of what is commonly streamed, by the end of the name; the service's own default
/// (application/octet-stream) for everything else.
fn guess(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "tar" | "tgz" | "tbz2" | "txz" => "application/x-tar",
        "gz" => "application/gzip",
        "zst" => "application/zstd",
        "xz" => "application/x-xz",
        "bz2" => "application/x-bzip2",
        "zip" => "application/zip",
        "sql" => "application/sql",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "txt" | "log" => "text/plain",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "mp4" => "video/mp4",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_a_map_of_texts_that_fit_a_header() {
        let pairs = metadata(r#"{"host": "db1", "Pg_Version": "17.2 (x)", "empty": ""}"#).unwrap();
        let want = [("Pg_Version", "17.2 (x)"), ("empty", ""), ("host", "db1")];
        assert_eq!(pairs, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(metadata("{}"), Ok(vec![]));
        for (json, fragment) in [
            ("host=db1", "is not JSON"),
            ("", "is not JSON"),
            ("[]", "not a map"),
            ("\"a\"", "not a map"),
            (r#"{"a": 1}"#, "the value of \"a\" is not a text"),
            (r#"{"a": null}"#, "is not a text"),
            (r#"{"a": {"b": "c"}}"#, "is not a text"),
            (r#"{"a b": "c"}"#, "cannot be part of a header's name"),
            (r#"{"": "c"}"#, "cannot be part of a header's name"),
            (r#"{"a:": "c"}"#, "cannot be part of a header's name"),
            (r#"{"opc-meta-a": "c"}"#, "write \"a\""),
            (r#"{"a": "x\r\nb: c"}"#, "only printable ASCII"),
            (r#"{"a": "\u00fc"}"#, "only printable ASCII"),
            (r#"{"a": " x"}"#, "cannot begin or end with a blank"),
            (r#"{"a": "x", "A": "y"}"#, "twice"),
            ("file://meta.json", "does not read files"),
        ] {
            let error = metadata(json).unwrap_err();
            assert!(error.to_string().contains(fragment), "{json}: {error}");
            assert_eq!(error.kind.exit_code(), 2);
        }
    }

    #[test]
    fn a_media_type_is_guessed_from_the_name_only() {
        assert_eq!(guess("a/b.tar"), Some("application/x-tar"));
        assert_eq!(guess("a.b/c"), None);
        assert_eq!(guess("x.SQL.GZ"), Some("application/gzip"));
        assert_eq!(guess("mydb.dump"), None);
    }
}
