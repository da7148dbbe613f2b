//! The files of a session, named as those of the OCI CLI, and its profile in the config file.
//!
//! Owns the paths, the modes and the order of the writes. Must not know where a session comes from.
//! Invariants: a profile with a user is replaced only if the caller allows it; a file that exists is
//! replaced as a whole or not at all, and none is before all new ones are on the disk. Only a file that is
//! a mount of its own is written in place.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::config_edit::{self, EditError};
use crate::auth::environment::Environment;
use crate::auth::profile::{Profiles, config};
use proto::error::Error;
use proto::login::is_profile_name;
use proto::token::Token;

const KEY: &str = "oci_api_key.pem";
const PUBLIC_KEY: &str = "oci_api_key_public.pem";
const TOKEN: &str = "token";

/// What OCI tools write after a private key, so that scanners recognise it.
const KEY_LABEL: &str = "OCI_API_KEY";

/// Where a session is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionPlace {
    pub profile: String,
    pub config_file: PathBuf,
    /// The folder of key and token.
    pub folder: PathBuf,
}

/// A session to keep.
pub(crate) struct NewSession<'a> {
    /// The private key as PEM.
    pub key_text: &'a str,
    /// The public key as PEM; `None` if the private key cannot be opened here.
    pub public_key: Option<String>,
    pub fingerprint: &'a str,
    /// The pass phrase of the private key, if it has one.
    pub pass_phrase: Option<&'a str>,
    pub tenancy: &'a str,
    pub region: &'a str,
    pub token: &'a Token,
}

impl SessionPlace {
    /// The place of a profile's session. Fails if the name cannot be that of a folder, or if there is no
    /// home folder.
    pub(crate) fn find(
        profile: &str,
        config_file: Option<&Path>,
        environment: &Environment,
    ) -> Result<SessionPlace, Error> {
        if !is_profile_name(profile) {
            let message = format!("{profile:?} cannot be the name of a profile with a session");
            return Err(Error::usage(message)
                .with_hint("use letters, digits, dots, hyphens, underscores and @"));
        }
        let home = environment.home().ok_or_else(|| {
            Error::usage("there is no HOME for the session's files").with_hint("set HOME")
        })?;
        Ok(SessionPlace {
            profile: profile.to_owned(),
            config_file: config::path_to_write(config_file, environment)?,
            // Absolute, since the config file names the files.
            folder: absolute(&home.join(".oci/sessions").join(profile))?,
        })
    }

    /// The text of the config file, empty if there is none, and its profiles. Fails if the file cannot be
    /// read or parsed.
    pub(crate) fn config(&self) -> Result<(Zeroizing<String>, Profiles), Error> {
        let file = &self.config_file;
        let text = config::read_text(file)?.unwrap_or_default();
        let profiles = Profiles::parse(&text).map_err(|error| config::malformed(file, &error))?;
        Ok((text, profiles))
    }

    /// Fails if the profile holds a user, or if a file of the session could not be written.
    pub(crate) fn check_login(&self, may_replace: bool) -> Result<(), Error> {
        let (_, profiles) = self.config()?;
        if !may_replace && profiles.own(&self.profile).contains_key("user") {
            let (profile, file) = (&self.profile, self.config_file.display());
            let message = format!("the profile {profile} in {file} holds a user");
            return Err(Error::usage(message)
                .with_hint("name another one with --profile-name, or replace it with --force"));
        }
        self.check_writable()
    }

    /// Fails if the profile exists, or if a file of the session does.
    pub(crate) fn check_unused(&self) -> Result<(), Error> {
        let (_, profiles) = self.config()?;
        let message = if profiles.names().contains(&self.profile.as_str()) {
            format!("{} has a profile {} already", self.config_file.display(), self.profile)
        } else if let Some(file) =
            [KEY, PUBLIC_KEY, TOKEN].iter().map(|name| self.folder.join(name)).find(|file| {
                // A symlink that leads nowhere counts as a file.
                fs::symlink_metadata(file).is_ok()
            })
        {
            format!("there is a file {} already", file.display())
        } else {
            return self.check_writable();
        };
        Err(Error::usage(message).with_hint(
            "name another profile with --profile-name, or replace this one with --force",
        ))
    }

