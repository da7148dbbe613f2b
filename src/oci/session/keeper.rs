//! The background work of a session: it refreshes, probes and asks for the time when
//! the lifecycle says so.
//!
//! The only caller of the auth service. Decides nothing. Invariant: it holds nothing an upload
//! waits for, and a refresh that hangs stops neither the probes nor the looks at the files.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;
use super::core::{Core, Looked};
use super::refresh::{self, NoToken};
use super::store::{self, Lock, Stored};
use super::transport::{Request, Transport};
use crate::oci::lifecycle::{Notice, Origin, Probed, Reason, Refreshed, Step};
use crate::oci::profile::Source;
use crate::oci::sign::{self, Head};

/// How long another process may hold the lock before we go on without it.
const LOCKED: Duration = Duration::from_secs(10);
const BETWEEN_LOCKS: Duration = Duration::from_millis(200);
/// How long a probe, or a question for the time, may take.
const PROBE: Duration = Duration::from_secs(10);

type Task = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Works until it is dropped.
pub(super) async fn keep(core: Arc<Core>, transport: Arc<dyn Transport>) {
    let (mut refreshing, mut probing, mut asking): (Task, Task, Task) = (None, None, None);
    loop {
        let woken = core.wake.notified();
        let idle = loop {
            let step = {
                let mut state = core.state();
                core.look_at_files(&mut state, false);
                state.lifecycle.announce(core.now());
                let step = state.lifecycle.step(core.now());
                match step {
                    Step::Refresh(reason) => state.lifecycle.refresh_began(reason),
                    Step::Probe => state.lifecycle.probe_began(),
                    Step::AskTime => state.lifecycle.ask_began(),
                    Step::Idle(_) => {}
                }
                core.tell_notices(&mut state);
                step
            };
            match step {
                Step::Refresh(reason) => {
                    refreshing = Some(Box::pin(renew(core.clone(), transport.clone(), reason)));
                }
                Step::Probe => probing = Some(Box::pin(probe(core.clone(), transport.clone()))),
                Step::AskTime => asking = Some(Box::pin(ask(core.clone(), transport.clone()))),
                Step::Idle(idle) => break idle,
            }
        };
        tokio::select! {
            () = run(&mut refreshing) => refreshing = None,
            () = run(&mut probing) => probing = None,
            () = run(&mut asking) => asking = None,
            () = woken => {}
            () = tokio::time::sleep(idle) => {}
        }
    }
}

