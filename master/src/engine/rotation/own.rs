//! The master's own key: announced, taken over, withdrawn.
//!
//! **Invariant:** the old key is gone once the new one has taken over, so by the clock that happens
//! only when whoever is connected has learned the new one: a config has to have been offered, and
//! every accepted minion with a session has to have said Learned, or had long enough.

use std::time::Duration;

use brine_pki::key::PublicKey;
use brine_pki::ledger::Log;
use brine_pki::registry::{Announced, SuccessionError};
use brine_protocol::control::{MasterRotation, Problem, ProblemKind, RotateMaster};
use brine_protocol::message::{Config, Learned, ToMinion};
use brine_protocol::permission::Verb;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde_json::{Value, json};

use super::{KeyStep, Making, OwnKey};
use crate::engine::{Answer, Engine, Now, Output, RequestId};
use crate::gate::ConnId;
use crate::roles::Principal;
use crate::store::Record;

/// The longest grace: a year. Whoever is away for longer is told by a person.
const GRACE_MAX_S: u64 = 366 * 86_400;

/// A handshake waits so often for the other side. One that began before the announced key was
/// offered has to be over before that key takes over: its minion is told once it has a session.
const STAGES: u32 = 3;

/// After a start the announced key takes over no sooner than this: minions that are on their way
/// back (their pause is at most 4 s unless they are told otherwise) learn it although the grace
/// ended while the master was down.
const REUNION: Duration = Duration::from_secs(5);

/// A minion that is connected and does not learn the announced key holds it up for so long.
const HOLD: Duration = Duration::from_secs(600);

/// Minions named in an event; the rest is counted.
const NAMED_MAX: usize = 100;

/// Minions named in a sentence.
const SPOKEN_MAX: usize = 10;

/// What the steady clock says about the grace: the wall clock may jump.
#[derive(Debug)]
pub(super) struct Grace {
    /// It is not over before this.
    not_before: Duration,
    /// Since when it is over, and connected minions hold the announced key up.
    over_since: Option<Duration>,
}

impl Grace {
    fn until(not_before: Duration) -> Self {
        Self { not_before, over_since: None }
    }

    /// What is left of the grace when a process begins. A clock that was wrong then makes it no
    /// longer than it was.
    pub(super) fn of_a_start(announced: Option<Announced>, now: Now) -> Self {
        let left = announced.map_or(Duration::ZERO, |announced| {
            let whole = micros(announced.since, announced.until);
            micros(now.wall, announced.until).min(whole)
        });
        Self::until(now.steady + left.max(REUNION))
    }
}

