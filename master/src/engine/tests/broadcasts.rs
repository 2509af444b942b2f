//! What goes out once for all, and who can read it.

use super::*;

#[test]
fn removal_cuts_the_session_cancels_its_orders_and_changes_the_epoch() {
    for act in [Act::Delete, Act::Reject, Act::Suspend] {
        let mut world = World::new();
        for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web3")] {
            world.live(conn, name);
            world.subscribe(conn);
        }
        world.submit("*");
        let out = world.act(act, "web1");
        assert!(out.cut(1) && !out.cut(2), "{act:?}: {out:?}");
        assert!(matches!(&out.endings()[..], [(who, Ending::Cancelled { .. })] if who == "web1"));
        let out = world.submit("*");
        assert!(out.orders(1).is_empty());
        let epochs = |conn| out.sent(conn).iter().filter(|m| matches!(m, ToMinion::Epoch(_))).count();
        assert_eq!((epochs(1), epochs(2), epochs(3)), (0, 1, 1), "{act:?}");
    }
}

#[test]
fn a_subscriber_that_comes_after_a_removal_leaves_nobody_without_the_new_epoch() {
    let mut world = World::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web3")] {
        world.live(conn, name);
        world.subscribe(conn);
    }
    world.act(Act::Delete, "web1");
    world.live(4, "web4");
    assert!(world.subscribe(4).0.is_empty(), "it may not read what was broadcast before");
    let out = world.pass(1);
    let mut readers: Vec<Reader> = [2, 3, 4]
        .map(|conn| {
            let [ToMinion::Epoch(epoch)] = out.sent(conn)[..] else { panic!("{conn}: {out:?}") };
            let mut reader = Reader::new();
            reader.install(epoch).expect("an epoch");
            reader
        })
        .into();
    assert!(out.sent(1).is_empty(), "{out:?}");
    let out = world.submit("*");
    for reader in &mut readers {
        assert!(reader.open(out.broadcasts()[0].clone()).expect("opens").is_some());
    }
}

#[test]
fn a_broadcast_is_only_for_orders_that_are_for_all() {
    let mut world = World::new();
    let mut readers = Vec::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "db1")] {
        world.knock(conn, name);
        world.act(Act::Accept, name);
        world.frame(conn, start("j", &[]));
        world.subscribe(conn);
    }
    let out = world.pass(1);
    for conn in 1..4 {
        let ToMinion::Epoch(epoch) = out.sent(conn)[0] else { panic!("{out:?}") };
        let mut reader = Reader::new();
        reader.install(epoch).expect("an epoch");
        readers.push(reader);
    }
    let out = world.submit("*");
    let [body] = &out.broadcasts()[..] else { panic!("{out:?}") };
    assert!((1..4).all(|conn| out.orders(conn).is_empty()), "once, not twice");
    for reader in &mut readers {
        let frame = reader.open(body.clone()).expect("opens").expect("known");
        assert!(matches!(ToMinion::from_frame(&frame), Ok(ToMinion::Order(_))));
    }
    let out = world.submit("web*");
    assert!(out.broadcasts().is_empty(), "db1 would read it");
    assert_eq!((out.orders(1).len(), out.orders(2).len(), out.orders(3).len()), (1, 1, 0));
}

#[test]
fn a_minion_without_subscriber_gets_a_broadcast_over_its_own_channel() {
    let mut world = World::new();
    world.live(1, "web1");
    world.subscribe(1);
    world.live(2, "web2");
    world.subscribe(2);
    world.knock(3, "web3");
    world.act(Act::Accept, "web3");
    world.frame(3, start("j", &[]));
    let out = world.submit("*");
    assert_eq!(out.broadcasts().len(), 1);
    assert_eq!((out.orders(1).len(), out.orders(3).len()), (0, 1));
}

#[test]
fn whoever_is_let_in_cannot_read_what_was_broadcast_before() {
    let mut world = World::new();
    world.live(1, "web1");
    world.subscribe(1);
    let before = world.submit("*").broadcasts()[0].clone();
    world.live(2, "web2");
    world.subscribe(2);
    let out = world.pass(1);
    let [ToMinion::Epoch(epoch)] = out.sent(2)[..] else { panic!("{out:?}") };
    assert_ne!(epoch.id[..], before[..16], "another epoch than the one it may have recorded");
    assert!(matches!(out.sent(1)[..], [ToMinion::Epoch(_)]), "and the others are told");
}

fn counts(out: &Out, conn: u64) -> Vec<u64> {
    let count = |message: &&ToMinion| match message {
        ToMinion::Counted(counted) => Some(counted.next),
        _ => None,
    };
    out.sent(conn).iter().filter_map(count).collect()
}

#[test]
fn subscribers_are_told_within_a_heartbeat_how_many_broadcasts_there_were() {
    let mut world = World::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web3")] {
        world.live(conn, name);
    }
    world.subscribe(1);
    world.subscribe(2);
    world.pass(1);
    for _ in 0..3 {
        assert_eq!(world.submit("*").broadcasts().len(), 1);
    }
    let heartbeat = settings().heartbeat.as_secs();
    let out = world.pass(heartbeat - 1);
    assert_eq!((counts(&out, 1), counts(&out, 2)), (vec![], vec![]), "one message for many broadcasts");
    let out = world.pass(1);
    assert_eq!((counts(&out, 1), counts(&out, 2)), (vec![3], vec![3]));
    assert!(counts(&out, 3).is_empty(), "its orders came over its own channel");
    let out = world.pass(2 * heartbeat);
    assert!(counts(&out, 1).is_empty(), "told once: {out:?}");
}

#[test]
fn the_last_broadcast_of_an_epoch_is_counted_before_the_next_one_begins() {
    let mut world = World::new();
    world.live(1, "web1");
    world.subscribe(1);
    let out = world.submit("*");
    let [ToMinion::Epoch(epoch)] = out.sent(1)[..] else { panic!("{out:?}") };
    let mut reader = Reader::new();
    reader.install(epoch).expect("an epoch");
    // It is taken off the wire, and somebody is let in.
    world.knock(2, "web2");
    let out = world.act(Act::Accept, "web2");
    let [ToMinion::Counted(counted)] = out.sent(1)[..] else { panic!("{out:?}") };
    reader.count(counted);
    assert!(reader.is_behind());
    let out = world.pass(1);
    assert!(matches!(out.sent(1)[..], [ToMinion::Epoch(_)]), "the next epoch, and nothing twice: {out:?}");
}
