//! Two machines with one id and one key, and clocks that are off.

use super::*;

fn problems(world: &mut World) -> Vec<String> {
    let out = world.ask(Ask::Health);
    let Answer::Health { problems, .. } = out.answer() else { panic!("{out:?}") };
    problems.clone()
}

fn is_told(out: &Out) -> bool {
    out.tags().contains(&"brine/minion/m1/clash")
}

#[test]
fn machines_that_take_turns_are_told_of_until_they_stop() {
    let mut world = World::new();
    world.live(1, "m1");
    let second = world.start(2, "m1", "k", &[]);
    assert!(!is_told(&second) && second.cut(1), "it may have lost its journal");
    assert!(problems(&mut world).is_empty());
    let back = world.start(3, "m1", "j", &[]);
    assert!(is_told(&back), "the former journal is back: {back:?}");
    let said = problems(&mut world);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("the id m1 with one key, both from 10.0.0.1"), "{said:?}");

    assert!(!is_told(&world.start(4, "m1", "k", &[])), "told a moment ago");
    world.pass(60);
    assert!(is_told(&world.start(5, "m1", "j", &[])));
    world.pass(599);
    assert_eq!(problems(&mut world).len(), 1);
    world.pass(1);
    assert!(problems(&mut world).is_empty(), "nobody took a turn for ten minutes");
    assert!(!is_told(&world.start(6, "m1", "k", &[])), "and it begins anew");
}

#[test]
fn one_machine_is_no_clash() {
    let mut world = World::new();
    world.live(1, "m1");
    for (conn, journal) in [(2, "j"), (3, "j"), (4, "k"), (5, "k"), (6, "l"), (7, "n")] {
        let out = world.start(conn, "m1", journal, &[]);
        assert!(!is_told(&out), "journal {journal}: {out:?}");
    }
    assert!(problems(&mut world).is_empty());
}

#[test]
fn a_clock_that_is_off_is_a_notice_and_nothing_else() {
    let mut world = World::new();
    world.live(1, "m1");
    let notices = |world: &mut World| {
        let out = world.ask(Ask::Health);
        let Answer::Health { notices, problems, .. } = out.answer() else { panic!("{out:?}") };
        assert!(problems.is_empty(), "{problems:?}");
        notices.clone()
    };
    let beat = |world: &mut World, seconds: i64| {
        let clock = Some(world.now.wall.plus_micros(seconds * 1_000_000));
        world.frame(1, ToMaster::Beat(Beat { running: vec![], clock }));
    };
    beat(&mut world, 60);
    assert!(notices(&mut world).is_empty());
    for (seconds, expected) in [(86_400, "m1 is 86400 s ahead"), (-86_400, "m1 is 86400 s behind")] {
        beat(&mut world, seconds);
        let said = notices(&mut world);
        assert!(said.len() == 1 && said[0].contains(expected), "{said:?}");
        // It works as ever.
        let out = world.submit("m1");
        let order = out.orders(1).first().map(|order| (*order).clone()).expect("an order");
        assert_eq!(world.returned(1, &order).endings().len(), 1);
    }
    beat(&mut world, 0);
    assert!(notices(&mut world).is_empty(), "it was set");
}
