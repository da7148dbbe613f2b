//! The commands `session export` and `session import`: a session on its way to another host.
//!
//! Owns the files of both. Must not know the format of the archive. Invariants: an archive has mode 0600
//! and replaces no file; an import replaces a profile or a file only with `--force`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::auth::environment::Environment;
use crate::auth::login::archive::{self, ArchiveError, CarriedSession, MAX_SIZE};
use crate::auth::login::files::{NewSession, SessionPlace};
use crate::auth::profile::Section;
use crate::auth::profile::config;
use crate::cli::{ExportSessionCommand, ImportSessionCommand};
use crate::platform::small_file;
use crate::term::progress::Reporter;
use proto::error::{Error, ErrorKind};
use proto::principal::SessionKey;
use proto::region::Region;
use proto::shell::shell_quote;
use proto::token::Token;
use proto::units::DisplayTime;

/// Key and token are read up to 4 times, 100 ms apart, while another process replaces them.
const READ_ATTEMPTS: u32 = 4;
const READ_INTERVAL: Duration = Duration::from_millis(100);

/// Writes the session of a profile to an archive. Fails if the profile has no session, if its files
/// cannot be read or do not belong together, or if the archive exists.
pub(crate) fn export(
    command: &ExportSessionCommand,
    environment: &Environment,
) -> Result<(), Error> {
    let reporter = Reporter::without_progress();
    command.warnings.iter().for_each(|warning| reporter.warn(warning));
    let output = &command.output_file;
    if output.symlink_metadata().is_ok() {
        return Err(Error::usage(format!("there is a file {} already", output.display()))
            .with_hint("name another --output-file"));
    }
    let values = profile(command, environment)?;
    let session = read_session(&command.profile, &values, environment)?;
    let bytes = archive::write(&session)
        .map_err(|error| Error::usage(format!("the session cannot be exported: {error}")))?;
    write_archive(output, &bytes)?;
    reporter.info(&format!(
        "{} holds the session of the profile {}, key included: a copy of it is the whole session; its \
         token {}",
        output.display(),
        command.profile,
        validity(&session.token)
    ));
    warn_if_expired(&reporter, &session.token);
    Ok(())
}

/// The values of the profile to export, inherited ones included.
fn profile(command: &ExportSessionCommand, environment: &Environment) -> Result<Section, Error> {
    let file = config::path_to_write(command.config_file.as_deref(), environment)?;
    let shown = file.display();
    let text = config::read_text(&file)?.ok_or_else(|| {
        Error::usage(format!("there is no config file {shown}"))
            .with_hint("check --config-file and OCI_CLI_CONFIG_FILE")
    })?;
    let profiles = crate::auth::profile::Profiles::parse(&text)
        .map_err(|error| config::malformed(&file, &error))?;
    let name = &command.profile;
    let values = profiles.profile(name).ok_or_else(|| {
        let names = profiles.names().join(", ");
        Error::usage(format!("{shown} has no profile {name:?}"))
            .with_hint(format!("its profiles are: {names}"))
    })?;
    let has_session = ["security_token_file", "key_file"]
        .iter()
        .all(|key| values.get(*key).is_some_and(|value| !value.is_empty()));
    if has_session {
        return Ok(values);
    }
    let message = format!("the profile {name} in {shown} has no session");
    Err(Error::usage(message).with_hint(
        "name one with a security_token_file and a key_file, as `ocipipe session authenticate` writes \
         it",
    ))
}

/// Key and token of a profile, as one state of their files.
fn read_session(
    name: &str,
    values: &Section,
    environment: &Environment,
) -> Result<CarriedSession, Error> {
    let text = |key: &str| {
        let path =
            values.get(key).map(|path| environment.expand(path.as_str())).unwrap_or_default();
        small_file::read(key, &path)
    };
    let mut attempt = 1;
    loop {
        let token = text("security_token_file")
            .map_err(|error| Error { kind: ErrorKind::Credentials, ..error })?;
        let key = text("key_file")?;
        match CarriedSession::of(name, values, &key, &token) {
            Ok(session) => return Ok(session),
            Err(ArchiveError::Mismatch | ArchiveError::Token(_) | ArchiveError::Key(_))
                if attempt < READ_ATTEMPTS =>
            {
                std::thread::sleep(READ_INTERVAL);
                attempt += 1;
            }
            Err(error) => return Err(of_session(name, error)),
        }
    }
}

