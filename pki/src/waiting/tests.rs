use std::fs;

use super::*;
use crate::registry::samples::{at, fingerprint, id, knocker};

fn waiting(pending_max: usize, pending_per_id: usize) -> Waiting {
    Waiting::new(WaitingLimits { pending_max, pending_per_id, ..WaitingLimits::default() })
}

fn keys(waiting: &Waiting) -> Vec<String> {
    waiting.iter().map(|key| format!("{}@{}", key.id, key.address)).collect()
}

/// What the indices say has to be what the lists say.
fn check(waiting: &Waiting) {
    assert_eq!(waiting.iter().count(), waiting.len());
    assert!(waiting.len() <= waiting.limits.pending_max.max(1));
    assert!(
        waiting.ids.values().all(|slots| (1..=waiting.limits.pending_per_id.max(1)).contains(&slots.len()))
    );
}

#[test]
fn a_key_that_knocks_again_is_one_key() {
    let mut waiting = waiting(10, 8);
    assert_eq!(waiting.knock(knocker("a", "k", "192.0.2.1"), at(0)), []);
    assert_eq!(waiting.knock(knocker("a", "k", "192.0.2.2"), at(9)), []);
    let key = waiting.get(&id("a"), fingerprint("k")).unwrap();
    assert_eq!((key.first_seen, key.last_seen, key.attempts), (at(0), at(9), 2));
    assert_eq!(keys(&waiting), ["a@192.0.2.2"]);
    assert!(waiting.remove(&id("a"), fingerprint("k")).is_some());
    assert!(waiting.remove(&id("a"), fingerprint("k")).is_none());
    assert!(waiting.is_empty());
}

#[test]
fn ten_thousand_ids_from_one_address_push_out_themselves() {
    let mut waiting = waiting(10_000, 8);
    for i in 0..20 {
        waiting.knock(knocker(&format!("good{i}"), "k", &format!("192.0.2.{i}")), at(0));
    }
    for i in 0..500 {
        waiting.knock(knocker(&format!("site{i}"), "k", "198.51.100.1"), at(1));
    }
    let mut dropped = Vec::new();
    for i in 0..30_000 {
        // Half of it from all over one IPv6 network, which counts as one address.
        let from = if i % 2 == 0 { "203.0.113.66".to_owned() } else { format!("2001:db8::{:x}", i % 65_536) };
        dropped.extend(waiting.knock(knocker(&format!("evil{i}"), "k", &from), at(2)));
    }
    assert_eq!(waiting.len(), 10_000);
    assert_eq!(dropped.len(), 20_520);
    assert!(dropped.iter().all(|name| name.id.as_str().starts_with("evil")));
    assert_eq!(waiting.iter().filter(|key| !key.id.as_str().starts_with("evil")).count(), 520);
    // Somebody new still gets in.
    let gone = waiting.knock(knocker("late", "k", "192.0.2.77"), at(3));
    assert!(gone.len() == 1 && gone[0].id.as_str().starts_with("evil"), "{gone:?}");
    assert!(waiting.get(&id("late"), fingerprint("k")).is_some());
    check(&waiting);
}

#[test]
fn a_full_id_drops_its_longest_unheard_of_the_address_that_crowds_it() {
    let mut full = waiting(100, 3);
    for (i, key) in ["k0", "k1", "k2"].iter().enumerate() {
        full.knock(knocker("a", key, &format!("192.0.2.{i}")), at(i as i64));
    }
    full.heard(&id("a"), fingerprint("k0"), at(3));
    let gone = full.knock(knocker("a", "k3", "192.0.2.3"), at(4));
    assert_eq!(gone.iter().map(|name| name.fingerprint).collect::<Vec<_>>(), [fingerprint("k1")]);

    let mut squatted = waiting(100, 3);
    squatted.knock(knocker("a", "good", "192.0.2.1"), at(0));
    for i in 0..50 {
        squatted.knock(knocker("a", &format!("evil{i}"), "203.0.113.66"), at(1));
    }
    assert!(squatted.get(&id("a"), fingerprint("good")).is_some());
    assert_eq!(squatted.len(), 3);
    check(&squatted);
}

#[test]
fn when_all_have_one_the_longest_unheard_goes() {
    let mut waiting = waiting(3, 8);
    for i in 0..5 {
        waiting.knock(knocker(&format!("m{i}"), "k", &format!("192.0.2.{i}")), at(i));
    }
    assert_eq!(keys(&waiting), ["m2@192.0.2.2", "m3@192.0.2.3", "m4@192.0.2.4"]);
    check(&waiting);
}

