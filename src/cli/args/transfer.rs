//! The options of `put` and `get`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: each doc comment of a field is one line of help.

use argh::{ArgsInfo, FromArgs};

service_args! {
    /// upload one stream as one object; without FILE and COMMAND the stream is stdin
    #[argh(
        subcommand,
        name = "put",
        example = "ocipipe put \"oci://backups/mydb-$(date +%F).dump\" -- pg_dump -Fc mydb",
        example = "pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump --expect pgdump",
        example = "tar cz /srv | ocipipe put --expect gzip --min-size 1GiB oci://backups/srv.tgz",
        example = "zfs send -R tank@today | ocipipe put -bn backups --name tank --expected-size 2TiB",
        note = "With a COMMAND the object appears only if that command exits 0. In a shell pipe a program",
        note = "that failed looks like the end of the stream: use COMMAND, --expect or --min-size.",
        note = "On success one JSON object is printed on stdout; everything else goes to stderr."
    )]
    struct PutArgs {
        /// oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME
        #[argh(positional, arg_name = "DEST")]
        pub dest: Vec<String>,

        /// bucket, in place of DEST; also -bn
        #[argh(option, arg_name = "BUCKET")]
        pub bucket_name: Option<String>,
        /// object, in place of DEST; default: the file name of --file
        #[argh(option, arg_name = "NAME")]
        pub name: Option<String>,
        /// namespace; also -ns, --namespace-name; default: the service is asked
        #[argh(option, arg_name = "NAMESPACE")]
        pub namespace: Option<String>,
        /// read this file, not stdin; - is stdin
        #[argh(option, arg_name = "PATH")]
        pub file: Option<String>,
        /// no cloud: store the object as the plain file DIR/BUCKET/NAME
        #[argh(option, arg_name = "DIR")]
        pub local: Option<String>,

        /// no credentials: store through the pre-authenticated request in this file
        #[argh(option, arg_name = "PATH")]
        pub par_file: Option<String>,
        /// when that request expires, such as 2026-01-31T00:00:00Z
        #[argh(option, arg_name = "TIME")]
        pub par_expires: Option<String>,

        /// replace an object that exists; default: refuse with exit code 6
        #[argh(switch)]
        pub force: bool,
        /// replace only the object with this etag; needs no --force
        #[argh(option, arg_name = "ETAG")]
        pub if_match: Option<String>,
        /// the default; accepted for compatibility
        #[argh(switch)]
        pub no_overwrite: bool,
        /// an object that exists and is the same as the stream is success, not exit code 6
        #[argh(switch)]
        pub identical_ok: bool,
        /// continue the open upload of this name: parts that it holds are not sent again
        #[argh(switch)]
        pub resume: bool,
        /// with --resume: continue this one of several open uploads
        #[argh(option, arg_name = "ID")]
        pub upload_id: Option<String>,
        /// the stream must end as tar, gzip, zstd, xz, bzip2, zip, pgdump or sql ends
        #[argh(option, arg_name = "FORMAT")]
        pub expect: Option<String>,
        /// do not commit a stream shorter than this, such as 100MiB
        #[argh(option, arg_name = "SIZE")]
        pub min_size: Option<String>,
        /// store a stream of no bytes; default: refuse with exit code 5
        #[argh(switch)]
        pub allow_empty: bool,
        /// each part: sha256, crc32c, sha384, md5, none; also --opc-checksum-algorithm
        #[argh(option, arg_name = "NAME")]
        pub checksum: Option<String>,
        /// always on; accepted for compatibility
        #[argh(switch)]
        pub verify_checksum: bool,
        /// MD5 that the whole stream must have, else nothing is stored
        #[argh(option, arg_name = "BASE64")]
        pub content_md5: Option<String>,
        /// SHA-256 that the whole stream must have, else nothing is stored
        #[argh(option, arg_name = "BASE64")]
        pub opc_content_sha256: Option<String>,
        /// SHA-384 that the whole stream must have, else nothing is stored
        #[argh(option, arg_name = "BASE64")]
        pub opc_content_sha384: Option<String>,
        /// CRC-32C that the whole stream must have, else nothing is stored
        #[argh(option, arg_name = "BASE64")]
        pub opc_content_crc32c: Option<String>,
        /// delete the object if it was committed and does not verify
        #[argh(switch)]
        pub delete_on_mismatch: bool,

        /// size of the first part; a bare number is MiB; default 128MiB
        #[argh(option, arg_name = "SIZE")]
        pub part_size: Option<String>,
        /// parts in flight, 1 to 1000, or auto; default auto
        #[argh(option, arg_name = "N")]
        pub parallel_upload_count: Option<String>,
        /// one part in flight
        #[argh(switch)]
        pub disable_parallel_uploads: bool,
        /// one request for the whole stream, which has to fit into --max-memory
        #[argh(switch)]
        pub no_multipart: bool,
        /// bound on all part buffers together; default (N + 1) x part size
        #[argh(option, arg_name = "SIZE")]
        pub max_memory: Option<String>,
        /// a hint: size the parts for so much from the start
        #[argh(option, arg_name = "SIZE")]
        pub expected_size: Option<String>,
        /// bytes per second over all parts, such as 20MiB; default: no limit
        #[argh(option, arg_name = "RATE")]
        pub bwlimit: Option<String>,
        /// how long the upload may stand still before it gives up; default 1h
        #[argh(option, arg_name = "DURATION")]
        pub retry_for: Option<String>,
        /// drop a connection on which no byte moved for so long; default 60s
        #[argh(option, arg_name = "DURATION")]
        pub stall_timeout: Option<String>,

        /// tier: Standard, InfrequentAccess or Archive; default: the bucket's
        #[argh(option, arg_name = "TIER")]
        pub storage_tier: Option<String>,
        /// media type of the object; auto: by the name of --file, else of the object
        #[argh(option, arg_name = "TYPE")]
        pub content_type: Option<String>,
        /// stored as the Content-Encoding, such as gzip
        #[argh(option, arg_name = "CODING")]
        pub content_encoding: Option<String>,
        /// stored as the Content-Language, such as en
        #[argh(option, arg_name = "LANGUAGE")]
        pub content_language: Option<String>,
        /// stored as the Content-Disposition
        #[argh(option, arg_name = "TEXT")]
        pub content_disposition: Option<String>,
        /// stored as the Cache-Control
        #[argh(option, arg_name = "TEXT")]
        pub cache_control: Option<String>,
        /// names, without opc-meta-, to texts, as a JSON map; or file://PATH
        #[argh(option, arg_name = "JSON")]
        pub metadata: Option<String>,
        /// encrypt with the base64 AES-256 key in this file (SSE-C)
        #[argh(option, arg_name = "PATH")]
        pub encryption_key_file: Option<String>,
        /// encrypt with this key of the Vault service
        #[argh(option, arg_name = "OCID")]
        pub opc_sse_kms_key_id: Option<String>,

        /// auto, bar, log, json or none; auto: a bar on a terminal, else a line every 30 s
        #[argh(option, arg_name = "HOW")]
        pub progress: Option<String>,
        /// text or json: how messages are written; default text
        #[argh(option, arg_name = "FORMAT")]
        pub log_format: Option<String>,
        /// warnings and errors only
        #[argh(switch)]
        pub quiet: bool,
        /// write what is sent and received to stderr; also -d
        #[argh(switch)]
        pub debug: bool,
        /// replace this file by Prometheus text on the run, for node_exporter
        #[argh(option, arg_name = "FILE")]
        pub metrics_file: Option<String>,
        /// label of these metrics; default: the file's name without .prom
        #[argh(option, arg_name = "NAME")]
        pub metrics_job: Option<String>,
    }
}

