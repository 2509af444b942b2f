//! The master's decisions: inputs and the time go in, ordered outputs come out.
//!
//! No socket, clock, task or lock. The one effect in here is the ledger, behind `Log`: a trust
//! decision that is not on disk is none, so deciding waits for it. Everything else is an
//! [`Output`], and **the order of outputs is the promise**: what follows a `Persist` happens only
//! once that is on disk.
//!
//! ```text
//! a connection:  Hello -> (Welcome) -> Opened -+-> Waiting -accepted-> Starting -Start-> Live
//!                                              +-> Live (Start is its first message)
//! an order:      open -> one Ending, for good; reports that come later are kept beside it
//! ```

mod batches;
mod broadcast;
mod clash;
mod clocks;
mod enrol;
mod events;
mod handing;
mod jobs;
mod keys;
mod load;
mod minions;
mod mint;
mod modules;
mod pillars;
mod preseed;
mod refusals;
mod requests;
mod rights;
mod rotation;
mod rules;
mod servers;
mod sessions;
mod settings;
mod targets;
mod words;
mod zones;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::{FileLedger, Log};
use brine_pki::registry::Trust;
use brine_protocol::job::Job;
use brine_protocol::message::ToMinion;
use brine_protocol::target::Nodegroups;
use brine_protocol::{Fingerprint, Jid, MinionId};

use crate::gate::ConnId;
use crate::roles::Roles;
use crate::store::Facts;
use broadcast::Epochs;
use jobs::Open;
pub use load::Load;
use mint::Mint;
use modules::Modules;
pub use modules::{ModuleRead, ModuleStep, ModulesDone};
use pillars::Pillars;
use preseed::Preseeds;
pub use preseed::{BundleDone, BundleStep, BundleWish, MadeKey};
use refusals::Refusals;
pub use requests::{Answer, Ask, Request, RequestId};
use rotation::Rotations;
pub use rotation::{KeyStep, OwnKey, RotationCheck};
pub use servers::{Find, ServerAnswer, ServerAsk};
use sessions::Session;
pub use settings::{Memory, Settings};
pub use words::{Input, Now, Opened, Output};

/// How long it is remembered that a subscriber was quicker than its session's first frame.
const EARLY_KEPT: Duration = Duration::from_secs(60);

/// Fills with random bytes: the operating system's in a master, chosen ones in tests.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The decisions of one master.
pub struct Engine<L: Log = FileLedger> {
    settings: Settings,
    trust: Trust<L>,
    /// Fills with random bytes.
    random: Random,
    now: Now,
    outputs: VecDeque<Output>,

    sessions: BTreeMap<ConnId, Session>,
    /// The session that gets a minion's orders: live, or about to be.
    by_id: BTreeMap<MinionId, ConnId>,
    /// The session over which a waiting key's minion listens.
    waiting: BTreeMap<(MinionId, Fingerprint), ConnId>,
    /// Subscribers that were quicker than their session's first frame.
    early_subscribers: BTreeMap<ConnId, Duration>,
    epochs: Epochs,

    store: String,
    mint: Mint,
    open: BTreeMap<Jid, Open>,
    /// The orders that are open for each minion, by delivery number.
    orders: BTreeMap<MinionId, BTreeMap<u64, Jid>>,
    orders_open: usize,
    /// Batches whose next turn may have come.
    due: batches::Due,
    /// The newest job handed to each minion, as far as that happened here.
    last_jobs: BTreeMap<MinionId, Jid>,
    /// What the orders of open jobs hold in memory, roughly.
    open_bytes: usize,
    facts: BTreeMap<MinionId, Facts>,
    /// Who may do what, and the user that may do everything; none before they are told.
    roles: Option<(Arc<Roles>, u32)>,
    nodegroups: Nodegroups,
    idempotency: BTreeMap<String, ([u8; 32], Jid)>,
    probes: Vec<requests::Probing>,
    refusals: Refusals,
    clashes: clash::Clashes,
    preseeds: Preseeds,
    disk_problem: Option<String>,
    rules_problem: Option<String>,
    /// What was lost of the store, one sentence each.
    lost: Vec<String>,
    /// Rules may let in keys now that they could not let in before.
    judge_again: bool,
    rotations: Rotations,
    pillars: Pillars,
    modules: Modules,
    next_event: u64,
    next_sweep: Duration,
    next_forgetting: Duration,
}

