//! Each `curl` line of docs/api.md works as it stands there.
//!
//! Every section gets a fleet of its own, in the state in which its lines make sense. A shell runs the lines, in
//! their order, with nothing replaced but what only a real fleet can name: fingerprints, jids, a token's id, a key.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use brine_tests::api_docs::{Section, sections};
use brine_tests::eventually;
use brine_tests::fixtures::key_file;
use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Done;
use serde_json::{Value, json};

/// Record, token, job and fingerprint of the examples.
const SERVER: &str = "6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e";
const TOKEN: &str = "133260b4-5230-4e6b-a265-b756b9c899be";
const JID: &str = "20261122060732000100";
const FINGERPRINT: &str = "c3:d4:…";
const PUBLIC_KEY: &str = r"-----BEGIN PUBLIC KEY-----\n…";

/// How the sections are shared out among tests, so that they run side by side.
const AREAS: [&[&str]; 4] = [
    &["/v1/whoami", "/v1/health", "/v1/keys", "/v1/master"],
    &["/v1/servers"],
    &["/v1/tokens", "/v1/minions", "/v1/pillar", "/v1/targets"],
    &["/v1/jobs", "/v1/events"],
];

/// A fleet in the state that a section tells of.
struct Scene {
    fleet: Fleet,
    web1: Option<Minion>,
    token: String,
    jid: String,
}

impl Scene {
    fn prepare(section: &Section) -> Self {
        let fleet = Fleet::start();
        let mut scene = Self { fleet, web1: None, token: TOKEN.to_owned(), jid: JID.to_owned() };
        match section.heading.as_str() {
            "GET /v1/whoami" | "GET /v1/health" | "POST /v1/keys/import" | "GET /v1/pillar/check" => {}
            "POST /v1/servers" | "PUT /v1/servers/{id}" | "POST /v1/servers/import" => {}
            "POST /v1/keys/act" => scene.knock(),
            "GET /v1/keys" => {
                scene.record();
                scene.knock();
            }
            "POST /v1/master/rotation" => scene.live(),
            path if path.contains("/v1/master/rotation") => {
                scene.live();
                scene.post("/v1/master/rotation", &json!({"grace_s": 604_800}), 200);
                let rotation = || scene.fleet.api().get("/v1/master/rotation").expect(200).json();
                eventually(15.0, "web1 has learned the new key", || rotation()["learned"] == 1);
            }
            "POST /v1/servers/{id}/pair" => {
                scene.knock();
                scene.record();
            }
            "POST /v1/servers/{id}/preseed" | "POST /v1/tokens" => scene.record(),
            "POST /v1/servers/{id}/bundle" => {
                scene.record();
                scene.post(&format!("/v1/servers/{SERVER}/preseed"), &json!({"bundle": {"keep": true}}), 200);
            }
            "GET /v1/tokens" | "DELETE /v1/tokens/{id}" => {
                scene.record();
                scene.token = text(&scene.post("/v1/tokens", &json!({"server": SERVER}), 201)["id"]);
            }
            "POST /v1/jobs/{jid}/kill" | "POST /v1/jobs/{jid}/signal" | "POST /v1/jobs/{jid}/probe" => {
                scene.live();
                scene.jid = scene.fleet.submit("web1", "test.sleep", &[json!(300)]);
                let probe = || scene.post(&format!("/v1/jobs/{}/probe", scene.jid), &json!({}), 200);
                eventually(10.0, "web1 runs the job", || probe()["rows"][0]["presence"]["is"] == "running");
            }
            _ => {
                scene.paired();
                scene.jid = scene.fleet.submit("web1", "test.ping", &[]);
                let _ = scene.fleet.ending(&scene.jid, "web1", 10.0);
            }
        }
        scene
    }

    fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        self.fleet.api().post(path, body).expect(status).json()
    }

    /// web1's key waits, and says which record it is.
    fn knock(&mut self) {
        let minion = self.fleet.stranger_with("web1", "m1", &format!("server: {SERVER}\n"));
        self.fleet.until_key(&minion, "pending");
        self.web1 = Some(minion);
    }

    /// web1 is connected.
    fn live(&mut self) {
        self.web1 = Some(self.fleet.minion_with("web1", "m1", ""));
    }

    /// The record of the examples is there.
    fn record(&self) {
        let record =
            json!({"name": "web1", "model": "scribe-2.9", "zone": "Dijon", "labels": {"role": "files"}});
        let made =
            self.fleet.api().request("PUT", &format!("/v1/servers/{SERVER}"), Some(record.to_string()));
        made.expect(201);
    }

    /// web1 is connected, and linked to the record.
    fn paired(&mut self) {
        self.live();
        self.record();
        let key = json!({"id": "web1", "fingerprint": self.fingerprint()});
        self.post(&format!("/v1/servers/{SERVER}/pair"), &json!({"key": key}), 200);
    }

    fn fingerprint(&self) -> String {
        self.web1.as_ref().map_or_else(|| FINGERPRINT.to_owned(), Minion::fingerprint)
    }

    /// Runs a line in a shell, and returns the status and the body that came.
    fn run(&self, line: &str) -> (String, String) {
        let key = fs::read_to_string(key_file("m2.pub")).expect("a test key").replace('\n', r"\n");
        let line = line
            .replace(FINGERPRINT, &self.fingerprint())
            .replace(PUBLIC_KEY, &key)
            .replace(TOKEN, &self.token)
            .replace(JID, &self.jid);
        assert!(!line.contains('…'), "nothing is known to put into {line}");
        let bound = if line.contains("/v1/events") { 3 } else { 30 };
        let socket = self.fleet.root().join("run/brine/control.sock");
        let options =
            format!("--unix-socket {} -sS -m {bound} -w %{{stderr}}%{{http_code}}", socket.display());
        let mut command = Command::new("sh");
        command.env("S", options).env_remove("http_proxy").args(["-c", &line]);
        let done = Done::run(command);
        // 28 is curl's word for "took longer than -m"; the status stands behind whatever it says of that.
        assert!(done.code == 0 || (bound == 3 && done.code == 28), "{line}: {done:?}");
        let status = done.stderr[done.stderr.len().saturating_sub(3)..].to_owned();
        (status, done.stdout)
    }

    /// Runs a line that follows events, while something happens to web1's key again and again.
    fn run_while_it_happens(&self, line: &str) -> (String, String) {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| self.run(line));
            while !running.is_finished() {
                self.fleet.act("suspend", "web1", &self.fingerprint());
                self.fleet.act("resume", "web1", &self.fingerprint());
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            running.join().expect("the line ran")
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The fields of an answer's outermost object, or of the first object of its list.
fn fields(answer: &Value) -> BTreeSet<&str> {
    let object = answer.as_array().and_then(|list| list.first()).unwrap_or(answer);
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// The example of an answer that a section has.
fn example(section: &Section) -> Option<Value> {
    let (_, rest) = section.text.split_once("```json\n")?;
    let body = rest.split("```").next().expect("the first part");
    Some(
        serde_json::from_str(body)
            .unwrap_or_else(|error| panic!("{}: its example: {error}", section.heading)),
    )
}

#[track_caller]
fn check_answer(section: &Section, line: &str, body: &str) {
    let is_stream = section.path.ends_with("/follow")
        || section.path == "/v1/events"
        || line.contains("text/event-stream");
    if is_stream {
        let wanted = if section.path == "/v1/events" { "event: brine/key/web1/" } else { "event: end" };
        assert!(body.contains(wanted), "{line}: no {wanted:?} in {body:?}");
        return;
    }
    let answer: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{line}: {error}: {body:?}"));
    for done in answer.as_array().into_iter().flatten() {
        let is_meant = line.contains(r#""model":"""#);
        assert!(done["refused"].is_null() || is_meant, "{line}: {answer}");
    }
    let Some(example) = example(section) else { return };
    assert_eq!(answer.is_array(), example.is_array(), "{line}: {answer}");
    if section.lines().next() == Some(line) && answer != json!([]) {
        let (shown, given) = (fields(&example), fields(&answer));
        let optional = BTreeSet::from(OPTIONAL);
        let absent: Vec<_> = shown.difference(&given).filter(|name| !optional.contains(*name)).collect();
        assert!(absent.is_empty(), "{line}: the example has {absent:?}, which did not come: {answer}");
    }
}

/// Fields that the page says may be left out.
const OPTIONAL: [&str; 5] = ["reason", "problem", "bundle", "refused", "external_id"];

fn run_area(area: &[&str]) {
    let mut sections = sections();
    sections.retain(|section| area.iter().any(|prefix| section.path.starts_with(prefix)));
    for section in &sections {
        let scene = Scene::prepare(section);
        for line in section.lines() {
            let is_endless = section.path == "/v1/events";
            let (status, body) = if is_endless { scene.run_while_it_happens(line) } else { scene.run(line) };
            assert!(["200", "201"].contains(&status.as_str()), "{line}: {status}: {body}");
            check_answer(section, line, &body);
        }
    }
}

#[test]
fn the_lines_of_every_section_are_run() {
    for section in sections() {
        let areas = AREAS.iter().flat_map(|area| area.iter()).filter(|area| section.path.starts_with(*area));
        assert_eq!(areas.count(), 1, "no test runs the lines of {}", section.heading);
    }
}

#[test]
fn the_lines_about_keys_and_the_master_work() {
    run_area(AREAS[0]);
}

#[test]
fn the_lines_about_servers_work() {
    run_area(AREAS[1]);
}

#[test]
fn the_lines_about_tokens_minions_and_targets_work() {
    run_area(AREAS[2]);
}

#[test]
fn the_lines_about_jobs_and_events_work() {
    run_area(AREAS[3]);
}
