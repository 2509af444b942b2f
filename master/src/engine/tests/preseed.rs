//! Keys that are made for records: made once, handed out once, gone when they are not used.

use super::servers::{pairing, request, server_answer, shown, zoe};
use super::*;
use brine_protocol::control::{
    DeleteServer, KeyFate, PreseedRequest, PreseedWish, ServerChange, ServerMade, ServerRequest,
    TokenRequest, UnpairRequest, Way,
};

use crate::engine::{BundleDone, BundleStep, BundleWish, MadeKey, ServerAnswer, ServerAsk};

const FIRST: &str = include_str!("../../../../pki/tests/keys/minion.pub");
const SECOND: &str = include_str!("../../../../pki/tests/keys/other.pub");

fn key(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).expect("a key")
}

fn bundle() -> Secret {
    Secret::from("the bundle".to_owned())
}

fn keyed() -> ServerRequest {
    ServerRequest {
        external_id: Some("z-1".to_owned()),
        minion_id: Some(id("eluard")),
        preseed: true,
        ..request("Collège Éluard")
    }
}

fn steps(out: &Out) -> Vec<&BundleStep> {
    let steps = out.0.iter().filter_map(|output| match output {
        Output::Bundle(step) => Some(step),
        _ => None,
    });
    steps.collect()
}

fn answers(out: &Out) -> Vec<(u64, &Answer)> {
    let answers = out.0.iter().filter_map(|output| match output {
        Output::Answer { request, answer } | Output::AnswerNow { request, answer } => {
            Some((request.0, &**answer))
        }
        _ => None,
    });
    answers.collect()
}

/// The bundle in each answer, by request.
fn handed(out: &Out) -> Vec<(u64, bool)> {
    let handed = answers(out).into_iter().map(|(request, answer)| match answer {
        Answer::Server(ServerAnswer::Made { bundle: handed, .. }) => {
            assert!(handed.as_ref().is_none_or(|handed| *handed == bundle()));
            (request, handed.is_some())
        }
        other => panic!("{other:?}"),
    });
    handed.collect()
}

impl World {
    fn post(&mut self, request: ServerRequest) -> Out {
        self.server(ServerAsk::Create(None, Box::new(request)))
    }

    fn make(&mut self, out: &Out) -> BundleWish {
        match steps(out)[..] {
            [BundleStep::Make(wish)] => wish.clone(),
            _ => panic!("{out:?}"),
        }
    }

    fn made(&mut self, wish: &BundleWish, pem: &str, gone: &[u64]) -> Out {
        let made = MadeKey { key: key(pem), until: wish.until(self.now.wall) };
        let gone = gone.iter().copied().map(RequestId).collect();
        self.input(Input::Bundle(BundleDone::Made {
            server: wish.server,
            number: wish.number,
            made: Ok(made),
            gone,
        }))
    }

    fn taken(&mut self, server: ServerId) -> Out {
        self.input(Input::Bundle(BundleDone::Taken { server, taken: Ok(bundle()) }))
    }

    /// A record with a key whose bundle waits on the master.
    fn waiting_bundle(&mut self) -> ServerId {
        let out = self.post(ServerRequest { bundle: wish(true, None), ..keyed() });
        let wish = self.make(&out);
        let out = self.made(&wish, FIRST, &[]);
        assert_eq!(handed(&out), [(self.asked, false)]);
        wish.server
    }

    /// Its machine comes.
    fn machine(&mut self, conn: u64, pem: &str) -> Out {
        let opened = Opened {
            conn: ConnId(conn),
            id: id("eluard"),
            key: key(pem).der().to_vec(),
            fingerprint: key(pem).fingerprint(),
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            resumed: None,
        };
        self.input(Input::Opened { opened: Box::new(opened), first: start("j", &[]) })
    }

    fn standing_of(&mut self, name: &str) -> Vec<(Fingerprint, KeyState)> {
        let id = id(name);
        let keys = self.engine.trust().registry().keys_of(&id);
        keys.map(|key| (key.fingerprint, key.state)).collect()
    }
}

fn wish(keep: bool, expires_s: Option<u64>) -> PreseedWish {
    PreseedWish { keep, master: None, expires_s }
}

