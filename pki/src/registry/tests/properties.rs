use proptest::prelude::*;

use super::*;
use brine_protocol::control::ACTS;

fn any_draft() -> impl Strategy<Value = Draft> {
    let key = (0..5usize, 0..3u8, 0..4u8)
        .prop_map(|(act, id, key)| draft(ACTS[act], &format!("m{id}"), &format!("k{key}")));
    let config = (0..100u64).prop_map(|serial| Draft {
        by: "master".into(),
        reason: None,
        deed: Deed::Config { serial },
    });
    prop_oneof![9 => key, 1 => config]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the entries, the fold is the same in memory, again, and after reopening the
    /// file; and no id ever has two holders.
    #[test]
    fn append_and_reopen_is_the_same_registry(drafts in prop::collection::vec(any_draft(), 0..40)) {
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
            for of_id in registry.ids.values() {
                prop_assert!(of_id.keys.iter().filter(|key| is_holder(key.state)).count() <= 1);
            }
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
}
