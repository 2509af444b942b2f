//! Operators who are limited to zones: what they see and may do, by every door of the master.

use brine_tests::api::Api;
use brine_tests::fleet::{Fleet, job};
use brine_tests::minion::Minion;
use serde_json::{Value, json};

use super::{
    create, decisions, ids, is_linked, link, list, ping_record, shown, text, token, until_connected,
};

const ROLES: &str = "roles:
  alice: {role: operator, zones: [Dijon]}
  leon: {role: operator, zones: ['Ly*']}
";

/// Two zones, each with a minion at work and one that waits, and two minions of no zone.
struct Country {
    fleet: Fleet,
    /// In Dijon: the record of m1, and the one that m4 says it is.
    dijon: [String; 2],
    /// In Lyon: the record of m2, and the one that expects m5.
    lyon: [String; 2],
    minions: Vec<Minion>,
}

impl Country {
    fn new(options: &str) -> Self {
        let fleet = Fleet::start_with(&format!("{ROLES}{options}"));
        let record = |name: &str, zone: &str, more: &[&str]| {
            create(&fleet, &[&["--name", name, "--zone", zone], more].concat())
        };
        let dijon = [record("dijon1", "Dijon", &[]), record("dijon2", "Dijon", &[])];
        let lyon = [record("lyon1", "Lyon", &[]), record("lyon2", "Lyon", &["--minion-id", "m5"])];
        let mut minions: Vec<Minion> = ["m1", "m2", "m3"].map(|id| fleet.minion(id)).into();
        for (server, id) in [("dijon1", "m1"), ("lyon1", "m2")] {
            fleet.brine(&["server", "pair", server, id, "-y"]).expect(0);
        }
        minions.push(fleet.stranger_with("m4", "m4", "server: dijon2\n"));
        minions.push(fleet.stranger("m5"));
        minions.push(fleet.stranger("m6"));
        for minion in &minions[3..] {
            fleet.until_key(minion, "pending");
        }
        Self { fleet, dijon, lyon, minions }
    }

    fn key(&self, number: usize) -> Value {
        let minion = &self.minions[number - 1];
        json!({"id": minion.id, "fingerprint": minion.fingerprint()})
    }

    /// Every trust decision but the refusals.
    fn decided(&self) -> usize {
        self.fleet.ledger().lines().count() - decisions(&self.fleet, "refuse").len()
    }
}

/// What `brine` or `brine-key` shows to alice.
#[track_caller]
fn to_alice(fleet: &Fleet, words: &[&str]) -> Value {
    let words = [&["--as", "alice", "--out", "json"], words].concat();
    fleet.brine(&words).expect(0).json()
}

fn sorted(list_of: &Value, field: &str) -> Vec<String> {
    let mut found: Vec<String> = list(list_of).iter().map(|one| text(&one[field])).collect();
    found.sort();
    found
}