#[test]
fn a_key_is_made_accepted_linked_and_handed_out() {
    let mut world = World::new();
    let out = world.post(keyed());
    let wish = world.make(&out);
    assert_eq!((wish.minion.as_str(), wish.waits_s), ("eluard", 7 * 86_400));
    assert!(answers(&out).is_empty(), "the answer waits for the key");
    let out = world.made(&wish, FIRST, &[]);
    let server = wish.server;
    assert_eq!(out.tags(), ["brine/key/eluard/accepted".to_owned(), format!("brine/server/{server}/linked")]);
    let fingerprint = key(FIRST).fingerprint();
    assert_eq!(steps(&out), [&BundleStep::Keep(server), &BundleStep::Take { server, key: fingerprint }]);
    assert!(answers(&out).is_empty());
    // Nothing that shows what happens shows the bundle.
    let out = world.taken(server);
    assert_eq!(handed(&out), [(1, true)]);
    assert!(!format!("{out:?}").contains("the bundle"), "{out:?}");
    let link = world.show(server).link.expect("linked");
    assert_eq!((link.way, link.fingerprint), (Way::Preseeded, fingerprint));
    assert!(link.preseed.is_some_and(|preseed| preseed.is_fetched));
    // The message comes a second time.
    let out = world.post(keyed());
    assert_eq!((handed(&out), steps(&out).len()), (vec![(world.asked, false)], 0));
    let out = world.server(ServerAsk::Bundle(server));
    assert_eq!(problem(&out).kind, ProblemKind::Conflict);
    assert_eq!(world.standing_of("eluard"), [(fingerprint, KeyState::Accepted)]);
}

#[test]
fn a_bundle_that_is_kept_is_handed_out_once() {
    let mut world = World::new();
    let server = world.waiting_bundle();
    let out = world.post(ServerRequest { bundle: wish(true, None), ..keyed() });
    assert_eq!((handed(&out), steps(&out).len()), (vec![(world.asked, false)], 0), "it stays where it is");
    let out = world.server(ServerAsk::Bundle(server));
    assert_eq!(steps(&out), [&BundleStep::Take { server, key: key(FIRST).fingerprint() }]);
    let out = world.taken(server);
    assert!(matches!(server_answer(&out), ServerAnswer::Bundle(handed) if *handed == bundle()), "{out:?}");
    let again = world.server(ServerAsk::Bundle(server));
    assert!(problem(&again).detail.contains("fetched by unix:0 (root)"), "{again:?}");
    assert!(steps(&again).is_empty());
}

#[test]
fn a_bundle_that_is_not_there_is_said_to_be_gone() {
    let mut world = World::new();
    let server = world.waiting_bundle();
    world.server(ServerAsk::Bundle(server));
    let out =
        world.input(Input::Bundle(BundleDone::Taken { server, taken: Err("cannot read /x".to_owned()) }));
    let problem = problem(&out);
    assert_eq!(problem.kind, ProblemKind::Internal);
    assert!(problem.detail.contains("cannot read /x") && problem.detail.contains("--replace"), "{problem:?}");
}

#[test]
fn who_asks_at_the_same_time_waits_for_the_same_key() {
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    let server = making.server;
    assert!(world.post(keyed()).0.is_empty(), "joined");
    assert!(world.server(ServerAsk::Preseed(server, PreseedRequest::default())).0.is_empty(), "joined");
    let out = world.made(&making, FIRST, &[]);
    assert_eq!(handed(&out), [(2, false), (3, false)]);
    let out = world.taken(server);
    assert_eq!(handed(&out), [(1, true)], "only the first");
    let ServerAnswer::Made { made, .. } = server_answer(&out) else { panic!("{out:?}") };
    assert!(*made);

    // Who has hung up is handed nothing.
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    world.post(keyed());
    world.made(&making, FIRST, &[1]);
    assert_eq!(handed(&world.taken(server)), [(2, true)]);
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    world.made(&making, FIRST, &[1]);
    // The next delivery finds the bundle that nobody was there to take.
    let out = world.post(keyed());
    assert_eq!(steps(&out), [&BundleStep::Take { server, key: key(FIRST).fingerprint() }]);
    assert_eq!(handed(&world.taken(server)), [(2, true)]);
}

