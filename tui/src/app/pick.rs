//! Choosing a server record for a key: what the master tells of records, ranked, filtered, and
//! with a cursor that stays on its record while others come and go.

mod rank;

use std::collections::BTreeSet;

use brine_protocol::control::{Key, Server};
use brine_protocol::server::ServerId;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::FILTER_MAX;
use super::field::Field;
use super::keys::Keys;
use super::plan::Step;
use super::travel::lines;
use crate::text::{claim, cut_middle, short_id, width};
use rank::Asker;
pub(crate) use rank::Fit;

/// A record that can be chosen, and what is made of it once so that drawing and filtering need not.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) server: Server,
    pub(crate) fit: Fit,
    /// Safe to show.
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) zone: String,
    pub(crate) site: String,
    /// What a filter looks into, in lower case.
    words: String,
}

impl Choice {
    fn new(server: Server, asker: &Asker) -> Self {
        let fit = asker.fit(&server);
        let record = &server.record;
        let shown = |text: &Option<String>| text.as_deref().map(claim).unwrap_or_default();
        let (name, model) = (claim(&record.name), claim(&record.model));
        let (zone, site) = (shown(&record.zone), shown(&record.site));
        let mut words = [name.as_str(), &model, &zone, &site, &shown(&record.external_id)].join("\n");
        for text in record.labels.values() {
            words.push('\n');
            words.push_str(&claim(text));
        }
        let id = record.minion_id.as_ref().map_or("", |id| id.as_str());
        words.push_str(&format!("\n{id}\n{}", server.id));
        let words = words.to_lowercase();
        Self { server, fit, name, model, zone, site, words }
    }
}

/// The widest text of each column.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Widths {
    pub(crate) model: usize,
    pub(crate) zone: usize,
    pub(crate) site: usize,
}

/// What a key stroke made of the choice.
#[derive(Debug)]
pub(crate) enum Picked {
    Open,
    Left,
    /// The record under the cursor.
    This(Box<Server>),
}

/// The list of records over the list of keys.
#[derive(Debug)]
pub(crate) struct Picker {
    /// What pairing does to the key, in the state in which it was shown.
    pub(crate) step: Step,
    asker: Asker,
    /// The records of the last answer; none before the first.
    pub(crate) choices: Option<Vec<Choice>>,
    /// Why there is no newer answer.
    pub(crate) failure: Option<String>,
    /// The record that the master puts beside the key, if another minion has it.
    pub(crate) taken: Option<String>,
    pub(crate) filter: String,
    /// The filter, while it is typed.
    pub(crate) filtering: Option<Field>,
    /// Places in the choices, in their order.
    pub(crate) shown: Vec<usize>,
    /// The line that the cursor is on.
    pub(crate) at: usize,
    cursor: Option<ServerId>,
    /// The first line on the screen.
    pub(crate) top: usize,
    pub(crate) widths: Widths,
    /// Why the record under the cursor was not taken.
    pub(crate) hint: Option<String>,
}

impl Picker {
    pub(crate) fn new(step: Step, key: &Key) -> Self {
        Self {
            step,
            asker: Asker::new(key),
            choices: None,
            failure: None,
            taken: None,
            filter: String::new(),
            filtering: None,
            shown: Vec::new(),
            at: 0,
            cursor: None,
            top: 0,
            widths: Widths::default(),
            hint: None,
        }
    }

    /// Takes in what the master tells of records. Those that have another minion are no choice.
    pub(crate) fn learn(&mut self, answer: Result<Vec<Server>, String>) {
        let servers = match answer {
            Ok(servers) => servers,
            Err(why) => {
                self.failure = Some(why);
                return;
            }
        };
        let is_taken =
            |server: &Server| server.link.as_ref().is_some_and(|link| link.minion != self.asker.id);
        self.taken = servers.iter().find(|server| is_taken(server)).map(|server| claim(&server.record.name));
        let mut choices: Vec<Choice> = servers
            .into_iter()
            .filter(|server| !is_taken(server))
            .map(|server| Choice::new(server, &self.asker))
            .collect();
        choices.sort_by_cached_key(|choice| (choice.fit, choice.name.to_lowercase(), choice.server.id));
        let widest = |text: fn(&Choice) -> &str| choices.iter().map(|choice| width(text(choice))).max();
        self.widths = Widths {
            model: widest(|choice| &choice.model).unwrap_or(0),
            zone: widest(|choice| &choice.zone).unwrap_or(0),
            site: widest(|choice| &choice.site).unwrap_or(0),
        };
        self.failure = None;
        self.choices = Some(choices);
        self.refresh();
    }

