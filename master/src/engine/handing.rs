//! Handing orders to sessions: at once where that is possible, and after a session was lost as
//! much at a time as the new one can hold.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::job::{Delivery, Ending, Job};
use brine_protocol::message::{Cancel, Order, ToMinion};
use brine_protocol::{Jid, MinionId};

use super::jobs::{ORDER_SLACK, Open};
use super::{Engine, Output, Session};
use crate::gate::ConnId;
use crate::store::Record;

/// What a session still has to be handed of what was open when it began: delivery numbers, jids.
pub(super) type Backlog = VecDeque<(u64, Jid)>;

impl<L: Log> Engine<L> {
    /// Hands a new job to those of its minions that are live.
    pub(super) fn hand_over(&mut self, job: &Job) {
        let size = self.open.get(&job.jid).map_or(0, |open| open.order_bytes);
        let mut live = Vec::new();
        for (id, _) in &job.minions {
            let Some(session) = self.live(id) else { continue };
            let (conn, subscribed, max) = (session.conn, session.is_subscribed(), session.message_max);
            if self.refuse_too_large(job.jid, id, size, max) {
                continue;
            }
            self.note_handed(job.jid, id);
            live.push((id, conn, subscribed));
        }
        // A broadcast is read by every subscriber, so it is only for orders that are for all.
        let is_for_all = job.minions.len() == self.trust.registry().accepted().count();
        let mut subscribers = self.sessions.values().filter(|session| session.is_subscribed());
        let fits_all = subscribers.all(|session| fits(size, session.message_max));
        // A pillar that has changed is told over each session: a broadcast could overtake it.
        let expression = self.open.get(&job.jid).and_then(|open| open.expression.as_ref());
        let is_about_pillar = expression.is_some_and(|expression| expression.uses().pillar);
        let is_any = live.iter().any(|(_, _, subscribed)| *subscribed);
        let by_broadcast = is_for_all && fits_all && is_any && !is_about_pillar;
        if by_broadcast {
            self.broadcast(&ToMinion::Order(Box::new(self.order(job, None))));
        }
        for (id, conn, subscribed) in live {
            if !(by_broadcast && subscribed) {
                let order = self.order(job, Some(id));
                self.send(conn, ToMinion::Order(Box::new(order)));
            }
        }
    }

    /// Hands a job to one of its minions if that is live.
    pub(super) fn hand_one(&mut self, job: &Job, id: &MinionId) {
        let size = self.open.get(&job.jid).map_or(0, |open| open.order_bytes);
        let Some((conn, max)) = self.live(id).map(|session| (session.conn, session.message_max)) else {
            return;
        };
        if !self.refuse_outlived(job, id) && !self.refuse_too_large(job.jid, id, size, max) {
            self.note_handed(job.jid, id);
            let order = self.order(job, Some(id));
            self.send(conn, ToMinion::Order(Box::new(order)));
        }
    }

    /// Takes up what is open for a minion that is back, except what its journal has.
    pub(super) fn redeliver(&mut self, conn: ConnId, id: &MinionId, taken: &BTreeSet<u64>) {
        let orders = self.orders.get(id).cloned().unwrap_or_default();
        let mut waiting = VecDeque::new();
        for (number, jid) in orders {
            let Some(open) = self.open.get_mut(&jid) else { continue };
            if let Some(waits) = open.minions.get_mut(id) {
                waits.lost_at = None;
            }
            if let Some(by) = open.cancelled_by.clone() {
                // Good for an order that runs, one that waits, and one that never arrived.
                self.send(conn, ToMinion::Cancel(Cancel { jid, number, by }));
            } else if open.turns.as_ref().is_some_and(|turns| !turns.is_out(id)) {
                self.ready_for_turn(jid, id);
            } else if !taken.contains(&number) {
                waiting.push_back((number, jid));
            }
        }
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.backlog = waiting;
        }
        self.hand_backlog(conn);
    }

    /// What was handed of the backlog has left: there is room for more.
    pub(super) fn on_drained(&mut self, conn: ConnId) {
        let is_current = |session: &Session| self.by_id.get(&session.id) == Some(&conn);
        if self.sessions.get(&conn).is_some_and(is_current) {
            self.hand_backlog(conn);
        }
    }

    /// Hands out a part of the backlog. More at once than the connection's queue holds would end
    /// the session, and the next one the same way.
    fn hand_backlog(&mut self, conn: ConnId) {
        let mut handed = 0;
        while handed < self.settings.hand_window {
            let Some(session) = self.sessions.get_mut(&conn) else { return };
            let Some((_, jid)) = session.backlog.pop_front() else { break };
            let (id, max) = (session.id.clone(), session.message_max);
            // Who was killed meanwhile has been told so: the order would come behind its own end.
            let waits = |open: &&Open| open.minions.contains_key(&id) && open.cancelled_by.is_none();
            let Some(open) = self.open.get(&jid).filter(waits) else {
                continue;
            };
            let (job, size) = (Arc::clone(&open.job), open.order_bytes);
            if self.refuse_outlived(&job, &id) || self.refuse_too_large(jid, &id, size, max) {
                continue;
            }
            handed += size + ORDER_SLACK;
            self.note_handed(jid, &id);
            let order = self.order(&job, Some(&id));
            self.send(conn, ToMinion::Order(Box::new(order)));
        }
        if self.sessions.get(&conn).is_some_and(|session| !session.backlog.is_empty()) {
            self.output(Output::Mark(conn));
        }
    }

    /// An order that the minion's own limits refuse would end its session again and again.
    fn refuse_too_large(&mut self, jid: Jid, id: &MinionId, size: usize, max: usize) -> bool {
        if fits(size, max) {
            return false;
        }
        let why = format!("the order has {size} bytes, and the minion takes messages of {max} (message_max)");
        self.end(jid, id, Ending::Refused { why });
        true
    }

    /// Remembers, before it is sent, that an order may run from here on. One that goes out at once
    /// needs no record: that it is open says so.
    fn note_handed(&mut self, jid: Jid, id: &MinionId) {
        let Some(open) = self.open.get_mut(&jid) else {
            return;
        };
        let is_recorded = is_held_back(&open.job);
        let Some(waits) = open.minions.get_mut(id).filter(|waits| !waits.handed) else {
            return;
        };
        waits.handed = true;
        let last = self.last_jobs.entry(id.clone()).or_insert(jid);
        *last = jid.max(*last);
        if is_recorded {
            self.output(Output::Persist(Record::Handed { jid, id: id.clone() }));
        }
    }

    /// The order as one minion gets it, or as everybody does.
    fn order(&self, job: &Job, to: Option<&MinionId>) -> Order {
        // Nothing left is said as well: the minion may have taken the order before its session was
        // lost, and if it has not, it ends it as expired.
        let left = |at: Duration| at.saturating_sub(self.now.steady).as_millis();
        let expires = self.open.get(&job.jid).and_then(|open| open.expires);
        let expires_in_ms = expires.map(|at| u64::try_from(left(at)).unwrap_or(u64::MAX));
        Order {
            jid: job.jid,
            number: job.number,
            calls: job.calls.clone(),
            target: self.sent_target(job, to),
            job_timeout_ms: job.job_timeout_ms,
            expires_in_ms,
            principal: job.principal.clone(),
            detach: job.detach,
        }
    }
}

/// Whether an order may be open for a while before it is handed out.
pub(super) fn is_held_back(job: &Job) -> bool {
    job.delivery != Delivery::Now || job.batch.is_some()
}

fn fits(size: usize, message_max: usize) -> bool {
    size + ORDER_SLACK <= message_max
}
