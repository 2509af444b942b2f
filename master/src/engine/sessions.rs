//! Sessions: who is connected, as what, and what happens when they come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_pki::registry::rules::Rule;
use brine_pki::registry::{Knocker, Verdict};
use brine_pki::waiting::WaitingKey;
use brine_protocol::control::Presence;
use brine_protocol::limits::WireLimits;
use brine_protocol::message::{Beat, Knock, Standing, Start, Stored, ToMaster, ToMinion};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde_json::json;

use super::clash::Party;
use super::enrol::take_token;
use super::events::name_server;
use super::handing::Backlog;
use super::{Engine, Now, Opened, Output};
use crate::gate::ConnId;
use crate::store::{Facts, Record};

/// What a session is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The key waits for a decision, or was refused.
    Waiting,
    /// The key was accepted; the minion has yet to say Start. Its orders are kept for then.
    Starting { generation: u64 },
    /// It gets orders.
    Live { generation: u64 },
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) id: MinionId,
    pub(super) fingerprint: Fingerprint,
    address: String,
    stage: Stage,
    subscribed: bool,
    /// When it went live.
    pub(super) since: Timestamp,
    heard: Now,
    /// By how many seconds its clock was ahead when it beat last, if it said.
    pub(super) skew: Option<i64>,
    pub(super) running: BTreeSet<Jid>,
    /// Largest message that the minion takes.
    pub(super) message_max: usize,
    /// SHA-256 of the pillar that it was told last.
    pub(super) pillar: Option<[u8; 32]>,
    pub(super) backlog: Backlog,
}

impl Session {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed && self.is_live()
    }

    fn generation(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting => None,
            Stage::Starting { generation } | Stage::Live { generation } => Some(generation),
        }
    }
}

fn standing(verdict: Verdict, token: impl FnOnce() -> [u8; 32]) -> Standing {
    match verdict {
        Verdict::Accepted { .. } => Standing::Accepted { token: token() },
        Verdict::Pending => Standing::Pending,
        Verdict::Rejected => Standing::Rejected,
        Verdict::Denied => Standing::Denied,
        Verdict::Suspended => Standing::Suspended,
    }
}

impl<L: Log> Engine<L> {
    pub(super) fn on_hello(&mut self, conn: ConnId, id: &MinionId, fingerprint: Fingerprint) {
        let verdict = self.trust.standing(id, fingerprint);
        let generation = match verdict {
            Verdict::Accepted { generation } => Some(generation),
            Verdict::Pending | Verdict::Rejected | Verdict::Denied | Verdict::Suspended => None,
        };
        let standing = standing(verdict, || self.random());
        self.output(Output::Welcome { conn, standing, generation });
    }

