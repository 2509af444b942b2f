//! Roles: a table of every verb and every role, through the raw API.

use brine_protocol::permission::{ROLES, Role, VERBS, Verb, allows};
use brine_tests::api::Api;
use brine_tests::eventually;
use brine_tests::fleet::{Fleet, job};
use serde_json::json;

const ROLES_YAML: &str = "roles:
  ada: {role: admin}
  olga: {role: operator}
  vera: {role: viewer}
  alice: {role: operator, targets: ['web*'], functions: ['test.*']}
";

fn name(role: Role) -> &'static str {
    match role {
        Role::Admin => "ada",
        Role::Operator => "olga",
        Role::Viewer => "vera",
    }
}

/// Uses a verb, and says whether it was forbidden.
fn is_forbidden(verb: Verb, api: &Api, job_of_another: &str) -> bool {
    let status = match verb {
        Verb::Health => api.get("/v1/health").status,
        Verb::KeysList => api.get("/v1/keys").status,
        Verb::KeysAct => api.post("/v1/keys/act", &json!({"act": "delete", "keys": []})).status,
        Verb::KeysImport => api.post("/v1/keys/import", &json!({"keys": []})).status,
        Verb::MasterRotate => api.post("/v1/master/rotation/finish", &json!({})).status,
        Verb::MinionsList => api.get("/v1/minions").status,
        Verb::PillarShow => api.get("/v1/minions/m1/pillar").status,
        Verb::TargetsGet => api.post("/v1/targets", &json!({"target": {"expression": "*"}})).status,
        Verb::JobsRun => api.post("/v1/jobs", &job("*", "test.ping", &[])).status,
        Verb::JobsOwn => api.get("/v1/jobs").status,
        Verb::JobsAll => api.get(&format!("/v1/jobs/{job_of_another}")).status,
        Verb::JobsKill => api.post(&format!("/v1/jobs/{job_of_another}/kill"), &json!({})).status,
        Verb::Events => return events_forbidden(api),
        Verb::ServersList => api.get("/v1/servers").status,
        Verb::ServersEdit => api.post("/v1/servers/import", &json!({"servers": []})).status,
        Verb::ServersLink => api.post("/v1/tokens", &json!({"id_pattern": "web*"})).status,
        Verb::ActAs => unreachable!("tested with a second user"),
    };
    assert_ne!(status, 500);
    status == 403
}

/// The stream never ends, so only its head is read, in the shape `Accept: text/event-stream`.
fn events_forbidden(api: &Api) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| api.events("GET", "/v1/events", None))).is_err()
}

#[test]
fn every_verb_for_every_role() {
    let fleet = Fleet::start_with(ROLES_YAML);
    let _m1 = fleet.minion("m1");
    let job_of_another = fleet.submit("m1", "test.ping", &[]);
    for role in ROLES {
        let api = fleet.api().act_as(name(role));
        for verb in VERBS.into_iter().filter(|verb| *verb != Verb::ActAs) {
            // Ending a job of somebody else takes both: to kill, and to see everybody's jobs.
            let expected = match verb {
                Verb::JobsKill => allows(role, Verb::JobsKill) && allows(role, Verb::JobsAll),
                verb => allows(role, verb),
            };
            let forbidden = is_forbidden(verb, &api, &job_of_another);
            assert_eq!(!forbidden, expected, "{role:?} and {verb:?}");
        }
    }
}

#[test]
fn whoever_is_not_listed_may_do_nothing() {
    let fleet = Fleet::start_with(ROLES_YAML);
    let _m1 = fleet.minion("m1");
    let api = fleet.api().act_as("eve");
    let jid = fleet.submit("m1", "test.ping", &[]);
    for verb in VERBS.into_iter().filter(|verb| *verb != Verb::ActAs) {
        assert!(is_forbidden(verb, &api, &jid), "{verb:?}");
    }
    api.get("/v1/health").is_problem(403, "forbidden");
    api.get("/v1/nonsense").is_problem(404, "not_found");
    let tried = r#""by":"unix:0 (root)","verb":"keys_act","subject":"POST /v1/keys/act""#;
    eventually(5.0, "what was tried is in the ledger", || refusals(&fleet).contains(tried));
}

#[test]
fn an_entry_limits_targets_and_each_function() {
    let fleet = Fleet::start_with(ROLES_YAML);
    let (_m1, _web1) = (fleet.minion("m1"), fleet.minion_with("web1", "m2", ""));
    let alice = fleet.api().act_as("alice");
    let post = |body| alice.post("/v1/jobs", &body);
    let jid = post(job("web1", "test.ping", &[])).expect(201).json()["jid"].as_str().unwrap().to_owned();
    assert_eq!(fleet.ending(&jid, "web1", 5.0)["value"], true);
    post(job("m1", "test.ping", &[])).is_problem(403, "forbidden");
    post(job("*", "test.ping", &[])).is_problem(403, "forbidden");
    post(job("web1", "cmd.run", &[json!("id")])).is_problem(403, "forbidden");
    post(job("web1", "xtest.ping", &[])).is_problem(403, "forbidden");
    post(json!({"target": {"expression": "web1"}, "calls": [{"function": "test.ping"}, {"function": "cmd.run", "arguments": ["id"]}]}))
        .is_problem(403, "forbidden");
    let jobs = fleet.api().get("/v1/jobs").expect(200).json();
    assert_eq!(jobs.as_array().unwrap().len(), 1, "what is refused is not stored: {jobs}");
    alice.get(&format!("/v1/jobs/{jid}")).expect(200);
    alice.post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
}