#[test]
fn keys_age() {
    let mut waiting = Waiting::new(WaitingLimits { pending_age_s: 10, ..WaitingLimits::default() });
    waiting.knock(knocker("a", "k", "192.0.2.1"), at(0));
    waiting.knock(knocker("b", "k", "192.0.2.1"), at(0));
    waiting.heard(&id("a"), fingerprint("k"), at(5));
    assert_eq!(waiting.expire(at(10)), []);
    let gone = waiting.knock(knocker("c", "k", "192.0.2.1"), at(11));
    assert_eq!(gone.iter().map(|name| name.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(waiting.expire(at(100)).len(), 2);
}

#[test]
fn claims_are_cut_at_a_character() {
    let mut waiting = waiting(10, 8);
    let mut long = knocker("a", "k", "192.0.2.1");
    long.claims.host = format!("x{}", "é".repeat(1000));
    waiting.knock(long, at(0));
    let host = &waiting.iter().next().unwrap().claims.host;
    assert_eq!(host.len(), 255);
}

#[test]
fn claims_of_one_key_have_a_limit_together_and_nothing_that_costs_six_times_its_size() {
    for (text, kept) in [("\u{1}", '?'), ("\u{7f}", '?'), ("\u{85}", '?'), ("\"", '"'), ("é", 'é')] {
        let mut waiting = waiting(10, 8);
        let mut long = knocker(&"i".repeat(253), "k", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
        // The largest that a public key can be.
        long.key = vec![0; 600];
        let claims = &mut long.claims;
        (claims.host, claims.os, claims.version) = (text.repeat(1000), text.repeat(1000), text.repeat(20));
        claims.grains = (0..8).map(|i| (format!("g{i}"), text.repeat(250 / text.len()))).collect();
        waiting.knock(long, at(0));
        let claims = &waiting.iter().next().unwrap().claims;
        let texts = [&claims.host, &claims.os, &claims.version];
        assert!(texts.iter().all(|text| text.chars().all(|c| c == kept) && !text.is_empty()), "{claims:?}");
        let grains = claims.grains.iter().flat_map(|(name, value)| [name, value]);
        let bytes: usize = texts.into_iter().chain(grains).map(String::len).sum();
        assert!(bytes <= 1024, "{bytes} bytes of {text:?}");
        let whole = claims.grains.values().all(|value| *value == text.repeat(250 / text.len()));
        assert!(
            whole && claims.grains.is_empty() == (kept == '?'),
            "a grain is whole or not there: {claims:?}"
        );
        let json = waiting.to_json().len();
        assert!(json < 3700, "{json} bytes of {text:?}");
    }
}

#[test]
fn reads_back_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("waiting.json");
    let load = |limits| Waiting::load(&path, limits).unwrap();
    assert!(load(WaitingLimits::default()).0.is_empty());
    let mut before = waiting(100, 8);
    for i in 0..50 {
        before.knock(knocker(&format!("m{}", i / 2), &format!("k{i}"), "2001:db8::1"), at(i));
    }
    assert!(before.take_changed() && !before.take_changed());
    fs::write(&path, before.to_json()).unwrap();
    let (mut after, damage) = load(before.limits);
    assert_eq!(damage, None);
    assert!(after.iter().eq(before.iter()) && !after.take_changed());
    // Limits that were lowered hold at once.
    let (fewer, _) = load(WaitingLimits { pending_max: 10, pending_per_id: 1, ..before.limits });
    check(&fewer);
    assert_eq!(fewer.len(), 10);
    assert!(fewer.get(&id("m24"), fingerprint("k49")).is_some());
}

#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("waiting.json");
    let mut good = waiting(10, 8);
    good.knock(knocker("a", "k", "192.0.2.1"), at(0));
    let good = String::from_utf8(good.to_json()).unwrap();
    let damaged = [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{\"v\":2,\"keys\":[]}", "version 2 is not known here"),
        (&good[..good.len() / 2], "?"),
        (&good.replace("\"key\":\"d", "\"key\":\"e"), "a key of a does not belong to its fingerprint"),
        (&good.replace("192.0.2.1", "192.0.2"), "?"),
    ];
    for (n, (bytes, reason)) in (1..).zip(damaged) {
        fs::write(&path, bytes).unwrap();
        let (empty, damage) = Waiting::load(&path, WaitingLimits::default()).unwrap();
        let damage = damage.unwrap();
        assert!(empty.is_empty() && !path.exists());
        assert!(reason == "?" || damage.reason == reason, "{damage}");
        assert_eq!(damage.aside, dir.path().join(format!("waiting.json.damaged-{n}")));
        assert_eq!(fs::read_to_string(&damage.aside).unwrap(), bytes);
    }
    // Whatever made it so large: a master that does not start would be the greater damage.
    fs::write(&path, &good).unwrap();
    let load = |max: usize| Waiting::load_up_to(&path, WaitingLimits::default(), max as u64).unwrap();
    assert_eq!((load(good.len()).0.len(), path.exists()), (1, true));
    let (empty, damage) = load(good.len() - 1);
    let damage = damage.unwrap();
    assert!(empty.is_empty() && !path.exists() && damage.reason.starts_with("it is larger than"), "{damage}");
    assert_eq!(fs::read_to_string(&damage.aside).unwrap(), good);
    fs::create_dir(&path).unwrap();
    assert!(Waiting::load(&path, WaitingLimits::default()).is_err());
}
