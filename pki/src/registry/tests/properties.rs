use proptest::prelude::*;

use super::servers::{WHO, check};
use super::*;
use crate::ledger::{Hash, MinionKey, ServerDeed, TokenDeed};
use crate::registry::servers::new_token;
use brine_protocol::TokenId;
use brine_protocol::control::{ACTS, KeyFate, TokenRequest};
use brine_protocol::server::ServerRecord;

const FATES: [KeyFate; 3] = [KeyFate::Keep, KeyFate::Reject, KeyFate::Delete];

/// The ids that keys are for: those that knock, and those that two servers are called.
fn minions() -> [MinionId; 5] {
    ["m0", "m1", "m2", "s0", "s1"].map(id)
}

fn any_minion() -> impl Strategy<Value = (String, String)> {
    (0..3u8, 0..4u8).prop_map(|(id, key)| (format!("m{id}"), format!("k{key}")))
}

fn minion_key(of: &str, key: &str) -> MinionKey {
    MinionKey { id: id(of), fingerprint: fingerprint(key) }
}

/// Few minion ids, external ids and names, so that records meet.
fn any_record() -> impl Strategy<Value = ServerRecord> {
    (0..8u8, 0..3u8, 0..2u8).prop_map(|(minion, external, name)| ServerRecord {
        minion_id: minions().get(usize::from(minion)).cloned(),
        external_id: (external < 2).then(|| format!("x{external}")),
        ..record(&format!("s{name}"))
    })
}

fn any_server_deed() -> impl Strategy<Value = ServerDeed> {
    let link = (0..9u8, any_minion(), proptest::option::of(any_minion()), 0..FATES.len());
    let on_link = link.prop_map(|(kind, (of, key), from, fate)| {
        let (minion, fate) = (minion_key(&of, &key), FATES[fate]);
        let from = from.map(|(of, key)| minion_key(&of, &key));
        match kind {
            0..=2 => ServerDeed::Pair { minion, key: (kind < 2).then(|| der(&key)), from },
            3 => ServerDeed::Preseed { minion, key: der(&key), until: at(9), from },
            4 => ServerDeed::Unpair { minion, fate },
            5 => ServerDeed::Delete { link: from.map(|minion| (minion, fate)) },
            6 => ServerDeed::Fetch { minion },
            7 => ServerDeed::Arrive { minion },
            _ => ServerDeed::Expire { minion },
        }
    });
    let on_record = (any::<bool>(), any_record()).prop_map(|(is_new, record)| {
        let record = Box::new(record);
        if is_new { ServerDeed::Create { record } } else { ServerDeed::Update { record } }
    });
    prop_oneof![2 => on_link, 1 => on_record]
}

fn any_token_deed() -> impl Strategy<Value = TokenDeed> {
    (0..4u8, 0..3u8, any_minion(), proptest::option::of(any_minion())).prop_map(
        |(kind, of, (minion, key), from)| {
            let of_server = (of < 2).then(|| server(of));
            match kind {
                0 => TokenDeed::Revoke,
                1 => TokenDeed::Create {
                    hash: Hash([of; 32]),
                    server: of_server,
                    pattern: of_server.is_none().then(|| "*".to_owned()),
                    uses: 1,
                    until: at(9),
                },
                _ => TokenDeed::Enrol {
                    server: of_server,
                    minion: minion_key(&minion, &key),
                    key: der(&key),
                    from: from.map(|(of, key)| minion_key(&of, &key)),
                },
            }
        },
    )
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let key = (0..5usize, any_minion()).prop_map(|(act, (id, key))| draft(ACTS[act], &id, &key).deed);
    let rotate = (any_minion(), 0..4u8).prop_map(|((of, from), to)| {
        let to = format!("k{to}");
        let from = fingerprint(&from);
        Deed::Rotate { id: id(&of), fingerprint: fingerprint(&to), key: der(&to), from, signature: vec![1] }
    });
    let about = (0..3u8, any_server_deed()).prop_map(|(n, deed)| Deed::Server { server: server(n), deed });
    let token = (0..3u8, any_token_deed())
        .prop_map(|(n, deed)| Deed::Token { token: TokenId::from_random([n; 16]), deed });
    let refuse = Just(Deed::Refuse { verb: "keys_act".into(), subject: "m0".into() });
    prop_oneof![
        9 => key,
        2 => rotate,
        9 => about,
        3 => token,
        1 => refuse,
        1 => (0..100u64).prop_map(|serial| Deed::Config { serial }),
    ]
}

