//! What is done to the world: a storm of jobs, acts and faults, all from the seed; then calm, in
//! which everything comes back and somebody accepts the keys.

use brine_master::engine::Ask;
use brine_protocol::Jid;
use brine_protocol::batch::Batch;
use brine_protocol::control::{Act, JobRequest, KeyActRequest, KeyName};
use brine_protocol::job::{Call, Delivery};
use brine_protocol::signal::SignalName;
use brine_protocol::target::{Target, TargetKind};
use serde_json::{Map, json};

use crate::dice::Dice;
use crate::disk::Loss;
use crate::keys::MINIONS_MAX;
use crate::world::{Event, MILLI, Micros, SECOND, World};

/// Long enough for the longest pause of a back-off, the longest absence, and what is lost after it.
const CALM: Micros = 95 * SECOND;
/// In its last part nothing new is asked for.
const QUIET: Micros = 25 * SECOND;
/// From then on it may end sooner, when nothing is left to be done.
const SETTLED: Micros = 20 * SECOND;
/// How often somebody looks after the keys when it is calm.
const LOOK: Micros = SECOND;
/// Every so many looks everybody is pinged.
const PING: u64 = 5;
/// From here on, what is drawn in a storm is a fault.
const FAULTS: usize = 66;
const DAY: u64 = 86_400;

/// The plan of one world.
pub struct Plan {
    /// How many minions there are.
    pub minions: usize,
    /// Whether it is done.
    pub is_over: bool,
    /// Jobs that were answered.
    pub jids: Vec<Jid>,
    storm_until: Micros,
    /// How many faults in a hundred that are drawn are done.
    fury: u64,
    is_calm: bool,
    requests: Vec<(String, JobRequest)>,
}

impl Plan {
    /// One of many.
    pub fn new(dice: &mut Dice) -> Self {
        Self {
            minions: 1 + dice.below(MINIONS_MAX),
            is_over: false,
            jids: Vec::new(),
            storm_until: dice.between(9, 17) * SECOND,
            fury: dice.pick(&[15, 40, 70]),
            is_calm: false,
            requests: Vec::new(),
        }
    }
}

impl World {
    /// Does the next thing.
    pub fn step(&mut self) {
        if self.now < self.plan.storm_until {
            self.storm();
            let at = self.now + self.dice.between(5, 140) * MILLI;
            return self.at(at, Event::Step);
        }
        if !std::mem::replace(&mut self.plan.is_calm, true) {
            self.say(|| "calm".to_owned());
            self.calm_net();
            self.master.is_doomed = false;
            self.machines.iter_mut().for_each(|machine| machine.is_doomed = false);
            self.master.ledger.0.borrow_mut().is_failing = false;
            self.master.disk_pace = 3 * MILLI;
            self.rob_at_last();
        }
        let calm_for = self.now - self.plan.storm_until;
        if calm_for >= CALM || (calm_for > SETTLED && self.is_settled()) {
            self.plan.is_over = true;
            return;
        }
        for minion in 0..self.machines.len() {
            self.look_after(minion);
        }
        if calm_for < CALM - QUIET && (calm_for / LOOK).is_multiple_of(PING) {
            let request = job("test.ping", &Target::glob("*"));
            self.ask(Ask::Submit { request, idempotency: None }, None);
        }
        self.at(self.now + LOOK, Event::Step);
    }

    fn storm(&mut self) {
        let minion = self.dice.below(self.machines.len());
        let conn = self.machines[minion].link.as_ref().map(|link| link.conn);
        match self.dice.below(100) {
            n if n >= FAULTS && !self.dice.percent(self.plan.fury) => self.submit(),
            0..=48 => self.submit(),
            49..=52 => self.with_job(Ask::Kill),
            53 => self.with_job(|jid| Ask::Signal(jid, SignalName::TERM)),
            54 => self.with_job(Ask::Probe),
            55 => self.with_job(Ask::Follow),
            56..=65 => (0..self.machines.len()).for_each(|minion| self.look_after(minion)),
            66 => self.act_on_key(minion),
            67..=68 => self.prepare_key(minion),
            69..=71 => self.change_role(minion),
            72..=73 if self.dice.percent(50) => self.machines[minion].is_doomed = true,
            72..=73 => self.kill_minion(minion),
            74 => {
                self.minion_stops(minion);
                self.start_minion_later(minion);
            }
            75 if self.dice.percent(50) => self.master.is_doomed = true,
            75 => self.kill_master(),
            76..=78 => conn.into_iter().for_each(|conn| self.cut(conn)),
            79..=80 => conn.into_iter().for_each(|conn| self.swallow(conn)),
            81..=82 => conn.into_iter().for_each(|conn| self.stall(conn)),
            83..=86 => conn.into_iter().for_each(|conn| self.attack(conn)),
            87..=90 => self.trouble_disk(minion),
            91 => {
                let is_failing = self.dice.percent(50);
                self.master.ledger.0.borrow_mut().is_failing = is_failing && self.master.engine.is_some();
            }
            92..=94 => self.jump(minion),
            95..=96 => self.freeze(minion),
            97 => self.net.pace = self.dice.pick(&[2, 50, 700]) * MILLI,
            _ => self.submit_again(),
        }
    }

