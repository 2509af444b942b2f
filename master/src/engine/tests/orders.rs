//! From a submitted job to one ending per minion.

use super::*;

#[test]
fn an_order_submitted_between_acceptance_and_start_is_not_lost() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    let out = world.submit("*");
    assert!(out.orders(1).is_empty(), "not before it has said where its journal stands");
    assert!(out.endings().is_empty(), "and not offline either: {out:?}");
    assert_eq!(world.frame(1, start("j", &[])).orders(1).len(), 1);
}

#[test]
fn an_order_kept_for_a_start_that_never_comes_ends_offline() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    world.submit("*");
    let out = world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    assert_eq!(out.endings(), [("web1".to_owned(), Ending::Offline { since: None })]);
}

#[test]
fn nothing_is_sent_before_it_is_stored() {
    let mut world = World::new();
    world.live(1, "web1");
    let out = world.submit("*");
    let job = out.position(|o| matches!(o, Output::Persist(Record::Job(_))));
    let ceiling = out.position(|o| matches!(o, Output::Persist(Record::Ceiling(_))));
    let answer = out.position(|o| matches!(o, Output::Answer { .. }));
    let sent = out.position(|o| matches!(o, Output::Send { .. }));
    assert!(ceiling < job && job < answer && answer < sent, "{out:?}");
    let order = out.orders(1)[0].clone();
    let out = world.returned(1, &order);
    let row = out.position(|o| matches!(o, Output::Persist(Record::Row { .. })));
    let told = out.position(|o| matches!(o, Output::JobEvent { .. }));
    let ack = out.position(|o| matches!(o, Output::Send { message: ToMinion::Stored(_), .. }));
    assert!(row < told && row < ack, "{out:?}");
}

#[test]
fn every_minion_ends_once_and_later_reports_are_kept_beside() {
    let mut world = World::new();
    world.live(1, "web1");
    let order = world.submit("*").orders(1)[0].clone();
    assert_eq!(world.returned(1, &order).endings(), [("web1".to_owned(), returned(0))]);
    let out = world.returned(1, &order);
    assert!(out.endings().is_empty());
    assert!(matches!(
        out.0.iter().find(|o| matches!(o, Output::Persist(_))),
        Some(Output::Persist(Record::Report { .. }))
    ));
    assert!(matches!(out.sent(1)[..], [ToMinion::Stored(_)]), "and acknowledged all the same");
}

#[test]
fn offline_minions_end_at_once_and_an_empty_target_is_an_error() {
    let mut world = World::new();
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::NothingMatched);
    world.live(1, "web1");
    world.live(2, "web2");
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let out = world.submit("web*");
    let since = Some(Timestamp(1_795_327_652_000_000));
    assert_eq!(out.endings(), [("web2".to_owned(), Ending::Offline { since })]);
    assert_eq!(problem(&world.submit("db*")).kind, ProblemKind::NothingMatched);
}

#[test]
fn what_is_open_is_handed_out_again_unless_the_journal_has_it() {
    let mut world = World::new();
    world.live(1, "web1");
    let first = world.submit("*").orders(1)[0].clone();
    let second = world.submit("*").orders(1)[0].clone();
    assert!(second.number > first.number);
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(5, "web1", "j", &[first.number]);
    let numbers: Vec<u64> = out.orders(5).iter().map(|o| o.number).collect();
    assert_eq!(numbers, [second.number]);
    let ToMinion::Stored(stored) = out.sent(5)[0] else { panic!("{out:?}") };
    assert_eq!(stored.floor, first.number, "nothing below may be forgotten before it is stored");
    world.returned(5, &first);
    let out = world.returned(5, &second);
    let ToMinion::Stored(stored) = out.sent(5)[0] else { panic!("{out:?}") };
    assert!(stored.floor > second.number);
}

