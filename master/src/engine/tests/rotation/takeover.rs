//! When the master's announced key takes over by the clock: never before who is connected has it.

use super::*;

impl World {
    fn notices(&mut self) -> String {
        let out = self.ask(Ask::Health);
        let Answer::Health { notices, .. } = out.answer() else { panic!("{out:?}") };
        notices.join("\n")
    }

    /// Only the steady clock goes on.
    fn pass_steadily(&mut self, seconds: u64) -> Out {
        self.now.steady += Duration::from_secs(seconds);
        self.input(Input::Tick)
    }
}

#[test]
fn a_key_that_was_never_offered_does_not_take_over() {
    let mut world = World::new();
    world.live(1, "web1");
    world.offering("without");
    world.announce(0);
    // The config's serial does not get into the ledger.
    assert!(steps(&world.pass(3600)).is_empty());
    let notices = world.notices();
    assert!(notices.contains("no config") && !notices.contains("--finish"), "{notices}");
    assert!(problem(&world.ask(Ask::FinishRotation)).detail.contains("no config"));
    let out = world.start(2, "web1", "j", &[]);
    assert!(configs(&out, 2).is_empty(), "the old one says nothing of it");

    assert_eq!(configs(&world.offering("with"), 2), ["with"]);
    world.frame(2, learned(Some(print(2))));
    assert!(steps(&world.pass(14)).is_empty(), "handshakes under an older config go on");
    assert_eq!(steps(&world.pass(1)), [KeyStep::TakeOver]);
    let out = world.offering("by the new key");
    assert!(configs(&out, 2).is_empty(), "a session under the old key would refuse it");
}

#[test]
fn who_is_connected_holds_it_up_until_he_has_learned_it() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    world.input(Input::Closed { conn: ConnId(2), why: "gone" });
    world.announce(100);
    world.offering("with");
    assert!(!world.notices().contains("--finish"), "{}", world.notices());
    assert!(steps(&world.pass(100)).is_empty());
    let notices = world.notices();
    assert!(notices.contains("--finish") && notices.contains("web1"), "{notices}");
    assert!(!notices.contains("web2"), "nobody waits for who is away: {notices}");
    // Who is limited to zones reads how many, and no name of a minion of others.
    let out = world.ask_as(crate::engine::tests::servers::zoe(), Ask::Health);
    let Answer::Health { notices, .. } = out.answer() else { panic!("{out:?}") };
    let notices = notices.join("\n");
    assert!(notices.contains("have not learned it: 1;") && !notices.contains("web1"), "{notices}");
    // So does one that is let in now, and has not begun yet.
    world.knock(3, "web3");
    world.act(Act::Accept, "web3");
    world.frame(1, learned(Some(print(2))));
    assert!(steps(&world.pass(1)).is_empty());
    assert!(world.notices().contains("web3"));
    world.frame(3, start("j", &[]));
    assert!(steps(&world.pass(1)).is_empty());
    world.frame(3, learned(Some(print(2))));
    assert_eq!(steps(&world.pass(1)), [KeyStep::TakeOver]);
}

#[test]
fn it_is_not_held_up_for_ever() {
    let announced = || {
        let mut world = World::new();
        world.live(1, "web1");
        world.announce(100);
        world.offering("with");
        assert!(steps(&world.pass(100)).is_empty());
        world
    };
    let mut world = announced();
    assert!(steps(&world.pass(599)).is_empty());
    let out = world.pass(1);
    assert_eq!(steps(&out), [KeyStep::TakeOver]);
    assert!(world.notices().is_empty(), "{}", world.notices());

    let mut world = announced();
    world.input(Input::Closed { conn: ConnId(1), why: "gone" });
    assert_eq!(steps(&world.pass(1)), [KeyStep::TakeOver]);

    let mut world = announced();
    assert_eq!(steps(&world.ask(Ask::FinishRotation)), [KeyStep::TakeOver], "an order waits for nobody");
}

#[test]
fn a_clock_that_jumps_ends_no_grace() {
    let mut world = World::new();
    world.announce(1000);
    world.offering("with");
    world.now.wall = world.now.wall.plus_micros(86_400_000_000);
    assert!(steps(&world.pass_steadily(999)).is_empty());
    assert_eq!(steps(&world.pass_steadily(1)), [KeyStep::TakeOver]);

    // Back: it ends no sooner than it was said to.
    let mut world = World::new();
    world.announce(1000);
    world.offering("with");
    world.now.wall = world.now.wall.plus_micros(-100_000_000);
    assert!(steps(&world.pass(1000)).is_empty());
    assert_eq!(steps(&world.pass(100)), [KeyStep::TakeOver]);
}

#[test]
fn what_is_left_of_a_grace_is_counted_from_the_start() {
    let begun = Timestamp(1_795_327_652_000_000);
    let announced = |since: Timestamp| {
        let deed = Deed::Announce {
            fingerprint: print(2),
            key: next_key().der().to_vec(),
            from: fingerprint("master"),
            until: since.plus_micros(1_000_000_000),
        };
        let mut ledger = MemoryLedger::default();
        ledger.append(Draft { by: "test".to_owned(), reason: None, deed }, since).expect("appended");
        World::with(ledger, memory())
    };
    // 600 s are left; then the clock jumps.
    let mut world = announced(begun.plus_micros(-400_000_000));
    world.now.wall = world.now.wall.plus_micros(86_400_000_000);
    assert!(steps(&world.pass_steadily(599)).is_empty());
    assert_eq!(steps(&world.pass_steadily(1)), [KeyStep::TakeOver]);
    // A machine without a clock of its own starts in the past, and is then told the time: it waits
    // for the whole grace, and not for the years between.
    let mut world = announced(begun.plus_micros(86_400_000_000_000));
    world.now.wall = begun.plus_micros(2 * 86_400_000_000_000);
    assert!(steps(&world.pass_steadily(999)).is_empty());
    assert_eq!(steps(&world.pass_steadily(1)), [KeyStep::TakeOver]);
}
