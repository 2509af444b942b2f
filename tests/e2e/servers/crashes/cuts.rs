//! Masters that are started on every prefix of the lines that a decision writes.

use std::fs;
use std::path::PathBuf;

use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use serde_json::json;

use super::super::{create, token, used, with_token};
use super::{
    bundles_are_as_the_ledger_says, copy, create_until_it_answers, creation, decisions, is_linked,
    is_nowhere, is_whole, kept, ledger_path, link, list, ping_record, text, until_connected, until_known,
};

/// What was on a master's disk before a decision, and the bytes that the decision added to the
/// ledger.
struct Cuts {
    saved: PathBuf,
    before: String,
    added: String,
}

impl Cuts {
    /// Kills the master, keeps what it has, has it decide, and kills it again.
    fn of(fleet: &mut Fleet, decide: impl FnOnce(&Fleet)) -> Self {
        fleet.kill_master();
        let saved = fleet.dir().join("saved");
        copy(&fleet.root(), &saved);
        fleet.start_master();
        // With the line that every start writes.
        let before = fleet.ledger();
        decide(fleet);
        fleet.kill_master();
        let after = fleet.ledger();
        let added = after.strip_prefix(&before).expect("a ledger only grows").to_owned();
        assert!(added.ends_with('\n'), "{added}");
        Self { saved, before, added }
    }

    /// Where writing may have ended: before, after and within each line.
    fn points(&self) -> Vec<usize> {
        let mut points = vec![0];
        for line in self.added.split_inclusive('\n') {
            let begin = *points.last().expect("one at least");
            points.extend([1, line.len() / 2, line.len() - 1, line.len()].map(|at| begin + at));
        }
        points
    }

    /// How many lines are whole when writing ended there.
    fn whole(&self, point: usize) -> usize {
        self.added[..point].matches('\n').count()
    }

    /// A master's disk as it was when writing ended there.
    fn restore(&self, fleet: &Fleet, point: usize) {
        copy(&self.saved, &fleet.root());
        fs::write(ledger_path(fleet), format!("{}{}", self.before, &self.added[..point])).unwrap();
    }
}

#[test]
fn a_pairing_is_written_whole_or_not_at_all() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let server = create(&fleet, &["--name", "web1"]);
    let m1 = fleet.stranger_with("m1", "m1", "reconnect_max: 0.2\n");
    fleet.until_key(&m1, "pending");
    let key = m1.fingerprint();
    let pair = ["server", "pair", "web1", "m1", "--expect", &key, "-y"];
    let cuts = Cuts::of(&mut fleet, |fleet| {
        until_known(fleet, "m1", &key);
        fleet.brine(&pair).expect(0);
    });
    assert_eq!(cuts.added.matches('\n').count(), 1, "one decision: {}", cuts.added);
    for point in cuts.points() {
        cuts.restore(&fleet, point);
        fleet.start_master();
        assert_eq!(is_whole(&fleet, &server, "m1"), cuts.whole(point) == 1, "cut at {point}");
        until_known(&fleet, "m1", &key);
        assert_eq!(is_whole(&fleet, &server, "m1"), cuts.whole(point) == 1, "cut at {point}, and it knocks");
        fleet.brine(&pair).expect(0);
        until_connected(&fleet, &server, &key);
        assert_eq!(ping_record(&fleet, "web1"), json!({"m1": true}));
        assert_eq!(decisions(&fleet, "pair").len(), 1, "cut at {point}: {}", fleet.ledger());
        fleet.kill_master();
    }
}

