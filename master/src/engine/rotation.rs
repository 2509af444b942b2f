//! Keys that give way to others while everything goes on: a minion's, and the master's own.
//!
//! ```text
//! minion:  Rotate --checked beside the loop--> ledger --> Rotated        (the session goes on)
//! master:  asked --key made, file written--> announced --until, or asked--> succeeded
//!                                                '------------- asked ----> withdrawn
//! ```
//! What is announced, and until when, is in the registry, so that it outlives the process; here is
//! only what a process knows besides: whether the announced key's file is there, and which config
//! is offered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brine_pki::key::PublicKey;
use brine_pki::ledger::Log;
use brine_pki::registry::{Announced, RotateError, SuccessionError};
use brine_pki::rotation::{self, Handover};
use brine_protocol::control::{MasterRotation, Problem, ProblemKind, RotateMaster};
use brine_protocol::message::{Config, Learned, Rotate, Rotated, ToMinion};
use brine_protocol::permission::Verb;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde_json::{Value, json};

use super::{Answer, Engine, Output, RequestId};
use crate::gate::ConnId;
use crate::roles::Principal;
use crate::store::Record;

/// The longest grace: a year. Whoever is away for longer is told by a person.
const GRACE_MAX_S: u64 = 366 * 86_400;

/// An announced key takes over no sooner than this, so that sessions that are open learn it even
/// from a rotation without any grace.
const SETTLE: Duration = Duration::from_secs(2);

/// Nor sooner than this after a start: minions that are on their way back (their pause is at most
/// 4 s unless they are told otherwise) learn it although the grace ended while the master was down.
const REUNION: Duration = Duration::from_secs(5);

/// Minions named in an event; the rest is counted.
const NAMED_MAX: usize = 100;

/// A minion may try to rotate its key so often within an hour: each time costs two verifications
/// and perhaps a line in the ledger, and a minion is not trusted to grow that.
const ROTATIONS_MAX: u32 = 16;
const ROTATIONS_WITHIN: Duration = Duration::from_secs(3600);

/// What the engine has to know of the master's own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// The key that signs, as in its file.
    pub fingerprint: Fingerprint,
    /// Why the announced key cannot take over, if one is announced and its file is not as it
    /// should be.
    pub problem: Option<String>,
    /// What an administrator should keep in mind about the files.
    pub notice: Option<String>,
}

/// A rotation whose signatures have to be looked at.
#[derive(Debug)]
pub struct RotationCheck {
    /// The session's connection.
    pub conn: ConnId,
    /// Its minion.
    pub id: MinionId,
    /// DER of the key that is to give way.
    pub old: Vec<u8>,
    /// The key that is to follow.
    pub named: Fingerprint,
    /// What the minion says.
    pub rotate: Box<Rotate>,
}

/// What the driver has to do about the master's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStep {
    /// Make a key, write it beside the present one, say [`super::Input::KeyMade`].
    Make,
    /// Remove the file of the key that was to follow.
    Discard,
    /// Put the announced key in the present one's place, and offer configs by it.
    TakeOver,
    /// Offer a config that says what is announced now, and say [`super::Input::Offering`].
    Configure,
}

/// An operator waits for a key to be made.
#[derive(Debug)]
struct Making {
    request: RequestId,
    by: String,
    wanted: RotateMaster,
}

/// Rotations, as far as a process remembers them.
#[derive(Debug)]
pub(super) struct Rotations {
    pub(super) own: OwnKey,
    /// When this process began, on the steady clock.
    began: Duration,
    /// A key of this master that was decided for is not in its file yet.
    unsaved: Option<String>,
    making: Option<Making>,
    /// The newest config, as an Offer in base64.
    offer: Option<String>,
    /// Whether sessions that are open have to hear the next one.
    is_news: bool,
    /// Sessions whose rotation is being checked.
    checking: BTreeSet<ConnId>,
    /// Since when, and how often, minions have tried to rotate.
    tried: BTreeMap<MinionId, (Duration, u32)>,
}

impl Rotations {
    pub(super) fn new(own: OwnKey, began: Duration) -> Self {
        Self {
            own,
            began,
            unsaved: None,
            making: None,
            offer: None,
            is_news: false,
            checking: BTreeSet::new(),
            tried: BTreeMap::new(),
        }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.own.problem.iter().chain(&self.unsaved)
    }

