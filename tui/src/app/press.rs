//! Key strokes.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::ask::Ask;
use super::batch::Batch;
use super::detail::Detail;
use super::field::Field;
use super::keys::Name;
use super::list::TABS;
use super::pair::UnderWay;
use super::plan::{Wish, plan};
use super::slip::Reply;
use super::travel::lines;
use super::{App, Connection, Effect, FILTER_MAX, Over, Tone};
use crate::text::{counted, short_id, short_name, with_article};
use crate::view::layout::areas;
use brine_protocol::control::KeyState;
use brine_protocol::permission::Verb;

impl App {
    pub(super) fn press(&mut self, key: KeyEvent) -> Vec<Effect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if key.modifiers.contains(KeyModifiers::ALT) && matches!(key.code, KeyCode::Char(_)) {
            // What a terminal sends for it is Esc and the letter, and here those mean something.
            let mut effects = self.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
            effects.extend(self.press(KeyEvent::new(key.code, KeyModifiers::NONE)));
            return effects;
        }
        self.message = None;
        let was_leaving = std::mem::take(&mut self.is_leaving);
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return self.quit(was_leaving),
                KeyCode::Char('z') => return vec![Effect::Background],
                KeyCode::Char('l') => return vec![Effect::Redraw, Effect::Refetch(None)],
                _ => {}
            }
        }
        if self.over.is_some() {
            return self.press_over(key);
        }
        if self.filtering.is_some() {
            self.press_filter(key);
            return Vec::new();
        }
        self.press_list(key, was_leaving)
    }

    fn press_over(&mut self, key: KeyEvent) -> Vec<Effect> {
        match &mut self.over {
            Some(Over::Ask(ask)) => match ask.press(key) {
                Reply::Open => {}
                Reply::No => {
                    self.over = None;
                    self.say(Tone::Plain, "nothing was done");
                }
                Reply::Yes => return self.go(),
            },
            Some(Over::Help(top)) => match scrolled(key) {
                Some(lines) => *top = top.saturating_add_signed(lines),
                None => self.over = None,
            },
            Some(Over::Batch) => match (scrolled(key), &mut self.batch) {
                (Some(lines), Some(batch)) => batch.scroll(lines),
                (_, batch) => {
                    self.over = None;
                    if batch.as_ref().is_some_and(|batch| batch.is_over) {
                        *batch = None;
                    }
                }
            },
            Some(Over::Pick(_)) => self.press_pick(key),
            Some(Over::Pair(_)) => return self.press_confirm(key),
            None => {}
        }
        Vec::new()
    }

    /// The answer was yes.
    fn go(&mut self) -> Vec<Effect> {
        let Some(Over::Ask(ask)) = self.over.take() else { return Vec::new() };
        if let Connection::Lost { .. } = self.connection {
            self.say(Tone::Bad, "not connected to the master; nothing was done");
            return Vec::new();
        }
        let reason = ask.slip.reason();
        let steps = ask.plan.steps;
        self.expected = steps.iter().map(|step| (step.name.clone(), step.act.past())).collect();
        let batch = Batch::new(steps.clone(), ask.is_undo);
        if batch.is_bulk() {
            self.over = Some(Over::Batch);
        }
        self.batch = Some(batch);
        vec![Effect::Act { steps, reason }]
    }

    fn press_filter(&mut self, key: KeyEvent) {
        let Some(field) = &mut self.filtering else { return };
        match key.code {
            KeyCode::Enter => self.filtering = None,
            KeyCode::Esc => {
                self.filtering = None;
                self.list.set_filter(String::new(), &self.keys);
            }
            KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => self.travel(key),
            _ => {
                field.press(key);
                let filter = field.text().to_owned();
                self.list.set_filter(filter, &self.keys);
            }
        }
    }

    fn press_list(&mut self, key: KeyEvent, was_leaving: bool) -> Vec<Effect> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') if !is_control => return self.quit(was_leaving),
            KeyCode::Char('u') if is_control => self.travel(key),
            KeyCode::Char('d') if is_control => self.travel(key),
            KeyCode::Char('f' | 'b') if is_control => self.travel(key),
            KeyCode::Char(_) if is_control => {}
            KeyCode::Char('a') => self.wish(Wish::Accept),
            KeyCode::Char('r') => self.wish(Wish::Reject),
            KeyCode::Char('d') | KeyCode::Delete => self.wish(Wish::Delete),
            KeyCode::Char('s') => self.wish(Wish::Suspend),
            KeyCode::Char('p') => return self.wish_pair(),
            KeyCode::Char('u') => self.wish_undo(),
            KeyCode::Char(' ') => {
                self.list.toggle(&self.keys);
                self.list.move_by(1, &self.keys);
            }
            KeyCode::Char('*') => self.list.toggle_all(&self.keys),
            KeyCode::Char('/') => self.filtering = Some(Field::with(&self.list.filter, FILTER_MAX)),
            KeyCode::Char('o') => self.sort(false),
            KeyCode::Char('O') => self.sort(true),
            KeyCode::Char('?') | KeyCode::F(1) => self.over = Some(Over::Help(0)),
            KeyCode::Char(digit @ '1'..='6') => {
                let tab = TABS[usize::from(digit as u8 - b'1')];
                self.list.show_tab(tab, &self.keys);
            }
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.turn(TABS.len() - 1),
            KeyCode::Enter => return self.open_detail(),
            KeyCode::Esc => self.step_back(),
            _ => self.travel(key),
        }
        Vec::new()
    }

    /// What is under way would stop half-way: that takes a second stroke.
    fn quit(&mut self, was_leaving: bool) -> Vec<Effect> {
        if let Some(sentence) = self.under_way().filter(|_| !was_leaving) {
            self.is_leaving = true;
            self.say(Tone::Bad, format!("{sentence}; the same once more leaves the rest undone"));
            return Vec::new();
        }
        vec![Effect::Quit]
    }

    /// What is asked of the master and not answered yet, in one sentence.
    pub(crate) fn under_way(&self) -> Option<String> {
        if let Some(UnderWay { pairing, .. }) = &self.pairing {
            let id = short_id(&pairing.step.name.id);
            return Some(format!("{id} is being paired with {}", pairing.record()));
        }
        self.batch.as_ref().filter(|batch| !batch.is_over).map(Batch::sentence)
    }

    /// Esc leaves one thing at a time: the detail, the filter, the selection.
    fn step_back(&mut self) {
        if self.detail.take().is_some() {
        } else if !self.list.filter.is_empty() {
            self.list.set_filter(String::new(), &self.keys);
        } else {
            self.list.select_none();
        }
    }

    pub(super) fn open_detail(&mut self) -> Vec<Effect> {
        if self.detail.take().is_some() {
            return Vec::new();
        }
        let Some(row) = self.list.row(&self.keys) else { return Vec::new() };
        self.detail = Some(Detail::new(row.name(), row.key.state));
        vec![Effect::History(row.key.id.clone())]
    }

    fn turn(&mut self, by: usize) {
        let tab = TABS[(self.list.tab.place() + by) % TABS.len()];
        self.list.show_tab(tab, &self.keys);
    }

    fn sort(&mut self, reverse: bool) {
        let (sort, is_reversed) =
            if reverse { (self.list.sort, !self.list.is_reversed) } else { (self.list.sort.next(), false) };
        self.list.set_sort(sort, is_reversed, &self.keys);
        self.say(Tone::Plain, format!("sorted {}", sort.words(is_reversed)));
    }

    /// Moves the cursor; with the detail open, whole pages turn the detail.
    fn travel(&mut self, key: KeyEvent) {
        let areas = areas(self);
        let is_page =
            matches!(key.code, KeyCode::PageUp | KeyCode::PageDown | KeyCode::Char('d' | 'u' | 'f' | 'b'));
        if let (Some(detail), true) = (&mut self.detail, is_page) {
            let height = areas.detail.map_or(1, |area| area.height);
            let page = isize::try_from(height / 2).unwrap_or(1).max(1);
            let is_down = matches!(key.code, KeyCode::PageDown | KeyCode::Char('d' | 'f'));
            detail.scroll(if is_down { page } else { -page });
            return;
        }
        if let Some(lines) = lines(key, areas.rows.height.into()) {
            self.list.move_by(lines, &self.keys);
        }
    }

    /// Puts the question for an act on what is chosen.
    fn wish(&mut self, wish: Wish) {
        if !self.is_ready(Verb::KeysAct) {
            return;
        }
        let Some((chosen, hidden)) = self.aim() else { return };
        if let Some(why) = self.nobodys(&chosen).filter(|_| wish == Wish::Accept) {
            self.say(Tone::Bad, why);
            return;
        }
        match plan(&self.keys, &chosen, wish) {
            Ok(mut plan) => {
                let beside = self.list.selected.iter().filter(|name| !chosen.contains(name)).count();
                if self.detail.is_some() && beside > 0 {
                    let beside = counted(beside, "selected key");
                    plan.left_alone.push(format!("{beside} left alone: this is for the key of the detail"));
                }
                self.over = Some(Over::Ask(Box::new(Ask::new(plan, false, hidden))));
            }
            Err(why) => self.say(Tone::Bad, why),
        }
    }

    /// Why a caller who is limited to zones does not accept these keys: accepted without a record,
    /// a key that waits would be in nobody's zone.
    fn nobodys(&self, chosen: &[Name]) -> Option<String> {
        self.whoami.zones.as_ref()?;
        let is_waiting = |name: &&Name| {
            let state = self.keys.get(name).map(|row| row.key.state);
            matches!(state, Some(KeyState::Pending | KeyState::Denied))
        };
        let waiting: Vec<&Name> = chosen.iter().filter(is_waiting).collect();
        let key = match waiting.as_slice() {
            [] => return None,
            [one] => short_id(&one.id),
            several => counted(several.len(), "key"),
        };
        let each = if waiting.len() == 1 { "p pairs it with a record" } else { "p pairs each with a record" };
        Some(format!(
            "{key} cannot be accepted without a server record, because you are limited to zones: {each}"
        ))
    }

    /// What an act is for, and how many keys are selected and not shown; says why nothing is.
    pub(super) fn aim(&mut self) -> Option<(Vec<Name>, usize)> {
        if self.detail.is_none() && self.list.selected.is_empty() && self.is_moved() {
            let id = self.list.row(&self.keys).map(|row| short_id(&row.key.id)).unwrap_or_default();
            self.say(
                Tone::Bad,
                format!("the list has just moved, and the cursor is on {id} now: press again"),
            );
            return None;
        }
        let (chosen, hidden) = match &self.detail {
            // What is read is what is decided about, whatever is selected beside or behind it.
            Some(detail) => (vec![detail.name.clone()], 0),
            None => (self.list.chosen(&self.keys), self.list.hidden),
        };
        if chosen.is_empty() && !self.list.selected.is_empty() {
            let hidden = counted(self.list.hidden, "selected key");
            self.say(Tone::Bad, format!("{hidden} not shown here; Esc deselects"));
            return None;
        }
        Some((chosen, hidden))
    }

    fn wish_undo(&mut self) {
        if !self.is_ready(Verb::KeysAct) {
            return;
        }
        match self.undo.plan(&self.keys) {
            Ok(plan) => self.over = Some(Over::Ask(Box::new(Ask::new(plan, true, 0)))),
            Err(why) => self.say(Tone::Bad, why),
        }
    }

    /// Whether an act of this kind can be asked for now; says why not.
    pub(super) fn is_ready(&mut self, verb: Verb) -> bool {
        if !self.whoami.verbs.contains(&verb) {
            let who = short_name(&self.whoami.principal);
            let role = with_article(crate::text::role(self.whoami.role));
            let what = if verb == Verb::ServersLink { "pair them with records" } else { "decide about them" };
            self.say(Tone::Bad, format!("{who} is {role} here, who may look at keys and not {what}"));
            return false;
        }
        if let Connection::Lost { .. } = self.connection {
            self.say(Tone::Bad, "not connected to the master: nothing can be decided until it is back");
            return false;
        }
        if self.pairing.is_some() || self.batch.as_ref().is_some_and(|batch| !batch.is_over) {
            self.say(Tone::Bad, "wait until what is under way is done");
            return false;
        }
        self.batch = None;
        true
    }
}

/// How far a key stroke scrolls something that is only read.
fn scrolled(key: KeyEvent) -> Option<isize> {
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(10),
        KeyCode::PageUp => Some(-10),
        KeyCode::Home | KeyCode::Char('g') => Some(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Some(isize::MAX),
        _ => None,
    }
}
