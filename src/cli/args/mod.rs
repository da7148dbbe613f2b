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

#[macro_use]
mod declare;
#[macro_use]
mod groups;
mod session;
mod transfer;
mod uploads;
mod verify;

pub(crate) use groups::*;
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

args! {
    /// run a local Object Storage on loopback, for trying and testing without a cloud
    #[argh(
        name = "serve",
        example = "ocipipe serve --dir /tmp/store --port 9000 --token-ttl 5m",
        note = "Prints its URL and writes a ready config, key and token below DIR."
    )]
    struct ServeArgs {
        option dir "DIR" = "keep objects, config, key and token below this folder";
        option port "N" = "listen on this port of 127.0.0.1; default: any free one";
        option token_ttl "DURATION" = "life of the tokens it gives out; default 1h for sessions, 20m for all others";
        option oke_port "N" = "port of OKE's token service, 12250 for most clients; default: any free one";
        option par "BUCKET[/NAME]" = "write the URL of a pre-authenticated request to DIR/par.url";
        option faults "FILE" = "JSON file of faults, rights and protected buckets";
    }
}

args! {
    /// print a completion script for bash, zsh or fish
    #[argh(
        name = "completions",
        example = "ocipipe completions bash > /etc/bash_completion.d/ocipipe",
        example = "ocipipe completions zsh > /usr/local/share/zsh/site-functions/_ocipipe",
        example = "ocipipe completions fish > ~/.config/fish/completions/ocipipe.fish"
    )]
    struct CompletionsArgs {
        positional shell "SHELL" = "bash, zsh or fish";
    }
}

args! {
    /// write the man page of the program to stdout, in roff
    #[argh(
        name = "man",
        example = "ocipipe man > /usr/local/share/man/man1/ocipipe.1",
        example = "ocipipe man | man -l -"
    )]
    struct ManArgs {}
}

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
