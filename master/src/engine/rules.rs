//! Decisions that an administrator made beforehand.

use brine_pki::ledger::Log;
use brine_pki::registry::rules::{Rule, Rules};
use brine_pki::registry::{ActError, Done};
use brine_protocol::MinionId;
use brine_protocol::control::{Act, KeyName, KeyState};
use brine_protocol::message::{Standing, ToMinion};
use serde_json::json;

use super::{Engine, Output};
use crate::roles::Principal;

impl<L: Log> Engine<L> {
    /// Other rules hold from now on, also for keys that wait already.
    pub(super) fn on_rules(&mut self, rules: Rules, problem: Option<String>) {
        self.rules_problem = problem;
        let judged = self.trust.set_rules(rules, self.now.wall);
        for name in judged.rejected {
            self.on_ruled(&name, KeyState::Rejected);
        }
        for name in judged.released {
            self.on_ruled(&name, KeyState::Pending);
        }
        for decided in judged.decided {
            self.on_judged(decided);
        }
    }

    /// There may be room now for keys that rules would let in.
    pub(super) fn on_max_minions(&mut self, max: usize) {
        self.trust.set_max_minions(max);
        self.judge_again = true;
        self.judge_again();
    }

    /// Lets the one waiting key of an id in, if a rule says so.
    pub(super) fn judge(&mut self, id: &MinionId) {
        if let Some(decided) = self.trust.judge(id, self.now.wall) {
            self.on_judged(decided);
        }
    }

    /// Whom the rules would have let in before, had `max_minions` left room or the ledger been
    /// writable: their sessions are open and they would not knock again.
    pub(super) fn judge_again(&mut self) {
        if std::mem::take(&mut self.judge_again) {
            for decided in self.trust.judge_all(self.now.wall) {
                self.on_judged(decided);
            }
        }
    }

    fn on_judged(&mut self, decided: Result<Done, ActError>) {
        match decided {
            Ok(done) => {
                let by = done.entry.by.clone();
                self.on_decided(Act::Accept, &done, &by);
            }
            // It waits: an operator may make room.
            Err(ActError::Refused(_)) => self.output(Output::Count("rule_refused")),
            Err(ActError::Ledger(_)) => {
                self.judge_again = true;
                self.output(Output::Count("ledger_failed"));
            }
        }
    }

    /// `autoreject_file` turns a waiting key away, or does so no longer.
    fn on_ruled(&mut self, name: &KeyName, state: KeyState) {
        let key = (name.id.clone(), name.fingerprint);
        let standing = if state == KeyState::Rejected { Standing::Rejected } else { Standing::Pending };
        if let Some(conn) = self.waiting.get(&key).copied() {
            self.send(conn, ToMinion::Standing(standing));
        }
        if state == KeyState::Rejected {
            self.close_waiting(&key, "key_rejected");
        }
        // Derived from the file and from who waits: nothing to store.
        let data = json!({"fingerprint": name.fingerprint, "by": Rule::AutorejectFile.by()});
        self.passing_event(format!("brine/key/{}/{}", name.id, state.name()), data);
    }

    /// What an administrator should keep in mind though nothing is wrong, one sentence each.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        self.notices_to(None)
    }

    /// The same, with no minion in it that this one does not see.
    pub(super) fn notices_to(&self, to: Option<&Principal>) -> Vec<String> {
        let fill = self.trust.fill();
        let unlimited = if fill.is_none() { ", and max_minions sets no limit" } else { "" };
        let rules = self.trust.rules();
        let mut notices = Vec::new();
        if rules.auto_accept {
            notices.push(format!(
                "auto_accept is on: every machine that reaches this master is let in unseen{unlimited}"
            ));
        }
        if !rules.autosign_grains.is_empty() {
            notices.push(format!(
                "autosign_grains_dir lets in every machine that claims a listed grain, on its word{unlimited}"
            ));
        }
        if rules.autosign.has_patterns() {
            notices.push(format!("autosign_file lets in ids by pattern, unseen{unlimited}"));
        }
        if let Some((max, holders)) = fill.filter(|(max, holders)| holders >= max) {
            notices.push(format!(
                "{holders} keys are accepted or suspended and max_minions is {max}: no more can be accepted"
            ));
        }
        notices.extend(self.key_notices(to));
        notices
    }
}
