//! Whoever writes records of one zone does not get the machines of another with them.

use brine_protocol::control::ServerDecision;

use super::*;

/// A record of Lyon with this external id, and a machine that waits and says that it is `said`.
fn lyons(said: &str, external_id: Option<&str>) -> World {
    let mut world = World::new();
    let mut wanted = wanted("target", Some("Lyon"), None);
    wanted.external_id = external_id.map(str::to_owned);
    world.done(Ask::Server(ServerAsk::Create(Some(server(1)), wanted)));
    world.says(1, "late", said);
    world
}

fn lyon() -> Principal {
    who(&json!({"role": "operator", "zones": ["Lyon"]}), false)
}

#[test]
fn what_a_machine_says_is_not_made_somebody_elses_by_calling_a_record_so() {
    let uuid = server(1).to_string();
    let called = |name: &str, external_id: Option<&str>| {
        let mut wanted = wanted(name, Some("Dijon"), None);
        wanted.external_id = external_id.map(str::to_owned);
        Ask::Server(ServerAsk::Create(Some(server(2)), wanted))
    };
    for (said, lyons_external, squats) in [
        (uuid.as_str(), None, called(&uuid, None)),
        (&uuid, None, called("x", Some(&uuid))),
        ("target", None, called("target", None)),
        ("target", None, called("x", Some("target"))),
        ("z-1", Some("z-1"), called("z-1", None)),
    ] {
        let mut world = lyons(said, lyons_external);
        world.ask_as(zoe(), squats);
        assert!(world.keys_of(&zoe()).is_empty(), "{said}");
        let curious = who(&json!({"role": "operator", "zones": ["Dijon"]}), true);
        assert!(world.keys_of(&curious).is_empty(), "{said}: ambiguous is not unclaimed");
        assert_eq!(
            outcome(&world.ask_as(zoe(), change(2, json!({"minion_id": "late"})))),
            "forbidden",
            "{said}"
        );
        // Nor with a record that expected its id before.
        world.done(change(2, json!({"minion_id": "late"})));
        assert_eq!(outcome(&world.ask_as(zoe(), pair(2, "late", false))), "forbidden", "{said}");
        // By its UUID it is Lyon's all the while.
        let lyons: &[&str] = if said == uuid { &["late"] } else { &[] };
        world.done(change(2, json!({"minion_id": null})));
        assert_eq!(world.keys_of(&lyon()), lyons, "{said}");
    }
    // A UUID is what records are called by first, so none may be had that is another's name already.
    let external = server(9).to_string();
    let mut world = lyons(&external, Some(&external));
    assert_eq!(outcome(&world.ask_as(zoe(), create(9, "x", Some("Dijon"), None))), "forbidden");
    assert_eq!(outcome(&world.ask_as(lyon(), create(9, "x", Some("Lyon"), None))), "ok");
}

#[test]
fn events_about_what_could_be_several_are_for_whose_all_of_them_are() {
    let mut world = lyons("target", None);
    let told = |out: &Out| -> Vec<(Option<String>, bool, bool)> {
        let curious = who(&json!({"role": "operator", "zones": ["Dijon"]}), true);
        let events = out.0.iter().filter_map(|output| match output {
            Output::Event(event) => {
                Some((event.zone.clone(), event.data["ambiguous"] == true, curious.sees_event(event)))
            }
            _ => None,
        });
        events.collect()
    };
    world.done(create(2, "target", Some("Lyon"), None));
    assert_eq!(told(&world.says(2, "more", "target")), [(Some("Lyon".to_owned()), true, false)]);
    world.done(create(3, "target", Some("Dijon"), None));
    assert_eq!(told(&world.says(3, "most", "target")), [(None, true, false)], "nor is it unclaimed");
    assert_eq!(told(&world.knock(4, "other")), [(None, false, true)]);
}

#[test]
fn an_id_for_which_others_wait_is_not_had_by_pairing_or_a_token() {
    let mut world = lyons("target", None);
    world.done(create(2, "mine", Some("Dijon"), None));
    // A second machine of that id says that it is hers.
    world.says(2, "late'", "mine");
    assert_eq!(world.keys_of(&zoe()), ["late"]);
    assert_eq!(outcome(&world.ask_as(zoe(), pair(2, "late'", false))), "forbidden");
    world.done(change(2, json!({"minion_id": "late"})));
    assert_eq!(outcome(&world.ask_as(zoe(), token(Some(server(2))))), "forbidden");
    assert_eq!(outcome(&world.ask(token(Some(server(2))))), "ok");
    // It waits no more.
    world.done(act_on(Act::Delete, &["late"]));
    assert_eq!(outcome(&world.ask_as(zoe(), token(Some(server(2))))), "ok");
    assert_eq!(outcome(&world.ask_as(zoe(), pair(2, "late'", false))), "ok");
}

