//! Records: made, found, changed, deleted.

use super::*;

fn refused<T: std::fmt::Debug>(result: Result<T, ServerError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_record_that_is_there_with_the_same_content_is_not_made_again() {
    let mut trust = fleet(&[]);
    let wanted = ServerRecord { external_id: Some("0210001A".into()), ..record("Collège Éluard") };
    let mut create = |n, record: &ServerRecord| {
        let made = trust.create_servers(&[(server(n), record.clone())], false, false, WHO, None, at(0));
        made.unwrap().remove(0)
    };
    assert_eq!(create(1, &wanted), Ok(Created { server: server(1), made: true }));
    assert_eq!(create(1, &wanted), Ok(Created { server: server(1), made: false }), "PUT twice");
    assert_eq!(create(2, &wanted), Ok(Created { server: server(1), made: false }), "POST twice");
    let other = ServerRecord { model: "amon-2.9".into(), ..wanted.clone() };
    let refusal = create(2, &other).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Conflict);
    assert_eq!(
        refusal.to_string(),
        format!("server {} has the external id \"0210001A\" already, with another content", server(1))
    );
    let refusal = create(1, &other).unwrap_err();
    assert_eq!(refusal.to_string(), format!("server {} is there already, with another content", server(1)));
    assert_eq!(create(3, &record(" ")).unwrap_err().kind(), RefusalKind::Invalid);
    assert_eq!(trust.log().entries().unwrap().len(), 1, "one record, one line");
    assert_eq!(named_server(&trust, "0210001A"), [server(1)]);
}

#[test]
fn one_fault_makes_none_unless_asked_to_keep_going() {
    let wanted = |id: &str| ServerRecord { minion_id: Some(super::id(id)), ..record(id) };
    let batch = [
        (server(1), wanted("a")),
        (server(2), record("")),
        (server(3), ServerRecord { name: "again".into(), ..wanted("a") }),
        (server(4), record("b")),
        (server(4), record("other")),
    ];
    for (keep_going, dry_run, made) in
        [(false, false, 0), (true, true, 0), (false, true, 0), (true, false, 2)]
    {
        let mut trust = fleet(&[]);
        let results = trust.create_servers(&batch, keep_going, dry_run, WHO, Some("import"), at(0)).unwrap();
        let told: Vec<_> = results.iter().map(|result| result.as_ref().map(|c| c.made)).collect();
        assert!(matches!(told[..], [Ok(true), Err(_), Err(_), Ok(true), Err(_)]), "{told:?}");
        assert_eq!(
            results[2].as_ref().unwrap_err().to_string(),
            format!("server \"a\" ({}) is the one that expects the minion a", server(1))
        );
        assert_eq!((trust.registry().servers().len(), trust.log().entries().unwrap().len()), (made, made));
        check_trust(&trust, &["a", "b"]);
    }
    let mut trust = fleet(&[]);
    let long = "x".repeat(REASON_MAX + 1);
    let refused = trust.create_servers(&[(server(1), record("a"))], true, false, WHO, Some(&long), at(0));
    assert_eq!(refused.unwrap()[0].as_ref().unwrap_err().kind(), RefusalKind::Invalid);
}

#[test]
fn a_record_says_what_it_was_last_told() {
    let mut trust = fleet(&["one", "two"]);
    let mut wanted = record("eins");
    wanted.minion_id = Some(id("m1"));
    wanted.external_id = Some("x1".into());
    let entry = trust.update_server(server(1), wanted.clone(), WHO, Some("moved"), at(1)).unwrap();
    assert_eq!(entry.map(|entry| entry.seq), Some(3));
    assert_eq!(trust.update_server(server(1), wanted.clone(), WHO, None, at(1)).unwrap(), None);
    assert!(named_server(&trust, "one").is_empty());
    assert_eq!(named_server(&trust, "eins"), [server(1)]);
    assert_eq!(named_server(&trust, "x1"), [server(1)]);

    let named = |minion: &str| ServerRecord { minion_id: Some(id(minion)), ..record("two") };
    assert_eq!(
        refused(trust.update_server(server(2), named("m1"), WHO, None, at(2))),
        format!("server \"eins\" ({}) is the one that expects the minion m1", server(1))
    );
    let same_external = ServerRecord { external_id: Some("x1".into()), ..record("two") };
    assert!(
        refused(trust.update_server(server(2), same_external, WHO, None, at(2))).contains("\"x1\" already")
    );
    assert_eq!(
        refused(trust.update_server(server(9), record("x"), WHO, None, at(2))),
        format!("there is no server {}", server(9))
    );
    paired(&mut trust, 2, "m2", "k2");
    assert!(
        refused(trust.update_server(server(2), named("m3"), WHO, None, at(2))).contains("is linked to m2")
    );
    assert!(
        refused(trust.update_server(
            server(1),
            ServerRecord { minion_id: Some(id("m2")), ..record("x") },
            WHO,
            None,
            at(2)
        ))
        .contains("m2 is linked to server \"two\"")
    );
    trust.update_server(server(2), named("m2"), WHO, None, at(2)).unwrap();
    assert_eq!(linked(&trust, 2), Some(("m2".into(), KeyState::Accepted)), "a change is no reason to part");
    // What a record gave up, another may have.
    trust.update_server(server(1), record("eins"), WHO, None, at(3)).unwrap();
    let made = ServerRecord { minion_id: Some(id("m1")), external_id: Some("x1".into()), ..record("three") };
    let made = trust.create_servers(&[(server(3), made)], false, false, WHO, None, at(3)).unwrap();
    assert!(made[0].is_ok(), "{made:?}");
    check_trust(&trust, &["m1", "m2", "m3"]);
    let shown = trust.registry().servers().show(server(1)).unwrap();
    assert_eq!((shown.record, shown.created, shown.created_by.as_str()), (record("eins"), at(0), WHO));
    let history = trust.registry().servers().history(server(1));
    assert_eq!(servers_of(history), ["create", "update", "update"]);
    assert_eq!((history[1].record.as_ref(), history[1].reason.as_deref()), (Some(&wanted), Some("moved")));
}

