//! Keys that give way: the fold of any lines in any order, and what is refused.

use brine_protocol::message::Rotate;

use super::*;
use crate::key::tests::fixed;
use crate::ledger::{Deed, Draft};
use crate::registry::succession::{Announced, SuccessionRefusal};
use crate::registry::{RotateError, SuccessionError};
use crate::rotation::{self, Handover};

fn rotated(of: &str, from: &str, to: &str) -> Draft {
    Draft {
        by: format!("minion:{of}"),
        reason: None,
        deed: Deed::Rotate {
            id: id(of),
            fingerprint: fingerprint(to),
            key: der(to),
            from: fingerprint(from),
            signature: vec![1; 256],
        },
    }
}

fn fold(drafts: &[Draft]) -> Registry {
    let mut log = MemoryLedger::default();
    for draft in drafts {
        log.append(draft.clone(), at(0)).unwrap();
    }
    Registry::fold(&log.entries().unwrap())
}

/// Every order of these.
fn orders<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for at in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}

#[test]
fn a_rotation_swaps_the_key_and_nothing_else() {
    let registry = fold(&[draft(Act::Accept, "a", "k1"), rotated("a", "k1", "k2")]);
    let standing = |key| registry.standing(&id("a"), fingerprint(key));
    assert_eq!(standing("k2"), Verdict::Accepted { generation: 1 });
    assert_eq!(standing("k1"), Verdict::Denied);
    assert!(registry.is_accepted(&id("a"), 1));
    let key = registry.key(&id("a"), fingerprint("k2")).unwrap();
    assert_eq!((key.key.as_slice(), key.since), (der("k2").as_slice(), at(0)));
    assert_eq!(registry.keys().count(), 1);
    assert!(registry.known_before(&id("a"), fingerprint("k1")));
    assert!(registry.known_before(&id("a"), fingerprint("k2")));
    let history: Vec<_> = registry.history(&id("a")).iter().map(|d| (d.act.as_str(), d.from)).collect();
    assert_eq!(history, [("accept", None), ("rotate", Some(fingerprint("k1")))]);

    // A suspended minion stays so; a rejected or forgotten one gets nothing back.
    let after = |act| fold(&[draft(Act::Accept, "a", "k1"), draft(act, "a", "k1"), rotated("a", "k1", "k2")]);
    let standing = |registry: &Registry| registry.standing(&id("a"), fingerprint("k2"));
    assert_eq!(standing(&after(Act::Suspend)), Verdict::Suspended);
    assert_eq!(standing(&after(Act::Reject)), Verdict::Denied);
    assert_eq!(standing(&after(Act::Delete)), Verdict::Pending);
}

/// After a repair any line may be missing, so any line may come in any state.
#[test]
fn lines_in_any_order_never_make_trust_out_of_nothing() {
    let lines = [
        draft(Act::Accept, "a", "k1"),
        rotated("a", "k1", "k2"),
        rotated("a", "k2", "k3"),
        rotated("a", "k2", "k1"),
        draft(Act::Suspend, "a", "k2"),
        draft(Act::Reject, "a", "k3"),
    ];
    for order in orders(&lines) {
        for end in 0..=order.len() {
            let registry = fold(&order[..end]);
            let holders = registry.keys().filter(|(_, key)| is_holder(key.state)).count();
            assert!(holders <= 1, "{order:?}");
            let is_accept = |draft: &Draft| matches!(draft.deed, Deed::Key { act: Act::Accept, .. });
            assert!(holders == 0 || order[..end].iter().any(is_accept), "{order:?}");
            let mut known: Vec<_> = registry.keys().map(|(_, key)| key.fingerprint).collect();
            known.dedup();
            assert_eq!(known.len(), registry.keys().count(), "no key twice: {order:?}");
        }
    }
    // Without the line that accepted it, a rotation is worth nothing.
    let orphan = fold(&lines[1..3]);
    assert_eq!(orphan.standing(&id("a"), fingerprint("k3")), Verdict::Pending);
}

