//! Pillar: compiled for each minion, told to it alone, and compared with by targets.
//!
//! A minion hears its pillar before the first order of a session and whenever it has become another
//! one: other files, other grains, another server record. What was compiled is kept up to a limit and
//! made again when it is gone; nothing of it is in any other output than the message to its minion,
//! and the answer to an administrator who asks for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::{Hash, Log};
use brine_protocol::MinionId;
use brine_protocol::control::{MinionPillar, Problem, ProblemKind};
use brine_protocol::message::ToMinion;
use brine_protocol::permission::Verb;
use brine_protocol::pillar::{Pillar, RefreshPillar};

use super::{Engine, Output};
use crate::gate::ConnId;
use crate::pillar::{Compiled, Selection, Tree};
use crate::roles::Principal;

/// What a message needs around a pillar.
const SLACK: usize = 4096;

/// The files are read for minions that ask at most so often, and not for more than a part of the time:
/// any minion may ask, as often as it likes.
pub(super) const READ_EVERY: Duration = Duration::from_millis(500);
const READ_SHARE: u32 = 4;

/// All live minions are judged anew by their server records at most so often: a crowd that enrols
/// writes a decision each.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// The most minions that are named in one problem.
const NAMED_MAX: usize = 3;

/// What an engine knows of pillar.
#[derive(Default)]
pub(super) struct Pillars {
    /// The last files that could be used.
    tree: Option<Arc<Tree>>,
    /// Why those of now cannot.
    problem: Option<String>,
    pub(super) cache: RefCell<Cache>,
    /// The ledger, when what is cached was right.
    head: Hash,
    /// Server records have changed since all live minions were judged by them.
    is_stale: bool,
    judge_from: Duration,
    /// Who asked since the files were read last.
    wanted: BTreeMap<ConnId, u64>,
    /// For whom they are being read, and since when.
    reading: Option<(BTreeMap<ConnId, u64>, Duration)>,
    not_before: Duration,
    /// Live minions whose pillar is larger than a message.
    too_large: BTreeMap<MinionId, (usize, usize)>,
}

/// What was compiled. Many minions get the same files, and these share what comes of them.
#[derive(Default)]
pub(super) struct Cache {
    selections: BTreeMap<MinionId, Selection>,
    pub(super) compiled: BTreeMap<Selection, Arc<Compiled>>,
    pub(super) bytes: usize,
}

impl Cache {
    /// Makes room; what is dropped is made again when somebody needs it.
    fn add(&mut self, bytes: usize, max: usize) {
        if self.bytes + bytes > max {
            *self = Self::default();
        }
        self.bytes += bytes;
    }
}

fn size(selection: &Selection) -> usize {
    64 + selection.len() * size_of::<usize>()
}

impl<L: Log> Engine<L> {
    /// The files were read; or they could not, and what they said before stays.
    pub(super) fn on_pillar_read(&mut self, tree: Result<Arc<Tree>, String>, asked: bool) {
        let answered = match self.pillars.reading.take() {
            Some((answered, since)) if asked => {
                let now = self.now.steady;
                let pause = now.saturating_sub(since).saturating_mul(READ_SHARE);
                self.pillars.not_before = now + pause.max(READ_EVERY);
                answered
            }
            other => {
                self.pillars.reading = other;
                BTreeMap::new()
            }
        };
        match tree {
            Ok(tree) => {
                self.pillars.tree = Some(tree);
                self.pillars.problem = None;
                self.pillars.too_large.clear();
                self.pillars.cache.take();
                for conn in self.live_sessions() {
                    self.tell_pillar(conn, answered.get(&conn).copied());
                }
            }
            Err(problem) => {
                self.pillars.problem = Some(problem);
                for (conn, ask) in answered {
                    self.tell_pillar(conn, Some(ask));
                }
            }
        }
        self.read_pillar();
    }

    /// A minion wants its pillar from the files as they are now.
    pub(super) fn on_refresh_pillar(&mut self, conn: ConnId, refresh: RefreshPillar) {
        self.pillars.wanted.insert(conn, refresh.ask);
        self.read_pillar();
    }

    /// Reads the files, if somebody asked and it is time to.
    pub(super) fn read_pillar(&mut self) {
        if self.pillar_due().is_some_and(|due| due <= self.now.steady) {
            let asked = std::mem::take(&mut self.pillars.wanted);
            self.pillars.reading = Some((asked, self.now.steady));
            self.output(Output::ReadPillar);
        }
    }

    /// When the files may be read for those who asked.
    pub(super) fn pillar_due(&self) -> Option<Duration> {
        let waits = self.pillars.reading.is_none() && !self.pillars.wanted.is_empty();
        waits.then_some(self.pillars.not_before)
    }

    /// What is known of a minion has changed: it may be due to get another pillar.
    pub(super) fn pillar_may_differ(&mut self, conn: ConnId, id: &MinionId) {
        self.pillars.cache.get_mut().selections.remove(id);
        self.tell_pillar(conn, None);
    }

