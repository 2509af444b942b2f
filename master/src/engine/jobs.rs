//! Orders: from a submitted job to one ending per minion.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::control::{JobEvent, JobRequest, JobRow, Problem, ProblemKind};
use brine_protocol::id::ID_MAX;
use brine_protocol::job::{CALLS_MAX, Call, Delivery, Ending, Job, canonical};
use brine_protocol::message::{Cancel, Return, Stored, ToMinion, is_repeatable};
use brine_protocol::target::{Expression, Target};
use brine_protocol::{Jid, MinionId};
use serde::Serialize;
use serde_json::{Value, json};

use super::batches::{self, Turns};
use super::handing::is_held_back;
use super::mint::delivery_number;
use super::{Engine, Now, Output};
use crate::gate::ConnId;
use crate::roles::Principal;
use crate::store::{OpenJob, Record, Row};

/// The longest name of a function.
const FUNCTION_MAX: usize = 128;

/// The deepest nesting of an argument. A reader of JSON goes 128 deep; what a function gives back
/// may be its arguments with more around them, in a return, in a journal and in events.
const NESTED_MAX: usize = 64;

/// The longest that a queued order waits, in milliseconds: 366 days. What waits for ever fills the master.
const TTL_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// What a message needs around an order's calls.
pub(super) const ORDER_SLACK: usize = 4096;

/// A job with minions that have not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) job: Arc<Job>,
    /// What its target means; none where that cannot be read any more.
    pub(super) expression: Option<Expression>,
    /// Who killed the job, if somebody did: a minion that did not hear it then hears it when it is
    /// back, instead of the order.
    pub(super) cancelled_by: Option<String>,
    /// Whose turn it is, in a batch.
    pub(super) turns: Option<Turns>,
    /// What the order takes on the wire, roughly, in bytes.
    pub(super) order_bytes: usize,
    /// When the order expires if it was not handed over, on the steady clock.
    pub(super) expires: Option<Duration>,
    /// Minions that have not ended, with the key generation that the order is for, and when the
    /// order is given up if no session comes.
    pub(super) minions: BTreeMap<MinionId, Waits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waits {
    generation: u64,
    /// Whether the order was handed to a session: from then on it may have run.
    pub(super) handed: bool,
    /// When a handed order is given up, while its minion has no session.
    pub(super) lost_at: Option<Duration>,
}

/// When an order expires. The wall clock is asked only for what went by before this process: it may
/// be set while the order waits, and then it would end too soon, or never.
fn expires(job: &Job, now: Now) -> Option<Duration> {
    match job.delivery {
        Delivery::Now => None,
        Delivery::Queue { ttl_ms } => {
            let waited = u64::try_from((now.wall.0 - job.submitted.0) / 1000).unwrap_or(0);
            Some(now.steady + Duration::from_millis(ttl_ms.saturating_sub(waited)))
        }
    }
}

impl<L: Log> Engine<L> {
    /// Takes up a job that was open when the last engine stopped.
    pub(super) fn reopen(&mut self, open: OpenJob) {
        let lost_at = Some(self.now.steady + self.settings.lost_after);
        let mut minions = BTreeMap::new();
        for (id, generation) in &open.job.minions {
            if !open.ended.contains(id) {
                // What goes out at once and is open was for a minion with a session: it may have run.
                let handed = !is_held_back(&open.job) || open.handed.contains(id);
                if handed {
                    let last = self.last_jobs.entry(id.clone()).or_insert(open.job.jid);
                    *last = open.job.jid.max(*last);
                }
                minions.insert(id.clone(), Waits { generation: *generation, handed, lost_at });
                self.orders.entry(id.clone()).or_default().insert(open.job.number, open.job.jid);
                self.orders_open += 1;
            }
        }
        let jid = open.job.jid;
        let is_over = minions.is_empty();
        let gone: Vec<MinionId> = minions
            .iter()
            .filter(|(id, waits)| !self.trust.is_accepted(id, waits.generation))
            .map(|(id, _)| id.clone())
            .collect();
        let expression = self.read_target(&open.job.target).ok();
        let order_bytes = order_bytes(&open.job.calls, expression.as_ref());
        self.open_bytes += order_bytes;
        let job = Arc::clone(&open.job);
        let expires = expires(&job, self.now);
        let taken_up = Open {
            job: open.job,
            expression,
            cancelled_by: open.cancelled_by,
            turns: None,
            order_bytes,
            expires,
            minions,
        };
        self.open.insert(jid, taken_up);
        self.resume_turns(&job, &open.rests);
        for id in gone {
            let by = "the master: its key is no longer accepted".to_owned();
            self.end(jid, &id, Ending::Cancelled { by });
        }
        if is_over {
            self.close(jid);
        }
    }

