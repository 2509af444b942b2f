//! Jobs and events: whom they reach.

use brine_protocol::target::TargetKind;

use super::*;

#[test]
fn jobs_reach_what_is_seen_and_are_seen_by_whose_they_are() {
    let submit = |target: &str| Ask::Submit { request: request(target, "cmd.run"), idempotency: None };
    let mut world = World::zoned();
    let out = world.ask_as(zoe(), submit("*"));
    let reached: Vec<u64> = [1, 3, 5, 7].into_iter().filter(|conn| !out.orders(*conn).is_empty()).collect();
    assert_eq!((reached, out.broadcasts().len()), (vec![1], 0));
    for target in ["ml", "mx", "m[ln]"] {
        assert_eq!(problem(&world.ask_as(zoe(), submit(target))).kind, ProblemKind::NothingMatched);
    }
    let limited = who(&json!({"role": "operator", "zones": ["*"], "targets": ["md"]}), false);
    assert_eq!(problem(&world.ask_as(limited, submit("*"))).kind, ProblemKind::Forbidden);
    let out = world.submit("*");
    let Answer::Job { jid, .. } = *out.answer() else { panic!("{out:?}") };
    for ask in [Ask::Kill(jid), Ask::Presence(jid), Ask::Probe(jid), Ask::Follow(jid)] {
        let admin = who(&json!({"role": "admin", "zones": ["*"]}), false);
        assert_eq!(problem(&world.ask_as(admin, ask)).kind, ProblemKind::Forbidden);
    }
}

#[test]
fn targets_over_records_are_resolved_here() {
    let by_record = |expression: &str| {
        let target = Target::new(TargetKind::Record, expression);
        Ask::Submit { request: JobRequest { target, ..request("*", "cmd.run") }, idempotency: None }
    };
    let mut world = World::zoned();
    let out = world.ask(by_record("zone:*"));
    let told: Vec<Target> = [1, 3].iter().map(|conn| out.orders(*conn)[0].target.clone()).collect();
    assert_eq!(told, [Target::list("md"), Target::list("ml")]);
    assert!(out.orders(5).is_empty() && out.orders(7).is_empty());
    let out = world.ask(by_record("name:n-*"));
    assert_eq!((out.orders(5).len(), out.orders(1).len()), (1, 0));
    assert_eq!(problem(&world.ask(by_record("name:*-free"))).kind, ProblemKind::NothingMatched);
    assert_eq!(problem(&world.ask_as(zoe(), by_record("zone:Lyon"))).kind, ProblemKind::NothingMatched);
    let bad = world.ask(by_record("colour:red"));
    assert_eq!(problem(&bad).kind, ProblemKind::BadRequest);
    assert!(problem(&bad).detail.starts_with("records have no field \"colour\""), "{bad:?}");

    // For all of them it goes out once, and what each has missed it gets for itself.
    let mut world = World::new();
    let mut readers = Vec::new();
    for (conn, name) in [(1, "a"), (2, "b")] {
        let n = u8::try_from(conn).expect("small");
        world.done(create(n, name, Some("Dijon"), None));
        world.joined(conn, name, n);
        world.subscribe(conn);
    }
    let out = world.pass(1);
    for conn in [1, 2] {
        let epoch = out.sent(conn).into_iter().find_map(|message| match message {
            ToMinion::Epoch(epoch) => Some(epoch),
            _ => None,
        });
        let mut reader = Reader::new();
        reader.install(epoch.expect("an epoch")).expect("an epoch");
        readers.push(reader);
    }
    let out = world.ask(by_record("zone:Dijon"));
    assert!(out.orders(1).is_empty() && out.orders(2).is_empty());
    for reader in &mut readers {
        let frame = reader.open(out.broadcasts()[0].clone()).expect("opens").expect("new");
        let ToMinion::Order(order) = ToMinion::from_frame(&frame).expect("a message") else { panic!() };
        assert_eq!(order.target, Target::glob("*"));
    }
    world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    assert_eq!(world.start(9, "a", "j", &[]).orders(9)[0].target, Target::list("a"));
}

