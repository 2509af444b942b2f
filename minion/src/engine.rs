//! What a minion decides: which orders it takes, what it tells its master, and when.
//!
//! ```text
//! (no session) --Opened--> waiting --accepted--> live --first Stored--> taking orders
//!       ^                     ^----any other standing----'                    |
//!       '------------------------------- Lost --------------------------------'
//! ```
//! Pure: inputs and the time come in, ordered outputs come out. **Invariant:** the driver performs
//! outputs in order, and what stands behind a [`Output::Record`] happens when that is on disk; so
//! an order is journaled before it runs, and a return before it is sent.
//!
//! Orders that come before the session's first `Stored` wait for it, because only then is it known
//! which store their numbers belong to. Functions marked repeatable are not journaled, and their
//! returns are kept in memory only.
//!
//! **Bounds:** a spool that is full takes nothing but ends of what is open in it, so it holds at most
//! `spool_max`, one order, and the returns of what was open then. Ends of orders that were not taken
//! go to memory instead, where at most `OWED_MAX` answers are, those of orders that were not taken
//! without a value and with at most twice `TEXT_MAX` bytes of text. Beyond that
//! orders are turned away.

mod detached;
mod jobs;
mod load;
mod modules;
mod notes;
mod pillar;
mod rotation;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use brine_protocol::job::{Call, Ending};
use brine_protocol::message::{Knock, Order, Return, Standing, ToMaster, ToMinion};
use brine_protocol::signal::SignalName;
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde_json::{Map, Value};

use crate::book::{Book, Entry, Process};
use crate::pillar::Held;
use crate::sync::{Answer, Wish};
pub use detached::DetachedStep;
pub use load::Load;
pub use notes::{Hangup, Note};

/// Beats that may be missed before a session is given up.
pub const BEATS_MISSED_MAX: u32 = 3;

/// Most jobs that wait for a free place. Beyond, orders are refused by name.
const QUEUE_MAX: usize = 1024;

/// Most jobs held on disk, so that their numbers fit into the message that starts a session.
const HELD_MAX: usize = 20_000;

/// Most orders that wait for the session's first `Stored`. The master sends that first of all, so
/// more are a fault.
const EARLY_MAX: usize = 256;

/// Most repeatable jobs at a time.
const FLEETING_MAX: usize = 256;

/// Most of them together with the answers in memory that the master has not taken. Orders that come
/// while so many are there are turned away: the answers have to leave first.
const OWED_MAX: usize = 2 * FLEETING_MAX;

/// So many are left when the session is ended for the orders that were turned away: the next one
/// brings them again.
const OWED_AGAIN: usize = OWED_MAX / 2;

/// Most returns sent and not yet acknowledged, so that a full spool never floods a connection.
const WINDOW: usize = 64;

/// What the engine has to know beforehand.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The minion's id.
    pub id: MinionId,
    /// What is told while the key waits.
    pub knock: Knock,
    /// Brine's version.
    pub version: String,
    /// Largest return, as JSON.
    pub return_max: usize,
    /// Largest message taken of the master, in bytes.
    pub message_max: usize,
    /// Most bytes held on disk.
    pub spool_max: u64,
    /// Most jobs at a time.
    pub process_count_max: usize,
    /// The kernel's id of the present boot, where it tells.
    pub boot: Option<String>,
}

/// Everything that can wake a minion.
#[derive(Debug)]
pub enum Input {
    /// A session's handshake is done.
    Opened {
        /// Where the key stands.
        standing: Standing,
        /// How often to beat.
        heartbeat: Duration,
        /// Largest message that the master takes, in bytes, if it says so.
        message_max: Option<usize>,
        /// The key that is to follow the master's, if one is announced; stored already.
        successor: Option<Fingerprint>,
    },
    /// It is stored now which key is to follow the master's.
    Learned(Option<Fingerprint>),
    /// A next key of this minion is on disk: the master may be asked to accept it.
    Prepared {
        /// The key.
        fingerprint: Fingerprint,
        /// The job that asked for it.
        jid: Option<Jid>,
    },
    /// The master knows the next key: it is this minion's key, or about to be.
    Turned,
    /// The master said something over the session.
    Heard(ToMinion),
    /// The master broadcast an order. It comes on another connection, so it says nothing about whether
    /// this minion still hears the session.
    Broadcast(Box<Order>),
    /// The session is over.
    Lost,
    /// A job ended.
    Ended {
        /// The job.
        jid: Jid,
        /// How.
        ending: Ending,
    },
    /// These jobs were killed because the minion is to stop, and nothing is left of them.
    Aborted(Vec<Jid>),
    /// A job started a process.
    Spawned {
        /// The job.
        jid: Jid,
        /// The process.
        process: Process,
    },
    /// Other options hold from now on.
    Settings {
        /// What they say.
        settings: Box<Settings>,
        /// Whether they bring another enrolment token. The one from before is not told again once
        /// it has done what it was for.
        is_token_new: bool,
    },
    /// The grains are these now.
    Grains(Map<String, Value>),
    /// A job wants the pillar anew; the number of its asking.
    RefreshPillar(u64),
    /// A job wants something of the master's modules, with the number of its asking; or none does
    /// any more.
    ModulesWish(Option<(u64, Wish)>),
    /// The deadline of [`Engine::next_deadline`] may have come.
    Tick,
    /// The minion is to stop.
    Stop,
}

