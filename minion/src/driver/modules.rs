//! Custom modules of the master on their way to the job that asks for them.

use super::Driver;
use crate::engine::Input;
use crate::sync::{Answer, Ask};

/// The asking that waits for its answer: jobs take turns.
#[derive(Default)]
pub(super) struct Asking {
    ask: Option<Ask>,
    last: u64,
}

impl Driver {
    /// A job asks.
    pub(super) fn on_modules_ask(&mut self, ask: Ask) {
        self.modules_asking.last += 1;
        let wish = (self.modules_asking.last, ask.wish.clone());
        self.modules_asking.ask = Some(ask);
        self.handle(Input::ModulesWish(Some(wish)));
    }

    /// The master has answered.
    pub(super) fn on_modules_answer(&mut self, answer: Answer) {
        if let Some(ask) = self.modules_asking.ask.take() {
            // The job may have been killed.
            let _ = ask.answer.send(answer);
        }
    }

    /// A session that begins does not ask for a job that has lost patience.
    pub(super) fn forget_modules_ask(&mut self) {
        if self.modules_asking.ask.as_ref().is_some_and(|ask| ask.answer.is_closed()) {
            self.modules_asking.ask = None;
            self.handle(Input::ModulesWish(None));
        }
    }
}
