//! Who may do what, as a table and by example.

use super::*;
use brine_protocol::permission::ROLES;
use serde_json::json;

fn roles(yaml_like: Value, acl: Value) -> Roles {
    let roles = serde_json::from_value(yaml_like).expect("roles");
    let acl = serde_json::from_value(acl).expect("acl");
    Roles::read(&roles, &acl, &Default::default(), false).expect("readable")
}

fn call(function: &str) -> Call {
    Call { function: function.to_owned(), arguments: vec![], keywords: serde_json::Map::new() }
}

fn run(who: &Principal, functions: &[&str], minions: &[&str]) -> bool {
    let calls: Vec<Call> = functions.iter().map(|f| call(f)).collect();
    let ids: Vec<MinionId> = minions.iter().map(|m| m.parse().expect("an id")).collect();
    who.may_run(&calls, &ids).is_ok()
}

/// The whole table. A change of a right is a change of this text.
#[test]
fn verb_by_role() {
    let mut table = String::new();
    for verb in VERBS {
        let name = serde_json::to_value(verb).expect("a word");
        let marks: String =
            ROLES.iter().map(|role| if allows(*role, verb) { " yes" } else { "  no" }).collect();
        table += &format!("{:<12}{marks}\n", name.as_str().expect("text"));
    }
    assert_eq!(
        table,
        "health       yes yes yes\n\
         keys_list    yes yes yes\n\
         keys_act     yes yes  no\n\
         keys_import  yes  no  no\n\
         master_rotate yes  no  no\n\
         minions_list yes yes yes\n\
         targets_get  yes yes yes\n\
         pillar_show  yes  no  no\n\
         jobs_run     yes yes  no\n\
         jobs_own     yes yes yes\n\
         jobs_all     yes  no yes\n\
         jobs_kill    yes yes  no\n\
         events       yes yes yes\n\
         act_as       yes  no  no\n\
         servers_list yes yes yes\n\
         servers_edit yes yes  no\n\
         servers_link yes yes  no\n"
    );
}

#[test]
fn root_and_the_masters_user_are_admins_and_strangers_are_nobody() {
    let roles = Roles::default();
    assert!(roles.principal(0, Some("root"), 7).expect("root").may(Verb::KeysAct).is_ok());
    assert!(roles.principal(7, None, 7).expect("own").may(Verb::KeysAct).is_ok());
    let refused = roles.principal(8, Some("eve"), 7).expect_err("nobody");
    assert_eq!(refused.kind, ProblemKind::Forbidden);
}

#[test]
fn an_operator_is_held_to_targets_and_functions() {
    let roles = roles(
        json!({"alice": {"role": "operator", "targets": ["web*"], "functions": ["test.*"]}}),
        json!({}),
    );
    let alice = roles.principal(1000, Some("alice"), 7).expect("alice");
    assert!(run(&alice, &["test.ping"], &["web1", "web2"]));
    assert!(!run(&alice, &["test.ping"], &["web1", "db1"]), "one target is not hers");
    assert!(!run(&alice, &["test.ping", "cmd.run"], &["web1"]), "each function is judged");
    assert!(!run(&alice, &["xtest.ping"], &["web1"]), "patterns are anchored");
    assert!(alice.may(Verb::KeysAct).is_ok());
    assert!(alice.may_see_job_of("unix:1000 (alice)"));
    assert!(!alice.may_see_job_of("unix:0 (root)"));
}

