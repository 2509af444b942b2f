//! The pillar on its way to jobs, and their asking for it.

use super::Driver;
use crate::engine::Input;
use crate::pillar::{Ask, Held};

/// Jobs that wait for the pillar, by the number of their asking.
#[derive(Default)]
pub(super) struct Waiting {
    asks: Vec<(u64, Ask)>,
    last: u64,
}

impl Driver {
    /// A job wants the pillar anew.
    pub(super) fn on_pillar_ask(&mut self, ask: Ask) {
        let waiting = &mut self.pillar_waiting;
        waiting.last += 1;
        let number = waiting.last;
        // Who was killed or has lost patience meanwhile waits no longer.
        waiting.asks.retain(|(_, ask)| !ask.is_closed());
        waiting.asks.push((number, ask));
        self.handle(Input::RefreshPillar(number));
    }

    /// The pillar is this; whoever asked no later than `answered` has the answer.
    pub(super) fn on_pillar(&mut self, held: Held, answered: Option<u64>, problem: Option<&str>) {
        tracing::debug!(keys = held.len(), "the pillar is here");
        if let Some(problem) = problem {
            let problem = brine_local::text::escape(problem);
            tracing::warn!("the pillar is not what the master's files say now: {problem}");
        }
        self.parts.world.pillar.set(held);
        let waits = |number: u64| answered.is_none_or(|answered| number > answered);
        for (number, ask) in std::mem::take(&mut self.pillar_waiting.asks) {
            if waits(number) {
                self.pillar_waiting.asks.push((number, ask));
            } else {
                let answer = problem.map_or(Ok(()), |problem| Err(problem.to_owned()));
                // Nobody waits for it any more.
                let _ = ask.send(answer);
            }
        }
    }
}
