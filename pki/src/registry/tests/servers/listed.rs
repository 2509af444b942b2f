//! Which server is shown beside a key, and how quickly.

use brine_protocol::control::{KeyServer, KeysQuery};

use super::*;

fn shown(trust: &Fleet, of: &str, key: &str) -> Option<(String, bool)> {
    let query = KeysQuery { id: Some(id(of)), ..KeysQuery::default() };
    let key = trust.find(&query).into_iter().find(|listed| listed.fingerprint == fingerprint(key))?;
    key.server.map(|KeyServer { name, linked, .. }| (name, linked))
}

fn claiming(of: &str, key: &str, server: &str) -> Knocker {
    let mut knocks = knocker(of, key, "192.0.2.1");
    knocks.claims.server = Some(server.to_owned());
    knocks
}

#[test]
fn a_key_is_shown_with_the_server_that_it_has_or_wants() {
    let mut trust = fleet(&["one", "two", "twin", "twin"]);
    let zoned = ServerRecord { zone: Some("Dijon".into()), minion_id: Some(id("m2")), ..record("two") };
    trust.update_server(server(2), zoned, WHO, None, at(0)).unwrap();
    trust.knock(claiming("m1", "k1", "one"), at(1));
    trust.knock(claiming("m2", "k2", "one"), at(1));
    trust.knock(claiming("m3", "k3", "twin"), at(1));
    trust.knock(claiming("m4", "k4", &server(3).to_string()), at(1));
    trust.knock(knocker("m5", "k5", "192.0.2.1"), at(1));
    assert_eq!(shown(&trust, "m1", "k1"), Some(("one".into(), false)), "what it says");
    assert_eq!(shown(&trust, "m2", "k2"), Some(("two".into(), false)), "the record's word comes first");
    assert_eq!(shown(&trust, "m3", "k3"), None, "either could be meant");
    assert_eq!(shown(&trust, "m4", "k4"), Some(("twin".into(), false)));
    assert_eq!(shown(&trust, "m5", "k5"), None);
    let listed = trust.list().into_iter().find(|key| key.id == id("m2")).unwrap();
    assert_eq!(listed.server.unwrap().zone.as_deref(), Some("Dijon"));
    trust.pair(server(1), &name("m1", "k1"), false, WHO, None, at(2)).unwrap();
    assert_eq!(shown(&trust, "m1", "k1"), Some(("one".into(), true)));
    // The claim of a key that was decided about is worth nothing.
    trust.act(Act::Accept, &name("m4", "k4"), WHO, None, at(2)).unwrap();
    assert_eq!(shown(&trust, "m4", "k4"), None);
    trust.act(Act::Reject, &name("m1", "k1"), WHO, None, at(3)).unwrap();
    assert_eq!(shown(&trust, "m1", "k1"), None);
}

#[test]
fn ten_thousand_keys_beside_ten_thousand_records_are_listed_quickly() {
    let limits = WaitingLimits { pending_max: 20_000, ..WaitingLimits::default() };
    let mut trust = Trust::with_log(MemoryLedger::default(), limits).unwrap();
    let id_of = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        ServerId::from_random(bytes)
    };
    let wanted: Vec<_> = (0..10_000)
        .map(|n| {
            let external_id = Some(format!("x{n}"));
            (
                id_of(n),
                ServerRecord { external_id, zone: Some("Dijon".into()), ..record(&format!("server {n}")) },
            )
        })
        .collect();
    let started = std::time::Instant::now();
    let made = trust.create_servers(&wanted, false, false, WHO, None, at(0)).unwrap();
    assert!(made.iter().all(|made| made.as_ref().is_ok_and(|made| made.made)));
    for n in 0..10_000u32 {
        trust.knock(claiming(&format!("m{n}"), &n.to_string(), &format!("server {n}")), at(1));
        if n < 5_000 {
            let key = name(&format!("m{n}"), &n.to_string());
            trust.pair(id_of(n), &key, false, WHO, None, at(1)).unwrap();
        }
    }
    let made_in = started.elapsed();
    let started = std::time::Instant::now();
    let keys = trust.list();
    assert_eq!(
        keys.iter().filter(|key| key.server.as_ref().is_some_and(|server| server.linked)).count(),
        5_000
    );
    assert!(keys.iter().all(|key| key.server.is_some()));
    assert_eq!((trust.count(KeyState::Accepted), trust.count(KeyState::Pending)), (5_000, 5_000));
    let listed_in = started.elapsed();
    let started = std::time::Instant::now();
    assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
    let folded_in = started.elapsed();
    // Each with each would be a hundred million look-ups, which need minutes here.
    let told = format!("made in {made_in:?}, listed in {listed_in:?}, folded in {folded_in:?}");
    assert!([made_in, listed_in, folded_in].iter().all(|took| took.as_secs() < 10), "{told}");
}
