//! The session: standing, beats, and what is stored where.

use std::time::{Duration, Instant};

use brine_protocol::Jid;
use brine_protocol::message::{Beat, RUNNING_MAX, Standing, Start, Stored, ToMaster, ToMinion};

use super::jobs::shorten;
use super::{
    BEATS_MISSED_MAX, Beats, EARLY_MAX, Engine, Fleeting, Hangup, Live, Note, Output, Session, WINDOW,
};
use crate::book::{Entry, Stage};
use crate::config::MESSAGE_OVERHEAD;
use crate::sync::Answer;

impl Engine {
    pub(super) fn on_opened(
        &mut self,
        standing: &Standing,
        every: Duration,
        message_max: Option<usize>,
        now: Instant,
    ) {
        // What the master does not take would be refused and sent again for ever.
        let room = message_max.map_or(usize::MAX, |max| max.saturating_sub(MESSAGE_OVERHEAD));
        self.return_room = room.min(self.settings.return_max);
        let beats = Beats { every, next: now + every, silent_at: now + every * BEATS_MISSED_MAX };
        self.session = Session::Waiting(beats);
        if !self.on_standing(standing) {
            self.send(ToMaster::Knock(self.settings.knock.clone()));
        }
    }

    /// Takes the master's decision. True when the session is live after it.
    fn on_standing(&mut self, standing: &Standing) -> bool {
        let (Session::Waiting(beats) | Session::Live(beats, _)) = self.session else {
            return false;
        };
        match standing {
            Standing::Accepted { .. } => {
                // It has done what it was for: a key that is deleted later must not come back by itself.
                self.settings.knock.token = None;
                if matches!(self.session, Session::Waiting(_)) {
                    self.session = Session::Live(beats, Live::default());
                    self.start();
                    self.ask_for_next();
                    self.ask_for_pillar();
                    self.ask_for_modules();
                }
                true
            }
            Standing::Pending | Standing::Rejected | Standing::Denied | Standing::Suspended => {
                self.session = Session::Waiting(beats);
                // The master has ended these jobs the moment it withdrew its trust; what still
                // ran here would make its record a lie.
                let by = match standing {
                    Standing::Suspended => "the master: this minion's key is suspended",
                    _ => "the master: this minion's key is not accepted",
                };
                self.cancel_all(by);
                self.forget_pillar();
                false
            }
        }
    }

    fn start(&mut self) {
        let start = Start {
            version: self.settings.version.clone(),
            journal: self.book.id().to_owned(),
            store: self.book.store().map(str::to_owned),
            open: self.book.open_numbers(),
            message_max: Some(self.settings.message_max as u64),
            successor: self.successor,
            grains: self.grains.clone(),
        };
        self.send(ToMaster::Start(Box::new(start)));
    }

    pub(super) fn on_heard(&mut self, message: ToMinion, now: Instant) {
        if let Session::Waiting(beats) | Session::Live(beats, _) = &mut self.session {
            beats.silent_at = now + beats.every * BEATS_MISSED_MAX;
        }
        self.on_message(message, now);
    }

    pub(super) fn on_message(&mut self, message: ToMinion, now: Instant) {
        if matches!(self.session, Session::None) {
            return self.note(Note::NotLive);
        }
        let is_live = matches!(self.session, Session::Live(..));
        match message {
            ToMinion::Standing(standing) => {
                self.on_standing(&standing);
            }
            ToMinion::Probe => self.beat(),
            // The session itself reads epochs, counts and configs; here they are a sign of life like a beat.
            ToMinion::Beat | ToMinion::Counted(_) | ToMinion::Epoch(_) | ToMinion::Config(_) => {}
            ToMinion::TokenRefused(refused) => self.note(Note::TokenRefused(refused.why)),
            ToMinion::Order(_)
            | ToMinion::Stored(_)
            | ToMinion::Cancel(_)
            | ToMinion::Signal(_)
            | ToMinion::Rotated(_)
            | ToMinion::Pillar(_)
            | ToMinion::Modules(_)
            | ToMinion::Module(_)
                if !is_live =>
            {
                self.note(Note::NotLive);
            }
            ToMinion::Rotated(rotated) => self.on_rotated(rotated),
            ToMinion::Pillar(pillar) => self.on_pillar(*pillar),
            ToMinion::Modules(listed) => self.on_modules(listed.ask, Answer::Listed(listed)),
            ToMinion::Module(module) => self.on_modules(module.ask, Answer::Fetched(module)),
            ToMinion::Order(order) => match &mut self.session {
                Session::Live(_, live) if !live.is_numbered => {
                    live.early.push(*order);
                    if live.early.len() > EARLY_MAX {
                        live.early.clear();
                        self.put(Output::Hangup(Hangup::NeverStarted));
                    }
                }
                _ => self.on_order(*order, now),
            },
            ToMinion::Stored(stored) => self.on_stored(stored, now),
            ToMinion::Cancel(cancel) => self.on_cancel(&cancel, now),
            ToMinion::Signal(signal) => self.on_signal(signal),
        }
    }

