//! Following a job until every minion has answered or will not: what to print, when to ask, how
//! to end. Pure; [`super::run`] performs what comes out.
//!
//! A minion is *open* until its row comes. After a time without news the open ones are probed:
//! those that run the job are waited for, without limit; those that are silent or gone are named
//! and no longer waited for, though a row that comes while others run still counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brine_client::Exit;
use brine_protocol::MinionId;
use brine_protocol::control::{JobEvent, JobRow, Presence};
use brine_protocol::job::{Delivery, Ending, Job, Returned};
use brine_protocol::target::{Target, TargetKind};
use brine_protocol::time::Timestamp;

/// How many ids one note names.
const NAMED_MAX: usize = 20;

/// Probes in a row that find a minion idle before it is given up: its return may be on the way.
const IDLE_PROBES: u32 = 2;

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    /// The stream's next event.
    Event(JobEvent),
    /// No news for the whole timeout.
    Quiet,
    /// A probe's answer, this long after the start.
    Probed { rows: Vec<JobRow>, after: Duration },
    /// Ctrl-C.
    Interrupt,
    /// The master is gone and did not come back.
    Lost,
}

/// What to do about it, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// The job is known now.
    Begin(Box<Job>),
    /// Print a return.
    Return(MinionId, Returned),
    /// Print that a minion gave none.
    Missing(String, String),
    /// Print how it ended for a minion that answered, and has no value.
    Ended(String, String),
    /// Say something on stderr.
    Note(String),
    /// Ask the master about the open minions.
    Probe,
    /// That was all.
    Finish(Exit, Summary),
}

/// The numbers of `--summary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    pub(super) targeted: usize,
    pub(super) returned: usize,
    pub(super) missing: usize,
    pub(super) errors: usize,
}

/// The state of following one job.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// What to write behind `brine jobs show <jid>` so that it finds this master.
    options: String,
    job: Option<Job>,
    open: BTreeSet<MinionId>,
    /// Named as missing, and not waited for; their row may still come.
    given_up: BTreeSet<MinionId>,
    said_running: BTreeSet<MinionId>,
    idle_probes: BTreeMap<MinionId, u32>,
    /// How many were not connected when the job was made: nothing ran there.
    offline: usize,
    /// Not connected, and their order waits for them.
    queued: BTreeSet<MinionId>,
    summary: Summary,
}

impl Watch {
    /// A watch whose hints name these options (`--root-dir …`), each with a space before it.
    pub(super) fn new(options: String) -> Self {
        Self { options, ..Self::default() }
    }

    /// The job, once the master has named it.
    pub(super) fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Output> {
        match input {
            Input::Event(JobEvent::Job(job)) => self.begin(*job),
            Input::Event(JobEvent::Row(row)) => self.row(*row),
            Input::Event(JobEvent::End) => self.end(),
            Input::Quiet => vec![Output::Probe],
            Input::Probed { rows, after } => self.probed(rows, after),
            Input::Interrupt => self.interrupt(),
            Input::Lost => self.lost(),
        }
    }

    fn begin(&mut self, job: Job) -> Vec<Output> {
        if self.job.is_some() {
            // The stream was taken up again; rows that were seen are known by their ids.
            return Vec::new();
        }
        self.open = job.minions.iter().map(|(id, _)| id.clone()).collect();
        self.summary.targeted = self.open.len();
        let strangers = self.strangers(&job);
        self.job = Some(job.clone());
        let mut outputs = vec![Output::Begin(Box::new(job))];
        for name in strangers {
            self.summary.targeted += 1;
            self.summary.missing += 1;
            outputs.push(Output::Missing(name, "no accepted key has this id".to_owned()));
        }
        outputs
    }

    /// Names in a list that the master resolved to no minion: asked for, so answered for.
    fn strangers(&self, job: &Job) -> BTreeSet<String> {
        let is_stranger = |name: &&str| !name.is_empty() && !self.open.iter().any(|id| id.as_str() == *name);
        listed(&job.target).into_iter().filter(is_stranger).map(str::to_owned).collect()
    }

