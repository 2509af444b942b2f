//! An order to reboot ends by the boot that follows.

use super::*;

/// The minion after a restart in the boot `boot`.
fn restarted(rig: &Rig, boot: Option<&str>) -> Rig {
    let mut book = Book::new("j".into());
    rig.engine.book().entries().iter().for_each(|entry| book.apply(entry));
    let settings = Settings { boot: boot.map(str::to_owned), ..settings() };
    Rig { engine: Engine::new(settings, book, Map::new()), now: rig.now }
}

fn ending(rig: &mut Rig) -> Ending {
    match rig.handle(Input::Tick).first() {
        Some(Output::Record(Entry::End { returned, .. })) => returned.ending.clone(),
        other => panic!("{other:?}"),
    }
}

fn interrupted(why: &str) -> Ending {
    Ending::Interrupted { why: why.into() }
}

#[test]
fn the_boot_is_noted_before_the_order_runs() {
    let mut rig = Rig::live();
    let outputs = rig.order(1, "system.reboot");
    check(&outputs, &["record open 1", "run system.reboot"]);
    let noted = |output: &Output| match output {
        Output::Record(entry @ Entry::Open { boot, .. }) => (boot.clone(), entry.is_promise()),
        other => panic!("{other:?}"),
    };
    assert_eq!(noted(&outputs[0]), (Some("boot-1".to_owned()), true));
    assert_eq!(noted(&rig.order(2, "cmd.run")[0]), (None, true));
}

#[test]
fn another_boot_is_the_return() {
    let mut rig = Rig::live();
    rig.order(1, "system.reboot");
    let mut again = restarted(&rig, Some("boot-2"));
    let Ending::Returned(returned) = ending(&mut again) else { panic!("it returned") };
    assert_eq!((returned.value, returned.retcode), (json!({"rebooted": true}), 0));
    check(&again.open(TOKEN), &["start [1]"]);
    check(&again.stored(&[], 0), &["send returned 1"]);
    check(&again.order(1, "system.reboot"), &["duplicate"]);
    // A restart that follows changes nothing any more.
    check(&restarted(&again, Some("boot-3")).handle(Input::Tick), &[]);
}

#[test]
fn without_another_boot_it_was_interrupted() {
    let stopped = interrupted("the minion stopped while the job ran");
    let mut rig = Rig::live();
    rig.order(1, "system.reboot");
    for boot in [Some("boot-1"), None] {
        assert_eq!(ending(&mut restarted(&rig, boot)), stopped, "{boot:?}");
    }
    let mut other = Rig::live();
    other.order(1, "cmd.run");
    assert_eq!(ending(&mut restarted(&other, Some("boot-2"))), stopped);
}

#[test]
fn a_reboot_that_failed_stays_failed() {
    let mut rig = Rig::live();
    rig.order(1, "system.reboot");
    rig.end(1);
    check(&restarted(&rig, Some("boot-2")).handle(Input::Tick), &[]);
}

#[test]
fn among_others_it_says_what_is_lost() {
    let mut rig = Rig::live();
    let mut both = order(1, "test.ping");
    both.calls.extend(order(1, "system.reboot").calls);
    rig.hear(ToMinion::Order(Box::new(both)));
    let lost = "the machine rebooted while the job ran, and what its other functions gave is lost";
    assert_eq!(ending(&mut restarted(&rig, Some("boot-2"))), interrupted(lost));
}
