//! The loop that does what the engine decides: journal, jobs, sessions, signals.
//!
//! Inputs that are there are handled together and their records flushed at once; only then the
//! other outputs are performed, in order. So nothing is promised that is not on disk, and a crowd
//! of orders costs one flush.

mod dial;
mod modules;
mod pillar;
mod reload;
mod rotation;
mod say;
mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use brine_local::supervisor::Supervisor;
use brine_protocol::Fingerprint;
use brine_protocol::message::{Standing, ToMaster, ToMinion};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use crate::backoff::{Backoff, Setback};
use crate::engine::{Engine, Hangup, Input, Output};
use crate::functions::Jobs;
use crate::journal::Journal;
use crate::net::Dialer;
use crate::pillar::Ask;
use crate::reload::{Next, Source};
use crate::rotation::Ask as AskKey;
use crate::running::{Table, World};
use crate::session::{Command, Event, Identity, SessionError};
use crate::sync;
use reload::Reload;
use rotation::{Done, Rotation};
use say::say_note;
pub use wait::Signals;
use wait::{Stop, at, next_event};

/// Most inputs handled before their outputs are performed.
const BATCH: usize = 256;

/// Events of a session that may wait for the driver; then the session stops reading.
const EVENTS: usize = 64;

/// Pause before the journal is tried again when the disk refuses.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How often the grains are collected anew: addresses and memory change while a machine runs.
const GRAINS_EVERY: Duration = Duration::from_secs(600);

/// How long a session that was told to close may take before the next one is dialled anyway.
const ABANDON: Duration = Duration::from_secs(3);

/// How long the last session may take to end when the minion stops.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Everything a driver works with.
pub struct Parts {
    /// What decides.
    pub engine: Engine,
    /// Where it is kept.
    pub journal: Journal,
    /// Who opens sessions.
    pub identity: Identity,
    /// How they are dialled.
    pub dialer: Dialer,
    /// What jobs get.
    pub world: World,
    /// Jobs that ask for another key.
    pub asks: mpsc::UnboundedReceiver<AskKey>,
    /// Jobs that ask for the pillar anew.
    pub pillar_asks: mpsc::UnboundedReceiver<Ask>,
    /// Jobs that ask for modules.
    pub modules_asks: mpsc::UnboundedReceiver<sync::Ask>,
    /// Size of the keys made, in bits.
    pub keysize: usize,
    /// Longest pause while the master cannot be reached.
    pub reconnect_max: Duration,
    /// Grains larger than this are not sent.
    pub grains_max: usize,
    /// Where the options come from.
    pub source: Source,
}

struct Link {
    number: u64,
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
    since: Instant,
    /// The last verdict, once there is one.
    standing: Option<Standing>,
    /// The key that it is about.
    key: Option<Fingerprint>,
    ended: bool,
    /// It ends because other options hold: the next one is dialled without a pause.
    is_renewed: bool,
    /// When to stop waiting for a session that was told to close.
    abandon_at: Option<Instant>,
}

struct Driver {
    parts: Parts,
    table: Table,
    rotation: Rotation,
    reload: Reload,
    pillar_waiting: pillar::Waiting,
    modules_asking: modules::Asking,
    inputs: mpsc::UnboundedSender<Input>,
    ends: mpsc::UnboundedSender<(u64, SessionError)>,
    backoff: Backoff,
    link: Option<Link>,
    sessions: u64,
    redial_at: Instant,
    last_said: String,
    supervisor: Supervisor,
    is_stopping: bool,
}

