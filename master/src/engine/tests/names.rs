//! One name for one function: no other name of it gets around what a role may do.

use serde_json::json;

use super::*;
use crate::roles::RoleEntry;

fn roles(entries: serde_json::Value, acl: serde_json::Value, blacklist: serde_json::Value) -> Roles {
    let entries: BTreeMap<String, RoleEntry> = serde_json::from_value(entries).expect("roles");
    let acl = serde_json::from_value(acl).expect("a map");
    let blacklist = serde_json::from_value(blacklist).expect("a blacklist");
    Roles::read(&entries, &acl, &blacklist, false).expect("roles")
}

/// What a user's order for this function asks its minion to run, if it may be given.
fn sent(world: &mut World, roles: &Roles, name: &str, function: &str) -> Option<String> {
    let who = roles.principal(1000, Some(name), 0).expect("a role");
    let request = request("*", function);
    let out = world.ask_as(who, Ask::Submit { request, idempotency: None });
    out.orders(1).first().map(|order| order.calls[0].function.clone())
}

#[test]
fn a_function_has_one_name_however_it_is_written() {
    let entries = json!({
        "anna": {"role": "operator", "functions": ["brine.*"]},
        "otto": {"role": "operator", "functions": ["saltutil.running"]},
        "sven": {"role": "operator", "functions": ["s*", "test.*"]},
    });
    let roles = roles(entries, json!({}), json!({}));
    let mut world = World::new();
    world.live(1, "m1");
    for (name, function, expected) in [
        ("anna", "saltutil.kill_job", Some("brine.kill_job")),
        ("anna", "brine.kill_job", Some("brine.kill_job")),
        ("otto", "saltutil.running", Some("brine.running")),
        ("otto", "brine.running", Some("brine.running")),
        ("otto", "saltutil.kill_job", None),
        ("sven", "saltutil.kill_job", None),
        ("sven", "brine.kill_job", None),
        ("sven", "test.ping", Some("test.ping")),
    ] {
        assert_eq!(sent(&mut world, &roles, name, function).as_deref(), expected, "{name} {function}");
    }
}

#[test]
fn what_is_refused_under_one_name_is_refused_under_the_other() {
    let acl = json!({"ella": [".*"], "sam": ["saltutil\\..*"]});
    let mut world = World::new();
    world.live(1, "m1");
    for (refused, name, function, expected) in [
        ("saltutil.*", "ella", "saltutil.kill_job", None),
        ("saltutil.*", "ella", "brine.kill_job", None),
        ("brine.kill_job", "ella", "saltutil.kill_job", None),
        ("test.p*", "ella", "test.ping", None),
        ("test*", "ella", "test.ping", None),
        ("test.(ping|echo)", "ella", "test.ping", None),
        ("*ping", "ella", "test.ping", None),
        ("brine.kill_job", "ella", "saltutil.running", Some("brine.running")),
        ("brine.kill_job", "sam", "brine.running", Some("brine.running")),
        ("brine.kill_job", "sam", "saltutil.kill_job", None),
        ("nothing", "sam", "test.ping", None),
        ("nothing", "ella", "test.ping", Some("test.ping")),
    ] {
        let roles = roles(json!({}), acl.clone(), json!({"modules": [refused]}));
        let found = sent(&mut world, &roles, name, function);
        assert_eq!(found.as_deref(), expected, "{refused}: {name} {function}");
    }
}
