//! Orders: taken, refused, run, cancelled, ended.

use std::time::{Duration, Instant};

use brine_protocol::Jid;
use brine_protocol::job::{CALLS_MAX, Ending, Returned};
use brine_protocol::message::{Cancel, Order, Return, is_meant, is_repeatable};
use brine_protocol::signal::Signal;
use brine_protocol::target::{Expression, Known, Nodegroups, Target};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    DetachedStep, Engine, FLEETING_MAX, Fleeting, HELD_MAX, Hangup, Job, Note, OWED_AGAIN, OWED_MAX, Output,
    QUEUE_MAX, Queued, Running, Session, detached, functions,
};
use crate::book::{Entry, Held, Process, Stage};

/// How many terms of a target a refusal names.
const TERMS_NAMED: usize = 8;

/// The longest text in the end of an order that was not taken, in bytes: the names of all functions
/// that a job may have fit.
pub(super) const TEXT_MAX: usize = 64 * (128 + 1);

/// The function that ends with the machine.
const REBOOT: &str = "system.reboot";

impl Engine {
    /// Ends what an earlier run of this minion left open and does not go on.
    pub(super) fn interrupt_open_jobs(&mut self) {
        let ending = |held: &Held| match &held.stage {
            Stage::Open { boot, is_detached, .. } => {
                Some(unfinished(&held.functions, boot.as_ref(), self.settings.boot.as_ref(), *is_detached))
            }
            Stage::Ended(_) => None,
        };
        let open: Vec<(Jid, u64, String, Ending)> = self
            .book
            .jobs()
            .filter(|(jid, _)| !self.running.contains_key(jid))
            .filter_map(|(jid, held)| Some((jid, held.number, held.functions.clone(), ending(held)?)))
            .collect();
        for (jid, number, functions, ending) in open {
            self.end_on_disk(jid, number, functions, ending);
        }
    }

    pub(super) fn on_order(&mut self, order: Order, now: Instant) {
        let (jid, number) = (order.jid, order.number);
        if self.fleeting.contains_key(&jid) {
            // Repeatable, and known: the answer may have been lost with an earlier session.
            self.note(Note::Duplicate(jid));
            return self.tell(jid);
        }
        let digest = digest(&order);
        if let Some(Stage::Open { digest: known, .. }) = self.book.job(jid).map(|held| &held.stage)
            && *known != digest
        {
            return self.note(Note::Conflict(jid));
        }
        if self.book.is_taken(number) || self.book.job(jid).is_some() || self.running.contains_key(&jid) {
            return self.note(Note::Duplicate(jid));
        }
        if self.fleeting.len() >= OWED_MAX {
            return self.turn_away(jid);
        }
        let functions = functions(&order.calls);
        if order.expires_in_ms == Some(0) {
            return self.end_untaken(jid, number, functions, Ending::Expired);
        }
        let expires = order.expires_in_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
        if let Some(why) = self.objection(&order) {
            return self.refuse(jid, number, functions, why);
        }
        let is_fleeting = order.calls.iter().all(|call| is_repeatable(&call.function));
        if self.is_spool_full() {
            if !is_fleeting {
                let why = format!(
                    "the spool is full: {} returns wait to be taken by the master (spool_max is {} bytes)",
                    self.book.jobs().count(),
                    self.settings.spool_max
                );
                return self.refuse(jid, number, functions, why);
            }
        } else if !is_fleeting && self.queue.len() >= QUEUE_MAX {
            let why = format!(
                "{QUEUE_MAX} jobs wait already (process_count_max is {})",
                self.settings.process_count_max
            );
            return self.refuse(jid, number, functions, why);
        }
        if is_fleeting {
            if self.fleeting.values().filter(|fleeting| fleeting.returned.is_none()).count() >= FLEETING_MAX {
                let why = format!("{FLEETING_MAX} such jobs run already");
                return self.refuse_in_memory(jid, number, functions, why);
            }
            self.fleeting.insert(jid, Fleeting { number, returned: None });
        } else {
            let is_reboot = order.calls.iter().any(|call| call.function == REBOOT);
            let detached = order.detach;
            let boot = self.settings.boot.clone().filter(|_| is_reboot || detached);
            self.record(Entry::Open { number, jid, functions, digest, boot, detached });
        }
        let job = Job {
            jid,
            calls: order.calls,
            timeout: order.job_timeout_ms.map(Duration::from_millis),
            principal: order.principal,
            is_detached: order.detach,
        };
        // What looks at jobs or ends them must not wait behind the jobs it is about.
        let is_privileged = is_fleeting || job.calls.iter().all(|call| call.function.starts_with("brine."));
        if is_privileged {
            self.run(number, job, is_fleeting, true);
        } else {
            self.queue.push_back(Queued { number, job, expires });
            self.run_queued(now);
        }
    }

