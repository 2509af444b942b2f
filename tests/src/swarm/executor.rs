//! What a simulated minion does with orders: pure, with the time as an argument.
//!
//! It keeps in memory what a real minion keeps in its journal: the numbers it has taken, and what
//! is owed until the master has stored it. So nothing runs twice and no answer is lost for as long
//! as this process lives, whatever becomes of connections and master. Answers are made when they are
//! sent, from the order: ten thousand that are owed take little memory, however large they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_protocol::job::{Call, Ending};
use brine_protocol::message::{Cancel, Order, Return, Stored, is_repeatable};
use brine_protocol::{Jid, MinionId};

use super::answer::{self, Manner};

/// Most returns sent and not yet acknowledged; as the real minion.
const WINDOW: usize = 64;

/// Most jobs held. Beyond, orders are refused by name.
const HELD_MAX: usize = 4096;

#[derive(Debug)]
enum How {
    Ran,
    TimedOut(u64),
    Cancelled(String),
    Refused(String),
    Expired,
}

#[derive(Debug)]
enum Stage {
    Open { began: Instant, ends: Instant, kills_after_ms: Option<u64> },
    Ended { how: How, duration_ms: u64, is_sent: bool },
}

#[derive(Debug)]
struct Held {
    jid: Jid,
    order: Option<Arc<Order>>,
    stage: Stage,
}

impl Held {
    fn is_repeatable(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.calls.iter().all(|call| is_repeatable(&call.function)))
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It runs, or has run.
    New,
    /// It was known.
    Again,
    /// It was declined.
    Refused,
}

/// The jobs of one simulated minion.
#[derive(Debug)]
pub struct Executor {
    store: Option<Box<str>>,
    floor: u64,
    taken: BTreeSet<u64>,
    held: BTreeMap<u64, Held>,
    in_flight: usize,
}

impl Executor {
    /// One that knows no job.
    #[must_use]
    pub fn new() -> Self {
        Self { store: None, floor: 0, taken: BTreeSet::new(), held: BTreeMap::new(), in_flight: 0 }
    }

    /// The store whose numbers are known.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// The numbers taken and not yet stored, as a session's start tells them.
    #[must_use]
    pub fn open_numbers(&self) -> Vec<u64> {
        self.held.iter().filter(|(_, held)| !held.is_repeatable()).map(|(number, _)| *number).collect()
    }

    /// The jobs that run.
    #[must_use]
    pub fn running(&self) -> Vec<Jid> {
        let runs = |held: &&Held| matches!(held.stage, Stage::Open { .. });
        self.held.values().filter(runs).map(|held| held.jid).collect()
    }

    /// A session begins: what the one before has sent may not have arrived.
    pub fn begin_session(&mut self) {
        self.in_flight = 0;
        for held in self.held.values_mut() {
            if let Stage::Ended { is_sent, .. } = &mut held.stage {
                *is_sent = false;
            }
        }
    }

    /// Takes an order. `meant` says why not, if its target does not mean this minion.
    pub fn on_order(
        &mut self,
        order: &Arc<Order>,
        meant: Result<(), String>,
        manner: &Manner,
        now: Instant,
    ) -> Taken {
        let number = order.number;
        if let Some(held) = self.held.get_mut(&number) {
            // The answer may have been lost with an earlier session.
            if let Stage::Ended { is_sent: is_sent @ true, .. } = &mut held.stage {
                *is_sent = false;
                self.in_flight -= 1;
            }
            return Taken::Again;
        }
        if number < self.floor || self.taken.contains(&number) {
            return Taken::Again;
        }
        let refusal = meant.err().or_else(|| {
            (self.held.len() >= HELD_MAX).then(|| format!("{HELD_MAX} jobs are held by the simulated minion"))
        });
        let taken = if refusal.is_some() { Taken::Refused } else { Taken::New };
        let ended = |how| Stage::Ended { how, duration_ms: 0, is_sent: false };
        let stage = match refusal {
            Some(why) => ended(How::Refused(why)),
            None if order.expires_in_ms == Some(0) => ended(How::Expired),
            None => {
                let takes = order.calls.iter().map(sleeps).fold(manner.think, Duration::saturating_add);
                let limit = order.job_timeout_ms.filter(|limit| takes > Duration::from_millis(*limit));
                let runs = limit.map_or(takes, Duration::from_millis);
                // A sleep beyond the clock's range lasts until it is cancelled.
                let ends = now.checked_add(runs).unwrap_or(now + Duration::from_secs(1 << 30));
                Stage::Open { began: now, ends, kills_after_ms: limit }
            }
        };
        self.taken.insert(number);
        self.held.insert(number, Held { jid: order.jid, order: Some(Arc::clone(order)), stage });
        self.end_due(now);
        taken
    }

