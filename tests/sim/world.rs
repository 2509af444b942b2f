//! Everything there is, in one thread, with a time of its own: events in order, each of which is
//! handled by the real engine it is for, and seen by the model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use brine_master::engine::RotationCheck;
use brine_protocol::Jid;
use brine_protocol::job::Ending;
use brine_protocol::time::Timestamp;

use crate::dice::Dice;
use crate::disk::Store;
use crate::gate::Gate;
use crate::machine::Machine;
use crate::master::{BEGAN, Master};
use crate::model::{Broken, Model, RULES};
use crate::net::{Net, Parcel, Way};
use crate::plan::Plan;
use crate::tally::Tally;

/// Time, in microseconds since the world began.
pub type Micros = u64;
/// A millisecond.
pub const MILLI: Micros = 1000;
/// A second.
pub const SECOND: Micros = 1_000_000;

/// What is broken on purpose, to see that the model tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// The master's disk forgets what was flushed when the power goes.
    ForgetfulDisk,
    /// The master does not wait for its disk.
    HastyMaster,
    /// A minion starts each job a second time.
    RunsTwice,
    /// A minion does not wait for its journal.
    HastyMinion,
    /// What the attacker touched opens all the same.
    OpenChannel,
    /// A minion's journal forgets its last line when its process ends.
    ForgetfulJournal,
    /// The gate drops returns without a word.
    SwallowedReturns,
    /// The gate hands orders to the wrong minion as well.
    Misdelivery,
    /// The gate does not say that a connection has ended.
    SilentGate,
    /// The master's disk takes final states and does not keep them.
    LeakyDisk,
    /// Minions do not heed how many broadcasts there were.
    DeafToCounts,
    /// The master's steady clock follows that on the wall forward.
    SettableClock,
    /// A minion that starts does not look for detached work.
    ForgottenWork,
}

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// A parcel has arrived.
    Arrive { conn: u64, way: Way, parcel: Parcel },
    /// One side notices that a connection is gone.
    Noticed { conn: u64, is_master: bool },
    /// One side notices that the subscriber's connection is gone.
    FeedLost { conn: u64, is_master: bool },
    /// A session has outlived its subscriber for as long as it may.
    LastWords { conn: u64 },
    /// A minion's connection reaches the master.
    Dialled { conn: u64 },
    /// A deadline of a connection of the gate.
    GateTimer { conn: u64 },
    /// The signatures of a rotation are looked at.
    Verify { life: u64, check: Box<RotationCheck> },
    /// The master is started.
    MasterStart,
    /// The master's loop turns.
    MasterLoop { life: u64 },
    /// A write of the master's is done, or has failed.
    Commit { life: u64 },
    /// A minion is started.
    MinionStart { minion: usize },
    /// A minion's loop turns.
    MinionLoop { minion: usize, life: u64 },
    /// A write of a minion's journal is done, or has failed.
    Journal { minion: usize, life: u64 },
    /// A job ends by itself.
    JobEnd { minion: usize, life: u64, jid: Jid, run: u64, ending: Box<Ending> },
    /// A minion dials.
    Dial { minion: usize, life: u64 },
    /// A minion's patience with its session ends: with a step of the handshake, with a session that was told to
    /// close, with a key that nobody accepts.
    Patience { minion: usize, life: u64, conn: u64, step: u8 },
    /// A process dies in the middle of a write: the master's without a minion.
    Doom { minion: Option<usize>, life: u64 },
    /// The next thing of the plan.
    Step,
}

/// Whose event it is: who is frozen handles it later.
enum Who {
    Master,
    Minion(usize),
    Nobody,
}

/// The world.
pub struct World {
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Chance.
    pub dice: Dice,
    /// The time.
    pub now: Micros,
    /// The wires.
    pub net: Net,
    /// The master.
    pub master: Master,
    /// The master's side of the wires.
    pub gate: Gate,
    /// The master's disk.
    pub store: Store,
    /// The minions.
    pub machines: Vec<Machine>,
    /// What has to hold.
    pub model: Model,
    /// What happened, counted.
    pub tally: Tally,
    /// What is to happen.
    pub plan: Plan,
    /// Any moment, from which the minions' clocks are counted.
    pub zero: Instant,
    queue: BTreeMap<(Micros, u64), Event>,
    queued: u64,
    is_told: bool,
    story: Vec<String>,
}

/// What came of a world.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
    /// What happened, counted.
    pub tally: Tally,
    /// What happened, if that was wanted.
    pub story: Vec<String>,
}

