//! Who is let in, who is cut off, and who displaces whom.

use super::*;

#[test]
fn a_stranger_waits_until_accepted_and_is_live_at_once() {
    let mut world = World::new();
    let hello = Input::Hello { conn: ConnId(1), id: id("web1"), fingerprint: fingerprint("web1") };
    let out = world.input(hello);
    assert!(matches!(out.0[..], [Output::Welcome { standing: Standing::Pending, .. }]), "{out:?}");
    assert_eq!(world.knock(1, "web1").tags(), ["brine/key/web1/pending"]);
    assert_eq!(world.knock(2, "web1").tags(), ["brine/key/web1/seen"], "known by now");
    let out = world.act(Act::Accept, "web1");
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    let out = world.frame(2, start("j", &[]));
    assert_eq!(out.tags(), ["brine/minion/web1/start"]);
    assert_eq!(world.submit("*").orders(2).len(), 1);
}

#[test]
fn a_newer_session_displaces_an_older_one() {
    let mut world = World::new();
    world.live(1, "web1");
    assert!(world.start(2, "web1", "j", &[]).cut(1));
    world.input(Input::Closed { conn: ConnId(1), why: "displaced" });
    assert_eq!(world.submit("*").orders(2).len(), 1, "the end of the older one is not its end");
}

#[test]
fn a_second_machine_of_a_name_is_denied_and_the_first_works_on() {
    let mut world = World::new();
    world.live(1, "web1");
    assert_eq!(world.knock(2, "web1'").tags(), ["brine/key/web1/denied"]);
    assert_eq!(world.submit("*").orders(1).len(), 1);
    let keys = world.ask(Ask::Keys(KeysQuery::default()));
    let Answer::Keys(keys) = keys.answer() else { panic!() };
    let states: Vec<(KeyState, bool)> = keys.iter().map(|key| (key.state, key.connected)).collect();
    assert_eq!(states, [(KeyState::Accepted, true), (KeyState::Denied, true)]);
    let out = world.act(Act::Accept, "web1'");
    let Answer::Acted(results) = out.answer() else { panic!() };
    assert!(results[0].refused.is_some(), "not over the head of the first");
}

#[test]
fn frames_are_judged_by_what_the_key_is_now() {
    let mut world = World::new();
    world.live(1, "web1");
    let order = world.submit("*").orders(1)[0].clone();
    world.act(Act::Suspend, "web1");
    // In flight while the connection was being cut.
    let out = world.returned(1, &order);
    assert!(out.endings().is_empty() && out.sent(1).is_empty(), "{out:?}");
    // A waiting minion may not speak as an accepted one.
    world.knock(7, "db1");
    assert!(world.frame(7, start("j", &[])).cut(7));
}

#[test]
fn strangers_write_nothing_to_the_store() {
    let mut world = World::new();
    let out = world.knock(1, "web1");
    assert_eq!(out.tags(), ["brine/key/web1/pending"]);
    assert!(!out.0.iter().any(|o| matches!(o, Output::Persist(_))), "{out:?}");
    let age = WaitingLimits::default().pending_age_s;
    let out = world.pass(age + 1);
    assert_eq!(out.tags(), ["brine/key/web1/expired"]);
    assert!(!out.0.iter().any(|o| matches!(o, Output::Persist(_))), "{out:?}");
}

#[test]
fn a_key_that_makes_room_is_told_to_be_gone() {
    let mut world = World::new();
    let most = u64::try_from(WaitingLimits::default().pending_per_id).expect("few");
    let name = |at: u64| format!("web1{}", "'".repeat(usize::try_from(at).expect("few")));
    for conn in 0..most {
        assert_eq!(world.knock(conn, &name(conn)).tags(), ["brine/key/web1/pending"]);
    }
    let out = world.knock(most, &name(most));
    assert_eq!(out.tags(), ["brine/key/web1/expired", "brine/key/web1/pending"]);
    assert!(out.cut(0), "{out:?}");
}