#[test]
fn a_record_whose_key_was_never_made_gets_it_when_the_message_comes_again() {
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    let out = world.input(Input::Bundle(BundleDone::Made {
        server: making.server,
        number: making.number,
        made: Err("the disk is full".to_owned()),
        gone: BTreeSet::new(),
    }));
    assert_eq!(
        (problem(&out).kind, problem(&out).detail.as_str()),
        (ProblemKind::Internal, "the disk is full")
    );
    let out = world.post(keyed());
    let again = world.make(&out);
    assert_eq!(again.server, making.server);
    world.made(&again, FIRST, &[]);
    world.taken(again.server);
    assert_eq!(world.standing_of("eluard").len(), 1);
}

#[test]
fn a_key_that_is_not_used_in_time_is_rejected() {
    let mut world = World::new();
    let server = world.waiting_bundle();
    assert!(world.pass(7 * 86_400 - 1).tags().is_empty());
    let out = world.pass(2);
    let unlinked = format!("brine/server/{server}/unlinked");
    assert_eq!(out.tags(), ["brine/key/eluard/rejected", &unlinked]);
    assert!(steps(&out).contains(&&BundleStep::Wipe(server)), "{out:?}");
    assert_eq!(world.standing_of("eluard"), [(key(FIRST).fingerprint(), KeyState::Rejected)]);
    assert_eq!(world.show(server).link, None);
    assert!(world.machine(1, FIRST).cut(1), "too late");
    assert!(problem(&world.server(ServerAsk::Bundle(server))).detail.contains("no key was made"));
}

#[test]
fn a_machine_that_came_stays() {
    let mut world = World::new();
    let server = world.waiting_bundle();
    let out = world.machine(1, FIRST);
    assert_eq!(steps(&out), [&BundleStep::Wipe(server)], "nobody may fetch its key any more");
    assert!(problem(&world.server(ServerAsk::Bundle(server))).detail.contains("has come"));
    let link = world.show(server).link.expect("linked");
    assert_eq!((link.connected, link.preseed), (true, None));
    assert!(steps(&world.machine(2, FIRST)).is_empty(), "noted once");
    world.pass(8 * 86_400);
    assert_eq!(world.standing_of("eluard"), [(key(FIRST).fingerprint(), KeyState::Accepted)]);
}

#[test]
fn a_key_is_given_up_for_another_only_when_told_so() {
    let mut world = World::new();
    let server = world.waiting_bundle();
    let preseed =
        |replace| ServerAsk::Preseed(server, PreseedRequest { replace, ..PreseedRequest::default() });
    assert_eq!(problem(&world.server(preseed(false))).kind, ProblemKind::Conflict);
    let out = world.server(preseed(true));
    let making = world.make(&out);
    let out = world.made(&making, SECOND, &[]);
    let (linked, unlinked) =
        (format!("brine/server/{server}/linked"), format!("brine/server/{server}/unlinked"));
    assert_eq!(out.tags(), ["brine/key/eluard/rejected", &unlinked, "brine/key/eluard/accepted", &linked]);
    assert_eq!(
        steps(&out),
        [&BundleStep::Keep(server), &BundleStep::Take { server, key: key(SECOND).fingerprint() }],
        "the new one stays"
    );
    world.taken(server);
    assert!(world.machine(1, FIRST).cut(1));
    assert!(!world.machine(2, SECOND).cut(2));
}

#[test]
fn of_a_link_that_is_undone_no_bundle_stays() {
    let undo: [fn(&mut World, ServerId) -> Out; 3] = [
        |world, server| {
            world.server(ServerAsk::Unpair(
                server,
                UnpairRequest { key: KeyFate::Delete, expect: None, reason: None },
            ))
        },
        |world, server| {
            let key = Some(KeyFate::Reject);
            world.server(ServerAsk::Delete(server, DeleteServer { key, ..DeleteServer::default() }))
        },
        |world, _| {
            let key = KeyName { id: id("eluard"), fingerprint: key(FIRST).fingerprint(), state: None };
            world.ask(Ask::Act(KeyActRequest { act: Act::Reject, keys: vec![key], reason: None }))
        },
    ];
    for undo in undo {
        let mut world = World::new();
        let server = world.waiting_bundle();
        let out = undo(&mut world, server);
        assert!(steps(&out).contains(&&BundleStep::Wipe(server)), "{out:?}");
    }
}