#[test]
fn an_operator_of_one_zone_sees_that_zone() {
    let country = Country::new("");
    let fleet = &country.fleet;
    let alice = fleet.api().act_as("alice");
    let mut heard = alice.events("GET", "/v1/events", None);

    assert_eq!(sorted(&to_alice(fleet, &["server", "list"]), "name"), ["dijon1", "dijon2"]);
    assert_eq!(sorted(&to_alice(fleet, &["server", "find", "model:*"]), "name"), ["dijon1", "dijon2"]);
    assert_eq!(to_alice(fleet, &["server", "find", "zone:Lyon"]), json!([]));
    assert_eq!(sorted(&to_alice(fleet, &["minions", "list"]), "id"), ["m1"]);
    let mut mine = country.dijon.to_vec();
    mine.sort();
    assert_eq!(ids(&alice, "/v1/servers"), mine);
    assert_eq!(
        (ids(&alice, "/v1/keys"), ids(&alice, "/v1/minions")),
        (vec!["m1".to_owned(), "m4".to_owned()], vec!["m1".to_owned()])
    );
    let keys = fleet.brine_key(&["-L", "--as", "alice"]).expect(0).stdout;
    for (id, is_shown) in
        [("m1", true), ("m2", false), ("m3", false), ("m4", true), ("m5", false), ("m6", false)]
    {
        assert_eq!(keys.contains(id), is_shown, "{id} in {keys}");
    }
    let counted = alice.get("/v1/health").expect(200).json()["keys"].clone();
    assert_eq!((&counted["accepted"], &counted["pending"]), (&json!(1), &json!(1)), "{counted}");

    // What is another's is not there, whatever it is asked for by.
    for name in [&country.lyon[0], "lyon1"] {
        fleet.brine(&["--as", "alice", "server", "show", name]).refused(2, &["no server record"]);
        fleet.brine(&["--as", "alice", "server", "run", name, "test.ping"]).refused(2, &["no server record"]);
    }
    alice.get(&format!("/v1/servers/{}", country.lyon[0])).is_problem(404, "not_found");
    alice.get(&format!("/v1/servers/{}/history", country.lyon[0])).is_problem(404, "not_found");
    alice.get("/v1/minions/m2").is_problem(404, "not_found");
    let past = alice.get("/v1/keys/m2/history");
    assert!(past.status == 404 || past.json() == json!([]), "{past:?}");

    let (own, _) = token(fleet, &["--server", "dijon2"]);
    let (_others, _) = (token(fleet, &["--server", "lyon2"]), token(fleet, &["--id-pattern", "*"]));
    assert_eq!(ids(&alice, "/v1/tokens"), [own]);
    assert_eq!(list(&to_alice(fleet, &["token", "list"])).len(), 1);

    // Of all that happens she hears her own.
    fleet.brine(&["server", "update", "lyon1", "--site", "attic"]).expect(0);
    fleet.act("reject", "m5", &country.minions[4].fingerprint());
    let _ = fleet.submit("m2", "test.ping", &[]);
    fleet.brine(&["server", "update", "dijon1", "--site", "attic"]).expect(0);
    let updated = format!("brine/server/{}/updated", country.dijon[0]);
    let mut names = Vec::new();
    while names.last() != Some(&updated) {
        names.push(heard.next_within(10.0).expect("an event").name);
    }
    let is_of_others = |name: &String| {
        ["m2", "m3", "m5", "m6"].iter().any(|id| name.contains(&format!("/{id}/")))
            || country.lyon.iter().any(|server| name.contains(server))
    };
    assert!(!names.iter().any(is_of_others), "{names:?}");

    // A job reaches whom she sees, and nobody else can be named.
    let ran = |words: &[&str]| to_alice(fleet, &[words, &["test.ping", "--static"]].concat());
    for words in [&["*"][..], &["m?"], &["-Z", "name:*"], &["-Z", "zone:*"]] {
        assert_eq!(ran(words), json!({"m1": true}), "{words:?}");
    }
    let listed = fleet.brine(&["--as", "alice", "-L", "m1,m2", "test.ping", "--out", "json", "--static"]);
    let listed = listed.expect(12);
    assert_eq!(listed.json(), json!({"m1": true}));
    assert!(listed.stderr.contains("m2: Minion did not return. [no accepted key has this id]"), "{listed:?}");
    for words in [&["m2"][..], &["m3"], &["-Z", "zone:Lyon"], &["-L", "m2,m3"]] {
        let words = [&["--as", "alice"], words, &["test.ping"]].concat();
        fleet.brine(&words).refused(2, &[]);
    }
    alice.post("/v1/jobs", &job("m2", "test.ping", &[])).is_problem(422, "nothing_matched");
}

/// Does what is refused, and says that it is refused, noted, and not done.
#[track_caller]
fn is_refused(country: &Country, method: &str, path: &str, body: &Value, subject: &str) {
    let fleet = &country.fleet;
    let (decided, refused) = (country.decided(), decisions(fleet, "refuse").len());
    let alice = fleet.api().act_as("alice");
    let reply = if method == "DELETE" { alice.delete(path) } else { alice.send(method, path, body) };
    if path.starts_with("/v1/keys") && reply.status == 200 {
        // Several keys at once: each has its own answer.
        let results = reply.json();
        assert!(results[0]["refused"].as_str().unwrap().contains("may not"), "{results}");
    } else {
        reply.is_problem(403, "forbidden");
    }
    assert_eq!(country.decided(), decided, "{method} {path} was done: {}", fleet.ledger());
    let lines = decisions(fleet, "refuse");
    let [line] = &lines[refused..] else { panic!("one line for {method} {path}: {lines:?}") };
    assert!(line["by"].as_str().unwrap().ends_with("as alice"), "{line}");
    assert!(line["subject"].as_str().unwrap().contains(subject), "{subject} in {line}");
}