#[test]
fn a_lost_journal_interrupts_what_was_handed_to_it() {
    let mut world = World::new();
    world.live(1, "web1");
    world.submit("*");
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(2, "web1", "another", &[]);
    assert!(matches!(&out.endings()[..], [(_, Ending::Interrupted { .. })]), "{out:?}");
    assert!(out.orders(2).is_empty(), "never sent again");
}

#[test]
fn an_order_without_an_answer_is_lost_in_the_end_and_not_before() {
    let mut world = World::new();
    world.live(1, "web1");
    world.submit("*");
    assert!(world.pass(1000).endings().is_empty(), "connected: it may run as long as it likes");
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    assert!(world.pass(99).endings().is_empty());
    assert!(matches!(&world.pass(2).endings()[..], [(_, Ending::Lost { .. })]));
}

#[test]
fn a_return_of_somebody_elses_order_changes_nothing() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let order = world.submit("web1").orders(1)[0].clone();
    assert!(world.returned(2, &order).endings().is_empty());
    assert_eq!(world.returned(1, &order).endings().len(), 1);
}

#[test]
fn a_restart_goes_on_with_what_was_open() {
    let mut world = World::new();
    world.live(1, "web1");
    let out = world.submit("*");
    let job = out
        .0
        .iter()
        .find_map(|o| match o {
            Output::Persist(Record::Job(job)) => Some(Arc::clone(job)),
            _ => None,
        })
        .expect("stored");
    let (_, generation) = job.minions[0].clone();
    let facts = Facts { generation, journal: "j".to_owned(), ..Facts::default() };
    let memory = Memory {
        open: vec![OpenJob {
            job: Arc::clone(&job),
            ended: BTreeSet::new(),
            handed: BTreeSet::new(),
            rests: Vec::new(),
            cancelled_by: None,
        }],
        facts: vec![(id("web1"), facts)],
        last_jid: job.jid.time(),
        ..memory()
    };
    // The same decisions, replayed.
    let mut again = World::with(MemoryLedger::default(), self::memory());
    again.knock(1, "web1");
    again.act(Act::Accept, "web1");
    let trust = again.engine.trust;
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(9));
    let now = world.now;
    let mut world = World { engine: Engine::new(settings(), trust, memory, random, now), now, asked: 0 };
    let out = world.start(1, "web1", "j", &[]);
    assert_eq!(out.orders(1).len(), 1);
    assert!(out.endings().is_empty(), "{out:?}");
}

#[test]
fn a_queued_order_waits_for_its_minion_and_expires() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let mut queued = request("*", "cmd.run");
    queued.delivery = Delivery::Queue { ttl_ms: 60_000 };
    let out = world.ask(Ask::Submit { request: queued, idempotency: None });
    assert!(out.endings().is_empty(), "{out:?}");
    world.pass(20);
    let out = world.start(3, "web1", "another journal", &[]);
    assert!(out.endings().is_empty(), "it was never handed to the lost one: {out:?}");
    assert_eq!(out.orders(3)[0].expires_in_ms, Some(40_000));
    let handed = out.position(|o| matches!(o, Output::Persist(Record::Handed { .. })));
    let sent = out.position(|o| matches!(o, Output::Send { message: ToMinion::Order(_), .. }));
    assert!(handed < sent);
    assert_eq!(world.pass(41).endings(), [("web2".to_owned(), Ending::Expired)], "web1 has it");
}

#[test]
fn a_wall_clock_that_is_set_ends_no_queued_order_and_keeps_none() {
    for days in [-3, 3] {
        let mut world = World::new();
        world.live(1, "web1");
        world.live(2, "web2");
        world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
        world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
        let mut queued = request("*", "cmd.run");
        queued.delivery = Delivery::Queue { ttl_ms: 60_000 };
        world.ask(Ask::Submit { request: queued, idempotency: None });
        world.now.wall = world.now.wall.plus_micros(days * 86_400_000_000);
        assert!(world.pass(20).endings().is_empty(), "{days} days");
        let out = world.start(3, "web1", "another journal", &[]);
        assert_eq!(out.orders(3)[0].expires_in_ms, Some(40_000), "{days} days");
        assert!(world.pass(39).endings().is_empty(), "{days} days");
        assert_eq!(world.pass(1).endings(), [("web2".to_owned(), Ending::Expired)], "{days} days");
    }
}

