//! Custom modules: a job's asking and the master's answer to it.

use super::{Engine, Output, Session};
use crate::sync::{Answer, Wish};

impl Engine {
    /// Asks now, or as soon as there is a session. None: nobody waits for an answer any more.
    pub(super) fn on_modules_wish(&mut self, wish: Option<(u64, Wish)>) {
        self.modules_asked = wish;
        if matches!(self.session, Session::Live(..)) {
            self.ask_for_modules();
        }
    }

    /// Asks for what is still unanswered, if anything is.
    pub(super) fn ask_for_modules(&mut self) {
        if let Some((ask, wish)) = &self.modules_asked {
            let message = wish.to_message(*ask);
            self.send(message);
        }
    }

    /// Takes the answer to the asking that is open; one to an earlier one came too late.
    pub(super) fn on_modules(&mut self, ask: u64, answer: Answer) {
        let asked = self.modules_asked.as_ref().filter(|(asked, _)| *asked == ask);
        let fits = match (asked, &answer) {
            (Some((_, Wish::List)), Answer::Listed(_)) | (Some((_, Wish::Fetch(..))), Answer::Fetched(_)) => {
                true
            }
            (Some(_) | None, _) => false,
        };
        if fits {
            self.modules_asked = None;
            self.put(Output::Modules(answer));
        }
    }
}
