//! Pillar: to whom, when, and to nobody else.

use super::*;
use brine_protocol::control::{KeyFate, UnpairRequest};
use brine_protocol::pillar::{Pillar, RefreshPillar};
use brine_protocol::target::TargetKind;
use serde_json::{Value, json};

use super::super::pillars::READ_EVERY;
use crate::config::Config;
use crate::pillar::Source;

/// Pillar files of a folder.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let own = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            own.write(name, text);
        }
        own
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, asked: bool) -> Input {
        let config: Config =
            serde_json::from_value(json!({"pillar_roots": [self.0.path()]})).expect("options");
        let source = Source::new(&config, &brine_local::Paths::new(None, None));
        Input::Pillar { tree: source.read().tree.map_err(|fault| fault.to_string()), asked }
    }
}

fn pillars(out: &Out, conn: u64) -> Vec<Pillar> {
    let pillar = |message: &&ToMinion| match message {
        ToMinion::Pillar(pillar) => Some((**pillar).clone()),
        _ => None,
    };
    out.sent(conn).iter().filter_map(pillar).collect()
}

fn values(out: &Out, conn: u64) -> Vec<Value> {
    pillars(out, conn).into_iter().filter_map(|pillar| pillar.pillar.map(Value::Object)).collect()
}

const TWO: &[(&str, &str)] = &[
    ("top.yaml", "'m1': [one]\n'm2': [two]\n'G@role:web': [web]\n"),
    ("one.yaml", "secret: one-canary\n"),
    ("two.yaml", "secret: two-canary\n"),
    ("web.yaml", "web: true\n"),
];

fn grains(value: &Value) -> ToMaster {
    ToMaster::Grains(value.as_object().expect("a map").clone())
}

fn refresh(ask: u64) -> ToMaster {
    ToMaster::RefreshPillar(RefreshPillar { ask })
}

fn reads(out: &Out) -> usize {
    out.0.iter().filter(|output| matches!(output, Output::ReadPillar)).count()
}

#[test]
fn each_minion_hears_its_own_before_anything_else_of_a_session() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.input(files.read(false));
    world.knock(1, "m1");
    world.act(Act::Accept, "m1");
    let out = world.frame(1, start("j", &[]));
    assert!(matches!(out.sent(1)[0], ToMinion::Pillar(_)), "{:?}", out.sent(1));
    assert!(matches!(out.sent(1)[1], ToMinion::Stored(_)), "orders wait for this one: {:?}", out.sent(1));
    assert_eq!(values(&out, 1), [json!({"secret": "one-canary"})]);
    world.knock(2, "m2");
    world.act(Act::Accept, "m2");
    let out = world.frame(2, start("j", &[]));
    assert_eq!(values(&out, 2), [json!({"secret": "two-canary"})]);
    assert!(pillars(&out, 1).is_empty(), "nothing of it for anybody else");
    // Nothing of it shows in what may be logged, and nothing is stored or broadcast.
    let shown = format!("{:?} {:?}", out.0, world.engine);
    assert!(!shown.contains("canary"), "{shown}");
    let to_others = |output: &&Output| !matches!(output, Output::Send { conn: ConnId(2), .. });
    assert!(!out.0.iter().filter(to_others).any(|output| format!("{output:?}").contains("Pillar")));
}

#[test]
fn it_is_told_again_only_when_it_differs() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.input(files.read(false));
    world.live(1, "m1");
    world.live(2, "m2");
    let out = world.input(files.read(false));
    assert!(pillars(&out, 1).is_empty() && pillars(&out, 2).is_empty(), "the same as before");
    files.write("two.yaml", "secret: new-canary\n");
    let out = world.input(files.read(false));
    assert!(pillars(&out, 1).is_empty());
    assert_eq!(values(&out, 2), [json!({"secret": "new-canary"})]);
    let out = world.frame(1, grains(&json!({"role": "web"})));
    assert_eq!(values(&out, 1), [json!({"secret": "one-canary", "web": true})]);
    assert!(pillars(&world.frame(1, grains(&json!({"role": "web", "x": 1}))), 1).is_empty());
    let out = world.frame(1, grains(&json!({})));
    assert_eq!(values(&out, 1), [json!({"secret": "one-canary"})]);
}