    fn objection(&self, order: &Order) -> Option<String> {
        let known = Known {
            id: &self.settings.id,
            grains: Some(&self.grains),
            pillar: Some(&self.pillar),
            record: None,
        };
        if !is_meant(order, &known) {
            Some(why_not(&order.target, &known))
        } else if order.calls.is_empty() || order.calls.len() > CALLS_MAX {
            Some(format!("a job has 1 to {CALLS_MAX} functions, this one {}", order.calls.len()))
        } else if order.detach {
            detached::objection(&order.calls)
        } else {
            None
        }
    }

    pub(super) fn run_queued(&mut self, now: Instant) {
        self.expire_queued(now);
        while self.running.values().filter(|running| !running.is_privileged).count()
            < self.settings.process_count_max
            && let Some(Queued { number, job, .. }) = self.queue.pop_front()
        {
            self.run(number, job, false, false);
        }
    }

    fn run(&mut self, number: u64, job: Job, is_fleeting: bool, is_privileged: bool) {
        let functions = job.functions();
        self.running.insert(job.jid, Running { number, functions, is_fleeting, is_privileged });
        self.put(Output::Run(job));
    }

    pub(super) fn expire_queued(&mut self, now: Instant) {
        while let Some(at) = self.queue.iter().position(|queued| queued.expires.is_some_and(|at| at <= now)) {
            if let Some(Queued { number, job, .. }) = self.queue.remove(at) {
                self.end_on_disk(job.jid, number, job.functions(), Ending::Expired);
            }
        }
    }

    pub(super) fn on_spawned(&mut self, jid: Jid, process: Process) {
        let Some(held) = self.book.job(jid).filter(|held| !held.is_ended()) else { return };
        let is_detached = held.is_detached();
        self.record(Entry::Pid { jid, pid: process.pid, start: process.start });
        if is_detached {
            self.put(Output::Detached { jid, step: DetachedStep::Proceed });
        }
    }

    pub(super) fn on_ended(&mut self, jid: Jid, ending: Ending, now: Instant) {
        let Some(Running { number, functions, is_fleeting, .. }) = self.running.remove(&jid) else {
            return;
        };
        if !is_fleeting {
            self.end_on_disk(jid, number, functions, ending);
        } else if self.fleeting.contains_key(&jid) {
            self.end_in_memory(jid, number, functions, ending);
        }
        self.run_queued(now);
    }

    /// Ends what was killed because this minion stops, and what had not begun: the master hears of it
    /// before the goodbye, for the next run may be far away. A reboot that ends its minion goes on.
    pub(super) fn on_aborted(&mut self, killed: Vec<Jid>) {
        for Queued { number, job, .. } in std::mem::take(&mut self.queue) {
            let why = "the minion was stopped before the job began".to_owned();
            self.end_on_disk(job.jid, number, job.functions(), Ending::Interrupted { why });
        }
        for jid in killed {
            let reboots = |held: &Held| matches!(held.stage, Stage::Open { boot: Some(_), .. });
            let is_open = self.book.job(jid).is_some_and(|held| !held.is_ended() && !reboots(held));
            if is_open && let Some(Running { number, functions, .. }) = self.running.remove(&jid) {
                let why = "the minion was stopped while the job ran".to_owned();
                self.end_on_disk(jid, number, functions, Ending::Interrupted { why });
            }
        }
    }

