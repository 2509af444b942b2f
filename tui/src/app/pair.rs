//! Linking a key that waits to a server record: choosing one, the question, and what became of it.
//! The master accepts the key and links it in one decision, or does neither.

use brine_protocol::control::{Act, KeyState, PairRequest, Server};
use brine_protocol::permission::Verb;
use brine_protocol::server::ServerId;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::batch::Outcome;
use super::keys::{Keys, Name, Row};
use super::pick::{Picked, Picker, also_wanted};
use super::plan::{Step, warnings};
use super::slip::{Reply, Slip};
use super::{App, Connection, Effect, Over, Tone};
use crate::text::{claim, cut_middle, short_id};
use crate::view;

/// More keys than this have their list fetched as a whole.
const IDS_MAX: usize = 8;

/// A key and the record that it is to be linked to, as both were shown.
#[derive(Debug, Clone)]
pub(crate) struct Pairing {
    pub(crate) server: Server,
    /// What it does to the key.
    pub(crate) step: Step,
    /// What it does to the key that is given up for it: the record's, or the one that holds the id.
    pub(crate) gives_up: Option<Step>,
}

impl Pairing {
    fn new(keys: &Keys, step: Step, server: Server) -> Self {
        let gives_up = given_up(keys, &step.name, &server).map(|name| {
            let was = keys.get(&name).map_or(KeyState::Accepted, |row| row.key.state);
            Step { act: Act::Reject, name, was, by_rule: false }
        });
        Self { server, step, gives_up }
    }

    /// The record as a sentence has it: names have up to 256 bytes.
    pub(crate) fn record(&self) -> String {
        cut_middle(&claim(&self.server.record.name), 40)
    }

    fn request(&self, reason: Option<String>) -> PairRequest {
        let gives_up = self.gives_up.as_ref().map(|step| step.name.fingerprint);
        PairRequest { key: self.step.key_name(), replace: gives_up.is_some(), gives_up, reason }
    }

    /// Everything that changes, the given-up key first, as the master does it.
    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.gives_up.iter().chain([&self.step])
    }
}

/// The key that is cut off so that this one can be the record's: the record's, or the one that holds
/// the id.
fn given_up(keys: &Keys, name: &Name, server: &Server) -> Option<Name> {
    let link = server.link.as_ref();
    let of_record = link.map(|link| Name { id: link.minion.clone(), fingerprint: link.fingerprint });
    of_record.or_else(|| keys.holder(&name.id).map(Row::name)).filter(|old| old != name)
}

/// The question before a key is paired.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) pairing: Pairing,
    pub(crate) slip: Slip,
    /// The record as it is by now, if it is there.
    now: Option<Server>,
}

impl Confirm {
    /// What became of key and record meanwhile. The master refuses what is no longer so.
    pub(crate) fn changed(&self, keys: &Keys) -> Vec<String> {
        let mut changed: Vec<String> = self.pairing.step.changed(keys).into_iter().collect();
        if self.is_record_changed() {
            changed
                .push("the record changed meanwhile, or is linked or gone: n, and choose again".to_owned());
        }
        changed.extend(self.obstacle(keys).map(str::to_owned));
        changed
    }

    fn is_record_changed(&self) -> bool {
        let (shown, key) =
            (&self.pairing.server, |server: &Server| server.link.as_ref().map(|l| l.fingerprint));
        self.now.as_ref().is_none_or(|now| now.record != shown.record || key(now) != key(shown))
    }

