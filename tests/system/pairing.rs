//! A key that waits is linked to a server record in `brine-tui`, against a live master.

use brine_tests::{Fleet, eventually};
use serde_json::{Value, json};

use crate::tmux::Screen;
use crate::tui::{open, start_of};

/// Makes a server record and returns its id.
pub(crate) fn record(fleet: &Fleet, record: &Value) -> String {
    let made = fleet.api().post("/v1/servers", record).expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// What the master says of a record.
pub(crate) fn server(fleet: &Fleet, id: &str) -> Value {
    fleet.brine(&["server", "show", id, "--out", "json"]).expect(0).json()
}

/// The line on which the cursor is.
pub(crate) fn under_cursor(text: &str) -> &str {
    text.lines().rfind(|line| line.contains("│ > ")).unwrap_or_default()
}

/// Whether a fingerprint is on the screen with all its digits, in whatever groups and lines.
fn shows_whole(text: &str, fingerprint: &str) -> bool {
    let digits = |text: &str| text.chars().filter(|c| "0123456789abcdef".contains(*c)).collect::<String>();
    digits(text).contains(&digits(fingerprint))
}

/// How many of these decisions the ledger has.
pub(crate) fn decisions(fleet: &Fleet, act: &str) -> usize {
    fleet.ledger().lines().filter(|line| line.contains(&format!("\"act\":\"{act}\""))).count()
}

/// As many records as make being first no accident.
fn many_records(fleet: &Fleet) {
    for n in 1..=30 {
        let zone = if n % 2 == 0 { "Dijon" } else { "Besançon" };
        record(fleet, &json!({"name": format!("Lycée {n:02}"), "model": "amon-2.8", "zone": zone}));
    }
}

fn press_p(screen: &Screen, id: &str) {
    screen.type_text("p");
    screen.until(&[&format!("Pair {id} with a server record"), "│ > "]);
}

#[test]
fn a_waiting_key_becomes_the_server_that_expects_it() {
    let fleet = Fleet::start();
    many_records(&fleet);
    let college =
        json!({"name": "Collège Éluard", "model": "scribe-2.9", "zone": "Dijon", "minion_id": "m1"});
    let college = record(&fleet, &college);
    let m1 = fleet.stranger("m1");
    let fingerprint = m1.fingerprint();
    let screen = open(&fleet);
    screen.until(&["[Pending 1]", "m1", start_of(&fingerprint)]);
    let is_untouched = || {
        assert_eq!(fleet.key_state("m1", &fingerprint).as_deref(), Some("pending"));
        assert_eq!((server(&fleet, &college)["link"].clone(), decisions(&fleet, "pair")), (Value::Null, 0));
    };

    // Left in the list, and in the question by each way of saying no.
    press_p(&screen, "m1");
    let text = screen.until(&["1 of 31"]);
    assert!(under_cursor(&text).contains("Collège Éluard") && under_cursor(&text).contains("expects it"));
    screen.press("Escape");
    screen.until(&["nothing was done"]);
    for no in ["n", "Escape", "Enter"] {
        press_p(&screen, "m1");
        screen.press("Enter");
        screen.until(&["Pair m1 (1 key)?"]);
        screen.press(no);
        screen.until_that("the question gone", |text| {
            !text.contains("Pair m1") && text.contains("nothing was done")
        });
        is_untouched();
    }

    // A record that is not its own is not offered as one.
    press_p(&screen, "m1");
    screen.type_text("/lycée 07");
    screen.press("Enter");
    screen.until(&["filter: lycée 07", "1 of 1"]);
    screen.press("Enter");
    screen.until(&["! m1 is expected by Collège Éluard"]);
    is_untouched();

    screen.type_text("/");
    for _ in 0.."lycée 07".chars().count() {
        screen.press("BSpace");
    }
    screen.type_text("éluard");
    screen.press("Enter");
    let text = screen.until(&["filter: éluard", "1 of 1"]);
    assert!(under_cursor(&text).contains("Collège Éluard"), "{text}");
    screen.press("Enter");
    let text = screen.until(&["Pair m1 (1 key)?", "Collège Éluard", "scribe-2.9, zone Dijon", &college]);
    assert!(shows_whole(&text, &fingerprint), "{text}");
    screen.type_text("y");
    screen.until(&["m1 is accepted and linked to Collège Éluard", "[Pending 0]", "Accepted 1"]);

    fleet.until_up("m1");
    let shown = server(&fleet, &college);
    assert_eq!(
        (&shown["link"]["minion"], &shown["link"]["fingerprint"], &shown["link"]["connected"]),
        (&json!("m1"), &json!(fingerprint), &json!(true)),
        "{shown}"
    );
    assert_eq!((decisions(&fleet, "pair"), decisions(&fleet, "accept")), (1, 0), "{}", fleet.ledger());
    let pong = fleet.brine(&["server", "run", "Collège Éluard", "test.ping"]).expect(0);
    assert_eq!(pong.stdout, "m1:\n    True\n");
    screen.type_text("q");
    screen.until(&["rc=0", "restored"]);
}

#[test]
fn a_machine_that_was_installed_anew_takes_its_record_again() {
    let fleet = Fleet::start();
    many_records(&fleet);
    let college = record(&fleet, &json!({"name": "Collège Éluard", "model": "scribe-2.9", "zone": "Dijon"}));
    let mut before = fleet.stranger("m1");
    let old = before.fingerprint();
    fleet.until_key(&before, "pending");
    fleet.brine(&["server", "pair", &college, "m1", "--expect", &old, "-y"]).expect(0);
    fleet.until_up("m1");
    before.kill();

    let after = fleet.stranger_with("m1", "m4", "");
    let new = after.fingerprint();
    let screen = open(&fleet);
    screen.until(&["Denied 1"]);
    screen.press("Tab");
    screen.until(&["[Denied 1]", start_of(&new)]);
    press_p(&screen, "m1");
    let text = screen.until(&["re-pair"]);
    assert!(under_cursor(&text).contains("Collège Éluard") && under_cursor(&text).contains("re-pair"));
    screen.press("Enter");
    let text = screen.until(&["Pair m1 anew and revoke its old key?", "The old key is revoked"]);
    assert!(shows_whole(&text, &new) && shows_whole(&text, &old), "{text}");
    screen.press("Enter");
    screen.until(&["nothing was done"]);
    assert_eq!(fleet.key_state("m1", &old).as_deref(), Some("accepted"));
    assert_eq!(fleet.key_state("m1", &new).as_deref(), Some("denied"));

    press_p(&screen, "m1");
    screen.press("Enter");
    screen.until(&["Pair m1 anew"]);
    screen.type_text("y");
    screen.until(&["m1 is accepted and linked to Collège Éluard, and the old key is revoked"]);
    screen.until(&["[Denied 0]", "Accepted 1", "Rejected 1"]);
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(fleet.key_state("m1", &old).as_deref(), Some("rejected"));
    assert_eq!(server(&fleet, &college)["link"]["fingerprint"], json!(new));
    let history = fleet.brine(&["server", "history", &college]).expect(0).stdout;
    assert!(history.contains(&old) && history.contains(&new), "{history}");
}

#[test]
fn what_another_operator_does_meanwhile_is_seen_and_not_overridden() {
    let fleet = Fleet::start();
    let first = record(&fleet, &json!({"name": "first", "model": "scribe-2.9", "zone": "Dijon"}));
    let second = record(&fleet, &json!({"name": "second", "model": "scribe-2.9", "zone": "Dijon"}));
    let third = record(&fleet, &json!({"name": "third", "model": "scribe-2.9", "zone": "Dijon"}));
    let (m1, m2, m3) = (fleet.stranger("m1"), fleet.stranger("m2"), fleet.stranger("m3"));
    for minion in [&m1, &m2, &m3] {
        fleet.until_key(minion, "pending");
    }
    let screen = open(&fleet);
    let ask = |id: &str, name: &str| {
        crate::tui::find(&screen, id);
        press_p(&screen, id);
        screen.type_text(&format!("/{name}"));
        screen.press("Enter");
        screen.until(&[&format!("filter: {name}"), "1 of 1"]);
        screen.press("Enter");
        screen.until(&[&format!("Pair {id} (1 key)?"), name]);
    };
    let pair = |id: &str, fingerprint: &str, server: &str| {
        fleet.brine(&["server", "pair", server, id, "--expect", fingerprint, "-y"]).expect(0);
    };

    // Another machine is given the record.
    ask("m1", "first");
    pair("m2", &m2.fingerprint(), &first);
    screen.until(&["! the record changed meanwhile, or is linked or gone"]);
    let ledger = fleet.ledger();
    screen.type_text("y");
    screen.until(&["! m1 was not paired with first"]);
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("pending"));
    assert_eq!(server(&fleet, &first)["link"]["minion"], "m2");
    assert_eq!(fleet.ledger(), ledger);

    // The key is given another record.
    ask("m1", "second");
    pair("m1", &m1.fingerprint(), &third);
    screen.until(&["! m1 changed meanwhile: it is accepted now, not pending"]);
    let ledger = fleet.ledger();
    screen.type_text("y");
    screen.until(&["! m1 was not paired with second"]);
    assert_eq!(server(&fleet, &second)["link"], Value::Null);
    assert_eq!(server(&fleet, &third)["link"]["minion"], "m1");
    assert_eq!(fleet.ledger(), ledger);

    // The record is gone: it leaves the list by itself, and the question says so.
    ask("m3", "second");
    fleet.brine(&["server", "delete", &second, "-y"]).expect(0);
    screen.until(&["! the record changed meanwhile, or is linked or gone"]);
    screen.type_text("n");
    screen.until(&["nothing was done"]);
    screen.type_text("p");
    screen.until(&["There is no unlinked record; make one:"]);
    let fourth = record(&fleet, &json!({"name": "fourth", "model": "scribe-2.9"}));
    screen.until(&["│ > fourth", "1 of 1"]);
    screen.press("Enter");
    screen.until(&["Pair m3 (1 key)?"]);
    screen.type_text("y");
    screen.until(&["m3 is accepted and linked to fourth"]);
    eventually(10.0, "m3 is up", || server(&fleet, &fourth)["link"]["connected"] == true);
}
