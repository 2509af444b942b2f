//! The master's process: the real engine, a loop and a writer with the ordering of
//! `master/src/driver.rs`, clocks that jump, and a disk that is slow, stuck, or loses power.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use brine_master::engine::{
    Ask, Engine, Input, Memory, Now, Output, OwnKey, Request, RequestId, RotationCheck, Settings,
};
use brine_master::gate::ConnId;
use brine_master::roles::Roles;
use brine_master::store::Record;
use brine_pki::registry::Trust;
use brine_pki::rotation;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::message::{Return, ToMaster, ToMinion};
use brine_protocol::target::Nodegroups;

use crate::dice::Dice;
use crate::disk::Ledger;
use crate::gate::{HANDSHAKE, HEARTBEAT, MESSAGE_MAX};
use crate::keys;
use crate::world::{Event, MILLI, Micros, SECOND, Sabotage, World};
use crate::writer::Writer;

/// An order without an answer is lost this long after its minion's session ended.
pub const LOST_AFTER: Micros = 12 * SECOND;
/// Most orders that may be open.
pub const ORDERS_MAX: usize = 120;
/// Most bytes of open orders, before the last job.
pub const ORDER_BYTES_MAX: usize = 64 * 1024;

/// How often the disk is looked at.
const DISK_EVERY: Micros = 5 * SECOND;

/// When the world began, on the wall.
pub const BEGAN: i64 = 1_795_327_652_000_000;

/// The master, and what outlives its process.
pub struct Master {
    /// The engine, while there is a process.
    pub engine: Option<Engine<Ledger>>,
    /// Counts processes.
    pub life: u64,
    /// The ledger on disk.
    pub ledger: Ledger,
    /// It does nothing until then.
    pub frozen_until: Micros,
    /// Its disk takes nothing until then.
    pub stuck_until: Micros,
    /// Its disk needs up to so long.
    pub disk_pace: Micros,
    /// It dies in the middle of its next write.
    pub is_doomed: bool,
    /// What its wall clock is off.
    pub wall_offset: i64,
    /// What its steady clock is off.
    pub steady_offset: i64,
    /// When a session has taken what was sent to it.
    pub drains: Vec<(Micros, ConnId)>,
    /// What its engine has yet to hear.
    pub inbox: VecDeque<Input>,
    turn_at: Option<Micros>,
    disk_due: Micros,
    /// Its writing thread.
    pub writer: Writer,
    lines_seen: usize,
    asked: u64,
    /// The idempotency keys of requests that wait for an answer.
    pub asked_with: BTreeMap<RequestId, String>,
}

fn settings() -> Settings {
    Settings {
        node: 0,
        heartbeat: Duration::from_micros(HEARTBEAT),
        handshake: Duration::from_micros(HANDSHAKE),
        lost_after: Duration::from_micros(LOST_AFTER),
        keep_jobs: Duration::from_secs(86_400 * 30),
        open_orders_max: ORDERS_MAX,
        open_bytes_max: ORDER_BYTES_MAX,
        message_max: MESSAGE_MAX,
        hand_window: 9000,
        servers_max: 10,
        pillar_cache_bytes: 10_000,
    }
}

impl Master {
    /// One that has yet to be started.
    pub fn new() -> Self {
        Self {
            engine: None,
            life: 0,
            ledger: Ledger::default(),
            frozen_until: 0,
            stuck_until: 0,
            disk_pace: 2 * MILLI,
            is_doomed: false,
            wall_offset: 0,
            steady_offset: i64::try_from(SECOND).expect("small"),
            drains: Vec::new(),
            inbox: VecDeque::new(),
            turn_at: None,
            disk_due: 0,
            writer: Writer::default(),
            lines_seen: 0,
            asked: 0,
            asked_with: BTreeMap::new(),
        }
    }
}

impl World {
    fn master_now(&self) -> Now {
        let is_set = self.sabotage == Sabotage::SettableClock;
        let followed = if is_set { self.master.wall_offset.max(0) } else { 0 };
        let steady = self.steady(self.master.steady_offset + followed);
        Now { wall: self.wall(self.master.wall_offset), steady }
    }

