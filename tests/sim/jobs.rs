//! What happens on a minion's machine besides its loop: jobs take their time and end in every way,
//! keys are made and take their place, grains change.

use brine_minion::book::Process;
use brine_minion::engine::{Input, Job};
use brine_protocol::job::{Ending, Returned};
use brine_protocol::message::is_repeatable;
use brine_protocol::{Fingerprint, Jid};
use serde_json::json;

use crate::machine::Woken;
use crate::world::{Event, MILLI, Micros, SECOND, World};

impl World {
    /// Starts a job, whose end is decided now.
    pub fn start_job(&mut self, minion: usize, job: &Job) {
        let name = self.machines[minion].name.clone();
        self.say(|| format!("{name} runs {} {}", job.jid, job.functions()));
        let is_quick = job.calls.iter().all(|call| is_repeatable(&call.function));
        let takes = match self.dice.below(10) {
            _ if is_quick => self.dice.between(100, 3000),
            0..=5 => self.dice.between(1, 200) * MILLI,
            6..=8 => self.dice.between(200, 2000) * MILLI,
            _ => self.dice.between(2, 6) * SECOND,
        };
        let returned = |retcode| {
            let value = json!({"ran": job.jid.to_string(), "on": name.to_string()});
            Ending::Returned(Returned { value, retcode, duration_ms: 1, truncated: false })
        };
        let ending = match self.dice.below(10) {
            0 if !is_quick => returned(2),
            1 if !is_quick => Ending::Failed { why: "no such program".to_owned() },
            _ => returned(0),
        };
        self.tally.jobs_of_many += u64::from(job.calls.len() > 1);
        let timeout = job.timeout.map(|timeout| u64::try_from(timeout.as_micros()).expect("short"));
        let (takes, ending) = match timeout.filter(|timeout| *timeout < takes) {
            Some(timeout) => (timeout, Ending::TimedOut { after_ms: timeout / MILLI }),
            None => (takes, ending),
        };
        if job.is_detached {
            self.tally.detached += 1;
            let takes = takes + self.dice.between(0, 5) * SECOND;
            return self.detach(minion, job.jid, takes, ending);
        }
        self.model.on_run(job.jid, &name);
        self.end_job_in(minion, job.jid, takes, ending);
        if self.dice.percent(30) {
            let process = Process { pid: 4711, start: Some(self.now) };
            self.tell(minion, Woken::Input(Input::Spawned { jid: job.jid, process }));
        }
    }

    /// Kills a job if it runs.
    pub fn kill_job(&mut self, minion: usize, jid: Jid, by: String) {
        if self.machines[minion].jobs.contains_key(&jid) {
            self.stop_detached(minion, jid);
            self.end_job_in(minion, jid, MILLI, Ending::Cancelled { by });
        }
    }

    /// A job has one end: the last that is named here before it comes.
    pub fn end_job_in(&mut self, minion: usize, jid: Jid, pause: Micros, ending: Ending) {
        let machine = &mut self.machines[minion];
        machine.runs += 1;
        let (run, life) = (machine.runs, machine.life);
        machine.jobs.insert(jid, run);
        self.at(self.now + pause, Event::JobEnd { minion, life, jid, run, ending: Box::new(ending) });
    }

    /// A job ends.
    pub fn on_job_end(&mut self, minion: usize, life: u64, jid: Jid, run: u64, ending: Ending) {
        let machine = &mut self.machines[minion];
        if machine.life == life && machine.jobs.get(&jid) == Some(&run) {
            machine.jobs.remove(&jid);
            self.say(|| format!("web{minion} ends {jid}: {}", ending.name()));
            self.tell(minion, Woken::Input(Input::Ended { jid, ending }));
        }
    }

    /// The master knows this key as the minion's.
    pub fn promote(&mut self, minion: usize, key: Fingerprint) {
        let machine = &mut self.machines[minion];
        if let Some(next) = machine.next.filter(|next| machine.fingerprint(*next) == key) {
            machine.current = next;
            machine.next = None;
            self.tally.turned_in_job += u64::from(!machine.jobs.is_empty());
            self.say(|| format!("web{minion} has another key"));
            self.handle_of(minion, Input::Turned);
        }
    }

    /// An administrator has a minion make its next key.
    pub fn prepare_key(&mut self, minion: usize) {
        let machine = &mut self.machines[minion];
        if machine.engine.is_some() && machine.next.is_none() {
            let next = 1 - machine.current;
            machine.next = Some(next);
            let fingerprint = machine.fingerprint(next);
            self.tell(minion, Woken::Input(Input::Prepared { fingerprint, jid: None }));
        }
    }

    /// A minion's grains are others from now on.
    pub fn change_role(&mut self, minion: usize) {
        self.machines[minion].role = self.dice.between(0, 1);
        let grains = self.machines[minion].grains();
        self.tell(minion, Woken::Input(Input::Grains(grains)));
    }
}