/// A job to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The job.
    pub jid: Jid,
    /// What to run.
    pub calls: Vec<Call>,
    /// After this long it is killed.
    pub timeout: Option<Duration>,
    /// Who asked.
    pub principal: String,
    /// Whether it goes on without this minion.
    pub is_detached: bool,
}

impl Job {
    /// The functions, joined by commas.
    #[must_use]
    pub fn functions(&self) -> String {
        functions(&self.calls)
    }
}

fn functions(calls: &[Call]) -> String {
    let names: Vec<&str> = calls.iter().map(|call| call.function.as_str()).collect();
    names.join(",")
}

/// What the driver has to do, in order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Append this to the journal before anything that follows.
    Record(Entry),
    /// Send this over the session.
    Send(ToMaster),
    /// Start a job.
    Run(Job),
    /// Kill a job; it ends as cancelled by this.
    Kill {
        /// The job.
        jid: Jid,
        /// Who or what.
        by: String,
    },
    /// Signal the processes of a job.
    Signal {
        /// The job.
        jid: Jid,
        /// Which.
        signal: SignalName,
        /// Who sends it.
        by: String,
    },
    /// Go on with a detached job.
    Detached {
        /// The job.
        jid: Jid,
        /// What to do.
        step: DetachedStep,
    },
    /// Close the session.
    Hangup(Hangup),
    /// Sign the handover to the next key, and send it over the session.
    Rotate {
        /// The job that asked for it.
        jid: Option<Jid>,
    },
    /// The master has this key as the minion's: it takes the present one's place.
    Promote(Fingerprint),
    /// The master refused the next key: remove it.
    Discard {
        /// The key.
        fingerprint: Fingerprint,
        /// The master's reason.
        why: String,
    },
    /// The pillar is this from now on.
    Pillar {
        /// The pillar.
        held: Held,
        /// The last asking that this answers.
        ask: Option<u64>,
        /// Why it is not what the master's files say, as the master puts it.
        problem: Option<String>,
    },
    /// What the master says of its modules, for the job that asked last.
    Modules(Answer),
    /// Something worth a line in the log.
    Note(Note),
}

#[derive(Debug)]
enum Session {
    None,
    /// Sealed, and the key is not accepted.
    Waiting(Beats),
    Live(Beats, Live),
}

#[derive(Debug, Clone, Copy)]
struct Beats {
    every: Duration,
    next: Instant,
    silent_at: Instant,
}

/// What exists only while a session is live.
#[derive(Debug, Default)]
struct Live {
    /// Whether the master has named its store.
    is_numbered: bool,
    /// Orders that came before.
    early: Vec<Order>,
    /// Returns to be sent, oldest first.
    unsent: VecDeque<Jid>,
    /// Returns sent and not yet acknowledged.
    in_flight: BTreeSet<Jid>,
    /// Whether orders were turned away.
    has_turned_away: bool,
}

#[derive(Debug)]
struct Fleeting {
    number: u64,
    returned: Option<Box<Return>>,
}

impl Fleeting {
    /// Whether the order was cancelled before it came.
    fn is_cancelled(&self) -> bool {
        self.returned.as_ref().is_some_and(|returned| matches!(returned.ending, Ending::Cancelled { .. }))
    }
}

#[derive(Debug)]
struct Running {
    number: u64,
    functions: String,
    is_fleeting: bool,
    /// Has a place of its own, outside `process_count_max`.
    is_privileged: bool,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    job: Job,
    expires: Option<Instant>,
}

