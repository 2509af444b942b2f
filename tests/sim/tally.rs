//! What happened, counted: a run that did nothing proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use brine_master::engine::Input as MasterInput;
use brine_minion::engine::Input as MinionInput;
use brine_protocol::message::{ToMaster, ToMinion};

/// Counts of one world or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub seeds: u64,
    /// Inputs handled by engines that say something: neither a tick nor a beat.
    pub inputs: u64,
    /// Ticks and beats.
    pub idle_inputs: u64,
    /// Handshakes begun.
    pub dials: u64,
    /// Jobs on disk.
    pub jobs: u64,
    /// Jobs started on minions.
    pub executions: u64,
    /// Broadcasts sent.
    pub broadcasts: u64,
    /// Processes of the master that died.
    pub master_crashes: u64,
    /// Processes of minions that died.
    pub minion_crashes: u64,
    /// Journals lost.
    pub journals_lost: u64,
    /// Connections cut, and directions that swallow.
    pub cuts: u64,
    /// Sessions ended because too much waited for them.
    pub queues_full: u64,
    /// Messages that the attacker touched.
    pub attacks: u64,
    /// Recorded messages that the attacker sent again.
    pub replays: u64,
    /// Forged messages that were refused.
    pub refused_forgeries: u64,
    /// Writes that failed.
    pub disk_errors: u64,
    /// Clocks set, and machines that slept.
    pub clock_jumps: u64,
    /// Acts on keys.
    pub key_acts: u64,
    /// Answers that are no jid.
    pub other_answers: u64,
    /// Reports stored beside an ending.
    pub late: u64,
    /// Sessions ended because a broadcast was missing.
    pub broadcasts_missed: u64,
    /// Detached jobs started.
    pub detached: u64,
    /// Detached jobs that a later process has found.
    pub detached_found: u64,
    /// Minions that got another key while jobs ran.
    pub turned_in_job: u64,
    /// Executions of several functions.
    pub jobs_of_many: u64,
    /// Jobs asked for that may be queued.
    pub queued: u64,
    /// Batches asked for that wait between turns.
    pub waiting_batches: u64,
    /// Endings by their name.
    pub endings: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts an input of the master's engine.
    pub fn count_master(&mut self, input: &MasterInput) {
        let is_idle = matches!(
            input,
            MasterInput::Tick | MasterInput::Disk(_) | MasterInput::Frame { message: ToMaster::Beat(_), .. }
        );
        *(if is_idle { &mut self.idle_inputs } else { &mut self.inputs }) += 1;
    }

    /// Counts an input of a minion's engine.
    pub fn count_minion(&mut self, input: &MinionInput) {
        let is_idle =
            matches!(input, MinionInput::Tick | MinionInput::Heard(ToMinion::Beat | ToMinion::Counted(_)));
        *(if is_idle { &mut self.idle_inputs } else { &mut self.inputs }) += 1;
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.numbers().into_iter().zip(other.clone().numbers()) {
            *mine.1 += *theirs.1;
        }
        for (name, count) in &other.endings {
            *self.endings.entry(name).or_default() += count;
        }
    }

    fn numbers(&mut self) -> [(&'static str, &mut u64); 27] {
        [
            ("seeds", &mut self.seeds),
            ("inputs (without ticks and beats)", &mut self.inputs),
            ("ticks and beats", &mut self.idle_inputs),
            ("sessions dialled", &mut self.dials),
            ("jobs", &mut self.jobs),
            ("executions", &mut self.executions),
            ("broadcasts", &mut self.broadcasts),
            ("master crashes", &mut self.master_crashes),
            ("minion crashes", &mut self.minion_crashes),
            ("journals lost", &mut self.journals_lost),
            ("connections cut", &mut self.cuts),
            ("send queues full", &mut self.queues_full),
            ("messages attacked", &mut self.attacks),
            ("of these replays", &mut self.replays),
            ("forgeries refused", &mut self.refused_forgeries),
            ("failed writes", &mut self.disk_errors),
            ("clock jumps", &mut self.clock_jumps),
            ("acts on keys", &mut self.key_acts),
            ("other answers", &mut self.other_answers),
            ("late reports", &mut self.late),
            ("missing broadcasts noticed", &mut self.broadcasts_missed),
            ("detached jobs", &mut self.detached),
            ("of these found by a later process", &mut self.detached_found),
            ("keys changed while jobs ran", &mut self.turned_in_job),
            ("executions of several functions", &mut self.jobs_of_many),
            ("jobs to be queued", &mut self.queued),
            ("batches that wait", &mut self.waiting_batches),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.clone().numbers() {
            writeln!(f, "{count:>9}  {name}")?;
        }
        for (name, count) in &self.endings {
            writeln!(f, "{count:>9}  ended {name}")?;
        }
        Ok(())
    }
}
