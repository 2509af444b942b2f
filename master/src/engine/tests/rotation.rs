//! Keys that give way to others, in the small world.

mod takeover;

use std::sync::LazyLock;

use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::ledger::{Deed, Draft};
use brine_pki::rotation;
use brine_protocol::control::{MasterRotation, RotateMaster};
use brine_protocol::message::{Learned, Rotate, Rotated};
use brine_protocol::permission::Verb;

use super::*;
use crate::engine::{KeyStep, RotationCheck};

static KEYS: LazyLock<[PrivateKey; 3]> = LazyLock::new(|| {
    [
        include_str!("../../../../pki/tests/keys/minion.pem"),
        include_str!("../../../../pki/tests/keys/other.pem"),
        include_str!("../../../../pki/tests/keys/master.pem"),
    ]
    .map(|pem| PrivateKey::from_pem(pem).expect("a key"))
});

fn print(at: usize) -> Fingerprint {
    KEYS[at].public().fingerprint()
}

fn next_key() -> PublicKey {
    KEYS[2].public().clone()
}

impl World {
    /// `web1` with a real key, accepted and live.
    fn real(&mut self, conn: u64, key: usize) -> Out {
        let opened = Opened {
            conn: ConnId(conn),
            id: id("web1"),
            key: KEYS[key].public().der().to_vec(),
            fingerprint: print(key),
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            resumed: None,
        };
        let is_accepted = matches!(
            self.engine.trust().standing(&id("web1"), print(key)),
            brine_pki::registry::Verdict::Accepted { .. }
        );
        if is_accepted {
            return self.input(Input::Opened { opened: Box::new(opened), first: start("j", &[]) });
        }
        self.input(Input::Opened { opened: Box::new(opened), first: ToMaster::Knock(Knock::default()) });
        let name = KeyName { id: id("web1"), fingerprint: print(key), state: None };
        self.ask(Ask::Act(KeyActRequest { act: Act::Accept, keys: vec![name], reason: None }));
        self.frame(conn, start("j", &[]))
    }

    fn rotate(&mut self, conn: u64, rotate: &Rotate) -> Out {
        self.frame(conn, ToMaster::Rotate(Box::new(rotate.clone())))
    }

    /// Does what the driver does with a check.
    fn checked(&mut self, out: Out) -> Out {
        let check = out.0.into_iter().find_map(|output| match output {
            Output::CheckRotation(check) => Some(check),
            _ => None,
        });
        let RotationCheck { conn, id, old, named, rotate } = check.expect("a check");
        let checked = rotation::verify(&id, &old, &rotate).map_err(|error| error.to_string());
        self.input(Input::RotationChecked { conn, named, checked })
    }

    fn accepted(&mut self) -> Vec<Fingerprint> {
        let keys = self.engine.trust().registry().keys();
        keys.filter(|(_, key)| key.state == KeyState::Accepted).map(|(_, key)| key.fingerprint).collect()
    }
}

fn answers(out: &Out, conn: u64) -> Vec<Rotated> {
    let answer = |message: &&ToMinion| match message {
        ToMinion::Rotated(rotated) => Some(rotated.clone()),
        _ => None,
    };
    out.sent(conn).iter().filter_map(answer).collect()
}

fn steps(out: &Out) -> Vec<KeyStep> {
    let step = |output: &Output| match output {
        Output::Key(step) => Some(*step),
        _ => None,
    };
    out.0.iter().filter_map(step).collect()
}

fn handover(from: usize, to: usize) -> Rotate {
    rotation::sign(&id("web1"), &KEYS[from], &KEYS[to], None)
}