fn any_draft() -> impl Strategy<Value = Draft> {
    any_deed().prop_map(|deed| Draft { by: "master".into(), reason: None, deed })
}

/// What somebody asks of trust.
#[derive(Debug, Clone)]
enum Wish {
    Knock(String, String),
    Act(usize, String, String),
    Create(u8, ServerRecord),
    Update(u8, ServerRecord),
    Delete(u8, Option<usize>),
    Pair(u8, String, String, bool),
    Unpair(u8, usize),
    Preseed(u8, bool, i64),
    Fetch(u8),
    Arrive(String),
    Token(u8, Option<u8>),
    Enrol(u8, String, String),
    Later,
}

/// So few keys that most wishes meet one that is here.
fn any_known() -> impl Strategy<Value = (String, String)> {
    (0..2u8, 0..2u8).prop_map(|(id, key)| (format!("m{id}"), format!("k{key}")))
}

/// Mostly of a server that takes whoever comes.
fn any_modest_record() -> impl Strategy<Value = ServerRecord> {
    (any_record(), 0..4u8)
        .prop_map(|(record, n)| ServerRecord { minion_id: record.minion_id.filter(|_| n == 0), ..record })
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let fate = 0..FATES.len();
    prop_oneof![
        6 => any_known().prop_map(|(of, key)| Wish::Knock(of, key)),
        6 => (0..5usize, any_known()).prop_map(|(act, (of, key))| Wish::Act(act, of, key)),
        3 => (0..3u8, any_modest_record()).prop_map(|(n, record)| Wish::Create(n, record)),
        1 => (0..3u8, any_modest_record()).prop_map(|(n, record)| Wish::Update(n, record)),
        1 => (0..3u8, proptest::option::of(fate.clone())).prop_map(|(n, fate)| Wish::Delete(n, fate)),
        6 => (0..3u8, any_known(), any::<bool>())
            .prop_map(|(n, (of, key), replace)| Wish::Pair(n, of, key, replace)),
        2 => (0..3u8, fate).prop_map(|(n, fate)| Wish::Unpair(n, fate)),
        3 => (0..3u8, any::<bool>(), 5..30i64).prop_map(|(n, replace, s)| Wish::Preseed(n, replace, s)),
        2 => (0..3u8).prop_map(Wish::Fetch),
        1 => (0..2u8).prop_map(|n| Wish::Arrive(format!("s{n}"))),
        2 => (0..3u8, proptest::option::of(0..3u8)).prop_map(|(n, of)| Wish::Token(n, of)),
        3 => (0..3u8, any_known()).prop_map(|(n, (of, key))| Wish::Enrol(n, of, key)),
        1 => Just(Wish::Later),
    ]
}

