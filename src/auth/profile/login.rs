//! The hint that names the command for a new login.
//!
//! Pure. Owns the text of the hint and the choice of the profile to log in to. Must not know why a
//! login is needed. Invariant: no hint names a command for a profile with a user, which `oci session
//! authenticate` erases and `ocipipe session authenticate` refuses.

use std::path::PathBuf;

use proto::shell;

/// The properties of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// The profile that the session is for.
    pub profile: String,
    /// The profile that the login writes.
    pub session_profile: SessionProfile,
    /// The config file; `None` if a login writes it by default.
    pub config_file: Option<PathBuf>,
    pub region: Option<String>,
}

/// Which profile a login may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionProfile {
    /// The profile itself.
    Profile,
    /// Another profile with this unused name, since the profile itself has a user.
    Beside(String),
    /// Another profile with this unused name, since a login refuses the name of the profile itself.
    Renamed(String),
    /// None: there is no config file, and environment variables name the session's files.
    Environment,
}

impl Login {
    /// The hint, as the start of a sentence.
    pub(super) fn hint(&self) -> String {
        let command = |profile: &str| format!("`{}`", self.command(profile));
        match &self.session_profile {
            SessionProfile::Profile => {
                format!(
                    "begin a new session with {} (or with `oci session authenticate`)",
                    command(&self.profile)
                )
            }
            SessionProfile::Beside(name) => format!(
                "the profile {} holds a user, which a login would erase: begin a session in a profile \
                 of its own with {}, and give --profile {}",
                self.profile,
                command(name),
                shell::shell_quote(name)
            ),
            SessionProfile::Renamed(name) => format!(
                "a login refuses the name of the profile {}: begin a session with {}, and give \
                 --profile {}",
                self.profile,
                command(name),
                shell::shell_quote(name)
            ),
            SessionProfile::Environment => format!(
                "begin a new session with {}, and let OCI_CLI_SECURITY_TOKEN_FILE and OCI_CLI_KEY_FILE \
                 name its files",
                command("ocipipe-session")
            ),
        }
    }

    fn command(&self, profile: &str) -> String {
        let mut command =
            format!("ocipipe session authenticate --profile-name {}", shell::shell_quote(profile));
        // The command needs a region; a run with an endpoint may have none.
        let region = self.region.as_deref().unwrap_or("REGION");
        command += &format!(" --region {}", shell::shell_quote(region));
        if let Some(file) = &self.config_file {
            command +=
                &format!(" --config-file {}", shell::shell_quote(&file.display().to_string()));
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(session_profile: SessionProfile) -> Login {
        Login {
            profile: "BACKUP".into(),
            session_profile,
            config_file: Some("/etc/oci config".into()),
            region: Some("us-phoenix-1".into()),
        }
    }

    #[test]
    fn a_login_writes_the_profile_in_its_config_file() {
        assert_eq!(
            login(SessionProfile::Profile).hint(),
            "begin a new session with `ocipipe session authenticate --profile-name BACKUP --region \
             us-phoenix-1 --config-file '/etc/oci config'` (or with `oci session authenticate`)"
        );
        let plain = Login { config_file: None, region: None, ..login(SessionProfile::Profile) };
        let command = "`ocipipe session authenticate --profile-name BACKUP --region REGION`";
        assert!(plain.hint().contains(command), "{}", plain.hint());
    }

    #[test]
    fn a_login_never_writes_a_profile_that_holds_or_may_hold_a_user() {
        for session_profile in [
            SessionProfile::Beside("free".into()),
            SessionProfile::Renamed("free".into()),
            SessionProfile::Environment,
        ] {
            let hint = login(session_profile).hint();
            assert!(!hint.contains("--profile-name BACKUP"), "{hint}");
            assert!(hint.contains("ocipipe session authenticate --profile-name"), "{hint}");
        }
    }
}
