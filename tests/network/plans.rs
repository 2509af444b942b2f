//! What the links of the minions go through, one plan for each.

use brine_tests::faults::{Fault, Greeting, Side, Weather};

/// Which connections of a minion it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Its session and its broadcasts.
    Both,
    /// Its session alone.
    Session,
    /// Its broadcasts alone.
    Broadcasts,
}

/// When it is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Until {
    /// After so many seconds everything passes again.
    Healed(f64),
    /// Never for the connections that stand; those who dial anew are free at once.
    Forgotten,
}

/// What has to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Both sides notice within the heartbeat deadline, and find together when it is over.
    Noticed,
    /// The minion answers all the time, on the session that it has, or, if that was reset, on one more.
    Works,
    /// Whatever happens meanwhile, it answers when it is over.
    Recovers,
}

/// One thing that happens to a minion's links.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub name: &'static str,
    pub links: Links,
    /// What is done to the connections that stand.
    pub old: Fault,
    /// What meets those who dial.
    pub new: Greeting,
    pub until: Until,
    pub expect: Expect,
}

const fn cut(name: &'static str, old: Fault, new: Greeting, seconds: f64) -> Step {
    Step { name, links: Links::Both, old, new, until: Until::Healed(seconds), expect: Expect::Noticed }
}

/// Bytes wait on both ways, SYNs too.
const fn partition(seconds: f64) -> Step {
    let stall = Fault::both(Weather::Stall);
    cut("partition", stall, Greeting::Taken(stall), seconds)
}

/// Bytes are swallowed; whoever dials is taken and hears nothing.
const fn black_hole(seconds: f64) -> Step {
    let black = Fault::both(Weather::Black);
    cut("black hole", black, Greeting::Taken(black), seconds)
}

const fn refused(seconds: f64) -> Step {
    cut("refused", Fault::Reset, Greeting::Refused, seconds)
}

const fn reset(seconds: f64) -> Step {
    cut("reset", Fault::Reset, Greeting::Taken(Fault::Reset), seconds)
}

const fn one_way(name: &'static str, fault: Fault, seconds: f64) -> Step {
    cut(name, fault, Greeting::Taken(fault), seconds)
}

/// What stands goes black without a word; new connections, from new ports, work.
const fn forgotten(name: &'static str, links: Links, old: Fault) -> Step {
    let new = Greeting::Taken(Fault::NONE);
    Step { name, links, old, new, until: Until::Forgotten, expect: Expect::Noticed }
}

/// The session is reset, and everything from then on has this weather.
const fn weather(name: &'static str, weather: Weather, expect: Expect) -> Step {
    let new = Greeting::Taken(Fault::both(weather));
    Step { name, links: Links::Both, old: Fault::Reset, new, until: Until::Healed(20.0), expect }
}

/// The connections that stand get this weather for 20 s, and new ones too.
const fn standing(name: &'static str, weather: Weather, expect: Expect) -> Step {
    let fault = Fault::both(weather);
    let new = Greeting::Taken(fault);
    Step { name, links: Links::Both, old: fault, new, until: Until::Healed(20.0), expect }
}

const UP_STALLS: Fault = Fault::Weather { to_server: Weather::Stall, to_client: Weather::Clear };
const DOWN_STALLS: Fault = Fault::Weather { to_server: Weather::Clear, to_client: Weather::Stall };
const UP_BLACK: Fault = Fault::Weather { to_server: Weather::Black, to_client: Weather::Clear };
const DOWN_BLACK: Fault = Fault::Weather { to_server: Weather::Clear, to_client: Weather::Black };
const BLACK: Fault = Fault::both(Weather::Black);

/// Outages of nothing and of two minutes.
pub fn long() -> Vec<Vec<Step>> {
    vec![
        vec![Step { expect: Expect::Works, ..partition(0.0) }, partition(120.0)],
        vec![forgotten("black hole, new links work", Links::Both, BLACK), black_hole(120.0)],
        vec![refused(0.0), refused(120.0)],
        vec![reset(0.0), reset(120.0)],
        vec![
            forgotten("half-open, master gone", Links::Both, Fault::Gone(Side::Server)),
            forgotten("half-open, minion gone", Links::Both, Fault::Gone(Side::Client)),
            standing("slow reader", Weather::SlowReader, Expect::Recovers),
            standing("slow writer", Weather::SlowWriter, Expect::Recovers),
        ],
    ]
}

/// Outages of 20 s, and links that work badly. Longer ones with a heartbeat that would not notice them.
pub fn short(heartbeat: u32) -> Vec<Vec<Step>> {
    let outage = f64::from(4 * heartbeat).max(20.0);
    vec![
        vec![partition(outage), black_hole(outage), refused(outage), reset(outage)],
        vec![
            weather("split", Weather::Split, Expect::Works),
            weather("500 ms late", Weather::Delay, Expect::Works),
            standing("loss as stalls", Weather::Loss, Expect::Recovers),
            weather("loss as stalls, from the first byte", Weather::Loss, Expect::Recovers),
        ],
        vec![
            one_way("stalls to the master", UP_STALLS, outage),
            one_way("stalls to the minion", DOWN_STALLS, outage),
        ],
        vec![
            one_way("black to the master", UP_BLACK, outage),
            one_way("black to the minion", DOWN_BLACK, outage),
        ],
        vec![
            forgotten("new source port", Links::Both, BLACK),
            forgotten("new source port of the session", Links::Session, BLACK),
            forgotten("session black to the minion", Links::Session, DOWN_BLACK),
            forgotten("new source port of the broadcasts", Links::Broadcasts, BLACK),
        ],
    ]
}
