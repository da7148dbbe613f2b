//! The command line: turns argv into one plain command value.
//!
//! `argv` splits the words, `rc` adds the options that the OCI CLI's file of defaults sets, `args`
//! declares the options for `argh`, the modules named after a command parse the values, and
//! `command` defines the result. Owns the meaning of every argument. Must not access the clock or
//! the service; the only file it reads is the one of `rc`. Invariant: for all words and bytes the
//! result is a command, or a usage error that names the problem and the help.

use std::ffi::OsString;
use std::time::Duration;

use argh::FromArgs;

pub(crate) mod args;
pub(crate) mod argv;
mod command;
pub(crate) mod completions;
mod get;
mod help;
pub(crate) mod man;
mod metrics;
pub(crate) mod object;
mod output;
pub(crate) mod par;
mod put;
mod put_target;
mod rc;
mod serve_command;
mod service;
mod session;
mod session_command;
mod suggest;
mod target;
mod uploads;
pub(crate) mod value;
mod verify;

pub use crate::auth::environment::Environment;
pub use command::*;
pub(crate) use output::log_format_of_words;

use argv::{CommandLine, ParsedArgv, UsageError};
use proto::error::Error;

/// Parses the arguments, without the name of the program. Fails with a usage error.
pub fn parse(argv: Vec<OsString>, environment: &Environment) -> Result<Command, Error> {
    par::reject_urls(&argv)?;
    let root = args::info();
    match argv::split(&argv, &root) {
        Ok(ParsedArgv::Version) => Ok(Command::Version),
        Ok(ParsedArgv::BriefHelp(path)) => of_command(&path, help::brief(&root, &path)),
        Ok(ParsedArgv::Help(path)) => of_command(&path, help::text(&root, &path)),
        Ok(ParsedArgv::Run(line)) => {
            let path = line.path.clone();
            let parsed = rc::apply(line, &root, environment).and_then(|(line, defaults)| {
                let environment = environment.with_defaults(defaults);
                build(line, &environment).map_err(|error| environment.defaults.explain(error))
            });
            parsed.map_err(|error| with_help(error, &path))
        }
        Err(UsageError { path, error }) => Err(with_help(error, &path)),
    }
}

/// The help of the command with this path. Fails with a usage error if there is none.
fn of_command(path: &[String], text: Option<String>) -> Result<Command, Error> {
    text.map(Command::Help).ok_or_else(|| {
        let error = Error::usage(format!("there is no command {:?}", path.join(" ")));
        with_help(error, &[])
    })
}

/// Builds the command from a line that `argv` has checked.
fn build(line: CommandLine, environment: &Environment) -> Result<Command, Error> {
    // `argv` has rejected everything that `argh` would reject; its text is only a fallback.
    let cli = args::Cli::from_args(&["ocipipe"], &line.words())
        .map_err(|exit| Error::usage(exit.output.trim().replace('\n', " ")))?;
    Ok(match &cli.command {
        args::Subcommand::Put(put) => {
            Command::Put(Box::new(put::command(put, line.command, environment)?))
        }
        args::Subcommand::Get(get) => Command::Get(Box::new(get::command(get, environment)?)),
        args::Subcommand::Verify(verify) => {
            Command::Verify(Box::new(verify::command(verify, environment)?))
        }
        args::Subcommand::Uploads(uploads) => {
            Command::Uploads(Box::new(uploads::command(&uploads.action, environment)?))
        }
        args::Subcommand::Session(session) => session::command(&session.action, environment)?,
        args::Subcommand::Serve(serve) => Command::Serve(self::serve(serve, environment)?),
        args::Subcommand::Completions(completions) => {
            Command::Completions(shell(&completions.shell)?)
        }
        args::Subcommand::Man(_) => Command::Man,
    })
}

fn serve(serve: &args::ServeArgs, environment: &Environment) -> Result<ServeCommand, Error> {
    let dir = service::path(environment, serve.dir.as_deref())
        .ok_or_else(|| Error::usage("--dir is missing").with_hint("write --dir DIR"))?;
    let port = |name: &str, given: Option<&str>| match given {
        None => Ok(0),
        Some(text) => text
            .parse::<u16>()
            .map_err(|_| value::invalid_value(name, text, "it is a whole number from 0 to 65535")),
    };
    let oke_port = port("--oke-port", serve.oke_port.as_deref())?;
    let port = port("--port", serve.port.as_deref())?;
    let token_ttl = value::duration("--token-ttl", serve.token_ttl.as_deref())?;
    if token_ttl.is_some_and(|ttl| ttl < Duration::from_secs(1)) {
        return Err(Error::usage("--token-ttl is less than 1s"));
    }
    let par = serve.par.as_deref().map(serve_par).transpose()?;
    let faults = service::path(environment, serve.faults.as_deref());
    Ok(ServeCommand { dir, port, token_ttl, oke_port, par, faults })
}

/// The bucket and the name in the value of `serve --par`. Fails if the bucket is empty.
fn serve_par(text: &str) -> Result<ServePar, Error> {
    let (bucket, name) = text.split_once('/').unwrap_or((text, ""));
    if bucket.is_empty() {
        return Err(value::invalid_value(
            "--par",
            text,
            "it is BUCKET, BUCKET/NAME or BUCKET/PREFIX/",
        ));
    }
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    Ok(ServePar { bucket: bucket.to_owned(), name })
}

fn shell(given: &[String]) -> Result<Shell, Error> {
    let hint = "there are: bash, zsh, fish";
    match given {
        [shell] => match shell.as_str() {
            "bash" => Ok(Shell::Bash),
            "zsh" => Ok(Shell::Zsh),
            "fish" => Ok(Shell::Fish),
            _ => {
                Err(Error::usage(format!("there are no completions for {shell:?}")).with_hint(hint))
            }
        },
        _ => Err(Error::usage("completions takes the name of one shell").with_hint(hint)),
    }
}

/// Adds the line on help to the hint of a usage error.
fn with_help(error: Error, path: &[String]) -> Error {
    let command: String = path.iter().map(|word| format!(" {word}")).collect();
    let help = format!("`ocipipe{command} --help` shows its usage");
    let hint = match &error.hint {
        Some(hint) => format!("{hint}\n  {help}"),
        None => help,
    };
    error.with_hint(hint)
}

/// The text of `--version`: the version, the target and, if the build sets it, the commit.
pub(crate) fn version() -> String {
    let target = [
        std::env::consts::ARCH,
        std::env::consts::OS,
        match () {
            () if cfg!(target_env = "musl") => "musl",
            () if cfg!(target_env = "gnu") => "gnu",
            () => "",
        },
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join("-");
    let commit = option_env!("OCIPIPE_COMMIT").map(|id| format!(", commit {id}"));
    format!("ocipipe {} ({target}{})", env!("CARGO_PKG_VERSION"), commit.unwrap_or_default())
}