#[test]
fn who_asks_gets_its_own_from_files_that_were_read_after_it_asked() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.input(files.read(false));
    world.live(1, "m1");
    world.live(2, "m2");
    assert_eq!(reads(&world.frame(1, refresh(7))), 1);
    // Asked while the files are being read: these may have been read already.
    assert_eq!(reads(&world.frame(2, refresh(3))), 0);
    assert_eq!(reads(&world.frame(2, refresh(4))), 0);
    assert!(pillars(&world.input(files.read(false)), 1).is_empty(), "that was for somebody else");
    files.write("one.yaml", "secret: new-canary\n");
    let out = world.input(files.read(true));
    assert_eq!(values(&out, 1), [json!({"secret": "new-canary"})]);
    assert_eq!(pillars(&out, 1)[0].ask, Some(7));
    assert!(pillars(&out, 2).is_empty() && reads(&out) == 0, "not so soon again");
    assert!(world.engine.next_deadline() <= world.now.steady + READ_EVERY);
    assert_eq!(reads(&world.pass(1)), 1);
    let told = pillars(&world.input(files.read(true)), 2);
    // It has this one already; the answer is due all the same.
    assert_eq!(told, [Pillar { pillar: None, ask: Some(4), problem: None }]);
    assert_eq!(reads(&world.pass(100)), 0, "nobody waits");
}

#[test]
fn a_minion_that_is_gone_or_not_let_in_gets_nothing() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.input(files.read(false));
    let waiting = world.knock(3, "m2");
    assert!(pillars(&waiting, 3).is_empty());
    assert!(world.frame(3, refresh(1)).cut(3), "it asks out of turn");
    world.live(1, "m1");
    world.frame(1, refresh(1));
    world.input(Input::Closed { conn: ConnId(1), why: "eof" });
    assert!(pillars(&world.input(files.read(true)), 1).is_empty());
}

