//! The pillar: kept for targets and for jobs, forgotten when the master's trust ends.

use brine_protocol::message::ToMaster;
use brine_protocol::pillar::{Pillar, RefreshPillar};

use super::{Engine, Output, Session};
use crate::pillar::Held;

impl Engine {
    /// Asks now, or as soon as there is a session.
    pub(super) fn on_refresh_pillar(&mut self, ask: u64) {
        self.pillar_asked = Some(ask);
        if matches!(self.session, Session::Live(..)) {
            self.ask_for_pillar();
        }
    }

    /// Asks for what is still unanswered, if anything is.
    pub(super) fn ask_for_pillar(&mut self) {
        if let Some(ask) = self.pillar_asked {
            self.send(ToMaster::RefreshPillar(RefreshPillar { ask }));
        }
    }

    pub(super) fn on_pillar(&mut self, told: Pillar) {
        let Pillar { pillar, ask, problem } = told;
        if let Some(pillar) = pillar {
            self.pillar = Held::from(pillar);
        }
        if ask >= self.pillar_asked {
            self.pillar_asked = None;
        }
        self.put(Output::Pillar { held: self.pillar.clone(), ask, problem });
    }

    /// What the master told this minion was for as long as it trusts it.
    pub(super) fn forget_pillar(&mut self) {
        if !self.pillar.is_empty() {
            self.pillar = Held::default();
            self.put(Output::Pillar { held: Held::default(), ask: None, problem: None });
        }
    }
}
