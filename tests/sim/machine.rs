//! A minion's process: the real engine, a loop with the ordering of `minion/src/driver.rs`, jobs
//! that take time, a journal that may refuse, and ends of every kind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_minion::backoff::{Backoff, Setback};
use brine_minion::book::Entry;
use brine_minion::engine::{Engine, Hangup, Input, Note, Output, Settings};
use brine_pki::key::PrivateKey;
use brine_pki::rotation;
use brine_protocol::message::{Knock, Standing, ToMaster};
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde_json::{Map, json};

use crate::detached::Work;
use crate::dice::Dice;
use crate::disk::{Journal, Loss};
use crate::keys;
use crate::net::{Packet, Way};
use crate::session::Link;
use crate::world::{Event, MILLI, Micros, SECOND, Sabotage, World};

/// Jobs at a time.
const PLACES: usize = 2;
/// Most bytes held on disk, before the last return.
pub const SPOOL_MAX: u64 = 12 * 1024;
/// Longest pause while the master cannot be reached.
const RECONNECT_MAX: Duration = Duration::from_secs(4);
/// The step of [`Event::Patience`] for a session that was told to close, and how long it has.
pub const ABANDON: (u8, Micros) = (3, 3 * SECOND);

/// What waits for the loop.
#[derive(Debug)]
pub enum Woken {
    /// For the engine.
    Input(Input),
    /// A session is open.
    Opened {
        /// What the engine is told.
        input: Input,
        /// Where the key stands.
        standing: Standing,
        /// The key of the session.
        key: Fingerprint,
    },
    /// A session is over.
    Ended {
        /// Which.
        conn: u64,
        /// How soon to try again.
        setback: Setback,
    },
}

/// A minion, and what outlives its process.
pub struct Machine {
    /// Its name.
    pub name: MinionId,
    /// Its two keys.
    pub keys: [Arc<PrivateKey>; 2],
    /// The key that is its own.
    pub current: usize,
    /// The key that is to follow, if one is prepared.
    pub next: Option<usize>,
    /// The highest config serial that it has seen.
    pub serial: Option<u64>,
    /// The engine, while there is a process.
    pub engine: Option<Engine>,
    /// Counts processes.
    pub life: u64,
    /// The journal on disk.
    pub journal: Journal,
    /// The session.
    pub link: Option<Link>,
    /// The next attempt is made with the key that it has, the next one was tried.
    pub is_second_try: bool,
    /// It does nothing until then.
    pub frozen_until: Micros,
    /// Its disk takes nothing until then.
    pub stuck_until: Micros,
    /// What its steady clock is off.
    pub clock_offset: i64,
    /// What its wall clock is off.
    pub wall_offset: i64,
    /// Counts boots.
    pub boot: u64,
    /// What goes on without its process.
    pub detached: BTreeMap<Jid, Work>,
    /// It dies in the middle of its next write.
    pub is_doomed: bool,
    inbox: VecDeque<Woken>,
    writing: Option<(Vec<Entry>, Vec<Output>)>,
    /// Jobs that run, each with the number of the end that counts.
    pub jobs: BTreeMap<Jid, u64>,
    /// Counts ends.
    pub runs: u64,
    backoff: Backoff,
    turn_at: Option<Micros>,
    /// The grain that targets ask for.
    pub role: u64,
}

impl Machine {
    /// One that has yet to be started.
    pub fn new(n: usize, dice: &mut Dice) -> Self {
        Self {
            name: format!("web{n}").parse().expect("an id"),
            keys: keys::minion(n),
            current: 0,
            next: None,
            serial: None,
            engine: None,
            life: 0,
            journal: Journal::default(),
            link: None,
            is_second_try: false,
            frozen_until: 0,
            stuck_until: 0,
            clock_offset: i64::try_from(dice.between(1, 100) * SECOND).expect("small"),
            wall_offset: 0,
            boot: 0,
            detached: BTreeMap::new(),
            is_doomed: false,
            inbox: VecDeque::new(),
            writing: None,
            jobs: BTreeMap::new(),
            runs: 0,
            backoff: Backoff::new(RECONNECT_MAX),
            turn_at: None,
            role: 0,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            id: self.name.clone(),
            knock: Knock::default(),
            version: "sim".to_owned(),
            return_max: 4096,
            message_max: 64 * 1024,
            spool_max: SPOOL_MAX,
            process_count_max: PLACES,
            boot: Some(format!("boot {}", self.boot)),
        }
    }

    /// Its grains.
    pub fn grains(&self) -> Map<String, serde_json::Value> {
        Map::from_iter([("role".to_owned(), json!(format!("r{}", self.role)))])
    }

    /// The fingerprint of one of its keys.
    pub fn fingerprint(&self, which: usize) -> Fingerprint {
        self.keys[which].public().fingerprint()
    }
}

impl World {
    fn clock(&self, minion: usize) -> Instant {
        self.zero + self.steady(self.machines[minion].clock_offset)
    }