/// The error of a session that cannot be carried.
fn of_session(name: &str, error: ArchiveError) -> Error {
    let kind = match error {
        ArchiveError::Token(_) | ArchiveError::Mismatch => ErrorKind::Credentials,
        _ => ErrorKind::Usage,
    };
    Error::new(kind, format!("the session of the profile {name} cannot be exported: {error}"))
}

/// Writes an archive with mode 0600 under a temporary name. Fails if there is a file with its name.
fn write_archive(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::usage(format!("there is a file {} already", path.display()))
        }
        _ => Error::usage(format!("{} cannot be written: {error}", path.display())),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut temporary = tempfile::Builder::new()
        .prefix(".ocipipe-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(cannot)?;
    temporary.write_all(bytes).map_err(cannot)?;
    temporary.as_file().sync_all().map_err(cannot)?;
    temporary.persist_noclobber(path).map_err(|error| cannot(error.error))?;
    Ok(())
}

/// Takes the session of an archive: writes its files and its profile. Fails if the archive holds
/// anything else than one session, or if something would be replaced without `--force`.
pub(crate) fn import(
    command: &ImportSessionCommand,
    environment: &Environment,
) -> Result<(), Error> {
    let reporter = Reporter::without_progress();
    let shown = command.archive.display();
    let bytes = read_archive(&command.archive)?;
    let refused = |error: ArchiveError| {
        Error::usage(format!("the archive {shown} is not imported: {error}")).with_hint(
            "export the session anew with `ocipipe session export` or `oci session export`",
        )
    };
    let session = archive::read(&bytes).map_err(refused)?;
    let region = Region::find(&session.region, &config::region_sources(environment))?;
    let name = command.profile.as_ref().unwrap_or(&session.profile);
    let place = SessionPlace::find(name, command.config_file.as_deref(), environment)?;
    if command.force {
        place.check_writable()?;
    } else {
        place.check_unused()?;
    }
    let CarriedSession { key, key_text, token, fingerprint, .. } = session;
    place.write(&NewSession {
        key_text: &key_text,
        public_key: key.map(|key| SessionKey::of(key.into()).public_pem()),
        fingerprint: &fingerprint,
        pass_phrase: session.pass_phrase.as_ref().map(|text| text.as_str()),
        tenancy: &session.tenancy,
        region: &region.name,
        token: &token,
    })?;
    reporter.info(&format!(
        "imported: the profile {name} in {} has the session of the archive, whose token {}; use it with \
         --profile {}",
        place.config_file.display(),
        validity(&token),
        shell_quote(name)
    ));
    if !session.ignored.is_empty() {
        let keys = session.ignored.join(", ");
        reporter.info(&format!("not taken from the archive's profile: {keys}"));
    }
    warn_if_expired(&reporter, &token);
    Ok(())
}

fn read_archive(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let cannot = |error: io::Error| {
        Error::usage(format!("the archive {} cannot be read: {error}", path.display()))
            .with_hint("check --session-archive")
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SIZE + 1));
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// Until when a token is valid, as the end of a sentence.
fn validity(token: &Token) -> String {
    let verb = if is_expired(token) { "expired" } else { "expires" };
    format!("{verb} at {}", DisplayTime(Duration::from_secs(token.expires)))
}

fn is_expired(token: &Token) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    token.expires <= now.as_secs()
}

fn warn_if_expired(reporter: &Reporter, token: &Token) {
    if is_expired(token) {
        reporter.warn(
            "the token has expired: begin a new session with `ocipipe session authenticate`, and carry \
             that one",
        );
    }
}
