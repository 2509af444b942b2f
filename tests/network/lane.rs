//! One minion behind its own proxies, and what its links go through.

use std::time::{Duration, Instant};

use brine_tests::faults::{Fault, Faults};
use brine_tests::{Fleet, Minion};

use crate::flow::Flow;
use crate::plans::{Expect, Links, Step, Until};
use crate::timeline::Timeline;

/// Heartbeats without a sign of life after which a side gives a session up, and heartbeats within which a
/// minion is back.
const BEATS: u32 = 3;

/// What a busy machine may add to noticing.
const SLACK: f64 = 1.5;

/// How often a lane looks.
const LOOK: Duration = Duration::from_millis(25);

/// A minion, its proxies, and those who know how it goes.
pub struct Lane<'a> {
    pub minion: Minion,
    fleet: &'a Fleet,
    timeline: &'a Timeline,
    flow: &'a Flow,
    heartbeat: u32,
    broadcasts: Faults,
    session: Faults,
}

/// What was seen of one step, in moments.
struct Seen {
    struck: Instant,
    /// How long the minion's log was.
    log: usize,
    by_master: Option<Instant>,
    by_minion: Option<Instant>,
}

impl<'a> Lane<'a> {
    /// Starts the minion with this number behind proxies and waits until it is up.
    pub fn start(
        fleet: &'a Fleet,
        timeline: &'a Timeline,
        flow: &'a Flow,
        number: usize,
        heartbeat: u32,
        seed: u64,
    ) -> Self {
        let seed = seed.rotate_left(8) ^ number as u64;
        let (broadcasts, session) =
            (Faults::before(fleet.publish_port, seed), Faults::before(fleet.ret_port, !seed));
        let mut minion = fleet.prepare_minion(&format!("m{}", number + 1));
        minion.dial(broadcasts.port, session.port);
        let minion = flow.start_minion(fleet, minion);
        Self { minion, fleet, timeline, flow, heartbeat, broadcasts, session }
    }

    /// Goes through a plan.
    pub fn run(&self, plan: &[Step]) {
        for step in plan {
            // Time enough for the pauses between attempts to be those of a session that was good.
            self.answers(self.three_beats());
            self.go_through(step);
        }
    }

    fn go_through(&self, step: &Step) {
        let (starts, log) = (self.timeline.starts(&self.minion.id), self.minion.log().len());
        let mut seen = Seen { struck: Instant::now(), log, by_master: None, by_minion: None };
        for proxy in self.links(step.links) {
            proxy.greet(step.new);
            proxy.strike(step.old);
        }
        if step.links == Links::Broadcasts {
            // Nothing flows there by itself: it takes a broadcast to be missed.
            self.flow.ask_all();
        }
        let is_reset = step.old == Fault::Reset;
        let is_to_work_anew = step.expect == Expect::Works && is_reset;
        let in_weather = is_to_work_anew.then(|| self.is_back(step, seen.struck, seen.struck));
        let over = match step.until {
            Until::Healed(seconds) => seen.struck + Duration::from_secs_f64(seconds),
            Until::Forgotten => seen.struck,
        };
        while Instant::now() < over {
            if step.expect == Expect::Works {
                self.answers(self.three_beats());
            }
            self.watch(&mut seen);
            std::thread::sleep(LOOK);
        }
        let mut healed = Instant::now();
        if step.until != Until::Forgotten {
            self.links(step.links).for_each(Faults::heal);
        }
        if step.expect == Expect::Noticed {
            self.is_noticed(step, &mut seen);
        }
        if step.until == Until::Forgotten {
            // Nothing that either side could know was mended before the minion noticed.
            healed = seen.by_minion.unwrap_or(healed);
        }
        let back = match step.expect {
            Expect::Noticed => self.is_back(step, seen.struck, healed),
            Expect::Works | Expect::Recovers => self.answers(self.three_beats()),
        };
        if step.expect == Expect::Works {
            let more = self.timeline.starts(&self.minion.id) - starts;
            assert_eq!(more, usize::from(is_reset), "{}: {} lost sessions", self.minion.id, step.name);
        }
        let back = in_weather.unwrap_or(back);
        println!("network: {} {:38} {}", self.minion.id, name(step), figures(&seen, back));
    }

