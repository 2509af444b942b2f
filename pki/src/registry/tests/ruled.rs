//! Rules: who they let in, and what stands rejected because of one.

use brine_protocol::control::{KeyState, KeysQuery};

use super::*;
use crate::registry::rules::{Expressions, Rules};

fn autoreject(lines: &str) -> Rules {
    Rules { autoreject: Expressions::parse(lines).unwrap(), ..Rules::default() }
}

fn autosign(lines: &str) -> Rules {
    Rules { autosign: Expressions::parse(lines).unwrap(), ..Rules::default() }
}

fn trust() -> Trust<MemoryLedger> {
    Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap()
}

fn state(trust: &Trust<MemoryLedger>, of: &str, key: &str) -> KeyState {
    let query = KeysQuery { id: Some(id(of)), ..KeysQuery::default() };
    let listed = trust.find(&query).into_iter().find(|listed| listed.fingerprint == fingerprint(key));
    let standing = trust.standing(&id(of), fingerprint(key)).state();
    assert!(listed.is_none_or(|listed| listed.state == standing), "the list and the verdict agree");
    standing
}

#[test]
fn a_rejection_by_rule_stands_while_the_rule_does() {
    let mut trust = trust();
    trust.knock(knocker("evil1", "k", "192.0.2.1"), at(0));
    trust.knock(knocker("good", "k", "192.0.2.1"), at(0));
    let head = trust.head();
    let judged = trust.set_rules(autoreject("evil*"), at(1));
    assert_eq!(
        (judged.rejected, judged.released.len(), judged.decided.len()),
        (vec![name("evil1", "k")], 0, 0)
    );
    assert_eq!(state(&trust, "evil1", "k"), KeyState::Rejected);
    assert_eq!(state(&trust, "evil2", "k"), KeyState::Rejected, "also who never knocked");
    assert_eq!(state(&trust, "good", "k"), KeyState::Pending);
    assert_eq!((trust.count(KeyState::Rejected), trust.count(KeyState::Pending)), (1, 1));
    assert_eq!(trust.list()[0].rule.as_deref(), Some("autoreject_file: evil*"));
    let knocked = trust.knock(knocker("evil3", "k", "192.0.2.1"), at(2));
    assert_eq!((knocked.verdict, knocked.waits, knocked.is_new), (Verdict::Rejected, true, true));
    assert_eq!(trust.count(KeyState::Rejected), 2);
    assert_eq!(trust.head(), head, "strangers and rules that turn them away write nothing");
    let judged = trust.set_rules(autoreject("evil3"), at(3));
    assert_eq!((judged.rejected.len(), judged.released), (0, vec![name("evil1", "k")]));
    assert_eq!(state(&trust, "evil1", "k"), KeyState::Pending);
    assert_eq!((trust.list()[0].rule.as_deref(), trust.list()[1].state), (None, KeyState::Rejected));
}

#[test]
fn an_operator_stands_above_a_rule() {
    let saw = |state| KeyName { state: Some(state), ..name("evil", "k") };
    let fresh = || {
        let mut trust = trust();
        trust.set_rules(autoreject("evil"), at(0));
        trust.knock(knocker("evil", "k", "192.0.2.1"), at(0));
        trust
    };
    let mut trust = fresh();
    let refused = trust.act(Act::Accept, &saw(KeyState::Pending), "test", None, at(1)).unwrap_err();
    assert_eq!(refused.to_string(), "the key of evil changed meanwhile: it is rejected, not pending");
    let done = trust.act(Act::Accept, &saw(KeyState::Rejected), "test", None, at(1)).unwrap();
    assert_eq!((done.was, done.is), (Verdict::Rejected, Some(Verdict::Accepted { generation: 1 })));
    assert_eq!(state(&trust, "evil", "k"), KeyState::Accepted, "the rule is not asked any more");
    trust.knock(knocker("evil", "k2", "192.0.2.2"), at(2));
    assert_eq!(state(&trust, "evil", "k2"), KeyState::Denied);
    let judged = trust.set_rules(autoreject("evil*"), at(3));
    assert!(judged.rejected.is_empty(), "who is held by a decision is no matter of rules");

    // Rejected for good: it stays so without the rule.
    let mut trust = fresh();
    trust.act(Act::Reject, &saw(KeyState::Rejected), "test", None, at(1)).unwrap();
    trust.set_rules(Rules::default(), at(2));
    assert_eq!(state(&trust, "evil", "k"), KeyState::Rejected);
    let again = trust.act(Act::Reject, &name("evil", "k"), "test", None, at(3)).unwrap_err();
    assert_eq!(again.to_string(), "cannot reject the key of evil: it is rejected already");

    let mut trust = fresh();
    assert_eq!(trust.act(Act::Delete, &saw(KeyState::Rejected), "test", None, at(1)).unwrap().is, None);
    assert!(trust.list().is_empty());
}

