//! Detached orders: what is journaled when, and what a later minion makes of it.

use super::*;

fn detached(number: u64, function: &str) -> ToMinion {
    ToMinion::Order(Box::new(Order { detach: true, ..order(number, function) }))
}

fn spawned(number: u64) -> Input {
    Input::Spawned { jid: jid(number), process: Process { pid: 77, start: Some(9) } }
}

fn step(number: u64, step: &str) -> String {
    format!("detached {} {step}", jid(number))
}

/// The minion after a restart in which these jobs go on.
fn restarted(rig: &Rig, going_on: &[u64], boot: &str) -> Rig {
    let mut book = Book::new("j".into());
    rig.engine.book().entries().iter().for_each(|entry| book.apply(entry));
    let going_on = going_on.iter().map(|number| jid(*number)).collect();
    let settings = Settings { boot: Some(boot.into()), ..settings() };
    Rig { engine: Engine::resuming(settings, book, Map::new(), &going_on), now: rig.now }
}

fn with_one() -> Rig {
    let mut rig = Rig::live();
    rig.hear(detached(1, "cmd.run"));
    rig.handle(spawned(1));
    rig
}

#[test]
fn its_supervisor_is_on_disk_before_it_is_told_what_to_run() {
    let mut rig = Rig::live();
    let outputs = rig.hear(detached(1, "cmd.run"));
    check(&outputs, &["record open 1", "run cmd.run"]);
    let Output::Record(Entry::Open { detached: true, boot: Some(boot), .. }) = &outputs[0] else {
        panic!("{outputs:?}")
    };
    assert_eq!(boot, "boot-1");
    assert!(matches!(&outputs[1], Output::Run(job) if job.is_detached));
    check(&rig.handle(spawned(1)), &["record pid 77", &step(1, "Proceed")]);
    check(&rig.end(1), &["record returned 1", &step(1, "Forget"), "send returned 1"]);
}

#[test]
fn others_have_no_supervisor() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    check(&rig.handle(spawned(1)), &["record pid 77"]);
    check(&rig.end(1), &["record returned 1", "send returned 1"]);
    check(&rig.handle(spawned(1)), &[]);
}

#[test]
fn a_later_minion_watches_it_and_tells_its_end_once() {
    let mut again = restarted(&with_one(), &[1], "boot-1");
    let resume = "Resume { functions: \"cmd.run\", process: Some(Process { pid: 77, start: Some(9) }) }";
    check(&again.handle(Input::Tick), &[&step(1, resume)]);
    check(&again.open(TOKEN), &["start [1]"]);
    check(&again.stored(&[], 0), &[]);
    check(&again.hear(detached(1, "cmd.run")), &["duplicate"]);
    check(&again.cancel(1), &["kill by ann"]);
    check(&again.end(1), &["record returned 1", &step(1, "Forget"), "send returned 1"]);
    check(&again.end(1), &[]);
    check(&restarted(&again, &[], "boot-1").handle(Input::Tick), &[]);
}

#[test]
fn it_has_a_place_among_those_that_run() {
    let mut again = restarted(&with_one(), &[1], "boot-1");
    again.open(TOKEN);
    again.stored(&[], 0);
    check(&again.order(2, "cmd.run"), &["record open 2", "run cmd.run"]);
    check(&again.order(3, "cmd.run"), &["record open 3"]);
    check(&again.end(1), &["record returned 1", &step(1, "Forget"), "send returned 1", "run cmd.run"]);
}

#[test]
fn one_that_is_gone_was_interrupted() {
    let gone = "the process that watched over the detached job is gone, and nothing says how the job ended";
    let rebooted = "the machine rebooted while the detached job ran";
    for (boot, expected) in [("boot-1", gone), ("boot-2", rebooted)] {
        let mut again = restarted(&with_one(), &[], boot);
        let outputs = again.handle(Input::Tick);
        check(&outputs, &["record interrupted 1", &step(1, "Forget")]);
        let Output::Record(Entry::End { returned, .. }) = &outputs[0] else { panic!("{outputs:?}") };
        assert_eq!(returned.ending, Ending::Interrupted { why: expected.into() });
    }
}

#[test]
fn what_needs_the_minion_cannot_be_detached() {
    let mut rig = Rig::live();
    for (number, function) in
        [(1, "test.ping"), (2, "pkg.install"), (3, "brine.running"), (4, "saltutil.running")]
    {
        let outputs = rig.hear(detached(number, function));
        let refused = format!("record refused {number}");
        check(&outputs, &["refused", &refused, &format!("send refused {number}")]);
        let Output::Note(Note::Refused { why, .. }) = &outputs[0] else { panic!("{outputs:?}") };
        assert!(why.starts_with(&format!("{function} cannot be detached: only cmd.*")), "{why}");
    }
    check(&rig.hear(detached(5, "my_module.act")), &["record open 5", "run my_module.act"]);
}
