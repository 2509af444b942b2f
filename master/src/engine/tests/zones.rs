//! Who is limited to zones: what it sees, and every act on what is its own, another's and nobody's.

mod reached;
mod refused;
mod taken;
mod told;

use super::*;

use brine_protocol::control::{
    DeleteServer, ImportServers, KeyFate, PairRequest, PreseedRequest, ServerChange, ServerRequest,
    TokenRequest, UnpairRequest,
};
use brine_protocol::server::ServerId;
use serde_json::{Value, json};

use crate::engine::servers::{Find, ServerAnswer, ServerAsk};

fn who(entry: &Value, sees_unclaimed: bool) -> Principal {
    let entries = serde_json::from_value(json!({"zoe": entry})).expect("roles");
    let roles = Roles::read(&entries, &BTreeMap::new(), &Default::default(), sees_unclaimed).expect("roles");
    roles.principal(1000, Some("zoe"), 0).expect("zoe")
}

fn zoe() -> Principal {
    who(&json!({"role": "operator", "zones": ["Dijon"]}), false)
}

/// No id that the world's random bytes would make.
fn server(n: u8) -> ServerId {
    let mut bytes = [n; 16];
    bytes[0] = !n;
    ServerId::from_random(bytes)
}

fn wanted(name: &str, zone: Option<&str>, minion: Option<&str>) -> Box<ServerRequest> {
    let wanted = json!({"name": name, "model": "m", "zone": zone, "minion_id": minion});
    Box::new(serde_json::from_value(wanted).expect("a request"))
}

fn key(name: &str) -> KeyName {
    KeyName { id: id(name.trim_end_matches('\'')), fingerprint: fingerprint(name), state: None }
}

fn pair(n: u8, name: &str, replace: bool) -> Ask {
    Ask::Server(ServerAsk::Pair(
        server(n),
        PairRequest { key: key(name), replace, gives_up: None, reason: None },
    ))
}

fn create(n: u8, name: &str, zone: Option<&str>, minion: Option<&str>) -> Ask {
    Ask::Server(ServerAsk::Create(Some(server(n)), wanted(name, zone, minion)))
}

fn change(n: u8, change: Value) -> Ask {
    let change: ServerChange = serde_json::from_value(change).expect("a change");
    Ask::Server(ServerAsk::Change(server(n), Box::new(change)))
}

fn unpair(n: u8, fate: KeyFate) -> Ask {
    Ask::Server(ServerAsk::Unpair(server(n), UnpairRequest { key: fate, expect: None, reason: None }))
}

fn delete(n: u8, fate: Option<KeyFate>) -> Ask {
    Ask::Server(ServerAsk::Delete(server(n), DeleteServer { key: fate, ..DeleteServer::default() }))
}

fn token(server: Option<ServerId>) -> Ask {
    let id_pattern = server.is_none().then(|| "web*".to_owned());
    let request = TokenRequest { server, id_pattern, uses: None, expires_s: None, reason: None };
    Ask::Server(ServerAsk::CreateToken(request))
}

fn act_on(act: Act, names: &[&str]) -> Ask {
    Ask::Act(KeyActRequest { act, keys: names.iter().map(|name| key(name)).collect(), reason: None })
}

impl World {
    fn says(&mut self, conn: u64, name: &str, server: &str) -> Out {
        let claims = Knock { server: Some(server.to_owned()), ..Knock::default() };
        self.opened(conn, name, ToMaster::Knock(claims))
    }

    fn done(&mut self, ask: Ask) -> Out {
        let out = self.ask(ask);
        assert!(!matches!(out.answer(), Answer::Refused(_)), "{out:?}");
        out
    }

    /// A live minion that is a server's.
    fn joined(&mut self, conn: u64, name: &str, server: u8) {
        self.knock(conn, name);
        self.done(pair(server, name, false));
        self.frame(conn, start("j", &[]));
    }

    /// Of Dijon, of Lyon and of nobody: a live minion with a record, and a record without one that a
    /// waiting minion says it is. Besides a minion without a record, two that wait and say nothing, and a
    /// record in Dijon that expects the id of one of these.
    fn zoned() -> Self {
        let mut world = Self::new();
        for (at, letter, zone) in [(1, 'd', Some("Dijon")), (3, 'l', Some("Lyon")), (5, 'n', None)] {
            world.done(create(at, &format!("{letter}-linked"), zone, None));
            world.joined(at.into(), &format!("m{letter}"), at);
            world.done(create(at + 1, &format!("{letter}-free"), zone, None));
            world.says(u64::from(at) + 10, &format!("w{letter}"), &format!("{letter}-free"));
        }
        world.live(7, "mx");
        world.knock(17, "wu");
        world.done(create(8, "expects", Some("Dijon"), Some("we")));
        world.knock(18, "we");
        world
    }