    pub(super) fn on_cancel(&mut self, cancel: &Cancel, now: Instant) {
        let (jid, number) = (cancel.jid, cancel.number);
        let ending = || Ending::Cancelled { by: cancel.by.clone() };
        if self.running.contains_key(&jid) {
            self.put(Output::Kill { jid, by: cancel.by.clone() });
        } else if let Some(at) = self.queue.iter().position(|queued| queued.job.jid == jid) {
            if let Some(queued) = self.queue.remove(at) {
                self.end_on_disk(jid, number, queued.job.functions(), ending());
            }
            self.run_queued(now);
        } else if !self.book.is_taken(number)
            && self.book.job(jid).is_none()
            && !self.fleeting.contains_key(&jid)
        {
            // The order itself may still be on its way over the other connection.
            if self.fleeting.len() >= OWED_MAX && self.is_spool_full() {
                return self.turn_away(jid);
            }
            self.end_untaken(jid, number, String::new(), ending());
        }
    }

    /// What does not run has nobody to hear a signal.
    pub(super) fn on_signal(&mut self, signal: Signal) {
        let Signal { jid, number, signal, by } = signal;
        if self.running.get(&jid).is_some_and(|running| running.number == number) {
            self.put(Output::Signal { jid, signal, by });
        }
    }

    pub(super) fn cancel_all(&mut self, by: &str) {
        for Queued { number, job, .. } in std::mem::take(&mut self.queue) {
            self.end_on_disk(job.jid, number, job.functions(), Ending::Cancelled { by: by.to_owned() });
        }
        for jid in self.running.keys().copied().collect::<Vec<_>>() {
            self.put(Output::Kill { jid, by: by.to_owned() });
        }
    }

    fn refuse(&mut self, jid: Jid, number: u64, functions: String, why: String) {
        self.note(Note::Refused { jid, why: why.clone() });
        self.end_untaken(jid, number, functions, Ending::Refused { why });
    }

    /// For functions that may run twice: what is kept of them is in memory, however much room the
    /// disk has.
    fn refuse_in_memory(&mut self, jid: Jid, number: u64, functions: String, why: String) {
        self.note(Note::Refused { jid, why: why.clone() });
        self.end_in_memory(jid, number, functions, Ending::Refused { why });
    }

    fn is_spool_full(&self) -> bool {
        self.book.bytes() >= self.settings.spool_max || self.book.jobs().count() >= HELD_MAX
    }

    /// Ends an order that was not taken: in memory only if the disk has no room. Should the answer
    /// get lost then, the order comes again and is judged again.
    fn end_untaken(&mut self, jid: Jid, number: u64, mut functions: String, mut ending: Ending) {
        cut(&mut functions);
        if let Ending::Refused { why: text } | Ending::Cancelled { by: text } = &mut ending {
            cut(text);
        }
        if self.is_spool_full() {
            self.end_in_memory(jid, number, functions, ending);
        } else {
            self.end_on_disk(jid, number, functions, ending);
        }
    }

    /// As if it had not come. The master will say it again in the next session.
    fn turn_away(&mut self, jid: Jid) {
        if let Session::Live(_, live) = &mut self.session {
            live.has_turned_away = true;
        }
        self.note(Note::TurnedAway(jid));
    }

    /// Asks for what was turned away, once there is room for it.
    pub(super) fn call_back(&mut self) {
        if let Session::Live(_, live) = &mut self.session
            && self.fleeting.len() <= OWED_AGAIN
            && std::mem::take(&mut live.has_turned_away)
        {
            self.put(Output::Hangup(Hangup::TurnedAway));
        }
    }

    fn end_on_disk(&mut self, jid: Jid, number: u64, functions: String, ending: Ending) {
        let returned = self.returned(jid, number, functions, ending);
        let is_detached = self.book.job(jid).is_some_and(Held::is_detached);
        self.record(Entry::End { returned, foreign: false });
        if is_detached {
            self.put(Output::Detached { jid, step: DetachedStep::Forget });
        }
        self.tell(jid);
    }

