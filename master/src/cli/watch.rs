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
use brine_protocol::job::{Ending, Job, Returned, TargetKind};

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
        match job.target.kind {
            TargetKind::Glob | TargetKind::Record => BTreeSet::new(),
            TargetKind::List => job
                .target
                .expression
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty() && !self.open.iter().any(|id| id.as_str() == *word))
                .map(str::to_owned)
                .collect(),
        }
    }

    fn row(&mut self, row: JobRow) -> Vec<Output> {
        let Some(ending) = row.ending else {
            return Vec::new();
        };
        let was_missing = self.given_up.remove(&row.id);
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
        outputs.push(self.finish());
        outputs
    }

    fn finish(&self) -> Output {
        let exit = match self.summary {
            Summary { missing: 1.., .. } => Exit::NoReturn,
            Summary { errors: 1.., .. } => Exit::Retcode,
            _ => Exit::Ok,
        };
        Output::Finish(exit, self.summary)
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
                Presence::Up => {
                    let probes = self.idle_probes.entry(id.clone()).or_default();
                    *probes += 1;
                    if *probes < IDLE_PROBES {
                        continue;
                    }
                    "connected, but not running this job".to_owned()
                }
                Presence::Silent { since } => format!("silent since {since}"),
                Presence::Offline { since: Some(since) } => format!("offline since {since}"),
                Presence::Offline { since: None } => "offline".to_owned(),
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
            outputs.push(self.finish());
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
                "interrupted; job {} goes on\n  look: {}\n  kill: {}\n  still out: {}",
                job.jid,
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
mod tests {
    use brine_protocol::job::{Delivery, Target};
    use brine_protocol::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn id(text: &str) -> MinionId {
        text.parse().expect("an id")
    }

    fn job(target: Target, ids: &[&str]) -> JobEvent {
        JobEvent::Job(Box::new(Job {
            jid: "20261122060732123407".parse().expect("a jid"),
            calls: Vec::new(),
            target,
            delivery: Delivery::Now,
            job_timeout_ms: None,
            principal: "unix:0 (root)".to_owned(),
            submitted: Timestamp(0),
            number: 1,
            minions: ids.iter().map(|i| (id(i), 1)).collect(),
        }))
    }

    fn watching(ids: &[&str]) -> Watch {
        let mut watch = Watch::new(String::new());
        assert_eq!(watch.handle(Input::Event(job(Target::glob("*"), ids))).len(), 1);
        watch
    }

    fn returned(retcode: i32) -> Returned {
        Returned { value: json!(true), retcode, duration_ms: 1, truncated: false }
    }

    fn row(name: &str, ending: Option<Ending>, presence: Option<Presence>) -> JobRow {
        JobRow { id: id(name), ending, at: None, late: Vec::new(), presence }
    }

    fn ended(name: &str, ending: Ending) -> Input {
        Input::Event(JobEvent::Row(Box::new(row(name, Some(ending), None))))
    }

    fn probed(rows: &[(&str, Presence)]) -> Input {
        let rows = rows.iter().map(|(name, presence)| row(name, None, Some(presence.clone()))).collect();
        Input::Probed { rows, after: Duration::from_millis(5003) }
    }

    fn exit(outputs: &[Output]) -> Option<Exit> {
        match outputs.last() {
            Some(Output::Finish(exit, _)) => Some(*exit),
            _ => None,
        }
    }

    fn missing(name: &str, why: &str) -> Output {
        Output::Missing(name.to_owned(), why.to_owned())
    }

    #[test]
    fn exit_codes() {
        let fine = || Ending::Returned(returned(0));
        let bad = || Ending::Returned(returned(3));
        let gone = || Ending::Offline { since: None };
        for (first, second, expected) in [
            (fine(), fine(), Exit::Ok),
            (fine(), bad(), Exit::Retcode),
            (fine(), gone(), Exit::NoReturn),
            (bad(), gone(), Exit::NoReturn),
            (fine(), Ending::TimedOut { after_ms: 1500 }, Exit::Retcode),
        ] {
            let mut watch = watching(&["m1", "m2"]);
            watch.handle(ended("m1", first));
            watch.handle(ended("m2", second));
            assert_eq!(exit(&watch.handle(Input::Event(JobEvent::End))), Some(expected));
        }
    }

    #[test]
    fn rows_are_shown_once_with_their_reason() {
        let mut watch = watching(&["m1", "m2", "m3"]);
        assert_eq!(
            watch.handle(ended("m1", Ending::Returned(returned(0)))),
            [Output::Return(id("m1"), returned(0))]
        );
        assert_eq!(watch.handle(ended("m1", Ending::Returned(returned(0)))), []);
        assert_eq!(watch.handle(ended("m9", Ending::Expired)), []);
        let since = Some(Timestamp(0));
        assert_eq!(
            watch.handle(ended("m2", Ending::Offline { since })),
            [missing("m2", "offline since 1970-01-01T00:00:00.000000Z")]
        );
        assert_eq!(
            watch.handle(Input::Event(JobEvent::End)),
            [
                missing("m3", "the master does not know how it ended"),
                Output::Finish(Exit::NoReturn, Summary { targeted: 3, returned: 1, missing: 2, errors: 0 }),
            ]
        );
    }

    #[test]
    fn running_is_waited_for_and_said_once() {
        let mut watch = watching(&["m1", "m3"]);
        watch.handle(ended("m1", Ending::Returned(returned(0))));
        assert_eq!(watch.handle(Input::Quiet), [Output::Probe]);
        assert_eq!(
            watch.handle(probed(&[("m3", Presence::Running)])),
            [Output::Note("still running after 5 s: m3; brine jobs show 20261122060732123407".to_owned())]
        );
        for _ in 0..9 {
            assert_eq!(watch.handle(probed(&[("m3", Presence::Running)])), []);
        }
        watch.handle(ended("m3", Ending::Returned(returned(0))));
        assert_eq!(exit(&watch.handle(Input::Event(JobEvent::End))), Some(Exit::Ok));
    }

    #[test]
    fn silent_and_gone_are_named_and_left() {
        let mut watch = watching(&["m1", "m2", "m3"]);
        let since = Timestamp(0);
        let outputs = watch.handle(probed(&[
            ("m1", Presence::Silent { since }),
            ("m2", Presence::Offline { since: Some(since) }),
            ("m3", Presence::Running),
        ]));
        assert_eq!(outputs[0], missing("m1", "silent since 1970-01-01T00:00:00.000000Z"));
        assert_eq!(outputs[1], missing("m2", "offline since 1970-01-01T00:00:00.000000Z"));
        assert_eq!(exit(&outputs), None);
        // One comes back while another still runs; its return counts.
        assert_eq!(
            watch.handle(ended("m1", Ending::Returned(returned(0)))),
            [Output::Return(id("m1"), returned(0))]
        );
        // The other ends as what it was named for.
        assert_eq!(watch.handle(ended("m2", Ending::Lost { why: "x".to_owned() })), []);
        watch.handle(ended("m3", Ending::Returned(returned(0))));
        assert_eq!(
            watch.handle(Input::Event(JobEvent::End)),
            [Output::Finish(Exit::NoReturn, Summary { targeted: 3, returned: 2, missing: 1, errors: 0 })]
        );
    }

    #[test]
    fn only_silent_ones_left_is_the_end() {
        let mut watch = watching(&["m1"]);
        let outputs = watch.handle(probed(&[("m1", Presence::Silent { since: Timestamp(0) })]));
        assert_eq!(exit(&outputs), Some(Exit::NoReturn));
    }

    #[test]
    fn idle_ones_get_a_second_chance() {
        let mut watch = watching(&["m1"]);
        assert_eq!(watch.handle(probed(&[("m1", Presence::Up)])), []);
        let outputs = watch.handle(probed(&[("m1", Presence::Up)]));
        assert_eq!(outputs[0], missing("m1", "connected, but not running this job"));
        assert_eq!(exit(&outputs), Some(Exit::NoReturn));
    }

    #[test]
    fn a_probe_that_crosses_a_row_changes_nothing() {
        let mut watch = watching(&["m1", "m2"]);
        watch.handle(ended("m1", Ending::Returned(returned(0))));
        assert_eq!(watch.handle(probed(&[("m1", Presence::Silent { since: Timestamp(0) })])), []);
        let rows = vec![row("m2", Some(Ending::Returned(returned(0))), None)];
        assert_eq!(watch.handle(Input::Probed { rows, after: Duration::ZERO }), []);
    }

    #[test]
    fn names_of_a_list_that_nobody_has() {
        let mut watch = Watch::new(String::new());
        let target = Target { kind: TargetKind::List, expression: "m1, nosuch,".to_owned() };
        let outputs = watch.handle(Input::Event(job(target, &["m1"])));
        assert_eq!(outputs[1], missing("nosuch", "no accepted key has this id"));
        watch.handle(ended("m1", Ending::Returned(returned(0))));
        assert_eq!(
            watch.handle(Input::Event(JobEvent::End)),
            [Output::Finish(Exit::NoReturn, Summary { targeted: 2, returned: 1, missing: 1, errors: 0 })]
        );
    }

    #[test]
    fn interruption_says_how_to_go_on() {
        let mut watch = Watch::new(" --root-dir /r".to_owned());
        assert!(
            matches!(&watch.handle(Input::Interrupt)[0], Output::Note(text) if text.contains("jobs list --root-dir /r"))
        );
        watch.handle(Input::Event(job(Target::glob("*"), &["m1", "m2"])));
        watch.handle(ended("m1", Ending::Returned(returned(0))));
        let outputs = watch.handle(Input::Interrupt);
        let Output::Note(text) = &outputs[0] else { panic!("{outputs:?}") };
        assert_eq!(
            text,
            "interrupted; job 20261122060732123407 goes on\n  look: brine jobs show 20261122060732123407 --root-dir /r\n  \
             kill: brine jobs kill 20261122060732123407 --root-dir /r\n  still out: m2"
        );
        assert_eq!(exit(&outputs), Some(Exit::Interrupted));
    }

    #[test]
    fn a_stream_taken_up_again_repeats_nothing() {
        let mut watch = watching(&["m1", "m2"]);
        watch.handle(ended("m1", Ending::Returned(returned(0))));
        assert_eq!(watch.handle(Input::Event(job(Target::glob("*"), &["m1", "m2"]))), []);
        assert_eq!(watch.handle(ended("m1", Ending::Returned(returned(0)))), []);
        assert_eq!(exit(&watch.handle(Input::Lost)), Some(Exit::Unreachable));
    }

    #[test]
    fn many_ids_are_not_all_named() {
        let ids: Vec<MinionId> = (0..25).map(|i| id(&format!("m{i}"))).collect();
        assert!(named(ids.iter()).ends_with("m19, and 5 more"));
    }
}