#[test]
fn what_changes_while_a_key_is_made_is_judged_when_it_is() {
    let mut world = World::new();
    let out = world.post(ServerRequest { minion_id: None, name: "web1".to_owned(), ..keyed() });
    let making = world.make(&out);
    let server = making.server;
    world.knock(1, "web1");
    world.server(ServerAsk::Pair(server, pairing("web1", false)));
    let out = world.made(&making, FIRST, &[]);
    assert_eq!(problem(&out).kind, ProblemKind::Conflict);
    assert_eq!(steps(&out), [&BundleStep::Drop(server)]);
    assert_eq!(world.standing_of("web1"), [(fingerprint("web1"), KeyState::Accepted)]);
    // Its bundle says another id than the record does by now.
    let out = world.post(ServerRequest { external_id: None, ..keyed() });
    let making = world.make(&out);
    let other = serde_json::from_str(r#"{"minion_id": "other"}"#).expect("a change");
    world.server(ServerAsk::Change(making.server, Box::new(other)));
    let out = world.made(&making, FIRST, &[]);
    assert_eq!(
        (problem(&out).kind, steps(&out)),
        (ProblemKind::Conflict, vec![&BundleStep::Drop(making.server)])
    );
    assert!(world.standing_of("other").is_empty() && world.standing_of("eluard").is_empty());
}

#[test]
fn of_a_record_that_is_deleted_no_later_one_gets_the_key() {
    let mut world = World::new();
    let own = ServerId::from_random([200; 16]);
    let put = |name: &str| {
        ServerAsk::Create(Some(own), Box::new(ServerRequest { name: name.to_owned(), ..keyed() }))
    };
    let out = world.server(put("first"));
    let first = world.make(&out);
    let out = world.server(ServerAsk::Delete(own, DeleteServer::default()));
    let refused = answers(&out)[0];
    assert!(
        matches!(refused, (1, Answer::Refused(problem)) if problem.kind == ProblemKind::NotFound),
        "{out:?}"
    );
    let out = world.server(put("second"));
    let second = world.make(&out);
    let out = world.made(&first, FIRST, &[]);
    assert_eq!((steps(&out), answers(&out).len()), (vec![&BundleStep::Drop(own)], 0));
    assert!(world.standing_of("eluard").is_empty());
    world.made(&second, SECOND, &[]);
    assert_eq!(handed(&world.taken(own)), [(3, true)]);
    assert_eq!(world.standing_of("eluard"), [(key(SECOND).fingerprint(), KeyState::Accepted)]);
}

#[test]
fn who_may_no_longer_have_a_key_gets_none() {
    let change =
        |text: &str| -> Box<ServerChange> { Box::new(serde_json::from_str(text).expect("a change")) };
    let preseed = |server| ServerAsk::Preseed(server, PreseedRequest::default());
    // It moves while its key is made: nobody's key, and whoever joined later is told nothing of why.
    let mut world = World::new();
    let server = world.create(ServerRequest { preseed: false, ..keyed() });
    let out = world.server_as(zoe(), preseed(server));
    let making = world.make(&out);
    world.server(preseed(server));
    world.server(ServerAsk::Change(server, change(r#"{"zone": "Lyon"}"#)));
    let out = world.made(&making, FIRST, &[]);
    let told = answers(&out).into_iter().map(|(request, answer)| match answer {
        Answer::Refused(problem) => (request, problem.kind),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [(2, ProblemKind::Forbidden), (3, ProblemKind::Conflict)]);
    assert!(out.0.iter().any(|output| matches!(output, Output::Count("acts_refused"))), "in the ledger");
    assert_eq!(steps(&out), [&BundleStep::Drop(server)]);
    assert!(world.standing_of("eluard").is_empty());

    // Another's machine of that id knocks meanwhile.
    let mut world = World::new();
    let server = world.create(ServerRequest { preseed: false, ..keyed() });
    let lyon = world.create(ServerRequest { zone: Some("Lyon".to_owned()), ..request("lyon") });
    let out = world.server_as(zoe(), preseed(server));
    let making = world.make(&out);
    let claims = Knock { server: Some(lyon.to_string()), ..Knock::default() };
    world.opened(1, "eluard", ToMaster::Knock(claims));
    let out = world.made(&making, FIRST, &[]);
    assert_eq!((problem(&out).kind, steps(&out)), (ProblemKind::Forbidden, vec![&BundleStep::Drop(server)]));

    // Who joined may not have it any more: the one behind does.
    let mut world = World::new();
    let server = world.create(ServerRequest { preseed: false, ..keyed() });
    let keep = PreseedRequest { bundle: wish(true, None), ..PreseedRequest::default() };
    let out = world.server(ServerAsk::Preseed(server, keep));
    let making = world.make(&out);
    world.server_as(zoe(), preseed(server));
    world.server(preseed(server));
    world.server(ServerAsk::Change(server, change(r#"{"zone": "Lyon"}"#)));
    let out = world.made(&making, FIRST, &[]);
    let refused = answers(&out).into_iter().find(|(request, _)| *request == 3).expect("an answer");
    assert!(
        matches!(refused.1, Answer::Refused(problem) if problem.kind == ProblemKind::Forbidden),
        "{out:?}"
    );
    assert_eq!(handed(&world.taken(server)), [(4, true)]);
}

#[test]
fn a_bundle_and_a_refusal_do_not_wait_for_the_store() {
    let is_now = |out: &Out| {
        let later = out.0.iter().any(|output| matches!(output, Output::Answer { .. }));
        !later && out.0.iter().any(|output| matches!(output, Output::AnswerNow { .. }))
    };
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    world.made(&making, FIRST, &[]);
    assert!(is_now(&world.taken(making.server)));
    let mut world = World::new();
    let out = world.post(keyed());
    let making = world.make(&out);
    world.made(&making, FIRST, &[]);
    let gone = BundleDone::Taken { server: making.server, taken: Err("gone".to_owned()) };
    assert!(is_now(&world.input(Input::Bundle(gone))));
    let mut world = World::new();
    let out = world.post(keyed());
    let BundleWish { server, number, .. } = world.make(&out);
    let failed = BundleDone::Made { server, number, made: Err("no".to_owned()), gone: BTreeSet::new() };
    assert!(is_now(&world.input(Input::Bundle(failed))));
    let token =
        TokenRequest { server: Some(server), id_pattern: None, uses: None, expires_s: None, reason: None };
    assert!(is_now(&world.server(ServerAsk::CreateToken(token))));
}

#[test]
fn what_stands_against_a_key_is_said_before_there_is_a_record() {
    let mut world = World::new();
    world.live(1, "held");
    world.create(ServerRequest { minion_id: Some(id("expected")), ..request("a") });
    let with = |change: fn(&mut ServerRequest)| {
        let mut request = keyed();
        change(&mut request);
        request
    };
    let cases = [
        (with(|r| r.minion_id = None), ProblemKind::BadRequest, "--minion-id"),
        (with(|r| r.minion_id = Some(id("held"))), ProblemKind::Conflict, "held by the accepted key"),
        (with(|r| (r.name, r.minion_id) = ("expected".into(), None)), ProblemKind::Conflict, "expects"),
        (with(|r| r.bundle = wish(false, Some(0))), ProblemKind::BadRequest, "expires_s"),
        (with(|r| r.bundle = wish(false, Some(400 * 86_400))), ProblemKind::BadRequest, "365 days"),
        (with(|r| r.bundle.master = Some("a\nb: c".into())), ProblemKind::BadRequest, "no host name"),
    ];
    for (request, kind, why) in cases {
        let out = world.post(request);
        assert_eq!(problem(&out).kind, kind, "{out:?}");
        assert!(problem(&out).detail.contains(why), "{out:?}");
    }
    assert_eq!(world.engine.trust().registry().servers().len(), 1);
}

#[test]
fn so_many_keys_are_made_at_once() {
    let mut world = World::new();
    world.engine.settings.servers_max = 100;
    for n in 0..64 {
        world.post(ServerRequest { preseed: true, ..request(&format!("m{n}")) });
    }
    let out = world.post(keyed());
    assert_eq!(problem(&out).kind, ProblemKind::Busy);
    assert_eq!(world.engine.trust().registry().servers().len(), 64);
}

#[test]
fn an_answer_with_a_bundle_does_not_show_it() {
    let mut world = World::new();
    let server = world.create(request("a"));
    let made =
        ServerMade { server: world.show(server), made: true, bundle: Some("open sesame".to_owned().into()) };
    assert!(!format!("{made:?}").contains("sesame"));
    let out = world.server(ServerAsk::Show(server));
    assert_eq!(shown(&out).id, server);
}