    pub(super) fn on_opened(&mut self, opened: Opened, mut first: ToMaster) {
        // Before anything is kept or told of what the minion claims.
        let token = take_token(&mut first);
        let Opened { conn, id, key, fingerprint, resumed, address } = opened;
        // Its key was not shown, so that it cannot be filed under another decision than the ticket's.
        if let Some(generation) = resumed
            && self.trust.standing(&id, fingerprint) != (Verdict::Accepted { generation })
        {
            return self.output(Output::Cut { conn, why: "not_accepted" });
        }
        let claims = match &first {
            ToMaster::Knock(knock) => knock.clone(),
            _ => Knock::default(),
        };
        let knocker = Knocker { id: id.clone(), fingerprint, key, address, claims };
        let knocked = self.trust.knock(knocker, self.now.wall);
        let session = Session {
            conn,
            id: id.clone(),
            fingerprint,
            address: address.to_string(),
            stage: Stage::Waiting,
            subscribed: self.early_subscribers.remove(&conn).is_some(),
            since: self.now.wall,
            heard: self.now,
            skew: None,
            running: BTreeSet::new(),
            message_max: WireLimits::default().message_max,
            pillar: None,
            backlog: Backlog::new(),
        };
        for dropped in &knocked.dropped {
            self.key_forgotten(dropped, "pending_full");
        }
        if knocked.waits {
            // Not stored: strangers must not be able to fill the disk by knocking.
            let what = if knocked.is_new { knocked.verdict.state().name() } else { "seen" };
            let mut data = json!({"fingerprint": fingerprint, "address": address.to_string()});
            if knocked.verdict == Verdict::Rejected {
                data["by"] = Rule::AutorejectFile.by().into();
            }
            self.passing_event(format!("brine/key/{id}/{what}"), data);
        }
        match (knocked.verdict, first) {
            (Verdict::Accepted { generation }, ToMaster::Start(start)) => {
                self.sessions.insert(conn, session);
                self.go_live(conn, generation, *start);
            }
            (Verdict::Accepted { generation }, ToMaster::Knock(_)) => {
                self.sessions.insert(conn, session);
                self.admit(conn, generation);
            }
            (verdict, ToMaster::Knock(_)) => {
                self.sessions.insert(conn, session);
                if let Some(older) = self.waiting.insert((id.clone(), fingerprint), conn) {
                    self.output(Output::Cut { conn: older, why: "displaced" });
                }
                if verdict != Verdict::Rejected {
                    self.catch_up(conn, None);
                }
                let shown = token.filter(|_| knocked.waits);
                if shown.is_some_and(|token| self.enrol(conn, &id, fingerprint, &address.to_string(), &token))
                {
                    return self.judge_others(&knocked.dropped);
                }
                match verdict {
                    Verdict::Rejected => self.output(Output::Close { conn, why: "key_rejected" }),
                    Verdict::Pending => self.judge(&id),
                    Verdict::Accepted { .. } | Verdict::Denied | Verdict::Suspended => {}
                }
            }
            // Started under a verdict that has changed since, or said something else first.
            (_, _) => self.output(Output::Cut { conn, why: "message_out_of_turn" }),
        }
        self.judge_others(&knocked.dropped);
    }

    fn judge_others(&mut self, dropped: &[WaitingKey]) {
        for dropped in dropped {
            // Of two that waited, the other may be the only one now.
            self.judge(&dropped.id);
        }
    }

