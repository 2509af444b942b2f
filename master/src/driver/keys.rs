//! Keys, for the engine: making them, checking what minions sign with them, and changing the
//! master's own.
//!
//! Making a key takes seconds and a check a millisecond, so neither happens in the loop. Files of
//! the master's key are written only here, in the loop: a key whose making outlives the process's
//! hold on its ledger is never written.

use std::sync::Arc;
use std::time::Duration;

use brine_local::file;
use brine_pki::key::PrivateKey;
use brine_pki::{random, rotation};
use tokio::sync::{Semaphore, mpsc};

use super::preseed::Made;
use super::{Driver, new_agreement};
use crate::engine::{Input, KeyStep, RotationCheck};

/// Rotations of minions that are checked at the same time: all sessions together must not take
/// the machine away from handshakes.
const CHECKS: usize = 2;

/// Keys for server records that are made at the same time, for the same reason: each takes a core
/// for seconds.
const MAKERS: usize = 1;

/// The pause before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What was done beside the loop.
pub(super) enum Done {
    Made(Result<PrivateKey, String>),
    /// A key for a server record.
    Preseeded(Box<Made>),
    Checked(Input),
}

/// What the loop keeps of it.
pub(super) struct KeyWork {
    pub(super) done: mpsc::UnboundedSender<Done>,
    checks: Arc<Semaphore>,
    /// Who holds a permit of this may make a key for a server record.
    pub(super) makers: Arc<Semaphore>,
    /// When the next config is due.
    config_due: Duration,
    /// When to write the master's key again, after that has failed.
    save_due: Option<Duration>,
}

impl KeyWork {
    pub(super) fn new(driver: &mut Driver) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, received) = mpsc::unbounded_channel();
        let now = driver.clock.now();
        driver.engine.handle(Input::Offering(driver.gate.offer_text()), now);
        let config_due = now.steady + driver.config_period();
        let checks = Arc::new(Semaphore::new(CHECKS));
        let makers = Arc::new(Semaphore::new(MAKERS));
        (Self { done, checks, makers, config_due, save_due: None }, received)
    }

    pub(super) fn due(&self) -> Duration {
        self.save_due.map_or(self.config_due, |due| due.min(self.config_due))
    }

    /// Makes a key on a thread of its own, which the end of the process does not wait for.
    fn make(&self, bits: usize) {
        tracing::info!(bits, "making a new key for this master");
        let done = self.done.clone();
        let make = move || {
            let made = PrivateKey::generate(bits).map_err(|error| error.to_string());
            // Nobody listens when the master stops.
            let _ = done.send(Done::Made(made));
        };
        if let Err(error) = std::thread::Builder::new().name("make-key".to_owned()).spawn(make) {
            let _ = self.done.send(Done::Made(Err(format!("cannot start a thread: {error}"))));
        }
    }

    /// Looks at the signatures of a rotation, when it is its turn.
    pub(super) fn check(&self, check: RotationCheck) {
        let RotationCheck { conn, id, old, named, rotate } = check;
        let (done, checks) = (self.done.clone(), Arc::clone(&self.checks));
        tokio::spawn(async move {
            let Ok(_permit) = checks.acquire().await else { return };
            let check = move || rotation::verify(&id, &old, &rotate).map_err(|error| error.to_string());
            let checked = tokio::task::spawn_blocking(check).await;
            let checked = checked.unwrap_or_else(|_| Err("the check of the rotation failed".to_owned()));
            let _ = done.send(Done::Checked(Input::RotationChecked { conn, named, checked }));
        });
    }
}

impl Driver {
    fn config_period(&self) -> Duration {
        Duration::from_secs(self.config.config_rotation)
    }

    /// What became of work beside the loop, for the engine.
    pub(super) fn on_key_work(&mut self, done: Done) -> Input {
        match done {
            Done::Checked(input) => input,
            Done::Preseeded(made) => self.on_preseeded(*made),
            Done::Made(made) => Input::KeyMade(made.and_then(|key| {
                let public = key.public().clone();
                self.keys.prepare(key).map_err(|error| error.to_string())?;
                Ok(public)
            })),
        }
    }

    /// Does what is due by the clock.
    pub(super) fn key_work_due(&mut self, work: &mut KeyWork) {
        let now = self.clock.now().steady;
        if now >= work.config_due {
            self.configure(work);
        }
        if work.save_due.is_some_and(|due| now >= due) {
            self.save_key(work);
        }
    }

    pub(super) fn on_key_step(&mut self, step: KeyStep, work: &mut KeyWork) {
        match step {
            KeyStep::Make => work.make(self.config.keysize),
            KeyStep::Discard => self.keys.discard(),
            KeyStep::Configure => self.configure(work),
            KeyStep::TakeOver => {
                self.keys.take_over();
                self.save_key(work);
                self.state.fingerprint = self.keys.key().public().fingerprint();
                let state = serde_json::to_vec(&self.state).expect("plain data");
                if let Err(error) = file::replace(&self.state_file, &state, 0o644) {
                    tracing::warn!(%error, "the new fingerprint is not in the master's run file");
                }
                self.configure(work);
            }
        }
    }

    /// Writes the key that signs into its file, now or later: the ledger and the file of the next
    /// key say the same until then.
    fn save_key(&mut self, work: &mut KeyWork) {
        let saved = self.keys.save();
        work.save_due = saved.is_err().then(|| self.clock.now().steady + RETRY);
        let problem =
            saved.err().map(|error| format!("this master's new key is not in its file yet: {error}"));
        if let Some(problem) = &problem {
            tracing::error!("{problem}");
        }
        self.engine.handle(Input::KeySaved(problem), self.clock.now());
    }

    /// Offers another config from now on: its secret is fresh, and it says what is announced.
    fn configure(&mut self, work: &mut KeyWork) {
        let now = self.clock.now();
        if let Some(problem) = self.ledger_problem() {
            work.config_due = now.steady + RETRY;
            return tracing::error!("cannot rotate the key-agreement config, keeping the old one: {problem}");
        }
        let successor = self.engine.successor();
        match new_agreement(self.engine.trust(), self.keys.key(), successor, now.wall) {
            Ok(agreement) => {
                work.config_due = now.steady + self.config_period();
                let offer = agreement.offer(random::bytes()).to_text();
                self.gate.rotate(agreement);
                self.engine.handle(Input::Offering(offer), now);
            }
            Err(error) => {
                work.config_due = now.steady + RETRY;
                tracing::error!(%error, "cannot rotate the key-agreement config, keeping the old one");
            }
        }
    }
}