    /// In seconds.
    fn three_beats(&self) -> f64 {
        f64::from(BEATS * self.heartbeat)
    }

    fn links(&self, links: Links) -> impl Iterator<Item = &Faults> {
        let broadcasts = (links != Links::Session).then_some(&self.broadcasts);
        broadcasts.into_iter().chain((links != Links::Broadcasts).then_some(&self.session))
    }

    /// Notes who has noticed by now.
    fn watch(&self, seen: &mut Seen) {
        if seen.by_master.is_none() {
            // A new session says as well that the old one is no more.
            seen.by_master = self.timeline.first(&self.minion.id, &["stop", "start"], seen.struck);
        }
        if seen.by_minion.is_none() {
            let log = self.minion.log();
            let new = log.get(seen.log..).unwrap_or_default();
            let has_noticed = new.contains("closing the session") || new.contains("no session with");
            seen.by_minion = has_noticed.then(Instant::now);
        }
    }

    fn is_noticed(&self, step: &Step, seen: &mut Seen) {
        let deadline = self.three_beats() + SLACK;
        while seen.by_master.is_none() || seen.by_minion.is_none() {
            assert!(
                seen.struck.elapsed().as_secs_f64() < deadline,
                "{}: {} was not noticed within {deadline} s, {}",
                self.minion.id,
                step.name,
                figures(seen, 0.0)
            );
            self.watch(seen);
            std::thread::sleep(LOOK);
        }
        for noticed in [seen.by_master, seen.by_minion].into_iter().flatten() {
            let took = (noticed - seen.struck).as_secs_f64();
            assert!(took < deadline, "{}: {} was noticed after {took} s", self.minion.id, step.name);
        }
    }

    /// Waits for a session that is younger than a moment and answers; seconds since it could be had.
    fn is_back(&self, step: &Step, struck: Instant, healed: Instant) -> f64 {
        let is_new = || self.timeline.first(&self.minion.id, &["start"], struck).is_some();
        let took = self.until_it_answers(healed, is_new);
        let limit = self.three_beats();
        took.filter(|took| *took <= limit).unwrap_or_else(|| {
            panic!(
                "{}: {} is over since {:?}, and it was not back within {limit} s",
                self.minion.id,
                step.name,
                healed.elapsed()
            )
        })
    }

    /// Waits for an answer; seconds that it took.
    fn answers(&self, limit: f64) -> f64 {
        let took = self.until_it_answers(Instant::now(), || true);
        took.filter(|took| *took <= limit)
            .unwrap_or_else(|| panic!("{} did not answer within {limit} s", self.minion.id))
    }

    fn until_it_answers(&self, since: Instant, is_new: impl Fn() -> bool) -> Option<f64> {
        let id = &self.minion.id;
        let left = || 2.0 * self.three_beats() - since.elapsed().as_secs_f64();
        while left() > 0.0 {
            if is_new() && self.fleet.presence(id) == "up" {
                let ending = self.flow.ask(id, left());
                if ending.is_some_and(|ending| ending["state"] == "returned") {
                    return Some(since.elapsed().as_secs_f64());
                }
            }
            std::thread::sleep(LOOK);
        }
        None
    }
}

fn name(step: &Step) -> String {
    match step.until {
        Until::Healed(seconds) => format!("{}, {seconds} s", step.name),
        Until::Forgotten => step.name.to_owned(),
    }
}

fn figures(seen: &Seen, back: f64) -> String {
    let after = |at: Option<Instant>| {
        at.map_or("     -".to_owned(), |at| format!("{:5.2} s", (at - seen.struck).as_secs_f64()))
    };
    format!(
        "noticed by the master {}, by the minion {}; back {back:5.2} s",
        after(seen.by_master),
        after(seen.by_minion)
    )
}