    fn on_stored(&mut self, stored: Stored, now: Instant) {
        if self.book.store() != Some(&stored.store) {
            if self.book.store().is_some() {
                self.note(Note::StoreChanged);
            }
            self.fleeting.clear();
            self.record(Entry::Store { id: stored.store });
        }
        let jids = self.book.stored_jobs(&stored.numbers);
        let fleeting = |jid: &Jid| {
            self.fleeting.get(jid).is_some_and(|f| stored.numbers.contains(&f.number) && f.returned.is_some())
        };
        let forgotten: Vec<Jid> = self.fleeting.keys().copied().filter(fleeting).collect();
        let mut cancelled = Vec::new();
        for jid in &forgotten {
            let fleeting = self.fleeting.remove(jid);
            cancelled.extend(fleeting.filter(Fleeting::is_cancelled).map(|fleeting| fleeting.number));
        }
        let is_on_disk = !jids.is_empty();
        // In this session the order may come after all. In the next one it does not.
        let numbers = if is_on_disk { stored.numbers } else { cancelled };
        let entry = Entry::Stored { numbers, floor: stored.floor };
        if is_on_disk {
            self.record(entry);
        } else {
            // A floor that is forgotten by a restart only lets through what never comes.
            self.book.apply(&entry);
        }

        let Session::Live(_, live) = &mut self.session else { return };
        for jid in jids.iter().chain(&forgotten) {
            live.in_flight.remove(jid);
        }
        if !live.is_numbered {
            live.is_numbered = true;
            let ended = self.book.jobs().filter(|(_, held)| held.is_ended()).map(|(jid, _)| jid);
            live.unsent = ended.collect();
            live.unsent
                .extend(self.fleeting.iter().filter(|(_, f)| f.returned.is_some()).map(|(jid, _)| *jid));
            for order in std::mem::take(&mut live.early) {
                self.on_order(order, now);
            }
        }
        self.send_returns();
        self.call_back();
    }

    /// Sends what the window has room for.
    pub(super) fn send_returns(&mut self) {
        let Session::Live(_, live) = &mut self.session else { return };
        if !live.is_numbered {
            return;
        }
        while live.in_flight.len() < WINDOW {
            let Some(jid) = live.unsent.pop_front() else { return };
            let of_book = self.book.job(jid).and_then(|held| match &held.stage {
                Stage::Ended(returned) => Some(returned),
                Stage::Open { .. } => None,
            });
            let of_memory = || self.fleeting.get(&jid).and_then(|fleeting| fleeting.returned.as_ref());
            if let Some(returned) = of_book.or_else(of_memory) {
                let mut returned = returned.clone();
                shorten(&mut returned, self.return_room);
                self.outputs.push_back(Output::Send(ToMaster::Return(returned)));
                live.in_flight.insert(jid);
            }
        }
    }

    /// Queues a return for sending, unless it is on its way.
    pub(super) fn tell(&mut self, jid: Jid) {
        if let Session::Live(_, live) = &mut self.session
            && live.is_numbered
            && !live.in_flight.contains(&jid)
            && !live.unsent.contains(&jid)
        {
            live.unsent.push_back(jid);
        }
        self.send_returns();
    }

    pub(super) fn beat_if_due(&mut self, now: Instant) {
        let (Session::Waiting(beats) | Session::Live(beats, _)) = &mut self.session else { return };
        if now >= beats.silent_at {
            // Once is enough: the session is as good as gone.
            beats.silent_at = now + beats.every * BEATS_MISSED_MAX;
            return self.put(Output::Hangup(Hangup::Silent));
        }
        if now >= beats.next {
            beats.next = now + beats.every;
            self.beat();
        }
    }

    fn beat(&mut self) {
        let running = self.running.keys().copied().take(RUNNING_MAX).collect();
        self.send(ToMaster::Beat(Beat { running, clock: None }));
    }
}