    /// A process begins with what is on disk.
    pub fn master_starts(&mut self) {
        if self.master.engine.is_some() {
            return;
        }
        self.master.life += 1;
        self.model.check_store(&self.store);
        let now = self.master_now();
        let steady = self.steady(self.master.steady_offset);
        self.model.clocks.on_life(self.master.life, steady);
        let ledger = self.master.ledger.clone();
        ledger.0.borrow_mut().is_failing = false;
        let mut trust = Trust::with_log(ledger, WaitingLimits::default()).expect("a ledger that can be read");
        let serial = trust.next_config_serial("master", now.wall).expect("it does not fail at a start");
        self.gate.agreement = Some(keys::agreement(serial));
        let store = &self.store;
        let memory = Memory {
            store: "5".repeat(32),
            lost: Vec::new(),
            last_jid: store.last_jid(),
            open: store.open_jobs(),
            facts: store.facts.iter().map(|(id, facts)| (id.clone(), facts.clone())).collect(),
            last_event: 0,
            idempotency: store.idempotency.iter().map(|(key, (d, jid))| (key.clone(), *d, *jid)).collect(),
            nodegroups: Nodegroups::new(),
            own: OwnKey { fingerprint: keys::master().public().fingerprint(), problem: None, notice: None },
        };
        let open = memory.open.len();
        self.say(|| format!("the master starts, {open} jobs are open, config {serial}"));
        let mut dice = Dice::new(self.dice.next());
        let random = Box::new(move |bytes: &mut [u8]| dice.fill(bytes));
        self.master.engine = Some(Engine::new(settings(), trust, memory, random, now));
        self.read_ledger();
        self.wake_master(self.now);
    }

    /// The process ends at once. What was being written may be on disk, as far as it got.
    pub fn master_dies(&mut self, is_power: bool) {
        if self.master.engine.take().is_none() {
            return;
        }
        self.tally.master_crashes += 1;
        let writer = std::mem::take(&mut self.master.writer);
        let mut steps = 0;
        if let Some((records, _)) = writer.under_way {
            steps = self.dice.below(4);
            self.flush(&records, steps);
        }
        if is_power && self.sabotage == Sabotage::ForgetfulDisk {
            while self.store.rows.len() > 2 {
                self.store.rows.pop_last();
            }
        }
        self.say(|| format!("the master dies, power: {is_power}, {steps} steps of a write were done"));
        self.model.on_master_gone();
        let master = &mut self.master;
        master.inbox.clear();
        master.drains.clear();
        master.asked_with.clear();
        master.turn_at = None;
        master.disk_due = 0;
        self.gate_is_gone(is_power);
        self.model.check_store(&self.store);
    }

    /// Puts something in front of the engine.
    pub fn tell_master(&mut self, input: Input) {
        self.master.inbox.push_back(input);
        let at = self.now + self.dice.between(5, 100);
        self.wake_master(at);
    }

    /// An operator asks. With the same key the answer is the same.
    pub fn ask(&mut self, ask: Ask, idempotency: Option<&str>) {
        self.master.asked += 1;
        let id = RequestId(self.master.asked);
        if let Some(key) = idempotency {
            self.master.asked_with.insert(id, key.to_owned());
        }
        let principal = Roles::default().principal(0, Some("root"), 0).expect("root may");
        self.tell_master(Input::Request(Box::new(Request { id, principal, ask })));
    }

    /// Has the loop turn then, if it would not before.
    pub fn wake_master(&mut self, at: Micros) {
        if self.master.engine.is_some() && self.master.turn_at.is_none_or(|due| due > at || due < self.now) {
            self.master.turn_at = Some(at);
            let life = self.master.life;
            self.at(at, Event::MasterLoop { life });
        }
    }

    /// One turn of the loop, as in the driver: all that is there, then the outputs of all of it.
    pub fn master_turns(&mut self, life: u64) {
        if life != self.master.life || self.master.engine.is_none() {
            return;
        }
        self.master.turn_at = None;
        let mut batch: Vec<Input> = self.master.inbox.drain(..).collect();
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.master.drains.iter().partition(|(at, _)| *at <= now);
        self.master.drains = later;
        batch.extend(due.into_iter().map(|(_, conn)| Input::Drained { conn }));
        let steady = self.master_now().steady;
        if self.master.engine.as_ref().is_some_and(|engine| engine.next_deadline() <= steady) {
            batch.push(Input::Tick);
        }
        if self.now >= self.master.disk_due {
            self.master.disk_due = self.now + DISK_EVERY;
            batch.push(Input::Disk(self.master.writer.problem.clone()));
        }
        let mut ordered = Vec::new();
        for input in batch {
            self.handle(input, &mut ordered);
        }
        self.writer_takes(ordered);
        self.check_master();
        let Some(engine) = &self.master.engine else { return };
        let until = engine.next_deadline().saturating_sub(self.master_now().steady);
        let micros = u64::try_from(until.as_micros()).unwrap_or(SECOND);
        let next = (self.now + micros.max(100)).min(self.master.disk_due);
        let drained = self.master.drains.iter().map(|(at, _)| *at).min().unwrap_or(next);
        self.wake_master(next.min(drained));
    }