    /// Counts an attempt of a minion. False when there were too many.
    fn may_try(&mut self, id: &MinionId, now: Duration) -> bool {
        self.tried.retain(|_, (since, _)| now.saturating_sub(*since) < ROTATIONS_WITHIN);
        let (_, count) = self.tried.entry(id.clone()).or_insert((now, 0));
        *count += 1;
        *count <= ROTATIONS_MAX
    }
}

impl<L: Log> Engine<L> {
    /// An accepted minion wants to be known by another key. Its signatures are checked beside the
    /// loop, one rotation of a session at a time.
    pub(super) fn on_rotate(&mut self, conn: ConnId, rotate: Rotate) {
        let (Some(session), Ok(named)) = (self.sessions.get(&conn), rotation::named(&rotate)) else {
            return self.output(Output::Cut { conn, why: "rotation_malformed" });
        };
        let (id, present) = (session.id.clone(), session.fingerprint);
        if named == present {
            // Its answer was lost.
            return self.send(conn, ToMinion::Rotated(Rotated { fingerprint: named, refused: None }));
        }
        let Some(old) = self.trust.registry().key(&id, present).map(|key| key.key.clone()) else {
            return self.output(Output::Cut { conn, why: "not_accepted" });
        };
        // Before anything is refused: what is being checked may yet be done.
        if !self.rotations.checking.insert(conn) {
            return self.output(Output::Cut { conn, why: "message_out_of_turn" });
        }
        if !self.rotations.may_try(&id, self.now.steady) {
            self.rotations.checking.remove(&conn);
            let why = format!("this minion has tried to rotate its key {ROTATIONS_MAX} times within an hour");
            return self.refuse_rotation(conn, named, why);
        }
        let rotate = Box::new(rotate);
        self.output(Output::CheckRotation(RotationCheck { conn, id, old, named, rotate }));
    }

    fn refuse_rotation(&mut self, conn: ConnId, fingerprint: Fingerprint, why: String) {
        self.output(Output::Count("rotation_refused"));
        self.send(conn, ToMinion::Rotated(Rotated { fingerprint, refused: Some(why) }));
    }

    /// The signatures were looked at. What the key is now is judged now.
    pub(super) fn on_rotation_checked(
        &mut self,
        conn: ConnId,
        named: Fingerprint,
        checked: Result<Handover, String>,
    ) {
        self.rotations.checking.remove(&conn);
        let Some(session) = self.sessions.get(&conn).filter(|session| session.is_live()) else {
            return;
        };
        let id = session.id.clone();
        if self.by_id.get(&id) != Some(&conn) {
            // A newer session of the minion, under the key that is to give way, is about to end
            // this one: it asks again there.
            return;
        }
        let handover = match checked {
            Ok(handover) if handover.from == session.fingerprint => handover,
            Ok(_) => return,
            Err(why) => return self.refuse_rotation(conn, named, why),
        };
        let by = format!("minion:{id}");
        let reason = handover.jid.map(|jid| format!("job {jid}"));
        match self.trust.rotate(&id, &handover, &by, reason.as_deref(), self.now.wall) {
            Ok(_) => self.rotated(conn, &id, &handover, &by),
            Err(RotateError::Refused(refusal)) => self.refuse_rotation(conn, named, refusal.to_string()),
            // The line may be on disk after all. Without an answer the minion keeps both keys, and
            // asks again in its next session.
            Err(RotateError::Ledger(_)) => self.output(Output::Count("ledger_failed")),
        }
    }

