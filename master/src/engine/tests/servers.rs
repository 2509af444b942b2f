//! Server records, and which minion is which server.

use super::*;
use brine_protocol::control::{
    DeleteServer, ImportServers, KeyFate, PairRequest, PreseedRequest, Server, ServerChange, ServerImported,
    ServerRequest, TokenRequest, UnpairRequest,
};
use serde_json::json;

use crate::engine::{Find, ServerAnswer, ServerAsk};

pub(super) fn request(name: &str) -> ServerRequest {
    serde_json::from_value(json!({"name": name, "model": "scribe", "zone": "Dijon"})).expect("a request")
}

/// Zoe is limited to Dijon.
pub(super) fn zoe() -> Principal {
    let entry = serde_json::from_value(json!({"zoe": {"role": "operator", "zones": ["Dijon"]}}));
    let roles =
        Roles::read(&entry.expect("roles"), &BTreeMap::new(), &Default::default(), false).expect("roles");
    roles.principal(1000, Some("zoe"), 0).expect("zoe")
}

pub(super) fn name(name: &str, state: Option<KeyState>) -> KeyName {
    KeyName { id: id(name.trim_end_matches('\'')), fingerprint: fingerprint(name), state }
}

pub(super) fn pairing(key: &str, replace: bool) -> PairRequest {
    PairRequest { key: name(key, None), replace, gives_up: None, reason: None }
}

pub(super) fn server_answer(out: &Out) -> &ServerAnswer {
    match out.answer() {
        Answer::Server(answer) => answer,
        other => panic!("{other:?}"),
    }
}

pub(super) fn shown(out: &Out) -> &Server {
    match server_answer(out) {
        ServerAnswer::Server(server) | ServerAnswer::Made { server, .. } => server,
        other => panic!("{other:?}"),
    }
}

impl World {
    pub(super) fn server(&mut self, ask: ServerAsk) -> Out {
        self.ask(Ask::Server(ask))
    }

    pub(super) fn server_as(&mut self, by: Principal, ask: ServerAsk) -> Out {
        self.ask_as(by, Ask::Server(ask))
    }

    pub(super) fn create(&mut self, request: ServerRequest) -> ServerId {
        let out = self.server(ServerAsk::Create(None, Box::new(request)));
        shown(&out).id
    }

    pub(super) fn show(&mut self, server: ServerId) -> Server {
        let out = self.server(ServerAsk::Show(server));
        shown(&out).clone()
    }

    fn names(&mut self, by: Principal, find: Find) -> Vec<String> {
        let out = self.server_as(by, ServerAsk::List(find));
        let ServerAnswer::Servers(servers, _) = server_answer(&out) else { panic!("{out:?}") };
        let mut names: Vec<String> = servers.iter().map(|server| server.record.name.clone()).collect();
        names.sort();
        names
    }

    fn acts(&mut self, server: ServerId) -> Vec<String> {
        let out = self.server(ServerAsk::History(server));
        let ServerAnswer::History(decisions) = server_answer(&out) else { panic!("{out:?}") };
        decisions.iter().map(|decision| decision.act.clone()).collect()
    }

    /// A record with a live minion.
    fn linked(&mut self, conn: u64, key: &str) -> ServerId {
        let server = self.create(request("Collège Éluard"));
        self.knock(conn, key);
        self.server(ServerAsk::Pair(server, pairing(key, false)));
        self.frame(conn, start("j", &[]));
        server
    }
}

fn tag(server: ServerId, what: &str) -> String {
    format!("brine/server/{server}/{what}")
}