    /// Fails if a folder or the config file could not be written, or the profile in it.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        // Whether the edit is possible depends on the text and not on the values.
        self.with_profile(&[("key_file", KEY)])?;
        let config = resolved(&self.config_file);
        // A file that is a mount of its own needs no other beside it.
        let folder_of_config =
            (!is_mount(&config)).then(|| config.parent().unwrap_or(Path::new(".")));
        for folder in [self.folder.as_path()].into_iter().chain(folder_of_config) {
            let existing = folder.ancestors().find(|folder| folder.exists());
            let existing = existing.filter(|path| !path.as_os_str().is_empty());
            check_access(existing.unwrap_or(Path::new(".")))?;
        }
        if config.exists() { check_access(&config) } else { Ok(()) }
    }

    /// Writes the files of a session and its profile under temporary names, and then renames them: the key,
    /// then the token, then the profile, so that what reads them meanwhile finds a token that does not match
    /// at worst. Files that are mounts of their own, which no rename replaces, come first. Fails at the first
    /// file that cannot be written; the session before is then as it was, unless a rename fails.
    pub(crate) fn write(&self, session: &NewSession<'_>) -> Result<(), Error> {
        let cannot = |path: &Path| {
            let shown = path.display().to_string();
            move |error: io::Error| {
                Error::usage(format!("{shown} cannot be written: {error}"))
                    .with_hint("let its permissions allow you to write it")
            }
        };
        let config_text = self.config_text(session)?;
        let config = resolved(&self.config_file);
        create_folder(&self.folder).map_err(cannot(&self.folder))?;
        if let Some(folder) = config.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(cannot(folder))?;
        }
        let prepare = |path: PathBuf, text: &str| {
            NewFile::prepare(&path, text).map_err(cannot(&path)).map(|file| (path, file))
        };
        let of_folder = |name: &str, text: &str| prepare(self.folder.join(name), text);
        let public_key = session.public_key.as_ref();
        let files = [
            public_key.map(|text| of_folder(PUBLIC_KEY, text)).transpose()?,
            Some(of_folder(KEY, &key_file(session.key_text))?),
            Some(of_folder(TOKEN, session.token.secret())?),
            Some(prepare(config, &config_text)?),
        ];
        if public_key.is_none() {
            // A public key of the session before belongs to another private key.
            match fs::remove_file(self.folder.join(PUBLIC_KEY)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(cannot(&self.folder)(error));
                }
                _ => {}
            }
        }
        let (in_place, beside): (Vec<_>, Vec<_>) =
            files.into_iter().flatten().partition(|(_, file)| file.is_in_place());
        write_all_in_place(&in_place).map_err(|(path, error)| cannot(&path)(error))?;
        beside.into_iter().try_for_each(|(path, file)| file.replace(&path).map_err(cannot(&path)))
    }

    /// The text of the config file with the profile of a session.
    fn config_text(&self, session: &NewSession<'_>) -> Result<Zeroizing<String>, Error> {
        let path = |name: &str| {
            let path = self.folder.join(name);
            path.to_str().map(str::to_owned).ok_or_else(|| {
                Error::usage(format!("{} is not UTF-8 text", path.display()))
                    .with_hint("a config file cannot name it: set HOME to another folder")
            })
        };
        let (key_file, token_file) = (path(KEY)?, path(TOKEN)?);
        let mut values = vec![
            ("fingerprint", session.fingerprint),
            ("key_file", &key_file),
            ("tenancy", session.tenancy),
            ("region", session.region),
        ];
        values.extend(session.pass_phrase.map(|pass_phrase| ("pass_phrase", pass_phrase)));
        values.push(("security_token_file", &token_file));
        self.with_profile(&values)
    }

    /// The text of the config file with these values of the profile. Fails if the file cannot be read, or
    /// the profile cannot be written into it.
    fn with_profile(&self, values: &[(&str, &str)]) -> Result<Zeroizing<String>, Error> {
        let (text, _) = self.config()?;
        config_edit::with_profile(&text, &self.profile, values).map_err(|error| {
            let file = self.config_file.display();
            match error {
                EditError::Parse(error) => config::malformed(&self.config_file, &error),
                EditError::Unsafe => Error::usage(format!(
                    "{file}: the profile {} cannot be written without a change of others",
                    self.profile
                ))
                .with_hint("name another profile, or correct the indentation of the file"),
            }
        })
    }
}