#[test]
fn a_minion_goes_on_under_its_new_key_without_a_gap() {
    let mut world = World::new();
    world.real(1, 0);
    let before = world.submit("*").orders(1)[0].clone();
    let jid = before.jid;
    let out = world.rotate(1, &Rotate { jid: Some(jid), ..handover(0, 1) });
    let out = world.checked(out);
    assert_eq!(answers(&out, 1), [Rotated { fingerprint: print(1), refused: None }]);
    assert_eq!(out.tags(), ["brine/key/web1/rotated"]);
    assert!(!out.cut(1));
    assert_eq!(world.accepted(), [print(1)]);
    let history = world.engine.trust().registry().history(&id("web1")).last().cloned().expect("a decision");
    assert_eq!((history.by.as_str(), history.reason), ("minion:web1", Some(format!("job {jid}"))));

    // What was ordered before is answered, what is ordered now is sent, and it shows as connected.
    assert_eq!(world.returned(1, &before).endings().len(), 1);
    assert_eq!(world.submit("*").orders(1).len(), 1);
    let out = world.ask(Ask::Keys(KeysQuery::default()));
    let Answer::Keys(keys) = out.answer() else { panic!() };
    assert!(keys[0].connected && keys[0].fingerprint == print(1));

    // A resend after a lost answer is answered, and nothing is written twice.
    let head = world.engine.trust().head();
    let out = world.rotate(1, &handover(0, 1));
    assert_eq!(answers(&out, 1), [Rotated { fingerprint: print(1), refused: None }]);
    assert_eq!(world.engine.trust().head(), head);

    // The old key is denied from here on, also to a session whose verdict was given before.
    let opened = Opened {
        conn: ConnId(2),
        id: id("web1"),
        key: KEYS[0].public().der().to_vec(),
        fingerprint: print(0),
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        resumed: None,
    };
    let late = Input::Opened { opened: Box::new(opened), first: start("j", &[]) };
    assert!(world.input(late).cut(2));
    let hello = Input::Hello { conn: ConnId(3), id: id("web1"), fingerprint: print(0) };
    let out = world.input(hello);
    assert!(matches!(out.0[..], [Output::Welcome { standing: Standing::Denied, .. }]), "{out:?}");
}

#[test]
fn a_session_of_the_old_key_reads_no_more_broadcasts() {
    let mut world = World::new();
    world.real(1, 0);
    let epochs = |out: &Out| -> Vec<String> {
        let id = |message: &&ToMinion| match message {
            ToMinion::Epoch(epoch) => Some(format!("{:?}", epoch.id)),
            _ => None,
        };
        out.sent(1).iter().filter_map(id).collect()
    };
    world.subscribe(1);
    let before = epochs(&world.submit("*"));
    assert_eq!(before.len(), 1);
    assert!(epochs(&world.submit("*")).is_empty(), "it goes on");
    let out = world.rotate(1, &handover(0, 1));
    world.checked(out);
    let out = world.submit("*");
    let after = epochs(&out);
    assert!(after.len() == 1 && after != before, "{after:?} after {before:?}");
    assert_eq!(out.broadcasts().len(), 1);
}

#[test]
fn a_rotation_names_no_job_that_is_not_its_own() {
    let mut world = World::new();
    world.real(1, 0);
    world.live(2, "web2");
    let of_another = world.submit("web2").orders(2)[0].jid;
    let over = world.submit("web1").orders(1)[0].clone();
    world.returned(1, &over);
    for (from, to, jid) in [(0, 1, of_another), (1, 2, over.jid)] {
        let out = world.rotate(1, &Rotate { jid: Some(jid), ..handover(from, to) });
        let out = world.checked(out);
        assert_eq!(answers(&out, 1), [Rotated { fingerprint: print(to), refused: None }]);
        let history = world.engine.trust().registry().history(&id("web1")).last().cloned();
        assert_eq!(history.expect("a decision").reason, None);
    }
}

#[test]
fn a_rotation_is_refused_with_a_reason_and_the_old_key_stays() {
    let mut world = World::new();
    world.real(1, 0);
    let other = Rotate { by_old: handover(2, 1).by_old, ..handover(0, 1) };
    for (rotate, why) in [
        (other, "the old key's signature does not verify"),
        (
            Rotate { by_new: handover(0, 2).by_new, ..handover(0, 1) },
            "the new key's signature does not verify",
        ),
    ] {
        let out = world.rotate(1, &rotate);
        let out = world.checked(out);
        assert_eq!(answers(&out, 1), [Rotated { fingerprint: print(1), refused: Some(why.to_owned()) }]);
    }
    let malformed = Rotate { key: "?".to_owned(), ..handover(0, 1) };
    assert!(world.rotate(1, &malformed).cut(1));
    assert_eq!(world.accepted(), [print(0)]);
}