fn problems(world: &mut World) -> Vec<String> {
    match world.ask(Ask::Health).answer() {
        Answer::Health { problems, .. } => problems.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_files_keep_the_last_good_pillar_and_are_a_problem() {
    let (mut world, files) = (World::new(), Files::new(&[("top.yaml", "'*':\n  - nosuch")]));
    world.input(files.read(false));
    world.knock(1, "m1");
    world.act(Act::Accept, "m1");
    let out = world.frame(1, start("j", &[]));
    assert!(pillars(&out, 1).is_empty(), "no pillar, and no empty one either");
    let told = problems(&mut world);
    assert!(told[0].contains("no minion gets a pillar") && told[0].contains("top.yaml:2: "), "{told:?}");
    // An operator can still work.
    assert_eq!(world.submit("m1").orders(1).len(), 1);

    files.write("nosuch.yaml", "x: 1\n");
    assert_eq!(values(&world.input(files.read(false)), 1), [json!({"x": 1})]);
    assert!(problems(&mut world).is_empty());

    files.write("nosuch.yaml", "x: {{ canary }}\n");
    assert_eq!(reads(&world.frame(1, refresh(1))), 1);
    let told = pillars(&world.input(files.read(true)), 1);
    let problem = told[0].problem.clone().expect("a problem");
    assert!(told[0].pillar.is_none() && problem.contains("brine doctor"), "{problem}");
    let told = problems(&mut world);
    assert!(
        told[0].contains("keep what they said before") && told[0].contains("nosuch.yaml:1: "),
        "{told:?}"
    );
    assert!(!told[0].contains("canary"), "{told:?}");
    let again = world.opened(2, "m1", start("j", &[]));
    assert_eq!(values(&again, 2), [json!({"x": 1})], "also for a session that begins now");
}

#[test]
fn what_no_message_can_hold_is_not_sent_and_a_problem() {
    let long = format!("x: {}\n", "y".repeat(1_046_000));
    let (mut world, files) = (World::new(), Files::new(&[("top.yaml", "'m1': [a]"), ("a.yaml", &long)]));
    world.input(files.read(false));
    world.live(1, "m1");
    assert_eq!(reads(&world.frame(1, refresh(1))), 1);
    let told = pillars(&world.input(files.read(true)), 1);
    assert!(
        told[0].pillar.is_none() && told[0].problem.as_ref().is_some_and(|why| why.contains("message_max"))
    );
    let told = problems(&mut world);
    assert!(told[0].starts_with("the pillar of m1 is not sent: "), "{told:?}");
    files.write("a.yaml", "x: 1\n");
    assert_eq!(values(&world.input(files.read(false)), 1), [json!({"x": 1})]);
    assert!(problems(&mut world).is_empty());
}

#[test]
fn a_record_that_changes_may_bring_another_pillar() {
    let top = "'Z@zone:Dijon': [dijon]\n'Z@zone:Lyon': [lyon]\n";
    let files =
        Files::new(&[("top.yaml", top), ("dijon.yaml", "site: Dijon\n"), ("lyon.yaml", "site: Lyon\n")]);
    let mut world = World::new();
    world.input(files.read(false));
    world.live(1, "m1");
    world.live(2, "m2");
    let server = world.create(servers::request("eluard"));
    world.pass(1);
    world.pass(1);
    let linked = world.server(ServerAsk::Pair(server, servers::pairing("m1", false)));
    assert_eq!(values(&linked, 1), [json!({"site": "Dijon"})]);
    assert!(pillars(&linked, 2).is_empty());
    let change = serde_json::from_value(json!({"zone": "Lyon"})).expect("a change");
    // So soon again that it is looked at a little later: a crowd must not cost a look at all for each.
    let moved = world.server(ServerAsk::Change(server, Box::new(change)));
    assert!(values(&moved, 1).is_empty());
    assert_eq!(values(&world.pass(1), 1), [json!({"site": "Lyon"})]);
    world.pass(1);
    assert_eq!(matched(&mut world, TargetKind::Pillar, "site:Lyon"), ["m1"]);
    let unpair = UnpairRequest { key: KeyFate::Keep, expect: None, reason: None };
    let unpaired = world.server(ServerAsk::Unpair(server, unpair));
    assert_eq!(values(&unpaired, 1), [json!({})]);
}

fn matched(world: &mut World, kind: TargetKind, expression: &str) -> Vec<String> {
    let request = JobRequest { target: Target::new(kind, expression), ..request("", "test.ping") };
    match world.ask(Ask::Submit { request, idempotency: None }).answer() {
        Answer::Job { made: Some(job), .. } => job.minions.iter().map(|(id, _)| id.to_string()).collect(),
        Answer::Refused(problem) if problem.kind == ProblemKind::NothingMatched => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn targets_compare_with_the_pillar_of_each_also_of_those_that_are_not_there() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    assert!(matched_before_files(&mut world).is_empty());
    world.input(files.read(false));
    world.live(2, "m2");
    world.frame(2, grains(&json!({"role": "web"})));
    world.input(Input::Closed { conn: ConnId(2), why: "eof" });
    for (kind, expression, expected) in [
        (TargetKind::Pillar, "secret:*-canary", &["m1", "m2"][..]),
        (TargetKind::Pillar, "secret:one-canary", &["m1"]),
        (TargetKind::PillarPcre, "secret:^tw", &["m2"]),
        (TargetKind::Pillar, "web:true", &["m2"]),
        (TargetKind::Compound, "I@secret:* and not I@web:*", &["m1"]),
        (TargetKind::Pillar, "nosuch:*", &[]),
    ] {
        assert_eq!(matched(&mut world, kind, expression), expected, "{expression}");
    }
}

/// Who matches and why, term by term, and how many could not be judged.
type Told = (Vec<(String, Vec<(String, bool)>)>, usize);

#[test]
fn an_exact_value_is_compared_only_where_the_caller_may_run_something() {
    let roles = json!({
        "olga": {"role": "operator", "targets": ["m1"], "functions": ["test.*"]},
        "idle": {"role": "operator", "functions": []}, "vera": {"role": "viewer"},
    });
    let acl = json!({"alma": [{"m1": ["test\\..*"]}, {"m2": ["cmd.run"]}]});
    let blacklist = serde_json::from_value(json!({"modules": ["cmd*"]})).expect("a blacklist");
    let (roles, acl) = (serde_json::from_value(roles), serde_json::from_value(acl));
    let roles = Roles::read(&roles.expect("roles"), &acl.expect("acl"), &blacklist, false).expect("roles");
    let named = |name| roles.principal(1000, Some(name), 0).expect("listed");
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.live(1, "m1");
    world.live(2, "m2");
    world.input(files.read(false));
    world.frame(2, grains(&json!({"role": "web"})));
    let why = |expression: &str| {
        let target = Target::new(TargetKind::Compound, expression);
        Ask::Targets(brine_protocol::control::TargetRequest { target, explain: true })
    };
    for who in ["olga", "alma", "idle"] {
        let mut told = |expression: &str| {
            let out = world.ask_as(named(who), why(expression));
            let Answer::Targets(matched) = out.answer() else { panic!("{out:?}") };
            let minions = matched.minions.iter().map(|minion| (minion.id.to_string(), minion.why.clone()));
            (minions.collect::<Vec<_>>(), matched.unjudged)
        };
        let own = told("I@secret:one-canary").0;
        assert_eq!(own.len(), usize::from(who != "idle"), "{who}: {own:?}");
        for form in ["I@secret:GUESS", "not I@secret:GUESS", "m2 and I@secret:GUESS", "m2 or I@secret:GUESS"]
        {
            let of_m2 = |(minions, unjudged): Told| {
                let found = minions.into_iter().find(|(id, _)| id == "m2");
                (found.map(|(_, why)| why.into_iter().map(|(_, is_so)| is_so).collect::<Vec<_>>()), unjudged)
            };
            let right = of_m2(told(&form.replace("GUESS", "two-canary")));
            assert_eq!(right, of_m2(told(&form.replace("GUESS", "wrong"))), "{who}: {form}");
        }
        // Nor by a job, which is refused in one way for a guess that is right and for one that is not.
        let mut ran = |value: &str| {
            let target = Target::new(TargetKind::Pillar, &format!("secret:{value}"));
            let request = JobRequest { target, ..request("", "test.ping") };
            let out = world.ask_as(named(who), Ask::Submit { request, idempotency: None });
            problem(&out).kind
        };
        assert_eq!(
            (ran("two-canary"), ran("wrong")),
            (ProblemKind::NothingMatched, ProblemKind::NothingMatched)
        );
    }
    let out = world.ask_as(named("vera"), why("m1 or I@secret:one-canary"));
    assert_eq!(problem(&out).kind, ProblemKind::Forbidden);
    assert!(problem(&out).detail.contains("runs nothing"), "{out:?}");
}

/// Without files there is nothing to compare with.
fn matched_before_files(world: &mut World) -> Vec<String> {
    world.live(1, "m1");
    matched(world, TargetKind::Pillar, "secret:*")
}

#[test]
fn what_is_cached_stays_below_its_limit_and_is_made_again() {
    let mut files = vec![("top.yaml".to_owned(), "'*': [all]\n".to_owned())];
    for n in 0..20 {
        files[0].1 += &format!("'n{n}': [f{n}]\n");
        files.push((format!("f{n}.yaml"), format!("own: n{n}\nlong: {}\n", "x".repeat(1500))));
    }
    files.push(("all.yaml".to_owned(), "all: 1\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (mut world, files) = (World::new(), Files::new(&files));
    world.input(files.read(false));
    for _ in 0..2 {
        for n in 0..20 {
            let compiled = world.engine.pillar_of(&id(&format!("n{n}"))).expect("a pillar");
            assert_eq!(compiled.pillar["own"], format!("n{n}"));
            let cached = world.engine.pillars.cache.borrow();
            let held: usize = cached.compiled.values().map(|compiled| compiled.bytes).sum();
            assert!(held <= cached.bytes && cached.bytes <= 10_000, "{held} {}", cached.bytes);
        }
    }
    // Many that get the same share it.
    for n in 0..1000 {
        world.engine.pillar_of(&id(&format!("other{n}"))).expect("a pillar");
    }
    assert!(world.engine.pillars.cache.borrow().compiled.len() <= 6);
}

#[test]
fn an_administrator_sees_what_a_minion_gets_and_from_where() {
    let (mut world, files) = (World::new(), Files::new(TWO));
    world.input(files.read(false));
    world.live(1, "m1");
    world.frame(1, grains(&json!({"role": "web"})));
    let out = world.ask(Ask::Pillar(id("m1")));
    let Answer::Pillar(shown) = out.answer() else { panic!("{:?}", out.answer()) };
    assert_eq!(shown.pillar.clone().map(Value::Object), Some(json!({"secret": "one-canary", "web": true})));
    assert!(shown.files["web"][0].ends_with("web.yaml") && shown.files.len() == 2, "{:?}", shown.files);
    assert!(!format!("{:?}", out.answer()).contains("canary"));
    assert_eq!(problem(&world.ask(Ask::Pillar(id("m2")))).kind, ProblemKind::NotFound);
    for role in ["operator", "viewer"] {
        let roles = serde_json::from_value(json!({"eve": {"role": role}})).expect("roles");
        let roles = Roles::read(&roles, &Default::default(), &Default::default(), false).expect("roles");
        let eve = roles.principal(1000, Some("eve"), 0).expect("eve");
        assert_eq!(problem(&world.ask_as(eve, Ask::Pillar(id("m1")))).kind, ProblemKind::Forbidden, "{role}");
    }
}