    fn submit(&mut self) {
        let target = match self.dice.below(20) {
            0..=9 => Target::glob("*"),
            10..=12 => Target::glob(&format!("web{}", self.dice.below(self.machines.len()))),
            13..=15 => Target::list("web0,web2"),
            _ => Target::new(TargetKind::Grain, &format!("role:r{}", self.dice.below(2))),
        };
        let function =
            self.dice.pick(&["cmd.run", "cmd.run", "cmd.run", "pkg.install", "test.ping", "brine.term_job"]);
        let mut request = job(function, &target);
        if self.dice.percent(10) {
            request.calls.push(call("test.ping"));
        }
        request.detach = self.dice.percent(20);
        if self.dice.percent(25) {
            request.job_timeout_ms = Some(self.dice.between(50, 3000));
        }
        match self.dice.below(100) {
            0..=34 => {
                request.delivery = Delivery::Queue { ttl_ms: self.dice.between(200, 15_000) };
                self.tally.queued += 1;
            }
            35..=49 => {
                let size = self.dice.pick(&["1", "2", "50%"]).parse().expect("a size");
                let wait_ms = self.dice.pick(&[0, 0, 200]);
                self.tally.waiting_batches += u64::from(wait_ms > 0);
                request.batch = Some(Batch { size, wait_ms, failhard: self.dice.percent(30) });
            }
            _ => {}
        }
        let key = self.dice.percent(30).then(|| format!("key{}", self.plan.requests.len()));
        if let Some(key) = &key {
            self.plan.requests.push((key.clone(), request.clone()));
        }
        self.ask(Ask::Submit { request, idempotency: key.clone() }, key.as_deref());
    }

    /// The attacker's last act: the last broadcast of an epoch never arrives at one minion, because a
    /// key of another one is suspended behind it. Nothing else happens to its session any more.
    fn rob_at_last(&mut self) {
        let robbed = self.machines[0].link.as_ref().map(|link| link.conn);
        if let Some(conn) = robbed.filter(|_| self.machines.len() > 1) {
            self.steal_broadcast(conn);
            let request = job("cmd.run", &Target::glob("*"));
            self.ask(Ask::Submit { request, idempotency: None }, None);
            self.act_key(Act::Suspend, 1, self.machines[1].fingerprint(self.machines[1].current));
        }
    }

    /// Somebody who got no answer asks again, with the same key.
    fn submit_again(&mut self) {
        if !self.plan.requests.is_empty() {
            let at = self.dice.below(self.plan.requests.len());
            let (key, request) = self.plan.requests[at].clone();
            self.ask(Ask::Submit { request, idempotency: Some(key.clone()) }, Some(&key));
        }
    }

    fn with_job(&mut self, ask: impl Fn(Jid) -> Ask) {
        let newest = self.plan.jids.len().saturating_sub(8);
        if let Some(newest) = self.plan.jids.get(newest..).filter(|jids| !jids.is_empty()) {
            let jid = self.dice.pick(newest);
            self.ask(ask(jid), None);
        }
    }

    fn act_on_key(&mut self, minion: usize) {
        let acts = [Act::Suspend, Act::Suspend, Act::Resume, Act::Accept, Act::Delete, Act::Reject];
        let act = self.dice.pick(&acts);
        let which = if self.dice.percent(80) { self.machines[minion].current } else { self.dice.below(2) };
        self.act_key(act, minion, self.machines[minion].fingerprint(which));
    }