    /// Nobody is open in this job any more.
    fn close(&mut self, jid: Jid) {
        if let Some(open) = self.open.remove(&jid) {
            self.open_bytes -= open.order_bytes;
        }
        self.output(Output::Persist(Record::Closed(jid)));
    }

    /// Makes a job of a request: stored first, then sent.
    pub(super) fn submit(&mut self, mut request: JobRequest, by: &Principal) -> Result<Arc<Job>, Problem> {
        // What is judged, stored and run has one name.
        for call in &mut request.calls {
            call.function = canonical(&call.function).into_owned();
        }
        check(&request, self.settings.message_max)?;
        if let Some(problem) = &self.disk_problem {
            return Err(Problem::new(ProblemKind::Degraded, problem.clone()));
        }
        let expression = self.read_target(&request.target)?;
        check_size(order_bytes(&request.calls, Some(&expression)), self.settings.message_max)?;
        let minions = self.resolve(by, &request.target, &expression)?;
        batches::check(&request, minions.len())?;
        by.may_run(&request.calls, minions.iter().map(|(id, _)| id))?;
        if self.orders_open + minions.len() > self.settings.open_orders_max {
            let detail = format!(
                "{} orders are open and this job has {} more, at most {} may be (open_orders_max): try again when \
                 some have ended",
                self.orders_open,
                minions.len(),
                self.settings.open_orders_max
            );
            return Err(Problem::new(ProblemKind::Busy, detail));
        }
        if self.open_bytes >= self.settings.open_bytes_max {
            let detail = format!(
                "the orders that are open hold {} bytes, at most {} may be held (open_orders_bytes_max): try again \
                 when some have ended",
                self.open_bytes, self.settings.open_bytes_max
            );
            return Err(Problem::new(ProblemKind::Busy, detail));
        }

        let (jid, ceiling) = self.mint.next(self.now.wall);
        if let Some(ceiling) = ceiling {
            self.output(Output::Persist(Record::Ceiling(ceiling)));
        }
        let job = Arc::new(Job {
            jid,
            calls: request.calls,
            target: request.target,
            delivery: request.delivery,
            job_timeout_ms: request.job_timeout_ms,
            batch: request.batch,
            detach: request.detach,
            principal: by.to_string(),
            submitted: self.now.wall,
            number: delivery_number(jid),
            minions,
        });
        self.output(Output::Persist(Record::Job(Arc::clone(&job))));
        Ok(job)
    }

    /// Hands a job that was just submitted to its minions. Called after the answer to whoever
    /// submitted it, so that followers miss nothing.
    pub(super) fn start(&mut self, job: &Arc<Job>) {
        let data = json!({
            "functions": job.functions(), "target": job.target.expression,
            "principal": job.principal, "minions": job.minions.len(),
        });
        self.event(format!("brine/job/{}/new", job.jid), data);
        self.output(Output::JobEvent { jid: job.jid, event: JobEvent::Job(Box::new((**job).clone())) });
        let mut waits = BTreeMap::new();
        for (id, generation) in &job.minions {
            waits.insert(id.clone(), Waits { generation: *generation, handed: false, lost_at: None });
            self.orders.entry(id.clone()).or_default().insert(job.number, job.jid);
        }
        self.orders_open += waits.len();
        let expression = self.read_target(&job.target).ok();
        let order_bytes = order_bytes(&job.calls, expression.as_ref());
        self.open_bytes += order_bytes;
        let open = Open {
            job: Arc::clone(job),
            expression,
            cancelled_by: None,
            turns: None,
            order_bytes,
            expires: expires(job, self.now),
            minions: waits,
        };
        self.open.insert(job.jid, open);

        for (id, _) in &job.minions {
            if job.delivery == Delivery::Now && !self.is_connected(id) {
                let since = self.facts.get(id).map(|facts| facts.last_seen);
                self.end(job.jid, id, Ending::Offline { since });
            }
        }
        match job.batch {
            Some(_) => self.begin_turns(job),
            None => self.hand_over(job),
        }
    }

    /// A minion's session has ended: its orders have so long to find another. A now-mode order
    /// that waited for a Start which never came was handed to nobody.
    pub(super) fn session_lost(&mut self, id: &MinionId) {
        let orders: Vec<Jid> = self.orders.get(id).into_iter().flat_map(BTreeMap::values).copied().collect();
        for jid in orders {
            let is_offline = self.open.get(&jid).is_some_and(|open| {
                open.job.delivery == Delivery::Now && open.minions.get(id).is_some_and(|waits| !waits.handed)
            });
            if is_offline {
                let since = self.facts.get(id).map(|facts| facts.last_seen);
                self.end(jid, id, Ending::Offline { since });
            }
        }
        let lost_at = Some(self.now.steady + self.settings.lost_after);
        for jid in self.orders.get(id).into_iter().flat_map(BTreeMap::values) {
            if let Some(waits) = self.open.get_mut(jid).and_then(|open| open.minions.get_mut(id)) {
                waits.lost_at = lost_at;
            }
        }
    }