#[test]
fn what_an_order_over_records_takes_is_counted_as_it_is_sent() {
    let mut world = World::new();
    let name = "m".repeat(253);
    world.done(create(1, "a", Some("Dijon"), None));
    world.knock(1, &name);
    world.done(pair(1, &name, false));
    let small = ToMaster::Start(Box::new(Start { message_max: Some(4096 + 250), ..*start_of() }));
    world.frame(1, small);
    let target = Target::new(TargetKind::Record, "zone:Dijon");
    let request = JobRequest { target, ..request("*", "cmd.run") };
    let out = world.ask(Ask::Submit { request, idempotency: None });
    assert!(matches!(&out.endings()[..], [(_, Ending::Refused { .. })]), "{out:?}");
}

fn start_of() -> Box<Start> {
    match start("j", &[]) {
        ToMaster::Start(start) => start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_carry_the_zone_of_what_they_are_about() {
    let told = |out: &Out| -> Vec<String> {
        let events = out.0.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        events.map(|event| format!("{} {}", event.tag, event.zone.as_deref().unwrap_or("-"))).collect()
    };
    let mut world = World::zoned();
    assert_eq!(told(&world.says(40, "a", "d-free")), ["brine/key/a/pending Dijon"]);
    assert_eq!(told(&world.knock(41, "b")), ["brine/key/b/pending -"]);
    assert_eq!(told(&world.says(42, "c", "n-free")), ["brine/key/c/pending -"]);
    assert_eq!(told(&world.knock(43, "md'")), ["brine/key/md/denied Dijon"]);
    assert_eq!(told(&world.start(44, "md", "j", &[]))[..1], ["brine/minion/md/start Dijon"]);
    assert_eq!(told(&world.start(45, "mx", "j", &[]))[..1], ["brine/minion/mx/start -"]);
    // What is decided may end what made it somebody's.
    assert_eq!(told(&world.ask(act_on(Act::Delete, &["a"]))), ["brine/key/a/deleted Dijon"]);
    assert_eq!(told(&world.ask(act_on(Act::Accept, &["we"]))), ["brine/key/we/accepted Dijon"]);
    assert_eq!(told(&world.ask(act_on(Act::Suspend, &["we"]))), ["brine/key/we/suspended -"], "nobody's now");
    let out = told(&world.ask(act_on(Act::Reject, &["ml"])));
    let unlinked = format!("brine/server/{}/unlinked Lyon", server(3));
    assert_eq!(out, ["brine/key/ml/rejected Lyon", &unlinked]);
    // Who watches the zone that a record leaves hears of it, too.
    let record = |what: &str, n| format!("brine/server/{}/{what}", server(n));
    let moved = told(&world.ask(change(3, json!({"zone": "Dijon"}))));
    assert_eq!(moved, [record("updated Dijon", 3), record("left Lyon", 3)]);
    let freed = told(&world.ask(change(3, json!({"zone": null}))));
    assert_eq!(freed, [record("updated -", 3), record("left Dijon", 3)]);
    assert_eq!(told(&world.ask(change(3, json!({"zone": "Lyon"})))), [record("updated Lyon", 3)]);
    let out = told(&world.ask(delete(1, Some(KeyFate::Delete))));
    assert!(out.iter().all(|event| event.ends_with(" Dijon")) && out.len() >= 2, "{out:?}");
    assert!(out.contains(&"brine/key/md/deleted Dijon".to_owned()), "{out:?}");
    // What waited for too long said whose it was, too.
    let age = WaitingLimits::default().pending_age_s;
    let mut expired = told(&world.pass(age + 1));
    expired.retain(|event| event.contains("/expired"));
    assert!(expired.contains(&"brine/key/wl/expired Lyon".to_owned()), "{expired:?}");
    assert!(expired.contains(&"brine/key/wu/expired -".to_owned()), "{expired:?}");
}
