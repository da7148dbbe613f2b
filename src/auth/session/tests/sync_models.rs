//! The session in many orders of the threads that share it, chosen by the checker `shuttle`.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p ocipipe --lib sync_models`. No timer ends here, so that a task whose
//! wake-up is lost waits for ever, which is a failure; in the program it would look again after a second.

use std::sync::{LazyLock, Mutex as StdMutex};

use shuttle::{future, thread};

use super::super::key_and_token::KeyAndToken;
use super::super::refresher::run_refresher;
use super::super::transport::{AuthRequest, AuthResponse, Exchange};
use super::*;
use crate::platform::sync::check_orders;
use proto::sign::KeyId;
use proto::token::Token;
use proto::token_lifecycle::CredentialOrigin;

const RUNS: usize = 1_000;

/// Key, token and expiry of each generation: every second one has another key.
struct Pairs {
    pairs: Vec<KeyAndToken>,
    home: Home,
    start: u64,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| {
    let (start, keys) = (now() + 1800, [vector_key(), OTHER_KEY.to_vec()]);
    let pairs = (0..6).map(|generation| {
        let pem = &keys[generation % 2];
        let token = Token::parse(&token(pem, start + generation as u64)).unwrap();
        KeyAndToken {
            key: Arc::new(Key::from_pem(pem, None).unwrap()),
            key_id: KeyId::security_token(token.secret()),
            token: Some(token),
            key_text: pem.clone().into(),
            delegation_token: None,
        }
    });
    let home = Home::new(&token(&keys[0], start));
    Pairs { pairs: pairs.collect(), home, start }
});

/// A session that has the first pair from files, which are older than any change that is looked for.
fn session(home: &Home) -> Session {
    let old = SystemTime::now() - Duration::from_secs(60);
    for name in ["key.pem", "token", ".oci/config"] {
        fs::File::options().write(true).open(home.path(name)).unwrap().set_modified(old).unwrap();
    }
    let session = home.open().unwrap();
    // The second read shows that the files do not change any more.
    session.shared.read_files(&mut session.shared.state(), ReadMode::IfChanged);
    session
}

/// A runtime whose timers do not run.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Asserts that key, token and expiry are those of one generation.
fn assert_one_generation(credentials: &Credentials) {
    let pair = &PAIRS.pairs[credentials.generation as usize - 1];
    assert_eq!(credentials.key_id, pair.key_id, "the token of another generation");
    assert_eq!(credentials.key.fingerprint(), pair.key.fingerprint(), "the key of another one");
    assert_eq!(credentials.expires, Some(PAIRS.start + credentials.generation - 1));
}

fn adopt(shared: &SharedState, generation: usize) {
    let mut state = shared.state();
    let pair = PAIRS.pairs[generation].clone();
    assert!(shared.adopt(&mut state, pair, CredentialOrigin::Files));
    shared.notify_events(&mut state);
}

#[test]
fn a_request_has_key_and_token_of_one_generation_which_the_life_cycle_knows() {
    LazyLock::force(&PAIRS);
    check_orders(RUNS, || {
        let runtime = runtime();
        let _context = runtime.enter();
        let session = Arc::new(session(&PAIRS.home));
        let used = Arc::new(StdMutex::new(Vec::new()));
        let events = Arc::clone(&used);
        let _ = session.shared.notify.set(Box::new(move |event| {
            if let TokenEvent::Using { generation, .. } = event {
                events.lock().unwrap().push(generation);
            }
        }));
        let renewal = {
            let session = Arc::clone(&session);
            thread::spawn(move || (1..4).for_each(|generation| adopt(&session.shared, generation)))
        };
        let requests: Vec<_> = (0..2)
            .map(|_| {
                let session = Arc::clone(&session);
                thread::spawn(move || {
                    let mut generations = Vec::new();
                    for _ in 0..3 {
                        let credentials = session.credentials(SigningRequest::Small);
                        let credentials = future::block_on(credentials).unwrap();
                        assert_one_generation(&credentials);
                        generations.push(credentials.generation);
                    }
                    assert!(generations.is_sorted(), "an older token came back");
                    generations
                })
            })
            .collect();
        let mut signed: Vec<u64> =
            requests.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        renewal.join().unwrap();
        let mut known = used.lock().unwrap().clone();
        (signed.sort_unstable(), known.sort_unstable());
        assert_eq!(signed, known, "the life cycle counts another token as used");
    });
}

/// An auth service that gives one token, after other threads had their turn.
struct OneToken(StdMutex<Option<String>>);

impl AuthTransport for OneToken {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_> {
        Box::pin(async move {
            future::yield_now().await;
            let token = match request.call.target.as_str() {
                "/v1/authentication/refresh" => self.0.lock().unwrap().take(),
                _ => None,
            };
            let (status, body) = match token {
                Some(token) => (200, json!({ "token": token }).to_string()),
                None => (503, String::new()),
            };
            Ok(AuthResponse::of(status, Some(SystemTime::now()), body))
        })
    }
}

fn policy() -> RefreshPolicy {
    RefreshPolicy {
        refresh_before: None,
        renewal: proto::token_lifecycle::Renewal::Refresh,
        can_query_time: true,
        retry_for: Duration::from_secs(3600),
        seed: None,
    }
}

#[test]
fn a_request_that_waits_for_a_renewal_is_woken_by_it_and_does_not_hold_it_up() {
    let fresh = token(&vector_key(), now() + 3600);
    check_orders(RUNS / 4, move || {
        let runtime = runtime();
        let _context = runtime.enter();
        let home = Home::new(&token(&vector_key(), now() + 60));
        let session = Arc::new(session(&home));
        session.set_streaming();
        session.shared.state().lifecycle.set_policy(session.shared.now(), policy());
        let transport = Arc::new(OneToken(StdMutex::new(Some(fresh.clone()))));
        let refresher = future::spawn(run_refresher(Arc::clone(&session.shared), transport));
        let requests: Vec<_> = (1..3)
            .map(|transfer_id| {
                let session = Arc::clone(&session);
                let estimate = Some(Duration::from_secs(600));
                let request = SigningRequest::Transfer { transfer_id, estimate };
                future::spawn(async move { session.credentials(request).await.unwrap() })
            })
            .collect();
        for request in requests {
            let credentials = future::block_on(request).unwrap();
            assert_eq!(credentials.generation, 2, "signed with a token that ends first");
        }
        refresher.abort();
    });
}

#[test]
fn a_request_that_waits_for_a_login_is_woken_by_it() {
    LazyLock::force(&PAIRS);
    check_orders(RUNS / 2, || {
        let runtime = runtime();
        let _context = runtime.enter();
        let home = Home::new(&token(&vector_key(), now() - 10));
        let session = Arc::new(session(&home));
        session.set_streaming();
        session.shared.state().lifecycle.set_policy(session.shared.now(), policy());
        let login = {
            let session = Arc::clone(&session);
            thread::spawn(move || adopt(&session.shared, 1))
        };
        let requests: Vec<_> = (0..2)
            .map(|_| {
                let session = Arc::clone(&session);
                thread::spawn(move || {
                    let credentials = session.credentials(SigningRequest::Small);
                    let credentials = future::block_on(credentials).unwrap();
                    assert_eq!(credentials.key_id, PAIRS.pairs[1].key_id);
                })
            })
            .collect();
        for request in requests {
            request.join().unwrap();
        }
        login.join().unwrap();
    });
}
