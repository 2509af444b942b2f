//! What the master tells, taken in.

use brine_protocol::MinionId;
use brine_protocol::control::{ACTS, Act};

use super::batch::{Batch, Outcome};
use super::keys::Name;
use super::undo::is_undoable;
use super::{App, Connection, Contact, Decided, Effect, News, Over, Tone};
use crate::text::{counted, fingerprint_start, short_id, short_name};

impl App {
    pub(super) fn hear(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Back(contact) => return self.on_back(*contact),
            News::Lost(why) => {
                self.miss("the connection was lost since, and others may have decided meanwhile");
                if self.connection == Connection::Live {
                    self.connection = Connection::Lost { why, since: self.now };
                } else if let Connection::Lost { why: known, .. } = &mut self.connection {
                    *known = why;
                }
            }
            News::Missed => self.miss("events were missed since, and others may have decided meanwhile"),
            News::Keys(rows) => {
                self.keys.replace(rows);
                self.list.refresh(&self.keys);
                self.resolve();
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
            News::ActsOver => return self.on_acts_over(),
            News::Records(answer) => self.on_records(answer),
            News::Record(id) => return self.on_record(id),
            News::Paired(outcome) => return self.on_paired(&outcome),
        }
        Vec::new()
    }

    /// Decisions of others may have been missed: nothing from before is taken back any more.
    fn miss(&mut self, why: &'static str) {
        self.undo.clear(why);
        if matches!(&self.over, Some(Over::Ask(ask)) if ask.is_undo) {
            self.over = None;
            self.say(Tone::Bad, format!("nothing was undone: {why}"));
        }
    }

    /// Filter, tab, cursor and selection stay as they were.
    fn on_back(&mut self, contact: Contact) -> Vec<Effect> {
        let is_another = self.health.fingerprint != contact.health.fingerprint;
        self.whoami = contact.whoami;
        self.health = contact.health;
        self.keys.replace(contact.rows);
        self.list.refresh(&self.keys);
        self.connection = Connection::Live;
        self.mention(Tone::Good, "connected again");
        self.resolve();
        if is_another {
            self.undo.clear("the master is another one now");
            let fingerprint = fingerprint_start(self.health.fingerprint, 2);
            self.say(
                Tone::Bad,
                format!("connected again, and the master has another key now: {fingerprint}"),
            );
        }
        self.history_again(None)
    }

    /// Says news, which are worth less than what went wrong.
    fn mention(&mut self, tone: Tone, text: impl Into<String>) {
        if self.message.as_ref().is_none_or(|message| message.tone != Tone::Bad) {
            self.say(tone, text);
        }
    }

    fn on_decided(&mut self, decided: &Decided) -> Vec<Effect> {
        let Decided { id, fingerprint, what, by } = decided;
        let act = ACTS.into_iter().map(Act::past).find(|past| past == what);
        let is_ours = fingerprint.zip(act).is_some_and(|(fingerprint, act)| {
            self.expected.remove(&(Name { id: id.clone(), fingerprint }, act))
        });
        if !is_ours {
            self.overtake(decided);
        }
        let by = by.as_deref().unwrap_or_default();
        // A stranger whom a rule rejects knocks as often as he likes: that is no news.
        let is_by_rule = by.starts_with("rule:") && what == Act::Reject.past();
        if !is_ours && !is_by_rule && (act.is_some() || what == "rotated") {
            let by = brine_local::text::escape(by);
            self.mention(Tone::Plain, format!("{} was {what} by {}", short_id(id), short_name(&by)));
        }
        self.history_again(Some(id))
    }

    /// Somebody else decided about keys: what was done here before is not taken back.
    fn overtake(&mut self, decided: &Decided) {
        let fingerprint = decided.fingerprint.filter(|_| decided.what != "rotated");
        let names: Vec<Name> = match fingerprint {
            Some(fingerprint) => vec![Name { id: decided.id.clone(), fingerprint }],
            // Of a rotation it names the new key only.
            None => self.keys.of(&decided.id).iter().map(super::Row::name).collect(),
        };
        for name in names {
            self.keys.unsettle(&name);
            self.undo.overtake(&name);
            if matches!(&self.over, Some(Over::Ask(ask)) if ask.is_undo && ask.is_about(&name)) {
                self.over = None;
                let id = short_id(&name.id);
                self.say(
                    Tone::Bad,
                    format!("nothing was undone: somebody else decided about {id} meanwhile"),
                );
            }
            if let Some(batch) = &mut self.batch {
                batch.overtaken.insert(name);
            }
        }
    }

    /// The open detail's history has grown; with an id only if it is of that id.
    fn history_again(&self, id: Option<&MinionId>) -> Vec<Effect> {
        let shown = self.detail.as_ref().map(|detail| &detail.name.id);
        let again = shown.filter(|shown| id.is_none_or(|id| id == *shown));
        again.map(|id| Effect::History(id.clone())).into_iter().collect()
    }

    fn on_acted(&mut self, results: Vec<Outcome>) -> Vec<Effect> {
        let Some(batch) = &mut self.batch else { return Vec::new() };
        let mut effects = Vec::new();
        for outcome in results {
            let Some(step) = batch.steps.get(batch.results.len()) else { break };
            match &outcome {
                Outcome::Done if !batch.overtaken.contains(&step.name) => self.keys.settle(step, self.now),
                Outcome::Done | Outcome::Unknown(_) => {}
                Outcome::Refused(_) => {
                    self.expected.remove(&(step.name.clone(), step.act.past()));
                    // What is shown of it is not what it is.
                    effects.push(Effect::Refetch(Some(step.name.id.clone())));
                }
            }
            batch.results.push(outcome);
        }
        self.list.refresh(&self.keys);
        if effects.len() > 8 {
            effects = vec![Effect::Refetch(None)];
        }
        effects
    }

    fn on_acts_over(&mut self) -> Vec<Effect> {
        let Some(mut batch) = self.batch.take() else { return Vec::new() };
        if batch.unknown() > 0 {
            batch.awaits_list = true;
            self.batch = Some(batch);
            return vec![Effect::Refetch(None)];
        }
        self.finish(batch);
        Vec::new()
    }

    /// A whole list came: it tells what became of steps of which that was not known.
    fn resolve(&mut self) {
        if let Some(mut batch) = self.batch.take_if(|batch| batch.awaits_list) {
            batch.resolve(&self.keys);
            batch.awaits_list = false;
            self.finish(batch);
        }
        self.resolve_pairing();
    }

    fn finish(&mut self, mut batch: Batch) {
        batch.is_over = true;
        if batch.is_undo {
            // What was refused of it would be refused again, and stand before what was done before.
            self.undo.pop();
        } else {
            self.undo.push(batch.done(), batch.overtaken.clone());
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
            let id = short_id(&step.name.id);
            match result {
                Outcome::Done => {
                    let hint = if !batch.is_undo && is_undoable(step) { "; u undoes that" } else { "" };
                    self.say(Tone::Good, format!("{undone}{id} is {}{hint}", step.act.past()));
                }
                Outcome::Refused(why) | Outcome::Unknown(why) => {
                    self.say(Tone::Bad, format!("{id} was not {}: {why}", step.act.past()));
                }
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