    pub(super) fn on_frame(&mut self, conn: ConnId, message: ToMaster) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.heard = now;
        let (stage, id) = (session.stage, session.id.clone());
        let accepted = session.generation().is_none_or(|generation| self.trust.is_accepted(&id, generation));
        if !accepted {
            self.output(Output::Cut { conn, why: "not_accepted" });
            return;
        }
        match (stage, message) {
            (_, ToMaster::Beat(beat)) => self.on_beat(conn, beat),
            (_, ToMaster::Bye) => self.output(Output::Close { conn, why: "bye" }),
            (Stage::Starting { generation }, ToMaster::Start(start)) => {
                self.go_live(conn, generation, *start);
            }
            (Stage::Live { generation }, ToMaster::Return(report)) => {
                self.on_return(conn, &id, generation, *report);
            }
            (Stage::Live { .. }, ToMaster::Rotate(rotate)) => self.on_rotate(conn, *rotate),
            (Stage::Live { .. }, ToMaster::Learned(learned)) => self.on_learned(&id, learned),
            (Stage::Live { .. }, ToMaster::RefreshPillar(refresh)) => self.on_refresh_pillar(conn, refresh),
            (Stage::Live { .. }, ToMaster::ModulesWanted(wanted)) => self.on_modules_wanted(conn, wanted),
            (Stage::Live { .. }, ToMaster::ModuleWanted(wanted)) => self.on_module_wanted(conn, *wanted),
            // Said again in its Start.
            (Stage::Waiting | Stage::Starting { .. }, ToMaster::Learned(_)) => {}
            (Stage::Live { .. }, ToMaster::Grains(grains)) => {
                if let Some(facts) = self.facts.get_mut(&id) {
                    facts.last_seen = now.wall;
                    let record = if facts.grains == grains {
                        Record::Seen(id.clone(), now.wall)
                    } else {
                        facts.grains = grains;
                        Record::Facts(id.clone(), Box::new(facts.clone()))
                    };
                    self.output(Output::Persist(record));
                    self.passing_event(format!("brine/minion/{id}/grains"), json!({}));
                    self.pillar_may_differ(conn, &id);
                }
                // Behind the record: until then no more of them are read of this minion.
                self.output(Output::Mark(conn));
            }
            // Sent before the acceptance reached it.
            (Stage::Starting { .. }, ToMaster::Knock(_)) => {}
            (
                Stage::Waiting | Stage::Starting { .. } | Stage::Live { .. },
                ToMaster::Knock(_)
                | ToMaster::Start(_)
                | ToMaster::Return(_)
                | ToMaster::Grains(_)
                | ToMaster::RefreshPillar(_)
                | ToMaster::ModulesWanted(_)
                | ToMaster::ModuleWanted(_)
                | ToMaster::Rotate(_),
            ) => self.output(Output::Cut { conn, why: "message_out_of_turn" }),
        }
    }

    pub(super) fn on_subscribed(&mut self, conn: ConnId) {
        match self.sessions.get_mut(&conn) {
            Some(session) => {
                session.subscribed = true;
                if session.is_live() {
                    self.send_epoch(conn);
                }
            }
            None => {
                self.early_subscribers.insert(conn, self.now.steady);
            }
        }
    }

    pub(super) fn on_closed(&mut self, conn: ConnId, why: &'static str) {
        self.early_subscribers.remove(&conn);
        self.forget_pillar_of(conn);
        self.forget_modules_of(conn);
        let Some(session) = self.sessions.remove(&conn) else {
            return;
        };
        let key = (session.id.clone(), session.fingerprint);
        if self.waiting.get(&key) == Some(&conn) {
            self.waiting.remove(&key);
        }
        let id = session.id;
        if self.by_id.get(&id) != Some(&conn) {
            return;
        }
        self.by_id.remove(&id);
        self.session_lost(&id);
        if let Some(facts) = self.facts.get_mut(&id) {
            facts.last_seen = session.heard.wall;
            self.output(Output::Persist(Record::Seen(id.clone(), session.heard.wall)));
        }
        self.event(format!("brine/minion/{id}/stop"), json!({"why": why}));
    }

    /// Tells a waiting minion that it is in. From here on its orders are kept for its Start.
    pub(super) fn admit(&mut self, conn: ConnId, generation: u64) {
        let token = self.random();
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.stage = Stage::Starting { generation };
        let id = session.id.clone();
        self.waiting.remove(&(id.clone(), session.fingerprint));
        self.take_over(conn, &id);
        self.send(conn, ToMinion::Standing(Standing::Accepted { token }));
        self.output(Output::Grant { conn, generation });
    }

    /// Makes this the session of its minion, and ends an older one.
    fn take_over(&mut self, conn: ConnId, id: &MinionId) {
        match self.by_id.insert(id.clone(), conn) {
            Some(older) if older != conn => self.output(Output::Cut { conn: older, why: "displaced" }),
            Some(_) | None => {}
        }
    }

    fn go_live(&mut self, conn: ConnId, generation: u64, start: Start) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.stage = Stage::Live { generation };
        session.since = self.now.wall;
        if let Some(max) = start.message_max {
            session.message_max = usize::try_from(max).unwrap_or(usize::MAX);
        }
        let (id, address, subscribed) = (session.id.clone(), session.address.clone(), session.subscribed);
        let fingerprint = session.fingerprint;
        let displaced = self.by_id.get(&id).is_some_and(|older| *older != conn);
        self.take_over(conn, &id);
        self.note_arrival(&id, fingerprint);

        let known = self.facts.get(&id).filter(|facts| facts.generation == generation);
        let before =
            known.map(|facts| Party { journal: facts.journal.clone(), address: facts.address.clone() });
        if let Some(before) = before {
            let came = Party { journal: start.journal.clone(), address: address.clone() };
            if before.journal != came.journal {
                self.journal_lost(&id);
            }
            self.watch_turns(&id, before, came, displaced);
        }
        let facts = Facts {
            generation,
            journal: start.journal,
            last_seen: self.now.wall,
            address,
            version: start.version.clone(),
            grains: start.grains,
            successor: start.successor,
        };
        self.remember(&id, facts);

        // First of all: orders wait on the minion for the Stored behind it, broadcasts too.
        self.pillar_may_differ(conn, &id);
        let stored = Stored { store: self.store.clone(), numbers: vec![], floor: self.floor(&id) };
        self.send(conn, ToMinion::Stored(stored));
        self.catch_up(conn, start.successor);
        let taken: BTreeSet<u64> = if start.store.as_deref() == Some(&self.store) {
            start.open.into_iter().collect()
        } else {
            BTreeSet::new()
        };
        if subscribed {
            self.send_epoch(conn);
        }
        self.redeliver(conn, &id, &taken);
        self.event(format!("brine/minion/{id}/start"), json!({"version": start.version}));
    }

    /// Takes in what is known of a minion now, and stores of it what is new: hardly anything is when it comes
    /// back.
    fn remember(&mut self, id: &MinionId, facts: Facts) {
        let record = match self.facts.get_mut(id) {
            Some(known) if known.is_but_for_time(&facts) => {
                known.last_seen = facts.last_seen;
                Record::Seen(id.clone(), facts.last_seen)
            }
            _ => {
                self.facts.insert(id.clone(), facts.clone());
                Record::Facts(id.clone(), Box::new(facts))
            }
        };
        self.output(Output::Persist(record));
    }

    fn on_beat(&mut self, conn: ConnId, beat: Beat) {
        let (wall, steady) = (self.now.wall, self.now.steady);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.running = beat.running.into_iter().collect();
        session.skew = beat.clock.map(|clock| clock.0.saturating_sub(wall.0) / 1_000_000);
        let (id, fingerprint, is_live) = (session.id.clone(), session.fingerprint, session.is_live());
        self.trust.heard(&id, fingerprint, wall);
        // Somebody else who waits under the same name does not answer for it.
        if is_live {
            self.on_sign_of_life(&id, steady);
        }
    }

    /// Ends the session over which a waiting key's minion listens.
    pub(super) fn close_waiting(&mut self, key: &(MinionId, Fingerprint), why: &'static str) {
        if let Some(conn) = self.waiting.remove(key) {
            self.output(Output::Close { conn, why });
        }
    }

    /// A waiting key had to make room, or was not heard of for too long. Nothing is stored of it, but
    /// whoever has it on a screen has to hear that it is gone.
    pub(super) fn key_forgotten(&mut self, key: &WaitingKey, why: &'static str) {
        let WaitingKey { id, fingerprint, claims, .. } = key;
        let mut data = json!({"fingerprint": fingerprint});
        let zone = name_server(&mut data, self.whose_gone(id, claims));
        let event = self.make_event(format!("brine/key/{id}/expired"), data, zone);
        self.output(Output::Event(event));
        self.close_waiting(&(id.clone(), *fingerprint), why);
    }

    /// The live session of a minion.
    pub(super) fn live(&self, id: &MinionId) -> Option<&Session> {
        let session = self.sessions.get(self.by_id.get(id)?)?;
        session.is_live().then_some(session)
    }

    /// Whether a minion has a session, or is about to.
    pub(super) fn is_connected(&self, id: &MinionId) -> bool {
        self.by_id.contains_key(id)
    }

    /// What is known of a minion's presence, with regard to one job if one is named.
    pub(super) fn presence(&self, id: &MinionId, jid: Option<Jid>) -> Presence {
        let Some(session) = self.live(id) else {
            let since = self.facts.get(id).map(|facts| facts.last_seen);
            return Presence::Offline { since };
        };
        let quiet = self.now.steady.saturating_sub(session.heard.steady);
        if quiet > self.settings.heartbeat + Duration::from_secs(1) {
            return Presence::Silent { since: session.heard.wall };
        }
        match jid {
            Some(jid) if session.running.contains(&jid) => Presence::Running,
            Some(_) | None => Presence::Up,
        }
    }

    /// When a session was last heard of, on the steady clock.
    pub(super) fn heard_at(&self, id: &MinionId) -> Option<Now> {
        let session = self.sessions.get(self.by_id.get(id)?)?;
        Some(session.heard)
    }

    pub(super) fn address(&self, id: &MinionId) -> Option<String> {
        self.by_id
            .get(id)
            .and_then(|conn| self.sessions.get(conn))
            .map(|session| session.address.clone())
            .or_else(|| self.facts.get(id).map(|facts| facts.address.clone()))
    }
}
