//! What operators ask, and what they are answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::control::{
    Decision, ImportRequest, JobRequest, JobRow, Key, KeyActRequest, KeyActResult, KeysQuery, MasterRotation,
    Matched, Minion, MinionPillar, MinionsQuery, Presence, Problem, ProblemKind, RotateMaster, TargetRequest,
};
use brine_protocol::job::Job;
use brine_protocol::message::ToMinion;
use brine_protocol::permission::Verb;
use brine_protocol::signal::SignalName;
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::servers::{ServerAnswer, ServerAsk};
use super::sessions::Session;
use super::{Engine, Output};
use crate::roles::Principal;
use crate::store::Record;

/// How long a probe waits for a sign of life.
const PROBE: Duration = Duration::from_secs(2);

/// Idempotency keys longer than this are refused.
const IDEMPOTENCY_MAX: usize = 128;

/// Idempotency keys remembered; more are refused until older jobs are forgotten.
const IDEMPOTENCY_KEPT: usize = 100_000;

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request, and who makes it.
#[derive(Debug)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Who asks.
    pub principal: Principal,
    /// What.
    pub ask: Ask,
}

/// What can be asked of an engine.
#[derive(Debug)]
pub enum Ask {
    /// List keys.
    Keys(KeysQuery),
    /// List the decisions about keys of an id.
    History(MinionId),
    /// Act on keys.
    Act(KeyActRequest),
    /// Take in keys.
    Import(ImportRequest),
    /// List minions.
    Minions(MinionsQuery),
    /// Show one minion, with its grains.
    Minion(MinionId),
    /// Show what pillar a minion gets, and from which files.
    Pillar(MinionId),
    /// Say which minions a target means.
    Targets(TargetRequest),
    /// Make a job.
    Submit {
        /// What is wanted.
        request: JobRequest,
        /// A repetition of this key gives the same job.
        idempotency: Option<String>,
    },
    /// End a job.
    Kill(Jid),
    /// Signal the processes of a job.
    Signal(Jid, SignalName),
    /// What is known of the minions of a job that have not ended.
    Presence(Jid),
    /// The same, after asking them for a sign of life.
    Probe(Jid),
    /// Hear of a job's rows from now on.
    Follow(Jid),
    /// Sessions and keys, counted.
    Health,
    /// How the rotation of the master's key goes.
    Rotation,
    /// Make a new key for the master and announce it.
    Rotate(RotateMaster),
    /// Let the announced key take over now.
    FinishRotation,
    /// Keep the present key after all.
    WithdrawRotation,
    /// Something about server records or enrolment tokens.
    Server(ServerAsk),
}

/// The answers.
#[derive(Debug)]
pub enum Answer {
    /// Keys.
    Keys(Vec<Key>),
    /// Decisions, oldest first.
    History(Vec<Decision>),
    /// What became of each key.
    Acted(Vec<KeyActResult>),
    /// Minions.
    Minions(Vec<Minion>),
    /// One minion.
    Minion(Box<Minion>),
    /// What pillar a minion gets.
    Pillar(Box<MinionPillar>),
    /// The minions that a target means.
    Targets(Matched),
    /// The job that was made, or that the idempotency key had made before.
    Job {
        /// Which.
        jid: Jid,
        /// The job, if it was made now.
        made: Option<Arc<Job>>,
    },
    /// The minions for which a job is being ended.
    Cancelled(Vec<MinionId>),
    /// The minions that were told to signal a job.
    Signalled(Vec<MinionId>),
    /// Rows of minions that have not ended.
    Rows(Vec<JobRow>),
    /// Whether the job is open: rows will come only if it is.
    Following {
        /// Whether anybody has not ended.
        is_open: bool,
    },
    /// Counts.
    Health {
        /// Live sessions.
        sessions: usize,
        /// Keys by the name of their state.
        keys: Map<String, Value>,
        /// What is wrong, one sentence each.
        problems: Vec<String>,
        /// What an administrator should keep in mind, one sentence each.
        notices: Vec<String>,
        /// The master's fingerprint.
        fingerprint: Fingerprint,
    },
    /// The rotation of the master's key that is under way, or was just ended.
    Rotation(Option<MasterRotation>),
    /// Something about server records or enrolment tokens.
    Server(ServerAnswer),
    /// It was not done.
    Refused(Problem),
}

/// A probe that waits for signs of life.
#[derive(Debug)]
pub(super) struct Probing {
    request: RequestId,
    jid: Jid,
    /// Minions that were asked, and have not beaten since.
    asked: BTreeSet<MinionId>,
    began: Duration,
    pub(super) until: Duration,
}

