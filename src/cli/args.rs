//! The options as `argh` reads them: every spelling, every help line, no meaning.
//!
//! Help and completions are made from these structs, so that they cannot fall behind. Values stay
//! text here; `put`, `get`, `uploads` and their like give them meaning. Invariant: an option means
//! the same, and takes a value or not, in every command that has it (argv is split by that).
//!
//! Each description is one line of help. No braces: `argh` would take them for placeholders.

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs, Optionality, PositionalInfo, SubCommandInfo};

/// Adds the options of every command that talks to the service, which `argh` cannot share.
macro_rules! talks_to_service {
    ($(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        #[derive(FromArgs, ArgsInfo, Debug)]
        $(#[$meta])*
        #[argh(help_triggers("-h", "--help"))]
        pub struct $name {
            $($fields)*

            /// how to sign in: api_key or security_token; default: as the profile has it
            #[argh(option, arg_name = "MODE")]
            pub auth: Option<String>,
            /// profile of the config file; default DEFAULT
            #[argh(option, arg_name = "NAME")]
            pub profile: Option<String>,
            /// OCI config file; default ~/.oci/config
            #[argh(option, arg_name = "PATH")]
            pub config_file: Option<String>,
            /// defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc
            #[argh(option, arg_name = "PATH")]
            pub cli_rc_file: Option<String>,
            /// region, such as eu-frankfurt-1; default: the profile's
            #[argh(option, arg_name = "REGION")]
            pub region: Option<String>,
            /// talk to Object Storage at this URL, not the region's
            #[argh(option, arg_name = "URL")]
            pub endpoint: Option<String>,
            /// talk to the host of the namespace in the region's realm
            #[argh(switch)]
            pub realm_specific_endpoint: bool,
            /// talk to the region's host that has IPv6 addresses too
            #[argh(switch)]
            pub enable_dual_stack: bool,
            /// refresh tokens at this URL, not the region's
            #[argh(option, arg_name = "URL")]
            pub auth_endpoint: Option<String>,
            /// certificates to trust, as a PEM file or a folder of them
            #[argh(option, arg_name = "PATH")]
            pub cert_bundle: Option<String>,
            /// go through this proxy: http, https, socks5 or socks5h://USER:PASSWORD@HOST:PORT
            #[argh(option, arg_name = "URL")]
            pub proxy: Option<String>,
            /// renew the token when less is left; default 10m, or a third of its life
            #[argh(option, arg_name = "DURATION")]
            pub refresh_before: Option<String>,
            /// never call the auth service; only re-read the token file
            #[argh(switch)]
            pub no_refresh: bool,
        }

        impl $name {
            /// The shared options, for `service` to resolve.
            pub fn service(&self) -> super::service::RawServiceOptions<'_> {
                super::service::RawServiceOptions {
                    auth: self.auth.as_deref(),
                    profile: self.profile.as_deref(),
                    config_file: self.config_file.as_deref(),
                    cli_rc_file: self.cli_rc_file.as_deref(),
                    region: self.region.as_deref(),
                    endpoint: self.endpoint.as_deref(),
                    realm_specific_endpoint: self.realm_specific_endpoint,
                    enable_dual_stack: self.enable_dual_stack,
                    auth_endpoint: self.auth_endpoint.as_deref(),
                    cert_bundle: self.cert_bundle.as_deref(),
                    proxy: self.proxy.as_deref(),
                    refresh_before: self.refresh_before.as_deref(),
                    no_refresh: self.no_refresh,
                }
            }
        }
    };
}

/// Stream into OCI Object Storage: stdin, or the output of a command, becomes one object.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump",
    example = "ocipipe put oci://backups/mydb.dump -- pg_dump -Fc mydb",
    example = "tar cz /srv | ocipipe put --expect gzip oci://backups/srv.tgz",
    example = "ocipipe get oci://backups/mydb.dump | pg_restore -d mydb",
    example = "ocipipe put --local /tmp/try oci://demo/hello < /etc/hostname",
    error_code(0, "committed, and verified against what was read"),
    error_code(1, "anything unforeseen"),
    error_code(2, "usage or configuration"),
    error_code(3, "no valid credentials"),
    error_code(4, "the service refused, or could not be reached"),
    error_code(5, "the source of the stream failed, or was empty or too short"),
    error_code(6, "the object exists already, or --if-match did not match"),
    error_code(7, "a checksum did not match"),
    error_code(8, "the outcome of the commit is unknown; the message says how to find out"),
    error_code(130, "SIGINT (143 SIGTERM, 129 SIGHUP)")
)]
pub struct Cli {
    /// print the version and exit
    #[argh(switch, short = 'V')]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Subcommand,
}

// One such value exists, for a moment; `argh` could not look into a `Box`.
#[allow(clippy::large_enum_variant)]
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum Subcommand {
    Put(PutArgs),
    Get(GetArgs),
    Uploads(UploadsArgs),
    Session(SessionArgs),
    Serve(ServeArgs),
    Completions(CompletionsArgs),
}