#[test]
fn a_replacement_gives_the_old_key_up_and_takes_the_new_one_at_once() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let server = create(&fleet, &["--name", "web1"]);
    let options = "reconnect_max: 0.2\n";
    let old = fleet.stranger_with("web1", "m1", options);
    fleet.until_key(&old, "pending");
    fleet.brine(&["server", "pair", "web1", "web1", "-y"]).expect(0);
    let anew = fleet.stranger_with("web1", "m2", options);
    fleet.until_key(&anew, "denied");
    let (old, anew) = (old.fingerprint(), anew.fingerprint());
    let replace = ["server", "pair", "web1", "web1", "--expect", &anew, "--replace", "-y"];
    let cuts = Cuts::of(&mut fleet, |fleet| {
        until_known(fleet, "web1", &anew);
        fleet.brine(&replace).expect(0);
    });
    for point in cuts.points() {
        cuts.restore(&fleet, point);
        fleet.start_master();
        let (holder, is_done) = if cuts.whole(point) == 1 { (&anew, true) } else { (&old, false) };
        assert!(
            is_whole(&fleet, &server, "web1") && is_linked(&fleet, &server, "web1", holder),
            "cut at {point}"
        );
        let is_rejected = fleet.key_state("web1", &old).as_deref() == Some("rejected");
        assert_eq!(is_rejected, is_done, "cut at {point}");
        until_known(&fleet, "web1", &anew);
        fleet.brine(&replace).expect(0);
        until_connected(&fleet, &server, &anew);
        assert_eq!(fleet.key_state("web1", &old).as_deref(), Some("rejected"), "cut at {point}");
        assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));
        fleet.kill_master();
    }
}

#[test]
fn a_record_gets_its_key_whole_or_not_at_all() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut made = json!(null);
    let cuts = Cuts::of(&mut fleet, |fleet| {
        made = fleet.api().post("/v1/servers", &creation()).expect(201).json();
    });
    let (server, bundle) = (text(&made["id"]), text(&made["bundle"]));
    let acts: Vec<String> = cuts
        .added
        .lines()
        .map(|line| text(&serde_json::from_str::<serde_json::Value>(line).unwrap()["act"]))
        .collect();
    assert_eq!(acts, ["create-server", "preseed", "fetch"]);
    for point in cuts.points() {
        // The bundle is written before the second line, and gone at some time after the third.
        let files: &[bool] = match cuts.whole(point) {
            0 => &[false],
            1 | 3 => &[false, true],
            _ => &[true],
        };
        for has_file in files {
            cuts.restore(&fleet, point);
            if *has_file {
                fs::write(kept(&fleet, &server), &bundle).unwrap();
            }
            fleet.start_master();
            let what = format!("cut at {point}, file {has_file}");
            let servers = fleet.api().get("/v1/servers").expect(200).json();
            assert_eq!(list(&servers).len(), usize::from(cuts.whole(point) > 0), "{what}");
            if cuts.whole(point) > 0 {
                assert_eq!(is_whole(&fleet, &server, "web1"), cuts.whole(point) > 1, "{what}");
            }
            bundles_are_as_the_ledger_says(&fleet);
            if cuts.whole(point) != 2 {
                is_nowhere(&fleet, &bundle);
            }
            create_until_it_answers(&fleet, &format!("cut{point}{has_file}"));
            is_nowhere(&fleet, &bundle);
            fleet.kill_master();
        }
    }
}

#[test]
fn an_enrolment_uses_its_token_and_links_or_does_neither() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let server = create(&fleet, &["--name", "web1"]);
    let (id, secret) = token(&fleet, &["--server", "web1"]);
    let mut m1 = fleet.prepare_minion_with("m1", "m1", &with_token(&secret));
    let key = fingerprint("m1");
    let cuts = Cuts::of(&mut fleet, |fleet| {
        m1.start();
        until_connected(fleet, &server, &key);
        m1.kill();
    });
    assert_eq!(cuts.added.matches('\n').count(), 1, "one decision: {}", cuts.added);
    for point in cuts.points() {
        cuts.restore(&fleet, point);
        fleet.start_master();
        let is_done = cuts.whole(point) == 1;
        assert_eq!(is_whole(&fleet, &server, "m1"), is_done, "cut at {point}");
        assert_eq!(used(&fleet, &id), u64::from(is_done), "cut at {point}");
        // The same again is the same minion, which still has its token.
        m1.start();
        until_connected(&fleet, &server, &key);
        assert_eq!(link(&fleet, &server)["way"], "enrolled");
        assert_eq!((used(&fleet, &id), decisions(&fleet, "enrol").len()), (1, 1), "cut at {point}");
        assert_eq!(ping_record(&fleet, "web1"), json!({"m1": true}));
        m1.kill();
        fleet.kill_master();
    }
}