async fn run(task: &mut Task) {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// One refresh, from the lock to the file.
async fn renew(core: Arc<Core>, transport: Arc<dyn Transport>, reason: Reason) {
    let before = core.state().lifecycle.facts().expires;
    let how = attempt(&core, transport.as_ref(), reason).await;
    let mut state = core.state();
    let longer = state.lifecycle.facts().expires > before;
    let how = match how {
        Ok(()) if longer => Refreshed::Longer,
        Ok(()) => Refreshed::NotLonger,
        Err(none) => Refreshed::Failed(none.to_string()),
    };
    state.lifecycle.refresh_ended(core.now(), &how);
    core.tell_notices(&mut state);
    core.changed.notify_waiters();
}

/// As far as another token, which is taken up, or the reason why there is none.
pub(super) async fn attempt(
    core: &Core,
    transport: &dyn Transport,
    reason: Reason,
) -> Result<(), NoToken> {
    let failed = |why: &str| NoToken::Failed(why.to_owned());
    let identity = &core.identity;
    let Source::SecurityToken { token_file } = &identity.credentials else {
        return Err(failed("an API key is not refreshed"));
    };
    let Some(auth) = &identity.auth else { return Err(failed("no auth service is known")) };
    let generation = core.state().credentials.generation;
    let patience = core.state().lifecycle.refresh_patience(core.now());
    let lock = lock(core, generation, patience.min(LOCKED)).await;
    {
        // Whoever held the lock may have renewed it already. (A refused token may be replaced by
        // one that ends no later: any other will do.)
        let mut state = core.state();
        core.look_at_files(&mut state, false);
        if state.credentials.generation != generation {
            core.tell_notices(&mut state);
            return Ok(());
        }
    }
    let (pair, credentials, date) = {
        let state = core.state();
        let date = date(state.lifecycle.clock(core.now()));
        (state.pair.clone(), state.credentials.clone(), date)
    };
    let Some(old) = &pair.token else { return Err(failed("there is no token")) };
    let request = refresh::request(auth, &credentials, old, &date);
    let exchange = tokio::time::timeout(patience, transport.exchange(request));
    let response = exchange
        .await
        .map_err(|_| {
            let seconds = patience.as_secs_f64().ceil();
            NoToken::Failed(format!("no answer from {auth} within {seconds} s"))
        })?
        .map_err(NoToken::Failed)?;
    if let Some(server) = response.date {
        core.dated(&mut core.state(), server);
    }
    let token = refresh::token(&response)?;
    if !token.fits(&pair.key.modulus()) {
        return Err(failed("the new token is bound to another key"));
    }
    if token.secret() == old.secret() {
        return Ok(());
    }
    let better = token.expires > old.expires;
    let stored = match better {
        true => store::write_back(identity, token_file, &pair, &token),
        false => Stored::Written,
    };
    drop(lock);
    let mut state = core.state();
    match stored {
        Stored::Written => {}
        Stored::Theirs => core.look_at_files(&mut state, true),
        Stored::Not(what) => state.lifecycle.note_once(Notice::NotWritten { what }),
    }
    // What was asked for because the old token is refused is taken even if it ends no later.
    if better || reason == Reason::Refused {
        let renewed = pair.with_token(token);
        if state.pair.same_key(&renewed) && core.take_up(&mut state, renewed, Origin::Refresh) {
            let stamps = super::files::Stamps::of(identity);
            state.looked = Looked { stamps, settled: false };
        }
    }
    core.tell_notices(&mut state);
    Ok(())
}

/// The lock beside the token, or none after some time: another process that hangs must not cost
/// us the session.
async fn lock(core: &Core, generation: u64, patience: Duration) -> Option<Lock> {
    let Source::SecurityToken { token_file } = &core.identity.credentials else { return None };
    let attempts = patience.as_millis() / BETWEEN_LOCKS.as_millis();
    for attempt in 0..=attempts {
        if let Some(lock) = Lock::try_take(token_file) {
            return Some(lock);
        }
        if attempt == 0 {
            core.state().lifecycle.note(Notice::Locked);
        }
        tokio::time::sleep(BETWEEN_LOCKS).await;
        let mut state = core.state();
        core.look_at_files(&mut state, false);
        if state.credentials.generation != generation {
            return None;
        }
    }
    None
}

/// One small request that tells whether the present credentials are accepted.
async fn probe(core: Arc<Core>, transport: Arc<dyn Transport>) {
    let (credentials, (method, target), clock) = {
        let state = core.state();
        let clock = state.lifecycle.clock(core.now());
        (state.credentials.clone(), state.probe.clone(), clock)
    };
    let request = probe_request(&core, &credentials, method, target, &date(clock));
    let answer = tokio::time::timeout(PROBE, transport.exchange(request)).await;
    let mut state = core.state();
    let now = core.now();
    let how = match answer {
        Ok(Ok(response)) => {
            if let Some(server) = response.date {
                core.dated(&mut state, server);
            }
            match response.status {
                401 => Probed::Refused,
                429 | 500.. => Probed::Unanswered,
                // Whatever else the service says, it says it to someone it knows.
                _ => Probed::Accepted,
            }
        }
        _ => Probed::Unanswered,
    };
    state.lifecycle.probe_ended(now, credentials.generation, how);
    core.tell_notices(&mut state);
    core.changed.notify_waiters();
}

async fn ask(core: Arc<Core>, transport: Arc<dyn Transport>) {
    ask_time(&core, transport.as_ref()).await;
    core.state().lifecycle.ask_ended(core.now());
    core.changed.notify_waiters();
}

/// One small request that needs no credentials, for the date of its answer.
pub(super) async fn ask_time(core: &Core, transport: &dyn Transport) {
    let endpoint = core.identity.object_storage.general.clone();
    let request = Request {
        method: "HEAD",
        target: endpoint.target("/"),
        headers: vec![("host", endpoint.authority.clone())],
        body: Vec::new().into(),
        endpoint,
    };
    if let Ok(Ok(response)) = tokio::time::timeout(PROBE, transport.exchange(request)).await
        && let Some(server) = response.date
    {
        let mut state = core.state();
        core.dated(&mut state, server);
        core.tell_notices(&mut state);
    }
}

fn probe_request(
    core: &Core,
    credentials: &Credentials,
    method: &'static str,
    target: String,
    date: &str,
) -> Request {
    let storage = &core.identity.object_storage;
    // A namespace that has no host is refused before anything is sent.
    let endpoint = storage.endpoint(&target).unwrap_or_else(|_| storage.general.clone());
    let target = endpoint.target(&target);
    let head = Head { method, target: &target, host: Some(&endpoint.authority), date, body: None };
    let headers = sign::authorize(&credentials.key_id, &credentials.key, &head).headers;
    Request { method, target, headers, body: Vec::new().into(), endpoint }
}

fn date(clock: Duration) -> String {
    crate::oci::lifecycle::notice::Date(clock).to_string()
}