/// Does it, or is refused: what was done about a server, if that was it.
fn grant(trust: &mut Trust<MemoryLedger>, wish: Wish, second: i64) -> Vec<ServerDone> {
    let now = at(second);
    let made = crate::key::tests::fixed("minion");
    let done = match wish {
        Wish::Knock(of, key) => {
            trust.knock(knocker(&of, &key, "192.0.2.1"), now);
            return vec![];
        }
        Wish::Act(act, of, key) => {
            drop(trust.act(ACTS[act], &name(&of, &key), WHO, None, now));
            return vec![];
        }
        Wish::Create(n, record) => {
            drop(trust.create_servers(&[(server(n), record)], false, false, WHO, None, now).unwrap());
            return vec![];
        }
        Wish::Update(n, record) => {
            drop(trust.update_server(server(n), record, WHO, None, now));
            return vec![];
        }
        Wish::Fetch(n) => {
            drop(trust.fetch(server(n), WHO, None, now));
            return vec![];
        }
        Wish::Arrive(of) => {
            drop(trust.arrive(&id(&of), made.public().fingerprint(), now).unwrap());
            return vec![];
        }
        Wish::Token(n, of) => {
            let request = TokenRequest {
                server: of.map(server),
                id_pattern: of.is_none().then(|| "m[01]".to_owned()),
                uses: None,
                expires_s: None,
                reason: None,
            };
            let hash = new_token([n; 32]).1;
            let until = at(second + 20);
            drop(trust.create_token(TokenId::from_random([n; 16]), hash, &request, until, WHO, now));
            return vec![];
        }
        Wish::Later => return trust.expire_preseeds(now).into_iter().map(Result::unwrap).collect(),
        Wish::Delete(n, fate) => {
            trust.delete_server(server(n), fate.map(|fate| FATES[fate]), None, WHO, None, now)
        }
        Wish::Pair(n, of, key, replace) => trust.pair(server(n), &name(&of, &key), replace, WHO, None, now),
        Wish::Unpair(n, fate) => trust.unpair(server(n), FATES[fate], None, WHO, None, now),
        Wish::Preseed(n, replace, seconds) => {
            let until = at(second + seconds);
            trust.preseed(server(n), made.public(), until, replace, WHO, None, now)
        }
        Wish::Enrol(n, of, key) => trust.enrol(&id(&of), fingerprint(&key), &new_token([n; 32]).0, now),
    };
    done.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the entries, the fold is the same in memory, again, and after reopening the
    /// file; no id ever has two holders; and links, minion ids and external ids are unique.
    #[test]
    fn append_and_reopen_is_the_same_registry(drafts in prop::collection::vec(any_draft(), 0..60)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let mut memory = MemoryLedger::default();
        let mut file = FileLedger::open(&path, std::time::Duration::ZERO).unwrap().ledger;
        let mut registry = Registry::default();
        for (second, draft) in drafts.into_iter().enumerate() {
            let now = Timestamp(second as i64);
            let entry = file.append(draft.clone(), now).unwrap();
            prop_assert_eq!(&memory.append(draft, now).unwrap(), &entry);
            registry.apply(&entry);
            check(&registry, &minions());
        }
        prop_assert_eq!(file.head(), memory.head());
        prop_assert_eq!(file.entries().unwrap(), memory.entries().unwrap());
        drop(file);
        let opened = FileLedger::open(&path, std::time::Duration::ZERO).unwrap();
        prop_assert_eq!(&opened.entries, &memory.entries().unwrap());
        prop_assert_eq!(Registry::fold(&opened.entries), registry);
    }

    /// Acts through the facade keep registry and ledger in step, and an accepted key was always
    /// accepted by name.
    #[test]
    fn acts_in_any_order(acts in prop::collection::vec((0..6usize, 0..2u8, 0..3u8), 0..60)) {
        let mut trust = Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap();
        let mut entries = Vec::new();
        for (act, of, key) in acts {
            let (of, key) = (format!("m{of}"), format!("k{key}"));
            match ACTS.get(act) {
                None => drop(trust.knock(knocker(&of, &key, "192.0.2.1"), at(0))),
                Some(act) => {
                    let was = trust.standing(&id(&of), fingerprint(&key));
                    if let Ok(done) = trust.act(*act, &name(&of, &key), "test", None, at(0)) {
                        let expected = match transition(was.state(), *act) {
                            Fate::Becomes(state) => Some(state),
                            Fate::Gone => None,
                            Fate::Refused(why) => panic!("done in spite of {why}"),
                        };
                        prop_assert_eq!(done.is.map(Verdict::state), expected);
                        entries.push(done.entry);
                    }
                }
            }
            prop_assert_eq!(&Registry::fold(&entries), trust.registry());
        }
    }

    /// Whatever is asked about servers: nothing breaks what always holds, what was told of keys is
    /// what they are, no key vanishes or comes in untold, and the ledger says it all again.
    #[test]
    fn wishes_in_any_order(wishes in prop::collection::vec(any_wish(), 0..80)) {
        let mut trust = super::servers::fleet(&["s0", "s1"]);
        for (of, key) in [("m0", "k0"), ("m0", "k1"), ("m1", "k0"), ("m1", "k1")] {
            trust.knock(knocker(of, key, "192.0.2.1"), at(0));
        }
        for (second, wish) in (0..).zip(wishes) {
            let is_act = matches!(wish, Wish::Act(..));
            let before = trust.registry().clone();
            let told = grant(&mut trust, wish, second);
            let after = trust.registry();
            check(after, &minions());
            for done in &told {
                for (act, key) in &done.keys {
                    let is = after.key(&key.id, key.fingerprint).map(|key| key.state);
                    prop_assert_eq!(key.is.map(Verdict::state), is);
                    prop_assert!(matches!(transition(key.was.state(), *act), Fate::Becomes(_) | Fate::Gone));
                }
                if let Some((server, minion, key)) = &done.unlinked {
                    prop_assert_eq!(before.servers().of_key(minion, *key), Some(*server));
                    prop_assert_ne!(after.servers().of_key(minion, *key), Some(*server));
                }
            }
            for minion in &minions() {
                let (was, is) = (before.holder(minion), after.holder(minion));
                let is_told = told.iter().flat_map(|done| &done.keys).any(|(_, key)| key.id == *minion);
                prop_assert!(was == is || is_act || is_told, "{} changed untold", minion);
            }
        }
        prop_assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
    }
}
