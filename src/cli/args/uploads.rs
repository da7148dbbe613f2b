//! The options of `uploads list` and `uploads abort`, as declared to `argh`.
//!
//! Owns their names and their lines of help. Must not parse a value. Invariant: each doc comment of a field is one line of help.

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

service_args! {
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
        /// warnings and errors only, besides the list
        #[argh(switch)]
        pub quiet: bool,
        /// no effect: every upload is listed
        #[argh(option, arg_name = "N")]
        pub limit: Option<String>,
    }
}

service_args! {
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
        /// warnings and errors only, besides the list
        #[argh(switch)]
        pub quiet: bool,
        /// no effect: nothing is asked
        #[argh(switch)]
        pub force: bool,
    }
}