#[test]
fn what_is_of_another_zone_is_refused_and_the_refusal_is_in_the_ledger() {
    let country = Country::new("");
    let fleet = &country.fleet;
    let kept = create(fleet, &["--name", "lyon3", "--zone", "Lyon", "--preseed"]);
    let (token_id, _) = token(fleet, &["--server", "lyon2"]);
    let [mine, _] = &country.dijon;
    let [linked, unlinked] = &country.lyon;
    let at = |server: &str, verb: &str| format!("/v1/servers/{server}{verb}");
    let key = |number: usize| country.key(number);
    let pair = json!({"key": key(5)});
    let record = |zone: Value| json!({"name": "n", "model": "m", "zone": zone});

    is_refused(
        &country,
        "PATCH",
        &at(unlinked, ""),
        &json!({"name": "x"}),
        &format!("update server {unlinked}"),
    );
    is_refused(&country, "PUT", &at(linked, ""), &record(json!("Dijon")), linked);
    is_refused(&country, "DELETE", &at(unlinked, ""), &json!(null), &format!("delete server {unlinked}"));
    is_refused(&country, "POST", &at(unlinked, "/pair"), &pair, "m5");
    is_refused(&country, "POST", &at(linked, "/unpair"), &json!({"key": "reject"}), linked);
    is_refused(&country, "POST", &at(unlinked, "/preseed"), &json!({}), unlinked);
    is_refused(&country, "POST", &at(&kept, "/bundle"), &json!({}), &kept);
    is_refused(&country, "POST", "/v1/tokens", &json!({"server": unlinked}), unlinked);
    is_refused(&country, "DELETE", &format!("/v1/tokens/{token_id}"), &json!(null), &token_id);
    for (act, number) in [("reject", 5), ("accept", 5), ("suspend", 2), ("delete", 2)] {
        let request = json!({"act": act, "keys": [key(number)]});
        is_refused(&country, "POST", "/v1/keys/act", &request, &format!("{act} m{number}"));
    }
    // Nor may what is hers leave her zone, and nothing be made outside of it.
    is_refused(&country, "POST", "/v1/servers", &record(json!("Lyon")), "create server");
    is_refused(&country, "PATCH", &at(mine, ""), &json!({"zone": "Lyon"}), mine);
    is_refused(&country, "POST", "/v1/keys/import", &json!({"keys": []}), "keys");
    is_refused(&country, "POST", "/v1/master/rotation/finish", &json!({}), "finish");

    assert!(is_linked(fleet, linked, "m2", &country.minions[1].fingerprint()));
    assert_eq!(shown(fleet, unlinked)["name"], "lyon2");
    fleet.until_key(&country.minions[4], "pending");
    assert!(super::machine::kept(fleet, &kept).is_file());
    fleet.ping("m2");
}

