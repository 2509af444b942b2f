//! Subsets and confirmations.

use brine_protocol::control::MatchedMinion;

use super::*;

fn id(number: usize) -> MinionId {
    format!("m{number}").parse().expect("an id")
}

fn matched(presences: &[Presence]) -> Matched {
    let minions: Vec<MatchedMinion> = presences
        .iter()
        .enumerate()
        .map(|(i, presence)| MatchedMinion { id: id(i), presence: presence.clone(), why: Vec::new() })
        .collect();
    Matched { matched: minions.len(), minions, offline: 0, accepted: 10, unjudged: 0 }
}

#[test]
fn a_subset_is_of_those_that_are_connected() {
    let offline = Presence::Offline { since: None };
    let all = matched(&[Presence::Up, offline.clone(), Presence::Up, Presence::Up]);
    assert_eq!(chosen(&all, 2, |_| 0), [id(0), id(2)]);
    assert_eq!(chosen(&all, 2, |limit| limit - 1), [id(0), id(3)]);
    assert_eq!(chosen(&all, 9, |limit| limit - 1), [id(0), id(2), id(3)]);
    assert!(chosen(&matched(&[offline]), 2, |_| 0).is_empty());
}

#[test]
fn every_minion_can_be_chosen() {
    let all = matched(&vec![Presence::Up; 5]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        let ids = chosen(&all, 2, random_below);
        assert!(ids.len() == 2 && ids[0] < ids[1], "{ids:?}");
        seen.extend(ids);
        if seen.len() == 5 {
            return;
        }
    }
    panic!("only {seen:?}");
}

fn asked(typed: &str, is_there: bool) -> (Result<(), Failure>, String) {
    let ids: Vec<MinionId> = (0..12).map(id).collect();
    let mut err = Vec::new();
    let done = confirm(&ids, 5, &mut typed.as_bytes(), &mut err, is_there);
    (done, String::from_utf8(err).expect("UTF-8"))
}

#[test]
fn only_a_yes_is_a_yes() {
    let (done, question) = asked("y\n", true);
    assert!(done.is_ok());
    assert_eq!(
        question,
        "The target means 12 minions: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 2 more.\nProceed? [N/y] "
    );
    for no in ["\n", "n\n", "", "yep\n"] {
        let failure = asked(no, true).0.expect_err("no yes");
        assert_eq!(failure.to_string(), "not confirmed; nothing was run", "{no:?}");
    }
}

#[test]
fn without_a_person_it_is_refused() {
    let (done, said) = asked("y\n", false);
    let failure = done.expect_err("nobody was asked");
    assert_eq!(failure.exit(), brine_client::Exit::Refused);
    assert!(
        failure.to_string().contains("12 minions (m0, ") && failure.to_string().contains("-y"),
        "{failure}"
    );
    assert_eq!(said, "");
}
