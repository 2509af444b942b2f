//! Power lost between, and in the middle of, any two lines.

use brine_protocol::TokenId;
use brine_protocol::control::TokenRequest;

use super::*;
use crate::registry::servers::new_token;

const DAY: i64 = 24 * 3600;

/// Every kind of decision about servers, each by one call. What is true after each.
fn scripted(path: &std::path::Path) -> Vec<Registry> {
    let ledger = FileLedger::open(path, std::time::Duration::ZERO).unwrap().ledger;
    let mut trust = Trust::with_log(ledger, WaitingLimits::default()).unwrap();
    let mut seen = vec![trust.registry().clone()];
    let mut step = |trust: &mut Trust, what: &dyn Fn(&mut Trust)| {
        what(trust);
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!(lines, seen.len(), "one decision is one line");
        seen.push(trust.registry().clone());
    };
    let create = |n: u8, name: &'static str| {
        move |trust: &mut Trust| {
            let made = trust.create_servers(&[(server(n), record(name))], false, false, WHO, None, at(0));
            assert!(made.unwrap()[0].is_ok());
        }
    };
    let pair = |n: u8, of: &'static str, key: &'static str, replace: bool| {
        move |trust: &mut Trust| {
            trust.knock(knocker(of, key, "192.0.2.1"), at(1));
            drop(trust.pair(server(n), &name(of, key), replace, WHO, None, at(1)).unwrap());
        }
    };
    let preseed = |n: u8, key: &'static str, replace: bool| {
        move |trust: &mut Trust| {
            let made = fixed(key);
            drop(trust.preseed(server(n), made.public(), at(DAY), replace, WHO, None, at(1)).unwrap());
        }
    };
    step(&mut trust, &create(1, "one"));
    step(&mut trust, &create(2, "two"));
    step(&mut trust, &pair(1, "m1", "k1", false));
    step(&mut trust, &pair(1, "m1", "k2", true));
    step(&mut trust, &pair(1, "m2", "k3", true));
    step(&mut trust, &|trust| drop(trust.unpair(server(1), KeyFate::Keep, None, WHO, None, at(2)).unwrap()));
    step(&mut trust, &pair(2, "m2", "k3", false));
    step(&mut trust, &|trust| {
        drop(trust.unpair(server(2), KeyFate::Reject, None, WHO, None, at(2)).unwrap());
    });
    step(&mut trust, &preseed(2, "minion", false));
    step(&mut trust, &preseed(2, "other", true));
    step(&mut trust, &|trust| drop(trust.fetch(server(2), WHO, None, at(3)).unwrap()));
    step(&mut trust, &|trust| {
        let other = fixed("other").public().fingerprint();
        assert!(trust.arrive(&id("two"), other, at(3)).unwrap().is_some());
    });
    step(&mut trust, &preseed(1, "master", false));
    step(&mut trust, &|trust| assert_eq!(trust.expire_preseeds(at(2 * DAY)).len(), 1));
    step(&mut trust, &|trust| {
        let wanted = TokenRequest {
            server: Some(server(1)),
            id_pattern: None,
            uses: None,
            expires_s: None,
            reason: None,
        };
        let (id, hash) = (TokenId::from_random([1; 16]), new_token([1; 32]).1);
        trust.create_token(id, hash, &wanted, at(9 * DAY), WHO, at(2 * DAY)).unwrap();
    });
    step(&mut trust, &|trust| {
        trust.knock(knocker("m9", "k9", "192.0.2.9"), at(3 * DAY));
        drop(trust.enrol(&id("m9"), fingerprint("k9"), &new_token([1; 32]).0, at(3 * DAY)).unwrap());
    });
    step(&mut trust, &|trust| trust.refused("unix:1001 (bob)", "servers_link", "one", at(3 * DAY)).unwrap());
    step(&mut trust, &|trust| {
        drop(trust.act(Act::Delete, &name("m9", "k9"), WHO, None, at(3 * DAY)).unwrap());
    });
    step(&mut trust, &|trust| {
        drop(trust.delete_server(server(2), Some(KeyFate::Delete), None, WHO, None, at(3 * DAY)).unwrap());
    });
    seen
}

#[test]
fn a_crash_leaves_each_decision_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let seen = scripted(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let minions = ["m1", "m2", "m9", "one", "two"].map(id);
    assert_eq!((lines.len(), seen.len()), (19, 20));
    for (whole, expected) in seen.iter().enumerate() {
        check(expected, &minions);
        let before = lines[..whole].concat();
        let next = lines.get(whole).copied().unwrap_or_default();
        // Cut clean behind a line; and in the next one, up to its line feed.
        for written in [0, 1, next.len() / 2, next.len().saturating_sub(1)] {
            std::fs::write(&path, format!("{before}{}", &next[..written.min(next.len())])).unwrap();
            let opened = FileLedger::open(&path, std::time::Duration::ZERO).unwrap();
            assert_eq!(&Registry::fold(&opened.entries), expected, "behind line {whole}, {written} bytes");
        }
    }
}

#[test]
fn whatever_a_repair_takes_out_the_rest_stands_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    scripted(&path);
    let entries = FileLedger::open(&path, std::time::Duration::ZERO).unwrap().entries;
    let minions = ["m1", "m2", "m9", "one", "two"].map(id);
    for lost in 0..entries.len() {
        for count in 1..=3 {
            let mut registry = Registry::default();
            let left = entries.iter().enumerate().filter(|(at, _)| !(lost..lost + count).contains(at));
            for (_, entry) in left {
                registry.apply(entry);
                check(&registry, &minions);
            }
        }
    }
}