#[test]
fn she_lets_machines_in_by_pairing_them_with_her_records() {
    let country = Country::new("");
    let fleet = &country.fleet;
    let [linked, free] = &country.dijon;
    let m4 = &country.minions[3];
    // Acceptance alone would make it nobody's; another zone's machine is not hers to take.
    let request = json!({"act": "accept", "keys": [country.key(4)]});
    is_refused(&country, "POST", "/v1/keys/act", &request, "accept m4");
    let done = fleet.brine_key(&["--as", "alice", "-a", "m4", "-y"]);
    assert!(done.code == 4 && done.stderr.contains("brine server pair"), "{done:?}");
    let pair = |number: usize| json!({"key": country.key(number)});
    let path = format!("/v1/servers/{free}/pair");
    is_refused(&country, "POST", &path, &pair(5), "m5");
    is_refused(&country, "POST", &path, &pair(6), "m6");
    is_refused(&country, "POST", &path, &pair(3), "m3");
    is_refused(&country, "POST", "/v1/tokens", &json!({"id_pattern": "*"}), "token");
    // Good for any minion, it could take one of another zone.
    is_refused(&country, "POST", "/v1/tokens", &json!({"server": free}), free);
    let keep = json!({"key": "keep"});
    is_refused(&country, "POST", &format!("/v1/servers/{linked}/unpair"), &keep, linked);
    is_refused(&country, "DELETE", &format!("/v1/servers/{linked}?key=keep"), &json!(null), linked);
    fleet.brine(&["--as", "alice", "server", "pair", "dijon2", "m5", "-y"]).refused(4, &["no key of m5"]);
    let open = json!({"name": "open", "model": "m"});
    is_refused(&country, "POST", "/v1/servers", &open, "create server");

    fleet
        .brine(&["--as", "alice", "server", "pair", "dijon2", "m4", "--expect", &m4.fingerprint(), "-y"])
        .expect(0);
    until_connected(fleet, free, &m4.fingerprint());
    assert!(text(&link(fleet, free)["by"]).ends_with("as alice"), "{}", link(fleet, free));
    let all = to_alice(fleet, &["*", "test.ping", "--static"]);
    assert_eq!(all, json!({"m1": true, "m4": true}));
    let own = to_alice(fleet, &["server", "run", "dijon2", "test.ping", "--static"]);
    assert_eq!(own, json!({"m4": true}));
    // Her own tokens and keys, too.
    let new =
        ["server", "create", "--name", "dijon3", "--minion-id", "m9", "--model", "m", "--zone", "Dijon"];
    let new = to_alice(fleet, &new);
    let made = to_alice(fleet, &["token", "create", "--server", "dijon3"]);
    to_alice(fleet, &["token", "revoke", made["id"].as_str().unwrap()]);
    let preseed = ["server", "preseed", "dijon3", "-o", "-"];
    let bundle = fleet.brine(&[&["--as", "alice"], &preseed[..]].concat()).expect(0).stdout;
    assert!(bundle.starts_with("brine-bundle: 1\n") && bundle.contains(new["id"].as_str().unwrap()));
    // What she gives back is rejected or forgotten, and then it is not hers any more.
    fleet.brine(&["--as", "alice", "server", "unpair", "dijon2", "-y"]).expect(0);
    assert_eq!(fleet.key_state("m4", &m4.fingerprint()).as_deref(), Some("rejected"));

    // The other one has his own, of a glob.
    let leon = fleet.api().act_as("leon");
    assert_eq!(ids(&leon, "/v1/keys"), ["m2", "m5"]);
    fleet.brine(&["--as", "leon", "server", "pair", "lyon2", "m5", "-y"]).expect(0);
    fleet.until_up("m5");
    assert_eq!(ping_record(fleet, "lyon2"), json!({"m5": true}));
}

#[test]
fn machines_that_nobody_claims_are_shown_where_that_is_wanted() {
    let country = Country::new("zones_see_unclaimed: true\n");
    let fleet = &country.fleet;
    let (alice, leon): (Api, Api) = (fleet.api().act_as("alice"), fleet.api().act_as("leon"));
    assert_eq!(
        (ids(&alice, "/v1/keys"), ids(&leon, "/v1/keys")),
        (["m1", "m4", "m6"].map(str::to_owned).to_vec(), ["m2", "m5", "m6"].map(str::to_owned).to_vec())
    );
    let request = json!({"act": "accept", "keys": [country.key(6)]});
    is_refused(&country, "POST", "/v1/keys/act", &request, "accept m6");
    fleet.brine(&["--as", "alice", "server", "pair", "dijon2", "m6", "-y"]).expect(0);
    fleet.until_up("m6");
    assert_eq!(ids(&leon, "/v1/keys"), ["m2", "m5"], "it is Dijon's now");
}