#[test]
fn deleting_says_what_becomes_of_the_key() {
    for (fate, state) in [
        (KeyFate::Keep, Some(KeyState::Accepted)),
        (KeyFate::Reject, Some(KeyState::Rejected)),
        (KeyFate::Delete, None),
    ] {
        let mut trust = fleet(&["one"]);
        paired(&mut trust, 1, "m1", "k1");
        let refusal = refused(trust.delete_server(server(1), None, None, WHO, None, at(2)));
        assert_eq!(
            refusal,
            "server \"one\" has the minion m1; say what becomes of its key: keep, reject or delete"
        );
        let done = trust.delete_server(server(1), Some(fate), None, WHO, None, at(2)).unwrap();
        assert_eq!(done.unlinked, Some((server(1), id("m1"), fingerprint("k1"))));
        assert_eq!(
            done.keys.first().map(|(_, done)| done.is.map(Verdict::state)),
            match fate {
                KeyFate::Keep => None,
                KeyFate::Reject | KeyFate::Delete => Some(state),
            }
        );
        assert_eq!(trust.list().first().map(|key| key.state), state);
        assert!(trust.registry().servers().is_empty() && named_server(&trust, "one").is_empty());
        let history = trust.registry().servers().history(server(1));
        assert_eq!(servers_of(history), ["create", "pair m1", "delete m1"], "it outlives the record");
        check_trust(&trust, &["m1"]);
    }
    let mut trust = fleet(&["one"]);
    let done = trust.delete_server(server(1), Some(KeyFate::Delete), None, WHO, None, at(1)).unwrap();
    assert_eq!((acts(&done), done.unlinked), (vec![], None), "no minion, no key");
}

#[test]
fn a_text_may_mean_several() {
    let mut trust = fleet(&["twin", "twin"]);
    let third = ServerRecord { external_id: Some("twin".into()), ..record("three") };
    assert!(trust.create_servers(&[(server(3), third)], false, false, WHO, None, at(0)).unwrap()[0].is_ok());
    assert_eq!(named_server(&trust, "twin"), [server(1), server(2), server(3)]);
    assert_eq!(named_server(&trust, &server(2).to_string()), [server(2)]);
    assert!(named_server(&trust, &server(9).to_string()).is_empty());
}

#[test]
fn a_uuid_means_its_record_and_any_other_text_whatever_it_could() {
    let in_zone = |zone: &str, name: &str| ServerRecord { zone: Some(zone.into()), ..record(name) };
    let mut trust = fleet(&[]);
    let uuid = server(1).to_string();
    let spelt = format!("{{{uuid}}}");
    let external = ServerRecord { external_id: Some("one".into()), ..in_zone("Lyon", "four") };
    let wanted = [
        (server(1), in_zone("Dijon", "one")),
        (server(2), in_zone("Lyon", &uuid)),
        (server(3), in_zone("Dijon", "one")),
        (server(4), external),
        (server(5), ServerRecord { external_id: Some("self".into()), ..in_zone("Dijon", "self") }),
        (server(6), in_zone("Lyon", &spelt)),
    ];
    trust.create_servers(&wanted, false, false, WHO, None, at(0)).unwrap();
    let meant = |trust: &Fleet, text: &str| {
        let meant = trust.registry().servers().meant(text);
        let mut zones: Vec<_> = meant.zones().map(|zone| zone.unwrap_or("-").to_owned()).collect();
        zones.sort_unstable();
        zones.dedup();
        assert_eq!(meant.is_nothing(), zones.is_empty());
        (meant.only(), zones.join(" "))
    };
    assert_eq!(meant(&trust, &uuid), (Some(server(1)), "Dijon".into()), "whatever others are called");
    assert_eq!(meant(&trust, &spelt), (None, "Dijon Lyon".into()));
    assert_eq!(meant(&trust, "one"), (None, "Dijon Lyon".into()), "an external id does not come first");
    assert_eq!(meant(&trust, "self"), (Some(server(5)), "Dijon".into()));
    assert_eq!(meant(&trust, "nothing"), (None, String::new()));
    trust.delete_server(server(4), None, None, WHO, None, at(1)).unwrap();
    assert_eq!(meant(&trust, "one"), (None, "Dijon".into()));
    trust.update_server(server(3), record("one"), WHO, None, at(1)).unwrap();
    assert_eq!(meant(&trust, "one"), (None, "- Dijon".into()));
    trust.update_server(server(3), record("three"), WHO, None, at(1)).unwrap();
    assert_eq!(meant(&trust, "one"), (Some(server(1)), "Dijon".into()));
    trust.delete_server(server(2), None, None, WHO, None, at(1)).unwrap();
    check_trust(&trust, &[]);
}

#[test]
fn a_name_that_all_have_is_looked_up_as_quickly_as_any() {
    let mut trust = fleet(&[]);
    let id_of = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        ServerId::from_random(bytes)
    };
    let wanted: Vec<_> = (0..20_000).map(|n| (id_of(n), record("pc"))).collect();
    trust.create_servers(&wanted, false, false, WHO, None, at(0)).unwrap();
    let servers = trust.registry().servers();
    let started = std::time::Instant::now();
    for _ in 0..20_000 {
        assert_eq!((servers.meant("pc").only(), servers.meant("pc").zones().count()), (None, 1));
    }
    // To walk over all of them each time would be four hundred million steps.
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}
