//! Refused acts about trust, for the ledger: who tried what. Somebody who tries a thousand times
//! must not fill the disk with it, nor keep the master busy writing.

use std::collections::BTreeMap;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::control::KeyName;
use brine_protocol::permission::Verb;

use super::{Ask, Engine, Output};
use crate::roles::{is_about_trust, verb_name};

/// The same act of the same caller is written once in this time.
const SAME: Duration = Duration::from_secs(60);

/// So many lines of one caller may come at once.
const LINES: u32 = 20;

/// After these, one in this time.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Callers remembered: more names than a master has users. Of further ones nothing is written
/// until an earlier one has been quiet.
const CALLERS_MAX: usize = 1000;

/// The longest subject in a line, in bytes.
const SUBJECT_MAX: usize = 400;

/// What was written lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, Caller>);

#[derive(Debug)]
struct Caller {
    /// Lines that may be written now.
    lines: u32,
    /// Since when the next line is earned.
    earns_since: Duration,
    /// When each act was last written; at most what `lines` let through within [`SAME`].
    written: BTreeMap<(String, String), Duration>,
}

impl Caller {
    fn catch_up(&mut self, now: Duration) {
        self.written.retain(|_, at| now.saturating_sub(*at) < SAME);
        while self.lines < LINES && now.saturating_sub(self.earns_since) >= LINE_EVERY {
            self.lines += 1;
            self.earns_since += LINE_EVERY;
        }
        if self.lines == LINES {
            self.earns_since = now;
        }
    }
}

impl Refusals {
    /// Whether a refusal is worth a line now.
    fn is_due(&mut self, who: &str, verb: &str, subject: &str, now: Duration) -> bool {
        for caller in self.0.values_mut() {
            caller.catch_up(now);
        }
        self.0.retain(|_, caller| caller.lines < LINES || !caller.written.is_empty());
        if self.0.len() >= CALLERS_MAX && !self.0.contains_key(who) {
            return false;
        }
        let unknown = || Caller { lines: LINES, earns_since: now, written: BTreeMap::new() };
        let caller = self.0.entry(who.to_owned()).or_insert_with(unknown);
        let act = (verb.to_owned(), subject.to_owned());
        if caller.lines == 0 || caller.written.contains_key(&act) {
            return false;
        }
        caller.lines -= 1;
        caller.written.insert(act, now);
        true
    }
}

impl<L: Log> Engine<L> {
    /// Somebody was refused an act about trust.
    pub(super) fn note_refused(&mut self, who: &str, verb: Verb, subject: &str) {
        self.output(Output::Count("acts_refused"));
        let verb = verb_name(verb);
        let subject = cut(subject);
        if self.refusals.is_due(who, &verb, &subject, self.now.steady)
            && self.trust.refused(who, &verb, &subject, self.now.wall).is_err()
        {
            self.output(Output::Count("ledger_failed"));
        }
    }
}

impl Ask {
    /// The verb and the subject of an act about trust.
    pub(crate) fn about_trust(&self) -> Option<(Verb, String)> {
        match self {
            Ask::Act(request) => {
                let act = request.act.name();
                Some((Verb::KeysAct, subject(act, request.keys.first(), request.keys.len())))
            }
            Ask::Import(request) => Some((Verb::KeysImport, format!("{} keys", request.keys.len()))),
            Ask::Server(ask) => Some((ask.verb(), ask.subject())).filter(|(verb, _)| is_about_trust(*verb)),
            Ask::Rotate(_) => Some((Verb::MasterRotate, "start".to_owned())),
            Ask::FinishRotation => Some((Verb::MasterRotate, "finish".to_owned())),
            Ask::WithdrawRotation => Some((Verb::MasterRotate, "withdraw".to_owned())),
            Ask::Keys(_)
            | Ask::History(_)
            | Ask::Minions(_)
            | Ask::Minion(_)
            | Ask::Pillar(_)
            | Ask::Targets(_)
            | Ask::Submit { .. }
            | Ask::Kill(_)
            | Ask::Signal(..)
            | Ask::Presence(_)
            | Ask::Probe(_)
            | Ask::Follow(_)
            | Ask::Health
            | Ask::Rotation => None,
        }
    }
}

/// An act on so many keys, by the first of them.
pub(super) fn subject(act: &str, first: Option<&KeyName>, count: usize) -> String {
    match first {
        None => format!("{act} no key"),
        Some(KeyName { id, fingerprint, .. }) if count == 1 => format!("{act} {id} {fingerprint}"),
        Some(KeyName { id, fingerprint, .. }) => {
            format!("{act} {id} {fingerprint} and {} more", count - 1)
        }
    }
}

fn cut(subject: &str) -> String {
    let end = (0..=SUBJECT_MAX.min(subject.len())).rev().find(|at| subject.is_char_boundary(*at));
    subject[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_same_act_is_written_once_a_minute() {
        let mut refusals = Refusals::default();
        let mut due = |who, subject, at| refusals.is_due(who, "keys_act", subject, second(at));
        assert!(due("zoe", "accept web1", 0));
        assert!(!due("zoe", "accept web1", 0) && !due("zoe", "accept web1", 59));
        assert!(due("zoe", "accept web2", 59) && due("eve", "accept web1", 59));
        assert!(due("zoe", "accept web1", 60));
        assert!(!due("zoe", "accept web1", 119) && due("zoe", "accept web1", 120));
    }

    #[test]
    fn after_a_burst_a_caller_gets_a_line_in_ten_seconds_and_others_are_not_kept_waiting() {
        let mut refusals = Refusals::default();
        let tried = |refusals: &mut Refusals, from: u64, at: u64| {
            (from..from + 1000)
                .filter(|n| refusals.is_due("zoe", "keys_act", &n.to_string(), second(at)))
                .count()
        };
        assert_eq!(tried(&mut refusals, 0, 5), 20);
        assert_eq!(tried(&mut refusals, 1000, 14), 0);
        assert_eq!(tried(&mut refusals, 2000, 15), 1);
        assert_eq!(tried(&mut refusals, 3000, 34), 1);
        assert_eq!(tried(&mut refusals, 4000, 35), 1);
        assert!(refusals.is_due("eve", "keys_act", "0", second(35)));
        assert_eq!(tried(&mut refusals, 5000, 100_000), 20, "no more is saved up than there was at first");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_is_forgotten() {
        let mut refusals = Refusals::default();
        for n in 0..CALLERS_MAX {
            assert!(refusals.is_due(&n.to_string(), "keys_act", "x", second(0)));
        }
        assert!(!refusals.is_due("one more", "keys_act", "x", second(59)));
        assert!(refusals.is_due("7", "keys_act", "y", second(59)));
        assert!(refusals.is_due("one more", "keys_act", "x", second(60)));
        assert_eq!(refusals.0.len(), 2, "only who was heard of lately");
    }

    #[test]
    fn subjects_are_cut_between_characters() {
        assert_eq!(cut("accept web1"), "accept web1");
        let long = cut(&format!("a{}", "é".repeat(300)));
        assert_eq!((long.len(), long.chars().next_back()), (399, Some('é')));
    }
}
