//! The options of `session show` and `session refresh`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: each doc comment of a field is one line of help.

use argh::{ArgsInfo, FromArgs};

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
    }
}

service_args! {
    /// renew the profile's token now
    #[argh(subcommand, name = "refresh", example = "ocipipe session refresh --profile backup")]
    struct SessionRefreshArgs {}
}
