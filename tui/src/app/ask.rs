//! The question before anything is done. No is the default answer to it; one that lets many in, or
//! cuts many off, wants their number typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::field::Field;
use super::keys::{Keys, Name};
use super::plan::{Plan, Step, warnings};
use super::slip::{Reply, Slip};
use crate::text::{capital, counted, short_id};
use brine_protocol::control::Act;

/// Letting in or cutting off more keys than this at once takes more than one key stroke.
const EASY_MAX: usize = 10;

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) plan: Plan,
    pub(crate) is_undo: bool,
    /// Keys that are selected and that the tab or the filter hides.
    pub(crate) hidden: usize,
    /// The number typed so far, where one is wanted.
    pub(crate) typed: Option<Field>,
    pub(crate) slip: Slip,
    /// What to put right before it can be a yes.
    pub(crate) hint: Option<String>,
}

impl Ask {
    pub(crate) fn new(plan: Plan, is_undo: bool, hidden: usize) -> Self {
        let grave = plan.steps.iter().filter(|step| step.act == Act::Accept || step.cuts_off()).count();
        Self {
            plan,
            is_undo,
            hidden,
            typed: (grave > EASY_MAX).then(|| Field::new(9)),
            slip: Slip::new(),
            hint: None,
        }
    }

    /// `Accept web1 (1 key)?`, `Undo: delete 3 keys?`
    pub(crate) fn title(&self) -> String {
        let what = match self.plan.steps.as_slice() {
            [one] => format!("{} (1 key)", short_id(&one.name.id)),
            several => counted(several.len(), "key"),
        };
        if self.is_undo {
            format!("Undo: {} {what}?", self.verb())
        } else {
            format!("{} {what}?", capital(self.verb()))
        }
    }

    /// The one verb of all steps, or `change`.
    pub(crate) fn verb(&self) -> &'static str {
        verb(&self.plan.steps)
    }

    /// What to be careful about. Asked for anew each time: a twin may knock while the question waits.
    pub(crate) fn warnings(&self, keys: &Keys) -> Vec<String> {
        warnings(keys, &self.plan.steps)
    }

    /// Whether it is a question about this key.
    pub(crate) fn is_about(&self, name: &Name) -> bool {
        self.plan.steps.iter().any(|step| step.name == *name)
    }

    /// What changed of these keys since the question was put. The master refuses those.
    pub(crate) fn changed(&self, keys: &Keys) -> Vec<String> {
        let mut told: Vec<String> = self.plan.steps.iter().filter_map(|step| step.changed(keys)).collect();
        if told.len() > 2 {
            told = vec![format!("{} changed meanwhile and will be refused", counted(told.len(), "key"))];
        }
        told
    }

    /// Takes a key stroke.
    pub(crate) fn press(&mut self, key: KeyEvent) -> Reply {
        self.hint = None;
        self.slip.press(key).unwrap_or_else(|| self.answer(key))
    }

    fn answer(&mut self, key: KeyEvent) -> Reply {
        let wanted = self.plan.steps.len();
        match (&mut self.typed, key.code) {
            (None, KeyCode::Char('y' | 'Y')) => Reply::Yes,
            (None, KeyCode::Enter) => Reply::No,
            (Some(typed), KeyCode::Enter) => match typed.text() {
                "" => Reply::No,
                text if text == wanted.to_string() => Reply::Yes,
                text => {
                    self.hint = Some(format!("{text} is not {wanted}; nothing was done"));
                    typed.clear();
                    Reply::Open
                }
            },
            (Some(_), KeyCode::Char('y' | 'Y')) => {
                self.hint = Some(format!("type the number {wanted} and press Enter"));
                Reply::Open
            }
            (Some(typed), KeyCode::Char(c)) if c.is_ascii_digit() => {
                typed.press(key);
                Reply::Open
            }
            (Some(typed), KeyCode::Backspace) => {
                typed.press(key);
                Reply::Open
            }
            _ => Reply::Open,
        }
    }
}

/// The one verb of all these steps, or `change`.
pub(crate) fn verb(steps: &[Step]) -> &'static str {
    match steps {
        [first, rest @ ..] if rest.iter().all(|step| step.act == first.act) => first.act.name(),
        _ => "change",
    }
}

/// What these steps made of their keys.
pub(crate) fn past(steps: &[Step]) -> &'static str {
    match steps {
        [first, rest @ ..] if rest.iter().all(|step| step.act == first.act) => first.act.past(),
        _ => "changed",
    }
}