    /// A process begins with what is on disk.
    pub fn minion_starts(&mut self, minion: usize) {
        let machine = &mut self.machines[minion];
        if machine.engine.is_some() {
            return;
        }
        machine.life += 1;
        let life = machine.life;
        let book = machine.journal.open(&format!("journal {minion}.{life}"));
        let (held, id) = (book.jobs().count(), book.id().to_owned());
        let going_on = self.find_detached(minion, &book);
        let machine = &mut self.machines[minion];
        machine.engine = Some(Engine::resuming(machine.settings(), book, machine.grains(), &going_on));
        machine.backoff = Backoff::new(RECONNECT_MAX);
        if let Some(next) = machine.next {
            let fingerprint = machine.fingerprint(next);
            machine.inbox.push_back(Woken::Input(Input::Prepared { fingerprint, jid: None }));
        }
        self.say(|| format!("web{minion} starts with {id}, {held} jobs are held"));
        self.perform_of(minion);
        self.wake(minion, self.now);
        self.at(self.now + MILLI, Event::Dial { minion, life });
    }

    /// The process ends at once, and its jobs with it. What was being written may be on disk.
    pub fn minion_dies(&mut self, minion: usize, is_power: bool, loss: Option<Loss>) {
        if self.machines[minion].engine.is_none() {
            return;
        }
        self.tally.minion_crashes += 1;
        self.minion_is_gone(minion, is_power);
        if let Some(loss) = loss {
            self.tally.journals_lost += 1;
            self.machines[minion].journal.lose(loss);
            let name = self.machines[minion].name.clone();
            // What is not in a journal is ended by the next process.
            self.model.on_disturbed(&name, None);
            if loss == Loss::Removed {
                self.model.on_journal_removed(&name);
            }
        }
        self.say(|| format!("web{minion} dies, power: {is_power}, journal lost: {loss:?}"));
    }

    fn minion_is_gone(&mut self, minion: usize, is_power: bool) {
        let machine = &mut self.machines[minion];
        machine.engine = None;
        machine.inbox.clear();
        machine.jobs.clear();
        machine.turn_at = None;
        machine.is_second_try = false;
        let link = machine.link.take();
        if let Some((records, _)) = machine.writing.take() {
            let kept = machine.journal.crash(&records, is_power, &mut self.dice);
            self.note_journaled(minion, &records[..kept]);
        } else {
            machine.journal.crash(&[], is_power, &mut self.dice);
        }
        if self.sabotage == Sabotage::ForgetfulJournal {
            self.machines[minion].journal.forget_last();
        }
        self.leave_detached(minion, is_power);
        if let Some(link) = link.filter(|_| !is_power) {
            self.send(link.conn, Way::Up, Packet::Closed);
        }
    }

    /// The process is asked to end: it says goodbye.
    pub fn minion_stops(&mut self, minion: usize) {
        let machine = &self.machines[minion];
        if machine.engine.is_none() || machine.writing.is_some() || machine.frozen_until > self.now {
            return;
        }
        self.say(|| format!("web{minion} stops"));
        self.handle_of(minion, Input::Stop);
        self.perform_of(minion);
        self.minion_is_gone(minion, false);
    }

    /// Puts something in front of a minion's loop.
    pub fn tell(&mut self, minion: usize, woken: Woken) {
        if self.machines[minion].engine.is_some() {
            self.machines[minion].inbox.push_back(woken);
            let at = self.now + self.dice.between(5, 100);
            self.wake(minion, at);
        }
    }

    fn wake(&mut self, minion: usize, at: Micros) {
        let machine = &mut self.machines[minion];
        if machine.turn_at.is_none_or(|due| due > at || due < self.now) {
            machine.turn_at = Some(at);
            let life = machine.life;
            self.at(at, Event::MinionLoop { minion, life });
        }
    }

    /// One turn of the loop: all that is there, then the outputs of all of it.
    pub fn minion_turns(&mut self, minion: usize, life: u64) {
        let machine = &mut self.machines[minion];
        if machine.life != life || machine.engine.is_none() || machine.writing.is_some() {
            return;
        }
        machine.turn_at = None;
        for woken in std::mem::take(&mut machine.inbox) {
            match woken {
                Woken::Input(input) => self.handle_of(minion, input),
                Woken::Opened { input, standing, key } => {
                    if let Some(link) = &mut self.machines[minion].link {
                        link.standing = Some(standing);
                    }
                    self.promote(minion, key);
                    self.handle_of(minion, input);
                }
                Woken::Ended { conn, setback } => self.on_session_end(minion, conn, setback),
            }
        }
        let clock = self.clock(minion);
        let is_due = |engine: &Engine| engine.next_deadline().is_some_and(|due| due <= clock);
        if self.machines[minion].engine.as_ref().is_some_and(is_due) {
            self.handle_of(minion, Input::Tick);
        }
        self.perform_of(minion);
        self.wake_in_time(minion);
    }

    fn wake_in_time(&mut self, minion: usize) {
        let clock = self.clock(minion);
        let machine = &self.machines[minion];
        if machine.writing.is_none()
            && let Some(due) = machine.engine.as_ref().and_then(Engine::next_deadline)
        {
            let until = u64::try_from(due.saturating_duration_since(clock).as_micros()).unwrap_or(SECOND);
            self.wake(minion, self.now + until + 1);
        }
    }

