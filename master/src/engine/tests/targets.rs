//! Targets over grains, addresses, records and nodegroups: whom they reach, and what of them is sent.

use brine_protocol::control::{Matched, ServerRequest, TargetRequest};
use brine_protocol::target::{Nodegroup, Nodegroups, TargetKind};
use serde_json::{Value, json};

use super::servers::{pairing, request as record, shown, zoe};
use super::*;
use crate::engine::ServerAsk;

fn groups() -> Nodegroups {
    let text = |text: &str| Nodegroup::Text(text.to_owned());
    let words = ["N@g1", "or", "m4"].map(str::to_owned).to_vec();
    Nodegroups::from([
        ("g1".to_owned(), text("L@m1,m2")),
        ("g2".to_owned(), text("G@role:web or m3")),
        ("g3".to_owned(), Nodegroup::Words(words)),
        ("dijon".to_owned(), text("Z@zone:Dijon")),
    ])
}

fn grains(value: &Value) -> ToMaster {
    let ToMaster::Start(mut with) = start("j", &[]) else { panic!("a start") };
    with.grains = serde_json::from_value(value.clone()).expect("a map");
    ToMaster::Start(with)
}

fn role(role: &str, address: &str) -> Value {
    json!({"role": role, "ipv4": ["127.0.0.1", address]})
}

fn by(kind: TargetKind, expression: &str) -> Ask {
    let target = Target::new(kind, expression);
    Ask::Submit { request: JobRequest { target, ..request("*", "cmd.run") }, idempotency: None }
}

fn compound(expression: &str) -> Ask {
    by(TargetKind::Compound, expression)
}

fn why(kind: TargetKind, expression: &str) -> Ask {
    Ask::Targets(TargetRequest { target: Target::new(kind, expression), explain: true })
}

fn matched(out: &Out) -> &Matched {
    match out.answer() {
        Answer::Targets(matched) => matched,
        other => panic!("{other:?}"),
    }
}

/// Who was sent an order, by the number of its connection.
fn reached(out: &Out) -> Vec<u64> {
    (1..=9).filter(|conn| !out.orders(*conn).is_empty()).collect()
}

impl World {
    /// m1 and m2 are web, m3 and m4 are db; m1 is a server of Dijon.
    fn fleet() -> Self {
        let mut world = Self::with(MemoryLedger::default(), Memory { nodegroups: groups(), ..memory() });
        for (conn, role) in [(1, "web"), (2, "web"), (3, "db"), (4, "db")] {
            world.knows(conn, &format!("m{conn}"), &self::role(role, &format!("10.0.0.{conn}")));
        }
        let made = world.server(ServerAsk::Create(None, Box::new(record("eluard"))));
        let server = shown(&made).id;
        world.server(ServerAsk::Pair(server, pairing("m1", false)));
        world
    }

    fn knows(&mut self, conn: u64, name: &str, said: &Value) {
        self.knock(conn, name);
        self.act(Act::Accept, name);
        self.frame(conn, grains(said));
    }

    fn reaches(&mut self, ask: Ask) -> Vec<u64> {
        let out = self.ask(ask);
        let made = reached(&out);
        // The next one is a job of its own, and as many orders may not be open.
        for conn in made.iter().copied() {
            let order = out.orders(conn)[0].clone();
            self.returned(conn, &order);
        }
        made
    }
}

#[test]
fn every_kind_reaches_whom_it_means() {
    let mut world = World::fleet();
    for (kind, expression, expected) in [
        (TargetKind::Grain, "role:web", vec![1, 2]),
        (TargetKind::Grain, "ROLE:web", vec![]),
        (TargetKind::GrainPcre, "role:(web|x)$", vec![1, 2]),
        (TargetKind::Ipcidr, "10.0.0.2/31", vec![2, 3]),
        (TargetKind::Ipcidr, "10.0.0.4", vec![4]),
        (TargetKind::Pcre, "m[13]$", vec![1, 3]),
        (TargetKind::Nodegroup, "g1", vec![1, 2]),
        (TargetKind::Nodegroup, "g3", vec![1, 2, 4]),
        (TargetKind::Nodegroup, "dijon", vec![1]),
        (TargetKind::Compound, "N@g2 and not m1", vec![2, 3]),
        (TargetKind::Compound, "not ( Z@zone:Dijon or S@10.0.0.2 )", vec![3, 4]),
        (TargetKind::Compound, "G@role:db or Z@name:eluard", vec![1, 3, 4]),
    ] {
        assert_eq!(world.reaches(by(kind, expression)), expected, "{kind:?} {expression}");
    }
}

