//! Keys that give way to others while everything goes on: a minion's, and the master's own.
//!
//! ```text
//! minion:  Rotate --checked beside the loop--> ledger --> Rotated        (the session goes on)
//! master:  asked --key made, file written--> announced --until, or asked--> succeeded
//!                                                '------------- asked ----> withdrawn
//! ```
//! What is announced, and until when, is in the registry, so that it outlives the process; here is
//! only what a process knows besides: whether the announced key's file is there, which config is
//! offered, and what the steady clock says.

mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_pki::registry::{Announced, RotateError};
use brine_pki::rotation::{self, Handover};
use brine_protocol::control::RotateMaster;
use brine_protocol::message::{Rotate, Rotated, ToMinion};
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde_json::json;

use super::{Engine, Now, Output, RequestId};
use crate::gate::ConnId;
use own::Grace;

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
    /// A key of this master that was decided for is not in its file yet.
    unsaved: Option<String>,
    making: Option<Making>,
    /// The newest config, as an Offer in base64.
    offer: Option<String>,
    /// Whether sessions that are open have to hear the next one: what is announced, or withdrawn,
    /// is in no config yet.
    is_news: bool,
    grace: Grace,
    /// Sessions whose rotation is being checked.
    checking: BTreeSet<ConnId>,
    /// Since when, and how often, minions have tried to rotate.
    tried: BTreeMap<MinionId, (Duration, u32)>,
}

impl Rotations {
    pub(super) fn new(own: OwnKey, announced: Option<Announced>, now: Now) -> Self {
        Self {
            own,
            unsaved: None,
            making: None,
            offer: None,
            is_news: false,
            grace: Grace::of_a_start(announced, now),
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
        // The jid is the minion's word: it names no job that is not its own.
        let is_its = |jid: &Jid| self.orders.get(&id).is_some_and(|open| open.values().any(|its| its == jid));
        let reason = handover.jid.filter(is_its).map(|jid| format!("job {jid}"));
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
        // A session that still had the old key may have read along.
        self.end_epoch();
        // Whoever waits with that key, as this minion did when it tried it, waits no longer.
        self.close_waiting(&(id.clone(), fingerprint), "key_rotated");
        self.send(conn, ToMinion::Rotated(Rotated { fingerprint, refused: None }));
        let data = json!({"from": from, "fingerprint": fingerprint, "by": by});
        self.event(format!("brine/key/{id}/rotated"), data);
    }
}
