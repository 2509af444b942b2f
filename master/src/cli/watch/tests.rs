//! Jobs followed, event by event.

use brine_protocol::job::Delivery;
use brine_protocol::target::Target;
use brine_protocol::time::Timestamp;
use serde_json::json;

use super::*;

fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

fn job(target: Target, ids: &[&str]) -> JobEvent {
    JobEvent::Job(Box::new(Job {
        jid: "20261122060732123407".parse().expect("a jid"),
        calls: Vec::new(),
        target,
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
        principal: "unix:0 (root)".to_owned(),
        submitted: Timestamp(0),
        number: 1,
        minions: ids.iter().map(|i| (id(i), 1)).collect(),
    }))
}

fn watching(ids: &[&str]) -> Watch {
    let mut watch = Watch::new(String::new());
    assert_eq!(watch.handle(Input::Event(job(Target::glob("*"), ids))).len(), 1);
    watch
}

fn returned(retcode: i32) -> Returned {
    Returned { value: json!(true), retcode, duration_ms: 1, truncated: false }
}

fn row(name: &str, ending: Option<Ending>, presence: Option<Presence>) -> JobRow {
    JobRow { id: id(name), ending, at: None, late: Vec::new(), presence }
}

fn ended(name: &str, ending: Ending) -> Input {
    Input::Event(JobEvent::Row(Box::new(row(name, Some(ending), None))))
}

fn probed(rows: &[(&str, Presence)]) -> Input {
    let rows = rows.iter().map(|(name, presence)| row(name, None, Some(presence.clone()))).collect();
    Input::Probed { rows, after: Duration::from_millis(5003) }
}

fn exit(outputs: &[Output]) -> Option<Exit> {
    match outputs.last() {
        Some(Output::Finish(exit, _)) => Some(*exit),
        _ => None,
    }
}

fn missing(name: &str, why: &str) -> Output {
    Output::Missing(name.to_owned(), why.to_owned())
}

#[test]
fn exit_codes() {
    let fine = || Ending::Returned(returned(0));
    let bad = || Ending::Returned(returned(3));
    let gone = || Ending::Offline { since: None };
    for (first, second, expected) in [
        (fine(), fine(), Exit::Ok),
        (fine(), bad(), Exit::Retcode),
        (fine(), gone(), Exit::NoReturn),
        (bad(), gone(), Exit::NoReturn),
        (fine(), Ending::TimedOut { after_ms: 1500 }, Exit::Retcode),
    ] {
        let mut watch = watching(&["m1", "m2"]);
        watch.handle(ended("m1", first));
        watch.handle(ended("m2", second));
        assert_eq!(exit(&watch.handle(Input::Event(JobEvent::End))), Some(expected));
    }
}

#[test]
fn rows_are_shown_once_with_their_reason() {
    let mut watch = watching(&["m1", "m2", "m3"]);
    assert_eq!(
        watch.handle(ended("m1", Ending::Returned(returned(0)))),
        [Output::Return(id("m1"), returned(0))]
    );
    assert_eq!(watch.handle(ended("m1", Ending::Returned(returned(0)))), []);
    assert_eq!(watch.handle(ended("m9", Ending::Expired)), []);
    let since = Some(Timestamp(0));
    assert_eq!(
        watch.handle(ended("m2", Ending::Offline { since })),
        [missing("m2", "offline since 1970-01-01T00:00:00.000000Z")]
    );
    assert_eq!(
        watch.handle(Input::Event(JobEvent::End)),
        [
            missing("m3", "the master does not know how it ended"),
            Output::Finish(Exit::NoReturn, Summary { targeted: 3, returned: 1, missing: 2, errors: 0 }),
        ]
    );
}

#[test]
fn running_is_waited_for_and_said_once() {
    let mut watch = watching(&["m1", "m3"]);
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    assert_eq!(watch.handle(Input::Quiet), [Output::Probe]);
    assert_eq!(
        watch.handle(probed(&[("m3", Presence::Running)])),
        [Output::Note("still running after 5 s: m3; brine jobs show 20261122060732123407".to_owned())]
    );
    for _ in 0..9 {
        assert_eq!(watch.handle(probed(&[("m3", Presence::Running)])), []);
    }
    watch.handle(ended("m3", Ending::Returned(returned(0))));
    assert_eq!(exit(&watch.handle(Input::Event(JobEvent::End))), Some(Exit::Ok));
}