impl World {
    /// Runs a world from its beginning to its end, or to the first broken promise.
    pub fn run(seed: u64, sabotage: Sabotage, is_told: bool) -> Outcome {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice);
        let machines = (0..plan.minions).map(|n| Machine::new(n, &mut dice)).collect();
        let mut world = Self {
            sabotage,
            now: 0,
            net: Net::default(),
            master: Master::new(),
            gate: Gate::default(),
            store: Store::default(),
            machines,
            model: Model::default(),
            tally: Tally::default(),
            plan,
            zero: Instant::now(),
            queue: BTreeMap::new(),
            queued: 0,
            is_told,
            story: Vec::new(),
            dice,
        };
        world.at(0, Event::MasterStart);
        for minion in 0..world.machines.len() {
            let at = world.dice.between(0, 2000) * MILLI;
            world.at(at, Event::MinionStart { minion });
        }
        world.at(MILLI, Event::Step);
        while world.model.broken.is_none()
            && !world.plan.is_over
            && let Some(((at, _), event)) = world.queue.pop_first()
        {
            world.now = at;
            world.happen(event);
        }
        world.finish()
    }

    fn finish(mut self) -> Outcome {
        if self.model.broken.is_none() {
            self.check_end();
        }
        self.tally.seeds = 1;
        self.tally.jobs = self.store.jobs.len() as u64;
        self.tally.executions = self.model.runs();
        self.tally.late = self.store.late.values().map(|late| late.len() as u64).sum();
        for row in self.store.rows.values() {
            *self.tally.endings.entry(row.ending.name()).or_default() += 1;
        }
        if let Some(Broken { rule, how }) = &self.model.broken {
            let text = format!("BROKEN: {}: {how}", RULES[*rule]);
            self.say(|| text);
        }
        Outcome { broken: self.model.broken, tally: self.tally, story: self.story }
    }

    /// Has something happen then.
    pub fn at(&mut self, at: Micros, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    /// Notes what happens, if anybody wants to read it.
    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if self.is_told {
            let (now, text) = (self.now, what());
            self.story.push(format!("{:>10.4} {text}", now as f64 / SECOND as f64));
        }
    }

    fn happen(&mut self, event: Event) {
        let frozen = match self.whose(&event) {
            Who::Master => self.master.frozen_until,
            Who::Minion(minion) => self.machines[minion].frozen_until,
            Who::Nobody => 0,
        };
        if frozen > self.now {
            return self.at(frozen, event);
        }
        if let Event::Arrive { conn, way, parcel } = &event {
            self.arrived(*conn, *way, parcel);
        }
        match event {
            Event::Arrive { conn, .. } if !self.is_carried(conn) => {}
            Event::Arrive { conn, way: Way::Up, parcel } => self.gate_hears(conn, parcel),
            Event::Arrive { conn, way, parcel } => self.session_hears(conn, way, parcel),
            Event::Noticed { conn, is_master: true } => self.gate_ends(conn, "connection_lost"),
            Event::Noticed { conn, is_master: false } => self.session_lost(conn),
            Event::FeedLost { conn, is_master: true } => self.gate_loses_feed(conn),
            Event::LastWords { conn } => self.gate_ends(conn, "subscriber_ended"),
            Event::FeedLost { conn, is_master: false } => self.session_lost(conn),
            Event::Dialled { conn } => self.gate_opens(conn),
            Event::GateTimer { conn } => self.gate_timer(conn),
            Event::Verify { life, check } => self.on_verify(life, &check),
            Event::MasterStart => self.master_starts(),
            Event::MasterLoop { life } => self.master_turns(life),
            Event::Commit { life } => self.on_commit(life),
            Event::MinionStart { minion } => self.minion_starts(minion),
            Event::MinionLoop { minion, life } => self.minion_turns(minion, life),
            Event::Journal { minion, life } => self.on_journal(minion, life),
            Event::JobEnd { minion, life, jid, run, ending } => {
                self.on_job_end(minion, life, jid, run, *ending);
            }
            Event::Dial { minion, life } => self.dial(minion, life),
            Event::Patience { minion, life, conn, step } => self.on_patience(minion, life, conn, step),
            Event::Doom { minion, life } => self.doom(minion, life),
            Event::Step => self.step(),
        }
    }

    fn whose(&self, event: &Event) -> Who {
        let of = |conn: &u64| self.net.conns.get(conn).map_or(Who::Nobody, |wire| Who::Minion(wire.minion));
        match event {
            Event::Arrive { way: Way::Up, .. }
            | Event::Noticed { is_master: true, .. }
            | Event::FeedLost { is_master: true, .. }
            | Event::LastWords { .. }
            | Event::Dialled { .. }
            | Event::GateTimer { .. }
            | Event::Verify { .. }
            | Event::MasterStart
            | Event::MasterLoop { .. }
            | Event::Commit { .. } => Who::Master,
            Event::Arrive { conn, .. } | Event::Noticed { conn, .. } | Event::FeedLost { conn, .. } => {
                of(conn)
            }
            Event::MinionStart { minion }
            | Event::MinionLoop { minion, .. }
            | Event::Journal { minion, .. }
            | Event::JobEnd { minion, .. }
            | Event::Dial { minion, .. }
            | Event::Patience { minion, .. } => Who::Minion(*minion),
            // Whoever sleeps can be killed.
            Event::Doom { .. } | Event::Step => Who::Nobody,
        }
    }

    /// The wall time of a machine whose clock is so far off.
    pub fn wall(&self, offset: i64) -> Timestamp {
        Timestamp(BEGAN + i64::try_from(self.now).expect("a short story") + offset)
    }

    /// The steady time of a machine whose clock is so far off.
    pub fn steady(&self, offset: i64) -> Duration {
        let at = i64::try_from(self.now).expect("a short story") + offset;
        Duration::from_micros(u64::try_from(at).expect("a clock that does not go back"))
    }
}
