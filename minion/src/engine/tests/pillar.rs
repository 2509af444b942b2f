//! The pillar: heard, compared with, asked for, forgotten.

use brine_protocol::pillar::Pillar;
use brine_protocol::target::TargetKind;

use super::*;

impl Rig {
    fn pillar(&mut self, pillar: Option<Value>, ask: Option<u64>) -> Vec<Output> {
        let pillar = pillar.map(|pillar| pillar.as_object().unwrap().clone());
        self.hear(ToMinion::Pillar(Box::new(Pillar { pillar, ask, problem: None })))
    }

    fn about_pillar(&mut self, number: u64, expression: &str) -> Vec<Output> {
        let target = Target::new(TargetKind::Pillar, expression);
        self.hear(ToMinion::Order(Box::new(Order { target, ..order(number, "cmd.run") })))
    }
}

#[test]
fn orders_are_judged_by_the_pillar_of_now() {
    let mut rig = Rig::new();
    rig.open(TOKEN);
    // Orders wait for the master to name its store; the pillar does not.
    check(&rig.about_pillar(1, "role:web"), &[]);
    check(&rig.pillar(Some(json!({"role": "web"})), None), &["pillar 1 None"]);
    let outputs = rig.stored(&[], 0);
    assert!(words(&outputs).contains(&"run cmd.run".to_owned()), "{outputs:?}");
    check(&rig.pillar(None, None), &["pillar 1 None"]);
    check(&rig.about_pillar(2, "role:w*"), &["record open 2", "run cmd.run"]);
    rig.pillar(Some(json!({"role": "db"})), None);
    check(&rig.about_pillar(3, "role:web"), &["refused", "record refused 3", "send refused 3"]);
    let shown = format!("{:?}", rig.pillar(Some(json!({"password": "canary"})), None));
    assert!(!shown.contains("canary") && !shown.contains("password"), "{shown}");
}

#[test]
fn what_was_asked_is_asked_again_in_the_next_session_until_it_is_answered() {
    let mut rig = Rig::new();
    check(&rig.handle(Input::RefreshPillar(1)), &[]);
    check(&rig.open(TOKEN), &["start []", "refresh pillar 1"]);
    rig.stored(&[], 0);
    check(&rig.handle(Input::RefreshPillar(2)), &["refresh pillar 2"]);
    check(&rig.pillar(None, Some(1)), &["pillar 0 Some(1)"]);
    rig.handle(Input::Lost);
    check(&rig.open(TOKEN), &["start []", "refresh pillar 2"]);
    check(&rig.pillar(Some(json!({})), Some(2)), &["pillar 0 Some(2)"]);
    rig.handle(Input::Lost);
    check(&rig.open(TOKEN), &["start []"]);
}

#[test]
fn it_outlives_a_session_but_not_the_trust_of_the_master() {
    let mut rig = Rig::live();
    rig.pillar(Some(json!({"role": "web"})), None);
    rig.handle(Input::Lost);
    rig.open(TOKEN);
    rig.stored(&[], 0);
    check(&rig.about_pillar(1, "role:web"), &["record open 1", "run cmd.run"]);
    check(
        &rig.hear(ToMinion::Standing(Standing::Suspended)),
        &["kill by the master: this minion's key is suspended", "pillar 0 None"],
    );
    check(&rig.pillar(Some(json!({"role": "web"})), None), &["not live"]);
}
