//! The options of the `session` commands, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: each doc comment of a
//! field is one line of help.

use argh::{ArgsInfo, FromArgs};

/// begin a session in a browser, show, refresh or carry it to another host
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "session", help_triggers("-h", "--help"))]
pub(crate) struct SessionArgs {
    #[argh(subcommand)]
    pub action: SessionSubcommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(crate) enum SessionSubcommand {
    Authenticate(SessionAuthenticateArgs),
    Show(SessionShowArgs),
    Refresh(SessionRefreshArgs),
    Export(SessionExportArgs),
    Import(SessionImportArgs),
}

/// begin a session: sign in with a browser, and write key, token and profile
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "authenticate",
    help_triggers("-h", "--help"),
    example = "ocipipe session authenticate --profile-name backup --region eu-frankfurt-1",
    example = "ocipipe session authenticate --profile-name backup --region fra --no-browser",
    note = "The browser comes back to port 8181 of this host. If it runs on another one, forward the",
    note = "port first: ssh -L 8181:localhost:8181 HOST"
)]
pub(crate) struct SessionAuthenticateArgs {
    /// profile to write; the same as --profile
    #[argh(option, arg_name = "NAME")]
    pub profile_name: Option<String>,
    /// region of the login, such as eu-frankfurt-1; required
    #[argh(option, arg_name = "REGION")]
    pub region: Option<String>,
    /// name of the tenancy; default: the login page asks
    #[argh(option, arg_name = "NAME")]
    pub tenancy_name: Option<String>,
    /// name of the identity provider; default: the login page asks
    #[argh(option, arg_name = "NAME")]
    pub identity_provider_name: Option<String>,
    /// open no browser: print the address, and wait
    #[argh(switch)]
    pub no_browser: bool,
    /// how long to wait for the login; default 5m
    #[argh(option, arg_name = "DURATION")]
    pub timeout: Option<String>,
    /// replace a profile that holds a user
    #[argh(switch)]
    pub force: bool,
    /// profile to write; default DEFAULT
    #[argh(option, arg_name = "NAME")]
    pub profile: Option<String>,
    /// OCI config file, also --config-location; default ~/.oci/config
    #[argh(option, arg_name = "PATH")]
    pub config_file: Option<String>,
    /// defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc
    #[argh(option, arg_name = "PATH")]
    pub cli_rc_file: Option<String>,
    /// open the login page at this URL, not the region's
    #[argh(option, arg_name = "URL")]
    pub auth_endpoint: Option<String>,
    /// open the region's login page that has IPv6 addresses too
    #[argh(switch)]
    pub enable_dual_stack: bool,
}

/// write the profile's session to an archive, as `oci session export` does
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "export",
    help_triggers("-h", "--help"),
    example = "ocipipe session export --profile backup --output-file backup.zip",
    note = "A copy of the archive is the whole session until it ends."
)]
pub(crate) struct SessionExportArgs {
    /// archive to write; .zip is added if it is missing; must not exist
    #[argh(option, arg_name = "FILE")]
    pub output_file: Option<String>,
    /// profile of the config file; default DEFAULT
    #[argh(option, arg_name = "NAME")]
    pub profile: Option<String>,
    /// the same as --profile
    #[argh(option, arg_name = "NAME")]
    pub profile_name: Option<String>,
    /// OCI config file; default ~/.oci/config
    #[argh(option, arg_name = "PATH")]
    pub config_file: Option<String>,
    /// defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc
    #[argh(option, arg_name = "PATH")]
    pub cli_rc_file: Option<String>,
}

/// take a session from an archive of `session export`, of ocipipe or of the OCI CLI
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "import",
    help_triggers("-h", "--help"),
    example = "ocipipe session import --session-archive backup.zip"
)]
pub(crate) struct SessionImportArgs {
    /// archive to read, of at most 1 MiB
    #[argh(option, arg_name = "FILE")]
    pub session_archive: Option<String>,
    /// write this profile, not the one that the archive names
    #[argh(option, arg_name = "NAME")]
    pub profile_name: Option<String>,
    /// replace a profile and files that exist
    #[argh(switch)]
    pub force: bool,
    /// the same as --profile-name
    #[argh(option, arg_name = "NAME")]
    pub profile: Option<String>,
    /// OCI config file; default ~/.oci/config
    #[argh(option, arg_name = "PATH")]
    pub config_file: Option<String>,
}

service_args! {
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
        /// warnings and errors only, besides the report
        #[argh(switch)]
        pub quiet: bool,
    }
}

service_args! {
    /// renew the profile's token now
    #[argh(subcommand, name = "refresh", example = "ocipipe session refresh --profile backup")]
    struct SessionRefreshArgs {
        /// warnings and errors only; nothing on stdout
        #[argh(switch)]
        pub quiet: bool,
    }
}
