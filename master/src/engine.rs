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
mod enrol;
mod events;
mod handing;
mod jobs;
mod keys;
mod minions;
mod mint;
mod pillars;
mod preseed;
mod refusals;
mod requests;
mod rotation;
mod rules;
mod servers;
mod sessions;
mod settings;
mod targets;
mod zones;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::key::PublicKey;
use brine_pki::ledger::{FileLedger, Log};
use brine_pki::registry::Trust;
use brine_pki::registry::rules::Rules;
use brine_pki::rotation::Handover;
use brine_protocol::control::{Event, JobEvent};
use brine_protocol::job::Job;
use brine_protocol::message::{Standing, ToMaster, ToMinion};
use brine_protocol::permission::Verb;
use brine_protocol::target::Nodegroups;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, Jid, MinionId};
use bytes::Bytes;

use crate::gate::ConnId;
use crate::pillar::Tree;
use crate::store::{Facts, Record};
use broadcast::Epochs;
use jobs::Open;
use mint::Mint;
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

/// How long it is remembered that a subscriber was quicker than its session's first frame.
const EARLY_KEPT: Duration = Duration::from_secs(60);

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The wall clock: for jids, records and display.
    pub wall: Timestamp,
    /// A clock that does not go back, from any start: for every deadline.
    pub steady: Duration,
}

/// A session that proved it holds its key: its first sealed frame has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The connection.
    pub conn: ConnId,
    /// The id its Hello was signed for.
    pub id: MinionId,
    /// DER of its public key.
    pub key: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Everything that can wake the engine.
#[derive(Debug)]
pub enum Input {
    /// A Hello's signature is good; a verdict is due.
    Hello {
        /// The connection.
        conn: ConnId,
        /// The id that was signed for.
        id: MinionId,
        /// The key.
        fingerprint: Fingerprint,
    },
    /// The first sealed frame has opened.
    Opened {
        /// Who it is.
        opened: Box<Opened>,
        /// What the frame says.
        first: ToMaster,
    },
    /// A later frame.
    Frame {
        /// The connection.
        conn: ConnId,
        /// What it says.
        message: ToMaster,
    },
    /// The session's subscriber has shown its token.
    Subscribed {
        /// The session's connection.
        conn: ConnId,
    },
    /// Everything sent to the session before an [`Output::Mark`] has left.
    Drained {
        /// The session's connection.
        conn: ConnId,
    },
    /// The connection has ended.
    Closed {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// An operator asks.
    Request(Box<Request>),
    /// Somebody without a role tried an act about trust.
    Refused {
        /// Who.
        who: String,
        /// Which.
        verb: Verb,
        /// On what.
        subject: String,
    },
    /// Whether the disk takes writes; the problem in one sentence if not.
    Disk(Option<String>),
    /// What the files of automatic decisions say now.
    Rules {
        /// The rules; without any when they cannot be used.
        rules: Box<Rules>,
        /// Why they cannot, in one sentence.
        problem: Option<String>,
    },
    /// The nodegroups from now on.
    Nodegroups(Nodegroups),
    /// The pillar files were read.
    Pillar {
        /// What they say; or why they cannot be used, in one sentence.
        tree: Result<Arc<Tree>, String>,
        /// Whether it was for [`Output::ReadPillar`].
        asked: bool,
    },
    /// Most keys that may be accepted or suspended from now on; 0 means no limit.
    MaxMinions(usize),
    /// The signatures of a session's rotation were looked at.
    RotationChecked {
        /// The session's connection.
        conn: ConnId,
        /// The key that it names.
        named: Fingerprint,
        /// What it says; or what is wrong with it, in one sentence.
        checked: Result<Handover, String>,
    },
    /// A key for this master was made and is in its file; or why not, in one sentence.
    KeyMade(Result<PublicKey, String>),
    /// This config is offered from now on: an Offer, in base64.
    Offering(String),
    /// Whether this master's key is in its file; the problem in one sentence if not.
    KeySaved(Option<String>),
    /// What was to be done about a bundle.
    Bundle(BundleDone),
    /// Time has passed.
    Tick,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Write this before anything that follows.
    Persist(Record),
    /// Answer a Hello. Waits for nothing.
    Welcome {
        /// The connection.
        conn: ConnId,
        /// The verdict.
        standing: Standing,
    },
    /// Tell one minion.
    Send {
        /// The session's connection.
        conn: ConnId,
        /// What.
        message: ToMinion,
    },
    /// Tell one minion what rests on nothing that is to be written. Waits for nothing.
    SendNow {
        /// The session's connection.
        conn: ConnId,
        /// What.
        message: ToMinion,
    },
    /// Tell every subscriber of a live session; sealed already.
    Broadcast(Bytes),
    /// Say [`Input::Drained`] when all that was sent to this session has left.
    Mark(ConnId),
    /// End a connection after what was sent to it.
    Close {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// End a connection at once. Waits for nothing.
    Cut {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// Answer an operator.
    Answer {
        /// The request.
        request: RequestId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Answer an operator without waiting for the disk: nothing in it is a promise.
    AnswerNow {
        /// The request.
        request: RequestId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Tell whoever follows the event stream.
    Event(Arc<Event>),
    /// Tell whoever follows this job.
    JobEvent {
        /// The job.
        jid: Jid,
        /// What happened.
        event: JobEvent,
    },
    /// Count something.
    Count(&'static str),
    /// Look at the signatures of a rotation, and say [`Input::RotationChecked`]. Waits for nothing.
    CheckRotation(RotationCheck),
    /// Something about the master's own key. Waits for nothing: what it rests on is in the ledger.
    Key(KeyStep),
    /// Something about a key for a server record. Waits for nothing, for the same reason.
    Bundle(BundleStep),
    /// Read the pillar files, and say [`Input::Pillar`]. Waits for nothing.
    ReadPillar,
}

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
    nodegroups: Nodegroups,
    idempotency: BTreeMap<String, ([u8; 32], Jid)>,
    probes: Vec<requests::Probing>,
    refusals: Refusals,
    preseeds: Preseeds,
    disk_problem: Option<String>,
    rules_problem: Option<String>,
    /// Rules may let in keys now that they could not let in before.
    judge_again: bool,
    rotations: Rotations,
    pillars: Pillars,
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
            idempotency: memory.idempotency.into_iter().map(|(k, d, j)| (k, (d, j))).collect(),
            probes: Vec::new(),
            refusals: Refusals::default(),
            preseeds: Preseeds::default(),
            disk_problem: None,
            rules_problem: None,
            judge_again: false,
            rotations: Rotations::new(memory.own, announced, now),
            pillars: Pillars::default(),
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
            Input::Pillar { tree, asked } => self.on_pillar_read(tree, asked),
            Input::MaxMinions(max) => self.on_max_minions(max),
            Input::RotationChecked { conn, named, checked } => self.on_rotation_checked(conn, named, checked),
            Input::KeyMade(made) => self.on_key_made(made),
            Input::Offering(offer) => self.on_offering(offer),
            Input::KeySaved(problem) => self.on_key_saved(problem),
            Input::Bundle(done) => self.on_bundle(done),
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
        probes.chain(self.due.next()).chain(self.pillar_due()).fold(self.next_sweep, Duration::min)
    }

    /// Trust, for what is read or saved beside the engine's decisions.
    pub fn trust(&mut self) -> &mut Trust<L> {
        &mut self.trust
    }

    fn on_tick(&mut self) {
        self.answer_due_probes();
        self.read_pillar();
        if self.now.steady < self.next_sweep {
            return;
        }
        self.next_sweep = self.now.steady + Duration::from_secs(1);
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