fn trust() -> Trust<MemoryLedger> {
    Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap()
}

/// `a` with the fixed key `minion`, accepted.
fn with_minion() -> Trust<MemoryLedger> {
    let mut trust = trust();
    let key = fixed("minion");
    let name =
        KeyName { id: id("a"), fingerprint: key.public().fingerprint(), state: Some(KeyState::Pending) };
    let mut knocker = knocker("a", "k", "192.0.2.1");
    (knocker.key, knocker.fingerprint) = (key.public().der().to_vec(), name.fingerprint);
    trust.knock(knocker, at(0));
    trust.act(Act::Accept, &name, "test", None, at(1)).unwrap();
    trust
}

fn handover(from: &str, to: &str) -> Handover {
    let (from, to) = (fixed(from), fixed(to));
    let rotate: Rotate = rotation::sign(&id("a"), &from, &to, None);
    rotation::verify(&id("a"), from.public().der(), &rotate).unwrap()
}

#[test]
fn what_a_minion_may_rotate_to() {
    let mut trust = with_minion();
    let rotate = |trust: &mut Trust<_>, from, to| {
        trust
            .rotate(&id("a"), &handover(from, to), "minion:a", Some("job 1"), at(2))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let refused = |why: &str| Err(why.to_owned());
    let finger = |name| fixed(name).public().fingerprint();
    let head = trust.head();
    assert_eq!(
        rotate(&mut trust, "other", "master"),
        refused(&format!("{} is not the accepted key of this minion", finger("other")))
    );
    assert_eq!(rotate(&mut trust, "minion", "minion"), refused("the new key is the one that is to give way"));
    let mut knocker = knocker("a", "k", "192.0.2.9");
    (knocker.key, knocker.fingerprint) = (fixed("master").public().der().to_vec(), finger("master"));
    trust.knock(knocker, at(1));
    let other = KeyName { id: id("a"), fingerprint: finger("master"), state: None };
    trust.act(Act::Reject, &other, "test", None, at(1)).unwrap();
    assert_eq!(
        rotate(&mut trust, "minion", "master"),
        refused(&format!("the new key {} is known here as rejected", finger("master")))
    );
    trust.act(Act::Delete, &other, "test", None, at(1)).unwrap();
    assert_ne!(trust.head(), head);

    // The same key, when it merely waits, waits no longer.
    let mut knocker = self::knocker("a", "k", "192.0.2.9");
    (knocker.key, knocker.fingerprint) = (fixed("other").public().der().to_vec(), finger("other"));
    trust.knock(knocker, at(1));
    assert_eq!(trust.count(KeyState::Denied), 1);
    assert_eq!(rotate(&mut trust, "minion", "other"), Ok(()));
    assert_eq!((trust.count(KeyState::Denied), trust.count(KeyState::Accepted)), (0, 1));
    let listed = trust.list().remove(0);
    assert_eq!((listed.fingerprint, listed.first_seen), (finger("other"), at(0)));
    assert_eq!((listed.generation, listed.attempts), (1, 1));

    // A key that gave way is worth nothing for good.
    assert_eq!(
        rotate(&mut trust, "other", "minion"),
        refused(&format!(
            "the new key {} is known here as one that this minion had before",
            finger("minion")
        ))
    );
}

#[test]
fn a_suspended_minion_rotates_nothing() {
    let mut trust = with_minion();
    let name = KeyName { id: id("a"), fingerprint: fixed("minion").public().fingerprint(), state: None };
    trust.act(Act::Suspend, &name, "test", None, at(2)).unwrap();
    let refused = trust.rotate(&id("a"), &handover("minion", "other"), "minion:a", None, at(3));
    assert!(matches!(refused, Err(RotateError::Refused(RotationRefusal::NotAccepted(_)))));
}

/// One line of a succession.
#[derive(Debug, Clone, Copy)]
enum Step {
    Announce(&'static str, &'static str),
    Succeed(&'static str, &'static str),
    Withdraw(&'static str, &'static str),
}

impl Step {
    fn draft(self) -> Draft {
        let deed = match self {
            Step::Announce(from, to) => Deed::Announce {
                fingerprint: fingerprint(to),
                key: der(to),
                from: fingerprint(from),
                until: at(60),
            },
            Step::Succeed(from, to) => {
                Deed::Succeed { fingerprint: fingerprint(to), from: fingerprint(from) }
            }
            Step::Withdraw(from, to) => {
                Deed::Withdraw { fingerprint: fingerprint(to), from: fingerprint(from) }
            }
        };
        Draft { by: "master".into(), reason: None, deed }
    }
}

#[test]
fn successions_in_any_order() {
    let steps = [
        Step::Announce("m1", "m2"),
        Step::Succeed("m1", "m2"),
        Step::Withdraw("m1", "m2"),
        Step::Announce("m2", "m3"),
        Step::Withdraw("m2", "m3"),
    ];
    for order in orders(&steps) {
        for end in 0..=order.len() {
            // The last word about the present key holds; what was announced last and neither
            // taken back nor overtaken is announced.
            let (mut current, mut announced) = (None, None);
            for step in &order[..end] {
                match *step {
                    Step::Announce(from, to) => (current, announced) = (Some(from), Some(to)),
                    Step::Succeed(_, to) => (current, announced) = (Some(to), None),
                    Step::Withdraw(from, to) => {
                        current = Some(from);
                        announced = announced.filter(|announced| *announced != to);
                    }
                }
            }
            let drafts: Vec<Draft> = order[..end].iter().map(|step| step.draft()).collect();
            let registry = fold(&drafts);
            let keys = registry.master_keys();
            assert_eq!(keys.current, current.map(fingerprint), "{:?}", &order[..end]);
            assert_eq!(keys.announced.map(|a| a.to), announced.map(fingerprint), "{:?}", &order[..end]);
        }
    }
}

#[test]
fn one_rotation_of_the_master_at_a_time() {
    let mut trust = trust();
    let (old, new) = (fixed("master").public().clone(), fixed("other").public().clone());
    let refusal = |done: Result<Announced, SuccessionError>| match done.unwrap_err() {
        SuccessionError::Refused(refusal) => refusal,
        SuccessionError::Ledger(error) => panic!("{error}"),
    };
    assert_eq!(refusal(trust.succeed("test", None, at(1))), SuccessionRefusal::None);
    assert_eq!(refusal(trust.withdraw("test", None, at(1))), SuccessionRefusal::None);
    let from = old.fingerprint();
    let announce = |trust: &mut Trust<_>, new: &_, reason: Option<&str>| {
        trust.announce(from, new, at(60), "test", reason, at(1))
    };
    assert_eq!(refusal(announce(&mut trust, &old, None)), SuccessionRefusal::Same);
    let long = "x".repeat(REASON_MAX + 1);
    assert_eq!(refusal(announce(&mut trust, &new, Some(&long))), SuccessionRefusal::ReasonTooLong(1025));
    assert_eq!(trust.registry().master_keys(), &super::super::MasterKeys::default());

    let announced = announce(&mut trust, &new, Some("yearly")).unwrap();
    assert_eq!(announced, Announced { from, to: new.fingerprint(), since: at(1), until: at(60) });
    assert_eq!(trust.registry().master_keys().announced, Some(announced));
    let under_way = SuccessionRefusal::UnderWay { to: new.fingerprint(), until: at(60) };
    assert_eq!(refusal(announce(&mut trust, fixed("minion").public(), None)), under_way);
    assert_eq!(trust.withdraw("test", None, at(2)).unwrap(), announced);
    assert_eq!(trust.registry().master_keys().current, Some(from));
    announce(&mut trust, &new, None).unwrap();
    trust.succeed("test", None, at(2)).unwrap();
    let keys = trust.registry().master_keys();
    assert_eq!((keys.current, keys.announced), (Some(new.fingerprint()), None));
}
