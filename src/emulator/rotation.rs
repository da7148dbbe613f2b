//! Replaces the files of principals at half the life of the tokens in them.
//!
//! Owns the timers; what is replaced belongs to `principals`. Invariant: a file that was replaced on
//! demand is not replaced again before half the life of its new token, and a replacement that fails
//! is tried again after the same time.

use super::context::ServerState;
use super::principals::PrincipalServices;
use super::principals::resource_files::FilesAfter;
use super::threads;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Replaces files until `stop`.
pub(crate) async fn run(state: Arc<ServerState>, stop: CancellationToken) {
    let Some(services) = state.principals.as_deref() else { return };
    let service_account = async {
        loop {
            wait(services, || services.oke.service_account.life()).await;
            replace(&state, |state, services| {
                services.oke.service_account.replace(state.clock.now()).map(drop)
            })
            .await;
        }
    };
    let subject = async {
        loop {
            wait(services, || services.domain.subject.life()).await;
            replace(&state, |state, services| {
                services.domain.subject.replace(state.clock.now()).map(drop)
            })
            .await;
        }
    };
    let resource = async {
        loop {
            wait(services, || state.authenticator.policy().principal).await;
            replace_resource(&state, services.replacement().torn).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = service_account => {}
        () = subject => {}
        () = resource => {}
    }
}

/// Waits until half of `life` has passed without a change of files or settings, and files are
/// replaced automatically.
async fn wait(services: &PrincipalServices, life: impl Fn() -> Duration) {
    loop {
        let changed = services.changed.notified();
        tokio::select! {
            () = changed => {}
            () = sleep(life() / 2) => {
                if services.replacement().automatic {
                    return;
                }
            }
        }
    }
}

/// Replaces the files of the resource principal; for the time `torn`, or until the next change, the
/// new token is beside the old key.
async fn replace_resource(state: &Arc<ServerState>, torn: Duration) {
    let Some(services) = state.principals.as_deref() else { return };
    let after = if torn.is_zero() { FilesAfter::Complete } else { FilesAfter::TokenOnly };
    replace(state, move |state, services| {
        services.resource_files.replace(&state.authenticator, after, state.clock.now())
    })
    .await;
    if after == FilesAfter::TokenOnly {
        tokio::select! {
            () = services.changed.notified() => {}
            () = sleep(torn) => {}
        }
        replace(state, |_, services| services.resource_files.finish()).await;
    }
}

/// Writes files on a thread that may block.
async fn replace(
    state: &Arc<ServerState>,
    replace: impl FnOnce(&ServerState, &PrincipalServices) -> io::Result<()> + Send + 'static,
) {
    let state = state.clone();
    // A full disk leaves the file as it is until the next attempt.
    let _ = threads::run(move || match state.principals.as_deref() {
        Some(services) => replace(&state, services),
        None => Ok(()),
    })
    .await;
}
