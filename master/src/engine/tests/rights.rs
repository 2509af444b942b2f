//! What a held-back order needs still when its turn comes: a principal that may give it.

use super::*;

use brine_protocol::control::{PairRequest, ServerRequest};
use brine_protocol::server::ServerId;
use serde_json::{Value, json};

use crate::engine::servers::ServerAsk;

const ZOE: u32 = 1000;

fn roles(entries: &Value) -> Roles {
    let entries = serde_json::from_value(entries.clone()).expect("roles");
    Roles::read(&entries, &BTreeMap::new(), &Default::default(), false).expect("roles")
}

fn zoe(entries: &Value) -> Principal {
    roles(entries).principal(ZOE, Some("zoe"), 0).expect("zoe")
}

fn queued(target: &str) -> Ask {
    let request =
        JobRequest { delivery: Delivery::Queue { ttl_ms: 3_600_000 }, ..request(target, "cmd.run") };
    Ask::Submit { request, idempotency: None }
}

impl World {
    fn told(&mut self, entries: &Value) {
        self.input(Input::Roles { roles: Arc::new(roles(entries)), own_uid: 0 });
    }
}

/// A world with web1 accepted and away, an order of zoe's waiting for it, and these roles from then on.
fn waiting(before: &Value, after: &Value) -> (World, Out) {
    let mut world = World::new();
    world.told(before);
    world.live(1, "web1");
    world.input(Input::Closed { conn: ConnId(1), why: "gone" });
    let out = world.ask_as(zoe(before), queued("web1"));
    assert!(matches!(out.answer(), Answer::Job { .. }), "{out:?}");
    world.told(after);
    let out = world.start(2, "web1", "j", &[]);
    (world, out)
}

#[test]
fn an_order_goes_to_a_minion_that_is_back_while_its_principal_may_give_it() {
    let may = json!({"zoe": {"role": "operator", "functions": ["cmd.*"]}});
    let (_, out) = waiting(&may, &may);
    assert_eq!(out.orders(2).len(), 1, "{out:?}");
}

#[test]
fn who_lost_its_role_or_its_function_gives_no_order_any_more() {
    let may = json!({"zoe": {"role": "operator"}});
    for (after, what) in [
        (json!({}), "has no role on this master any more"),
        (json!({"zoe": {"role": "viewer"}}), "may not"),
        (json!({"zoe": {"role": "operator", "functions": ["test.*"]}}), "may not run cmd.run on web1"),
        (json!({"zoe": {"role": "operator", "targets": ["db*"]}}), "may not run cmd.run on web1"),
    ] {
        let (_, out) = waiting(&may, &after);
        assert!(out.orders(2).is_empty(), "{out:?}");
        let [(minion, Ending::Refused { why })] = &out.endings()[..] else { panic!("{out:?}") };
        assert!(minion == "web1" && why.contains(what), "{why}");
    }
}

#[test]
fn a_minion_that_left_the_zone_is_out_of_reach() {
    let may = json!({"zoe": {"role": "operator", "zones": ["Dijon"]}});
    let mut world = World::new();
    world.told(&may);
    let server = ServerId::from_random([7; 16]);
    let wanted: ServerRequest =
        serde_json::from_value(json!({"name": "a", "model": "m", "zone": "Dijon"})).unwrap();
    world.ask(Ask::Server(ServerAsk::Create(Some(server), Box::new(wanted))));
    world.knock(1, "web1");
    let key = KeyName { id: id("web1"), fingerprint: fingerprint("web1"), state: None };
    let pair = PairRequest { key, replace: false, gives_up: None, reason: None };
    world.ask(Ask::Server(ServerAsk::Pair(server, pair)));
    world.frame(1, start("j", &[]));
    world.input(Input::Closed { conn: ConnId(1), why: "gone" });
    let out = world.ask_as(zoe(&may), queued("web1"));
    assert!(matches!(out.answer(), Answer::Job { .. }), "{out:?}");
    let change = serde_json::from_value(json!({"zone": "Lyon"})).unwrap();
    world.ask(Ask::Server(ServerAsk::Change(server, Box::new(change))));
    let out = world.start(2, "web1", "j", &[]);
    let [(_, Ending::Refused { why })] = &out.endings()[..] else { panic!("{out:?}") };
    assert!(why.contains("none of the zones of unix:1000 (zoe)"), "{why}");
}

#[test]
fn what_was_handed_out_before_goes_on() {
    let may = json!({"zoe": {"role": "operator"}});
    let (mut world, out) = waiting(&may, &may);
    assert_eq!(out.orders(2).len(), 1);
    world.input(Input::Closed { conn: ConnId(2), why: "gone" });
    world.told(&json!({}));
    let out = world.start(3, "web1", "j", &[]);
    assert_eq!(out.orders(3).len(), 1, "it may have run: its end is for the minion to tell: {out:?}");
}

#[test]
fn an_order_past_its_time_is_given_no_more_of_it() {
    let mut world = World::new();
    world.live(1, "web1");
    let mut short = request("web1", "cmd.run");
    short.delivery = Delivery::Queue { ttl_ms: 3000 };
    let out = world.ask(Ask::Submit { request: short, idempotency: None });
    assert_eq!(out.orders(1)[0].expires_in_ms, Some(3000));
    world.input(Input::Closed { conn: ConnId(1), why: "gone" });
    world.pass(8);
    let out = world.start(2, "web1", "j", &[]);
    assert_eq!(out.orders(2)[0].expires_in_ms, Some(0), "the minion ends it, unless it has it already");
}

#[test]
fn names_of_principals_are_read_back() {
    let roles = roles(&json!({"zoe": {"role": "operator"}, "the bot": {"role": "viewer"}}));
    let read = |shown: &str| roles.named(shown, 7).map(|by| (by.to_string(), by.role()));
    let is = |shown: &str, role| assert_eq!(read(shown), Some((shown.to_owned(), role)));
    use brine_protocol::permission::Role;
    is("unix:0 (root)", Role::Admin);
    is("unix:7", Role::Admin);
    is("unix:1000 (zoe)", Role::Operator);
    is("unix:0 (root) as the bot", Role::Viewer);
    for nobody in
        ["", "zoe", "unix:x (zoe)", "unix:1000", "unix:1000 (ann)", "unix:1000 (zoe) as zoe", "unix:0 (root"]
    {
        assert_eq!(read(nobody), None, "{nobody}");
    }
}