#[test]
fn a_minion_is_sent_what_it_can_judge_and_no_more() {
    let mut world = World::fleet();
    for (ask, expected) in [
        (compound("N@g2 and not m1"), vec![2, 3]),
        (compound("( N@dijon and G@role:web ) or N@g3"), vec![1, 2, 4]),
        (compound("not Z@zone:Lyon and m[13]"), vec![1, 3]),
        (by(TargetKind::Record, "zone:Dijon"), vec![1]),
        (by(TargetKind::Nodegroup, "dijon"), vec![1]),
    ] {
        let out = world.ask(ask);
        assert_eq!(reached(&out), expected);
        for conn in expected {
            let order = out.orders(conn)[0].clone();
            let told = serde_json::to_string(&order.target).expect("JSON");
            for secret in ["N@", "Z@", "g1", "g2", "g3", "ijon", "yon", "zone", "record", "nodegroup"] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
            // The minion knows its grains, and no groups and no records.
            let ids = id(&format!("m{conn}"));
            let own = role(if conn < 3 { "web" } else { "db" }, "10.0.0.9");
            let own: Map<String, Value> = serde_json::from_value(own).expect("a map");
            let known =
                brine_protocol::target::Known { id: &ids, grains: Some(&own), pillar: None, record: None };
            assert!(brine_protocol::message::is_meant(&order, &known), "{told}");
            world.returned(conn, &order);
        }
    }
}

#[test]
fn an_order_keeps_its_meaning_while_groups_change() {
    let mut world = World::fleet();
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let target = Target::new(TargetKind::Compound, "N@g1 and G@role:web");
    let queued =
        JobRequest { target, delivery: Delivery::Queue { ttl_ms: 60_000 }, ..request("*", "cmd.run") };
    assert_eq!(reached(&world.ask(Ask::Submit { request: queued, idempotency: None })), [1]);
    world.input(Input::Nodegroups(Nodegroups::from([("g1".to_owned(), Nodegroup::Text("m3".to_owned()))])));
    assert_eq!(world.reaches(by(TargetKind::Nodegroup, "g1")), [3]);
    let gone = world.ask(by(TargetKind::Nodegroup, "g2"));
    assert_eq!(problem(&gone).kind, ProblemKind::BadRequest);
    let out = world.opened(9, "m2", grains(&role("web", "10.0.0.2")));
    let told = &out.orders(9)[0].target;
    assert!(told.expression.contains("m2") && told.expression.contains("G@role:web"), "{told:?}");
}

#[test]
fn grains_count_for_the_key_that_said_them() {
    let mut world = World::fleet();
    let submit = || by(TargetKind::Grain, "role:web");
    world.act(Act::Delete, "m1");
    world.knock(5, "m1'");
    world.act(Act::Accept, "m1'");
    // Another machine under the same name, which has not said yet what it is.
    assert_eq!(world.reaches(submit()), [2]);
    world.act(Act::Delete, "m2");
    let out = world.ask(submit());
    assert_eq!(problem(&out).kind, ProblemKind::NothingMatched);
    let said = &problem(&out).detail;
    assert!(
        said.starts_with("no accepted minion matches \"role:web\"; 1 of 3 could not be judged"),
        "{said}"
    );
    let out = world.ask(by(TargetKind::Glob, "x*"));
    assert_eq!(problem(&out).detail, "no accepted minion matches \"x*\"", "ids are known of all");
    let out = world.ask(why(TargetKind::Grain, "role:db"));
    assert_eq!((matched(&out).matched, matched(&out).accepted, matched(&out).unjudged), (2, 3, 1));
    world.frame(5, grains(&role("web", "10.0.0.5")));
    assert_eq!(world.reaches(submit()), [5]);
}

#[test]
fn changed_grains_count_at_once() {
    let mut world = World::fleet();
    let now = serde_json::from_value(role("web", "10.0.0.4")).expect("a map");
    world.frame(4, ToMaster::Grains(now));
    assert_eq!(world.reaches(by(TargetKind::Grain, "role:web")), [1, 2, 4]);
}

