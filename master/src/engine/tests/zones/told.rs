//! What refusals tell of records that are not shown to who is refused.

use super::*;

/// A record of Lyon that others would have to know nothing about, one of hers, and a minion of Lyon's.
fn world() -> World {
    let mut world = World::new();
    let mut hidden = wanted("secret", Some("Lyon"), Some("l-minion"));
    hidden.external_id = Some("l-external".to_owned());
    world.done(Ask::Server(ServerAsk::Create(Some(server(1)), hidden)));
    world.done(create(2, "hers", Some("Dijon"), None));
    world
}

fn external(n: Option<u8>, external_id: &str) -> Ask {
    let mut wanted = wanted("x", Some("Dijon"), None);
    wanted.external_id = Some(external_id.to_owned());
    Ask::Server(ServerAsk::Create(n.map(server), wanted))
}

#[test]
fn a_refusal_says_that_there_is_another_record_and_not_which() {
    let preseed = |minion: &str| {
        let mut wanted = wanted("x", Some("Dijon"), None);
        (wanted.preseed, wanted.name) = (true, minion.to_owned());
        Ask::Server(ServerAsk::Create(None, wanted))
    };
    for (ask, why) in [
        (external(None, "l-external"), "another record has the external id \"l-external\""),
        (external(Some(3), "l-external"), "another record has the external id \"l-external\""),
        (
            change(2, json!({"external_id": "l-external"})),
            "another record has the external id \"l-external\"",
        ),
        (create(3, "x", Some("Dijon"), Some("l-minion")), "another record expects the minion l-minion"),
        (change(2, json!({"minion_id": "l-minion"})), "another record expects the minion l-minion"),
        (change(2, json!({"name": "l-minion"})), ""),
        (preseed("l-minion"), "another record expects the minion l-minion"),
    ] {
        let shown = format!("{ask:?}");
        let mut world = world();
        let out = world.ask_as(zoe(), ask);
        if why.is_empty() {
            assert_eq!(outcome(&out), "ok");
            let ask = Ask::Server(ServerAsk::Preseed(server(2), PreseedRequest::default()));
            let out = world.ask_as(zoe(), ask);
            assert_eq!(problem(&out).detail, "another record expects the minion l-minion");
            continue;
        }
        assert_eq!(
            (problem(&out).kind, problem(&out).detail.as_str()),
            (ProblemKind::Conflict, why),
            "{shown}"
        );
    }
    // Who sees it is told, in an import, too.
    let servers = |external_id: &str| {
        let mut wanted = *wanted("x", Some("Dijon"), None);
        wanted.external_id = Some(external_id.to_owned());
        vec![wanted]
    };
    for (by, tells) in [(zoe(), false), (root(), true)] {
        let mut world = world();
        let servers = servers("l-external");
        let import = ImportServers { servers, keep_going: true, dry_run: true, reason: None };
        let out = world.ask_as(by, Ask::Server(ServerAsk::Import(import)));
        let Answer::Server(ServerAnswer::Imported(results)) = out.answer() else { panic!("{out:?}") };
        let why = results[0].refused.as_deref().expect("refused");
        assert_eq!(why.contains(&server(1).to_string()), tells, "{why}");
        let out = world.ask(external(None, "l-external"));
        assert!(problem(&out).detail.contains(&server(1).to_string()), "{out:?}");
    }
}