    fn keys_of(&mut self, by: &Principal) -> Vec<String> {
        let out = self.ask_as(by.clone(), Ask::Keys(KeysQuery::default()));
        let Answer::Keys(keys) = out.answer() else { panic!("{out:?}") };
        keys.iter().map(|key| key.id.to_string()).collect()
    }
}

/// What became of an act: `ok`, `later`, or why not.
fn outcome(out: &Out) -> String {
    let answer = out.0.iter().find_map(|output| match output {
        Output::Answer { answer, .. } | Output::AnswerNow { answer, .. } => Some(&**answer),
        _ => None,
    });
    match answer {
        None => "later".to_owned(),
        Some(Answer::Refused(problem)) => {
            let kind = serde_json::to_value(problem.kind).expect("a word");
            kind.as_str().expect("a word").to_owned()
        }
        Some(Answer::Acted(results)) => match results[0].refused.as_deref() {
            None => "ok".to_owned(),
            Some(why) if why.contains("none of its zones") => "zone".to_owned(),
            Some(why) if why.ends_with("pair it with a record: brine server pair") => "pair".to_owned(),
            Some(_) => "unfit".to_owned(),
        },
        Some(_) => "ok".to_owned(),
    }
}

fn outcomes(by: &Principal, asks: impl IntoIterator<Item = Ask>) -> Vec<String> {
    asks.into_iter().map(|ask| outcome(&World::zoned().ask_as(by.clone(), ask))).collect()
}

#[test]
fn what_is_shown_of_keys_and_minions() {
    let mut world = World::zoned();
    let all = ["md", "ml", "mn", "mx", "wd", "we", "wl", "wn", "wu"];
    assert_eq!(world.keys_of(&root()), all);
    assert_eq!(world.keys_of(&zoe()), ["md", "wd", "we"]);
    assert_eq!(world.keys_of(&who(&json!({"role": "viewer", "zones": ["L*"]}), false)), ["ml", "wl"]);
    assert_eq!(
        world.keys_of(&who(&json!({"role": "admin", "zones": ["*"]}), false)),
        ["md", "ml", "wd", "we", "wl"]
    );
    let curious = who(&json!({"role": "operator", "zones": ["Dijon"]}), true);
    assert_eq!(world.keys_of(&curious), ["md", "wd", "we", "wu"], "zones_see_unclaimed");

    let out = world.ask_as(zoe(), Ask::Minions(Default::default()));
    let Answer::Minions(minions) = out.answer() else { panic!("{out:?}") };
    assert_eq!(minions.iter().map(|minion| minion.id.as_str()).collect::<Vec<_>>(), ["md"]);
    for (name, shown) in
        [("md", "ok"), ("ml", "not_found"), ("mn", "not_found"), ("mx", "not_found"), ("no", "not_found")]
    {
        assert_eq!(outcome(&world.ask_as(zoe(), Ask::Minion(id(name)))), shown, "{name}");
        let out = world.ask_as(zoe(), Ask::History(id(name)));
        let Answer::History(decisions) = out.answer() else { panic!("{out:?}") };
        assert_eq!(decisions.is_empty(), name != "md", "{name}");
    }
    let out = world.ask_as(zoe(), Ask::Health);
    let Answer::Health { keys, sessions, .. } = out.answer() else { panic!("{out:?}") };
    assert_eq!((&keys["accepted"], &keys["pending"], *sessions), (&json!(1), &json!(2), 1));
    let out = world.ask(Ask::Health);
    let Answer::Health { keys, sessions, .. } = out.answer() else { panic!("{out:?}") };
    assert_eq!((&keys["accepted"], &keys["pending"], *sessions), (&json!(4), &json!(5), 4));
}