enum Woken {
    Input(Input),
    Rotation(Done),
    PillarAsk(Ask),
    ModulesAsk(sync::Ask),
    Event(Option<Event>),
    SessionEnd((u64, SessionError)),
    Grains,
    Refresh,
    Redial,
    Abandon,
    Watchdog,
    Reload,
    Reloaded(Box<Result<Next>>),
    Stop(&'static str),
}

/// Runs until a signal ends it.
pub async fn run(parts: Parts, signals: Signals) {
    let (inputs, mut from_jobs) = mpsc::unbounded_channel();
    let (ends, mut session_ends) = mpsc::unbounded_channel();
    let mut grains = parts.world.grains.changes();
    let Signals { stop: mut signals, mut hangup } = signals;
    let mut refresh = tokio::time::interval_at((Instant::now() + GRAINS_EVERY).into(), GRAINS_EVERY);
    let backoff = Backoff::new(parts.reconnect_max);
    let (rotation, mut rotations) = Rotation::new();
    let (reload, mut reloads) = Reload::new();
    let mut driver = Driver {
        parts,
        table: Table::default(),
        rotation,
        reload,
        pillar_waiting: pillar::Waiting::default(),
        modules_asking: modules::Asking::default(),
        inputs,
        ends,
        backoff,
        link: None,
        sessions: 0,
        redial_at: Instant::now(),
        last_said: String::new(),
        supervisor: Supervisor::of_process(),
        is_stopping: false,
    };
    driver.resume_rotation();
    // What the engine found unfinished goes to disk first of all.
    driver.perform(&mut signals).await;
    // Before there is a session: a machine must not wait for its master while it boots.
    driver.supervisor.ready();
    while !driver.is_stopping {
        driver.supervisor.beat(Instant::now());
        let redial_at = driver.link.is_none().then_some(driver.redial_at);
        let abandon_at = driver.link.as_ref().and_then(|link| link.abandon_at);
        let woken = tokio::select! {
            Some(input) = from_jobs.recv() => Woken::Input(input),
            Some(ask) = driver.parts.asks.recv() => Woken::Rotation(Done::Asked(ask)),
            Some(done) = rotations.recv() => Woken::Rotation(done),
            Some(ask) = driver.parts.pillar_asks.recv() => Woken::PillarAsk(ask),
            Some(ask) = driver.parts.modules_asks.recv() => Woken::ModulesAsk(ask),
            event = next_event(driver.link.as_mut()) => Woken::Event(event),
            Some(end) = session_ends.recv() => Woken::SessionEnd(end),
            Ok(()) = grains.changed() => Woken::Grains,
            _ = refresh.tick() => Woken::Refresh,
            () = at(driver.parts.engine.next_deadline()) => Woken::Input(Input::Tick),
            () = at(redial_at) => Woken::Redial,
            () = at(abandon_at) => Woken::Abandon,
            () = at(driver.supervisor.due()) => Woken::Watchdog,
            Some(()) = hangup.recv() => Woken::Reload,
            Some(next) = reloads.recv() => Woken::Reloaded(Box::new(next)),
            name = signals.next() => Woken::Stop(name),
        };
        if let Woken::Stop(name) = woken {
            driver.end_jobs(name, &mut from_jobs).await;
        }
        driver.on_woken(woken, &mut from_jobs, &mut grains);
        driver.perform(&mut signals).await;
    }
    driver.stop(&mut session_ends).await;
}

impl Driver {
    fn on_woken(
        &mut self,
        woken: Woken,
        from_jobs: &mut mpsc::UnboundedReceiver<Input>,
        grains: &mut watch::Receiver<Arc<Map<String, Value>>>,
    ) {
        // What a job changed is told before that the job ended: whoever waits for its end may target
        // the new grains at once.
        self.tell_grains(grains);
        match woken {
            Woken::Input(input) => self.handle(input),
            Woken::Rotation(done) => self.on_rotation(done),
            Woken::PillarAsk(ask) => self.on_pillar_ask(ask),
            Woken::ModulesAsk(ask) => self.on_modules_ask(ask),
            Woken::Event(Some(event)) => self.on_event(event),
            // The session's end comes with its reason, unless its thread crashed.
            Woken::Event(None) => {
                if let Some(link) = &mut self.link {
                    link.ended = true;
                    link.abandon_at.get_or_insert(Instant::now() + ABANDON);
                }
            }
            Woken::SessionEnd((number, end)) => {
                if self.link.as_ref().is_some_and(|link| link.number == number) {
                    self.on_session_end(&end);
                }
            }
            Woken::Abandon => self.on_session_end(&SessionError::Closed),
            Woken::Grains => {
                let now = grains.borrow_and_update().clone();
                self.on_grains(&now);
            }
            Woken::Refresh => {
                let grains = self.parts.world.grains.clone();
                // Nothing waits for it: what has changed comes back as a change.
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = grains.refresh() {
                        tracing::warn!("cannot collect the grains anew: {error}");
                    }
                });
            }
            Woken::Redial => self.dial(),
            Woken::Watchdog => {}
            Woken::Reload => self.reload(),
            Woken::Reloaded(next) => self.on_reloaded(*next),
            Woken::Stop(_) => {
                self.is_stopping = true;
                // What comes now is taken by the next run.
                return self.handle(Input::Stop);
            }
        }
        for _ in 0..BATCH {
            if let Ok(input) = from_jobs.try_recv() {
                self.tell_grains(grains);
                self.handle(input);
            } else if let Some(event) = self.link.as_mut().and_then(|link| link.events.try_recv().ok()) {
                self.on_event(event);
            } else {
                break;
            }
        }
    }

    fn handle(&mut self, input: Input) {
        if let Input::Ended { jid, ending } = &input {
            tracing::info!(%jid, state = ending.name(), "job ended");
        }
        self.parts.engine.handle(input, Instant::now());
    }

    /// Takes up a change of the grains that nobody has looked at yet.
    fn tell_grains(&mut self, grains: &mut watch::Receiver<Arc<Map<String, Value>>>) {
        if grains.has_changed().unwrap_or(false) {
            let now = grains.borrow_and_update().clone();
            self.on_grains(&now);
        }
    }

    fn on_grains(&mut self, grains: &Map<String, Value>) {
        let size = serde_json::to_vec(grains).map_or(usize::MAX, |json| json.len());
        if size > self.parts.grains_max {
            tracing::warn!(
                size,
                max = self.parts.grains_max,
                "the grains are too large to be sent; the master keeps the old ones"
            );
            return;
        }
        self.handle(Input::Grains(grains.clone()));
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Opened { standing, heartbeat, message_max, key, master, successor, address } => {
                tracing::debug!(%address, %master, %key, "session opened");
                if let Some(link) = &mut self.link {
                    link.standing = Some(standing);
                    link.key = Some(key);
                }
                // A session with the next key: the master knows it, its answer was lost.
                self.promote(key);
                self.forget_modules_ask();
                self.say_standing(&standing);
                self.backoff.follow(heartbeat);
                self.handle(Input::Opened { standing, heartbeat, message_max, successor });
            }
            Event::Learned(successor) => {
                match successor {
                    Some(key) => {
                        tracing::info!(%key, "the master has announced the key that it will have next");
                    }
                    None => {
                        tracing::info!("the master keeps its key: what it had announced is withdrawn");
                    }
                }
                self.handle(Input::Learned(successor));
            }
            Event::Broadcast(order) => self.handle(Input::Broadcast(order)),
            Event::Heard(message) => {
                if let ToMinion::Standing(standing) = &message {
                    self.say_standing(standing);
                    if let Some(link) = &mut self.link {
                        link.standing = Some(*standing);
                    }
                }
                self.handle(Input::Heard(message));
            }
        }
    }

    fn on_session_end(&mut self, end: &SessionError) {
        let Some(mut link) = self.link.take() else { return };
        // What it had still to tell counts: a master says why before it closes.
        while let Ok(event) = link.events.try_recv() {
            self.link = Some(link);
            self.on_event(event);
            link = match self.link.take() {
                Some(link) => link,
                None => return,
            };
        }
        let was_live = matches!(link.standing, Some(Standing::Accepted { .. }));
        if was_live && link.since.elapsed() > self.parts.reconnect_max {
            self.backoff.reset();
        }
        let setback = match link.standing {
            Some(Standing::Rejected | Standing::Denied | Standing::Suspended) => {
                Setback::Slow { at_least: Duration::ZERO }
            }
            _ => end.setback(),
        };
        self.handle(Input::Lost);
        if link.is_renewed {
            self.redial_at = Instant::now();
            return;
        }
        let pause = self.backoff.pause(setback, random());
        self.redial_at = Instant::now() + pause;
        let where_to = format!("{}:{}", self.parts.dialer.host, self.parts.dialer.ret_port);
        self.say(format!("no session with {where_to}: {end}"), false);
        tracing::debug!(?pause, "next attempt");
    }

    /// Performs what the engine put out: records first, together, then the rest in order.
    async fn perform(&mut self, signals: &mut Stop) {
        let mut outputs: Vec<Output> = std::iter::from_fn(|| self.parts.engine.poll_output()).collect();
        let mut records = Vec::new();
        outputs.retain_mut(|output| match output {
            Output::Record(entry) => {
                records.push(entry.clone());
                false
            }
            _ => true,
        });
        if !records.is_empty() {
            while let Err(error) = self.parts.journal.append(&records) {
                if self.is_stopping {
                    // Nothing of it is told then: the next run finds it open, and tells it.
                    tracing::warn!("{error:#}; what was killed is told by the next run");
                    outputs.retain(|output| {
                        matches!(output, Output::Send(ToMaster::Bye) | Output::Hangup(_) | Output::Note(_))
                    });
                    break;
                }
                // Without its journal a minion must neither run nor promise anything. It waits;
                // the master sees it silent meanwhile.
                self.say(format!("{error:#}; waiting for the disk"), false);
                tokio::select! {
                    // It is alive while it waits.
                    () = tokio::time::sleep(DISK_PAUSE) => self.supervisor.beat(Instant::now()),
                    name = signals.next() => {
                        tracing::info!(signal = name, "stopping");
                        self.is_stopping = true;
                        return;
                    }
                }
            }
            if let Err(error) = self.parts.journal.compact(self.parts.engine.book()) {
                self.say(format!("cannot write the journal anew: {error:#}"), false);
            }
        }
        for output in outputs {
            self.act(output);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            // Taken out before.
            Output::Record(_) => {}
            Output::Send(message) => self.command(Command::Send(message)),
            Output::Run(job) => {
                tracing::info!(jid = %job.jid, fun = job.functions(), principal = job.principal, "job starts");
                self.table.start(job, &self.parts.world, self.inputs.clone());
            }
            Output::Kill { jid, by } => {
                tracing::info!(%jid, by, "job is cancelled");
                self.table.cancel(jid, &by);
            }
            Output::Signal { jid, signal, by } => {
                tracing::info!(%jid, %signal, by, "job is signalled");
                self.table.signal(jid, signal, &by);
            }
            Output::Hangup(why) => {
                if why != Hangup::Stopping {
                    self.say(format!("closing the session: {why}"), false);
                }
                self.command(Command::Close);
                if let Some(link) = &mut self.link {
                    link.abandon_at = Some(Instant::now() + ABANDON);
                }
            }
            Output::Detached { jid, step } => {
                self.table.on_detached(jid, step, &self.parts.world, &self.inputs);
            }
            Output::Rotate { jid } => self.ask_master(jid),
            Output::Promote(fingerprint) => self.promote(fingerprint),
            Output::Discard { fingerprint, why } => self.discard(fingerprint, &why),
            Output::Pillar { held, ask, problem } => self.on_pillar(held, ask, problem.as_deref()),
            Output::Modules(answer) => self.on_modules_answer(answer),
            Output::Note(note) => say_note(&note),
        }
    }

    fn command(&self, command: Command) {
        if let Some(link) = &self.link {
            // A session that has just ended is dialled again, and told anew.
            let _ = link.commands.send(command);
        }
    }

    /// Kills what runs and is not detached. Its end is told before the goodbye.
    async fn end_jobs(&mut self, signal: &str, from_jobs: &mut mpsc::UnboundedReceiver<Input>) {
        tracing::info!(signal, "stopping");
        self.supervisor.stopping();
        let killed = self.table.abort_all(&self.parts.world.journal).await;
        if !killed.is_empty() {
            tracing::warn!(jobs = killed.len(), "running jobs were killed");
        }
        self.handle(Input::Aborted(killed));
        // What had ended by itself is told as well.
        while let Ok(input) = from_jobs.try_recv() {
            self.handle(input);
        }
    }

    async fn stop(&mut self, session_ends: &mut mpsc::UnboundedReceiver<(u64, SessionError)>) {
        // None is left, unless it was the journal's disk that was waited for: the next run tells of them.
        self.table.abort_all(&self.parts.world.journal).await;
        if self.link.is_some() {
            let _ = tokio::time::timeout(STOP_WAIT, session_ends.recv()).await;
        }
    }
}

fn random() -> u64 {
    u64::from_ne_bytes(brine_pki::random::bytes())
}
