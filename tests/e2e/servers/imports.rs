//! Many records from a file: all of them, or none.

use std::fs;

use brine_tests::Done;
use brine_tests::fleet::Fleet;
use serde_json::{Value, json};

use super::{decisions, list};

const GOOD: &str = "name;model;zone;minion_id;external_id;label.role
\"Collège; Éluard\";scribe-2.9;Dijon;eluard;4711;files
Lycée Hugo;scribe-2.9;Lyon;;4712;
web3;eole;;;4713;web
";

/// Three faults, each of another kind, and two records that are good.
const BAD: &str = "name,model,minion_id,external_id
web1,m,web1,1
web2,,web2,2
web3,m,we b3,3

web4,m,web1,4
web5,m,web5,5
";

fn import(fleet: &Fleet, name: &str, text: &str, flags: &[&str]) -> Done {
    let path = fleet.dir().join(name);
    fs::write(&path, text).unwrap();
    fleet.brine(&[&["server", "import", &path.display().to_string()], flags].concat())
}

fn names(fleet: &Fleet) -> Vec<String> {
    let servers = fleet.api().get("/v1/servers").expect(200).json();
    let mut names: Vec<String> = list(&servers).iter().map(|server| super::text(&server["name"])).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_tried_made_and_made_again_with_the_same_end() {
    let fleet = Fleet::start();
    let empty = fleet.ledger();
    let done = import(&fleet, "a.csv", GOOD, &["--dry-run"]).expect(0);
    assert!(
        done.stdout.contains("3 of 3 records would be made") && done.stdout.contains("nothing was changed"),
        "{done:?}"
    );
    assert_eq!((fleet.ledger(), names(&fleet).len()), (empty, 0));

    let mut events = fleet.api().events("GET", "/v1/events?tag=brine/server/*", None);
    let report = import(&fleet, "a.csv", GOOD, &["--out", "json", "--reason", "moved"]).expect(0).json();
    assert_eq!((&report["made"], &report["faults"]), (&json!(3), &json!(0)), "{report}");
    let lines: Vec<&Value> = list(&report["records"]).iter().map(|record| &record["line"]).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert_eq!(names(&fleet), ["Collège; Éluard", "Lycée Hugo", "web3"]);
    let found = fleet.brine(&["server", "find", "label.role:files", "--out", "json"]).expect(0).json();
    let record = &list(&found)[0];
    let expected = json!({"name": "Collège; Éluard", "model": "scribe-2.9", "zone": "Dijon", "minion_id": "eluard", "external_id": "4711"});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(record[field], *value, "{field} of {record}");
    }
    let made = decisions(&fleet, "create-server");
    assert!(made.len() == 3 && made.iter().all(|line| line["reason"] == "moved"), "{}", fleet.ledger());
    for record in list(&report["records"]) {
        let tag = format!("brine/server/{}/created", record["id"].as_str().unwrap());
        events.find(5.0, &tag, |event| event.name == tag);
    }

    // As often as one likes, and in another form.
    let before = fleet.ledger();
    let again = import(&fleet, "a.csv", GOOD, &["--out", "json"]).expect(0).json();
    assert_eq!((&again["made"], &again["there"]), (&json!(0), &json!(3)), "{again}");
    assert_eq!(again["records"][0]["id"], report["records"][0]["id"]);
    let array = json!([
        {"name": "Collège; Éluard", "model": "scribe-2.9", "zone": "Dijon", "minion_id": "eluard", "external_id": "4711", "labels": {"role": "files"}},
        {"name": "web3", "model": "eole", "external_id": "4713", "labels": {"role": "web"}},
    ]);
    let again = import(&fleet, "a.json", &array.to_string(), &[]).expect(0);
    assert!(again.stdout.contains("0 of 2 records made, 2 there already"), "{again:?}");
    assert_eq!(fleet.ledger(), before);

    // Another content under the same external id is a fault, and its line is told.
    let other = GOOD.replace("Lycée Hugo;scribe-2.9", "Lycée Hugo;scribe-3.0");
    let done = import(&fleet, "a.csv", &other, &[]).expect(1);
    assert!(done.stderr.contains("line 3: ") && done.stderr.contains("\"4712\""), "{done:?}");
    assert_eq!(fleet.ledger(), before);
}

#[test]
fn one_fault_makes_nothing_unless_it_is_to_keep_going() {
    let fleet = Fleet::start();
    let empty = fleet.ledger();
    let faults = |done: &Done| {
        for part in ["line 3: the model is empty", "line 4: ", "line 6: "] {
            assert!(done.stderr.contains(part), "{part:?} in {done:?}");
        }
        assert_eq!(done.stderr.lines().filter(|line| line.starts_with("line ")).count(), 3, "{done:?}");
    };
    // All faults are told at once, also the one that only the master sees when the file itself has none.
    let clash = BAD.replace("web2,,web2", "web2,m,web2").replace("we b3", "web3");
    let done = import(&fleet, "b.csv", &clash, &[]).expect(1);
    assert!(done.stderr.contains("line 6: ") && done.stdout.contains("so none was"), "{done:?}");
    assert_eq!((fleet.ledger(), names(&fleet).len()), (empty.clone(), 0));
    for flags in [&[][..], &["--dry-run"], &["--dry-run", "--keep-going"]] {
        let done = import(&fleet, "b.csv", BAD, flags).expect(1);
        faults(&done);
        assert_eq!((fleet.ledger(), names(&fleet).len()), (empty.clone(), 0), "{flags:?}");
    }
    let done = import(&fleet, "b.csv", BAD, &["--keep-going"]).expect(1);
    faults(&done);
    assert!(done.stdout.contains("2 of 5 records made, 3 refused"), "{done:?}");
    assert_eq!(names(&fleet), ["web1", "web5"]);
    let again = import(&fleet, "b.csv", BAD, &["--keep-going", "--out", "json"]).expect(1).json();
    assert_eq!(
        (&again["made"], &again["there"], &again["faults"]),
        (&json!(0), &json!(2), &json!(3)),
        "{again}"
    );
    assert_eq!(names(&fleet), ["web1", "web5"]);
}

#[test]
fn json_tells_its_lines_as_well() {
    let fleet = Fleet::start();
    let array = "[\n  {\"name\": \"web1\", \"model\": \"m\"},\n  {\n    \"name\": \"web2\",\n    \"modell\": \"m\"\n  },\n  {\"name\": \"web3\", \"model\": \" \"}\n]\n";
    let done = import(&fleet, "c.json", array, &[]).expect(1);
    for part in ["line 5: ", "modell", "line 7: the model is empty"] {
        assert!(done.stderr.contains(part), "{part:?} in {done:?}");
    }
    assert_eq!(names(&fleet).len(), 0);
    let done = import(&fleet, "c.json", "[{\"name\": \"web1\", \"model\": \"m\"},\n", &["--keep-going"]);
    done.refused(1, &["c.json", "line 2"]);
    let lines = "{\"name\": \"web1\", \"model\": \"m\"}\n{\"name\": 3}\n";
    let done = import(&fleet, "c.jsonl", lines, &["--keep-going"]).expect(1);
    assert!(done.stderr.contains("line 2: "), "{done:?}");
    assert_eq!(names(&fleet), ["web1"]);
    // An import makes records, and no keys.
    let request = json!({"servers": [{"name": "web9", "model": "m", "preseed": true}]});
    let results = fleet.api().post("/v1/servers/import", &request).expect(200).json();
    assert!(results[0]["refused"].as_str().unwrap().contains("makes no keys"), "{results}");
    assert_eq!(names(&fleet), ["web1"]);
}
