//! Orders that are no longer for this minion, and what it says of them.

use brine_protocol::target::TargetKind;

use super::*;

fn why(outputs: &[Output]) -> String {
    let refused = outputs.iter().find_map(|output| match output {
        Output::Record(Entry::End { returned, .. }) => match &returned.ending {
            Ending::Refused { why } => Some(why.clone()),
            _ => None,
        },
        _ => None,
    });
    refused.unwrap_or_else(|| panic!("{outputs:?}"))
}

impl Rig {
    fn target(&mut self, number: u64, kind: TargetKind, expression: &str) -> Vec<Output> {
        let target = Target::new(kind, expression);
        self.hear(ToMinion::Order(Box::new(Order { target, ..order(number, "cmd.run") })))
    }
}

#[test]
fn an_order_is_judged_by_what_the_minion_knows_now() {
    let mut rig = Rig::live();
    let grains = |role: &str| Input::Grains(json!({"role": role}).as_object().unwrap().clone());
    rig.handle(grains("web"));
    check(&rig.target(1, TargetKind::Grain, "role:web"), &["record open 1", "run cmd.run"]);
    rig.handle(grains("db"));
    let said = why(&rig.target(2, TargetKind::Grain, "role:web"));
    assert_eq!(said, "no longer matches: web1 is not in the target \"role:web\"");
    let said = why(&rig.target(3, TargetKind::Compound, "web* and G@role:web and not web2"));
    assert!(said.ends_with("and not web2\": does not hold: G@role:web, web2"), "{said}");
    let said = why(&rig.target(4, TargetKind::Compound, "web* and not G@role:db"));
    assert!(said.ends_with(": holds: web*, G@role:db"), "{said}");
    let said = why(&rig.target(5, TargetKind::Compound, "web* and ("));
    assert!(said.starts_with("its target \"web* and (\" cannot be read here: column "), "{said}");
}

#[test]
fn a_minion_has_no_groups_and_no_records() {
    let mut rig = Rig::live();
    assert!(why(&rig.target(1, TargetKind::Nodegroup, "web")).contains("cannot be read here"));
    assert!(why(&rig.target(2, TargetKind::Record, "zone:*")).starts_with("no longer matches"));
}
