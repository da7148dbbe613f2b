//! The command `serve`, and the embedded store of `put --local`.
//!
//! Owns how the emulator is started, announced and stopped. Must not know how it serves requests.
//! Invariant: stdout gets the URL and nothing else, and a signal stops the emulator in order.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::auth::options::{AuthMode, ServiceOptions, Setting};
use crate::cli::{ServeCommand, ServePar};
use crate::platform::signals::Signals;
use crate::term::stderr::{self, Priority};
use emulator::{self, NewPar, Server, ServerConfig, ServerOptions, StorageLayout};
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::shell;

/// If set, every request is written to `requests.jsonl` in the folder of `serve`; for tests as
/// well.
const LOG: &str = "OCIPIPE_SERVE_LOG";

/// Runs a local Object Storage until a signal stops it. SIGINT and SIGTERM do so even in a
/// background job, where the shell has them ignored. Fails if the store cannot start or the URL
/// cannot be printed.
pub(crate) async fn serve(command: ServeCommand) -> Result<(), Error> {
    let ServeCommand { dir, port, token_ttl, oke_port, par, faults } = command;
    // Before the URL is printed, since its reader may send a signal at once.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal_error)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(internal_error)?;
    // SIGHUP and the like, unless the process started with them ignored.
    let mut others = Signals::subscribe()?;
    let mut options = ServerOptions::new(&dir, StorageLayout::Durable);
    options.port = port;
    options.oke_port = oke_port;
    if let Some(path) = faults {
        read_config(&path)?.apply(&mut options);
    }
    if let Some(ttl) = token_ttl {
        options.token_ttl = ttl;
        options.principal_token_ttl = ttl;
        options.principal_options.jwt_life = ttl.as_secs();
    }
    options.log_file = std::env::var_os(LOG).is_some();
    let server = emulator::start(options).await.map_err(|error| cannot_start(&dir, &error))?;
    let par = par.map(|par| write_par(&server, &par)).transpose()?.unwrap_or_default();
    announce(&server, &par).map_err(|error| {
        Error::usage(format!("The URL cannot be written to stdout: {error}"))
            .with_hint("Give the command a stdout.")
    })?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = others.next() => {}
    }
    server.stop().await;
    Ok(())
}

/// Prints the URL on stdout, and on stderr how to use it; `par` is how to use a pre-authenticated request. Fails if stdout cannot be written.
fn announce(server: &Server, par: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    let config = shell_word(&server.config_path());
    let url = server.url();
    // A stderr that is closed or not read does not stop the emulator.
    let text = format!(
        "A local Object Storage with the buckets demo and backups; it listens on this machine only.\n\
         Upload something:\n\n\
         \x20 echo hello | ocipipe put --config-file {config} --profile {} \\\n\
         \x20   --endpoint {url} --auth-endpoint {url} oci://demo/hello.txt\n\n\
         With an API key instead of the session token: --profile API_KEY\n\
         With TLS: --endpoint {} --cert-bundle {}\n\
         {}{}{}\
         Stop with Ctrl-C.\n",
        Server::SESSION,
        server.https_url(),
        shell_word(&server.ca_path()),
        par,
        login_example(server),
        modes(server),
    );
    stderr::shared().enqueue(text, Priority::Normal);
    Ok(())
}

/// How long the pre-authenticated request of `--par` is valid.
const PAR_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Has the URL of a pre-authenticated request written, and returns how to use it. Fails if the bucket
/// does not exist or the file cannot be written.
fn write_par(server: &Server, par: &ServePar) -> Result<String, Error> {
    let ServePar { bucket, name } = par;
    let (new, name) = match name.as_deref() {
        None => (NewPar::bucket(bucket), Some("hello.txt".to_owned())),
        Some(prefix) if prefix.ends_with('/') => {
            (NewPar::prefix(bucket, prefix), Some(format!("{prefix}hello.txt")))
        }
        Some(name) => (NewPar::object(bucket, name), None),
    };
    let path = server.write_par_file(new.life(PAR_LIFE)).map_err(|error| {
        Error::usage(format!("--par {bucket}: {error}"))
            .with_hint("Name a bucket that exists, as demo or backups.")
    })?;
    let name = name.map(|name| format!(" --name {}", shell::shell_quote(&name)));
    Ok(format!(
        "Without credentials, through a pre-authenticated request:\n\n\
         \x20 echo hello | ocipipe put --par-file {}{}\n\n",
        shell_word(&path),
        name.unwrap_or_default(),
    ))
}

/// How to try a login in a browser.
fn login_example(server: &Server) -> String {
    format!(
        "A session that begins in a browser:\n\n\
         \x20 ocipipe session authenticate --profile-name LOCAL --region local-test-1 \\\n\
         \x20   --auth-endpoint {}\n\n",
        server.url()
    )
}

