//! Keys that give way to others: when the master is asked, and what its answer does.

use brine_protocol::Fingerprint;
use brine_protocol::message::{Config, Rotated};

use super::*;

const NEXT: Fingerprint = Fingerprint([7; 32]);
const OTHER: Fingerprint = Fingerprint([8; 32]);

fn prepare(rig: &mut Rig, jid: Option<Jid>) -> Vec<Output> {
    rig.handle(Input::Prepared { fingerprint: NEXT, jid })
}

fn answer(rig: &mut Rig, fingerprint: Fingerprint, refused: Option<&str>) -> Vec<Output> {
    rig.hear(ToMinion::Rotated(Rotated { fingerprint, refused: refused.map(str::to_owned) }))
}

#[test]
fn a_live_session_asks_at_once_and_does_what_the_master_says() {
    for (refused, expected) in [(None, "promote 7"), (Some("known here"), "discard 7: known here")] {
        let mut rig = Rig::live();
        check(&prepare(&mut rig, Some(jid(1))), &["ask for next true"]);
        check(&prepare(&mut rig, Some(jid(2))), &[]);
        check(&answer(&mut rig, OTHER, None), &[]);
        check(&answer(&mut rig, NEXT, refused), &[expected]);
        check(&answer(&mut rig, NEXT, refused), &[]);
        // Nothing is left to be asked for.
        rig.handle(Input::Lost);
        check(&rig.open(TOKEN), &["start []"]);
    }
}

#[test]
fn each_live_session_asks_again_until_the_answer_is_known() {
    let mut rig = Rig::new();
    check(&prepare(&mut rig, None), &[]);
    check(&rig.open(Standing::Pending), &["knock"]);
    check(&rig.hear(ToMinion::Standing(TOKEN)), &["start []", "ask for next false"]);
    for _ in 0..2 {
        rig.handle(Input::Lost);
        check(&answer(&mut rig, NEXT, None), &["not live"]);
        check(&rig.open(TOKEN), &["start []", "ask for next false"]);
    }
    // The master has opened a session under the next key: that is the answer.
    rig.handle(Input::Lost);
    check(&rig.handle(Input::Turned), &[]);
    check(&rig.open(TOKEN), &["start []"]);
}

#[test]
fn what_was_asked_for_outside_a_live_session_is_not_believed() {
    let mut rig = Rig::new();
    prepare(&mut rig, None);
    rig.open(Standing::Denied);
    check(&answer(&mut rig, NEXT, Some("no")), &["not live"]);
    check(&rig.hear(ToMinion::Standing(TOKEN)), &["start []", "ask for next false"]);
}

#[test]
fn the_master_hears_what_this_minion_knows_of_its_next_key() {
    let told = |outputs: &[Output]| match &outputs[0] {
        Output::Send(ToMaster::Start(start)) => start.successor,
        Output::Send(ToMaster::Learned(learned)) => learned.successor,
        other => panic!("{other:?}"),
    };
    let mut rig = Rig::new();
    let opened = |successor| Input::Opened { standing: TOKEN, heartbeat: BEAT, message_max: None, successor };
    assert_eq!(told(&rig.handle(opened(Some(OTHER)))), Some(OTHER));
    for successor in [None, Some(NEXT)] {
        check(&rig.hear(ToMinion::Config(Config { offer: String::new() })), &[]);
        assert_eq!(told(&rig.handle(Input::Learned(successor))), successor);
    }
    rig.handle(Input::Lost);
    assert_eq!(told(&rig.handle(opened(None))), None, "the handshake has the last word");

    // While the key waits it is only kept, for the Start.
    let mut rig = Rig::new();
    rig.open(Standing::Pending);
    check(&rig.handle(Input::Learned(Some(OTHER))), &[]);
    assert_eq!(told(&rig.hear(ToMinion::Standing(TOKEN))), Some(OTHER));
}
