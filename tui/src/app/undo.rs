//! Taking acts back, key by key, as far as the ledger allows: nothing is erased there, an undo is
//! a further decision. It is guarded by the state that the act left, and a key about which somebody
//! else decided meanwhile is left alone even if it is in that state again. Where decisions of
//! others may have been missed, nothing is taken back.

use std::collections::BTreeSet;

use brine_protocol::control::{Act, KeyState};

use super::keys::{Keys, Name};
use super::plan::{Plan, Step, consequences};
use crate::text::{counted, short_id};

/// The acts that can be taken back, last one first.
const ACTS_MAX: usize = 50;

/// What was done in this session, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    done: Vec<Done>,
    /// Why there is nothing any more.
    why_none: Option<&'static str>,
}

/// An act.
#[derive(Debug)]
struct Done {
    steps: Vec<Step>,
    /// Keys about which somebody else decided since.
    overtaken: BTreeSet<Name>,
    /// Why it is not taken back from here at all.
    blocked: Option<String>,
}

impl Undo {
    /// Notes an act by the steps of it that were done, and the keys about which somebody else
    /// decided already.
    pub(crate) fn push(&mut self, steps: Vec<Step>, overtaken: BTreeSet<Name>) {
        if !steps.is_empty() {
            self.add(Done { steps, overtaken, blocked: None });
        }
    }

    /// Notes something that was done and that is undone elsewhere: an undo is always of the last.
    pub(crate) fn block(&mut self, why: String) {
        self.add(Done { steps: Vec::new(), overtaken: BTreeSet::new(), blocked: Some(why) });
    }

    fn add(&mut self, done: Done) {
        self.done.push(done);
        let surplus = self.done.len().saturating_sub(ACTS_MAX);
        self.done.drain(..surplus);
    }

    /// Forgets the last act: it was taken back, or cannot be.
    pub(crate) fn pop(&mut self) {
        self.done.pop();
    }

    /// Forgets everything: decisions of others may have been missed.
    pub(crate) fn clear(&mut self, why: &'static str) {
        self.done.clear();
        self.why_none = Some(why);
    }

    /// Somebody else decided about this key.
    pub(crate) fn overtake(&mut self, name: &Name) {
        for act in &mut self.done {
            act.overtaken.insert(name.clone());
        }
    }

    /// What taking back the last act would be. One that cannot be taken back is forgotten, so that
    /// it does not stand before those that can.
    ///
    /// # Errors
    /// One sentence that says why it cannot be taken back.
    pub(crate) fn plan(&mut self, keys: &Keys) -> Result<Plan, String> {
        let Some(last) = self.done.last() else {
            let why = self.why_none.unwrap_or("nothing was done from here yet");
            return Err(format!("there is nothing to undo: {why}"));
        };
        let plan = take_back(last, keys);
        if plan.is_err() {
            self.pop();
        }
        plan
    }
}

fn take_back(last: &Done, keys: &Keys) -> Result<Plan, String> {
    if let Some(why) = &last.blocked {
        return Err(why.clone());
    }
    let mut plan = Plan::default();
    let mut stuck: Vec<(&Step, &str)> = Vec::new();
    for step in &last.steps {
        match inverse(step) {
            Ok(inverse) => plan.steps.push(inverse),
            Err(why) => stuck.push((step, why)),
        }
    }
    let mut changed = Vec::new();
    plan.steps.retain(|step| {
        let now = keys.get(&step.name).map(|row| row.key.state);
        let is_as_left = now == Some(step.was) && !last.overtaken.contains(&step.name);
        if !is_as_left {
            changed.push((step.name.id.clone(), now));
        }
        is_as_left
    });
    plan.left_alone.extend(told(&stuck));
    match changed.as_slice() {
        [] => {}
        [(id, now)] => plan.left_alone.push(format!(
            "{} changed meanwhile, it is {} now, and is left alone",
            short_id(id),
            now.map_or("gone", KeyState::name)
        )),
        several => plan
            .left_alone
            .push(format!("{} changed meanwhile and are left alone", counted(several.len(), "key"))),
    }
    if plan.steps.is_empty() {
        return Err(plan.left_alone.swap_remove(0));
    }
    plan.consequences = consequences(&plan.steps, true);
    Ok(plan)
}

fn told(stuck: &[(&Step, &str)]) -> Option<String> {
    match stuck {
        [] => None,
        [(step, why)] => {
            Some(format!("{} cannot be undone for {}: {why}", step.act.name(), short_id(&step.name.id)))
        }
        [(step, why), ..] => {
            Some(format!("{} cannot be undone for {}: {why}", step.act.name(), counted(stuck.len(), "key")))
        }
    }
}

/// Whether there is a way back from a step.
pub(crate) fn is_undoable(step: &Step) -> bool {
    inverse(step).is_ok()
}