#[test]
fn keys_tell_which_server_is_theirs_or_could_be() {
    let mut world = World::zoned();
    let out = world.ask(Ask::Keys(KeysQuery::default()));
    let Answer::Keys(keys) = out.answer() else { panic!("{out:?}") };
    let told: Vec<String> = keys
        .iter()
        .filter_map(|key| Some((key, key.server.as_ref()?)))
        .map(|(key, server)| format!("{} {} {}", key.id, server.name, server.linked))
        .collect();
    let expected = [
        "md d-linked true",
        "ml l-linked true",
        "mn n-linked true",
        "wd d-free false",
        "we expects false",
        "wl l-free false",
        "wn n-free false",
    ];
    assert_eq!(told, expected);
    // Of a name that two records have, nobody knows which is meant: it is hers as long as both are.
    world.done(create(20, "d-free", Some("Dijon"), None));
    let out = world.ask(Ask::Keys(KeysQuery { id: Some(id("wd")), public_key: false }));
    assert!(matches!(out.answer(), Answer::Keys(keys) if keys[0].server.is_none()), "{out:?}");
    assert_eq!(world.keys_of(&zoe()), ["md", "wd", "we"]);
    world.done(create(21, "d-free", Some("Lyon"), None));
    assert_eq!(world.keys_of(&zoe()), ["md", "we"]);
}

#[test]
fn every_act_on_every_kind_of_key() {
    let names = ["md", "wd", "we", "ml", "mn", "mx", "wl", "wn", "wu"];
    for (act, expected) in [
        (Act::Accept, "unfit pair pair zone zone zone zone zone zone"),
        (Act::Reject, "ok ok ok zone zone zone zone zone zone"),
        (Act::Delete, "ok ok ok zone zone zone zone zone zone"),
        (Act::Suspend, "ok unfit unfit zone zone zone zone zone zone"),
        (Act::Resume, "unfit unfit unfit zone zone zone zone zone zone"),
    ] {
        let found = outcomes(&zoe(), names.iter().map(|name| act_on(act, &[name])));
        assert_eq!(found.join(" "), expected, "{act:?}");
    }
    let curious = who(&json!({"role": "operator", "zones": ["Dijon"]}), true);
    let acts = [Act::Accept, Act::Reject, Act::Delete];
    assert_eq!(outcomes(&curious, acts.map(|act| act_on(act, &["wu"]))), ["pair", "ok", "ok"]);
    let viewer = who(&json!({"role": "viewer", "zones": ["Dijon"]}), false);
    assert_eq!(outcomes(&viewer, [act_on(Act::Reject, &["wd"])]), ["forbidden"]);

    // Each by itself, and in the order of the names.
    let mut world = World::zoned();
    let out = world.ask_as(zoe(), act_on(Act::Reject, &["wl", "wd", "no", "we"]));
    let Answer::Acted(results) = out.answer() else { panic!("{out:?}") };
    let done: Vec<(&str, bool)> = results.iter().map(|r| (r.id.as_str(), r.refused.is_none())).collect();
    assert_eq!(done, [("wl", false), ("wd", true), ("no", false), ("we", true)]);
    assert_eq!(out.tags(), ["brine/key/wd/rejected", "brine/key/we/rejected"]);
}

