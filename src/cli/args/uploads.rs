//! The options of `uploads list` and `uploads abort`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: the text of an option
//! is one line of help.

use argh::{ArgsInfo, FromArgs};

/// list or abort multipart uploads that were never committed
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "uploads", help_triggers("-h", "--help"))]
pub(crate) struct UploadsArgs {
    #[argh(subcommand)]
    pub action: UploadsSubcommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(crate) enum UploadsSubcommand {
    List(UploadsListArgs),
    Abort(UploadsAbortArgs),
}

args! {
    /// list open multipart uploads; their parts are stored and billed
    #[argh(
        name = "list",
        example = "ocipipe uploads list oci://backups",
        example = "ocipipe uploads list -bn backups --older-than 1d"
    )]
    struct UploadsListArgs {
        group filters;
        switch all = "every upload of the bucket; the default";
        switch quiet = "warnings and errors only, besides the list";
        option limit "N" = "no effect: every upload is listed";

        group service;
    }
}

args! {
    /// abort open multipart uploads: their parts are deleted, objects are left alone
    #[argh(
        name = "abort",
        example = "ocipipe uploads abort oci://backups --older-than 1d",
        example = "ocipipe uploads abort oci://backups/mydb.dump --upload-id ID",
        note = "An upload is aborted only if every filter given fits it; without any, --all is needed."
    )]
    struct UploadsAbortArgs {
        group filters;
        switch all = "every upload of the bucket that fits the other filters";
        switch quiet = "warnings and errors only, besides the list";
        switch force = "no effect: nothing is asked";

        group service;
    }
}