#[test]
fn a_key_that_was_turned_away_stays_out() {
    let mut world = World::new();
    world.knock(1, "evil");
    world.done(act_on(Act::Reject, &["evil"]));
    assert_eq!(outcome(&world.ask_as(zoe(), create(1, "x", Some("Dijon"), Some("evil")))), "forbidden");
    world.done(create(1, "x", Some("Dijon"), Some("evil")));
    let rejected = KeyName { state: Some(KeyState::Rejected), ..key("evil") };
    let request = json!({"key": rejected});
    let request: PairRequest = serde_json::from_value(request).expect("a request");
    let pair = || Ask::Server(ServerAsk::Pair(server(1), request.clone()));
    let out = world.ask_as(zoe(), pair());
    assert!(problem(&out).detail.contains("rejected key"), "{out:?}");
    assert_eq!(outcome(&world.ask(pair())), "ok");

    // What was her own record's does not stand in its way.
    let mut world = World::new();
    world.done(create(1, "web1", Some("Dijon"), None));
    world.joined(1, "web1", 1);
    world.done(act_on(Act::Reject, &["web1"]));
    let expects = change(1, json!({"minion_id": "web1"}));
    assert_eq!(outcome(&world.ask_as(zoe(), expects)), "ok");
    world.done(create(2, "other", Some("Dijon"), None));
    world.done(change(1, json!({"minion_id": null})));
    let expects = change(2, json!({"minion_id": "web1"}));
    assert_eq!(outcome(&world.ask_as(zoe(), expects)), "forbidden", "it was not this one's");
}

#[test]
fn a_token_does_not_outlive_a_move() {
    let mut world = World::new();
    world.done(create(1, "a", Some("Dijon"), Some("web1")));
    let out = world.ask_as(zoe(), token(Some(server(1))));
    let Answer::Server(ServerAnswer::TokenMade { secret, .. }) = out.answer() else { panic!("{out:?}") };
    let shown = Knock { token: Some(secret.clone()), ..Knock::default() };
    world.done(change(1, json!({"zone": "Lyon"})));
    let out = world.opened(1, "web1", ToMaster::Knock(shown));
    assert_eq!(out.tags(), ["brine/key/web1/pending", "brine/key/web1/token_refused"]);
}

#[test]
fn a_uuid_that_was_anothers_is_not_made_again() {
    let history = || Ask::Server(ServerAsk::History(server(1)));
    let zones = |out: &Out| -> Vec<String> {
        let Answer::Server(ServerAnswer::History(all)) = out.answer() else { panic!("{out:?}") };
        let told = |d: &ServerDecision| {
            let zone = d.record.as_ref().and_then(|record| record.zone.as_deref());
            format!("{} {}", d.act, zone.unwrap_or("-"))
        };
        all.iter().map(told).collect()
    };
    let mut world = World::new();
    world.done(create(1, "x", Some("Lyon"), None));
    world.done(delete(1, None));
    assert_eq!(outcome(&world.ask_as(zoe(), create(1, "x", Some("Dijon"), None))), "forbidden");
    assert_eq!(zones(&world.ask_as(lyon(), history())), ["create Lyon", "delete -"]);
    world.done(create(1, "x", Some("Dijon"), None));
    world.done(change(1, json!({"model": "other"})));
    let all = ["create Lyon", "delete -", "create Dijon", "update Dijon"];
    assert_eq!(zones(&world.ask(history())), all);
    assert_eq!(zones(&world.ask_as(zoe(), history())), all[2..], "since it is hers");
    // What was her own she may make again.
    world.done(delete(1, None));
    assert_eq!(outcome(&world.ask_as(zoe(), create(1, "x", Some("Dijon"), None))), "ok");
}

#[test]
fn a_name_of_very_many_zones_is_nobodys() {
    let mut world = World::new();
    world.engine.settings.servers_max = 1000;
    world.says(1, "pc1", "pc");
    let all = who(&json!({"role": "operator", "zones": ["*"]}), false);
    for n in 0..65 {
        world.done(create(n, "pc", Some(&format!("zone {n}")), None));
        assert_eq!(world.keys_of(&all).len(), usize::from(n < 64), "{n}");
    }
}