/// The decisions of one minion.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    book: Book,
    grains: Map<String, Value>,
    pillar: Held,
    /// A job's asking for the pillar that is unanswered.
    pillar_asked: Option<u64>,
    /// A job's asking about modules that is unanswered.
    modules_asked: Option<(u64, Wish)>,
    session: Session,
    running: BTreeMap<Jid, Running>,
    queue: VecDeque<Queued>,
    fleeting: BTreeMap<Jid, Fleeting>,
    /// Largest return of the present session.
    return_room: usize,
    /// The key that is to follow the master's.
    successor: Option<Fingerprint>,
    /// The minion's next key, until the master's answer is known.
    next: Option<rotation::Next>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine that goes on from what the journal says. Open jobs of it are over: whoever calls
    /// this has made sure that nothing of them runs any more.
    #[must_use]
    pub fn new(settings: Settings, book: Book, grains: Map<String, Value>) -> Self {
        Self::resuming(settings, book, grains, &BTreeSet::new())
    }

    /// As [`Engine::new`], but that these jobs are detached and go on, or have ended by themselves.
    #[must_use]
    pub fn resuming(
        settings: Settings,
        book: Book,
        grains: Map<String, Value>,
        going_on: &BTreeSet<Jid>,
    ) -> Self {
        let mut engine = Self {
            return_room: settings.return_max,
            settings,
            book,
            grains,
            pillar: Held::default(),
            pillar_asked: None,
            modules_asked: None,
            session: Session::None,
            running: BTreeMap::new(),
            queue: VecDeque::new(),
            fleeting: BTreeMap::new(),
            successor: None,
            next: None,
            outputs: VecDeque::new(),
        };
        engine.resume(going_on);
        engine.interrupt_open_jobs();
        engine
    }

    /// The fold of the journal, with every entry applied that was put out.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Takes any input in any state.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Opened { standing, heartbeat, message_max, successor } => {
                self.successor = successor;
                self.on_opened(&standing, heartbeat, message_max, now);
            }
            Input::Heard(message) => self.on_heard(message, now),
            Input::Broadcast(order) => self.on_message(ToMinion::Order(order), now),
            Input::Lost => {
                self.session = Session::None;
                self.forget_asking();
            }
            Input::Learned(successor) => self.on_learned(successor),
            Input::Prepared { fingerprint, jid } => self.on_prepared(fingerprint, jid),
            Input::Turned => self.next = None,
            Input::Ended { jid, ending } => self.on_ended(jid, ending, now),
            Input::Aborted(killed) => self.on_aborted(killed),
            Input::Spawned { jid, process } => self.on_spawned(jid, process),
            Input::Settings { settings, is_token_new } => self.on_settings(*settings, is_token_new, now),
            Input::Grains(grains) => self.on_grains(grains),
            Input::RefreshPillar(ask) => self.on_refresh_pillar(ask),
            Input::ModulesWish(wish) => self.on_modules_wish(wish),
            Input::Tick => self.on_tick(now),
            Input::Stop => {
                if !matches!(self.session, Session::None) {
                    self.send(ToMaster::Bye);
                }
                self.put(Output::Hangup(Hangup::Stopping));
            }
        }
    }

    /// The next thing to do. Take all of them before the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let beats = match &self.session {
            Session::None => None,
            Session::Waiting(beats) | Session::Live(beats, _) => Some(beats.next.min(beats.silent_at)),
        };
        let expiry = self.queue.iter().filter_map(|queued| queued.expires).min();
        beats.into_iter().chain(expiry).min()
    }

    fn on_tick(&mut self, now: Instant) {
        self.beat_if_due(now);
        self.expire_queued(now);
    }

    fn on_settings(&mut self, mut settings: Settings, is_token_new: bool, now: Instant) {
        if !is_token_new {
            settings.knock.token = self.settings.knock.token.take();
        }
        self.settings = settings;
        // There may be more places now.
        self.run_queued(now);
    }

    fn on_grains(&mut self, grains: Map<String, Value>) {
        if self.grains == grains {
            return;
        }
        self.grains = grains;
        if matches!(self.session, Session::Live(..)) {
            self.send(ToMaster::Grains(self.grains.clone()));
        }
    }

    fn put(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn send(&mut self, message: ToMaster) {
        self.put(Output::Send(message));
    }

    fn record(&mut self, entry: Entry) {
        self.book.apply(&entry);
        self.put(Output::Record(entry));
    }

    fn note(&mut self, note: Note) {
        self.put(Output::Note(note));
    }
}

#[cfg(test)]
mod tests;
