//! What the master tells, taken in.

use brine_protocol::MinionId;
use brine_protocol::control::{ACTS, Act};

use super::batch::Batch;
use super::keys::Name;
use super::undo::is_undoable;
use super::{App, Contact, Decided, Effect, Line, News, Over, Tone};
use crate::text::{counted, short_name};

impl App {
    pub(super) fn hear(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Back(contact) => return self.on_back(*contact),
            News::Lost(why) => {
                if self.line == Line::Live {
                    self.line = Line::Lost { why, since: self.now };
                } else if let Line::Lost { why: known, .. } = &mut self.line {
                    *known = why;
                }
            }
            News::Keys(rows) => {
                self.keys.replace(rows);
                self.list.refresh(&self.keys);
            }
            News::KeysOf(id, rows) => {
                self.keys.replace_of(&id, rows);
                self.list.refresh(&self.keys);
            }
            News::Health(health) => self.health = *health,
            News::Decided(decided) => return self.on_decided(&decided),
            News::History(id, history) => {
                if let Some(detail) = &mut self.detail {
                    detail.learn(&id, history);
                }
            }
            News::Acted(results) => return self.on_acted(results),
            News::ActsOver => self.on_acts_over(),
        }
        Vec::new()
    }

    /// Filter, tab, cursor and selection stay as they were.
    fn on_back(&mut self, contact: Contact) -> Vec<Effect> {
        self.whoami = contact.whoami;
        self.health = contact.health;
        self.keys.replace(contact.rows);
        self.list.refresh(&self.keys);
        if self.line != Line::Live {
            self.line = Line::Live;
            self.say(Tone::Good, "connected again");
        }
        self.history_again(None)
    }

    fn on_decided(&mut self, decided: &Decided) -> Vec<Effect> {
        let Decided { id, fingerprint, what, by } = decided;
        let act = ACTS.into_iter().map(Act::past).find(|past| past == what);
        let is_ours = fingerprint.zip(act).is_some_and(|(fingerprint, act)| {
            self.expected.remove(&(Name { id: id.clone(), fingerprint }, act))
        });
        if let Some(by) = by.as_deref().filter(|_| !is_ours) {
            let by = brine_local::text::escape(by);
            self.say(
                Tone::Plain,
                format!("{id} was {} by {}", brine_local::text::escape(what), short_name(&by)),
            );
        }
        self.history_again(Some(id))
    }

    /// The open detail's history has grown; with an id only if it is of that id.
    fn history_again(&self, id: Option<&MinionId>) -> Vec<Effect> {
        let shown = self.detail.as_ref().map(|detail| &detail.name.id);
        let again = shown.filter(|shown| id.is_none_or(|id| id == *shown));
        again.map(|id| Effect::History(id.clone())).into_iter().collect()
    }

    fn on_acted(&mut self, results: Vec<Option<String>>) -> Vec<Effect> {
        let Some(batch) = &mut self.batch else { return Vec::new() };
        let mut effects = Vec::new();
        for refused in results {
            let Some(step) = batch.steps.get(batch.results.len()) else { break };
            if refused.is_some() {
                self.expected.remove(&(step.name.clone(), step.act.past()));
                // What is shown of it is not what it is.
                effects.push(Effect::Refetch(Some(step.name.id.clone())));
            }
            batch.results.push(refused);
        }
        if effects.len() > 8 {
            effects = vec![Effect::Refetch(None)];
        }
        effects
    }

    fn on_acts_over(&mut self) {
        let Some(mut batch) = self.batch.take() else { return };
        batch.is_over = true;
        let done = batch.done();
        if batch.is_undo {
            if !done.is_empty() {
                self.undo.pop();
            }
        } else {
            self.undo.push(done);
        }
        for step in &batch.steps {
            self.list.selected.remove(&step.name);
        }
        self.list.refresh(&self.keys);
        self.tell(&batch);
        // Its window stays until it was read.
        if matches!(self.over, Some(Over::Batch)) || (batch.is_bulk() && batch.refused() > 0) {
            self.batch = Some(batch);
        }
    }

    fn tell(&mut self, batch: &Batch) {
        let undone = if batch.is_undo { "undone: " } else { "" };
        if let ([step], [result]) = (batch.steps.as_slice(), batch.results.as_slice()) {
            let id = &step.name.id;
            match result {
                None => {
                    let hint = if !batch.is_undo && is_undoable(step) { "; u undoes that" } else { "" };
                    self.say(Tone::Good, format!("{undone}{id} is {}{hint}", step.act.past()));
                }
                Some(why) => self.say(Tone::Bad, format!("{id} was not {}: {why}", step.act.past())),
            }
            return;
        }
        match batch.refused() {
            0 => self.say(Tone::Good, format!("{undone}{}", batch.sentence())),
            refused => {
                let of = counted(batch.steps.len(), "key");
                self.say(Tone::Bad, format!("{undone}{refused} of {of} refused"));
                // Which ones, and why, is worth a window even if it was closed.
                if self.over.is_none() {
                    self.over = Some(Over::Batch);
                }
            }
        }
    }
}