    fn row(&mut self, row: JobRow) -> Vec<Output> {
        let Some(ending) = row.ending else {
            return Vec::new();
        };
        let was_missing = self.given_up.remove(&row.id);
        self.queued.remove(&row.id);
        if !self.open.remove(&row.id) && !was_missing {
            return Vec::new();
        }
        match ending {
            Ending::Returned(returned) => {
                self.summary.missing -= usize::from(was_missing);
                self.summary.returned += 1;
                self.summary.errors += usize::from(returned.retcode != 0);
                vec![Output::Return(row.id, returned)]
            }
            // Named before, with what was known then.
            _ if was_missing => Vec::new(),
            other if other.retcode().is_some() => {
                self.summary.returned += 1;
                self.summary.errors += 1;
                vec![Output::Ended(row.id.to_string(), reason(&other))]
            }
            other => {
                self.summary.missing += 1;
                self.offline += usize::from(matches!(other, Ending::Offline { .. }));
                vec![Output::Missing(row.id.to_string(), reason(&other))]
            }
        }
    }

    fn end(&mut self) -> Vec<Output> {
        let mut outputs: Vec<Output> = std::mem::take(&mut self.open)
            .into_iter()
            .map(|id| Output::Missing(id.to_string(), "the master does not know how it ended".to_owned()))
            .collect();
        self.summary.missing += outputs.len();
        outputs.extend(self.finish());
        outputs
    }

    fn finish(&self) -> Vec<Output> {
        let exit = match self.summary {
            Summary { missing: 1.., .. } => Exit::NoReturn,
            Summary { errors: 1.., .. } => Exit::Retcode,
            _ => Exit::Ok,
        };
        let notes = self.nobody_there().into_iter().chain(self.still_queued());
        let mut outputs: Vec<Output> = notes.map(Output::Note).collect();
        outputs.push(Output::Finish(exit, self.summary));
        outputs
    }

    /// That the target means minions, and that none of them was there.
    fn nobody_there(&self) -> Option<String> {
        let minions = &self.job.as_ref()?.minions;
        match minions.as_slice() {
            _ if self.offline == 0 || self.offline < minions.len() => None,
            [(only, _)] => Some(format!("matched but offline: {only} is not connected; nothing was run")),
            all => Some(format!(
                "matched but offline: none of the {} minions that match is connected; nothing was run",
                all.len()
            )),
        }
    }

    /// Until when the order waits for who is away, if it does.
    fn queued_until(&self) -> Option<Timestamp> {
        let job = self.job.as_ref()?;
        match job.delivery {
            Delivery::Now => None,
            Delivery::Queue { ttl_ms } => {
                let ttl = i64::try_from(ttl_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
                Some(Timestamp(job.submitted.0.saturating_add(ttl)))
            }
        }
    }

    /// For whom the order waits, and how to learn what came of it.
    fn still_queued(&self) -> Option<String> {
        let until = self.queued_until().filter(|_| !self.queued.is_empty())?;
        Some(format!("queued until {until} for {}; {}", named(self.queued.iter()), self.hint("show")))
    }

    /// How a job goes on when nobody watches it.
    fn goes_on(&self, job: &Job) -> String {
        match (&job.batch, self.queued_until()) {
            (Some(batch), _) => format!("goes on, {} at a time", batch.size),
            (None, Some(until)) => format!("goes on, and is queued until {until} for who is away"),
            (None, None) => "goes on".to_owned(),
        }
    }

    fn probed(&mut self, rows: Vec<JobRow>, after: Duration) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut running = Vec::new();
        for JobRow { id, ending, presence, .. } in rows {
            // An ending is on its way in the stream, which alone decides.
            let (None, Some(presence), true) = (ending, presence, self.open.contains(&id)) else {
                continue;
            };
            let why = match presence {
                Presence::Running => {
                    self.idle_probes.remove(&id);
                    if self.said_running.insert(id.clone()) {
                        running.push(id);
                    }
                    continue;
                }
                Presence::Waiting => {
                    self.idle_probes.remove(&id);
                    continue;
                }
                Presence::Up => {
                    let probes = self.idle_probes.entry(id.clone()).or_default();
                    *probes += 1;
                    if *probes < IDLE_PROBES {
                        continue;
                    }
                    "connected, but not running this job".to_owned()
                }
                Presence::Silent { since } => format!("silent since {since}"),
                Presence::Offline { since } => {
                    let offline =
                        since.map_or("offline".to_owned(), |since| format!("offline since {since}"));
                    match self.queued_until() {
                        None => offline,
                        Some(until) => {
                            self.queued.insert(id.clone());
                            format!("{offline}; queued until {until}")
                        }
                    }
                }
            };
            outputs.push(Output::Missing(id.to_string(), why));
            self.open.remove(&id);
            self.given_up.insert(id);
            self.summary.missing += 1;
        }
        if !running.is_empty() {
            let hint = self.hint("show");
            let seconds = after.as_secs_f64().round();
            outputs.push(Output::Note(format!(
                "still running after {seconds} s: {}; {hint}",
                named(running.iter())
            )));
        }
        if self.job.is_some() && self.open.is_empty() {
            outputs.extend(self.finish());
        }
        outputs
    }