/// How to try the other ways to sign in.
fn modes(server: &Server) -> String {
    let Some(folder) = server.env_dir() else { return String::new() };
    let folder = folder.display();
    if server.env_values_are_plain() {
        format!(
            "Each other way to sign in has a file of variables in {folder}:\n\n\
             \x20 echo hello | env $(cat {folder}/oke_workload_identity) ocipipe put oci://demo/x\n\n"
        )
    } else {
        format!(
            "Each other way to sign in has a file of variables in {folder}.\n\
             To load one with env $(cat FILE), use a --dir without blanks and special characters.\n"
        )
    }
}

/// The path, quoted as one word of a shell command.
fn shell_word(path: &Path) -> String {
    shell::shell_quote(&path.to_string_lossy())
}

/// Reads the file of `--faults`; fails if it cannot be read or parsed.
fn read_config(path: &Path) -> Result<ServerConfig, Error> {
    let wrong = |error: String| {
        Error::usage(format!("The plan of faults {}: {error}", path.display()))
            .with_hint("Correct the file or leave --faults out.")
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    ServerConfig::parse(&text).map_err(wrong)
}

fn cannot_start(dir: &Path, error: &io::Error) -> Error {
    let message = format!("The local Object Storage cannot start in {}: {error}", dir.display());
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "Choose another --port or --oke-port, or 0 for any free one.",
        io::ErrorKind::InvalidData => "Use an empty folder, or remove the damaged file.",
        _ => "Choose a folder that can be written.",
    };
    Error::usage(message).with_hint(hint)
}

fn internal_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("Signals cannot be caught: {error}"))
}

/// Fails if `put --local` could not store the object; checks what can be checked before writing.
pub(crate) fn check_options(dir: &Path, target: &ObjectUrl) -> Result<(), Error> {
    if let Some(namespace) = target.namespace.as_deref().filter(|it| *it != Server::NAMESPACE) {
        let what = format!("--local and the namespace {namespace} contradict each other");
        return Err(
            Error::usage(what).with_hint("leave the namespace out: --local uses no account")
        );
    }
    emulator::check_writable(dir, &target.bucket, &target.name)
        .map_err(|reason| Error::usage(format!("--local {}: {reason}", dir.display())))
}

/// The embedded store of `put --local DIR`.
pub(crate) struct LocalStore {
    server: Server,
}

impl LocalStore {
    /// Starts a store whose objects are plain files below `dir`; creates `dir` if it does not
    /// exist. Fails if the folder cannot be written.
    pub(crate) async fn start(dir: &Path) -> Result<LocalStore, Error> {
        let options = ServerOptions::new(dir, StorageLayout::PlainFiles);
        let server = emulator::start(options).await.map_err(|error| cannot_start(dir, &error))?;
        Ok(LocalStore { server })
    }

    /// The options with which a client reaches the store. Of the given ones, only those on
    /// refreshing tokens and on tracing remain.
    pub(crate) fn service_options(&self, given: &ServiceOptions) -> ServiceOptions {
        ServiceOptions {
            config_file: Some(self.server.config_path()),
            profile: Some(Setting::new(Server::SESSION, "--local")),
            endpoint: Some(Setting::new(self.server.url(), "--local")),
            auth_endpoint: Some(Setting::new(self.server.url(), "--local")),
            refresh_before: given.refresh_before,
            no_refresh: given.no_refresh,
            auth: Some(AuthMode::SecurityToken),
            client_request_id: given.client_request_id.clone(),
            warnings: given.warnings.clone(),
            ..ServiceOptions::default()
        }
    }

    /// Stops the store and removes its temporary files, but no objects.
    pub(crate) async fn finish(self) {
        self.server.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_printed_command_can_be_pasted() {
        assert_eq!(shell_word(Path::new("/tmp/a-b/config")), "/tmp/a-b/config");
        assert_eq!(shell_word(Path::new("/tmp/it's here")), "\"/tmp/it's here\"");
    }

    #[tokio::test]
    async fn a_local_store_leaves_nothing_but_objects() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::start(&dir.path().join("new")).await.unwrap();
        let options = store.service_options(&ServiceOptions::default());
        assert!(options.config_file.unwrap().is_file());
        let endpoint = options.endpoint.unwrap().text;
        assert!(endpoint.starts_with("http://127.0.0.1:"));
        // The store refreshes its tokens itself.
        assert_eq!(options.auth_endpoint.unwrap().text, endpoint);
        store.finish().await;
        assert_eq!(std::fs::read_dir(dir.path().join("new")).unwrap().count(), 0);
    }
}
