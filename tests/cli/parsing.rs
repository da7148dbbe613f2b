//! Promises of the command line: what is accepted, and the resulting command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ocipipe::internals::auth::options::AuthMode;
use ocipipe::internals::cli::{
    self, Command, Environment, Format, GetCommand, Overwrite, ProgressMode, PutCommand,
    SessionAction, Shell, StreamSource, UploadsAction, UploadsCommand, VerifyCommand, VerifyStream,
};
use proto::digest::Algorithm;
use proto::error::Error;

const MIB: u64 = 1 << 20;

pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

pub fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment::of(vars.iter().copied(), Some(PathBuf::from("/home/me")))
}

pub fn parse(line: &str) -> Result<Command, Error> {
    cli::parse(words(line), &environment(&[]))
}

pub fn put(line: &str) -> PutCommand {
    match parse(line) {
        Ok(Command::Put(put)) => *put,
        other => panic!("{line}: {other:?}"),
    }
}

fn get(line: &str) -> GetCommand {
    match parse(line) {
        Ok(Command::Get(get)) => *get,
        other => panic!("{line}: {other:?}"),
    }
}

fn verify(line: &str) -> VerifyCommand {
    match parse(line) {
        Ok(Command::Verify(verify)) => *verify,
        other => panic!("{line}: {other:?}"),
    }
}

