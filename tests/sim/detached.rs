//! Detached work: what watches over it goes on without the minion's process, but not without the
//! machine; it runs nothing before the minion has written down that it is there.

use std::collections::BTreeSet;

use brine_minion::book::{Book, Process};
use brine_minion::engine::{DetachedStep, Input};
use brine_protocol::Jid;
use brine_protocol::job::Ending;

use crate::machine::Woken;
use crate::world::{MILLI, Micros, Sabotage, World};

/// One job's, as its supervisor has it.
#[derive(Debug)]
pub struct Work {
    takes: Micros,
    ending: Ending,
    /// When it ends; none before it was told what to run.
    until: Option<Micros>,
}

impl World {
    /// A supervisor is started, which waits to be told what to run.
    pub fn detach(&mut self, minion: usize, jid: Jid, takes: Micros, ending: Ending) {
        let process = Process { pid: 4712, start: Some(self.now) };
        let machine = &mut self.machines[minion];
        machine.detached.insert(jid, Work { takes, ending, until: None });
        machine.runs += 1;
        machine.jobs.insert(jid, machine.runs);
        self.tell(minion, Woken::Input(Input::Spawned { jid, process }));
    }

    /// The engine has decided how to go on with it.
    pub fn on_detached(&mut self, minion: usize, jid: Jid, step: &DetachedStep) {
        match step {
            DetachedStep::Proceed => self.proceed(minion, jid),
            DetachedStep::Resume { .. } => {
                let Some(work) = self.machines[minion].detached.get(&jid) else {
                    return self
                        .model
                        .broke(0, format!("web{minion} watches {jid}, of which there is nothing"));
                };
                let (ending, until) = (work.ending.clone(), work.until.unwrap_or(self.now));
                self.tally.detached_found += 1;
                self.say(|| format!("web{minion} watches {jid} again"));
                self.end_job_in(minion, jid, until.saturating_sub(self.now) + MILLI, ending);
            }
            DetachedStep::Forget => drop(self.machines[minion].detached.remove(&jid)),
        }
    }

    fn proceed(&mut self, minion: usize, jid: Jid) {
        let name = self.machines[minion].name.clone();
        let Some(work) = self.machines[minion].detached.get_mut(&jid).filter(|work| work.until.is_none())
        else {
            return;
        };
        work.until = Some(self.now + work.takes);
        let (takes, ending) = (work.takes, work.ending.clone());
        self.model.on_run(jid, &name);
        self.model.on_begun(jid, &name, &ending);
        self.end_job_in(minion, jid, takes, ending);
    }

    /// Its supervisor is told to stop. It writes that down, and the minion knows why.
    pub fn stop_detached(&mut self, minion: usize, jid: Jid) {
        let name = self.machines[minion].name.clone();
        if let Some(work) = self.machines[minion].detached.get_mut(&jid) {
            work.ending = Ending::Interrupted { why: "the supervisor was told to stop".to_owned() };
            work.until = Some(self.now + MILLI);
            self.model.on_disturbed(&name, Some(jid));
        }
    }

    /// The minion's process is gone, and with the power everything that had not ended.
    pub fn leave_detached(&mut self, minion: usize, is_power: bool) {
        let now = self.now;
        let machine = &mut self.machines[minion];
        let has_ended = |until: Micros| until <= now;
        machine.detached.retain(|_, work| work.until.is_some_and(|until| !is_power || has_ended(until)));
        if is_power {
            machine.boot += 1;
            let name = machine.name.clone();
            self.model.on_disturbed(&name, None);
        }
    }

    /// What a process that starts finds of its own. The rest is ended.
    pub fn find_detached(&mut self, minion: usize, book: &Book) -> BTreeSet<Jid> {
        if self.sabotage == Sabotage::ForgottenWork {
            self.machines[minion].detached.clear();
        }
        let is_open = |jid: &Jid| book.job(*jid).is_some_and(brine_minion::book::Held::is_detached);
        let found = &mut self.machines[minion].detached;
        found.retain(|jid, _| is_open(jid));
        found.keys().copied().collect()
    }
}