impl<L: Log> Engine<L> {
    /// An engine that goes on where the last one stopped.
    pub fn new(settings: Settings, trust: Trust<L>, memory: Memory, random: Random, now: Now) -> Self {
        let announced = trust.registry().master_keys().announced;
        let mut engine = Self {
            settings,
            trust,
            random,
            now,
            outputs: VecDeque::new(),
            sessions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            waiting: BTreeMap::new(),
            early_subscribers: BTreeMap::new(),
            epochs: Epochs::default(),
            store: memory.store,
            mint: Mint::new(settings.node, memory.last_jid),
            open: BTreeMap::new(),
            orders: BTreeMap::new(),
            orders_open: 0,
            due: batches::Due::default(),
            last_jobs: BTreeMap::new(),
            open_bytes: 0,
            facts: memory.facts.into_iter().collect(),
            nodegroups: memory.nodegroups,
            roles: None,
            idempotency: memory.idempotency.into_iter().map(|(k, d, j)| (k, (d, j))).collect(),
            probes: Vec::new(),
            refusals: Refusals::default(),
            clashes: clash::Clashes::default(),
            preseeds: Preseeds::default(),
            disk_problem: None,
            rules_problem: None,
            lost: memory.lost,
            judge_again: false,
            rotations: Rotations::new(memory.own, announced, now),
            pillars: Pillars::default(),
            modules: Modules::default(),
            next_event: memory.last_event.max(u64::try_from(now.wall.0).unwrap_or(1)),
            next_sweep: Duration::ZERO,
            next_forgetting: Duration::ZERO,
        };
        for open in memory.open {
            engine.reopen(open);
        }
        engine
    }

    /// Takes one input. Drain [`Engine::poll_output`] before the next.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        match input {
            Input::Hello { conn, id, fingerprint } => self.on_hello(conn, &id, fingerprint),
            Input::Opened { opened, first } => self.on_opened(*opened, first),
            Input::Frame { conn, message } => self.on_frame(conn, message),
            Input::Subscribed { conn } => self.on_subscribed(conn),
            Input::Drained { conn } => self.on_drained(conn),
            Input::Closed { conn, why } => self.on_closed(conn, why),
            Input::Request(request) => self.on_request(*request),
            Input::Refused { who, verb, subject } => self.note_refused(&who, verb, &subject),
            Input::Disk(problem) => self.disk_problem = problem,
            Input::Rules { rules, problem } => self.on_rules(*rules, problem),
            Input::Nodegroups(groups) => self.nodegroups = groups,
            Input::Roles { roles, own_uid } => self.roles = Some((roles, own_uid)),
            Input::Pillar { tree, asked } => self.on_pillar_read(tree, asked),
            Input::MaxMinions(max) => self.on_max_minions(max),
            Input::RotationChecked { conn, named, checked } => self.on_rotation_checked(conn, named, checked),
            Input::KeyMade(made) => self.on_key_made(made),
            Input::Offering(offer) => self.on_offering(offer),
            Input::KeySaved(problem) => self.on_key_saved(problem),
            Input::Bundle(done) => self.on_bundle(done),
            Input::Modules(done) => self.on_modules(done),
            Input::Tick => self.on_tick(),
        }
        self.pillar_follows_trust();
        self.give_turns();
    }

    /// The next event has a higher id than this.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.next_event
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest, on the steady clock.
    #[must_use]
    pub fn next_deadline(&self) -> Duration {
        let probes = self.probes.iter().map(|probe| probe.until);
        let reads = self.pillar_due().into_iter().chain(self.modules_due());
        probes.chain(self.due.next()).chain(reads).fold(self.next_sweep, Duration::min)
    }

    /// Trust, for what is read or saved beside the engine's decisions.
    pub fn trust(&mut self) -> &mut Trust<L> {
        &mut self.trust
    }

    fn on_tick(&mut self) {
        self.answer_due_probes();
        self.read_pillar();
        self.list_modules();
        if self.now.steady < self.next_sweep {
            return;
        }
        self.next_sweep = self.now.steady + Duration::from_secs(1);
        self.count_broadcasts();
        self.prepare_epoch();
        self.succeed_if_due();
        // A session that ended before its first frame leaves its subscriber's word behind.
        let now = self.now.steady;
        self.early_subscribers.retain(|_, since| now.saturating_sub(*since) < EARLY_KEPT);
        self.end_overdue_orders();
        self.forget_idempotency();
        self.expire_preseeds();
        self.judge_again();
        for key in self.trust.expire(self.now.wall) {
            self.key_forgotten(&key, "key_expired");
            self.judge(&key.id);
        }
    }

    /// A key lives as long as the job that it made is kept.
    fn forget_idempotency(&mut self) {
        if self.now.steady < self.next_forgetting {
            return;
        }
        self.next_forgetting = self.now.steady + Duration::from_secs(60);
        let keep = i64::try_from(self.settings.keep_jobs.as_micros()).unwrap_or(i64::MAX);
        let oldest = self.now.wall.plus_micros(-keep);
        self.idempotency.retain(|_, (_, jid)| jid.time() >= oldest);
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn send(&mut self, conn: ConnId, message: ToMinion) {
        self.output(Output::Send { conn, message });
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// The job, if it is open.
    fn open_job(&self, jid: Jid) -> Option<&Arc<Job>> {
        self.open.get(&jid).map(|open| &open.job)
    }
}

impl<L: Log> std::fmt::Debug for Engine<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("sessions", &self.sessions.len())
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
