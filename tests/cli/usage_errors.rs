//! Promises of the command line: usage errors, help, and completions.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command as Process, Output, Stdio};

use ocipipe::internals::cli::{self, Command, Environment};
use proptest::prelude::*;
use proto::error::{Error, ErrorKind};

pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

pub fn parse(line: &str) -> Result<Command, Error> {
    cli::parse(words(line), &Environment::default())
}

pub fn ocipipe(arguments: Vec<OsString>) -> Output {
    Process::new(env!("CARGO_BIN_EXE_ocipipe"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Each command line with its message and its hint (without the line about help).
const USAGE_ERRORS: &[(&str, &str, &str)] = &[
    ("put", "DEST is missing", "write DEST as oci://BUCKET/NAME, or --bucket-name and --name"),
    (
        "put -bn b",
        "the object has no name: --name is missing",
        "write DEST as oci://BUCKET/NAME, or --bucket-name and --name",
    ),
    (
        "put --name n",
        "--bucket-name is missing",
        "write DEST as oci://BUCKET/NAME, or --bucket-name and --name",
    ),
    (
        "put oci://b/n x",
        "\"x\" is one argument too many",
        "DEST is one word; a command to run comes after --",
    ),
    (
        "put oci://b/n pg_dump -Fc mydb",
        "-Fc is no option of put",
        "if it belongs to a command, write -- before pg_dump",
    ),
    (
        "put oci://b/n pg_dump -h db1 mydb",
        "-h is no option of put",
        "if it belongs to a command, write -- before pg_dump",
    ),
    (
        "put -bn b --name n tar --help",
        "--help is no option of put",
        "if it belongs to a command, write -- before tar",
    ),
    (
        "put oci://b/n -bn c",
        "DEST \"oci://b/n\" and --bucket-name are both given",
        "write DEST, or --bucket-name and --name, not both",
    ),
    (
        "put oci://b/n --name c",
        "DEST \"oci://b/n\" and --name are both given",
        "write DEST, or --bucket-name and --name, not both",
    ),
    (
        "put oci://b@m/n -ns c",
        "the address has the namespace \"m\" and --namespace is given",
        "leave one of them out",
    ),
    (
        "put b/n",
        "\"b/n\" is not an address of an object",
        "an object is written oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME",
    ),
    (
        "put oci://b",
        "\"oci://b\" names a bucket but no object",
        "an object is written oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME",
    ),
    (
        "put oci://b/n --file x -- cat",
        "--file \"x\" and a command behind -- are both given",
        "the stream comes from one of them: leave the other out",
    ),
    (
        "put oci://b/n --",
        "there is no command behind --",
        "write `ocipipe put oci://BUCKET/NAME -- pg_dump mydb`",
    ),
    (
        "put oci://b/n --force --no-overwrite",
        "--force and --no-overwrite contradict each other",
        "an existing object is left alone unless one of --force, --if-match is given",
    ),
    (
        "put oci://b/n --force --identical-ok",
        "--force and --identical-ok contradict each other",
        "--identical-ok never replaces an object, --force always does: leave one of them out",
    ),
    (
        "put oci://b/n --no-multipart --resume",
        "--no-multipart and --resume contradict each other",
        "one request leaves nothing to continue: leave one of them out",
    ),
    (
        "put oci://b/n --content-md5 900150983cd24fb0d6963f7d28e17f72",
        "--content-md5 \"900150983cd24fb0d6963f7d28e17f72\": it is the base64 of the 16 bytes of the MD5",
        "",
    ),
    (
        "put oci://b/n --opc-content-crc32c AAAA",
        "--opc-content-crc32c \"AAAA\": it is the base64 of the 4 bytes of the CRC32C",
        "",
    ),
    ("put oci://b/n --quiet --debug", "--quiet and --debug contradict each other", ""),
    (
        "put oci://b/n --no-refresh --refresh-before 5m",
        "--refresh-before and --no-refresh contradict each other",
        "",
    ),
    (
        "put oci://b/n --encryption-key-file k --opc-sse-kms-key-id o",
        "--encryption-key-file and --opc-sse-kms-key-id contradict each other",
        "an object is encrypted with your own key or with one of the Vault, not both",
    ),
    ("put oci://b/n --part-size 0", "--part-size \"0\": it must be more than 0", ""),
    (
        "put oci://b/n --part-size 64MB",
        "--part-size \"64MB\": MB is a power of 1000 to some and of 1024 to others: write 64MiB (1024)",
        "",
    ),
    (
        "put oci://b/n --part-size 99999999T",
        "--part-size \"99999999T\": that is more than 16777215 TiB",
        "",
    ),
    (
        "put oci://b/n --max-memory 512",
        "--max-memory \"512\": a size needs a unit: write 512MiB or 512GiB",
        "",
    ),
    (
        "put oci://b/n --expected-size x",
        "--expected-size \"x\": a size is a number and a unit, such as 64MiB or 1.5GiB",
        "",
    ),
    (
        "put oci://b/n --bwlimit 20",
        "--bwlimit \"20\": a size needs a unit: write 20MiB or 20GiB",
        "",
    ),
    (
        "put oci://b/n --parallel-upload-count 0",
        "--parallel-upload-count \"0\": it is auto or a whole number from 1 to 1000",
        "",
    ),
    (
        "put oci://b/n --parallel-upload-count 1001",
        "--parallel-upload-count \"1001\": it is auto or a whole number from 1 to 1000",
        "",
    ),
    (
        "put oci://b/n --retry-for 90",
        "--retry-for \"90\": a duration needs a unit: write 90s or 90m",
        "",
    ),
    (
        "put oci://b/n --stall-timeout 5s --read-timeout 5",
        "--stall-timeout and --read-timeout contradict each other",
        "they are the same, one as a duration and one in seconds: leave one of them out",
    ),
    (
        "get oci://b/n --connection-timeout 5s",
        "--connection-timeout \"5s\": it is a whole number of seconds, more than 0",
        "",
    ),
    (
        "put oci://b/n --disable-parallel-uploads --parallel-upload-count 2",
        "--parallel-upload-count and --disable-parallel-uploads contradict each other",
        "one part at a time is --disable-parallel-uploads",
    ),
    (
        "put --local d oci://b/n --connection-timeout 5",
        "--local and --connection-timeout contradict each other",
        "--local uses no account and no service: leave one of them out",
    ),
    (
        "put oci://b/n --output table",
        "--output \"table\": there is no such value",
        "there are: json",
    ),
    (
        "put oci://b/n --query etag",
        "there is no option --query",
        "leave it out: the result is JSON, which jq can filter",
    ),
    (
        "put oci://b/n --from-json file://x",
        "there is no option --from-json",
        "write the options themselves",
    ),
    (
        "get oci://b/n --http-response-expires x",
        "there is no option --http-response-expires",
        "leave it out: the headers of the response are not written",
    ),
    ("put oci://b/n --stall-timeout 0s", "--stall-timeout \"0s\": it must be more than 0", ""),
    (
        "put oci://b/n --checksum sha1",
        "--checksum \"sha1\": there is no such value",
        "there are: sha256, crc32c, sha384, md5, none",
    ),
    (
        "put oci://b/n --expect dump",
        "--expect \"dump\": there is no such value",
        "there are: tar, gzip, zstd, xz, bzip2, zip, pgdump, sql",
    ),
    (
        "put oci://b/n --progress dots",
        "--progress \"dots\": there is no such value",
        "there are: auto, bar, log, json, none",
    ),
    (
        "put oci://b/n --storage-tier cold",
        "--storage-tier \"cold\": there is no such value",
        "there are: Standard, InfrequentAccess, Archive",
    ),
    (
        "put oci://b/n --content-type t\u{e4}xt",
        "--content-type \"t\u{e4}xt\": only printable ASCII can be stored as a header",
        "",
    ),
    (
        "put oci://b/n --metadata a=b",
        "--metadata is not JSON: expected value at line 1 column 1",
        "write a JSON map of texts, such as --metadata '{\"host\": \"db1\"}'",
    ),
    (
        "put oci://b/n --auth pkcs11",
        "--auth: the authentication mode pkcs11 of the OCI CLI is not supported",
        "there are: api_key, security_token, instance_principal, resource_principal, \
         oke_workload_identity, instance_obo_user, token_exchange",
    ),
    (
        "get oci://b/n --request-id a\u{7f}b",
        "--opc-client-request-id \"a\\u{7f}b\": it has visible ASCII characters and no blank",
        "",
    ),
    (
        "put --local d oci://b/n --exchange-url https://e",
        "--local and --exchange-url contradict each other",
        "--local uses no account and no service: leave one of them out",
    ),
    (
        "put --local d oci://b/n --endpoint https://e",
        "--local and --endpoint contradict each other",
        "--local uses no account and no service: leave one of them out",
    ),
    (
        "put --local d oci://b/n --region r",
        "--local and --region contradict each other",
        "--local uses no account and no service: leave one of them out",
    ),
    (
        "put --local d oci://b/../n",
        "\"../n\" cannot be a file below the --local folder: it has a component . or ..",
        "with --local the object becomes the plain file DIR/BUCKET/NAME",
    ),
    ("get", "SOURCE is missing", "write SOURCE as oci://BUCKET/NAME, or --bucket-name and --name"),
    ("get oci://b/n --force", "get does not take --force", ""),
    ("uploads list", "the bucket is missing", "write oci://BUCKET or --bucket-name BUCKET"),
    ("uploads list oci://b/n --name m", "\"oci://b/n\" has a name and --name is given", ""),
    (
        "uploads abort oci://b",
        "nothing says which uploads to abort",
        "give --older-than 1d, --upload-id ID or --name NAME; --all means every open upload",
    ),
    ("session refresh --no-refresh", "session refresh and --no-refresh contradict each other", ""),
    ("serve", "--dir is missing", "write --dir DIR"),
    ("serve --dir d --port 65536", "--port \"65536\": it is a whole number from 0 to 65535", ""),
    ("serve --dir d --par /x", "--par \"/x\": it is BUCKET, BUCKET/NAME or BUCKET/PREFIX/", ""),
    ("serve --dir d --token-ttl 10ms", "--token-ttl is less than 1s", ""),
    ("completions", "completions takes the name of one shell", "there are: bash, zsh, fish"),
    ("completions csh", "there are no completions for \"csh\"", "there are: bash, zsh, fish"),
    ("help putt", "there is no command \"putt\"", ""),
    (
        "frobnicate",
        "there is no command \"frobnicate\"",
        "there are: put, get, verify, uploads, session, serve, completions, man, help",
    ),
];

#[test]
fn each_usage_error_has_its_own_message() {
    for (line, message, expected) in USAGE_ERRORS {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was accepted"));
        assert_eq!(error.message, *message, "{line}");
        let text = error.hint.unwrap();
        let (hint, help) = text.rsplit_once("\n  ").unwrap_or(("", &text));
        assert_eq!(hint, *expected, "{line}");
        assert!(help.starts_with("`ocipipe") && help.ends_with("--help` shows its usage"));
    }
}

#[test]
fn each_usage_error_exits_2_with_nothing_on_stdout() {
    for (line, message, _) in USAGE_ERRORS {
        let output = ocipipe(words(line));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(stderr.starts_with(&format!("ocipipe: {message}\n  ")), "{line}: {stderr}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

/// A word of a command line, most often a known one.
fn word() -> impl Strategy<Value = OsString> {
    let known: Vec<OsString> = words(
        "put get uploads list abort session show refresh serve completions man help bash - -- --file \
         --name --metadata --part-size --force --quiet --older-than --all --local --dir -bn -ns -h \
         oci://b/n oci://b@n/x oci://b {} 5 5M 1d auto --progress=log --checksum=md5 --version",
    );
    prop_oneof![
        5 => proptest::sample::select(known),
        1 => "(--?[a-z=-]{0,12}|.{0,12})".prop_map(OsString::from),
        1 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn every_command_line_is_a_command_or_a_usage_error(
        argv in proptest::collection::vec(word(), 0..10),
    ) {
        if let Err(error) = cli::parse(argv, &Environment::default()) {
            prop_assert_eq!(error.kind, ErrorKind::Usage);
            prop_assert!(!error.message.is_empty());
            prop_assert!(error.hint.is_some_and(|next| next.contains("--help` shows")));
        }
    }
}