    /// Why a yes is none: it was asked about a key that is not the one to be cut off by now.
    fn obstacle(&self, keys: &Keys) -> Option<&'static str> {
        let Pairing { step, gives_up, .. } = &self.pairing;
        let now = given_up(keys, &step.name, self.now.as_ref()?);
        (now.as_ref() != gives_up.as_ref().map(|step| &step.name))
            .then_some("the key that gives way is another by now: n, and choose again")
    }

    pub(crate) fn warnings(&self, keys: &Keys) -> Vec<String> {
        // That the id had another key is what re-pairing is about.
        let steps = std::slice::from_ref(&self.pairing.step);
        if self.pairing.gives_up.is_none() { warnings(keys, steps) } else { Vec::new() }
    }

    fn press(&mut self, key: KeyEvent) -> Reply {
        self.slip.press(key).unwrap_or(match key.code {
            KeyCode::Char('y' | 'Y') => Reply::Yes,
            KeyCode::Enter => Reply::No,
            _ => Reply::Open,
        })
    }

    /// Takes in what the master tells of records while the question waits.
    fn learn(&mut self, servers: &[Server]) {
        self.now = servers.iter().find(|server| server.id == self.pairing.server.id).cloned();
    }
}

/// A pairing that was asked of the master.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) pairing: Pairing,
    /// Whether the answer was lost, and only the next list can tell.
    awaits_list: bool,
}

impl App {
    /// Opens the list of records for the key that is chosen.
    pub(super) fn wish_pair(&mut self) -> Vec<Effect> {
        if !self.is_ready(Verb::ServersLink) {
            return Vec::new();
        }
        let Some((chosen, _)) = self.aim() else { return Vec::new() };
        let name = match chosen.as_slice() {
            [one] => one,
            [] => return self.refuse("there is no key here"),
            _ => {
                return self
                    .refuse("keys are paired one at a time: Esc deselects, and p is for the cursor's key");
            }
        };
        let Some(row) = self.keys.get(name) else {
            return self.refuse("this key is gone: there is nothing to pair");
        };
        if let Some(why) = obstacle(row) {
            return self.refuse(why);
        }
        let step =
            Step { act: Act::Accept, name: row.name(), was: row.key.state, by_rule: row.key.rule.is_some() };
        let wanted = also_wanted(&self.keys, &row.key);
        self.over = Some(Over::Pick(Box::new(Picker::new(step, &row.key))));
        vec![Effect::Records(wanted)]
    }

    fn refuse(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.say(Tone::Bad, why);
        Vec::new()
    }

    pub(super) fn press_pick(&mut self, key: KeyEvent) {
        let page = view::pick_page(self);
        let Some(Over::Pick(picker)) = &mut self.over else { return };
        match picker.press(key, page) {
            Picked::Open => {}
            Picked::Left => {
                self.over = None;
                self.say(Tone::Plain, "nothing was done");
            }
            Picked::This(server) => {
                let now = Some(Server::clone(&server));
                let pairing = Pairing::new(&self.keys, picker.step.clone(), *server);
                let confirm = Confirm { pairing, slip: Slip::new(), now };
                self.over = Some(Over::Pair(Box::new(confirm)));
            }
        }
    }

    pub(super) fn press_confirm(&mut self, key: KeyEvent) -> Vec<Effect> {
        let Some(Over::Pair(confirm)) = &mut self.over else { return Vec::new() };
        match confirm.press(key) {
            Reply::Open => {}
            Reply::No => {
                self.over = None;
                self.say(Tone::Plain, "nothing was done");
            }
            Reply::Yes => {
                return match confirm.obstacle(&self.keys) {
                    Some(why) => self.refuse(why),
                    None => self.go_pair(),
                };
            }
        }
        Vec::new()
    }

    fn go_pair(&mut self) -> Vec<Effect> {
        let Some(Over::Pair(confirm)) = self.over.take() else { return Vec::new() };
        if let Connection::Lost { .. } = self.connection {
            return self.refuse("not connected to the master; nothing was done");
        }
        let Confirm { pairing, slip, .. } = *confirm;
        self.expected = pairing.steps().map(|step| (step.name.clone(), step.act.past())).collect();
        let effect = Effect::Pair { server: pairing.server.id, request: pairing.request(slip.reason()) };
        self.pairing = Some(UnderWay { pairing, awaits_list: false });
        vec![effect]
    }