talks_to_service! {
    /// upload one stream as one object; without FILE and COMMAND the stream is stdin
    #[argh(
        subcommand,
        name = "put",
        example = "pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump",
        example = "ocipipe put oci://backups/mydb.dump -- pg_dump -Fc mydb",
        example = "tar cz /srv | ocipipe put --expect gzip --min-size 1GiB oci://backups/srv.tgz",
        example = "zfs send -R tank@today | ocipipe put -bn backups --name tank --expected-size 2TiB",
        note = "With a COMMAND the object appears only if that command exits 0. In a shell pipe nobody",
        note = "tells ocipipe that the program before it failed: use COMMAND, --expect or --min-size.",
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

        /// replace an object that exists; default: refuse with exit code 6
        #[argh(switch)]
        pub force: bool,
        /// replace only the object with this etag; needs no --force
        #[argh(option, arg_name = "ETAG")]
        pub if_match: Option<String>,
        /// the default; accepted for compatibility
        #[argh(switch)]
        pub no_overwrite: bool,
        /// the stream must end as tar, gzip, zstd, xz, bzip2, zip, pgdump or sql ends
        #[argh(option, arg_name = "FORMAT")]
        pub expect: Option<String>,
        /// do not commit a stream shorter than this, such as 100MiB
        #[argh(option, arg_name = "SIZE")]
        pub min_size: Option<String>,
        /// store a stream of no bytes; default: refuse with exit code 5
        #[argh(switch)]
        pub allow_empty: bool,
        /// check of each part: sha256, crc32c, sha384, md5 or none; default sha256
        #[argh(option, arg_name = "NAME")]
        pub checksum: Option<String>,
        /// always on; accepted for compatibility
        #[argh(switch)]
        pub verify_checksum: bool,
        /// delete the object if it was committed and does not verify
        #[argh(switch)]
        pub delete_on_mismatch: bool,

        /// size of the first part; a bare number is MiB; default 128MiB
        #[argh(option, arg_name = "SIZE")]
        pub part_size: Option<String>,
        /// parts in flight, 1 to 1000; default 4
        #[argh(option, arg_name = "N")]
        pub parallel_upload_count: Option<String>,
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
        /// warnings and errors only
        #[argh(switch)]
        pub quiet: bool,
        /// tell on stderr what is sent and received; also -d
        #[argh(switch)]
        pub debug: bool,
    }
}

talks_to_service! {
    /// write one object to stdout, or to a file, as a stream
    #[argh(
        subcommand,
        name = "get",
        example = "ocipipe get oci://backups/mydb.dump | pg_restore -d mydb",
        example = "ocipipe get oci://backups/srv.tgz | tar xz -C /srv",
        example = "ocipipe get -bn backups --name mydb.dump --file /tmp/mydb.dump"
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
        /// write this file, not stdout; - is stdout
        #[argh(option, arg_name = "PATH")]
        pub file: Option<String>,
        /// decrypt with the base64 AES-256 key in this file (SSE-C)
        #[argh(option, arg_name = "PATH")]
        pub encryption_key_file: Option<String>,

        /// how long the download may stand still before it gives up; default 1h
        #[argh(option, arg_name = "DURATION")]
        pub retry_for: Option<String>,
        /// drop a connection on which no byte moved for so long; default 60s
        #[argh(option, arg_name = "DURATION")]
        pub stall_timeout: Option<String>,

        /// auto, bar, log, json or none; auto: a bar on a terminal, else a line every 30 s
        #[argh(option, arg_name = "HOW")]
        pub progress: Option<String>,
        /// warnings and errors only
        #[argh(switch)]
        pub quiet: bool,
        /// tell on stderr what is sent and received; also -d
        #[argh(switch)]
        pub debug: bool,
    }
}

/// list or abort multipart uploads that were never committed
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "uploads", help_triggers("-h", "--help"))]
pub struct UploadsArgs {
    #[argh(subcommand)]
    pub action: UploadsSubcommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum UploadsSubcommand {
    List(UploadsListArgs),
    Abort(UploadsAbortArgs),
}

talks_to_service! {
    /// list open multipart uploads; their parts are stored and billed
    #[argh(
        subcommand,
        name = "list",
        example = "ocipipe uploads list oci://backups",
        example = "ocipipe uploads list -bn backups --older-than 1d"
    )]
    struct UploadsListArgs {
        /// oci://BUCKET, with or without @NAMESPACE and /NAME
        #[argh(positional, arg_name = "BUCKET")]
        pub place: Vec<String>,

        /// bucket, in place of the address; also -bn
        #[argh(option, arg_name = "BUCKET")]
        pub bucket_name: Option<String>,
        /// namespace; also -ns, --namespace-name; default: the service is asked
        #[argh(option, arg_name = "NAMESPACE")]
        pub namespace: Option<String>,
        /// only uploads of this object; also --object-name
        #[argh(option, arg_name = "NAME")]
        pub name: Option<String>,
        /// only this upload
        #[argh(option, arg_name = "ID")]
        pub upload_id: Option<String>,
        /// only uploads begun longer ago, such as 1d
        #[argh(option, arg_name = "DURATION")]
        pub older_than: Option<String>,
        /// every upload of the bucket; the default
        #[argh(switch)]
        pub all: bool,
    }
}