    fn handle(&mut self, input: Input, ordered: &mut Vec<Output>) {
        self.tally.count_master(&input);
        let report = self.report_in(&input);
        let now = self.master_now();
        let Some(engine) = &mut self.master.engine else { return };
        engine.handle(input, now);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        self.read_ledger();
        self.note_broadcasts(&outputs);
        self.check_clocks(&outputs, report.is_some());
        if let Some((minion, report)) = report.filter(|_| outputs.iter().any(is_receipt)) {
            let name = self.machines[minion].name.clone();
            self.model.on_reported(report.jid, &name, report.number, &report.ending);
        }
        for output in outputs {
            match output {
                Output::Count(_) => {}
                Output::Welcome { .. }
                | Output::Cut { .. }
                | Output::SendNow { .. }
                | Output::AnswerNow { .. } => self.perform(output),
                Output::CheckRotation(check) => {
                    let (life, at) = (self.master.life, self.now + MILLI);
                    self.at(at, Event::Verify { life, check: Box::new(check) });
                }
                Output::Key(_) | Output::Bundle(_) | Output::ReadPillar | Output::Modules(_) => {
                    self.model.broke(0, format!("nobody asked for {output:?}"));
                }
                _ => ordered.push(output),
            }
        }
    }

    /// What was made, handed out and given up at this moment.
    fn check_clocks(&mut self, outputs: &[Output], is_reported: bool) {
        let steady = self.steady(self.master.steady_offset);
        let clocks = &mut self.model.clocks;
        let lost_after = Duration::from_micros(LOST_AFTER);
        let checked = outputs.iter().try_for_each(|output| match output {
            Output::Persist(Record::Job(job)) => {
                clocks.on_made(job, steady);
                Ok(())
            }
            Output::Persist(Record::Row { jid, row, .. }) if !is_reported => {
                clocks.on_given_up(*jid, &row.ending, steady, lost_after)
            }
            Output::Send { message: ToMinion::Order(order), .. } => clocks.on_handed(order, steady),
            _ => Ok(()),
        });
        if let Err(how) = checked {
            self.model.broke(10, how);
        }
    }

    fn report_in(&self, input: &Input) -> Option<(usize, Return)> {
        match input {
            Input::Frame { conn, message: ToMaster::Return(report) } => {
                Some((self.net.conns[&conn.0].minion, (**report).clone()))
            }
            _ => None,
        }
    }

    fn read_ledger(&mut self) {
        let lines = self.master.ledger.0.borrow();
        for line in &lines.all[self.master.lines_seen..] {
            self.model.on_decided(line);
        }
        self.master.lines_seen = lines.all.len();
    }

    /// A broadcast is sealed where it is decided. Which job it is stands in front of it.
    fn note_broadcasts(&mut self, outputs: &[Output]) {
        if !outputs.iter().any(|output| matches!(output, Output::Broadcast(_))) {
            return;
        }
        for output in outputs {
            if let Output::Persist(Record::Job(job)) = output {
                self.model.on_broadcast_sealed(job);
            }
        }
    }

    /// The signatures of a rotation were looked at, beside the loop.
    pub fn on_verify(&mut self, life: u64, check: &RotationCheck) {
        if life == self.master.life && self.master.engine.is_some() {
            let checked =
                rotation::verify(&check.id, &check.old, &check.rotate).map_err(|error| error.to_string());
            self.tell_master(Input::RotationChecked { conn: check.conn, named: check.named, checked });
        }
    }
}

fn is_receipt(output: &Output) -> bool {
    matches!(output, Output::Send { message: ToMinion::Stored(stored), .. } if !stored.numbers.is_empty())
}
