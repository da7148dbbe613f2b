//! The locks of the components whose threads are checked in many orders: the buffer pool, the session and
//! the queue of stderr.
//!
//! Owns the choice between the standard library and the checker. Must not know what a lock protects.
//! Invariant: outside of tests with `--cfg shuttle` these are the types of the standard library.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(crate) use checked::Condvar;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
mod checked {
    use std::sync::LockResult;
    use std::time::Duration;

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync::MutexGuard;

    /// The checker's condition variable, which knows no time: here a wait with a limit ends at once or with
    /// a notification, at random.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(shuttle::sync::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
        ) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait(guard)
        }

        /// The guard, and whether the limit was over.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            if thread_rng().gen_bool(0.5) {
                return Ok((guard, true));
            }
            match self.0.wait(guard) {
                Ok(guard) => Ok((guard, false)),
                Err(poisoned) => Ok((poisoned.into_inner(), false)),
            }
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

/// Runs a model in many orders of its threads: half of them at random, half with few changes of the thread,
/// which finds other mistakes. `OCIPIPE_SYNC_RUNS` is the number of runs.
#[cfg(all(test, shuttle))]
pub(crate) fn check_orders(default_runs: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = std::env::var("OCIPIPE_SYNC_RUNS").ok().map(|text| text.parse().expect("a number"));
    let runs: usize = runs.unwrap_or(default_runs);
    let model = std::sync::Arc::new(model);
    let again = std::sync::Arc::clone(&model);
    shuttle::check_random(move || model(), runs.div_ceil(2));
    shuttle::check_pct(move || again(), runs.div_ceil(2), 3);
}
