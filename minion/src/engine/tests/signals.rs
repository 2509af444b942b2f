//! Signals for jobs.

use brine_protocol::signal::{Signal, SignalName};

use super::*;

fn signal(number: u64) -> ToMinion {
    ToMinion::Signal(Signal { jid: jid(number), number, signal: SignalName::TERM, by: "ann".into() })
}

#[test]
fn only_what_runs_is_signalled_and_that_changes_nothing_else() {
    let mut rig = Rig::live();
    check(&rig.hear(signal(1)), &[]);
    rig.order(1, "cmd.run");
    check(&rig.hear(signal(1)), &["signal TERM by ann"]);
    check(&rig.hear(signal(1)), &["signal TERM by ann"]);
    let other = Signal { jid: jid(1), number: 2, signal: SignalName::KILL, by: "ann".into() };
    check(&rig.hear(ToMinion::Signal(other)), &[]);
    check(&rig.end(1), &["record returned 1", "send returned 1"]);
    check(&rig.hear(signal(1)), &[]);
}

#[test]
fn a_minion_that_is_not_live_hears_no_signal() {
    let mut rig = Rig::live();
    rig.order(1, "cmd.run");
    rig.handle(Input::Lost);
    check(&rig.hear(signal(1)), &["not live"]);
    rig.open(Standing::Pending);
    check(&rig.hear(signal(1)), &["not live"]);
}