    fn end_in_memory(&mut self, jid: Jid, number: u64, functions: String, ending: Ending) {
        let returned = self.returned(jid, number, functions, ending);
        self.fleeting.insert(jid, Fleeting { number, returned: Some(returned) });
        self.tell(jid);
    }

    fn returned(&self, jid: Jid, number: u64, functions: String, ending: Ending) -> Box<Return> {
        let mut returned = Return { jid, number, functions, ending };
        shorten(&mut returned, self.settings.return_max);
        Box::new(returned)
    }
}

/// How a job ended that an earlier run of this minion left open: an order to reboot, and nothing
/// else, is done when the machine has booted since it was taken.
fn unfinished(
    functions: &str,
    taken_in: Option<&String>,
    present: Option<&String>,
    is_detached: bool,
) -> Ending {
    let is_rebooted = taken_in.zip(present).is_some_and(|(taken_in, present)| taken_in != present);
    if is_rebooted && functions == REBOOT {
        let value = json!({"rebooted": true});
        // For how long is not known: the clocks before and after a boot may differ.
        return Ending::Returned(Returned { value, retcode: 0, duration_ms: 0, truncated: false });
    }
    let why = if is_rebooted && is_detached {
        "the machine rebooted while the detached job ran"
    } else if is_detached {
        "the process that watched over the detached job is gone, and nothing says how the job ended"
    } else if is_rebooted {
        "the machine rebooted while the job ran, and what its other functions gave is lost"
    } else {
        "the minion stopped while the job ran"
    };
    Ending::Interrupted { why: why.to_owned() }
}

/// Why a target does not mean this minion, whom the master took to be meant.
fn why_not(target: &Target, known: &Known<'_>) -> String {
    let expression = match Expression::parse(target, &Nodegroups::new()) {
        Ok(expression) => expression,
        Err(error) => return format!("its target {:?} cannot be read here: {error}", target.to_string()),
    };
    let said = format!("no longer matches: {} is not in the target {:?}", known.id, target.to_string());
    let terms = expression.explain(known);
    if terms.len() < 2 {
        return said;
    }
    let fails = terms.iter().any(|(_, holds)| !holds);
    let (what, guilty) = if fails { ("does not hold", false) } else { ("holds", true) };
    let guilty = terms.iter().filter(|(_, holds)| *holds == guilty).take(TERMS_NAMED);
    let guilty: Vec<&str> = guilty.map(|(term, _)| term.as_str()).collect();
    format!("{said}: {what}: {}", guilty.join(", "))
}

/// SHA-256 of what an order would do, in hex: the same jid never means two things.
fn digest(order: &Order) -> String {
    let what = serde_json::to_vec(&(&order.calls, &order.target)).expect("an order came from JSON");
    Sha256::digest(what).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &mut String) {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// The last guard: a return that is larger than a message could never be delivered and would be
/// tried for ever. Functions cut their own output to less, so this hardly ever happens.
pub(super) fn shorten(returned: &mut Return, max: usize) {
    let size = serde_json::to_vec(&returned).map_or(usize::MAX, |json| json.len());
    if size <= max {
        return;
    }
    let note = format!("[brine: the return has {size} bytes, more than return_max ({max})]");
    match &mut returned.ending {
        Ending::Returned(Returned { value, truncated, .. }) => {
            *value = Value::String(note);
            *truncated = true;
        }
        Ending::Failed { why }
        | Ending::Interrupted { why }
        | Ending::Refused { why }
        | Ending::Lost { why } => *why = note,
        Ending::Cancelled { by } => *by = note,
        Ending::TimedOut { .. } | Ending::Offline { .. } | Ending::Expired => {}
    }
    // Only an order with absurd names gets here.
    if returned.functions.len() > max / 2 {
        returned.functions = "(too long)".to_owned();
    }
}
