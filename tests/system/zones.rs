//! `brine-tui` for an operator who is limited to zones: another user of the system, and another name.

use brine_tests::{Done, Fleet};
use serde_json::{Value, json};

use crate::pairing::{decisions, record, server, under_cursor};
use crate::tmux::Screen;
use crate::tui::start_of;
use crate::users::nobody;

const ROLES: &str = "roles:\n  nobody: {role: operator, zones: [Dijon]}\n  \
                     alice: {role: operator, zones: ['Besan*']}\n";

fn in_zone(name: &str, zone: &str, minion: &str) -> Value {
    json!({"name": name, "model": "scribe-2.9", "zone": zone, "minion_id": minion})
}

#[test]
fn a_limited_operator_sees_and_pairs_only_what_is_of_his_zones() {
    let fleet = Fleet::start_with(ROLES);
    let college = record(&fleet, &in_zone("Collège Éluard", "Dijon", "m1"));
    let lycee = record(&fleet, &in_zone("Lycée Hugo", "Besançon", "m2"));
    record(&fleet, &json!({"name": "Spare of Dijon", "model": "scribe-2.9", "zone": "Dijon"}));
    record(&fleet, &json!({"name": "Spare of Besançon", "model": "scribe-2.9", "zone": "Besançon"}));
    record(&fleet, &json!({"name": "Nobody's", "model": "scribe-2.9"}));
    let (m1, m2, m3) = (fleet.stranger("m1"), fleet.stranger("m2"), fleet.stranger("m3"));
    for minion in [&m1, &m2, &m3] {
        fleet.until_key(minion, "pending");
    }

    let screen = Screen::open(&nobody(&fleet, "brine-tui", &[]), 120, 40);
    let text = screen.until(&["[Pending 1]", "All 1", start_of(&m1.fingerprint()), "live"]);
    assert!(text.contains("nobody (operator, limited to Dijon)"), "{text}");
    // What knocks while he watches is told only to those it concerns.
    let m4 = fleet.stranger_with("m4", "m4", &format!("server: '{lycee}'\n"));
    fleet.until_key(&m4, "pending");
    let m5 = fleet.stranger_with("m5", "m5", "server: Spare of Dijon\n");
    let text = screen.until(&["[Pending 2]", "All 2", start_of(&m5.fingerprint())]);
    for other in [&m2, &m3, &m4] {
        assert!(!text.contains(start_of(&other.fingerprint())), "{text}");
    }

    crate::tui::find(&screen, "m1");
    screen.type_text("a");
    screen.until(&["! m1 cannot be accepted without a server record", "limited to zones: p pairs it"]);
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("pending"));

    screen.type_text("p");
    let text = screen.until(&["Pair m1 with a server record", "Collège Éluard", "Spare of Dijon", "1 of 2"]);
    assert!(under_cursor(&text).contains("Collège Éluard"), "{text}");
    for other in ["Hugo", "Besançon", "Nobody's"] {
        assert!(!text.contains(other), "{text}");
    }
    screen.press("Enter");
    screen.until(&["Pair m1 (1 key)?"]);
    screen.type_text("y");
    screen.until(&["m1 is accepted and linked to Collège Éluard"]);
    fleet.until_up("m1");
    let link = server(&fleet, &college)["link"].clone();
    assert_eq!(link["minion"], "m1");
    assert!(link["by"].as_str().unwrap().contains("nobody"), "{link}");

    // Nor does another program let him in by another door.
    screen.press("Escape");
    screen.until(&["[Pending 1]", "Accepted 1"]);
    let plain = Done::run(nobody(&fleet, "brine-key", &["-a", "m5", "-y"]));
    assert!(plain.code == 4 && plain.stderr.contains("brine server pair"), "{plain:?}");
    assert_eq!(fleet.key_state("m5", &m5.fingerprint()).as_deref(), Some("pending"));
    assert_eq!(decisions(&fleet, "refuse"), 1, "{}", fleet.ledger());

    // A record of his that goes to another zone takes its key away from his screen.
    fleet.brine(&["server", "update", &college, "--zone", "Besançon"]).expect(0);
    screen.until(&["Accepted 0", "All 1"]);
    screen.type_text("q");
    screen.until(&["rc=0", "restored"]);
    assert_eq!((decisions(&fleet, "pair"), decisions(&fleet, "accept")), (1, 0), "{}", fleet.ledger());

    // An administrator under a limited name has that name's eyes.
    let screen = Screen::open(&fleet.command("brine-tui", &["--as", "alice"]), 120, 40);
    let text = screen.until(&["limited to Besan*", "[Pending 2]", "Accepted 1", "All 3"]);
    assert!(text.contains(start_of(&m2.fingerprint())) && text.contains(start_of(&m4.fingerprint())));
    assert!(!text.contains(start_of(&m3.fingerprint())) && !text.contains(start_of(&m5.fingerprint())));
}