    /// Keys and server records may have changed.
    pub(super) fn pillar_follows_trust(&mut self) {
        let head = self.trust.head();
        if self.pillars.head != head {
            self.pillars.head = head;
            self.pillars.cache.get_mut().selections.clear();
            self.pillars.is_stale = self.pillars.tree.as_ref().is_some_and(|tree| tree.uses_records());
        }
        if self.pillars.is_stale && self.pillars.judge_from <= self.now.steady {
            self.pillars.is_stale = false;
            self.pillars.judge_from = self.now.steady + JUDGE_EVERY;
            for conn in self.live_sessions() {
                self.tell_pillar(conn, None);
            }
        }
    }

    fn live_sessions(&self) -> Vec<ConnId> {
        self.sessions.values().filter(|session| session.is_live()).map(|session| session.conn).collect()
    }

    /// The session is gone.
    pub(super) fn forget_pillar_of(&mut self, conn: ConnId) {
        self.pillars.wanted.remove(&conn);
    }

    /// A minion's pillar; none while there are no files, or when no message can hold it.
    pub(super) fn pillar_of(&self, id: &MinionId) -> Option<Arc<Compiled>> {
        let tree = self.pillars.tree.as_ref()?;
        let mut cache = self.pillars.cache.borrow_mut();
        let max = self.settings.pillar_cache_bytes;
        let selection = match cache.selections.get(id) {
            Some(selection) => selection.clone(),
            None => {
                let selection = tree.select(&self.known(id));
                cache.add(size(&selection) + id.as_str().len(), max);
                cache.selections.insert(id.clone(), selection.clone());
                selection
            }
        };
        if let Some(compiled) = cache.compiled.get(&selection) {
            return Some(Arc::clone(compiled));
        }
        let compiled = Arc::new(tree.compile(&selection));
        cache.add(compiled.bytes + size(&selection), max);
        cache.compiled.insert(selection, Arc::clone(&compiled));
        Some(compiled)
    }

    /// Tells a live minion its pillar, unless it has that already; and an answer in any case.
    fn tell_pillar(&mut self, conn: ConnId, ask: Option<u64>) {
        let Some(session) = self.sessions.get(&conn).filter(|session| session.is_live()) else {
            return;
        };
        let (id, told) = (session.id.clone(), session.pillar);
        let max = session.message_max.min(self.settings.message_max);
        let compiled = self.pillar_of(&id);
        let room = max.saturating_sub(SLACK);
        let too_large = compiled.as_ref().map(|compiled| compiled.bytes).filter(|bytes| *bytes > room);
        let news = compiled.filter(|compiled| compiled.bytes <= room && told != Some(compiled.digest));
        let problem = match too_large {
            Some(bytes) => {
                self.pillars.too_large.insert(id, (bytes, max));
                Some(format!(
                    "the pillar has {bytes} bytes, and a message to this minion holds {max} (message_max)"
                ))
            }
            None => {
                self.pillars.too_large.remove(&id);
                let broken = "the master's pillar files cannot be used as they are, and what they said before stays: \
                              brine doctor says why";
                self.pillars.problem.as_ref().map(|_| broken.to_owned())
            }
        };
        if news.is_none() && ask.is_none() {
            return;
        }
        if let (Some(news), Some(session)) = (&news, self.sessions.get_mut(&conn)) {
            session.pillar = Some(news.digest);
        }
        let pillar = news.map(|news| news.pillar.clone());
        self.send(conn, ToMinion::Pillar(Box::new(Pillar { pillar, ask, problem })));
    }

    /// What is wrong with pillar, one sentence each, for somebody who may ask.
    pub(super) fn pillar_problems(&self, by: &Principal) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(problem) = &self.pillars.problem {
            let instead = match self.pillars.tree {
                Some(_) => "minions keep what they said before",
                None => "no minion gets a pillar",
            };
            problems.push(format!("the pillar files cannot be used, and {instead}: {problem}"));
        }
        let seen = |(id, _): &(&MinionId, _)| self.live(id).is_some() && self.sees_minion(by, id);
        let too_large: Vec<_> = self.pillars.too_large.iter().filter(seen).collect();
        if let Some((id, (bytes, max))) = too_large.first() {
            let named: Vec<&str> = too_large.iter().take(NAMED_MAX).map(|(id, _)| id.as_str()).collect();
            let more = match too_large.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            problems.push(format!(
                "the pillar of {}{more} is not sent: that of {id} has {bytes} bytes, and a message to it holds {max} \
                 (message_max)",
                named.join(", ")
            ));
        }
        problems
    }

    /// What a minion gets, and from where: for administrators.
    pub(super) fn show_pillar(&self, by: &Principal, id: &MinionId) -> Result<MinionPillar, Problem> {
        by.may(Verb::PillarShow)?;
        if !self.accepted_for(by).any(|(accepted, _)| accepted == id) {
            return Err(Problem::new(ProblemKind::NotFound, format!("no accepted minion has the id {id}")));
        }
        let compiled = self.pillar_of(id);
        let selection = self.pillars.tree.as_ref().map(|tree| (tree, tree.select(&self.known(id))));
        Ok(MinionPillar {
            id: id.clone(),
            pillar: compiled.map(|compiled| compiled.pillar.clone()),
            files: selection.map(|(tree, selection)| tree.origins(&selection)).unwrap_or_default(),
            problem: self.pillars.problem.clone(),
        })
    }
}
