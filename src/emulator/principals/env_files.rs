//! The files `DIR/env/MODE`: the variables that lead a client to this server in each way to sign in.
//!
//! Owns the names and values of the variables; knows neither a request nor a token. Invariant: a
//! value holds no secret, since secrets are in files that the values name, and each line is
//! `NAME=value`.

use super::super::state_dir::{self, REGION};
use super::identity_domain::CLIENT_ID;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a client finds the services and files.
pub(crate) struct Places {
    /// The folder of the server; the files are in its folder `env`.
    pub dir: PathBuf,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The port of the OKE token service.
    pub oke_port: u16,
    /// Whether the key of the resource principal of version 2.2 is encrypted.
    pub encrypted_key: bool,
}

/// The name and the value of a variable.
type Variable = (&'static str, String);

/// One file: its name, and its variables in order.
type EnvFile = (&'static str, Vec<Variable>);

impl Places {
    /// The folder with the files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.join("env")
    }

    /// Whether a shell reads each value back as one word in `env $(cat FILE)`.
    pub(crate) fn are_plain_words(&self) -> bool {
        let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=~".contains(c);
        self.dir.to_str().is_some_and(|text| text.chars().all(plain))
    }

    /// Writes the files, readable by their owner only. Fails if the folder cannot be written.
    pub(crate) fn write(&self) -> io::Result<()> {
        let folder = self.folder();
        create_private_dir(&folder)?;
        for (mode, variables) in self.files() {
            let lines: String =
                variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            state_dir::write_private(&folder.join(mode), lines.as_bytes())?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn files(&self) -> Vec<EnvFile> {
        vec![
            ("api_key", self.user("api_key", "API_KEY")),
            ("security_token", self.user("security_token", state_dir::SESSION)),
            ("instance_principal", self.instance("instance_principal")),
            ("instance_obo_user", self.delegated()),
            ("resource_principal", self.resource_of_files()),
            ("resource_principal_1.1", self.resource_of_instance()),
            ("resource_principal_2.1", self.resource_with_key("2.1")),
            ("resource_principal_2.1.1", self.resource_with_key("2.1.1")),
            ("resource_principal_2.1.2", self.resource_with_key("2.1.2")),
            ("oke_workload_identity", self.pod()),
            ("token_exchange", self.outside_identity()),
        ]
    }

    /// What every file begins with.
    fn mode(&self, mode: &str) -> Vec<Variable> {
        vec![("OCI_CLI_AUTH", mode.to_owned()), ("OCI_CLI_ENDPOINT", self.url.clone())]
    }

    fn user(&self, mode: &str, profile: &str) -> Vec<Variable> {
        let mut variables = self.mode(mode);
        variables.extend([
            ("OCI_CLI_CONFIG_FILE", self.path("config")),
            ("OCI_CLI_PROFILE", profile.to_owned()),
            ("OCIPIPE_AUTH_ENDPOINT", self.url.clone()),
        ]);
        variables
    }

    fn instance(&self, mode: &str) -> Vec<Variable> {
        let mut variables = self.mode(mode);
        variables.extend([
            ("OCI_METADATA_BASE_URL", format!("{}/opc/v2", self.url)),
            ("OCI_CLI_FEDERATION_ENDPOINT", format!("{}/v1/x509", self.url)),
            ("OCI_SDK_AUTH_CLIENT_REGION_URL", self.url.clone()),
        ]);
        variables
    }

    fn delegated(&self) -> Vec<Variable> {
        let mut variables = self.instance("instance_obo_user");
        variables.extend([
            // The OCI CLI requires a config file in this mode, with any profile.
            ("OCI_CLI_CONFIG_FILE", self.path("config")),
            ("OCI_CLI_DELEGATION_TOKEN_FILE", self.path("delegation_token")),
        ]);
        variables
    }

    fn resource_of_files(&self) -> Vec<Variable> {
        let mut variables = self.mode("resource_principal");
        variables.extend([
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPST", self.path("resource_principal/token")),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", self.path("resource_principal/key.pem")),
            ("OCI_RESOURCE_PRINCIPAL_REGION", REGION.to_owned()),
        ]);
        if self.encrypted_key {
            let path = self.path("resource_principal/passphrase");
            variables.push(("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", path));
        }
        variables
    }

    fn resource_of_instance(&self) -> Vec<Variable> {
        let mut variables = self.instance("resource_principal");
        variables.extend([
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "1.1".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT", self.url.clone()),
            ("OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT", self.url.clone()),
        ]);
        variables
    }

    fn resource_with_key(&self, version: &str) -> Vec<Variable> {
        let key = self.path("resource_principal/resource-key.pem");
        let mut variables = self.mode("resource_principal");
        variables.extend([
            ("OCI_RESOURCE_PRINCIPAL_VERSION", version.to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT", self.url.clone()),
            ("OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT", self.url.clone()),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", key),
            ("OCI_RESOURCE_PRINCIPAL_RESOURCE_ID", state_dir::RESOURCE.to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_TENANCY_ID", state_dir::TENANCY.to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_REGION", REGION.to_owned()),
        ]);
        if version == "2.1.2" {
            // The Python SDK requires it, as an opaque text.
            let context = "OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT";
            variables.push((context, "local-store".to_owned()));
        }
        variables
    }

    fn pod(&self) -> Vec<Variable> {
        let mut variables = self.mode("oke_workload_identity");
        variables.extend([
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT_PROXYMUX", self.oke_port.to_string()),
            ("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", self.path("oke/ca.crt")),
            ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", self.path("oke/token")),
            // The Go SDK requires a version as well.
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_REGION", REGION.to_owned()),
        ]);
        variables
    }

    fn outside_identity(&self) -> Vec<Variable> {
        let mut variables = self.mode("token_exchange");
        variables.extend([
            ("OCIPIPE_EXCHANGE_URL", self.url.clone()),
            ("OCIPIPE_EXCHANGE_JWT_FILE", self.path("exchange/jwt")),
            ("OCIPIPE_EXCHANGE_CLIENT_ID", CLIENT_ID.to_owned()),
            ("OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE", self.path("exchange/client-secret")),
            ("OCI_CLI_REGION", REGION.to_owned()),
        ]);
        variables
    }
}

/// Creates a folder of mode 0700, or gives an existing one this mode. Fails if the system refuses
/// that.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dir: &Path) -> Places {
        let url = "http://127.0.0.1:9000".to_owned();
        Places { dir: dir.to_owned(), url, oke_port: 12250, encrypted_key: false }
    }

    #[test]
    fn each_mode_has_a_private_file_of_plain_assignments() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        fs::create_dir(places.folder()).unwrap();
        places.write().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&places.folder()), 0o700);
        for name in [
            "api_key",
            "security_token",
            "instance_principal",
            "instance_obo_user",
            "resource_principal",
            "oke_workload_identity",
            "token_exchange",
        ] {
            let path = places.folder().join(name);
            assert_eq!(mode(&path), 0o600, "{name}");
            let text = fs::read_to_string(path).unwrap();
            assert!(text.starts_with(&format!("OCI_CLI_AUTH={name}\n")), "{text}");
            for line in text.lines() {
                let (variable, value) = line.split_once('=').unwrap();
                let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
                assert!(variable.chars().all(capital), "{line}");
                assert!(!value.is_empty() && !value.contains(char::is_whitespace), "{line}");
            }
        }
    }

    #[test]
    fn a_folder_that_a_shell_would_split_or_expand_is_noticed() {
        for (dir, plain) in [("/tmp/a-b_c.d", true), ("/tmp/a b", false), ("/tmp/a*", false)] {
            assert_eq!(places(Path::new(dir)).are_plain_words(), plain, "{dir}");
        }
    }
}
