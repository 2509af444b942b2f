//! The control API as a program without our client library sees it.

use std::os::unix::fs::PermissionsExt;

use brine_tests::eventually;
use brine_tests::fleet::{Fleet, job};
use serde_json::{Value, json};

#[test]
fn problems_have_one_shape() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let api = fleet.api();
    api.get("/v1/nonsense").is_problem(404, "not_found");
    api.get("/").is_problem(404, "not_found");
    api.get("/v1/jobs/20010101000000000000").is_problem(404, "not_found");
    api.get("/v1/jobs/yesterday").is_problem(400, "bad_request");
    api.get("/v1/jobs?limit=many").is_problem(400, "bad_request");
    api.get("/v1/jobs?colour=red").is_problem(400, "bad_request");
    api.get("/v1/minions/m9").is_problem(404, "not_found");
    let post = |body: &str| api.request("POST", "/v1/jobs", Some(body.to_owned()));
    post("{").is_problem(400, "bad_request");
    post("").is_problem(400, "bad_request");
    post("[]").is_problem(400, "bad_request");
    post("{\"target\": {\"expression\": \"*\"}}").is_problem(400, "bad_request");
    let mut more = job("*", "test.ping", &[]);
    more["colour"] = json!("red");
    api.post("/v1/jobs", &more).is_problem(400, "bad_request");
    api.post("/v1/jobs", &json!({"target": {"expression": "*"}, "calls": []})).is_problem(400, "bad_request");
    api.post("/v1/jobs", &job("nobody", "test.ping", &[])).is_problem(422, "nothing_matched");
    api.post("/v1/jobs", &job("", "test.ping", &[])).is_problem(422, "nothing_matched");
    api.post("/v1/keys/act", &json!({"act": "accept", "keys": [{"id": "../x", "fingerprint": "00"}]}))
        .is_problem(400, "bad_request");
    api.post("/v1/jobs/20010101000000000000/kill", &json!({})).is_problem(404, "not_found");
    let huge = job("*", "test.echo", &[json!("x".repeat(8 * 1024 * 1024))]);
    let refused = api.post("/v1/jobs", &huge);
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    fleet.ping("m1");
}

#[test]
fn an_act_on_a_key_that_changed_is_refused_by_name() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    let act = |keys: Value| {
        fleet.api().post("/v1/keys/act", &json!({"act": "accept", "keys": keys})).expect(200).json()
    };
    let results = act(json!([{"id": "m1", "fingerprint": m1.fingerprint(), "state": "rejected"}]));
    assert!(results[0]["refused"].is_string(), "{results}");
    let other = "00:".repeat(31) + "00";
    let results =
        act(json!([{"id": "m1", "fingerprint": other}, {"id": "m1", "fingerprint": m1.fingerprint()}]));
    assert!(results[0]["refused"].is_string() && results[1]["refused"].is_null(), "{results}");
    fleet.until_key(&m1, "accepted");
}