#[test]
fn one_rotation_at_a_time_and_few_within_an_hour() {
    let mut world = World::new();
    world.real(1, 0);
    let out = world.rotate(1, &handover(0, 1));
    assert!(world.rotate(1, &handover(0, 1)).cut(1), "while the first is being checked");
    drop(out);

    let mut world = World::new();
    world.real(1, 0);
    let bad = Rotate { by_new: handover(0, 2).by_new, ..handover(0, 1) };
    for _ in 0..16 {
        let out = world.rotate(1, &bad);
        world.checked(out);
    }
    let out = world.rotate(1, &handover(0, 1));
    assert!(answers(&out, 1)[0].refused.as_ref().is_some_and(|why| why.contains("16 times")), "{out:?}");
    world.pass(3600);
    let out = world.rotate(1, &handover(0, 1));
    let out = world.checked(out);
    assert_eq!(answers(&out, 1)[0].refused, None);
}

#[test]
fn what_was_checked_is_judged_by_what_is_now() {
    let check = |world: &mut World| world.rotate(1, &handover(0, 1));
    // The session has ended, the key was suspended, a newer session of the minion has begun.
    for meanwhile in [
        (|world| drop(world.input(Input::Closed { conn: ConnId(1), why: "gone" }))) as fn(&mut World),
        |world| {
            let name = KeyName { id: id("web1"), fingerprint: print(0), state: None };
            world.ask(Ask::Act(KeyActRequest { act: Act::Suspend, keys: vec![name], reason: None }));
        },
        |world| drop(world.real(2, 0)),
    ] {
        let mut world = World::new();
        world.real(1, 0);
        let out = check(&mut world);
        meanwhile(&mut world);
        let head = world.engine.trust().head();
        let out = world.checked(out);
        assert!(answers(&out, 1).is_empty(), "{out:?}");
        assert_eq!(world.engine.trust().head(), head);
    }
}

impl World {
    fn start_rotation(&mut self, grace_s: u64) -> Out {
        self.ask(Ask::Rotate(RotateMaster { grace_s, reason: Some("yearly".to_owned()) }))
    }

    /// Announces the next key, and offers it as the driver does.
    fn announce(&mut self, grace_s: u64) -> Out {
        assert_eq!(steps(&self.start_rotation(grace_s)), [KeyStep::Make]);
        let out = self.input(Input::KeyMade(Ok(next_key())));
        assert_eq!(steps(&out), [KeyStep::Configure]);
        out
    }

    fn rotation(&mut self) -> Option<MasterRotation> {
        let out = self.ask(Ask::Rotation);
        let Answer::Rotation(rotation) = out.answer() else { panic!("{out:?}") };
        rotation.clone()
    }

    fn offering(&mut self, offer: &str) -> Out {
        self.input(Input::Offering(offer.to_owned()))
    }
}

/// Configs wait for nothing, the store least of all.
fn configs(out: &Out, conn: u64) -> Vec<String> {
    let offer = |output: &Output| match output {
        Output::SendNow { conn: to, message: ToMinion::Config(config) } if to.0 == conn => {
            Some(config.offer.clone())
        }
        _ => None,
    };
    out.0.iter().filter_map(offer).collect()
}

fn learned(successor: Option<Fingerprint>) -> ToMaster {
    ToMaster::Learned(Learned { successor })
}