#[test]
fn a_backlog_is_handed_out_as_it_can_be_held() {
    let mut world = World::new();
    world.live(1, "web1");
    for _ in 0..5 {
        let mut large = request("*", "cmd.run");
        large.calls[0].arguments.push("x".repeat(60_000).into());
        world.ask(Ask::Submit { request: large, idempotency: None });
    }
    world.input(Input::Closed { conn: ConnId(1), why: "send_queue_full" });
    let first = world.start(2, "web1", "j", &[]).orders(2).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(first.len(), 2, "hand_window");
    assert!(world.returned(2, &first[0]).orders(2).is_empty());
    let out = world.input(Input::Drained { conn: ConnId(2) });
    assert_eq!(out.orders(2).len(), 2);
    assert!(out.0.iter().any(|output| matches!(output, Output::Mark(_))), "and so on");
    let out = world.input(Input::Drained { conn: ConnId(2) });
    assert_eq!(out.orders(2).len(), 1);
    assert!(!out.0.iter().any(|output| matches!(output, Output::Mark(_))), "until nothing is left");
}

#[test]
fn an_order_that_a_minion_does_not_take_is_refused_once() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    let ToMaster::Start(mut small) = start("j", &[]) else { panic!() };
    small.message_max = Some(65_536);
    world.frame(1, ToMaster::Start(small));
    let mut large = request("*", "cmd.run");
    large.calls[0].arguments.push("x".repeat(70_000).into());
    let out = world.ask(Ask::Submit { request: large, idempotency: None });
    assert!(out.orders(1).is_empty());
    assert!(matches!(&out.endings()[..], [(_, Ending::Refused { why })] if why.contains("65536")), "{out:?}");
}

#[test]
fn what_is_killed_while_it_waits_in_a_backlog_is_not_sent_any_more() {
    let mut world = World::new();
    world.live(1, "web1");
    let mut jids = Vec::new();
    for _ in 0..3 {
        let mut large = request("*", "cmd.run");
        large.calls[0].arguments.push("x".repeat(60_000).into());
        let out = world.ask(Ask::Submit { request: large, idempotency: None });
        jids.push(out.orders(1)[0].jid);
    }
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    assert_eq!(world.start(2, "web1", "j", &[]).orders(2).len(), 2, "hand_window");
    assert!(matches!(world.ask(Ask::Kill(jids[2])).sent(2)[..], [ToMinion::Cancel(_)]));
    let out = world.input(Input::Drained { conn: ConnId(2) });
    assert!(out.orders(2).is_empty(), "{out:?}");
}

#[test]
fn a_minion_that_comes_back_as_it_was_is_stored_by_the_time_alone() {
    let mut world = World::new();
    world.live(1, "a");
    let kept = |out: &Out| -> Vec<&'static str> {
        let of = |output: &Output| match output {
            Output::Persist(Record::Facts(..)) => Some("facts"),
            Output::Persist(Record::Seen(..)) => Some("seen"),
            _ => None,
        };
        out.0.iter().filter_map(of).collect()
    };
    world.pass(5);
    assert_eq!(kept(&world.input(Input::Closed { conn: ConnId(1), why: "silent" })), ["seen"]);
    assert_eq!(kept(&world.start(2, "a", "j", &[])), ["seen"]);
    let grains =
        |n: i32| ToMaster::Grains(serde_json::from_value(serde_json::json!({"n": n})).expect("grains"));
    assert_eq!(kept(&world.frame(2, grains(1))), ["facts"]);
    assert_eq!(kept(&world.frame(2, grains(1))), ["seen"]);
    assert_eq!(kept(&world.start(3, "a", "another", &[])), ["facts"], "another journal");
}
