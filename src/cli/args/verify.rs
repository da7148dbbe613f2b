//! The options of `verify`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: each doc comment of a
//! field is one line of help.

use argh::{ArgsInfo, FromArgs};

service_args! {
    /// compare one object with stdin, a file or a receipt; nothing is written
    #[argh(
        subcommand,
        name = "verify",
        example = "ocipipe verify oci://backups/srv.tar --file /srv.tar",
        example = "zfs send -R tank@today | ocipipe verify oci://backups/tank",
        example = "ocipipe verify --receipt mydb.json",
        note = "Exit code 0: the same; 7: it differs; 4: there is no such object. The digests that the",
        note = "service holds are compared, and the object is read only where they do not suffice. The",
        note = "last line on stderr is what was compared, and how strong that is."
    )]
    struct VerifyArgs {
        /// oci://BUCKET/NAME or oci://BUCKET@NAMESPACE/NAME; default: that of the receipt
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
        /// compare with this file, not stdin; - is stdin
        #[argh(option, arg_name = "PATH")]
        pub file: Option<String>,
        /// compare with the receipt that put printed; with --file it gives the part sizes
        #[argh(option, arg_name = "FILE")]
        pub receipt: Option<String>,
        /// only the object with this etag
        #[argh(option, arg_name = "ETAG")]
        pub if_match: Option<String>,
        /// this version of the object, in a bucket with versioning
        #[argh(option, arg_name = "ID")]
        pub version_id: Option<String>,
        /// size of the parts that the object was uploaded in; a bare number is MiB
        #[argh(option, arg_name = "SIZE")]
        pub uploaded_part_size: Option<String>,
        /// decrypt with the base64 AES-256 key in this file (SSE-C)
        #[argh(option, arg_name = "PATH")]
        pub encryption_key_file: Option<String>,
        /// where an archived object has to be read: restore it and wait for that, up to 24 h
        #[argh(switch)]
        pub restore: bool,

        /// bound on the buffers of an object that is read; default as for get
        #[argh(option, arg_name = "SIZE")]
        pub max_memory: Option<String>,
        /// how long reading the object may stand still before it gives up; default 1h
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
