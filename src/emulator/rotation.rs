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
pub async fn run(state: Arc<ServerState>, stop: CancellationToken) {
    let all = async {
        tokio::join!(
            replace_each_half_life(
                &state,
                |_, services| services.oke.service_account.life(),
                |state, services| services.oke.service_account.replace(state.clock.now()).map(drop),
            ),
            replace_each_half_life(
                &state,
                |_, services| services.domain.subject.life(),
                |state, services| services.domain.subject.replace(state.clock.now()).map(drop),
            ),
            replace_each_half_life(
                &state,
                |state, _| state.authenticator.policy().principal,
                |state, services| {
                    let torn = services.replacement().torn;
                    let after =
                        if torn.is_zero() { FilesAfter::Complete } else { FilesAfter::TokenOnly };
                    let now = state.clock.now();
                    services.resource_files.replace(&state.authenticator, after, now)?;
                    if after == FilesAfter::TokenOnly {
                        std::thread::sleep(torn);
                        services.resource_files.finish()?;
                    }
                    Ok(())
                },
            ),
        );
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = all => {}
    }
}

/// Calls `replace` each time half of `life` has passed; a change of settings begins the time anew.
async fn replace_each_half_life(
    state: &Arc<ServerState>,
    life: impl Fn(&ServerState, &PrincipalServices) -> Duration,
    replace: impl Fn(&ServerState, &PrincipalServices) -> io::Result<()> + Copy + Send + 'static,
) {
    let Some(services) = state.principals.as_deref() else { return };
    loop {
        let changed = services.changed.notified();
        let half = life(state, services) / 2;
        tokio::select! {
            () = changed => continue,
            () = sleep(half) => {}
        }
        if services.replacement().automatic {
            let state = state.clone();
            // A full disk leaves the file as it is until the next attempt.
            let _ = threads::run(move || match state.principals.as_deref() {
                Some(services) => replace(&state, services),
                None => Ok(()),
            })
            .await;
        }
    }
}