    fn act_key(&mut self, act: Act, minion: usize, fingerprint: brine_protocol::Fingerprint) {
        self.tally.key_acts += 1;
        let id = self.machines[minion].name.clone();
        self.say(|| format!("{} {id}, {}", act.name(), fingerprint.0[0]));
        let keys = vec![KeyName { id, fingerprint, state: None }];
        self.ask(Ask::Act(KeyActRequest { act, keys, reason: None }), None);
    }

    /// An administrator lets a minion in, whatever is in the way.
    fn look_after(&mut self, minion: usize) {
        let machine = &self.machines[minion];
        let keys = [Some(machine.current), machine.next];
        let is_own = |key| keys.iter().flatten().any(|which| machine.fingerprint(*which) == key);
        let act = match self.model.holder(&machine.name) {
            Some((key, false)) if is_own(key) => return,
            Some((key, true)) if is_own(key) => (Act::Resume, key),
            Some((key, _)) => (Act::Delete, key),
            None => (Act::Accept, machine.fingerprint(machine.current)),
        };
        self.act_key(act.0, minion, act.1);
    }

    fn kill_master(&mut self) {
        let is_power = self.dice.percent(50);
        self.master_dies(is_power);
        let at = self.now + self.dice.between(50, 4000) * MILLI;
        self.at(at, Event::MasterStart);
    }

    /// Somebody dies while something is being written.
    pub fn doom(&mut self, minion: Option<usize>, life: u64) {
        match minion {
            Some(minion) if self.machines[minion].life == life => self.kill_minion(minion),
            None if self.master.life == life => self.kill_master(),
            Some(_) | None => {}
        }
    }

    fn kill_minion(&mut self, minion: usize) {
        let is_power = self.dice.percent(50);
        let loss = match self.dice.below(20) {
            0 => Some(Loss::Removed),
            1 => Some(Loss::Damaged),
            _ => None,
        };
        self.minion_dies(minion, is_power, loss);
        self.start_minion_later(minion);
    }

    fn start_minion_later(&mut self, minion: usize) {
        let is_long = self.dice.percent(15);
        let pause = if is_long { self.dice.between(10_000, 25_000) } else { self.dice.between(20, 3000) };
        self.at(self.now + pause * MILLI, Event::MinionStart { minion });
    }

    fn trouble_disk(&mut self, minion: usize) {
        let longest = self.dice.pick(&[1000, 4000, 12_000]);
        let until = self.now + self.dice.between(100, longest) * MILLI;
        match self.dice.below(3) {
            0 => self.master.stuck_until = until,
            1 => self.machines[minion].stuck_until = until,
            _ => self.master.disk_pace = self.dice.pick(&[1, 20, 1500]) * MILLI,
        }
        self.say(|| format!("trouble with a disk, perhaps web{minion}'s"));
    }

    /// Clocks are set: those on walls both ways, the steady ones forward only.
    fn jump(&mut self, minion: usize) {
        self.tally.clock_jumps += 1;
        let far = self.dice.pick(&[1, 5, 30, DAY, 3 * DAY]);
        let micros = i64::try_from(far * SECOND).expect("days");
        match self.dice.below(6) {
            0 => self.master.wall_offset += micros,
            1 => self.master.wall_offset -= micros,
            2 => self.machines[minion].wall_offset += micros,
            3 => self.machines[minion].wall_offset -= micros,
            4 => self.master.steady_offset += micros.min(10_000_000),
            _ => self.machines[minion].clock_offset += micros.min(10_000_000),
        }
        self.say(|| format!("a clock is set by {far} s"));
    }

    /// A machine sleeps: its steady clock stands still, or goes on if it was only stopped.
    fn freeze(&mut self, minion: usize) {
        self.tally.clock_jumps += 1;
        let pause = self.dice.between(100, 8000) * MILLI;
        let until = self.now + pause;
        let stands = if self.dice.percent(50) { i64::try_from(pause).expect("short") } else { 0 };
        if self.dice.percent(30) && self.master.frozen_until <= self.now {
            self.master.frozen_until = until;
            self.master.steady_offset -= stands;
        } else if self.machines[minion].frozen_until <= self.now {
            self.machines[minion].frozen_until = until;
            self.machines[minion].clock_offset -= stands;
        }
        self.say(|| format!("somebody sleeps for {} ms", pause / MILLI));
    }
}

fn call(function: &str) -> Call {
    Call { function: function.to_owned(), arguments: vec![], keywords: Map::new() }
}

fn job(function: &str, target: &Target) -> JobRequest {
    serde_json::from_value(json!({"target": target, "calls": [call(function)]})).expect("a request")
}