fn uploads(line: &str) -> UploadsCommand {
    match parse(line) {
        Ok(Command::Uploads(uploads)) => *uploads,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_put_without_options_has_the_promised_defaults() {
    let put = put("put oci://backups@ax/mydb.dump");
    assert_eq!(put.target.url().unwrap().to_string(), "oci://backups@ax/mydb.dump");
    assert_eq!(put.source, StreamSource::Stdin);
    assert_eq!((put.part_size, put.parallel, put.max_memory), (None, None, None));
    assert_eq!((put.expected_size, put.min_size, put.bwlimit), (None, None, None));
    assert_eq!(put.checksum, Algorithm::Sha256);
    assert_eq!(put.overwrite, Overwrite::Never);
    assert!(!put.allow_empty && !put.delete_on_mismatch);
    assert_eq!(put.retry_for, Duration::from_secs(3600));
    assert_eq!(put.stall_timeout, Duration::from_secs(60));
    assert_eq!((put.expect, put.local, put.object), (None, None, Default::default()));
    assert_eq!(put.output, Default::default());
    assert_eq!(put.service.auth, None);
    assert!(put.warnings.is_empty());
}

#[test]
fn every_option_of_put_reaches_its_value() {
    let put = put("put oci://b/n --part-size 64 --parallel-upload-count 1000 --max-memory 1.5GiB \
         --expected-size 2T --checksum CRC32C --verify-checksum --force --delete-on-mismatch \
         --min-size 10M --retry-for 2h --stall-timeout 500ms --bwlimit 20MiB/s --expect pgdump \
         --progress json --debug --storage-tier infrequentACCESS --content-type text/plain \
         --content-encoding gzip --content-language de --content-disposition inline \
         --cache-control no-store --metadata {\"a\":\"b\"} --encryption-key-file ~/key");
    assert_eq!(put.part_size, Some(64 * MIB));
    assert_eq!(put.parallel, Some(1000));
    assert_eq!(put.max_memory, Some(1536 * MIB));
    assert_eq!(put.expected_size, Some(2048 * 1024 * MIB));
    assert_eq!(put.checksum, Algorithm::Crc32c);
    assert_eq!(put.overwrite, Overwrite::Force);
    assert!(put.delete_on_mismatch);
    assert_eq!(put.min_size, Some(10 * MIB));
    assert_eq!(put.retry_for, Duration::from_secs(7200));
    assert_eq!(put.stall_timeout, Duration::from_millis(500));
    assert_eq!(put.bwlimit, Some(20 * MIB));
    assert_eq!(put.expect, Some(Format::PgDump));
    assert_eq!((put.output.progress, put.output.debug), (ProgressMode::Json, true));
    assert_eq!(put.object.storage_tier.as_deref(), Some("InfrequentAccess"));
    assert_eq!(put.object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(put.object.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(put.object.content_language.as_deref(), Some("de"));
    assert_eq!(put.object.content_disposition.as_deref(), Some("inline"));
    assert_eq!(put.object.cache_control.as_deref(), Some("no-store"));
    assert_eq!(put.object.metadata, [("a".to_owned(), "b".to_owned())]);
    assert_eq!(put.object.encryption_key_file, Some(PathBuf::from("/home/me/key")));
}

#[test]
fn the_names_of_checksums_and_formats_are_those_promised() {
    for (name, algorithm) in [
        ("sha256", Algorithm::Sha256),
        ("crc32c", Algorithm::Crc32c),
        ("sha384", Algorithm::Sha384),
        ("md5", Algorithm::Md5),
        ("none", Algorithm::None),
    ] {
        assert_eq!(put(&format!("put oci://b/n --checksum {name}")).checksum, algorithm);
    }
    for (name, format) in [
        ("tar", Format::Tar),
        ("gzip", Format::Gzip),
        ("zstd", Format::Zstd),
        ("xz", Format::Xz),
        ("bzip2", Format::Bzip2),
        ("zip", Format::Zip),
        ("pgdump", Format::PgDump),
        ("sql", Format::Sql),
    ] {
        assert_eq!(put(&format!("put oci://b/n --expect {name}")).expect, Some(format));
    }
}

#[test]
fn the_options_of_the_oci_cli_have_the_same_meaning() {
    let put = put("--profile p put -ns ax -bn backups --name mydb.dump --file - --force \
         --part-size 128 --parallel-upload-count 8 --verify-checksum --auth security_token");
    assert_eq!(put.target.url().unwrap().to_string(), "oci://backups@ax/mydb.dump");
    assert_eq!((put.source, put.overwrite), (StreamSource::Stdin, Overwrite::Force));
    assert_eq!((put.part_size, put.parallel), (Some(128 * MIB), Some(8)));
    assert_eq!(put.service.profile.unwrap().text, "p");
    assert_eq!(put.service.auth, Some(AuthMode::SecurityToken));
}

#[test]
fn the_stream_comes_from_stdin_a_file_or_a_command() {
    assert_eq!(put("put oci://b/n --file -").source, StreamSource::Stdin);
    assert_eq!(put("put - oci://b/n").source, StreamSource::Stdin);
    for name in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        assert_eq!(put(&format!("put oci://b/n --file {name}")).source, StreamSource::Stdin);
        let verified = verify(&format!("verify oci://b/n --file {name}"));
        assert_eq!(verified.stream, Some(VerifyStream::Stdin));
    }
    assert_eq!(put("put oci://b/n --file=/x/y").source, StreamSource::File("/x/y".into()));
    let run = put("put oci://b/n -- pg_dump --file - mydb").source;
    assert_eq!(run, StreamSource::Command(words("pg_dump --file - mydb")));
}

#[test]
fn a_file_gives_the_object_its_name_where_none_is_given() {
    assert_eq!(put("put -bn b --file /x/y.dump").target.url().unwrap().name, "y.dump");
    assert_eq!(put("put -bn b --file /x/y.dump --name z").target.url().unwrap().name, "z");
    assert_eq!(put("put oci://b/n --file /x/y.dump").target.url().unwrap().name, "n");
    assert!(parse("put -bn b --file /x/..").unwrap_err().message.contains("no file name"));
}

#[test]
fn retry_for_may_be_zero() {
    assert_eq!(put("put oci://b/n --retry-for 0s").retry_for, Duration::ZERO);
    assert_eq!(uploads("uploads list oci://b --older-than 0s").older_than, Some(Duration::ZERO));
}

#[test]
fn of_several_overwrite_options_the_strictest_applies() {
    let overwrite = |options| put(&format!("put oci://b/n {options}")).overwrite;
    assert_eq!(overwrite("--no-overwrite"), Overwrite::Never);
    assert_eq!(overwrite("--if-match e"), Overwrite::IfMatch("e".to_owned()));
    assert_eq!(overwrite("--force --if-match e"), Overwrite::IfMatch("e".to_owned()));
    assert_eq!(overwrite("--force --force"), Overwrite::Force);
}

#[test]
fn a_name_that_ends_in_a_slash_is_used_as_given_with_a_warning() {
    let put = put("put oci://b/dir/");
    assert_eq!(put.target.url().unwrap().name, "dir/");
    assert_eq!(put.warnings, ["the name \"dir/\" ends in a slash and is used just so"]);
}

#[test]
fn a_content_type_may_be_guessed_from_the_name() {
    let content_type = |line| put(line).object.content_type;
    assert_eq!(content_type("put oci://b/x.tar --content-type auto").unwrap(), "application/x-tar");
    assert_eq!(content_type("put oci://b/x.dump --content-type auto"), None);
    assert_eq!(content_type("put oci://b/x.tar"), None);
}

#[test]
fn the_other_commands_reach_their_values() {
    let command = get("get oci://b/n --file /x");
    assert_eq!((command.source.to_string(), command.file), ("oci://b/n".into(), Some("/x".into())));
    assert_eq!(get("get oci://b/n").file, None);
    assert_eq!(get("get oci://b/n -").file, None);
    assert_eq!(get("get -bn b --name n --file -").file, None);

    let list = uploads("uploads list oci://b@ns");
    assert_eq!((list.action, list.place.bucket.as_str()), (UploadsAction::List, "b"));
    assert_eq!((list.place.namespace.as_deref(), list.place.name), (Some("ns"), None));
    let abort = uploads("uploads abort oci://b/n --upload-id i --older-than 1d");
    assert_eq!(abort.action, UploadsAction::Abort);
    assert_eq!(abort.place.name.as_deref(), Some("n"));
    assert_eq!(abort.upload_id.as_deref(), Some("i"));
    assert_eq!(abort.older_than, Some(Duration::from_secs(86_400)));
    assert_eq!(uploads("uploads abort -bn b --name n").place.name.as_deref(), Some("n"));
    assert_eq!(uploads("uploads abort -bn b --all").place.name, None);

    let Ok(Command::Session(show)) = parse("session show --json") else { panic!("refused") };
    assert_eq!(show.action, SessionAction::Show { json: true });
    let Ok(Command::Session(refresh)) = parse("session refresh --profile p") else { panic!() };
    assert_eq!(refresh.action, SessionAction::Refresh);

    let Ok(Command::Serve(serve)) = parse("serve --dir /d --port 9000 --token-ttl 5s") else {
        panic!("refused");
    };
    assert_eq!((serve.dir, serve.port), (PathBuf::from("/d"), 9000));
    assert_eq!(serve.token_ttl, Some(Duration::from_secs(5)));
    let Ok(Command::Serve(serve)) = parse("serve --dir d") else { panic!("refused") };
    assert_eq!((serve.port, serve.token_ttl), (0, None));
    assert_eq!((serve.oke_port, serve.faults, serve.par), (0, None, None));
    for (text, bucket, name) in [
        ("demo", "demo", None),
        ("demo/", "demo", None),
        ("demo/a/b", "demo", Some("a/b")),
        ("demo/a/", "demo", Some("a/")),
    ] {
        let Ok(Command::Serve(serve)) = parse(&format!("serve --dir d --par {text}")) else {
            panic!("refused")
        };
        let par = serve.par.unwrap();
        assert_eq!((par.bucket.as_str(), par.name.as_deref()), (bucket, name));
    }
    let Ok(Command::Serve(serve)) = parse("serve --dir d --faults f --oke-port 12250") else {
        panic!("refused")
    };
    assert_eq!((serve.faults, serve.oke_port), (Some(PathBuf::from("f")), 12250));

    for (name, shell) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
        assert!(
            matches!(parse(&format!("completions {name}")), Ok(Command::Completions(s)) if s == shell)
        );
    }
}

#[test]
fn verify_reads_stdin_unless_a_file_or_a_receipt_is_given() {
    let plain = verify("verify oci://b/n");
    assert_eq!(plain.source.unwrap().to_string(), "oci://b/n");
    assert_eq!((plain.stream, plain.receipt), (Some(VerifyStream::Stdin), None));
    assert_eq!((plain.restore, plain.uploaded_part_size, plain.max_memory), (false, None, None));
    assert_eq!(plain.retry_for, Duration::from_secs(3600));
    let file = verify("verify -bn b --name n --file /f --restore --uploaded-part-size 128MiB");
    assert_eq!(file.stream, Some(VerifyStream::File("/f".into())));
    assert_eq!((file.restore, file.uploaded_part_size), (true, Some(128 * MIB)));
    let receipt = verify("verify --receipt r.json");
    assert_eq!((receipt.stream, receipt.source), (None, None));
    assert_eq!(receipt.receipt, Some(PathBuf::from("r.json")));
    assert_eq!(verify("verify --receipt r --file -").stream, Some(VerifyStream::Stdin));
    let named = verify("verify oci://b/other --receipt r --version-id v --if-match e");
    assert_eq!(named.source.unwrap().to_string(), "oci://b/other");
    assert_eq!((named.version_id.as_deref(), named.if_match.as_deref()), (Some("v"), Some("e")));
    let needs = |line: &str| parse(line).unwrap().required_fds();
    assert!(needs("verify oci://b/n").stdin && !needs("verify oci://b/n").stdout);
    assert!(!needs("verify oci://b/n --file f").stdin);
    assert!(!needs("verify --receipt r").stdin);
    for line in [
        "verify",
        "verify --receipt r --namespace ns",
        "verify oci://b/n --receipt -",
        "verify oci://b/n --receipt r --uploaded-part-size 10MiB",
        "verify oci://b/n --max-memory 5",
        "verify oci://b/n --quiet --debug",
        "verify oci://b/n -- cat f",
    ] {
        assert_eq!(parse(line).unwrap_err().kind.exit_code(), 2, "{line}");
    }
}