#[test]
fn whom_a_target_means_is_told_without_running_anything() {
    let mut world = World::fleet();
    world.input(Input::Closed { conn: ConnId(3), why: "peer_gone" });
    let out = world.ask(why(TargetKind::Compound, "N@g2 and not m1"));
    assert_eq!(out.0.len(), 1, "an answer and nothing else: {out:?}");
    let Matched { minions, matched, offline, accepted, unjudged } = self::matched(&out);
    assert_eq!((*matched, *offline, *accepted, *unjudged), (2, 1, 4, 0));
    let ids: Vec<&str> = minions.iter().map(|minion| minion.id.as_str()).collect();
    assert_eq!(ids, ["m2", "m3"]);
    assert_eq!(minions[0].presence, Presence::Up);
    assert!(matches!(minions[1].presence, Presence::Offline { .. }));
    let of_m2 = &minions[0].why;
    assert_eq!(*of_m2, [("N@g2".to_owned(), true), ("m1".to_owned(), false)]);
    // Nobody is an answer too, and without being asked why nothing is explained.
    let quiet = Ask::Targets(TargetRequest { target: Target::glob("m*"), explain: false });
    let out = world.ask(quiet);
    assert!(self::matched(&out).minions.iter().all(|minion| minion.why.is_empty()));
    assert_eq!(self::matched(&world.ask(why(TargetKind::Glob, "x"))).minions, []);
}

#[test]
fn a_target_that_cannot_be_read_names_its_column_and_sends_nothing() {
    let mut world = World::fleet();
    for (kind, expression) in [
        (TargetKind::Compound, "m1 and ( m2"),
        (TargetKind::Compound, "m1 and"),
        (TargetKind::Compound, "m1 or N@nosuch"),
        (TargetKind::Nodegroup, "nosuch"),
        (TargetKind::Pcre, "m("),
        (TargetKind::Ipcidr, "10.0.0.1/99"),
        (TargetKind::Record, "colour:red"),
    ] {
        for ask in [by(kind, expression), why(kind, expression)] {
            let out = world.ask(ask);
            let problem = problem(&out);
            assert_eq!(problem.kind, ProblemKind::BadRequest, "{expression}: {problem:?}");
            let column = problem.column.expect("a column");
            assert!((1..=expression.len() + 1).contains(&column), "{expression}: {problem:?}");
            assert_eq!(out.0.len(), 1, "{out:?}");
        }
    }
}

#[test]
fn patterns_over_pillar_are_for_administrators() {
    let entries = json!({"olga": {"role": "operator"}, "vera": {"role": "viewer"}});
    let entries = serde_json::from_value(entries).expect("roles");
    let roles = Roles::read(&entries, &BTreeMap::new(), &Default::default(), false).expect("roles");
    let named = |name| roles.principal(1000, Some(name), 0).expect("listed");
    let mut world = World::fleet();
    for (kind, expression) in [
        (TargetKind::Pillar, "password:a*"),
        (TargetKind::PillarPcre, "password:a"),
        (TargetKind::Compound, "m1 or ( G@role:web and I@password:a? )"),
    ] {
        let out = world.ask_as(named("olga"), by(kind, expression));
        assert_eq!(problem(&out).kind, ProblemKind::Forbidden, "{expression}");
        assert!(problem(&out).detail.contains("only administrators"), "{out:?}");
        let out = world.ask_as(named("vera"), why(kind, expression));
        assert_eq!(problem(&out).kind, ProblemKind::Forbidden, "{expression}");
        assert!(matches!(world.ask(why(kind, expression)).answer(), Answer::Targets(_)), "{expression}");
    }
    let out = world.ask_as(named("olga"), by(TargetKind::Pillar, "password:abc"));
    assert_eq!(problem(&out).kind, ProblemKind::NothingMatched, "whoever names it has it");
    assert_eq!(problem(&world.ask_as(named("vera"), by(TargetKind::Glob, "*"))).kind, ProblemKind::Forbidden);
}

#[test]
fn who_is_limited_to_zones_means_its_own() {
    let mut world = World::fleet();
    for (kind, expression) in
        [(TargetKind::Nodegroup, "g2"), (TargetKind::Grain, "role:*"), (TargetKind::Ipcidr, "10.0.0.0/24")]
    {
        let out = world.ask_as(zoe(), why(kind, expression));
        let ids: Vec<&str> = matched(&out).minions.iter().map(|minion| minion.id.as_str()).collect();
        assert_eq!((ids, matched(&out).accepted), (vec!["m1"], 1), "{expression}");
        let out = world.ask_as(zoe(), by(kind, expression));
        assert_eq!(reached(&out), [1], "{expression}");
        let order = out.orders(1)[0].clone();
        world.returned(1, &order);
    }
    let out = world.ask_as(zoe(), by(TargetKind::Compound, "N@g1 and not m1"));
    assert_eq!(problem(&out).detail, "no accepted minion matches \"N@g1 and not m1\"", "nothing of others");
    let lyon = world.create(ServerRequest { zone: Some("Lyon".to_owned()), ..record("hugo") });
    world.server(ServerAsk::Pair(lyon, pairing("m2", false)));
    let out = world.ask_as(zoe(), by(TargetKind::Record, "zone:Lyon"));
    assert_eq!(problem(&out).kind, ProblemKind::NothingMatched);
}
