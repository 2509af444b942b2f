//! The whole state of the screen, and how it changes.
//!
//! [`App::update`] is a pure function of state and input: it opens nothing, asks no clock, and
//! says what is to be done as [`Effect`]s. **Invariant:** every act names its keys with the state
//! in which they were shown, so that the master refuses what changed meanwhile.

pub(crate) mod ask;
pub(crate) mod batch;
pub(crate) mod detail;
pub(crate) mod field;
pub(crate) mod keys;
pub(crate) mod list;
mod news;
pub(crate) mod pair;
pub(crate) mod pick;
pub(crate) mod plan;
mod point;
mod press;
pub(crate) mod slip;
mod travel;
mod undo;

use std::collections::BTreeSet;

use brine_protocol::control::{Decision, Health, PairRequest, Server, Whoami};
use brine_protocol::permission::Verb;
use brine_protocol::server::ServerId;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Size;

use crate::view;
use crate::view::layout::areas;
use ask::Ask;
use batch::{Batch, Outcome};
use detail::Detail;
use field::Field;
use keys::{Keys, Row};
use list::List;
use pair::{Confirm, UnderWay};
use pick::Picker;
use plan::Step;
use undo::Undo;

/// Everything that can change what is on the screen.
#[derive(Debug)]
pub(crate) enum Input {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize(Size),
    /// A second has passed.
    Tick(Timestamp),
    News(News),
}

/// What comes from the master.
#[derive(Debug)]
pub(crate) enum News {
    /// It answers again.
    Back(Box<Contact>),
    /// It does not answer; one sentence.
    Lost(String),
    /// Events were missed.
    Missed,
    /// Every key.
    Keys(Vec<Row>),
    /// Every key of one id.
    KeysOf(MinionId, Vec<Row>),
    Health(Box<Health>),
    /// Somebody decided about a key.
    Decided(Decided),
    /// The decisions about an id, or why there are none to show.
    History(MinionId, Result<Vec<Decision>, String>),
    /// What became of the next keys of the acts under way.
    Acted(Vec<Outcome>),
    /// The acts under way are over.
    ActsOver,
    /// The records that can be chosen, or why there are none to show.
    Records(Result<Vec<Server>, String>),
    /// A record changed, or its link did.
    Record(ServerId),
    /// What became of the pairing under way.
    Paired(Outcome),
}

/// What a first contact with a master tells.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(crate) whoami: Whoami,
    pub(crate) health: Health,
    pub(crate) rows: Vec<Row>,
}

/// A decision as its event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) id: MinionId,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// `accepted`, `rejected`, …
    pub(crate) what: String,
    /// Who decided, if anybody did.
    pub(crate) by: Option<String>,
}

/// What is to be done outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Perform these, in this order, and tell what becomes of each.
    Act {
        steps: Vec<Step>,
        reason: Option<String>,
    },
    /// Pair a key with a record, and tell what becomes of it.
    Pair {
        server: ServerId,
        request: PairRequest,
    },
    /// Fetch the unlinked records and these linked ones, now and whenever records change.
    Records(BTreeSet<ServerId>),
    /// Records are no longer wanted.
    NoRecords,
    /// Fetch the decisions about an id.
    History(MinionId),
    /// Fetch the keys of one id, or all.
    Refetch(Option<MinionId>),
    /// Draw every cell anew.
    Redraw,
    /// Go to the background, as Ctrl-Z means it.
    Background,
    Quit,
}

/// How things are between here and the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Connection {
    Live,
    Lost { why: String, since: Timestamp },
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Plain,
    Bad,
}

/// What the status line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    at: Timestamp,
}

/// A message that needs no answer goes away after so many seconds.
const MESSAGE_SECONDS: i64 = 12;

/// The longest filter, in bytes.
const FILTER_MAX: usize = 200;

/// What is laid over the list.
#[derive(Debug)]
pub(crate) enum Over {
    /// The help, from this line on.
    Help(usize),
    Ask(Box<Ask>),
    /// The acts under way, or what became of them.
    Batch,
    /// The records of which one is chosen for a key.
    Pick(Box<Picker>),
    /// The question before a key is paired with a record.
    Pair(Box<Confirm>),
}

impl Over {
    fn is_about_records(&self) -> bool {
        matches!(self, Over::Pick(_) | Over::Pair(_))
    }
}

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) size: Size,
    pub(crate) now: Timestamp,
    pub(crate) whoami: Whoami,
    pub(crate) health: Health,
    /// The name of this machine, which is the master's.
    pub(crate) host: String,
    pub(crate) connection: Connection,
    pub(crate) keys: Keys,
    pub(crate) list: List,
    pub(crate) detail: Option<Detail>,
    pub(crate) over: Option<Over>,
    /// The filter, while it is typed.
    pub(crate) filtering: Option<Field>,
    pub(crate) batch: Option<Batch>,
    /// The pairing under way.
    pub(crate) pairing: Option<UnderWay>,
    pub(crate) message: Option<Message>,
    undo: Undo,
    /// Decisions of our own that their events will tell of.
    expected: BTreeSet<(keys::Name, &'static str)>,
    /// Whether the last stroke asked to leave what is under way.
    is_leaving: bool,
    /// When the master's news put another key under the cursor, if the operator did not move it
    /// since.
    moved_at: Option<Timestamp>,
}

