//! Opens the login page in the user's browser.
//!
//! Owns the choice of the program. Must not know what the page is. Invariant: the program gets the
//! address, which holds no secret, and no variable of OCI or ocipipe.

use std::os::unix::process::CommandExt;
use std::process::Stdio;

use crate::auth::environment::Environment;

/// The variables that show that a browser can be opened: those of a display, and one that names a
/// browser.
const DISPLAYS: [&str; 4] = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"];

/// How the names of variables begin that the browser does not get, since some hold secrets.
const WITHHELD: [&str; 2] = ["OCI_", "OCIPIPE_"];

/// Starts a browser with this address. Returns whether a program was started; what it does then is
/// unknown. Without a display there is no attempt: the program would take over the terminal.
pub(crate) fn open(url: &str, environment: &Environment) -> bool {
    let has_display =
        cfg!(target_os = "macos") || DISPLAYS.iter().any(|name| environment.var(name).is_some());
    if !has_display {
        return false;
    }
    open::commands(url).into_iter().any(|mut command| {
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| WITHHELD.iter().any(|start| name.starts_with(start)))
            {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C ends this process and not the browser.
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0).spawn().is_ok()
    })
}