#[test]
fn rules_let_in_who_waits_alone_and_nobody_else() {
    let mut trust = trust();
    for (of, key) in [("web1", "k"), ("web2", "k"), ("web2", "k2"), ("web3", "k"), ("db1", "k")] {
        trust.knock(knocker(of, key, "192.0.2.1"), at(0));
    }
    trust.act(Act::Reject, &name("web3", "k"), "test", None, at(0)).unwrap();
    trust.knock(knocker("web3", "k2", "192.0.2.1"), at(0));
    let imported =
        Imported { id: id("web4"), fingerprint: fingerprint("k"), key: der("k"), state: KeyState::Pending };
    trust.import(&[imported], "root", None, at(0))[0].as_ref().unwrap();
    let judged = trust.set_rules(autosign("web*"), at(1));
    let done = judged.decided[0].as_ref().unwrap();
    assert_eq!((judged.decided.len(), done.id.as_str()), (1, "web1"));
    assert_eq!((done.entry.by.as_str(), done.entry.reason.as_deref()), ("rule:autosign_file", Some("web*")));
    let told = |of, key| state(&trust, of, key);
    assert_eq!([told("web2", "k"), told("web2", "k2")], [KeyState::Pending; 2], "a human decides");
    assert_eq!([told("web3", "k"), told("web3", "k2")], [KeyState::Rejected, KeyState::Denied]);
    assert_eq!(told("web4", "k"), KeyState::Pending, "nobody showed yet that he has it");
    // Once it is alone, and once it has knocked.
    trust.act(Act::Delete, &name("web2", "k"), "test", None, at(2)).unwrap();
    assert!(trust.judge(&id("web2"), at(3)).unwrap().is_ok());
    trust.knock(knocker("web4", "k", "192.0.2.1"), at(4));
    assert!(trust.judge(&id("web4"), at(4)).unwrap().is_ok());
    assert!(trust.judge(&id("web1"), at(5)).is_none() && trust.judge(&id("db1"), at(5)).is_none());
}

#[test]
fn rules_let_in_no_more_than_max_minions() {
    let mut trust = trust();
    trust.set_max_minions(3);
    for i in 0..5 {
        trust.knock(knocker(&format!("m{i}"), "k", "192.0.2.1"), at(0));
    }
    let judged = trust.set_rules(Rules { auto_accept: true, ..Rules::default() }, at(1));
    assert_eq!(judged.decided.iter().filter(|done| done.is_ok()).count(), 3);
    assert_eq!((trust.count(KeyState::Accepted), trust.count(KeyState::Pending)), (3, 2));
    trust.knock(knocker("m9", "k", "192.0.2.1"), at(2));
    assert!(trust.judge(&id("m9"), at(2)).unwrap().is_err());
}

#[test]
fn what_expired_or_was_pushed_out_is_not_remembered_as_ruled_out() {
    let limits = WaitingLimits { pending_age_s: 10, pending_max: 3, ..WaitingLimits::default() };
    let mut trust = Trust::with_log(MemoryLedger::default(), limits).unwrap();
    trust.set_rules(autoreject("evil*"), at(0));
    for i in 0..20 {
        trust.knock(knocker(&format!("evil{i}"), "k", "192.0.2.1"), at(0));
    }
    assert_eq!((trust.count(KeyState::Rejected), trust.ruled_out_len()), (3, 3));
    trust.expire(at(100));
    assert_eq!((trust.count(KeyState::Rejected), trust.ruled_out_len()), (0, 0));
}