    /// The ledger has the new key: the session goes on under it.
    fn rotated(&mut self, conn: ConnId, id: &MinionId, handover: &Handover, by: &str) {
        let (fingerprint, from) = (handover.key.fingerprint(), handover.from);
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.fingerprint = fingerprint;
        }
        // Whoever waits with that key, as this minion did when it tried it, waits no longer.
        self.close_waiting(&(id.clone(), fingerprint), "key_rotated");
        self.send(conn, ToMinion::Rotated(Rotated { fingerprint, refused: None }));
        let data = json!({"from": from, "fingerprint": fingerprint, "by": by});
        self.event(format!("brine/key/{id}/rotated"), data);
    }

    /// An accepted minion has stored, or forgotten, which key the master will have next.
    pub(super) fn on_learned(&mut self, id: &MinionId, learned: Learned) {
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
    pub(super) fn catch_up(&mut self, conn: ConnId, knows: Option<Fingerprint>) {
        let own = self.rotations.own.fingerprint;
        let is_behind = match (self.successor(), knows) {
            (Some(announced), knows) => knows != Some(announced),
            // It began under the key before this one, which announced this one.
            (None, Some(known)) => known != own,
            (None, None) => false,
        };
        if is_behind && let Some(offer) = self.rotations.offer.clone() {
            self.send(conn, ToMinion::Config(Config { offer }));
        }
    }

    /// Another config is offered from now on.
    pub(super) fn on_offering(&mut self, offer: String) {
        if std::mem::take(&mut self.rotations.is_news) {
            let open: Vec<ConnId> = self.sessions.keys().copied().collect();
            for conn in open {
                self.send(conn, ToMinion::Config(Config { offer: offer.clone() }));
            }
        }
        self.rotations.offer = Some(offer);
    }

    /// Whether the present key is in its file.
    pub(super) fn on_key_saved(&mut self, problem: Option<String>) {
        self.rotations.unsaved = problem;
    }

    pub(super) fn rotation(&self) -> Option<MasterRotation> {
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
    pub(super) fn start_rotation(
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
    pub(super) fn on_key_made(&mut self, made: Result<PublicKey, String>) {
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

    /// Lets the announced key take over now.
    pub(super) fn finish_rotation(&mut self, by: &str) -> Result<MasterRotation, Problem> {
        if let (Some(problem), Some(_)) =
            (&self.rotations.own.problem, self.trust.registry().master_keys().announced)
        {
            return Err(Problem::new(ProblemKind::Conflict, problem.clone()));
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
    pub(super) fn withdraw_rotation(&mut self, by: &str) -> Result<MasterRotation, Problem> {
        let announced = self.trust.withdraw(by, None, self.now.wall).map_err(|e| self.undone_key(&e))?;
        let shown = self.shown(announced);
        self.rotations.own.problem = None;
        self.output(Output::Key(KeyStep::Discard));
        self.configure();
        self.key_event("withdrawn", &shown, by);
        Ok(shown)
    }

    /// The grace may be over; also when that was so before this process began.
    pub(super) fn succeed_if_due(&mut self) {
        let Some(announced) = self.trust.registry().master_keys().announced else {
            return;
        };
        let settle = i64::try_from(SETTLE.as_micros()).expect("two seconds");
        let due = announced.until.max(announced.since.plus_micros(settle));
        let is_due = self.now.wall >= due && self.now.steady.saturating_sub(self.rotations.began) >= REUNION;
        // Its file was put in place by hand: what is so is written down.
        let is_there = self.rotations.own.fingerprint == announced.to;
        if (is_due || is_there) && self.rotations.own.problem.is_none() {
            // A ledger that cannot be written is tried again with the next tick.
            let _ = self.finish_rotation("master");
        }
    }

    fn key_event(&mut self, what: &str, rotation: &MasterRotation, by: &str) {
        let named = &rotation.missing[..rotation.missing.len().min(NAMED_MAX)];
        let data: Value = json!({
            "from": rotation.from, "to": rotation.to, "until": rotation.until, "by": by,
            "missing": named, "missing_count": rotation.missing.len(),
        });
        self.event(format!("brine/master/key/{what}"), data);
    }

    /// What an administrator should keep in mind about the master's key.
    pub(super) fn key_notices(&self) -> impl Iterator<Item = String> {
        let under_way = self.rotation().map(|MasterRotation { to, until, learned, missing, .. }| {
            let (of, missing) = (learned + missing.len(), missing.len());
            format!(
                "this master's key is being rotated to {to}, which takes over at {until}; {missing} of {of} accepted minions have not learned it yet"
            )
        });
        under_way.into_iter().chain(self.rotations.own.notice.clone())
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