/// Whoever presses a key this soon after the list moved may still mean the key that was there.
const MOVED_MICROS: i64 = 1_000_000;

impl App {
    pub(crate) fn new(contact: Contact, host: String, size: Size, now: Timestamp) -> Self {
        let mut app = Self {
            size,
            now,
            whoami: contact.whoami,
            health: contact.health,
            host,
            connection: Connection::Live,
            keys: Keys::default(),
            list: List::new(),
            detail: None,
            over: None,
            filtering: None,
            batch: None,
            pairing: None,
            message: None,
            undo: Undo::default(),
            expected: BTreeSet::new(),
            is_leaving: false,
            moved_at: None,
        };
        app.keys.replace(contact.rows);
        app.list.refresh(&app.keys);
        app.settle();
        app
    }

    /// Takes in one input.
    pub(crate) fn update(&mut self, input: Input) -> Vec<Effect> {
        let before = self.list.row(&self.keys).map(Row::name);
        let is_operator = matches!(input, Input::Key(_) | Input::Mouse(_) | Input::Paste(_));
        // What becomes of their own acts operators expect.
        let is_own = matches!(input, Input::News(News::Acted(_) | News::ActsOver | News::Paired(_)));
        let are_records_wanted = self.over.as_ref().is_some_and(Over::is_about_records);
        let mut effects = match input {
            Input::Key(key) => self.press(key),
            Input::Mouse(mouse) => self.point(mouse),
            Input::Paste(text) => self.paste(&text),
            Input::Resize(size) => {
                self.size = size;
                Vec::new()
            }
            Input::Tick(now) => {
                self.pass_time(now);
                Vec::new()
            }
            Input::News(news) => self.hear(news),
        };
        let after = self.list.row(&self.keys).map(Row::name);
        if is_operator && before != after {
            self.moved_at = None;
            effects.extend(self.follow());
        } else if !is_own && before.is_some() && after.is_some() && before != after {
            self.moved_at = Some(self.now);
        }
        if are_records_wanted && !self.over.as_ref().is_some_and(Over::is_about_records) {
            effects.push(Effect::NoRecords);
        }
        self.settle();
        effects
    }

    /// Whether the list moved under the cursor a moment ago.
    fn is_moved(&self) -> bool {
        self.moved_at.is_some_and(|at| self.now.0 - at.0 < MOVED_MICROS)
    }

    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        self.now = now;
        self.keys.pass_time(now);
        let is_old = |message: &Message| {
            message.tone != Tone::Bad && now.seconds() - message.at.seconds() >= MESSAGE_SECONDS
        };
        if self.message.as_ref().is_some_and(is_old) {
            self.message = None;
        }
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        let is_taken = match &mut self.over {
            Some(Over::Ask(ask)) => ask.slip.paste(text),
            Some(Over::Pair(confirm)) => confirm.slip.paste(text),
            Some(Over::Pick(picker)) => picker.paste(text),
            Some(Over::Help(_) | Over::Batch) => false,
            None => match &mut self.filtering {
                Some(field) => {
                    field.paste(text);
                    let filter = field.text().to_owned();
                    self.list.set_filter(filter, &self.keys);
                    true
                }
                None => false,
            },
        };
        if !is_taken {
            // As key strokes it could accept or delete something.
            self.say(Tone::Plain, "pasted text is taken only where you type: press / to filter");
        }
        Vec::new()
    }

    /// The detail shows the key that the operator went to.
    fn follow(&mut self) -> Option<Effect> {
        let row = self.list.row(&self.keys)?;
        let detail = self.detail.as_mut()?;
        let name = row.name();
        if detail.name == name {
            return None;
        }
        let is_other_id = detail.name.id != name.id;
        detail.turn_to(name.clone(), row.key.state);
        is_other_id.then_some(Effect::History(name.id))
    }

    /// Brings the cursor onto the screen, and keeps what is scrolled within its text.
    fn settle(&mut self) {
        let (over_max, detail_max) = (view::over_top_max(self), view::detail_top_max(self));
        let pick_page = view::pick_page(self);
        match &mut self.over {
            Some(Over::Help(top)) => *top = over_max.min(*top),
            Some(Over::Ask(ask)) => ask.slip.top = over_max.min(ask.slip.top),
            Some(Over::Pair(confirm)) => confirm.slip.top = over_max.min(confirm.slip.top),
            Some(Over::Pick(picker)) => picker.scroll(pick_page),
            Some(Over::Batch) | None => {}
        }
        if let Some(detail) = &mut self.detail {
            detail.top = detail_max.min(detail.top);
        }
        let height = usize::from(areas(self).rows.height);
        self.list.scroll(height);
    }

    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.message = Some(Message { text: text.into(), tone, at: self.now });
    }

    /// Whether this caller may decide about keys.
    pub(crate) fn may_act(&self) -> bool {
        self.whoami.verbs.contains(&Verb::KeysAct)
    }
}

#[cfg(test)]
mod tests;