    /// Ends a job before its time; one that never arrived as well.
    pub fn on_cancel(&mut self, cancel: &Cancel, now: Instant) {
        let ended = |duration_ms| Stage::Ended {
            how: How::Cancelled(cancel.by.clone()),
            duration_ms,
            is_sent: false,
        };
        match self.held.get_mut(&cancel.number) {
            Some(held) => {
                if let Stage::Open { began, .. } = held.stage {
                    held.stage = ended(millis(now - began));
                }
            }
            None if cancel.number < self.floor || self.taken.contains(&cancel.number) => {}
            None => {
                self.taken.insert(cancel.number);
                self.held.insert(cancel.number, Held { jid: cancel.jid, order: None, stage: ended(0) });
            }
        }
    }

    /// Ends all that runs: the master has withdrawn its trust.
    pub fn cancel_all(&mut self, by: &str) {
        for held in self.held.values_mut() {
            if matches!(held.stage, Stage::Open { .. }) {
                let how = How::Cancelled(by.to_owned());
                held.stage = Stage::Ended { how, duration_ms: 0, is_sent: false };
            }
        }
    }

    /// Forgets what the master has stored; how many returns that were.
    pub fn on_stored(&mut self, stored: &Stored) -> usize {
        if self.store.as_deref() != Some(&stored.store) {
            // Numbers of another store say nothing here. A real minion would still tell what it owes.
            if self.store.is_some() {
                let store = Some(stored.store.clone().into());
                *self = Self { store, floor: stored.floor, ..Self::new() };
                return 0;
            }
            self.store = Some(stored.store.clone().into());
        }
        let mut count = 0;
        for number in &stored.numbers {
            let is_owed = |held: &Held| matches!(held.stage, Stage::Ended { .. });
            if self.held.get(number).is_some_and(is_owed)
                && let Some(Held { stage: Stage::Ended { is_sent, .. }, .. }) = self.held.remove(number)
            {
                self.in_flight -= usize::from(is_sent);
                count += 1;
            }
        }
        if stored.floor > self.floor {
            self.floor = stored.floor;
            self.taken = self.taken.split_off(&stored.floor);
        }
        count
    }

    /// Ends the jobs whose time has come.
    pub fn end_due(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            if let Stage::Open { began, ends, kills_after_ms } = held.stage
                && ends <= now
            {
                let how = kills_after_ms.map_or(How::Ran, How::TimedOut);
                held.stage = Stage::Ended { how, duration_ms: millis(ends - began), is_sent: false };
            }
        }
    }

    /// When the next job ends by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let ends = |held: &Held| match held.stage {
            Stage::Open { ends, .. } => Some(ends),
            Stage::Ended { .. } => None,
        };
        self.held.values().filter_map(ends).min()
    }

    /// The next return to be sent, oldest first, if the window has room.
    pub fn next_return(&mut self, id: &MinionId, manner: &Manner) -> Option<Return> {
        if self.in_flight >= WINDOW {
            return None;
        }
        let (number, held) = self
            .held
            .iter_mut()
            .find(|(_, held)| matches!(held.stage, Stage::Ended { is_sent: false, .. }))?;
        let Stage::Ended { how, duration_ms, is_sent } = &mut held.stage else { return None };
        *is_sent = true;
        self.in_flight += 1;
        let calls: &[Call] = held.order.as_ref().map_or(&[], |order| &order.calls);
        let names: Vec<&str> = calls.iter().map(|call| call.function.as_str()).collect();
        let ending = match how {
            How::Ran => answer::ending(calls, held.jid, id, *duration_ms, manner),
            How::TimedOut(after_ms) => Ending::TimedOut { after_ms: *after_ms },
            How::Cancelled(by) => Ending::Cancelled { by: by.clone() },
            How::Refused(why) => Ending::Refused { why: why.clone() },
            How::Expired => Ending::Expired,
        };
        Some(Return { jid: held.jid, number: *number, functions: names.join(","), ending })
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How long a call sleeps by what it is.
fn sleeps(call: &Call) -> Duration {
    if call.function != "test.sleep" {
        return Duration::ZERO;
    }
    let length = call.arguments.first().or_else(|| call.keywords.get("length"));
    let seconds = length.and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