/// The time from one moment to a later one; none if it is not later.
fn micros(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

impl<L: Log> Engine<L> {
    /// An accepted minion has stored, or forgotten, which key the master will have next.
    pub(in crate::engine) fn on_learned(&mut self, id: &MinionId, learned: Learned) {
        if let Some(facts) = self.facts.get_mut(id)
            && facts.successor != learned.successor
        {
            facts.successor = learned.successor;
            let facts = Box::new(facts.clone());
            self.output(Output::Persist(Record::Facts(id.clone(), facts)));
        }
    }

    /// The announced key, as long as it can take over: what configs say.
    #[must_use]
    pub fn successor(&self) -> Option<Fingerprint> {
        let announced = self.trust.registry().master_keys().announced;
        announced.map(|announced| announced.to).filter(|_| self.rotations.own.problem.is_none())
    }

    /// Tells a session what its handshake did not: it may have been offered an older config.
    pub(in crate::engine) fn catch_up(&mut self, conn: ConnId, knows: Option<Fingerprint>) {
        let own = self.rotations.own.fingerprint;
        let is_behind = match (self.successor(), knows) {
            (Some(announced), knows) => knows != Some(announced),
            // It began under the key before this one, which announced this one.
            (None, Some(known)) => known != own,
            (None, None) => false,
        };
        // What is in no config yet is told to everybody once it is.
        if is_behind
            && !self.rotations.is_news
            && let Some(offer) = self.rotations.offer.clone()
        {
            self.tell_config(conn, offer);
        }
    }

    /// Another config is offered from now on.
    pub(in crate::engine) fn on_offering(&mut self, offer: String) {
        if std::mem::take(&mut self.rotations.is_news) {
            let open: Vec<ConnId> = self.sessions.keys().copied().collect();
            for conn in open {
                self.tell_config(conn, offer.clone());
            }
            let settled = self.now.steady + self.settings.handshake * STAGES;
            let grace = &mut self.rotations.grace;
            grace.not_before = grace.not_before.max(settled);
        }
        self.rotations.offer = Some(offer);
    }

    /// Nothing in a config rests on the store, and a store that takes no writes must not keep
    /// minions from the key that they will need.
    fn tell_config(&mut self, conn: ConnId, offer: String) {
        self.output(Output::SendNow { conn, message: ToMinion::Config(Config { offer }) });
    }

    /// Whether the present key is in its file.
    pub(in crate::engine) fn on_key_saved(&mut self, problem: Option<String>) {
        self.rotations.unsaved = problem;
    }

    pub(in crate::engine) fn rotation(&self) -> Option<MasterRotation> {
        self.trust.registry().master_keys().announced.map(|announced| self.shown(announced))
    }

    fn shown(&self, announced: Announced) -> MasterRotation {
        let Announced { from, to, since, until } = announced;
        let has_learned = |id: &MinionId, generation| {
            let facts = self.facts.get(id).filter(|facts| facts.generation == generation);
            facts.is_some_and(|facts| facts.successor == Some(to))
        };
        let accepted = self.trust.registry().accepted();
        let (learned, missing): (Vec<_>, Vec<_>) =
            accepted.partition(|(id, generation)| has_learned(id, *generation));
        let missing = missing.into_iter().map(|(id, _)| id.clone()).collect();
        MasterRotation { from, to, since, until, learned: learned.len(), missing }
    }

    /// Starts to make a key. The answer comes when it is announced.
    pub(in crate::engine) fn start_rotation(
        &mut self,
        request: RequestId,
        by: &Principal,
        wanted: RotateMaster,
    ) -> Result<(), Problem> {
        by.may(Verb::MasterRotate)?;
        if wanted.grace_s > GRACE_MAX_S {
            let detail = format!("grace_s is at most {GRACE_MAX_S} (366 days), not {}", wanted.grace_s);
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        if self.rotations.making.is_some() {
            let detail = "a new key for this master is being made already";
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        // Refused before a key is made for nothing.
        if let Some(Announced { to, until, .. }) = self.trust.registry().master_keys().announced {
            let detail = format!(
                "a rotation to {to} is under way already, until {until}; finish or withdraw it first"
            );
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        self.rotations.making = Some(Making { request, by: by.to_string(), wanted });
        self.output(Output::Key(KeyStep::Make));
        Ok(())
    }

    /// The key is made and its file written, or it could not be.
    pub(in crate::engine) fn on_key_made(&mut self, made: Result<PublicKey, String>) {
        let Some(Making { request, by, wanted }) = self.rotations.making.take() else {
            return self.output(Output::Key(KeyStep::Discard));
        };
        let announced = made.map_err(|why| Problem::new(ProblemKind::Internal, why)).and_then(|key| {
            let from = self.rotations.own.fingerprint;
            let grace = i64::try_from(wanted.grace_s).expect("checked to be at most a year");
            let until = self.now.wall.plus_micros(grace * 1_000_000);
            let reason = wanted.reason.as_deref();
            let announced = self.trust.announce(from, &key, until, &by, reason, self.now.wall);
            if matches!(announced, Err(SuccessionError::Refused(_))) {
                // Of a ledger that failed the line may be there after all, and need the file.
                self.output(Output::Key(KeyStep::Discard));
            }
            announced.map_err(|error| self.undone_key(&error))
        });
        let answer = match announced {
            Ok(announced) => {
                self.rotations.own.problem = None;
                let grace = Duration::from_secs(wanted.grace_s);
                self.rotations.grace = Grace::until(self.now.steady + grace);
                self.configure();
                let shown = self.shown(announced);
                self.key_event("announced", &shown, &by);
                Answer::Rotation(Some(shown))
            }
            Err(problem) => Answer::Refused(problem),
        };
        self.output(Output::AnswerNow { request, answer: Box::new(answer) });
    }

    fn undone_key(&mut self, error: &SuccessionError) -> Problem {
        match error {
            SuccessionError::Refused(refusal) => Problem::new(ProblemKind::Conflict, refusal.to_string()),
            SuccessionError::Ledger(error) => {
                self.output(Output::Count("ledger_failed"));
                Problem::new(ProblemKind::Degraded, format!("nothing was done: {error}"))
            }
        }
    }

    fn configure(&mut self) {
        self.rotations.is_news = true;
        self.output(Output::Key(KeyStep::Configure));
    }

    /// Lets the announced key take over now, whoever has not learned it.
    pub(in crate::engine) fn finish_rotation(&mut self, by: &str) -> Result<MasterRotation, Problem> {
        let obstacle = self.rotations.own.problem.clone().or_else(|| self.not_offered());
        if let (Some(obstacle), Some(_)) = (obstacle, self.trust.registry().master_keys().announced) {
            return Err(Problem::new(ProblemKind::Conflict, obstacle));
        }
        let announced = self.trust.succeed(by, None, self.now.wall).map_err(|e| self.undone_key(&e))?;
        let shown = self.shown(announced);
        if self.rotations.own.fingerprint != announced.to {
            self.rotations.own = OwnKey { fingerprint: announced.to, problem: None, notice: None };
            self.output(Output::Key(KeyStep::TakeOver));
        }
        self.key_event("succeeded", &shown, by);
        Ok(shown)
    }

    /// Takes the announcement back: the present key stays.
    pub(in crate::engine) fn withdraw_rotation(&mut self, by: &str) -> Result<MasterRotation, Problem> {
        let announced = self.trust.withdraw(by, None, self.now.wall).map_err(|e| self.undone_key(&e))?;
        let shown = self.shown(announced);
        self.rotations.own.problem = None;
        self.output(Output::Key(KeyStep::Discard));
        self.configure();
        self.key_event("withdrawn", &shown, by);
        Ok(shown)
    }

    /// Why nobody can have learned the announced key.
    fn not_offered(&self) -> Option<String> {
        self.rotations.is_news.then(|| {
            "the announced key cannot take over yet, because no config that names it could be offered; it is \
             tried again every few seconds, and the log says why it failed"
                .to_owned()
        })
    }

    /// The grace may be over; also when that was so before this process began.
    pub(in crate::engine) fn succeed_if_due(&mut self) {
        let Some(announced) = self.trust.registry().master_keys().announced else {
            return;
        };
        // Its file was put in place by hand: what is so is written down.
        let is_there = self.rotations.own.fingerprint == announced.to;
        if self.rotations.own.problem.is_none() && (is_there || self.is_due(announced)) {
            // A ledger that cannot be written is tried again with the next tick.
            let _ = self.finish_rotation("master");
        }
    }

    /// Whether the grace is over, and nobody who is connected holds the announced key up.
    fn is_due(&mut self, announced: Announced) -> bool {
        let now = self.now;
        let is_offered = !self.rotations.is_news;
        let grace = &mut self.rotations.grace;
        if !is_offered || now.wall < announced.until || now.steady < grace.not_before {
            grace.over_since = None;
            return false;
        }
        let over_since = *grace.over_since.get_or_insert(now.steady);
        now.steady.saturating_sub(over_since) >= HOLD || self.unaware(announced).is_empty()
    }

    /// Accepted minions that have a session, or are about to, and have not learned the announced
    /// key.
    fn unaware(&self, announced: Announced) -> Vec<MinionId> {
        let mut missing = self.shown(announced).missing;
        missing.retain(|id| self.is_connected(id));
        missing
    }

    fn key_event(&mut self, what: &str, rotation: &MasterRotation, by: &str) {
        let named = &rotation.missing[..rotation.missing.len().min(NAMED_MAX)];
        let data: Value = json!({
            "from": rotation.from, "to": rotation.to, "until": rotation.until, "by": by,
            "missing": named, "missing_count": rotation.missing.len(),
        });
        self.event(format!("brine/master/key/{what}"), data);
    }

    /// What an administrator should keep in mind about the master's key, naming the minions that
    /// this one sees.
    pub(in crate::engine) fn key_notices(&self, to: Option<&Principal>) -> impl Iterator<Item = String> {
        let is_seen = |id: &&MinionId| to.is_none_or(|to| self.sees_minion(to, id));
        let announced = self.trust.registry().master_keys().announced;
        let under_way = announced.map(|announced| {
            let MasterRotation { to, until, learned, missing, .. } = self.shown(announced);
            let (of, missing) = (learned + missing.len(), missing.len());
            format!(
                "this master's key is being rotated to {to}, which takes over at {until}; {missing} of {of} accepted minions have not learned it yet"
            )
        });
        let is_over = self.rotations.grace.over_since.is_some();
        let unaware = announced.filter(|_| is_over).map(|announced| self.unaware(announced));
        let held = unaware.filter(|unaware| !unaware.is_empty()).map(|unaware| {
            let seen = unaware.iter().filter(is_seen).take(SPOKEN_MAX);
            let named: Vec<&str> = seen.map(MinionId::as_str).collect();
            let more = match (named.len(), unaware.len() - named.len()) {
                (_, 0) => String::new(),
                (0, unseen) => unseen.to_string(),
                (_, more) => format!(" and {more} more"),
            };
            format!(
                "the grace is over, and the new key of this master waits up to {} minutes for minions that are connected \
                 and have not learned it: {}{more}; to wait for nobody, run: brine-key rotate-master --finish",
                HOLD.as_secs() / 60,
                named.join(", ")
            )
        });
        let not_offered = announced.and_then(|_| self.not_offered());
        under_way.into_iter().chain(held).chain(not_offered).chain(self.rotations.own.notice.clone())
    }

    /// The fingerprint of the key that signs.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.rotations.own.fingerprint
    }

    /// When the announced key was announced, for the log of a start.
    #[must_use]
    pub fn announced(&self) -> Option<(Fingerprint, Timestamp)> {
        self.trust.registry().master_keys().announced.map(|announced| (announced.to, announced.until))
    }
}