#[test]
fn the_name_acted_under_is_in_job_and_ledger() {
    let fleet = Fleet::start_with(ROLES_YAML);
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    let olga = fleet.api().act_as("olga");
    let request = json!({"act": "accept", "keys": [{"id": "m1", "fingerprint": m1.fingerprint()}], "reason": "seen on the label"});
    olga.post("/v1/keys/act", &request).expect(200);
    assert!(
        fleet.ledger().contains("as olga") && fleet.ledger().contains("seen on the label"),
        "{}",
        fleet.ledger()
    );
    fleet.until_up("m1");
    let job = olga.post("/v1/jobs", &job("m1", "test.ping", &[])).expect(201).json();
    assert!(job["principal"].as_str().unwrap().contains("olga"), "{job}");
}

#[test]
fn publisher_acl_is_read_as_operator_entries() {
    let fleet =
        Fleet::start_with("publisher_acl:\n  bob:\n    - test.ping\n    - 'web*':\n      - 'cmd.*'\n");
    let (_m1, _web1) = (fleet.minion("m1"), fleet.minion_with("web1", "m2", ""));
    let bob = fleet.api().act_as("bob");
    bob.post("/v1/jobs", &job("m1", "test.ping", &[])).expect(201);
    bob.post("/v1/jobs", &job("web1", "cmd.run", &[json!("true")])).expect(201);
    bob.post("/v1/jobs", &job("m1", "cmd.run", &[json!("true")])).is_problem(403, "forbidden");
    bob.post("/v1/jobs", &job("web1", "test.echo", &[json!("x")])).is_problem(403, "forbidden");
}

/// Two operators, one for each zone.
const ZONES_YAML: &str = "roles:
  zoe: {role: operator, zones: [Dijon]}
  luc: {role: operator, zones: [Lyon]}
";

#[test]
fn an_operator_of_another_zone_sees_nothing_and_does_nothing() {
    let fleet = Fleet::start_with(ZONES_YAML);
    let (zoe, luc, root) = (fleet.api().act_as("zoe"), fleet.api().act_as("luc"), fleet.api());
    assert_eq!(zoe.get("/v1/whoami").expect(200).json()["zones"], json!(["Dijon"]));
    assert!(root.get("/v1/whoami").expect(200).json().get("zones").is_none());
    let mut heard = luc.events("GET", "/v1/events", None);

    let record = json!({"name": "eluard", "model": "scribe", "zone": "Dijon", "minion_id": "web1"});
    luc.post("/v1/servers", &record).is_problem(403, "forbidden");
    let made = zoe.post("/v1/servers", &record).expect(201).json();
    let path = format!("/v1/servers/{}", made["id"].as_str().expect("an id"));
    let web1 = fleet.stranger_with("web1", "m1", "");
    fleet.until_key(&web1, "pending");
    let _other = fleet.minion_with("other", "m2", "");

    let ids = |api: &Api, path: &str| -> Vec<String> {
        let listed = api.get(path).expect(200).json();
        listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert_eq!((ids(&zoe, "/v1/keys"), ids(&luc, "/v1/keys")), (vec!["web1".to_owned()], vec![]));
    assert_eq!((ids(&zoe, "/v1/servers").len(), ids(&luc, "/v1/servers").len()), (1, 0));
    let key = json!({"id": "web1", "fingerprint": web1.fingerprint()});
    luc.get(&path).is_problem(404, "not_found");
    luc.post(&format!("{path}/pair"), &json!({"key": key})).is_problem(403, "forbidden");
    let act = |api: &Api, act: &str| {
        let results = api.post("/v1/keys/act", &json!({"act": act, "keys": [key]})).expect(200).json();
        results[0]["refused"].as_str().unwrap_or_default().to_owned()
    };
    assert!(act(&luc, "reject").ends_with("it is of none of its zones"));
    assert!(act(&zoe, "accept").ends_with("pair it with a record: brine server pair"));
    assert_eq!(fleet.key_state("web1", &web1.fingerprint()).as_deref(), Some("pending"));
    for line in [
        r#"as luc","verb":"servers_edit""#,
        r#"as luc","verb":"servers_link""#,
        r#"as luc","verb":"keys_act""#,
        r#"as zoe","verb":"keys_act","subject":"accept web1"#,
    ] {
        assert!(refusals(&fleet).contains(line), "{line}: {}", refusals(&fleet));
    }

    zoe.post(&format!("{path}/pair"), &json!({"key": key})).expect(200);
    fleet.until_up("web1");
    assert_eq!((ids(&zoe, "/v1/minions"), ids(&luc, "/v1/minions")), (vec!["web1".to_owned()], vec![]));
    let sent = zoe.post("/v1/jobs", &job("*", "test.ping", &[])).expect(201).json();
    assert_eq!(sent["minions"].as_array().expect("minions").len(), 1, "{sent}");
    luc.post("/v1/jobs", &job("*", "test.ping", &[])).is_problem(422, "nothing_matched");
    let jid = sent["jid"].as_str().expect("a jid");
    luc.get(&format!("/v1/jobs/{jid}")).is_problem(403, "forbidden");
    assert_eq!(fleet.ending(jid, "web1", 5.0)["value"], true);

    // The first that luc hears of is of his own zone.
    let own = json!({"name": "lumiere", "model": "scribe", "zone": "Lyon"});
    let own = luc.post("/v1/servers", &own).expect(201).json();
    let first = heard.next_within(10.0).expect("an event");
    assert_eq!(first.name, format!("brine/server/{}/created", own["id"].as_str().expect("an id")));
}

/// The lines about refused acts, each from who it was on.
fn refusals(fleet: &Fleet) -> String {
    let lines = fleet.ledger();
    let mut told = String::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if line["act"] == "refuse" {
            let (by, verb, subject) = (&line["by"], &line["verb"], &line["subject"]);
            told += &format!("\"by\":{by},\"verb\":{verb},\"subject\":{subject}\n");
        }
    }
    told
}
