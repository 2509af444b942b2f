//! What is held for the master, on disk and in memory, and where that ends.

use brine_protocol::job::CALLS_MAX;

use super::*;
use crate::engine::jobs::TEXT_MAX;

#[test]
fn a_full_spool_refuses_and_drops_nothing() {
    let mut rig = Rig::live();
    let mut taken = 0;
    for number in 1..100 {
        let outputs = rig.order(number, "cmd.run");
        if words(&outputs)[0] == "refused" {
            check(&outputs, &["refused", "send refused 6"]);
            break;
        }
        rig.handle(Input::Ended { jid: jid(number), ending: done(json!("x".repeat(3700))) });
        taken += 1;
    }
    assert_eq!((taken, rig.engine.book().jobs().count()), (5, 5));
    // What needs no disk goes on, and room lets orders in again.
    check(&rig.order(7, "test.ping"), &["run test.ping"]);
    rig.stored(&[1], 0);
    check(&rig.order(8, "cmd.run"), &["record open 8", "run cmd.run"]);
    // The refusal was not journaled: should its answer be lost, the order is judged again.
    rig.stored(&[2, 3, 4, 5], 0);
    let mut again = rig.restart();
    again.open(TOKEN);
    again.stored(&[], 0);
    check(&again.order(6, "cmd.run"), &["record open 6", "run cmd.run"]);
}

/// A rig whose spool is full: orders 1 to 5 wait to be taken by the master.
fn full() -> Rig {
    let mut rig = Rig::live();
    for number in 1..=5 {
        rig.order(number, "cmd.run");
        rig.handle(Input::Ended { jid: jid(number), ending: done(json!("x".repeat(3850))) });
    }
    assert!(rig.engine.load().held_bytes >= settings().spool_max);
    rig
}

fn not_meant(number: u64) -> ToMinion {
    let mut order = order(number, "cmd.run");
    order.target = Target::glob("db*");
    ToMinion::Order(Box::new(order))
}

#[test]
fn a_full_spool_takes_no_end_of_what_is_not_in_it() {
    let mut rig = full();
    let before = rig.engine.load();
    check(&rig.hear(not_meant(6)), &["refused", "send refused 6"]);
    let mut late = order(7, "cmd.run");
    late.expires_in_ms = Some(0);
    check(&rig.hear(ToMinion::Order(Box::new(late))), &["send expired 7"]);
    check(&rig.cancel(8), &["send cancelled 8"]);
    assert_eq!((rig.engine.load().held, rig.engine.load().held_bytes), (before.held, before.held_bytes));
    // With room they are on disk again.
    rig.stored(&[1], 0);
    check(&rig.hear(not_meant(9)), &["refused", "record refused 9", "send refused 9"]);
}

#[test]
fn a_cancel_that_came_before_its_order_holds_without_the_disk_too() {
    let mut rig = full();
    rig.cancel(8);
    check(&rig.order(8, "cmd.run"), &["duplicate"]);
    // Its end is stored, there is room again, and the order comes late over the other connection.
    rig.stored(&[8], 0);
    rig.stored(&[1, 2], 0);
    check(&rig.order(8, "cmd.run"), &["duplicate"]);
    // However many answers were made since.
    let mut rig = full();
    rig.cancel(8);
    for number in 9..9 + 2 * FLEETING_MAX as u64 {
        rig.order(number, "test.ping");
        rig.end(number);
        rig.stored(&[number], 0);
    }
    check(&rig.order(8, "cmd.run"), &["duplicate"]);
}

#[test]
fn refusals_that_nobody_takes_are_bounded_and_what_is_turned_away_comes_again() {
    let mut rig = full();
    let most = 5 + OWED_MAX as u64;
    for number in 6..=most {
        assert_eq!(words(&rig.hear(not_meant(number)))[0], "refused", "{number}");
    }
    for number in most + 1..most + 5000 {
        let said = words(&if number % 2 == 0 { rig.hear(not_meant(number)) } else { rig.cancel(number) });
        assert_eq!(said, ["turned away"], "{number}");
    }
    check(&rig.order(90_000, "test.ping"), &["turned away"]);
    let load = rig.engine.load();
    assert_eq!((load.fleeting, load.held, load.in_flight), (OWED_MAX, 5, WINDOW));
    // The master takes them at last. The session ends when there is room, and not before.
    let mut hung_up = None;
    for number in 6..=most {
        let said = words(&rig.stored(&[number], 0));
        if said.iter().any(|word| word == "hang up: TurnedAway") {
            assert!(hung_up.replace(number).is_none(), "once");
        }
    }
    assert_eq!(hung_up, Some(5 + (OWED_MAX - OWED_AGAIN) as u64));
    rig.handle(Input::Lost);
    rig.open(TOKEN);
    assert!(!words(&rig.stored(&[1, 2, 3, 4, 5], 0)).iter().any(|word| word.starts_with("hang up")));
    let (record, send) = (format!("record refused {}", most + 1), format!("send refused {}", most + 1));
    check(&rig.hear(not_meant(most + 1)), &["refused", &record, &send]);
}

#[test]
fn the_end_of_an_order_that_was_not_taken_is_short() {
    let mut rig = Rig::live();
    let mut absurd = order(1, &"é".repeat(100_000));
    absurd.target = Target::glob(&"db".repeat(100_000));
    let outputs = rig.hear(ToMinion::Order(Box::new(absurd)));
    let returned = outputs.iter().find_map(|output| match output {
        Output::Record(Entry::End { returned, .. }) => Some(returned),
        _ => None,
    });
    let returned = returned.expect("it is refused on disk");
    assert!(serde_json::to_vec(&returned).unwrap().len() <= settings().return_max.max(3 * TEXT_MAX));
    assert!(returned.functions.len() <= TEXT_MAX + '…'.len_utf8());
    // The names of all functions that a job may have are not cut.
    let mut many = order(2, &"f".repeat(128));
    many.calls = vec![many.calls[0].clone(); CALLS_MAX];
    many.target = Target::glob("db*");
    rig.engine.settings.return_max = 1 << 20;
    let outputs = rig.hear(ToMinion::Order(Box::new(many)));
    let Output::Record(Entry::End { returned, .. }) = &outputs[1] else { panic!("{outputs:?}") };
    assert_eq!(returned.functions.len(), 128 * CALLS_MAX + CALLS_MAX - 1);
}