#[test]
fn silent_and_gone_are_named_and_left() {
    let mut watch = watching(&["m1", "m2", "m3"]);
    let since = Timestamp(0);
    let outputs = watch.handle(probed(&[
        ("m1", Presence::Silent { since }),
        ("m2", Presence::Offline { since: Some(since) }),
        ("m3", Presence::Running),
    ]));
    assert_eq!(outputs[0], missing("m1", "silent since 1970-01-01T00:00:00.000000Z"));
    assert_eq!(outputs[1], missing("m2", "offline since 1970-01-01T00:00:00.000000Z"));
    assert_eq!(exit(&outputs), None);
    // One comes back while another still runs; its return counts.
    assert_eq!(
        watch.handle(ended("m1", Ending::Returned(returned(0)))),
        [Output::Return(id("m1"), returned(0))]
    );
    // The other ends as what it was named for.
    assert_eq!(watch.handle(ended("m2", Ending::Lost { why: "x".to_owned() })), []);
    watch.handle(ended("m3", Ending::Returned(returned(0))));
    assert_eq!(
        watch.handle(Input::Event(JobEvent::End)),
        [Output::Finish(Exit::NoReturn, Summary { targeted: 3, returned: 2, missing: 1, errors: 0 })]
    );
}

#[test]
fn only_silent_ones_left_is_the_end() {
    let mut watch = watching(&["m1"]);
    let outputs = watch.handle(probed(&[("m1", Presence::Silent { since: Timestamp(0) })]));
    assert_eq!(exit(&outputs), Some(Exit::NoReturn));
}

#[test]
fn idle_ones_get_a_second_chance() {
    let mut watch = watching(&["m1"]);
    assert_eq!(watch.handle(probed(&[("m1", Presence::Up)])), []);
    let outputs = watch.handle(probed(&[("m1", Presence::Up)]));
    assert_eq!(outputs[0], missing("m1", "connected, but not running this job"));
    assert_eq!(exit(&outputs), Some(Exit::NoReturn));
}

#[test]
fn a_probe_that_crosses_a_row_changes_nothing() {
    let mut watch = watching(&["m1", "m2"]);
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    assert_eq!(watch.handle(probed(&[("m1", Presence::Silent { since: Timestamp(0) })])), []);
    let rows = vec![row("m2", Some(Ending::Returned(returned(0))), None)];
    assert_eq!(watch.handle(Input::Probed { rows, after: Duration::ZERO }), []);
}

#[test]
fn names_of_a_list_that_nobody_has() {
    let mut watch = Watch::new(String::new());
    let target = Target::new(TargetKind::List, "m1, nosuch,");
    let outputs = watch.handle(Input::Event(job(target, &["m1"])));
    assert_eq!(outputs[1], missing("nosuch", "no accepted key has this id"));
    let named = |expression: &str| listed(&Target::new(TargetKind::Compound, expression)).join(" ");
    assert_eq!(named("L@m1,nosuch or G@os:x or ( L@m3 )"), "m1 nosuch m3");
    // Whoever has the name may be taken out again.
    for expression in ["L@m1 and G@os:x", "* and not L@m1", "L@m1 not m2"] {
        assert_eq!(named(expression), "", "{expression}");
    }
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    assert_eq!(
        watch.handle(Input::Event(JobEvent::End)),
        [Output::Finish(Exit::NoReturn, Summary { targeted: 2, returned: 1, missing: 1, errors: 0 })]
    );
}

#[test]
fn interruption_says_how_to_go_on() {
    let mut watch = Watch::new(" --root-dir /r".to_owned());
    assert!(
        matches!(&watch.handle(Input::Interrupt)[0], Output::Note(text) if text.contains("jobs list --root-dir /r"))
    );
    watch.handle(Input::Event(job(Target::glob("*"), &["m1", "m2"])));
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    let outputs = watch.handle(Input::Interrupt);
    let Output::Note(text) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(
        text,
        "interrupted; job 20261122060732123407 goes on\n  look: brine jobs show 20261122060732123407 --root-dir /r\n  \
         kill: brine jobs kill 20261122060732123407 --root-dir /r\n  still out: m2"
    );
    assert_eq!(exit(&outputs), Some(Exit::Interrupted));
}

#[test]
fn a_stream_taken_up_again_repeats_nothing() {
    let mut watch = watching(&["m1", "m2"]);
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    assert_eq!(watch.handle(Input::Event(job(Target::glob("*"), &["m1", "m2"]))), []);
    assert_eq!(watch.handle(ended("m1", Ending::Returned(returned(0)))), []);
    assert_eq!(exit(&watch.handle(Input::Lost)), Some(Exit::Unreachable));
}