    pub(super) fn on_records(&mut self, answer: Result<Vec<Server>, String>) {
        match &mut self.over {
            Some(Over::Pick(picker)) => picker.learn(answer),
            Some(Over::Pair(confirm)) => {
                if let Ok(servers) = answer {
                    confirm.learn(&servers);
                }
            }
            Some(Over::Help(_) | Over::Ask(_) | Over::Batch) | None => {}
        }
    }

    /// A record changed: what the list says of it beside its keys is no longer so.
    pub(super) fn on_record(&self, id: ServerId) -> Vec<Effect> {
        let is_of = |row: &&Row| row.key.server.as_ref().is_some_and(|server| server.id == id);
        let mut ids: Vec<_> = self.keys.rows().iter().filter(is_of).map(|row| &row.key.id).collect();
        ids.dedup();
        if ids.len() > IDS_MAX {
            return vec![Effect::Refetch(None)];
        }
        ids.into_iter().map(|id| Effect::Refetch(Some(id.clone()))).collect()
    }

    pub(super) fn on_paired(&mut self, outcome: &Outcome) -> Vec<Effect> {
        let Some(mut under_way) = self.pairing.take() else { return Vec::new() };
        let pairing = &under_way.pairing;
        let (id, record) = (short_id(&pairing.step.name.id), pairing.record());
        let mut effects = vec![Effect::Refetch(Some(pairing.step.name.id.clone()))];
        match outcome {
            Outcome::Done => self.finish_pair(&under_way.pairing),
            Outcome::Refused(why) => {
                self.expected.clear();
                self.say(Tone::Bad, format!("{id} was not paired with {record}: {why}"));
            }
            Outcome::Unknown(why) => {
                self.say(Tone::Bad, format!("{id} and {record}: {why}"));
                under_way.awaits_list = true;
                self.pairing = Some(under_way);
                effects = vec![Effect::Refetch(None)];
            }
        }
        effects
    }

    fn finish_pair(&mut self, pairing: &Pairing) {
        for step in pairing.steps() {
            self.keys.settle(step, self.now);
            self.list.selected.remove(&step.name);
        }
        self.list.refresh(&self.keys);
        let (id, record) = (short_id(&pairing.step.name.id), pairing.record());
        let given_up = if pairing.gives_up.is_some() { ", and the old key is revoked" } else { "" };
        self.undo.block(format!("{id} is paired with {record}, which brine server unpair undoes"));
        self.say(Tone::Good, format!("{id} is accepted and linked to {record}{given_up}"));
    }

    /// A whole list came: it tells what became of a pairing of which that was not known.
    pub(super) fn resolve_pairing(&mut self) {
        let Some(UnderWay { pairing, .. }) = self.pairing.take_if(|under_way| under_way.awaits_list) else {
            return;
        };
        let row = self.keys.get(&pairing.step.name);
        let record = row.and_then(|row| row.key.server.as_ref());
        if record.is_some_and(|record| record.linked && record.id == pairing.server.id) {
            self.finish_pair(&pairing);
        } else {
            let (id, record) = (short_id(&pairing.step.name.id), pairing.record());
            let is = row.map_or("gone", |row| row.key.state.name());
            self.say(
                Tone::Bad,
                format!("{id} was not paired with {record}: the answer was lost, and it is {is}"),
            );
        }
    }
}

/// Why this key cannot be paired here.
fn obstacle(row: &Row) -> Option<String> {
    let id = short_id(&row.key.id);
    let linked = row.key.server.as_ref().filter(|server| server.linked);
    match row.key.state {
        KeyState::Pending | KeyState::Denied => None,
        KeyState::Accepted | KeyState::Suspended => Some(match linked {
            Some(server) => format!(
                "{id} is linked to {} already; brine server unpair undoes that",
                cut_middle(&claim(&server.name), 40)
            ),
            None => format!("{id} does not wait: brine server pair links a key that is accepted already"),
        }),
        KeyState::Rejected => Some(format!(
            "{id} was rejected: delete the key (d), and its minion can knock again and be paired"
        )),
    }
}