#[test]
fn salts_publisher_acl_is_read_as_operators() {
    let roles = roles(json!({}), json!({"bob": ["test.ping", {"db*": ["cmd.*", "test.echo"]}]}));
    let bob = roles.principal(1001, Some("bob"), 7).expect("bob");
    assert!(run(&bob, &["test.ping"], &["web1"]));
    assert!(!run(&bob, &["test.pingX"], &["web1"]));
    assert!(run(&bob, &["cmd.run"], &["db1"]));
    assert!(!run(&bob, &["cmd.run"], &["web1"]));
    assert!(bob.may(Verb::KeysAct).is_err(), "Salt's ACL never gave keys");
    for verb in VERBS.into_iter().filter(|verb| is_about_trust(*verb)) {
        let refused = bob.may(verb).expect_err("about trust").detail;
        assert!(refused.ends_with("its role is operator limited by publisher_acl"), "{refused}");
    }
    assert!(
        bob.zones().is_none() && bob.sees_zone(Some("Lyon")) && bob.sees_zone(None) && bob.sees_unclaimed()
    );
    assert!(bob.may(Verb::KeysList).is_ok() && bob.may(Verb::ServersList).is_ok());
    let both = serde_json::from_value(json!({"bob": {"role": "viewer"}})).expect("roles");
    let acl = serde_json::from_value(json!({"bob": ["test.ping"]})).expect("acl");
    assert!(Roles::read(&both, &acl, &Default::default(), false).is_err());
    let acl = serde_json::from_value(json!({"bob": "test.ping"})).expect("acl");
    assert!(Roles::read(&BTreeMap::new(), &acl, &Default::default(), false).is_err());
}

#[test]
fn acting_as_somebody_only_drops_rights() {
    let roles = roles(
        json!({"vera": {"role": "viewer"}, "zoe": {"role": "operator", "zones": ["Dijon"]}}),
        json!({}),
    );
    let root = roles.principal(0, Some("root"), 7).expect("root");
    let vera = roles.act_as(&root, "vera").expect("vera");
    assert_eq!(vera.to_string(), "unix:0 (root) as vera");
    assert!(vera.may(Verb::JobsRun).is_err());
    assert!(roles.act_as(&vera, "zoe").is_err(), "a dropped right does not come back");
    assert!(roles.act_as(&root, "nobody").is_err());
    let zoe = roles.act_as(&root, "zoe").expect("zoe");
    assert!(zoe.may(Verb::KeysAct).is_ok() && zoe.may(Verb::KeysImport).is_err());
    assert!(zoe.sees_zone(Some("Dijon")) && !zoe.sees_zone(Some("Lyon")), "with the zones of the other");
}

#[test]
fn an_admin_limited_to_zones_decides_about_nothing_beyond_them() {
    let roles =
        roles(json!({"zoe": {"role": "admin", "zones": ["Dijon"]}, "adam": {"role": "admin"}}), json!({}));
    let zoe = roles.principal(1000, Some("zoe"), 7).expect("zoe");
    for verb in [Verb::KeysImport, Verb::MasterRotate, Verb::ActAs, Verb::JobsAll] {
        let refused = zoe.may(verb).expect_err("beyond her zones").detail;
        assert!(refused.ends_with("its role is admin limited to zones"), "{refused}");
    }
    assert!(roles.act_as(&zoe, "adam").is_err());
    // These are judged by what they are done to.
    for verb in [Verb::KeysAct, Verb::ServersEdit, Verb::ServersLink, Verb::KeysList, Verb::JobsRun] {
        assert!(zoe.may(verb).is_ok(), "{verb:?}");
    }
    let adam = roles.principal(1001, Some("adam"), 7).expect("adam");
    assert_eq!((adam.verbs().count(), zoe.verbs().count()), (VERBS.len(), VERBS.len() - 4));
}

#[test]
fn zones_are_anchored_globs_and_no_zone_is_nobodys() {
    let roles = roles(
        json!({
            "zoe": {"role": "operator", "zones": ["Dijon", "Lyon-*"]},
            "all": {"role": "operator", "zones": ["*"]},
            "none": {"role": "viewer", "zones": []},
            "adam": {"role": "operator"},
        }),
        json!({}),
    );
    let seen = |name: &str| -> Vec<bool> {
        let who = roles.principal(1000, Some(name), 7).expect("listed");
        [Some("Dijon"), Some("Dijon-2"), Some("Lyon-3"), Some("dijon"), None]
            .map(|z| who.sees_zone(z))
            .to_vec()
    };
    assert_eq!(seen("zoe"), [true, false, true, false, false]);
    assert_eq!(seen("all"), [true, true, true, true, false]);
    assert_eq!(seen("none"), [false; 5]);
    assert_eq!(seen("adam"), [true; 5]);
}