service_args! {
    /// write one object to stdout, or to a file, as a stream
    #[argh(
        subcommand,
        name = "get",
        example = "ocipipe get oci://backups/mydb.dump | pg_restore --exit-on-error -d restored",
        example = "ocipipe get oci://backups/srv.tgz | tar xz -C /srv",
        example = "ocipipe get -bn backups --name mydb.dump --file /tmp/mydb.dump",
        note = "What was read is compared with the digests that the service holds; the last line on",
        note = "stderr is `verified by ...` or `not compared: ...`. With --file what was read is kept in",
        note = ".NAME.ocipipe-part beside PATH until it is whole; the same command goes on from there."
    )]
    struct GetArgs {
        /// oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME
        #[argh(positional, arg_name = "SOURCE")]
        pub source: Vec<String>,

        /// bucket, in place of SOURCE; also -bn
        #[argh(option, arg_name = "BUCKET")]
        pub bucket_name: Option<String>,
        /// object, in place of SOURCE
        #[argh(option, arg_name = "NAME")]
        pub name: Option<String>,
        /// namespace; also -ns, --namespace-name; default: the service is asked
        #[argh(option, arg_name = "NAMESPACE")]
        pub namespace: Option<String>,
        /// write this file, not stdout; - is stdout; run again, it goes on
        #[argh(option, arg_name = "PATH")]
        pub file: Option<String>,
        /// only the object with this etag
        #[argh(option, arg_name = "ETAG")]
        pub if_match: Option<String>,
        /// this version of the object, in a bucket with versioning
        #[argh(option, arg_name = "ID")]
        pub version_id: Option<String>,
        /// only these bytes, as in HTTP: A-B, A- or -N; nothing is compared
        #[argh(option, arg_name = "BYTES")]
        pub range: Option<String>,
        /// compare with the receipt that put printed
        #[argh(option, arg_name = "FILE")]
        pub receipt: Option<String>,
        /// size of the parts that the object was uploaded in, to compare it
        #[argh(option, arg_name = "SIZE")]
        pub uploaded_part_size: Option<String>,
        /// decrypt with the base64 AES-256 key in this file (SSE-C)
        #[argh(option, arg_name = "PATH")]
        pub encryption_key_file: Option<String>,
        /// restore an archived object first and wait for that, up to 24 h
        #[argh(switch)]
        pub restore: bool,
        /// hours that a restored object stays readable, 1 to 240; default 24
        #[argh(option, arg_name = "N")]
        pub hours: Option<String>,

        /// bytes of one request; a bare number is MiB; default up to 64MiB
        #[argh(option, arg_name = "SIZE")]
        pub part_size: Option<String>,
        /// requests at a time, 1 to 1000, or auto; default auto
        #[argh(option, arg_name = "N")]
        pub parallel_download_count: Option<String>,
        /// one request at a time
        #[argh(switch)]
        pub no_multipart: bool,
        /// bound on all buffers together; default 256MiB, or a quarter of the memory
        #[argh(option, arg_name = "SIZE")]
        pub max_memory: Option<String>,
        /// bytes per second over all requests, such as 20MiB; default: no limit
        #[argh(option, arg_name = "RATE")]
        pub bwlimit: Option<String>,

        /// how long the download may stand still before it gives up; default 1h
        #[argh(option, arg_name = "DURATION")]
        pub retry_for: Option<String>,
        /// drop a connection on which no byte moved for so long; default 60s
        #[argh(option, arg_name = "DURATION")]
        pub stall_timeout: Option<String>,

        /// auto, bar, log, json or none; auto: a bar on a terminal, else a line every 30 s
        #[argh(option, arg_name = "HOW")]
        pub progress: Option<String>,
        /// text or json: how messages are written; default text
        #[argh(option, arg_name = "FORMAT")]
        pub log_format: Option<String>,
        /// warnings and errors only
        #[argh(switch)]
        pub quiet: bool,
        /// write what is sent and received to stderr; also -d
        #[argh(switch)]
        pub debug: bool,
    }
}