#[test]
fn a_rotation_of_the_master_is_told_learned_and_done() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    world.knock(3, "db1");
    assert!(configs(&world.offering("config 1"), 1).is_empty(), "a new secret alone is no news");
    assert_eq!(world.rotation(), None);

    let out = world.announce(100);
    let Answer::Rotation(Some(shown)) = out.answer() else { panic!("{out:?}") };
    assert_eq!((shown.from, shown.to), (fingerprint("master"), print(2)));
    assert_eq!(shown.until, shown.since.plus_micros(100_000_000));
    assert_eq!(out.tags(), ["brine/master/key/announced"]);
    assert_eq!(world.engine.successor(), Some(print(2)));
    let out = world.offering("config 2");
    for conn in [1, 2, 3] {
        assert_eq!(configs(&out, conn), ["config 2"], "{conn}");
    }
    // A config that is only rotated tells nobody anything; who comes now is told anyway.
    assert!(configs(&world.offering("config 3"), 1).is_empty());
    assert_eq!(configs(&world.knock(4, "db2"), 4), ["config 3"]);

    world.frame(1, learned(Some(print(2))));
    world.frame(3, learned(Some(print(2))));
    let shown = world.rotation().expect("under way");
    assert_eq!((shown.learned, shown.missing), (1, vec![id("web2")]));
    let out = world.ask(Ask::Health);
    let Answer::Health { notices, problems, fingerprint: own, .. } = out.answer() else { panic!() };
    assert!(notices[0].contains("1 of 2 accepted minions") && problems.is_empty(), "{notices:?}");
    assert_eq!(*own, fingerprint("master"));

    world.input(Input::Closed { conn: ConnId(2), why: "gone" });
    assert!(steps(&world.pass(98)).is_empty());
    let out = world.pass(2);
    assert_eq!(steps(&out), [KeyStep::TakeOver]);
    assert_eq!(out.tags(), ["brine/master/key/succeeded"]);
    let event = out.0.iter().find_map(|output| match output {
        Output::Event(event) => Some(event.data.clone()),
        _ => None,
    });
    let event = event.expect("an event");
    assert_eq!((&event["missing"], &event["missing_count"]), (&serde_json::json!(["web2"]), &1.into()));
    assert_eq!((world.rotation(), world.engine.successor()), (None, None));
    assert_eq!(world.engine.fingerprint(), print(2));
    assert!(!out.cut(1), "live sessions go on");
    assert!(steps(&world.pass(100)).is_empty(), "once");
}

#[test]
fn what_a_minion_knew_is_stored_and_told_again_when_it_is_behind() {
    let mut world = World::new();
    world.live(1, "web1");
    world.announce(100);
    world.offering("config");
    let out = world.frame(1, learned(Some(print(2))));
    let kept = |out: &Out| {
        out.0.iter().find_map(|output| match output {
            Output::Persist(Record::Facts(_, facts)) => Some(facts.successor),
            _ => None,
        })
    };
    assert_eq!(kept(&out), Some(Some(print(2))));
    assert_eq!(kept(&world.frame(1, learned(Some(print(2))))), None, "nothing new");
    // Its handshake was offered the config from before.
    let with = |successor| match start("j", &[]) {
        ToMaster::Start(start) => ToMaster::Start(Box::new(Start { successor, ..*start })),
        other => other,
    };
    let out = world.opened(2, "web1", with(None));
    assert_eq!((configs(&out, 2), kept(&out)), (vec!["config".to_owned()], Some(None)));
    let out = world.opened(3, "web1", with(Some(print(2))));
    assert_eq!((configs(&out, 3), kept(&out)), (vec![], Some(Some(print(2)))));

    let out = world.ask(Ask::WithdrawRotation);
    assert_eq!(steps(&out), [KeyStep::Discard, KeyStep::Configure]);
    assert_eq!(out.tags(), ["brine/master/key/withdrawn"]);
    assert_eq!(world.engine.successor(), None);
    assert_eq!(configs(&world.offering("without"), 3), ["without"]);
    world.frame(3, learned(None));
    let out = world.opened(4, "web1", with(Some(print(2))));
    assert_eq!(configs(&out, 4), ["without"]);
    assert!(steps(&world.pass(1000)).is_empty(), "what is withdrawn never takes over");
}

#[test]
fn an_operator_ends_the_grace() {
    let mut world = World::new();
    assert_eq!(problem(&world.ask(Ask::FinishRotation)).kind, ProblemKind::Conflict);
    assert_eq!(problem(&world.ask(Ask::WithdrawRotation)).kind, ProblemKind::Conflict);
    world.announce(100);
    assert_eq!(problem(&world.start_rotation(1)).kind, ProblemKind::Conflict);
    assert!(problem(&world.ask(Ask::FinishRotation)).detail.contains("no config"), "nobody can know it");
    world.offering("config");
    let out = world.ask(Ask::FinishRotation);
    assert_eq!(steps(&out), [KeyStep::TakeOver]);
    assert!(matches!(out.answer(), Answer::Rotation(Some(rotation)) if rotation.to == print(2)));
    assert_eq!(world.engine.fingerprint(), print(2));
}

