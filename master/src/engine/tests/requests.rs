//! What operators ask: refusals, probes, kills, repeated requests.

use super::*;

#[test]
fn killing_tells_the_connected_and_ends_the_others() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let out = world.submit("*");
    let [Output::Answer { answer, .. }] =
        &out.0.iter().filter(|o| matches!(o, Output::Answer { .. })).collect::<Vec<_>>()[..]
    else {
        panic!("{out:?}")
    };
    let Answer::Job { jid, .. } = **answer else { panic!() };
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let out = world.ask(Ask::Kill(jid));
    assert!(matches!(out.sent(1)[..], [ToMinion::Cancel(_)]));
    assert!(matches!(&out.endings()[..], [(who, Ending::Cancelled { .. })] if who == "web2"));
}

#[test]
fn a_killed_order_is_not_handed_out_again() {
    let mut world = World::new();
    world.live(1, "web1");
    let taken = world.submit("*").orders(1)[0].clone();
    let missed = world.submit("*").orders(1)[0].clone();
    for order in [&taken, &missed] {
        let out = world.ask(Ask::Kill(order.jid));
        let stored = out.position(|o| matches!(o, Output::Persist(Record::Cancelled { .. })));
        let told = out.position(|o| matches!(o, Output::Answer { .. }));
        assert!(stored < told, "{out:?}");
    }
    // Neither Cancel arrived.
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(2, "web1", "j", &[taken.number]);
    assert!(out.orders(2).is_empty(), "{out:?}");
    let cancelled: Vec<Jid> = out
        .sent(2)
        .into_iter()
        .filter_map(|message| match message {
            ToMinion::Cancel(cancel) => Some(cancel.jid),
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, [taken.jid, missed.jid]);
}

#[test]
fn a_stranger_of_the_same_name_does_not_answer_a_probe() {
    let mut world = World::new();
    world.live(1, "web1");
    world.knock(2, "web1'");
    let out = world.submit("*");
    let Answer::Job { jid, .. } = *out.answer() else { panic!() };
    world.now.steady += Duration::from_secs(3);
    world.ask(Ask::Probe(jid));
    assert!(world.frame(2, ToMaster::Beat(Beat::default())).0.is_empty());
    let out = world.pass(2);
    let Answer::Rows(rows) = out.answer() else { panic!() };
    assert!(matches!(rows[0].presence, Some(Presence::Silent { .. })), "{rows:?}");
}

#[test]
fn a_probe_tells_who_runs_it_and_who_is_silent() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let out = world.submit("*");
    let Answer::Job { jid, .. } = *out.answer() else { panic!() };
    world.now.steady += Duration::from_secs(3);
    let out = world.ask(Ask::Probe(jid));
    assert!(matches!(out.sent(1)[..], [ToMinion::Probe]) && matches!(out.sent(2)[..], [ToMinion::Probe]));
    assert!(world.frame(1, ToMaster::Beat(Beat { running: vec![jid], clock: None })).0.is_empty());
    let out = world.pass(2);
    let Answer::Rows(rows) = out.answer() else { panic!() };
    let shown: Vec<String> = rows.iter().map(|row| format!("{} {:?}", row.id, row.presence)).collect();
    assert!(shown[0].starts_with("web1 Some(Running)"), "{shown:?}");
    assert!(shown[1].starts_with("web2 Some(Silent"), "{shown:?}");
}

#[test]
fn the_same_idempotency_key_makes_one_job() {
    let mut world = World::new();
    world.live(1, "web1");
    let submit = |world: &mut World, target: &str, key: &str| {
        let request = request(target, "test.ping");
        world.ask(Ask::Submit { request, idempotency: Some(key.to_owned()) })
    };
    let out = submit(&mut world, "*", "k");
    let Answer::Job { jid: first, made: Some(_) } = *out.answer() else { panic!("{out:?}") };
    let out = submit(&mut world, "*", "k");
    assert!(matches!(*out.answer(), Answer::Job { jid, made: None } if jid == first));
    assert!(out.orders(1).is_empty());
    assert_eq!(problem(&submit(&mut world, "web1", "k")).kind, ProblemKind::Conflict);
    assert_eq!(problem(&submit(&mut world, "*", "")).kind, ProblemKind::BadRequest);
    world.pass(86_500);
    assert!(
        matches!(*submit(&mut world, "*", "k").answer(), Answer::Job { made: Some(_), .. }),
        "kept as long as its job"
    );
}

#[test]
fn open_orders_have_a_bound_in_bytes() {
    let mut world = World::new();
    world.live(1, "web1");
    let results: Vec<bool> = (0..40)
        .map(|_| {
            let mut large = request("*", "test.echo");
            large.calls[0].arguments.push("x".repeat(1_000_000).into());
            let out = world.ask(Ask::Submit { request: large, idempotency: None });
            let refused =
                matches!(out.answer(), Answer::Refused(problem) if problem.kind == ProblemKind::Busy);
            if let Some(order) = out.orders(1).first().copied().cloned() {
                world.returned(1, &order);
            }
            refused
        })
        .collect();
    assert!(!results.contains(&true), "what has ended is not held");
    world.engine.settings.open_orders_max = 1000;
    let large = || {
        let mut large = request("*", "test.echo");
        large.calls[0].arguments.push("x".repeat(1_000_000).into());
        Ask::Submit { request: large, idempotency: None }
    };
    let refused = (0..40).map(|_| world.ask(large())).find(|out| matches!(out.answer(), Answer::Refused(_)));
    let refused = refused.expect("before 40 MB are held");
    assert_eq!(problem(&refused).kind, ProblemKind::Busy);
}

#[test]
fn refusals_leave_nothing_behind() {
    let mut world = World::new();
    world.live(1, "web1");
    let mut no_calls = request("*", "test.ping");
    no_calls.calls.clear();
    let mut large = request("*", "test.echo");
    large.calls[0].arguments.push("x".repeat(1024 * 1024).into());
    let mut deep = request("*", "test.echo");
    let nested = (0..100).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    deep.calls[0].keywords.insert("x".to_owned(), nested);
    let escaped = request(&format!("*{}", "\u{1}".repeat(300_000)), "test.ping");
    for (bad, kind) in [
        (deep, ProblemKind::BadRequest),
        (escaped, ProblemKind::BadRequest),
        (no_calls, ProblemKind::BadRequest),
        (request("*", "test"), ProblemKind::BadRequest),
        (request("*", "te st.ping"), ProblemKind::BadRequest),
        (request("*", "test..ping"), ProblemKind::BadRequest),
        (large, ProblemKind::BadRequest),
        (request("nobody", "test.ping"), ProblemKind::NothingMatched),
    ] {
        let out = world.ask(Ask::Submit { request: bad, idempotency: None });
        assert_eq!(problem(&out).kind, kind);
        assert_eq!(out.0.len(), 1, "{out:?}");
    }
    world.input(Input::Disk(Some("the disk is full".to_owned())));
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::Degraded);
    world.input(Input::Disk(None));
    for _ in 0..10 {
        world.submit("*");
    }
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::Busy, "open_orders_max");
}