#[test]
fn a_viewer_limited_to_zones_sees_its_own_jobs_alone() {
    let roles =
        roles(json!({"vic": {"role": "viewer", "zones": ["Dijon"]}, "vera": {"role": "viewer"}}), json!({}));
    let vic = roles.principal(1000, Some("vic"), 7).expect("vic");
    let vera = roles.principal(1001, Some("vera"), 7).expect("vera");
    assert!(vera.may_see_job_of("unix:0 (root)"));
    assert!(vic.may_see_job_of("unix:1000 (vic)") && !vic.may_see_job_of("unix:0 (root)"));
}

#[test]
fn waiting_keys_of_nobody_are_shown_to_zones_by_an_option() {
    let entries =
        serde_json::from_value(json!({"zoe": {"role": "operator", "zones": ["Dijon"]}})).expect("roles");
    for sees in [false, true] {
        let roles = Roles::read(&entries, &BTreeMap::new(), &Default::default(), sees).expect("readable");
        assert_eq!(roles.principal(1000, Some("zoe"), 7).expect("zoe").sees_unclaimed(), sees);
        assert!(roles.principal(0, None, 7).expect("root").sees_unclaimed());
    }
}

#[test]
fn what_is_heard_of_by_whom() {
    let entries = json!({"zoe": {"role": "operator", "zones": ["Dijon"]}, "olga": {"role": "operator"}});
    let entries = serde_json::from_value(entries).expect("roles");
    let read = |sees| Roles::read(&entries, &BTreeMap::new(), &Default::default(), sees).expect("readable");
    let who = |sees, name| read(sees).principal(1000, Some(name), 7).expect("listed");
    let (zoe, curious, olga) = (who(false, "zoe"), who(true, "zoe"), who(false, "olga"));
    let root = read(false).principal(0, None, 7).expect("root");
    for (tag, zone, data, heard) in [
        ("brine/server/x/created", Some("Dijon"), json!({}), "zoe curious olga root"),
        ("brine/server/x/created", Some("Lyon"), json!({}), "olga root"),
        ("brine/server/x/created", None, json!({}), "olga root"),
        ("brine/minion/m/start", Some("Dijon"), json!({}), "zoe curious olga root"),
        ("brine/minion/m/start", None, json!({}), "olga root"),
        ("brine/key/m/pending", Some("Dijon"), json!({"server": "x"}), "zoe curious olga root"),
        ("brine/key/m/pending", None, json!({}), "curious olga root"),
        ("brine/key/m/pending", None, json!({"server": "x"}), "olga root"),
        ("brine/key/m/expired", None, json!({}), "curious olga root"),
        ("brine/key/m/accepted", None, json!({"was": "pending"}), "curious olga root"),
        ("brine/key/m/deleted", None, json!({"was": "accepted"}), "olga root"),
        ("brine/key/m/rotated", None, json!({}), "olga root"),
        ("brine/token/t/created", None, json!({}), "olga root"),
        ("brine/master/key/announced", None, json!({}), "olga root"),
        ("brine/job/1/new", None, json!({}), "root"),
        ("brine/job/1/new", Some("Dijon"), json!({}), "root"),
    ] {
        let zone = zone.map(str::to_owned);
        let event = Event { id: 1, tag: tag.to_owned(), at: Default::default(), data, zone };
        let all = [("zoe", &zoe), ("curious", &curious), ("olga", &olga), ("root", &root)];
        let found: Vec<&str> =
            all.into_iter().filter(|(_, who)| who.sees_event(&event)).map(|(name, _)| name).collect();
        assert_eq!(found.join(" "), heard, "{event:?}");
    }
}

#[test]
fn a_limit_with_nothing_behind_it_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for limit in ["zones", "targets", "functions"] {
        let file = folder.path().join("master.yaml");
        std::fs::write(&file, format!("roles:\n  zoe:\n    role: operator\n    {limit}:\n"))
            .expect("written");
        let read = brine_local::config::load::<crate::config::Config>(&file, &folder.path().join("none"));
        let why = read.expect_err("refused").to_string();
        assert!(why.contains("zoe") && why.contains(limit) && why.contains("nothing behind it"), "{why}");
    }
    let left_out = roles(json!({"zoe": {"role": "operator", "zones": []}}), json!({}));
    assert!(!left_out.principal(1, Some("zoe"), 0).expect("zoe").sees_zone(Some("Dijon")));
}