    /// Works out anew what is shown. The cursor stays on its record; where that is gone, on its
    /// line.
    fn refresh(&mut self) {
        let words: Vec<String> = self.filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let choices = self.choices.as_deref().unwrap_or_default();
        let is_match = |choice: &Choice| words.iter().all(|word| choice.words.contains(word));
        self.shown = (0..choices.len()).filter(|place| is_match(&choices[*place])).collect();
        let is_there = |id: ServerId| self.shown.iter().position(|place| choices[*place].server.id == id);
        let last = self.shown.len().saturating_sub(1);
        self.at = self.cursor.and_then(is_there).unwrap_or(self.at.min(last));
    }

    /// The record under the cursor.
    pub(crate) fn choice(&self) -> Option<&Choice> {
        Some(&self.choices.as_deref()?[*self.shown.get(self.at)?])
    }

    /// Moves the cursor by so many lines, within the list.
    pub(crate) fn move_by(&mut self, lines: isize) {
        self.at = self.at.saturating_add_signed(lines).min(self.shown.len().saturating_sub(1));
        self.cursor = self.choice().map(|choice| choice.server.id);
    }

    /// Brings the cursor's line onto a screen of this height.
    pub(crate) fn scroll(&mut self, height: usize) {
        let height = height.max(1);
        self.top = self.top.clamp((self.at + 1).saturating_sub(height), self.at);
        self.top = self.top.min(self.shown.len().saturating_sub(height));
    }

    fn set_filter(&mut self, filter: String) {
        if self.filter != filter {
            self.filter = filter;
            // Who types wants the best of what is left.
            (self.cursor, self.at) = (None, 0);
            self.refresh();
        }
    }

    /// Takes pasted text where one types.
    pub(crate) fn paste(&mut self, text: &str) -> bool {
        let Some(field) = &mut self.filtering else { return false };
        field.paste(text);
        let filter = field.text().to_owned();
        self.set_filter(filter);
        true
    }

    /// Takes a key stroke; a page has so many lines.
    pub(crate) fn press(&mut self, key: KeyEvent, page: usize) -> Picked {
        self.hint = None;
        if let Some(field) = &mut self.filtering {
            match key.code {
                KeyCode::Enter => self.filtering = None,
                KeyCode::Esc => {
                    self.filtering = None;
                    self.set_filter(String::new());
                }
                KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
                    self.move_by(lines(key, page).unwrap_or(0));
                }
                _ => {
                    field.press(key);
                    let filter = field.text().to_owned();
                    self.set_filter(filter);
                }
            }
            return Picked::Open;
        }
        if let Some(lines) = lines(key, page) {
            self.move_by(lines);
            return Picked::Open;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return Picked::Open;
        }
        match key.code {
            KeyCode::Enter => self.choose(),
            KeyCode::Char('/') => {
                self.filtering = Some(Field::with(&self.filter, FILTER_MAX));
                Picked::Open
            }
            KeyCode::Esc if !self.filter.is_empty() => {
                self.set_filter(String::new());
                Picked::Open
            }
            KeyCode::Esc | KeyCode::Char('q') => Picked::Left,
            _ => Picked::Open,
        }
    }

    fn choose(&mut self) -> Picked {
        let Some(choice) = self.choice() else { return Picked::Open };
        match self.obstacle(choice) {
            None => Picked::This(Box::new(choice.server.clone())),
            Some(why) => {
                self.hint = Some(why);
                Picked::Open
            }
        }
    }

    /// Why this record cannot be the key's, as far as can be seen from here.
    fn obstacle(&self, choice: &Choice) -> Option<String> {
        let id = short_id(&self.asker.id);
        if choice.fit == Fit::ForAnother {
            let expected = choice.server.record.minion_id.as_ref().map(short_id)?;
            return Some(format!(
                "this record is for a minion {expected}, and the key is {id}'s; brine server update changes that"
            ));
        }
        let own = |fit| self.choices.as_deref().and_then(|all| all.iter().find(|choice| choice.fit == fit));
        let (own, how) = match (own(Fit::Again), own(Fit::Expected)) {
            (Some(own), _) => (own, "is linked to"),
            (None, Some(own)) => (own, "is expected by"),
            (None, None) => return None,
        };
        (own.server.id != choice.server.id).then(|| {
            let undo = if own.fit == Fit::Again { "unpair" } else { "update" };
            let name = cut_middle(&own.name, 40);
            format!("{id} {how} {name}: choose that record, or part them first (brine server {undo})")
        })
    }
}

/// The linked records that are wanted beside the unlinked ones: what the key's id has, and what the
/// master puts beside the key.
pub(crate) fn also_wanted(keys: &Keys, key: &Key) -> BTreeSet<ServerId> {
    let holder = keys.holder(&key.id).and_then(|row| row.key.server.as_ref());
    let held = holder.filter(|server| server.linked);
    held.into_iter().chain(&key.server).map(|server| server.id).collect()
}