impl<L: Log> Engine<L> {
    pub(super) fn on_request(&mut self, request: Request) {
        let Request { id, principal, ask } = request;
        let about_trust = ask.about_trust();
        match self.answer(id, &principal, ask) {
            Ok(Some((answer, is_promise))) => self.reply(id, answer, is_promise),
            Ok(None) => {}
            Err(problem) => {
                if let Some((verb, subject)) = about_trust.filter(|_| problem.kind == ProblemKind::Forbidden)
                {
                    self.note_refused(&principal.to_string(), verb, &subject);
                }
                self.reply(id, Answer::Refused(problem), false);
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Answer, is_promise: bool) {
        let answer = Box::new(answer);
        self.output(if is_promise {
            Output::Answer { request, answer }
        } else {
            Output::AnswerNow { request, answer }
        });
    }

    /// The answer, and whether it promises that something is on disk. None: it comes later.
    fn answer(&mut self, id: RequestId, by: &Principal, ask: Ask) -> Result<Option<(Answer, bool)>, Problem> {
        let now = |answer| Ok(Some((answer, false)));
        match ask {
            Ask::Keys(query) => {
                by.may(Verb::KeysList)?;
                now(Answer::Keys(self.keys(by, &query)))
            }
            Ask::History(id) => {
                by.may(Verb::KeysList)?;
                now(Answer::History(self.history(by, &id)))
            }
            Ask::Act(request) => {
                by.may(Verb::KeysAct)?;
                Ok(Some((Answer::Acted(self.act(&request, by)), true)))
            }
            Ask::Import(request) => {
                by.may(Verb::KeysImport)?;
                Ok(Some((Answer::Acted(self.import(&request, by)?), true)))
            }
            Ask::Minions(query) => {
                by.may(Verb::MinionsList)?;
                now(Answer::Minions(self.minions(by, &query)))
            }
            Ask::Minion(minion) => {
                by.may(Verb::MinionsList)?;
                if !self.accepted_for(by).any(|(id, _)| *id == minion) {
                    let detail = format!("no accepted minion has the id {minion}");
                    return Err(Problem::new(ProblemKind::NotFound, detail));
                }
                let mut shown = self.minion(&minion);
                shown.grains = self.facts.get(&minion).map(|facts| facts.grains.clone());
                now(Answer::Minion(Box::new(shown)))
            }
            Ask::Pillar(minion) => now(Answer::Pillar(Box::new(self.show_pillar(by, &minion)?))),
            Ask::Targets(request) => {
                by.may(Verb::TargetsGet)?;
                now(Answer::Targets(self.matched(by, &request)?))
            }
            Ask::Submit { request, idempotency } => {
                self.on_submit(id, by, request, idempotency).map(|()| None)
            }
            Ask::Kill(jid) => {
                by.may(Verb::JobsKill)?;
                self.may_see(by, jid)?;
                Ok(Some((Answer::Cancelled(self.cancel(jid, by)), true)))
            }
            Ask::Signal(jid, signal) => {
                by.may(Verb::JobsKill)?;
                self.may_see(by, jid)?;
                now(Answer::Signalled(self.signal(jid, signal, by)))
            }
            Ask::Presence(jid) => {
                self.may_see(by, jid)?;
                now(Answer::Rows(self.open_rows(jid, None)))
            }
            Ask::Probe(jid) => {
                self.may_see(by, jid)?;
                Ok(self.probe(id, jid).map(|answer| (answer, false)))
            }
            Ask::Follow(jid) => {
                self.may_see(by, jid)?;
                Ok(Some((Answer::Following { is_open: self.open.contains_key(&jid) }, true)))
            }
            Ask::Health => {
                by.may(Verb::Health)?;
                let keys = self.counts(by);
                let is_live = |session: &&Session| session.is_live() && self.sees_minion(by, &session.id);
                let sessions = self.sessions.values().filter(is_live).count();
                let problems = self.disk_problem.iter().chain(&self.rules_problem).chain(&self.lost);
                let mut problems: Vec<String> = problems.chain(self.rotations.problems()).cloned().collect();
                problems.extend(self.pillar_problems(by));
                problems.extend(self.clash_problems(by));
                let (mut notices, fingerprint) = (self.notices_to(Some(by)), self.fingerprint());
                notices.extend(self.clock_notice(by));
                now(Answer::Health { sessions, keys, problems, notices, fingerprint })
            }
            Ask::Rotation => {
                by.may(Verb::Health)?;
                let mut rotation = self.rotation();
                if let Some(rotation) = &mut rotation {
                    rotation.missing.retain(|id| self.sees_minion(by, id));
                }
                now(Answer::Rotation(rotation))
            }
            Ask::Rotate(wanted) => self.start_rotation(id, by, wanted).map(|()| None),
            Ask::FinishRotation => {
                by.may(Verb::MasterRotate)?;
                now(Answer::Rotation(Some(self.finish_rotation(&by.to_string())?)))
            }
            Ask::WithdrawRotation => {
                by.may(Verb::MasterRotate)?;
                now(Answer::Rotation(Some(self.withdraw_rotation(&by.to_string())?)))
            }
            Ask::Server(ask) => self.server(id, by, ask),
        }
    }

    fn may_see(&self, by: &Principal, jid: Jid) -> Result<(), Problem> {
        match self.open_job(jid) {
            Some(job) if !by.may_see_job_of(&job.principal) => {
                Err(Problem::new(ProblemKind::Forbidden, format!("{by} may not see job {jid}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn on_submit(
        &mut self,
        id: RequestId,
        by: &Principal,
        request: JobRequest,
        idempotency: Option<String>,
    ) -> Result<(), Problem> {
        by.may(Verb::JobsRun)?;
        let mut remember = None;
        if let Some(key) = idempotency {
            if key.is_empty() || key.len() > IDEMPOTENCY_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
                let detail =
                    format!("an idempotency key is 1 to {IDEMPOTENCY_MAX} printable ASCII characters");
                return Err(Problem::new(ProblemKind::BadRequest, detail));
            }
            let body = serde_json::to_vec(&request).expect("a request came from JSON");
            let digest: [u8; 32] = Sha256::digest(&body).into();
            let name = format!("{by}/{key}");
            match self.idempotency.get(&name) {
                Some((known, jid)) if *known == digest => {
                    self.reply(id, Answer::Job { jid: *jid, made: None }, true);
                    return Ok(());
                }
                Some(_) => {
                    let detail = format!("idempotency key {key:?} was used for another request");
                    return Err(Problem::new(ProblemKind::Conflict, detail));
                }
                None if self.idempotency.len() >= IDEMPOTENCY_KEPT => {
                    let detail = format!("{IDEMPOTENCY_KEPT} idempotency keys are remembered already");
                    return Err(Problem::new(ProblemKind::Busy, detail));
                }
                None => remember = Some((name, digest)),
            }
        }
        let job = self.submit(request, by)?;
        if let Some((key, digest)) = remember {
            self.idempotency.insert(key.clone(), (digest, job.jid));
            self.output(Output::Persist(Record::Idempotency { key, digest, jid: job.jid }));
        }
        self.reply(id, Answer::Job { jid: job.jid, made: Some(Arc::clone(&job)) }, true);
        self.start(&job);
        Ok(())
    }

    /// The accepted minions that are shown to this caller, with the generations of their keys.
    pub(super) fn accepted_for<'a>(
        &'a self,
        by: &'a Principal,
    ) -> impl Iterator<Item = (&'a MinionId, u64)> + 'a {
        self.trust.registry().accepted().filter(move |(id, _)| self.sees_minion(by, id))
    }

    /// Rows of the minions that have not ended. With `unanswered`, a connected minion that is in
    /// it did not answer a probe and is silent.
    fn open_rows(&self, jid: Jid, unanswered: Option<&BTreeSet<MinionId>>) -> Vec<JobRow> {
        let Some(open) = self.open.get(&jid) else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for id in open.minions.keys() {
            let is_unanswered = unanswered.is_some_and(|asked| asked.contains(id));
            let presence = match self.heard_at(id) {
                Some(heard) if is_unanswered => Presence::Silent { since: heard.wall },
                Some(_) | None => self.presence_in(id, jid),
            };
            rows.push(JobRow {
                id: id.clone(),
                ending: None,
                at: None,
                late: vec![],
                presence: Some(presence),
            });
        }
        rows
    }

    fn probe(&mut self, request: RequestId, jid: Jid) -> Option<Answer> {
        let Some(open) = self.open.get(&jid) else {
            return Some(Answer::Rows(Vec::new()));
        };
        let minions: Vec<MinionId> = open.minions.keys().cloned().collect();
        let mut asked = BTreeSet::new();
        for id in minions {
            if let Some(conn) = self.live(&id).map(|session| session.conn) {
                self.send(conn, ToMinion::Probe);
                asked.insert(id);
            }
        }
        if asked.is_empty() {
            return Some(Answer::Rows(self.open_rows(jid, None)));
        }
        let began = self.now.steady;
        self.probes.push(Probing { request, jid, asked, began, until: began + PROBE });
        None
    }

    /// A minion has beaten: probes that waited for it wait no longer.
    pub(super) fn on_sign_of_life(&mut self, id: &MinionId, at: Duration) {
        for probe in &mut self.probes {
            if at >= probe.began {
                probe.asked.remove(id);
            }
        }
        self.answer_due_probes();
    }

    pub(super) fn answer_due_probes(&mut self) {
        let now = self.now.steady;
        let probes = std::mem::take(&mut self.probes);
        for probe in probes {
            if probe.asked.is_empty() || probe.until <= now {
                let rows = self.open_rows(probe.jid, Some(&probe.asked));
                self.reply(probe.request, Answer::Rows(rows), false);
            } else {
                self.probes.push(probe);
            }
        }
    }
}
