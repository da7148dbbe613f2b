//! The options of the `session` commands.
//!
//! Owns the choice of the profile. Must not read a file. Invariant: `session authenticate` has a region.

use std::path::PathBuf;
use std::time::Duration;

use super::args::{
    SessionAuthenticateArgs, SessionExportArgs, SessionImportArgs, SessionSubcommand,
};
use super::command::{
    AuthenticateCommand, Command, ExportSessionCommand, ImportSessionCommand, SessionAction,
    SessionCommand,
};
use super::{service, value};
use crate::auth::profile::DEFAULT;
use crate::cli::Environment;
use proto::error::Error;

/// How long a login may take.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The command of the options.
pub(super) fn command(
    sub: &SessionSubcommand,
    environment: &Environment,
) -> Result<Command, Error> {
    let session = |action, quiet, service| {
        Command::Session(Box::new(SessionCommand { action, quiet, service }))
    };
    Ok(match sub {
        SessionSubcommand::Show(show) => {
            let action = SessionAction::Show { json: show.json };
            session(action, show.quiet, show.service().resolve(environment)?)
        }
        SessionSubcommand::Refresh(refresh) => {
            if refresh.no_refresh {
                return Err(Error::usage("session refresh and --no-refresh contradict each other"));
            }
            session(SessionAction::Refresh, refresh.quiet, refresh.service().resolve(environment)?)
        }
        SessionSubcommand::Authenticate(args) => {
            Command::Authenticate(Box::new(authenticate(args, environment)?))
        }
        SessionSubcommand::Export(args) => Command::ExportSession(export(args, environment)?),
        SessionSubcommand::Import(args) => Command::ImportSession(import(args, environment)?),
    })
}

fn authenticate(
    args: &SessionAuthenticateArgs,
    environment: &Environment,
) -> Result<AuthenticateCommand, Error> {
    environment.check()?;
    let setting = |option, given: &Option<String>, variable| {
        service::setting(environment, option, given.as_deref(), variable)
    };
    let region = setting("--region", &args.region, "OCI_CLI_REGION").ok_or_else(|| {
        Error::usage("session authenticate needs --region")
            .with_hint("write --region us-ashburn-1 or the like: nothing is asked")
    })?;
    let dual_stack = service::dual_stack(args.enable_dual_stack, environment)?;
    Ok(AuthenticateCommand {
        profile: profile(&args.profile, &args.profile_name, environment)?,
        config_file: config_file(&args.config_file, environment),
        region,
        endpoint: setting("--auth-endpoint", &args.auth_endpoint, "OCIPIPE_AUTH_ENDPOINT"),
        dual_stack,
        tenancy_name: args.tenancy_name.clone(),
        identity_provider_name: args.identity_provider_name.clone(),
        open_browser: !args.no_browser,
        timeout: value::duration("--timeout", args.timeout.as_deref())?.unwrap_or(TIMEOUT),
        force: args.force,
        warnings: environment.defaults.warnings.clone(),
    })
}

fn export(
    args: &SessionExportArgs,
    environment: &Environment,
) -> Result<ExportSessionCommand, Error> {
    environment.check()?;
    let output_file = service::path(environment, args.output_file.as_deref())
        .ok_or_else(|| Error::usage("--output-file is missing"))?;
    // As the OCI CLI does, which adds it always.
    let is_zip =
        output_file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    let output_file = match is_zip {
        true => output_file,
        false => {
            let mut name = output_file.into_os_string();
            name.push(".zip");
            PathBuf::from(name)
        }
    };
    Ok(ExportSessionCommand {
        profile: profile(&args.profile, &args.profile_name, environment)?,
        config_file: config_file(&args.config_file, environment),
        output_file,
        warnings: environment.defaults.warnings.clone(),
    })
}

fn import(
    args: &SessionImportArgs,
    environment: &Environment,
) -> Result<ImportSessionCommand, Error> {
    environment.check()?;
    Ok(ImportSessionCommand {
        archive: service::path(environment, args.session_archive.as_deref())
            .ok_or_else(|| Error::usage("--session-archive is missing"))?,
        profile: given_profile(&args.profile, &args.profile_name, environment)?,
        config_file: config_file(&args.config_file, environment),
        force: args.force,
    })
}

/// The profile: an option before the environment and the file of defaults. Fails as `given_profile`.
fn profile(
    profile: &Option<String>,
    profile_name: &Option<String>,
    environment: &Environment,
) -> Result<String, Error> {
    let given = given_profile(profile, profile_name, environment)?;
    let variable = || environment.var("OCI_CLI_PROFILE").map(str::to_owned);
    let name = given.or_else(variable).or_else(|| profile.clone());
    Ok(name.unwrap_or_else(|| DEFAULT.to_owned()))
}

/// The profile that an option of the command line names: `--profile-name` means `--profile` here. Fails
/// if both are given and differ.
fn given_profile(
    profile: &Option<String>,
    profile_name: &Option<String>,
    environment: &Environment,
) -> Result<Option<String>, Error> {
    let is_default = environment.defaults.origins.contains_key("--profile");
    match (profile_name, profile.as_ref().filter(|_| !is_default)) {
        (Some(name), Some(other)) if name != other => {
            Err(Error::usage("--profile-name and --profile contradict each other"))
        }
        (Some(name), _) | (None, Some(name)) => Ok(Some(name.clone())),
        (None, None) => Ok(None),
    }
}

fn config_file(given: &Option<String>, environment: &Environment) -> Option<PathBuf> {
    service::path(environment, given.as_deref()).or_else(|| environment.path("OCI_CLI_CONFIG_FILE"))
}