talks_to_service! {
    /// abort open multipart uploads: their parts are deleted, objects are left alone
    #[argh(
        subcommand,
        name = "abort",
        example = "ocipipe uploads abort oci://backups --older-than 1d",
        example = "ocipipe uploads abort oci://backups/mydb.dump --upload-id ID",
        note = "An upload is aborted only if every filter given fits it; without any, --all is needed."
    )]
    struct UploadsAbortArgs {
        /// oci://BUCKET, with or without @NAMESPACE and /NAME
        #[argh(positional, arg_name = "BUCKET")]
        pub place: Vec<String>,

        /// bucket, in place of the address; also -bn
        #[argh(option, arg_name = "BUCKET")]
        pub bucket_name: Option<String>,
        /// namespace; also -ns, --namespace-name; default: the service is asked
        #[argh(option, arg_name = "NAMESPACE")]
        pub namespace: Option<String>,
        /// only uploads of this object; also --object-name
        #[argh(option, arg_name = "NAME")]
        pub name: Option<String>,
        /// only this upload
        #[argh(option, arg_name = "ID")]
        pub upload_id: Option<String>,
        /// only uploads begun longer ago, such as 1d
        #[argh(option, arg_name = "DURATION")]
        pub older_than: Option<String>,
        /// every upload of the bucket that fits the other filters
        #[argh(switch)]
        pub all: bool,
    }
}

/// tell what the profile's session token is, or refresh it
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "session", help_triggers("-h", "--help"))]
pub struct SessionArgs {
    #[argh(subcommand)]
    pub action: SessionSubcommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum SessionSubcommand {
    Show(SessionShowArgs),
    Refresh(SessionRefreshArgs),
}

talks_to_service! {
    /// tell what the profile's token is and how long it lasts
    #[argh(
        subcommand,
        name = "show",
        example = "ocipipe session show --profile backup",
        example = "ocipipe session show --json"
    )]
    struct SessionShowArgs {
        /// as one JSON object
        #[argh(switch)]
        pub json: bool,
    }
}

talks_to_service! {
    /// renew the profile's token now
    #[argh(subcommand, name = "refresh", example = "ocipipe session refresh --profile backup")]
    struct SessionRefreshArgs {}
}

/// run a local Object Storage on loopback, for trying and testing without a cloud
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "serve",
    help_triggers("-h", "--help"),
    example = "ocipipe serve --dir /tmp/store --port 9000 --token-ttl 5m",
    note = "Prints its URL and writes a ready config, key and token below DIR."
)]
pub struct ServeArgs {
    /// keep objects, config, key and token below this folder
    #[argh(option, arg_name = "DIR")]
    pub dir: Option<String>,
    /// listen on this port of 127.0.0.1; default: any free one
    #[argh(option, arg_name = "N")]
    pub port: Option<String>,
    /// life of the tokens it gives out; default 1h
    #[argh(option, arg_name = "DURATION")]
    pub token_ttl: Option<String>,
    /// JSON file of faults, rights and protected buckets
    #[argh(option, arg_name = "FILE")]
    pub faults: Option<String>,
}

/// print a completion script for bash, zsh or fish
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "completions",
    help_triggers("-h", "--help"),
    example = "ocipipe completions bash > /etc/bash_completion.d/ocipipe",
    example = "ocipipe completions zsh > /usr/local/share/zsh/site-functions/_ocipipe",
    example = "ocipipe completions fish > ~/.config/fish/completions/ocipipe.fish"
)]
pub struct CompletionsArgs {
    /// bash, zsh or fish
    #[argh(positional, arg_name = "SHELL")]
    pub shell: Vec<String>,
}

/// Everything there is to complete and to help with. `argh` knows no command of the name `help`, so
/// it is added here; `argv` answers it before `argh` sees it.
pub fn info() -> CommandInfoWithArgs {
    let mut info = Cli::get_args_info();
    info.name = "ocipipe";
    info.commands.push(SubCommandInfo {
        name: "help",
        command: CommandInfoWithArgs {
            name: "help",
            description: "show this text, or the help of one command",
            positionals: &[PositionalInfo {
                name: "COMMAND",
                description: "the command, such as put or uploads abort",
                optionality: Optionality::Optional,
                hidden: false,
            }],
            ..CommandInfoWithArgs::default()
        },
    });
    info
}