#[test]
fn an_idempotency_key_gives_the_same_job() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    let once = fleet.api().with("Idempotency-Key", "8b9f2f6e-1");
    let body = job("m1", "test.echo", &[json!("once")]);
    let first = once.post("/v1/jobs", &body).expect(201).json()["jid"].clone();
    let again = once.post("/v1/jobs", &body);
    assert!(again.status == 200 || again.status == 201, "{again:?}");
    assert_eq!(again.json()["jid"], first);
    once.post("/v1/jobs", &job("m1", "test.echo", &[json!("twice")])).is_problem(409, "conflict");
    let other = fleet.api().with("Idempotency-Key", "8b9f2f6e-2").post("/v1/jobs", &body).expect(201);
    assert_ne!(other.json()["jid"], first);
    assert_eq!(fleet.api().get("/v1/jobs").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_job_can_be_followed_from_its_submission_to_its_end() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let body = job("*", "test.echo", &[json!("canary")]);
    let mut stream = fleet.api().events("POST", "/v1/jobs", Some(body.to_string()));
    let opened = stream.find(5.0, "job", |_| true);
    assert_eq!(opened.name, "job");
    let jid = opened.data["jid"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let row = stream.find(5.0, "row", |_| true);
        assert_eq!((row.name.as_str(), &row.data["ending"]["value"]), ("row", &json!("canary")));
        ids.push(row.data["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    assert_eq!(ids, ["m1", "m2"]);
    assert_eq!(stream.find(5.0, "end", |_| true).name, "end");
    assert!(stream.next_within(2.0).is_none(), "`end` is last and the stream closes");
    let mut again = fleet.api().events("GET", &format!("/v1/jobs/{jid}/follow"), None);
    let names: Vec<String> = std::iter::from_fn(|| again.next_within(2.0)).map(|event| event.name).collect();
    assert_eq!(names, ["job", "row", "row", "end"]);
}

#[test]
fn events_tell_what_happens_and_resume() {
    let fleet = Fleet::start();
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    let accepted = events.find(5.0, "brine/key/m1/accepted", |event| event.name == "brine/key/m1/accepted");
    assert_eq!(accepted.data["tag"], "brine/key/m1/accepted");
    fleet.until_up("m1");
    let jid = fleet.submit("m1", "test.ping", &[]);
    let tag = format!("brine/job/{jid}/ret/m1");
    let returned = events.find(5.0, &tag, |event| event.name == tag);
    let number = |event: &brine_tests::api::Event| event.id.parse::<u64>().unwrap();
    assert!(number(&returned) > number(&accepted));
    drop(events);

    let mut resumed = fleet.api().with("Last-Event-ID", &accepted.id).events("GET", "/v1/events", None);
    let first = resumed.find(5.0, "what was missed", |_| true);
    assert_eq!(number(&first), number(&accepted) + 1, "nothing is skipped, nothing repeated");
    let _ = resumed.find(5.0, &tag, |event| event.name == tag);

    let mut filtered =
        fleet.api().with("Last-Event-ID", "0").events("GET", "/v1/events?tag=brine/key/*", None);
    fleet.act("suspend", "m1", &m1.fingerprint());
    loop {
        let event = filtered.find(5.0, "brine/key/m1/suspended", |_| true);
        assert!(event.name.starts_with("brine/key/"), "{event:?}");
        if event.name == "brine/key/m1/suspended" {
            break;
        }
    }
}

#[test]
fn minions_and_health_are_told() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let minion = fleet.api().get("/v1/minions/m1").expect(200).json();
    assert_eq!(minion["grains"]["id"], "m1");
    assert_eq!(minion["version"], env!("CARGO_PKG_VERSION"));
    assert!(minion["address"].as_str().unwrap().starts_with("127.0.0.1"), "{minion}");
    let health = fleet.health();
    assert_eq!(
        (&health["status"], &health["sessions"], &health["keys"]["accepted"]),
        (&json!("ok"), &json!(1), &json!(1))
    );
    assert_eq!(health["ret_port"], fleet.ret_port);
    m1.kill();
    eventually(5.0, "the session is gone", || fleet.health()["sessions"] == 0);
    let minion = fleet.api().get("/v1/minions/m1").expect(200).json();
    assert_eq!(minion["presence"]["is"], "offline");
    assert!(minion["presence"]["since"].is_string(), "{minion}");
}

#[test]
fn the_socket_is_closed_to_others() {
    let fleet = Fleet::start();
    let mode = std::fs::metadata(fleet.root().join("run/brine/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn several_functions_in_one_job() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let request = json!({"target": {"expression": "m1"}, "calls": [
        {"function": "test.ping"}, {"function": "test.echo", "arguments": ["x"]}]});
    let jid = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    let ending = fleet.ending(&jid, "m1", 5.0);
    assert_eq!(ending["value"], json!({"test.ping": true, "test.echo": "x"}));
}

#[test]
fn a_master_under_garbage_on_its_socket_answers() {
    use std::io::Write;
    let fleet = Fleet::start();
    let socket = fleet.root().join("run/brine/control.sock");
    for garbage in [
        &b"\0\0\0\0\0\0"[..],
        b"GET",
        b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(garbage).unwrap();
    }
    assert_eq!(fleet.health()["status"], "ok");
}