pub(super) fn event<'a>(out: &'a Out, tag: &str) -> &'a Event {
    let found = out.0.iter().find_map(|output| match output {
        Output::Event(event) if event.tag == tag => Some(&**event),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {tag} in {out:?}"))
}

#[test]
fn pairing_accepts_and_links_in_one_decision() {
    let mut world = World::new();
    let out = world.server(ServerAsk::Create(None, Box::new(request("Collège Éluard"))));
    let server = shown(&out).id;
    let created = event(&out, &tag(server, "created"));
    assert_eq!(created.zone.as_deref(), Some("Dijon"));
    let expected =
        json!({"name": "Collège Éluard", "model": "scribe", "zone": "Dijon", "by": "unix:0 (root)"});
    assert_eq!(created.data, expected);
    world.knock(1, "web1");
    let decided = world.engine.trust().registry().history(&id("web1")).len();
    let out = world.server(ServerAsk::Pair(server, pairing("web1", false)));
    assert_eq!(out.tags(), ["brine/key/web1/accepted", &tag(server, "linked")]);
    assert_eq!(world.engine.trust().registry().history(&id("web1")).len(), decided + 1);
    let linked = &event(&out, &tag(server, "linked")).data;
    assert_eq!((&linked["way"], &linked["minion"]), (&json!("paired"), &json!("web1")));
    assert_eq!(linked["fingerprint"], json!(fingerprint("web1")));
    assert!(matches!(out.sent(1)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    world.frame(1, start("j", &[]));
    let link = world.show(server).link.expect("linked");
    assert!(link.connected && link.minion == id("web1") && link.fingerprint == fingerprint("web1"));
    assert_eq!(world.submit("web1").orders(1).len(), 1);
    assert_eq!(world.acts(server), ["create", "pair"]);
    // One that is in already and nobody's is only linked: its session goes on.
    world.live(2, "web2");
    let other = world.create(request("other"));
    let out = world.server(ServerAsk::Pair(other, pairing("web2", false)));
    assert_eq!(out.tags(), [tag(other, "linked")]);
    assert!(!out.cut(2) && world.show(other).link.expect("linked").connected);
}

#[test]
fn a_reinstalled_machine_takes_the_place_of_the_old_one_only_when_told_so() {
    let mut world = World::new();
    let server = world.linked(1, "web1");
    let order = world.submit("web1").orders(1)[0].clone();
    world.knock(2, "web1'");
    let out = world.server(ServerAsk::Pair(server, pairing("web1'", false)));
    assert_eq!(problem(&out).kind, ProblemKind::Conflict);
    let out = world.server(ServerAsk::Pair(server, pairing("web1'", true)));
    let expected = [
        "brine/key/web1/rejected".to_owned(),
        tag(server, "unlinked"),
        "brine/key/web1/accepted".to_owned(),
        tag(server, "linked"),
    ];
    let tags: Vec<&str> = out.tags().into_iter().filter(|tag| !tag.starts_with("brine/job/")).collect();
    assert_eq!(tags, expected);
    assert!(out.cut(1), "{out:?}");
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    assert!(matches!(&out.endings()[..], [(_, Ending::Cancelled { .. })]), "{out:?}");
    assert!(world.returned(1, &order).endings().is_empty());
    assert_eq!(world.show(server).link.expect("linked").fingerprint, fingerprint("web1'"));
    assert_eq!(world.acts(server), ["create", "pair", "pair"]);
}

#[test]
fn whatever_takes_the_key_away_undoes_the_link_and_says_so() {
    for act in [Act::Reject, Act::Delete] {
        let mut world = World::new();
        let server = world.linked(1, "web1");
        let out = world.act(act, "web1");
        let of_key = format!("brine/key/web1/{}", act.past());
        assert_eq!(out.tags(), [&of_key, &tag(server, "unlinked")]);
        assert_eq!(event(&out, &of_key).zone.as_deref(), Some("Dijon"), "whose it was");
        assert_eq!(world.show(server).link, None);
    }
    let mut world = World::new();
    let server = world.linked(1, "web1");
    assert_eq!(world.act(Act::Suspend, "web1").tags(), ["brine/key/web1/suspended"]);
    assert!(world.show(server).link.is_some_and(|link| !link.connected));
}

#[test]
fn unpairing_does_to_the_key_what_it_says() {
    for (fate, what, is_cut) in [
        (KeyFate::Keep, None, false),
        (KeyFate::Reject, Some("rejected"), true),
        (KeyFate::Delete, Some("deleted"), true),
    ] {
        let mut world = World::new();
        let server = world.linked(1, "web1");
        let out =
            world.server(ServerAsk::Unpair(server, UnpairRequest { key: fate, expect: None, reason: None }));
        let of_key = what.map(|what| format!("brine/key/web1/{what}"));
        let expected: Vec<String> = of_key.into_iter().chain([tag(server, "unlinked")]).collect();
        assert_eq!((out.tags(), out.cut(1)), (expected.iter().map(String::as_str).collect(), is_cut));
        assert_eq!(shown(&out).link, None);
    }
}

#[test]
fn what_was_seen_is_what_is_cut_off_and_nothing_else() {
    let mut world = World::new();
    let server = world.linked(1, "web1");
    let name: ServerChange = serde_json::from_value(json!({"name": "eluard"})).expect("a change");
    world.server(ServerAsk::Change(server, Box::new(name)));
    let (seen, other) = (world.show(server).link.expect("a link").fingerprint, Fingerprint([9; 32]));
    let asks = |key| {
        let preseed = PreseedRequest { replace: true, gives_up: Some(key), ..PreseedRequest::default() };
        let unpair = UnpairRequest { key: KeyFate::Reject, expect: Some(key), reason: None };
        let (fate, delete) = (Some(KeyFate::Reject), DeleteServer::default());
        [
            ServerAsk::Pair(server, PairRequest { gives_up: Some(key), ..pairing("web2", true) }),
            ServerAsk::Preseed(server, preseed),
            ServerAsk::Unpair(server, unpair),
            ServerAsk::Delete(server, DeleteServer { key: fate, expect: Some(key), ..delete }),
        ]
    };
    world.knock(2, "web2");
    for ask in asks(other) {
        let out = world.server(ask);
        assert_eq!(problem(&out).kind, ProblemKind::Conflict);
        assert!(problem(&out).detail.contains(&seen.to_string()), "{out:?}");
        assert_eq!((out.tags().len(), out.cut(1)), (0, false));
    }
    let [pair, ..] = asks(seen);
    assert!(world.server(pair).cut(1));
    assert_eq!(world.show(server).link.map(|link| link.minion.to_string()).as_deref(), Some("web2"));
}

#[test]
fn deleting_a_linked_record_asks_what_becomes_of_the_key() {
    let mut world = World::new();
    let server = world.linked(1, "web1");
    let delete =
        |key| ServerAsk::Delete(server, DeleteServer { key, expect: None, reason: Some("gone".to_owned()) });
    let out = world.server(delete(None));
    assert_eq!(problem(&out).kind, ProblemKind::Conflict);
    assert!(problem(&out).detail.contains("web1"), "{out:?}");
    let out = world.server(delete(Some(KeyFate::Reject)));
    assert_eq!(out.tags(), ["brine/key/web1/rejected", &tag(server, "unlinked"), &tag(server, "deleted")]);
    assert!(out.cut(1));
    for tag in out.tags() {
        assert_eq!(event(&out, tag).zone.as_deref(), Some("Dijon"), "{tag}");
    }
    let deleted = &event(&out, &tag(server, "deleted")).data;
    assert_eq!((&deleted["minion"], &deleted["reason"]), (&json!("web1"), &json!("gone")));
    assert!(shown(&out).link.is_some(), "as it was");
    assert_eq!(problem(&world.server(ServerAsk::Show(server))).kind, ProblemKind::NotFound);
    assert_eq!(world.acts(server), ["create", "pair", "delete"]);
    let out = world.server_as(zoe(), ServerAsk::History(server));
    assert!(matches!(server_answer(&out), ServerAnswer::History(all) if all.len() == 3), "it was hers");
    let unknown = ServerId::from_random([200; 16]);
    assert_eq!(problem(&world.server(ServerAsk::History(unknown))).kind, ProblemKind::NotFound);
}

#[test]
fn a_change_is_told_once_and_a_record_that_stays_as_it_was_is_none() {
    let mut world = World::new();
    let server = world.create(request("a"));
    let change = |text: &str| {
        ServerAsk::Change(server, Box::new(serde_json::from_str::<ServerChange>(text).expect("a change")))
    };
    let out = world.server(change(r#"{"model": "scribe-2", "site": "attic"}"#));
    assert_eq!(out.tags(), [tag(server, "updated")]);
    assert_eq!(shown(&out).record.site.as_deref(), Some("attic"));
    assert!(world.server(change(r#"{"model": "scribe-2"}"#)).tags().is_empty());
    let out = world.server(change(r#"{"name": ""}"#));
    assert_eq!(
        (problem(&out).kind, problem(&out).detail.as_str()),
        (ProblemKind::BadRequest, "the name is empty")
    );
    let other =
        ServerRequest { minion_id: Some(id("web1")), external_id: Some("z-1".to_owned()), ..request("b") };
    world.create(other);
    for taken in [r#"{"minion_id": "web1"}"#, r#"{"external_id": "z-1"}"#] {
        assert_eq!(problem(&world.server(change(taken))).kind, ProblemKind::Conflict, "{taken}");
    }
    assert_eq!(world.acts(server), ["create", "update"]);
}

#[test]
fn a_message_that_comes_twice_makes_one_record() {
    let mut world = World::new();
    let post = |name: &str| {
        let request = ServerRequest { external_id: Some("z-1".to_owned()), ..request(name) };
        ServerAsk::Create(None, Box::new(request))
    };
    let made = |out: &Out| match server_answer(out) {
        ServerAnswer::Made { server, made, bundle: None } => (server.id, *made),
        other => panic!("{other:?}"),
    };
    let (first, is_made) = made(&world.server(post("a")));
    assert!(is_made);
    let out = world.server(post("a"));
    assert_eq!((made(&out), out.tags().len()), ((first, false), 0));
    let refused = problem(&world.server(post("b"))).clone();
    assert_eq!(refused.kind, ProblemKind::Conflict);
    assert!(refused.detail.contains("z-1"), "{refused:?}");

    let own: ServerId = "6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e".parse().expect("a uuid");
    let put = |name: &str| ServerAsk::Create(Some(own), Box::new(request(name)));
    assert_eq!(made(&world.server(put("a"))), (own, true));
    assert_eq!(made(&world.server(put("a"))), (own, false));
    let out = world.server(put("b"));
    assert_eq!((made(&out), out.tags()), ((own, false), vec![&*tag(own, "updated")]));
    assert_eq!(world.names(root(), Find::default()), ["a", "b"]);
}

#[test]
fn there_is_room_for_so_many() {
    let mut world = World::new();
    for n in 0..10 {
        world.create(ServerRequest { external_id: Some(n.to_string()), ..request("a") });
    }
    let out = world.server(ServerAsk::Create(None, Box::new(request("one more"))));
    assert_eq!(problem(&out).kind, ProblemKind::Busy);
    assert!(problem(&out).detail.contains("servers_max"), "{out:?}");
    let import = |external: &str| {
        let servers = vec![ServerRequest { external_id: Some(external.to_owned()), ..request("a") }];
        ServerAsk::Import(ImportServers { servers, keep_going: false, dry_run: false, reason: None })
    };
    assert_eq!(problem(&world.server(import("new"))).kind, ProblemKind::Busy);
    let out = world.server(import("7"));
    assert!(
        matches!(server_answer(&out), ServerAnswer::Imported(all) if !all[0].made && all[0].id.is_some())
    );
}

#[test]
fn records_are_found_by_their_fields_their_links_and_their_names() {
    let mut world = World::new();
    let a = world.create(ServerRequest { external_id: Some("z-1".to_owned()), ..request("a") });
    world.create(ServerRequest { zone: Some("Lyon".to_owned()), ..request("b") });
    world.create(ServerRequest { zone: None, ..request("b") });
    world.knock(1, "web1");
    world.server(ServerAsk::Pair(a, pairing("web1", false)));
    let find = |terms: &[&str], linked, named: Option<&str>| Find {
        terms: terms.iter().map(|term| term.parse().expect("a term")).collect(),
        linked,
        named: named.map(str::to_owned),
        after: None,
    };
    for (found, expected) in [
        (find(&["zone:*o*"], None, None), vec!["a", "b"]),
        (find(&["zone:*o*", "name:b"], None, None), vec!["b"]),
        (find(&[], Some(true), None), vec!["a"]),
        (find(&[], Some(false), None), vec!["b", "b"]),
        (find(&[], None, Some("b")), vec!["b", "b"]),
        (find(&[], None, Some("z-1")), vec!["a"]),
        (find(&[], None, Some(&a.to_string())), vec!["a"]),
        (find(&["zone:Lyon"], None, Some("a")), vec![]),
    ] {
        assert_eq!(world.names(root(), found.clone()), expected, "{found:?}");
    }
    assert_eq!(world.names(zoe(), Find::default()), ["a"], "the rest is not there for her");
}

#[test]
fn an_import_says_of_each_what_became_of_it() {
    let mut world = World::new();
    let there = ServerRequest { external_id: Some("z-1".to_owned()), ..request("there") };
    let known = world.create(there.clone());
    let servers = vec![
        request("good"),
        ServerRequest { model: String::new(), ..request("bad") },
        there,
        ServerRequest { external_id: Some("z-1".to_owned()), ..request("other") },
        ServerRequest { preseed: true, ..request("keyed") },
    ];
    let mut import = |servers: &[ServerRequest], keep_going, dry_run| {
        let servers = servers.to_vec();
        let import = ImportServers { servers, keep_going, dry_run, reason: None };
        let out = world.server(ServerAsk::Import(import));
        let ServerAnswer::Imported(results) = server_answer(&out) else { panic!("{out:?}") };
        (results.clone(), out.tags().len())
    };
    let judged = |results: &[ServerImported]| -> Vec<(bool, bool)> {
        results.iter().map(|result| (result.made, result.refused.is_some())).collect()
    };
    let expected = [(true, false), (false, true), (false, false), (false, true), (false, true)];
    for (keep_going, dry_run) in [(false, false), (true, true), (false, true)] {
        let (results, events) = import(&servers, keep_going, dry_run);
        assert_eq!((judged(&results), events), (expected.to_vec(), 0));
        assert_eq!((results[0].id, results[2].id), (None, Some(known)));
    }
    let (results, events) = import(&servers, true, false);
    assert_eq!((judged(&results), events), (expected.to_vec(), 1));
    assert!(results[0].id.is_some());
    assert!(results[1].refused.as_deref().is_some_and(|why| why == "the model is empty"));
    let (results, events) = import(&servers[..1], false, false);
    assert_eq!((judged(&results), events), (vec![(true, false)], 1));
    // Twins in one batch: where nothing is made, neither of them has an id.
    let twin = ServerRequest { external_id: Some("t".to_owned()), ..request("twin") };
    for (twins, dry_run) in [(vec![twin.clone(), twin.clone()], true), (vec![twin.clone(), twin], false)] {
        let (results, _) = import(&twins, false, dry_run);
        assert_eq!(judged(&results), [(true, false), (false, false)]);
        assert_eq!(results[0].id, results[1].id);
        assert_eq!(results[0].id.is_some(), !dry_run);
    }
    let many =
        ImportServers { servers: vec![request("a"); 10_001], keep_going: false, dry_run: true, reason: None };
    assert_eq!(problem(&world.server(ServerAsk::Import(many))).kind, ProblemKind::BadRequest);
}

#[test]
fn who_is_limited_to_zones_acts_only_on_its_own() {
    let mut world = World::new();
    let hers = world.create(request("hers"));
    let other = world.create(ServerRequest { zone: Some("Lyon".to_owned()), ..request("other") });
    world.live(1, "web1");
    let kind = |out: &Out| problem(out).kind;
    use ProblemKind::{Forbidden, NotFound};
    assert_eq!(kind(&world.server_as(zoe(), ServerAsk::Show(other))), NotFound);
    assert_eq!(kind(&world.server_as(zoe(), ServerAsk::History(other))), NotFound);
    let lyon = ServerRequest { zone: Some("Lyon".to_owned()), ..request("a") };
    let to_lyon: ServerChange = serde_json::from_value(json!({"zone": "Lyon"})).expect("a change");
    let claims: ServerChange = serde_json::from_value(json!({"minion_id": "web1"})).expect("a change");
    let keep = |key| ServerAsk::Unpair(hers, UnpairRequest { key, expect: None, reason: None });
    let open = TokenRequest {
        server: None,
        id_pattern: Some("*".into()),
        uses: None,
        expires_s: None,
        reason: None,
    };
    for ask in [
        ServerAsk::Create(None, Box::new(lyon.clone())),
        ServerAsk::Create(Some(other), Box::new(request("mine now"))),
        ServerAsk::Change(other, Box::default()),
        ServerAsk::Change(hers, Box::new(to_lyon)),
        ServerAsk::Change(hers, Box::new(claims)),
        ServerAsk::Delete(other, DeleteServer::default()),
        ServerAsk::Pair(other, pairing("web1", false)),
        ServerAsk::Pair(hers, pairing("web1", false)),
        ServerAsk::Preseed(other, PreseedRequest::default()),
        ServerAsk::Bundle(other),
        ServerAsk::CreateToken(TokenRequest { server: Some(other), id_pattern: None, ..open.clone() }),
        ServerAsk::CreateToken(open),
        keep(KeyFate::Keep),
    ] {
        let what = format!("{ask:?}");
        assert_eq!(kind(&world.server_as(zoe(), ask)), Forbidden, "{what}");
    }
    let import =
        ImportServers { servers: vec![request("a"), lyon], keep_going: true, dry_run: false, reason: None };
    let out = world.server_as(zoe(), ServerAsk::Import(import));
    let ServerAnswer::Imported(results) = server_answer(&out) else { panic!("{out:?}") };
    assert!(results[0].made && results[1].refused.is_some(), "{results:?}");
    world.server(ServerAsk::Pair(hers, pairing("web1", false)));
    assert_eq!(kind(&world.server_as(zoe(), keep(KeyFate::Keep))), Forbidden);
    assert_eq!(world.server_as(zoe(), keep(KeyFate::Reject)).tags()[0], "brine/key/web1/rejected");
    let viewer = serde_json::from_value(json!({"vera": {"role": "viewer"}})).expect("roles");
    let roles = Roles::read(&viewer, &BTreeMap::new(), &Default::default(), false).expect("roles");
    let vera = roles.principal(1001, Some("vera"), 0).expect("vera");
    assert!(world.names(vera.clone(), Find::default()).len() == 3);
    assert_eq!(kind(&world.server_as(vera, ServerAsk::Create(None, Box::new(request("a"))))), Forbidden);
}