/// The contents of a private key's file: the PEM text and the label on a line of its own, without a line
/// end.
fn key_file(pem: &str) -> Zeroizing<String> {
    let bare = pem.trim_end().strip_suffix(KEY_LABEL).unwrap_or(pem).trim_end();
    Zeroizing::new(format!("{bare}\n{KEY_LABEL}"))
}

/// Creates the folder of a session with mode 0700, and its parents with the mode that the umask gives.
fn create_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        result => result,
    }
}

/// The new contents of a file.
enum NewFile {
    /// A file with mode 0600 under a temporary name, which is removed unless the file takes its place.
    Beside(NamedTempFile),
    /// The new and the former text of a file that is a mount of its own, so that no other takes its place.
    InPlace { text: Zeroizing<String>, former: Zeroizing<Vec<u8>> },
}

impl NewFile {
    /// Writes the file to the disk, beside the one that it will replace, whose owner it keeps. A file that
    /// is a mount of its own is only read.
    fn prepare(target: &Path, text: &str) -> io::Result<NewFile> {
        if is_mount(target) {
            let (text, former) = (text.to_owned().into(), fs::read(target)?.into());
            return Ok(NewFile::InPlace { text, former });
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut temporary = tempfile::Builder::new()
            .prefix(".ocipipe-")
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        temporary.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(target) {
            let new = temporary.as_file().metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
            }
        }
        temporary.as_file().sync_all()?;
        Ok(NewFile::Beside(temporary))
    }

    fn is_in_place(&self) -> bool {
        matches!(self, NewFile::InPlace { .. })
    }

    fn replace(self, target: &Path) -> io::Result<()> {
        match self {
            NewFile::Beside(temporary) => {
                temporary.persist(target)?;
                Ok(())
            }
            NewFile::InPlace { text, .. } => overwrite(target, text.as_bytes()),
        }
    }
}

/// Writes the files that are mounts of their own. If one fails, those written so far get their former text.
fn write_all_in_place(files: &[(PathBuf, NewFile)]) -> Result<(), (PathBuf, io::Error)> {
    for (index, (path, file)) in files.iter().enumerate() {
        let NewFile::InPlace { text, .. } = file else { continue };
        let Err(error) = overwrite(path, text.as_bytes()) else { continue };
        for (path, file) in &files[..=index] {
            if let NewFile::InPlace { former, .. } = file {
                // The error of the write matters more than one of this.
                let _ = overwrite(path, former);
            }
        }
        return Err((path.clone(), error));
    }
    Ok(())
}

/// Gives an existing file these contents, down to the disk.
fn overwrite(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options().write(true).open(path)?;
    // The longer text first: a full disk is found before anything is cut off.
    file.write_all(contents)?;
    file.set_len(contents.len() as u64)?;
    file.sync_all()
}

/// Whether the file is a mount of its own, such as one file of the host in a container.
fn is_mount(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    stat.is_ok_and(|stat| {
        path.is_file() && stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

fn check_access(path: &Path) -> Result<(), Error> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|error| {
        let error = io::Error::from(error);
        Error::usage(format!("{} cannot be written: {error}", path.display()))
            .with_hint("let its permissions allow you to write it")
    })
}

/// The path that a symlink leads to, also if there is nothing.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path.to_owned(),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::usage(format!("the folder {} has no absolute path: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests;