    /// Ends what nobody will answer any more: queued orders past their time, and handed-over ones
    /// whose minion has not come back.
    pub(super) fn end_overdue_orders(&mut self) {
        let Now { steady, .. } = self.now;
        let mut expired = Vec::new();
        let mut lost = Vec::new();
        let mut absent = Vec::new();
        for (jid, open) in &self.open {
            let is_past = open.expires.is_some_and(|at| at <= steady);
            for (id, waits) in &open.minions {
                if !waits.handed && is_past {
                    expired.push((*jid, id.clone()));
                } else if waits.lost_at.is_none_or(|at| at > steady) {
                    continue;
                } else if waits.handed {
                    lost.push((*jid, id.clone()));
                } else if open.job.delivery == Delivery::Now {
                    absent.push((*jid, id.clone()));
                }
            }
        }
        for (jid, id) in expired {
            self.end(jid, &id, Ending::Expired);
        }
        // Only of a batch, and only when the master was started again in the middle of it.
        for (jid, id) in absent {
            let since = self.facts.get(&id).map(|facts| facts.last_seen);
            self.end(jid, &id, Ending::Offline { since });
        }
        for (jid, id) in lost {
            let why = format!(
                "handed over, and the minion has not been back for {} s; whether the order ran is not known",
                self.settings.lost_after.as_secs()
            );
            self.end(jid, &id, Ending::Lost { why });
        }
    }

    /// A minion is back without the journal that would know: what was handed over may have run,
    /// and is never sent again. Orders that may run twice, or were not handed over, go on.
    pub(super) fn journal_lost(&mut self, id: &MinionId) {
        let orders: Vec<Jid> = self.orders.get(id).into_iter().flat_map(BTreeMap::values).copied().collect();
        for jid in orders {
            let Some(open) = self.open.get(&jid) else {
                continue;
            };
            let is_handed = open.minions.get(id).is_some_and(|waits| waits.handed);
            let is_repeatable = open.job.calls.iter().all(|call| is_repeatable(&call.function));
            if is_handed && !is_repeatable {
                let why = "the minion's journal was lost: whether the order ran is not known".to_owned();
                self.end(jid, id, Ending::Interrupted { why });
            }
        }
    }

    /// Ends every open order of a minion.
    pub(super) fn end_orders(&mut self, id: &MinionId, ending: impl Fn(Jid) -> Ending) {
        let orders: Vec<Jid> = self.orders.get(id).into_iter().flat_map(BTreeMap::values).copied().collect();
        for jid in orders {
            self.end(jid, id, ending(jid));
        }
    }

    /// The one place where an order ends.
    pub(super) fn end(&mut self, jid: Jid, id: &MinionId, ending: Ending) {
        let Some(open) = self.open.get_mut(&jid) else {
            return;
        };
        if open.minions.remove(id).is_none() {
            return;
        }
        let (number, functions) = (open.job.number, open.job.functions());
        let is_over = open.minions.is_empty();
        if let Some(orders) = self.orders.get_mut(id) {
            orders.remove(&number);
            if orders.is_empty() {
                self.orders.remove(id);
            }
        }
        self.orders_open -= 1;
        self.turn_ended(jid, id, &ending);
        let at = self.now.wall;
        let row = Box::new(Row { ending: ending.clone(), at });
        self.output(Output::Persist(Record::Row { jid, id: id.clone(), row }));
        if is_over {
            self.close(jid);
        }
        self.output(Output::Count("rows_stored"));
        let data = json!({"state": ending.name(), "retcode": ending.retcode(), "functions": functions});
        let row = JobRow { id: id.clone(), ending: Some(ending), at: Some(at), late: vec![], presence: None };
        self.output(Output::JobEvent { jid, event: JobEvent::Row(Box::new(row)) });
        self.passing_event(format!("brine/job/{jid}/ret/{id}"), data);
        if is_over {
            self.output(Output::JobEvent { jid, event: JobEvent::End });
        }
    }