#[test]
fn who_may_and_what_is_refused_before_a_key_is_made() {
    let mut world = World::new();
    let year = 366 * 86_400;
    assert_eq!(problem(&world.start_rotation(year + 1)).kind, ProblemKind::BadRequest);
    let roles = serde_json::json!({"alice": {"role": "operator"}});
    let roles: std::collections::BTreeMap<_, _> = serde_json::from_value(roles).expect("roles");
    let roles = Roles::read(&roles, &Default::default(), &Default::default(), false).expect("roles");
    let alice = roles.principal(1000, Some("alice"), 0).expect("alice");
    assert!(alice.may(Verb::Health).is_ok());
    for ask in
        [Ask::Rotate(RotateMaster { grace_s: 1, reason: None }), Ask::FinishRotation, Ask::WithdrawRotation]
    {
        assert_eq!(problem(&world.ask_as(alice.clone(), ask)).kind, ProblemKind::Forbidden);
    }
    assert!(matches!(world.ask_as(alice, Ask::Rotation).answer(), Answer::Rotation(None)));

    assert_eq!(steps(&world.start_rotation(year)), [KeyStep::Make]);
    assert_eq!(problem(&world.start_rotation(1)).kind, ProblemKind::Conflict, "while one is being made");
    let out = world.input(Input::KeyMade(Err("no entropy".to_owned())));
    assert_eq!(problem(&out).kind, ProblemKind::Internal);
    world.pass(10);
    assert_eq!(steps(&world.start_rotation(0)), [KeyStep::Make], "a failure stands in nobody's way");
    world.input(Input::KeyMade(Ok(next_key())));
    world.offering("config");
    assert!(steps(&world.pass(14)).is_empty(), "time for handshakes that began before");
    assert_eq!(steps(&world.pass(1)), [KeyStep::TakeOver]);
}

#[test]
fn what_a_restart_finds() {
    let ledger = || {
        let now = Timestamp(1_795_327_652_000_000 - 200_000_000);
        let deed = Deed::Announce {
            fingerprint: print(2),
            key: next_key().der().to_vec(),
            from: fingerprint("master"),
            until: now.plus_micros(100_000_000),
        };
        let mut ledger = MemoryLedger::default();
        ledger.append(Draft { by: "test".to_owned(), reason: None, deed }, now).expect("appended");
        ledger
    };
    let own = |problem: Option<&str>| OwnKey {
        fingerprint: fingerprint("master"),
        problem: problem.map(str::to_owned),
        notice: None,
    };
    // The grace has passed while the master was down.
    let mut world = World::with(ledger(), Memory { own: own(None), ..memory() });
    assert!(steps(&world.input(Input::Tick)).is_empty(), "minions on their way back shall learn it");
    assert_eq!(steps(&world.pass(5)), [KeyStep::TakeOver]);
    // The announced key's file is gone: the old key goes on, and withdrawing mends it.
    let mut world = World::with(ledger(), Memory { own: own(Some("the file is missing")), ..memory() });
    assert!(steps(&world.pass(5)).is_empty());
    assert_eq!(world.engine.successor(), None, "nobody is told of a key that cannot come");
    let out = world.ask(Ask::Health);
    let Answer::Health { problems, .. } = out.answer() else { panic!() };
    assert_eq!(problems, &["the file is missing"]);
    assert_eq!(problem(&world.ask(Ask::FinishRotation)).detail, "the file is missing");
    world.ask(Ask::WithdrawRotation);
    let out = world.ask(Ask::Health);
    let Answer::Health { problems, notices, .. } = out.answer() else { panic!() };
    assert!(problems.is_empty() && notices.is_empty());
    // Somebody put the announced key in place by hand: what is so is written down.
    let moved = OwnKey { fingerprint: print(2), problem: None, notice: None };
    let mut world = World::with(ledger(), Memory { own: moved, ..memory() });
    assert!(steps(&world.input(Input::Tick)).is_empty());
    assert_eq!(world.rotation(), None);
}