    /// Has its engine handle an input.
    pub fn handle_of(&mut self, minion: usize, input: Input) {
        self.tally.count_minion(&input);
        let clock = self.clock(minion);
        if let Some(engine) = &mut self.machines[minion].engine {
            engine.handle(input, clock);
        }
    }

    /// The records first, together; what stands behind them waits.
    fn perform_of(&mut self, minion: usize) {
        let Some(engine) = &mut self.machines[minion].engine else { return };
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        let load = engine.load();
        self.check_minion(minion, &load);
        let (records, mut others): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| matches!(output, Output::Record(_)));
        let records: Vec<Entry> = records
            .into_iter()
            .filter_map(|output| if let Output::Record(entry) = output { Some(entry) } else { None })
            .collect();
        if records.is_empty() || self.sabotage == Sabotage::HastyMinion {
            std::mem::take(&mut others).into_iter().for_each(|output| self.act(minion, output));
        }
        if !records.is_empty() {
            let pause = if self.dice.percent(95) { self.dice.between(50, 3 * MILLI) } else { 300 * MILLI };
            let life = self.machines[minion].life;
            self.machines[minion].writing = Some((records, others));
            if std::mem::take(&mut self.machines[minion].is_doomed) {
                let at = self.now + self.dice.between(0, pause);
                self.at(at, Event::Doom { minion: Some(minion), life });
            }
            self.at(self.now + pause, Event::Journal { minion, life });
        }
    }

    /// A write of the journal is done, or is tried again.
    pub fn on_journal(&mut self, minion: usize, life: u64) {
        let machine = &mut self.machines[minion];
        if machine.life != life || machine.engine.is_none() {
            return;
        }
        if self.now < machine.stuck_until {
            self.tally.disk_errors += 1;
            return self.at(self.now + SECOND, Event::Journal { minion, life });
        }
        let Some((records, outputs)) = machine.writing.take() else { return };
        machine.journal.append(&records);
        if let Some(engine) = &machine.engine {
            machine.journal.compact(engine.book());
        }
        self.note_journaled(minion, &records);
        for output in outputs {
            self.act(minion, output);
        }
        self.wake(minion, self.now + 10);
    }

    fn note_journaled(&mut self, minion: usize, records: &[Entry]) {
        let name = self.machines[minion].name.clone();
        for record in records {
            if let Entry::End { returned, .. } = record {
                self.model.on_journaled(returned.jid, &name, &returned.ending);
            }
        }
    }

    fn act(&mut self, minion: usize, output: Output) {
        match output {
            Output::Send(message) => self.session_says(minion, &message),
            Output::Run(job) => {
                self.start_job(minion, &job);
                if self.sabotage == Sabotage::RunsTwice {
                    self.start_job(minion, &job);
                }
            }
            Output::Kill { jid, by } => self.kill_job(minion, jid, by),
            Output::Hangup(why) => {
                if let Some(conn) = self.machines[minion].link.as_ref().map(|link| link.conn) {
                    self.say(|| format!("web{minion} hangs up: {why:?}"));
                    self.send(conn, Way::Up, Packet::Closed);
                    let (life, at) = (self.machines[minion].life, self.now + ABANDON.1);
                    let pause = if why == Hangup::Silent { at } else { self.now + MILLI };
                    self.at(pause, Event::Patience { minion, life, conn, step: ABANDON.0 });
                }
            }
            Output::Rotate { jid } => {
                let machine = &self.machines[minion];
                if let Some(next) = machine.next {
                    let (old, new) = (&machine.keys[machine.current], &machine.keys[next]);
                    let rotate = Box::new(rotation::sign(&machine.name, old, new, jid));
                    self.session_says(minion, &ToMaster::Rotate(rotate));
                }
            }
            Output::Promote(key) => self.promote(minion, key),
            Output::Discard { .. } => self.machines[minion].next = None,
            Output::Note(Note::Conflict(jid)) => {
                self.model.broke(2, format!("{jid} means two things to web{minion}"));
            }
            Output::Detached { jid, step } => self.on_detached(minion, jid, &step),
            // A signal ends nothing here, and nobody asks for pillar or modules.
            _ => {}
        }
    }

    fn on_session_end(&mut self, minion: usize, conn: u64, setback: Setback) {
        let machine = &mut self.machines[minion];
        let Some(link) = machine.link.take_if(|link| link.conn == conn) else { return };
        let was_live = matches!(link.standing, Some(Standing::Accepted { .. }));
        if was_live && Duration::from_micros(self.now - link.began) > RECONNECT_MAX {
            machine.backoff.reset();
        }
        let setback = match link.standing {
            Some(Standing::Rejected | Standing::Denied | Standing::Suspended) => {
                Setback::Slow { at_least: Duration::ZERO }
            }
            _ => setback,
        };
        let pause = machine.backoff.pause(setback, self.dice.next());
        let life = machine.life;
        self.handle_of(minion, Input::Lost);
        self.at(self.now + u64::try_from(pause.as_micros()).expect("short"), Event::Dial { minion, life });
    }
}