    /// A minion reports how an order ended.
    pub(super) fn on_return(&mut self, conn: ConnId, id: &MinionId, generation: u64, report: Return) {
        let Return { jid, number, ending, .. } = report;
        let is_open = self
            .open
            .get(&jid)
            .filter(|open| open.job.number == number)
            .and_then(|open| open.minions.get(id))
            .is_some_and(|waits| waits.generation == generation);
        if is_open {
            self.end(jid, id, ending);
        } else {
            self.output(Output::Count("reports_late"));
            let row = Box::new(Row { ending, at: self.now.wall });
            self.output(Output::Persist(Record::Report { jid, id: id.clone(), row }));
        }
        let stored = Stored { store: self.store.clone(), numbers: vec![number], floor: self.floor(id) };
        self.send(conn, ToMinion::Stored(stored));
    }

    /// The lowest delivery number that may still be sent to a minion.
    pub(super) fn floor(&self, id: &MinionId) -> u64 {
        let lowest = self.orders.get(id).and_then(|orders| orders.keys().next());
        lowest.copied().unwrap_or(self.mint.last_number() + 1)
    }

    /// Ends a job before its time: connected minions are told and say how it ended, the others, and
    /// those whose turn in a batch has not come, are cancelled here and now.
    pub(super) fn cancel(&mut self, jid: Jid, by: &Principal) -> Vec<MinionId> {
        let Some(open) = self.open.get_mut(&jid) else {
            return Vec::new();
        };
        open.cancelled_by = Some(by.to_string());
        let number = open.job.number;
        let turns = open.turns.as_ref();
        let has_turn = |id: &MinionId| turns.is_none_or(|turns| turns.is_out(id));
        let minions: Vec<(MinionId, bool)> =
            open.minions.keys().map(|id| (id.clone(), has_turn(id))).collect();
        self.output(Output::Persist(Record::Cancelled { jid, by: by.to_string() }));
        for (id, has_turn) in &minions {
            match self.live(id).map(|session| session.conn).filter(|_| *has_turn) {
                Some(conn) => self.send(conn, ToMinion::Cancel(Cancel { jid, number, by: by.to_string() })),
                None => self.end(jid, id, Ending::Cancelled { by: by.to_string() }),
            }
        }
        minions.into_iter().map(|(id, _)| id).collect()
    }
}

/// What an order takes on the wire, but for its envelope: the target that a minion is sent may be
/// longer than what was written, and where that cannot be read any more it is the minion's id.
fn order_bytes(calls: &[Call], expression: Option<&Expression>) -> usize {
    let target = expression.map_or(ID_MAX + json_bytes(&Target::list("")), Expression::sent_max);
    json_bytes(calls) + target
}

fn json_bytes<T: Serialize + ?Sized>(what: &T) -> usize {
    serde_json::to_vec(what).map_or(usize::MAX / 4, |json| json.len())
}

/// Refuses an order that no message carries.
fn check_size(size: usize, message_max: usize) -> Result<(), Problem> {
    let max = message_max - ORDER_SLACK;
    if size > max {
        let detail = format!("target and arguments have {size} bytes, an order carries at most {max}");
        return Err(Problem::new(ProblemKind::BadRequest, detail));
    }
    Ok(())
}

/// How deep arrays and objects lie inside each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(items) => 1 + items.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Refuses what no minion could be asked to do.
fn check(request: &JobRequest, message_max: usize) -> Result<(), Problem> {
    let bad = |detail: String| Err(Problem::new(ProblemKind::BadRequest, detail));
    if request.calls.is_empty() || request.calls.len() > CALLS_MAX {
        return bad(format!("a job has 1 to {CALLS_MAX} functions, this one has {}", request.calls.len()));
    }
    for call in &request.calls {
        let name = &call.function;
        let is_name = name.len() <= FUNCTION_MAX
            && name.split('.').count() >= 2
            && name
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        if !is_name {
            return bad(format!(
                "{:?} is not a function: write module.function",
                brine_local::text::escape(name)
            ));
        }
    }
    if request.job_timeout_ms == Some(0) {
        return bad("a job timeout has to be greater than 0".to_owned());
    }
    if request.delivery == (Delivery::Queue { ttl_ms: 0 }) {
        return bad("a queued order's time to live has to be greater than 0".to_owned());
    }
    if matches!(request.delivery, Delivery::Queue { ttl_ms } if ttl_ms > TTL_MAX_MS) {
        return bad("a queued order waits for at most 366 days".to_owned());
    }
    let nested = |values: &mut dyn Iterator<Item = &Value>| values.map(depth).max().unwrap_or(0);
    let depth = request
        .calls
        .iter()
        .map(|call| nested(&mut call.arguments.iter()).max(nested(&mut call.keywords.values())))
        .max()
        .unwrap_or(0);
    if depth > NESTED_MAX {
        return bad(format!("an argument is nested {depth} deep, at most {NESTED_MAX} is taken"));
    }
    // Before the target is read: what is too large as it is written is not worth reading.
    check_size(json_bytes(&request.calls) + json_bytes(&request.target), message_max)
}
