//! Other options while jobs run and while a key waits.

use brine_protocol::Secret;

use super::*;

fn reload(rig: &mut Rig, is_token_new: bool, change: impl FnOnce(&mut Settings)) -> Vec<Output> {
    let mut settings = settings();
    change(&mut settings);
    rig.handle(Input::Settings { settings: Box::new(settings), is_token_new })
}

fn told_token(outputs: &[Output]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        Output::Send(ToMaster::Knock(knock)) => knock.token.as_ref().map(Secret::expose),
        _ => None,
    })
}

fn with_token(token: &str) -> impl FnOnce(&mut Settings) {
    let token = Secret::from(token.to_owned());
    |settings| settings.knock.token = Some(token)
}

#[test]
fn more_places_start_who_waits_and_fewer_end_nobody() {
    let mut rig = Rig::live();
    for number in 1..=4 {
        rig.order(number, "cmd.run");
    }
    check(&reload(&mut rig, false, |settings| settings.process_count_max = 3), &["run cmd.run"]);
    check(&reload(&mut rig, false, |settings| settings.process_count_max = 1), &[]);
    check(&rig.end(1), &["record returned 1", "send returned 1"]);
}

#[test]
fn a_token_that_was_used_is_not_told_again() {
    let mut rig = Rig::new();
    reload(&mut rig, true, with_token("brt_1"));
    assert_eq!(told_token(&rig.open(Standing::Pending)), Some("brt_1"));
    reload(&mut rig, false, with_token("brt_1"));
    rig.handle(Input::Lost);
    assert_eq!(told_token(&rig.open(Standing::Pending)), Some("brt_1"), "not used yet");
    rig.hear(ToMinion::Standing(TOKEN));
    reload(&mut rig, false, with_token("brt_1"));
    rig.handle(Input::Lost);
    assert_eq!(told_token(&rig.open(Standing::Pending)), None);
    reload(&mut rig, true, with_token("brt_2"));
    rig.handle(Input::Lost);
    assert_eq!(told_token(&rig.open(Standing::Pending)), Some("brt_2"));
}
