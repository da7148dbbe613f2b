//! The options as declared to `argh`: every name and every line of help.
//!
//! Owns the structs from which help and completions are generated. Must not parse a value: values
//! stay texts here, and the modules of the commands parse them. Invariant: an option has the same
//! meaning in every command that has it, and takes a value in all of them or in none (`argv`
//! depends on that).
//!
//! Each description is one line of help. It must not contain braces, which `argh` takes as
//! placeholders.

#![expect(dead_code, reason = "some options are accepted without effect, or read by other names")]

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs, Optionality, PositionalInfo, SubCommandInfo};

/// Declares a struct with the options that all commands with access to the service share. `argh`
/// has no means of its own to share options.
macro_rules! service_args {
    ($(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        #[derive(FromArgs, ArgsInfo, Debug)]
        $(#[$meta])*
        #[argh(
            help_triggers("-h", "--help"),
            note = "MODE: api_key, security_token, instance_principal, resource_principal,",
            note = "      oke_workload_identity, instance_obo_user, token_exchange"
        )]
        pub(crate) struct $name {
            $($fields)*

            /// how to sign in, see the notes; default: that of the profile, or of the host
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
            /// refresh session tokens at this URL, not the region's
            #[argh(option, arg_name = "URL")]
            pub auth_endpoint: Option<String>,
            /// exchange the instance's certificate at this URL, not the region's
            #[argh(option, arg_name = "URL")]
            pub federation_endpoint: Option<String>,
            /// identity domain for --auth token_exchange
            #[argh(option, arg_name = "URL")]
            pub exchange_url: Option<String>,
            /// file with the token (JWT) to exchange, read again at each renewal
            #[argh(option, arg_name = "PATH")]
            pub exchange_jwt_file: Option<String>,
            /// client that the identity domain knows
            #[argh(option, arg_name = "ID")]
            pub exchange_client_id: Option<String>,
            /// file with the secret of this client
            #[argh(option, arg_name = "PATH")]
            pub exchange_client_secret_file: Option<String>,
            /// send this as opc-client-request-id with each request, for tracing
            #[argh(option, arg_name = "ID")]
            pub opc_client_request_id: Option<String>,
            /// certificates to trust, as a PEM file or a folder of them
            #[argh(option, arg_name = "PATH")]
            pub cert_bundle: Option<String>,
            /// go through this proxy: http, https, socks5 or socks5h://USER:PASSWORD@HOST:PORT
            #[argh(option, arg_name = "URL")]
            pub proxy: Option<String>,
            /// renew the token when less is left; default 10m, or a third of its life; at most half
            #[argh(option, arg_name = "DURATION")]
            pub refresh_before: Option<String>,
            /// never request a token; only read its file again
            #[argh(switch)]
            pub no_refresh: bool,
            /// bound on making one connection; default 10
            #[argh(option, arg_name = "SECONDS")]
            pub connection_timeout: Option<String>,
            /// drop a connection on which no byte moved for this long; --stall-timeout in seconds
            #[argh(option, arg_name = "SECONDS")]
            pub read_timeout: Option<String>,
            /// json; no effect, accepted for compatibility
            #[argh(option, arg_name = "json")]
            pub output: Option<String>,
            /// no effect: --retry-for decides
            #[argh(switch)]
            pub no_retry: bool,
            /// no effect: --retry-for decides
            #[argh(option, arg_name = "N")]
            pub max_retries: Option<String>,
        }

        impl $name {
            /// The shared options, not yet resolved.
            pub(crate) fn service(&self) -> crate::cli::service::RawServiceOptions<'_> {
                crate::cli::service::RawServiceOptions {
                    auth: self.auth.as_deref(),
                    profile: self.profile.as_deref(),
                    config_file: self.config_file.as_deref(),
                    cli_rc_file: self.cli_rc_file.as_deref(),
                    region: self.region.as_deref(),
                    endpoint: self.endpoint.as_deref(),
                    realm_specific_endpoint: self.realm_specific_endpoint,
                    enable_dual_stack: self.enable_dual_stack,
                    auth_endpoint: self.auth_endpoint.as_deref(),
                    federation_endpoint: self.federation_endpoint.as_deref(),
                    exchange_url: self.exchange_url.as_deref(),
                    exchange_jwt_file: self.exchange_jwt_file.as_deref(),
                    exchange_client_id: self.exchange_client_id.as_deref(),
                    exchange_client_secret_file: self.exchange_client_secret_file.as_deref(),
                    opc_client_request_id: self.opc_client_request_id.as_deref(),
                    cert_bundle: self.cert_bundle.as_deref(),
                    proxy: self.proxy.as_deref(),
                    refresh_before: self.refresh_before.as_deref(),
                    no_refresh: self.no_refresh,
                    connection_timeout: self.connection_timeout.as_deref(),
                    read_timeout: self.read_timeout.as_deref(),
                    output: self.output.as_deref(),
                    no_retry: self.no_retry,
                    max_retries: self.max_retries.as_deref(),
                }
            }
        }
    };
}

mod session;
mod transfer;
mod uploads;
mod verify;

pub(crate) use session::*;
pub(crate) use transfer::*;
pub(crate) use uploads::*;
pub(crate) use verify::*;

/// Stream into OCI Object Storage: stdin, or the output of a command, becomes one object.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "ocipipe put \"oci://backups/mydb-$(date +%F).dump\" -- pg_dump -Fc mydb",
    example = "pg_dump -Fc mydb | ocipipe put oci://backups/mydb.dump --expect pgdump",
    example = "tar cz /srv | ocipipe put --expect gzip oci://backups/srv.tgz",
    example = "ocipipe get oci://backups/mydb.dump | pg_restore --exit-on-error -d restored",
    example = "ocipipe verify oci://backups/srv.tar --file /srv.tar",
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
pub(crate) struct Cli {
    /// print the version and exit
    #[argh(switch, short = 'V')]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Subcommand,
}

// Only one such value exists, for a short time; `argh` does not support a `Box` here.
#[allow(clippy::large_enum_variant)]
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(crate) enum Subcommand {
    Put(PutArgs),
    Get(GetArgs),
    Verify(VerifyArgs),
    Uploads(UploadsArgs),
    Session(SessionArgs),
    Serve(ServeArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
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
pub(crate) struct ServeArgs {
    /// keep objects, config, key and token below this folder
    #[argh(option, arg_name = "DIR")]
    pub dir: Option<String>,
    /// listen on this port of 127.0.0.1; default: any free one
    #[argh(option, arg_name = "N")]
    pub port: Option<String>,
    /// life of the tokens it gives out; default 1h for sessions, 20m for all others
    #[argh(option, arg_name = "DURATION")]
    pub token_ttl: Option<String>,
    /// port of OKE's token service, 12250 for most clients; default: any free one
    #[argh(option, arg_name = "N")]
    pub oke_port: Option<String>,
    /// write the URL of a pre-authenticated request to DIR/par.url
    #[argh(option, arg_name = "BUCKET[/NAME]")]
    pub par: Option<String>,
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
pub(crate) struct CompletionsArgs {
    /// bash, zsh or fish
    #[argh(positional, arg_name = "SHELL")]
    pub shell: Vec<String>,
}

/// write the man page of the program to stdout, in roff
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "man",
    help_triggers("-h", "--help"),
    example = "ocipipe man > /usr/local/share/man/man1/ocipipe.1",
    example = "ocipipe man | man -l -"
)]
pub(crate) struct ManArgs {}

/// All commands and options. Includes `help`, which `argh` does not know: `argv` handles it before
/// `argh` is called.
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
