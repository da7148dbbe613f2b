//! The command `session authenticate`: a login in a browser begins a session.
//!
//! Owns the order of the steps and what the user reads. Must not know how a redirect is checked or a
//! file is written. Invariants: everything that can be checked is checked before the address is shown;
//! only the address goes to stdout.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth::environment::Environment;
use crate::auth::login::browser;
use crate::auth::login::files::{NewSession, SessionPlace};
use crate::auth::login::listener::Listener;
use crate::auth::profile::config;
use crate::cli::AuthenticateCommand;
use crate::term::log::LogFormat;
use crate::term::progress::Reporter;
use crate::term::startup_fds;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::login::callback::{PendingLogin, Refusal};
use proto::login::{self, AuthorizeRequest};
use proto::principal::SessionKey;
use proto::region::Region;
use proto::shell::shell_quote;
use proto::token::Token;
use proto::units::{DisplayDuration, DisplayTime};

/// Warnings of refused redirects; further ones are not shown.
const MAX_WARNINGS: u32 = 10;

/// The variables that name another key or token than the profile's.
const OVERRIDES: [&str; 3] =
    ["OCI_CLI_KEY_FILE", "OCI_CLI_KEY_CONTENT", "OCI_CLI_SECURITY_TOKEN_FILE"];

/// Signs in with a browser, and writes the session's files and its profile. Fails if the profile holds a
/// user, if a file cannot be written, if the port is taken, or if no login ends within the timeout.
pub(crate) async fn authenticate(
    command: AuthenticateCommand,
    environment: &Environment,
) -> Result<(), Error> {
    let reporter = Reporter::without_progress();
    command.warnings.iter().for_each(|warning| reporter.warn(warning));
    let region = region(&command, environment)?;
    region.warnings.iter().for_each(|warning| reporter.warn(warning));
    let endpoint = match &command.endpoint {
        Some(url) => Endpoint::parse(&url.origin, &url.text)?,
        None => region.login(command.dual_stack.as_deref())?,
    };
    let place = SessionPlace::find(&command.profile, command.config_file.as_deref(), environment)?;
    place.check_login(command.force)?;
    let listener = Listener::bind(login::PORT).await?;
    let (key, key_text) = SessionKey::generate_for_file()?;
    let nonce = login::new_nonce()?;
    let url = AuthorizeRequest {
        endpoint: &endpoint,
        key: &key,
        nonce: &nonce,
        tenancy: command.tenancy_name.as_deref(),
        provider: command.identity_provider_name.as_deref(),
    }
    .url();
    show(&reporter, &command, &url, environment);
    let pending = PendingLogin { modulus: key.modulus(), nonce, port: listener.port() };
    let is_written = Cell::new(false);
    let finish = |token: Token| {
        place.check_login(command.force)?;
        place.write(&NewSession {
            key_text: &key_text,
            public_key: Some(key.public_pem()),
            fingerprint: key.key.fingerprint(),
            pass_phrase: None,
            tenancy: token.tenancy.as_deref().unwrap_or_default(),
            region: &region.name,
            token: &token,
        })?;
        is_written.set(true);
        report(&reporter, &place, &token, environment);
        Ok(())
    };
    let warnings = Cell::new(0);
    let on_refusal = |refusal: &Refusal| {
        warnings.set(warnings.get() + 1);
        if warnings.get() <= MAX_WARNINGS {
            reporter.warn(&format!("a redirect was refused, still waiting: {refusal}"));
        }
    };
    match tokio::time::timeout(command.timeout, listener.wait(pending, finish, on_refusal)).await {
        Ok(result) => result,
        // The browser alone did not take the answer in time.
        Err(_) if is_written.get() => Ok(()),
        Err(_) => {
            let timeout = DisplayDuration::prose(command.timeout);
            Err(Error::credentials(format!("no login has ended within {timeout}")).with_hint(
                "run the command again, with a longer --timeout if the login takes longer; if the \
                 browser runs on another host, forward port 8181 to this one",
            ))
        }
    }
}

/// The region of the login. Fails if it cannot be one.
fn region(command: &AuthenticateCommand, environment: &Environment) -> Result<Region, Error> {
    let setting = &command.region;
    Region::find(&setting.text, &config::region_sources(environment)).map_err(|error| Error {
        message: format!("{}: {}", setting.origin, error.message),
        ..error
    })
}

/// Shows the address, and opens it in a browser. It goes to stderr for people, and to a stdout that is
/// no terminal for programs.
fn show(reporter: &Reporter, command: &AuthenticateCommand, url: &str, environment: &Environment) {
    let timeout = DisplayDuration::prose(command.timeout);
    let is_opened = command.open_browser && browser::open(url, environment);
    let first = match (is_opened, command.open_browser) {
        (true, _) => "sign in with the browser that opens, or open this address yourself",
        (false, true) => "no browser can be opened: open this address in one",
        (false, false) => "open this address in a browser",
    };
    reporter.info(&format!("{first} (waiting for {timeout}):\n\n  {url}\n"));
    if !std::io::stdout().is_terminal() {
        startup_fds::print_result(&format!("{url}\n"), LogFormat::Text);
    }
}

/// What the user should know of the new session.
fn report(reporter: &Reporter, place: &SessionPlace, token: &Token, environment: &Environment) {
    let SessionPlace { profile, config_file, .. } = place;
    let expires = Duration::from_secs(token.expires);
    let shown = config_file.display();
    reporter.info(&format!(
        "signed in: the profile {profile} in {shown} has a session until {}, which ocipipe renews as \
         long as the service allows; use it with --profile {}",
        DisplayTime(expires),
        shell_quote(profile)
    ));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if expires <= now {
        reporter.warn("by the clock of this host the token has expired already: check the clock");
    }
    for name in OVERRIDES {
        if environment.path(name).is_some() {
            reporter.warn(&format!("{name} is set and comes before the profile: unset it"));
        }
    }
    // A mode that the profile inherits comes before its session.
    let inherited = place.config().ok().and_then(|(_, profiles)| {
        let mut values = profiles.profile(profile)?;
        values.remove("authentication_type")
    });
    if let Some(mode) = inherited.filter(|mode| !mode.is_empty()) {
        reporter.warn(&format!(
            "the profile inherits authentication_type={} from DEFAULT: add --auth security_token",
            mode.as_str()
        ));
    }
}