    fn interrupt(&self) -> Vec<Output> {
        let note = match &self.job {
            None => format!(
                "interrupted before the master had answered; if it took the job, it is in: brine jobs list{}",
                self.options
            ),
            Some(job) => format!(
                "interrupted; job {} {}\n  look: {}\n  kill: {}\n  still out: {}",
                job.jid,
                self.goes_on(job),
                self.hint("show"),
                self.hint("kill"),
                self.still_out()
            ),
        };
        vec![Output::Note(note), Output::Finish(Exit::Interrupted, self.summary)]
    }

    fn lost(&self) -> Vec<Output> {
        let note = format!(
            "no master any more; still out: {}; once it is back: {}",
            self.still_out(),
            self.hint("show")
        );
        vec![Output::Note(note), Output::Finish(Exit::Unreachable, self.summary)]
    }

    fn still_out(&self) -> String {
        let out: Vec<&MinionId> = self.open.union(&self.given_up).collect();
        if out.is_empty() { "nobody".to_owned() } else { named(out.into_iter()) }
    }

    fn hint(&self, verb: &str) -> String {
        let jid = self.job.as_ref().map_or_else(String::new, |job| job.jid.to_string());
        format!("brine jobs {verb} {jid}{}", self.options)
    }
}

/// The names that a target lists: whoever has one of these names is meant. In a compound these are the
/// words `L@…`, as long as nothing else can take a name out again.
fn listed(target: &Target) -> Vec<&str> {
    let names = |list| -> Vec<&str> { str::split(list, ',').map(str::trim).collect() };
    match target.kind {
        TargetKind::List => names(&target.expression),
        TargetKind::Compound => {
            let words = || target.expression.split_whitespace();
            if words().any(|word| matches!(word, "and" | "not")) {
                return Vec::new();
            }
            words().filter_map(|word| word.strip_prefix("L@")).flat_map(names).collect()
        }
        _ => Vec::new(),
    }
}

/// Why a minion gave no return, for the brackets behind `Minion did not return.`
pub(super) fn reason(ending: &Ending) -> String {
    let reason = ending.reason().unwrap_or_default();
    match ending {
        Ending::Failed { .. } => format!("failed to start: {reason}"),
        _ => reason,
    }
}

fn named<'a>(ids: impl ExactSizeIterator<Item = &'a MinionId>) -> String {
    let rest = ids.len().saturating_sub(NAMED_MAX);
    let mut names: Vec<&str> = ids.take(NAMED_MAX).map(MinionId::as_str).collect();
    let more = format!("and {rest} more");
    if rest > 0 {
        names.push(&more);
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