#[test]
fn many_ids_are_not_all_named() {
    let ids: Vec<MinionId> = (0..25).map(|i| id(&format!("m{i}"))).collect();
    assert!(named(ids.iter()).ends_with("m19, and 5 more"));
}

#[test]
fn a_target_of_which_nobody_is_there_says_so() {
    let offline = || Ending::Offline { since: None };
    let mut watch = watching(&["m1", "m2"]);
    watch.handle(ended("m1", offline()));
    watch.handle(ended("m2", offline()));
    let outputs = watch.handle(Input::Event(JobEvent::End));
    let note = "matched but offline: none of the 2 minions that match is connected; nothing was run";
    assert_eq!(outputs[0], Output::Note(note.to_owned()));
    assert_eq!(exit(&outputs), Some(Exit::NoReturn));

    let mut watch = watching(&["m1"]);
    watch.handle(ended("m1", offline()));
    let outputs = watch.handle(Input::Event(JobEvent::End));
    assert!(matches!(&outputs[0], Output::Note(text) if text.contains("m1 is not connected")), "{outputs:?}");

    let mut watch = watching(&["m1", "m2"]);
    watch.handle(ended("m1", offline()));
    watch.handle(ended("m2", Ending::Returned(returned(0))));
    assert_eq!(watch.handle(Input::Event(JobEvent::End)).len(), 1, "somebody was there");
}

/// A watch of a job that was changed before it was told of.
fn watching_a(change: impl FnOnce(&mut Job)) -> Watch {
    let JobEvent::Job(mut made) = job(Target::glob("*"), &["m1", "m2"]) else { panic!("a job") };
    change(&mut made);
    let mut watch = Watch::new(String::new());
    watch.handle(Input::Event(JobEvent::Job(made)));
    watch
}

fn interrupted(watch: &mut Watch) -> String {
    match watch.handle(Input::Interrupt).remove(0) {
        Output::Note(text) => text.lines().next().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_queued_order_is_not_lost() {
    let mut watch = watching_a(|job| job.delivery = Delivery::Queue { ttl_ms: 7_200_000 });
    assert_eq!(
        interrupted(&mut watch),
        "interrupted; job 20261122060732123407 goes on, and is queued until 1970-01-01T02:00:00.000000Z for who is away"
    );
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    let outputs = watch.handle(probed(&[("m2", Presence::Offline { since: None })]));
    assert_eq!(outputs[0], missing("m2", "offline; queued until 1970-01-01T02:00:00.000000Z"));
    assert_eq!(
        outputs[1],
        Output::Note(
            "queued until 1970-01-01T02:00:00.000000Z for m2; brine jobs show 20261122060732123407"
                .to_owned()
        )
    );
    assert_eq!(exit(&outputs), Some(Exit::NoReturn));
}

#[test]
fn a_queued_order_that_came_back_meanwhile_is_queued_no_more() {
    let mut watch = watching_a(|job| job.delivery = Delivery::Queue { ttl_ms: 1000 });
    watch.handle(probed(&[("m1", Presence::Running), ("m2", Presence::Offline { since: None })]));
    watch.handle(ended("m2", Ending::Returned(returned(0))));
    watch.handle(ended("m1", Ending::Returned(returned(0))));
    let outputs = watch.handle(Input::Event(JobEvent::End));
    assert_eq!((outputs.len(), exit(&outputs)), (1, Some(Exit::Ok)), "{outputs:?}");
}

#[test]
fn a_batch_goes_on_in_portions() {
    let batch =
        brine_protocol::batch::Batch { size: "25%".parse().expect("a size"), wait_ms: 0, failhard: false };
    let mut watch = watching_a(|job| job.batch = Some(batch));
    assert_eq!(interrupted(&mut watch), "interrupted; job 20261122060732123407 goes on, 25% at a time");
    // Whose turn has not come is neither given up nor named.
    for _ in 0..4 {
        let outputs = watch.handle(probed(&[("m1", Presence::Running), ("m2", Presence::Waiting)]));
        assert!(!outputs.iter().any(|output| matches!(output, Output::Missing(..))), "{outputs:?}");
        assert_eq!(exit(&outputs), None);
    }
    assert_eq!(watch.open.len(), 2);
}