/// The step that takes a step back.
fn inverse(step: &Step) -> Result<Step, &'static str> {
    let act = match (step.act, step.was) {
        (Act::Suspend, _) => Act::Resume,
        (Act::Resume, _) => Act::Suspend,
        (Act::Accept, KeyState::Rejected) if !step.by_rule => Act::Reject,
        (Act::Accept, _) => Act::Delete,
        (Act::Reject, KeyState::Pending | KeyState::Denied | KeyState::Rejected) => Act::Delete,
        (Act::Reject, KeyState::Accepted) => Act::Accept,
        (Act::Reject, KeyState::Suspended) => {
            return Err("it was suspended, and a rejected key can only be accepted again");
        }
        (Act::Delete, _) => {
            return Err("the key is forgotten; its minion can knock again and be accepted");
        }
    };
    let Some(was) = step.leaves() else {
        return Err("the key is forgotten; its minion can knock again and be accepted");
    };
    Ok(Step { act, name: step.name.clone(), was, by_rule: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{key, keys, name};

    /// What undoes `act` on a key that was `was`: the act, and the state that it is guarded by.
    fn check(act: Act, was: KeyState, expected: Result<(Act, KeyState), &str>) {
        let step = Step { act, name: name("web1", 1), was, by_rule: false };
        let left = step.leaves();
        let mut undo = Undo::default();
        undo.push(vec![step], BTreeSet::new());
        let now = left.map(|state| key("web1", 1, state));
        let plan = undo.plan(&keys(now));
        match expected {
            Ok((inverse, guard)) => {
                let plan = plan.expect("it can be undone");
                assert_eq!(plan.steps.len(), 1);
                assert_eq!((plan.steps[0].act, plan.steps[0].was), (inverse, guard));
                assert_eq!(plan.steps[0].key_name().state, left, "guarded by what the act left");
                assert_eq!(plan.consequences.len(), 1);
            }
            Err(why) => {
                let said = plan.expect_err("it cannot be undone");
                assert!(said.contains(why) && said.contains("web1"), "{said}");
            }
        }
    }

    #[test]
    fn the_ledger_allows_this() {
        use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
        check(Act::Accept, Pending, Ok((Act::Delete, Accepted)));
        check(Act::Accept, Denied, Ok((Act::Delete, Accepted)));
        check(Act::Accept, Rejected, Ok((Act::Reject, Accepted)));
        check(Act::Reject, Pending, Ok((Act::Delete, Rejected)));
        check(Act::Reject, Denied, Ok((Act::Delete, Rejected)));
        check(Act::Reject, Accepted, Ok((Act::Accept, Rejected)));
        check(Act::Reject, Suspended, Err("it was suspended"));
        check(Act::Suspend, Accepted, Ok((Act::Resume, Suspended)));
        check(Act::Resume, Suspended, Ok((Act::Suspend, Accepted)));
        for was in brine_protocol::control::KEY_STATES {
            check(Act::Delete, was, Err("the key is forgotten"));
        }
    }

    #[test]
    fn what_a_rule_rejected_goes_back_to_the_rule() {
        let mut undo = Undo::default();
        let (name, was) = (name("web1", 1), KeyState::Rejected);
        undo.push(vec![Step { act: Act::Accept, name, was, by_rule: true }], BTreeSet::new());
        let plan = undo.plan(&keys([key("web1", 1, KeyState::Accepted)])).unwrap();
        assert_eq!(plan.steps[0].act, Act::Delete);
    }

    #[test]
    fn what_changed_meanwhile_is_left_alone() {
        let step = |id| Step { act: Act::Accept, name: name(id, 1), was: KeyState::Pending, by_rule: false };
        let mut undo = Undo::default();
        undo.push(vec![step("web1"), step("web2"), step("web3")], BTreeSet::new());
        let now = keys([key("web1", 1, KeyState::Accepted), key("web2", 1, KeyState::Suspended)]);
        let plan = undo.plan(&now).unwrap();
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.left_alone, ["2 keys changed meanwhile and are left alone"]);
        let gone = undo.plan(&keys([])).expect_err("nothing is left to undo");
        assert_eq!(gone, "3 keys changed meanwhile and are left alone");
        assert!(undo.plan(&now).unwrap_err().contains("nothing to undo"));
    }

    #[test]
    fn what_somebody_decided_and_decided_back_is_left_alone() {
        let step =
            |id| Step { act: Act::Suspend, name: name(id, 1), was: KeyState::Accepted, by_rule: false };
        let mut undo = Undo::default();
        undo.push(vec![step("web1"), step("web2")], [name("web2", 1)].into());
        let now = keys([key("web1", 1, KeyState::Suspended), key("web2", 1, KeyState::Suspended)]);
        assert_eq!(undo.plan(&now).unwrap().steps.len(), 1, "one was overtaken while it was done");
        undo.overtake(&name("web1", 2));
        assert_eq!(undo.plan(&now).unwrap().steps.len(), 1, "another key of the same id");
        undo.overtake(&name("web1", 1));
        assert!(undo.plan(&now).unwrap_err().contains("2 keys changed meanwhile"));
        undo.push(vec![step("web1")], BTreeSet::new());
        undo.clear("events were missed");
        assert!(undo.plan(&now).unwrap_err().contains("events were missed"));
    }

    #[test]
    fn acts_are_taken_back_last_first_and_a_limited_number() {
        let mut undo = Undo::default();
        for n in 0..60 {
            let name = name(&format!("web{n}"), 1);
            let step = Step { act: Act::Suspend, name, was: KeyState::Accepted, by_rule: false };
            undo.push(vec![step], BTreeSet::new());
        }
        undo.push(Vec::new(), BTreeSet::new());
        assert_eq!(undo.done.len(), ACTS_MAX);
        assert_eq!(undo.done.last().unwrap().steps[0].name.id.as_str(), "web59");
    }
}
