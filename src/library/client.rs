//! The client of the library: an account, an endpoint, and connections that its requests share.
//!
//! Owns the public settings and their translation. Must not know objects. Invariant: a setting that is not
//! understood is an error of `open`, never counted as absent.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, CertBundle, NetworkOptions, ServiceOptions, Setting};
use crate::net::Throttle;
use crate::term::log::Level;
use crate::term::progress::{Heard, Reporter};
use crate::transfer::client::{Client, Timeouts};

/// How a [`Client`](crate::Client) signs in, and how it reaches the service.
///
/// By default it signs with the profile `DEFAULT` of `~/.oci/config`, in the way that `authentication_type`
/// names there: else with its session token if it names one, else with its API key. Of the environment it
/// reads `HOME`, `OCI_CONFIG_FILE` and `OCI_REGION`, and the variables that belong to a way of signing in, such
/// as `OCI_RESOURCE_PRINCIPAL_VERSION` and `OCI_CLI_KEY_FILE`; not those that stand for other options of the
/// program, such as `OCI_CLI_PROFILE`.
///
/// Each text is checked by [`Client::open`](crate::Client::open).
#[derive(Default)]
#[must_use]
pub struct ClientConfig {
    options: ServiceOptions,
    auth: Option<String>,
    retry_for: Option<Duration>,
    stall_timeout: Option<Duration>,
    bandwidth: Option<u64>,
    on_warning: Option<OnWarning>,
}

/// Takes a warning, which is one line.
type OnWarning = Box<dyn Fn(&str) + Send + Sync>;

/// The origin of a setting in messages.
const ORIGIN: &str = "the client's configuration";

/// How long a transfer may go without progress, unless configured.
const RETRY_FOR: Duration = Duration::from_secs(3600);
/// A longer duration counts as this one, 100 years: clocks cannot add more.
const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);
/// How long a connection may go without moving a byte, unless configured.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

impl ClientConfig {
    /// The defaults.
    pub fn new() -> ClientConfig {
        ClientConfig::default()
    }

    /// Takes this config file in place of `~/.oci/config`.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> ClientConfig {
        self.options.config_file = Some(path.into());
        self.options.config_file_is_given = true;
        self
    }

    /// Takes this profile in place of `DEFAULT`.
    pub fn profile(mut self, name: &str) -> ClientConfig {
        self.options.profile = Some(Setting::new(name, ORIGIN));
        self.options.profile_is_given = true;
        self
    }

    /// Signs in this way: `api_key`, `security_token`, `instance_principal`, `resource_principal`,
    /// `oke_workload_identity` or `instance_obo_user`.
    pub fn auth(mut self, mode: &str) -> ClientConfig {
        self.auth = Some(mode.to_owned());
        self
    }

    /// Takes this region in place of the profile's.
    pub fn region(mut self, region: &str) -> ClientConfig {
        self.options.region = Some(Setting::new(region, ORIGIN));
        self
    }

    /// Sends to this URL in place of the region's Object Storage.
    pub fn endpoint(mut self, url: impl Into<String>) -> ClientConfig {
        self.options.endpoint = Some(Setting::new(url, ORIGIN));
        self
    }

    /// Refreshes tokens at this URL in place of the region's auth service.
    pub fn auth_endpoint(mut self, url: impl Into<String>) -> ClientConfig {
        self.options.auth_endpoint = Some(Setting::new(url, ORIGIN));
        self
    }

    /// Trusts the certificates of this PEM file in place of the system's.
    pub fn cert_bundle(mut self, path: impl Into<PathBuf>) -> ClientConfig {
        let bundle = CertBundle { paths: vec![path.into()], origin: ORIGIN.to_owned() };
        self.network().cert_bundle = Some(bundle);
        self
    }

    /// Connects through this proxy.
    pub fn proxy(mut self, url: impl Into<String>) -> ClientConfig {
        self.network().proxy = Some(Setting::new(url, ORIGIN));
        self
    }

    /// Gives up when a transfer made no progress for this long, in place of one hour. While it waits,
    /// the stream is not lost: it stays in memory, and in its producer.
    pub fn retry_for(mut self, limit: Duration) -> ClientConfig {
        self.retry_for = Some(limit);
        self
    }

    /// Repeats a request whose connection moved no byte for this long, in place of 60 s.
    pub fn stall_timeout(mut self, limit: Duration) -> ClientConfig {
        self.stall_timeout = Some(limit);
        self
    }

    /// Sends at most this many bytes a second, all uploads of the client together.
    pub fn bandwidth(mut self, bytes_per_second: u64) -> ClientConfig {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// Passes warnings about credentials and connections to a function, a line each. The default is to
    /// discard them: what ends a run is in its error too. The function is called while requests wait for it:
    /// it must return at once, and not panic.
    pub fn on_warning(mut self, warn: impl Fn(&str) + Send + Sync + 'static) -> ClientConfig {
        self.on_warning = Some(Box::new(warn));
        self
    }

    fn network(&mut self) -> &mut NetworkOptions {
        &mut self.options.network
    }
}

// A URL may contain a password.
impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig").finish_non_exhaustive()
    }
}

/// An account at one endpoint. Uploads share its credentials, whose token it refreshes in the background,
/// and its idle connections.
///
/// It has to be opened and used within one tokio runtime with time and I/O enabled; one thread is enough,
/// since the connections have threads of their own. The runtime has to run for as long as the client is used: a
/// task of it refreshes the token.
pub struct StorageClient {
    pub(super) transfer: Client,
    pub(super) retry_for: Duration,
    pub(super) stall_timeout: Duration,
}

impl StorageClient {
    /// Reads the credentials and obtains the first token, where the way of signing in needs one. Sends
    /// nothing to Object Storage.
    ///
    /// # Errors
    ///
    /// Fails where a setting is not valid, where there are no credentials, and where no token is issued.
    pub async fn open(config: ClientConfig) -> Result<Self, Error> {
        let ClientConfig { mut options, auth, retry_for, stall_timeout, bandwidth, on_warning } =
            config;
        options.auth = auth.as_deref().map(AuthMode::parse).transpose()?;
        let timeouts = Timeouts {
            retry_for: retry_for.unwrap_or(RETRY_FOR).min(MAX_DURATION),
            stall_timeout: stall_timeout.unwrap_or(STALL_TIMEOUT).min(MAX_DURATION),
        };
        let reporter = Reporter::listening(move |heard| {
            if let (Heard::Message { level: Level::Warning, text }, Some(warn)) =
                (heard, &on_warning)
            {
                warn(text);
            }
        });
        let environment = Environment::capture();
        environment.check()?;
        let client =
            Client::open_session(&options, &environment, timeouts, &Arc::new(reporter)).await?;
        let throttle = bandwidth.map(|rate| Arc::new(Throttle::new(rate)));
        let transfer = Client { throttle, ..client };
        let Timeouts { retry_for, stall_timeout } = timeouts;
        Ok(StorageClient { transfer, retry_for, stall_timeout })
    }
}

impl fmt::Debug for StorageClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