#[test]
fn every_verb_about_records_in_and_out_of_zone() {
    let preseed = |n| Ask::Server(ServerAsk::Preseed(server(n), PreseedRequest::default()));
    let rename = |n| change(n, json!({"name": "x"}));
    // Dijon, Lyon, no zone, not there.
    let of = |ask: &dyn Fn(u8) -> Ask, at: [u8; 4]| outcomes(&zoe(), at.map(ask)).join(" ");
    let (linked, free) = ([1, 3, 5, 99], [2, 4, 6, 99]);
    assert_eq!(of(&|n| Ask::Server(ServerAsk::Show(server(n))), linked), "ok not_found not_found not_found");
    assert_eq!(
        of(&|n| Ask::Server(ServerAsk::History(server(n))), linked),
        "ok not_found not_found not_found"
    );
    let acts = "ok forbidden forbidden not_found";
    assert_eq!(of(&rename, linked), acts);
    assert_eq!(of(&|n| delete(n, Some(KeyFate::Reject)), linked), acts);
    assert_eq!(of(&|n| delete(n, None), free), acts);
    assert_eq!(of(&|n| unpair(n, KeyFate::Delete), linked), acts);
    assert_eq!(of(&|n| pair(n, "wd", false), free), acts);
    assert_eq!(of(&|n| token(Some(server(n))), free), "forbidden forbidden forbidden not_found");
    assert_eq!(outcomes(&zoe(), [token(Some(server(8)))]), ["ok"], "that of a record that names its minion");
    assert_eq!(of(&preseed, free), "later forbidden forbidden not_found");
    assert_eq!(of(&|n| Ask::Server(ServerAsk::Bundle(server(n))), free)[8..], acts[2..], "nobody made one");

    let left = [
        create(30, "x", Some("Dijon"), None),
        create(30, "x", Some("Lyon"), None),
        create(30, "x", None, None),
        change(1, json!({"zone": "Lyon"})),
        change(1, json!({"zone": null})),
        unpair(1, KeyFate::Keep),
        delete(1, Some(KeyFate::Keep)),
        token(None),
    ];
    let refused = ["forbidden"; 7];
    assert_eq!(outcomes(&zoe(), left), [&["ok"][..], &refused[..]].concat(), "nothing is left to nobody");

    let mut world = World::zoned();
    let out = world.ask_as(zoe(), Ask::Server(ServerAsk::List(Find::default())));
    let Answer::Server(ServerAnswer::Servers(servers, _)) = out.answer() else { panic!("{out:?}") };
    let mut names: Vec<&str> = servers.iter().map(|server| server.record.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["d-free", "d-linked", "expects"]);
    let servers = vec![*wanted("x", Some("Lyon"), None), *wanted("y", Some("Dijon"), None)];
    let import = ImportServers { servers, keep_going: true, dry_run: false, reason: None };
    let out = world.ask_as(zoe(), Ask::Server(ServerAsk::Import(import)));
    let Answer::Server(ServerAnswer::Imported(results)) = out.answer() else { panic!("{out:?}") };
    assert_eq!(results.iter().map(|result| result.made).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_may_be_paired() {
    let pairs = ["wd", "we", "wl", "wn", "wu", "mx", "ml", "md"].map(|name| pair(2, name, true));
    let found = outcomes(&zoe(), pairs);
    // "we" is expected by another record, "md" is another record's.
    assert_eq!(found[0], "ok");
    assert!(["conflict", "bad_request"].contains(&found[1].as_str()), "{found:?}");
    assert_eq!(found[2..7], ["forbidden"; 5], "{found:?}");
    assert!(["conflict", "bad_request"].contains(&found[7].as_str()), "{found:?}");
    let curious = who(&json!({"role": "operator", "zones": ["Dijon"]}), true);
    assert_eq!(outcomes(&curious, [pair(2, "wu", false)]), ["ok"]);

    // A second machine that says it is of Dijon gets no id that somebody else holds.
    for name in ["mx'", "ml'", "mn'"] {
        let mut world = World::zoned();
        world.says(30, name, "d-free");
        assert_eq!(outcome(&world.ask_as(zoe(), pair(2, name, true))), "forbidden", "{name}");
        assert_eq!(outcome(&world.ask(Ask::Minion(id(name.trim_end_matches('\''))))), "ok");
    }
    // A machine that was installed anew is its record's, whatever it says.
    let mut world = World::zoned();
    world.knock(30, "md'");
    assert!(world.keys_of(&zoe()).iter().filter(|id| *id == "md").count() == 2);
    assert_eq!(outcome(&world.ask_as(zoe(), pair(1, "md'", true))), "ok");
}

#[test]
fn a_record_does_not_take_a_machine_that_is_somebody_elses() {
    let expects =
        ["ml", "mx", "wl", "wn", "wu", "new"].map(|name| create(30, "x", Some("Dijon"), Some(name)));
    let found = outcomes(&zoe(), expects);
    assert_eq!(found, ["forbidden", "forbidden", "forbidden", "forbidden", "ok", "ok"]);
    // The record was there first, and the machine says that it is of another zone.
    let mut world = World::zoned();
    world.done(create(30, "x", Some("Dijon"), Some("late")));
    world.says(31, "late", "l-free");
    assert_eq!(outcome(&world.ask_as(zoe(), pair(30, "late", false))), "forbidden");
    // Once let in, a key is not moved by who expects its id.
    let mut world = World::zoned();
    world.done(change(2, json!({"minion_id": "mx"})));
    assert!(!world.keys_of(&zoe()).contains(&"mx".to_owned()));
    assert_eq!(outcome(&world.ask_as(zoe(), act_on(Act::Reject, &["mx"]))), "zone");
    assert_eq!(outcome(&world.ask_as(zoe(), Ask::Minion(id("mx")))), "not_found");
}
