//! The options of the `session` commands, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: the text of an option
//! is one line of help.

use argh::{ArgsInfo, FromArgs};

/// authenticate in a browser; show, refresh, export or import a session
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

args! {
    /// begin a session: sign in with a browser, and write key, token and profile
    #[argh(
        name = "authenticate",
        example = "ocipipe session authenticate --profile-name backup --region eu-frankfurt-1",
        example = "ocipipe session authenticate --profile-name backup --region fra --no-browser",
        note = "The browser comes back to port 8181 of this host. If it runs on another one, forward the",
        note = "port first: ssh -L 8181:localhost:8181 HOST"
    )]
    struct SessionAuthenticateArgs {
        option profile_name "NAME" = "profile to write; the same as --profile";
        option region "REGION" = "region of the login, such as eu-frankfurt-1; required";
        option tenancy_name "NAME" = "name of the tenancy; default: the login page asks";
        option identity_provider_name "NAME" = "name of the identity provider; default: the login page asks";
        switch no_browser = "open no browser: print the address, and wait";
        option timeout "DURATION" = "how long to wait for the login; default 5m";
        switch force = "replace a profile that holds a user";
        option profile "NAME" = "profile to write; default DEFAULT";
        option config_file "PATH" = "OCI config file, also --config-location; default ~/.oci/config";
        option cli_rc_file "PATH" = "defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc";
        option auth_endpoint "URL" = "open the login page at this URL, not the region's";
        switch enable_dual_stack = "open the region's login page that has IPv6 addresses too";
    }
}

args! {
    /// write the profile's session to an archive, as `oci session export` does
    #[argh(
        name = "export",
        example = "ocipipe session export --profile backup --output-file backup.zip",
        note = "A copy of the archive is the whole session until it ends."
    )]
    struct SessionExportArgs {
        option output_file "FILE" = "archive to write; .zip is added if it is missing; must not exist";
        option profile "NAME" = "profile of the config file; default DEFAULT";
        option profile_name "NAME" = "the same as --profile";
        option config_file "PATH" = "OCI config file; default ~/.oci/config";
        option cli_rc_file "PATH" = "defaults of options, as for the OCI CLI; default ~/.oci/oci_cli_rc";
    }
}

args! {
    /// take a session from an archive of `session export`, of ocipipe or of the OCI CLI
    #[argh(
        name = "import",
        example = "ocipipe session import --session-archive backup.zip"
    )]
    struct SessionImportArgs {
        option session_archive "FILE" = "archive to read, of at most 1 MiB";
        option profile_name "NAME" = "write this profile, not the one that the archive names";
        switch force = "replace a profile and files that exist";
        option profile "NAME" = "the same as --profile-name";
        option config_file "PATH" = "OCI config file; default ~/.oci/config";
    }
}

args! {
    /// show the mode, the identity and the expiry of the credentials
    #[argh(
        name = "show",
        example = "ocipipe session show --profile backup",
        example = "ocipipe session show --json"
    )]
    struct SessionShowArgs {
        switch json = "as one JSON object";
        switch quiet = "warnings and errors only, besides the report";

        group service;
    }
}

args! {
    /// renew the profile's token now
    #[argh(name = "refresh", example = "ocipipe session refresh --profile backup")]
    struct SessionRefreshArgs {
        switch quiet = "warnings and errors only; nothing on stdout";

        group service;
    }
}
