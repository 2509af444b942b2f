//! The master's writing thread: nothing behind a record happens before it is on disk.

use std::collections::VecDeque;

use brine_master::engine::{Answer, Output};
use brine_master::store::Record;
use brine_protocol::message::ToMinion;

use crate::disk::step;
use crate::world::{Event, MILLI, Micros, Sabotage, World};

/// The pause before a failed write is tried again.
const RETRY: Micros = 500 * MILLI;

/// The writer: what is being written with what waits behind it, and what comes then.
#[derive(Default)]
pub struct Writer {
    /// Batches that wait.
    pub waiting: VecDeque<Vec<Output>>,
    /// The records that are being written, and what waits behind them.
    pub under_way: Option<(Vec<Record>, Vec<Output>)>,
    /// Why nothing can be written.
    pub problem: Option<String>,
}

impl World {
    /// As in the driver: at once if nothing has to be written, now or before.
    pub fn writer_takes(&mut self, outputs: Vec<Output>) {
        let is_promise = |output: &Output| matches!(output, Output::Persist(_));
        let is_idle = self.master.writer.under_way.is_none();
        if is_idle && !outputs.iter().any(is_promise) {
            return outputs.into_iter().for_each(|output| self.perform(output));
        }
        if outputs.is_empty() {
            return;
        }
        if self.sabotage == Sabotage::HastyMaster {
            let (records, effects): (Vec<_>, Vec<_>) = outputs.into_iter().partition(is_promise);
            effects.into_iter().for_each(|output| self.perform(output));
            self.master.writer.waiting.push_back(records);
        } else {
            self.master.writer.waiting.push_back(outputs);
        }
        if is_idle {
            self.writer_begins();
        }
    }

    fn writer_begins(&mut self) {
        let mut records = Vec::new();
        let mut effects = Vec::new();
        for output in std::mem::take(&mut self.master.writer.waiting).into_iter().flatten() {
            match output {
                Output::Persist(record) => records.push(record),
                effect => effects.push(effect),
            }
        }
        if records.is_empty() && effects.is_empty() {
            return;
        }
        let pause =
            if records.is_empty() { 10 } else { self.dice.between(200, self.master.disk_pace.max(201)) };
        self.master.writer.under_way = Some((records, effects));
        let (life, at) = (self.master.life, self.now + pause);
        if std::mem::take(&mut self.master.is_doomed) {
            let at = self.now + self.dice.between(0, pause);
            self.at(at, Event::Doom { minion: None, life });
        }
        self.at(at, Event::Commit { life });
    }

    /// A write is done, or is tried again.
    pub fn on_commit(&mut self, life: u64) {
        if life != self.master.life || self.master.engine.is_none() {
            return;
        }
        if self.now < self.master.stuck_until {
            self.tally.disk_errors += 1;
            self.master.writer.problem = Some("the disk is full".to_owned());
            return self.at(self.now + RETRY, Event::Commit { life });
        }
        let Some((records, effects)) = self.master.writer.under_way.take() else { return };
        self.master.writer.problem = None;
        self.flush(&records, 3);
        for effect in effects {
            self.perform(effect);
        }
        self.writer_begins();
    }

    /// Writes records, so far.
    pub fn flush(&mut self, records: &[Record], steps: usize) {
        let is_kept =
            |record: &&Record| self.sabotage != Sabotage::LeakyDisk || !matches!(record, Record::Row { .. });
        let kept: Vec<Record> = records.iter().filter(is_kept).cloned().collect();
        self.store.commit(&kept, steps);
        for record in records.iter().filter(|record| step(record) < steps) {
            self.model.on_flushed(record);
        }
    }

    /// Does what had to wait, or what never does.
    pub fn perform(&mut self, output: Output) {
        match output {
            Output::Answer { request, answer } | Output::AnswerNow { request, answer } => {
                let key = self.master.asked_with.remove(&request);
                if let Answer::Job { jid, .. } = *answer {
                    self.say(|| format!("answered: job {jid}"));
                    self.model.on_answered(jid, key.as_ref(), &self.store);
                    self.plan.jids.push(jid);
                } else {
                    self.tally.other_answers += 1;
                }
            }
            Output::Send { conn, message: ToMinion::Stored(stored) } => {
                let minion = self.net.conns[&conn.0].minion;
                let name = self.machines[minion].name.clone();
                for number in &stored.numbers {
                    self.model.on_acknowledged(&name, *number, &self.store);
                }
                self.gate_performs(Output::Send { conn, message: ToMinion::Stored(stored) });
            }
            output => self.gate_performs(output),
        }
    }
}
