//! Deciding: questions, what they ask for, and what becomes of it.

use super::*;

/// Goes to a tab, presses a key, and says yes: what is done.
fn check(tab: &str, wish: char, expected: (Act, &str, KeyState)) {
    let mut app = app(fleet());
    press(&mut app, tab);
    assert_eq!(stroke(&mut app, KeyCode::Char(wish)), []);
    let id = expected.1;
    assert!(ask(&app).title().contains(id) && ask(&app).title().contains("1 key"), "{}", ask(&app).title());
    let done = press(&mut app, "y");
    assert_eq!(acts(&done), [(expected.0, id.to_owned(), Some(expected.2))], "{tab}{wish}");
    assert!(app.over.is_none());
}

#[test]
fn each_key_asks_for_its_act_on_the_key_under_the_cursor() {
    use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
    check("1", 'a', (Act::Accept, "db1", Pending));
    check("1", 'r', (Act::Reject, "db1", Pending));
    check("1", 'd', (Act::Delete, "db1", Pending));
    check("2", 'r', (Act::Reject, "web1", Denied));
    check("2", 'd', (Act::Delete, "web1", Denied));
    check("3", 'r', (Act::Reject, "web1", Accepted));
    check("3", 'd', (Act::Delete, "web1", Accepted));
    check("3", 's', (Act::Suspend, "web1", Accepted));
    check("4", 'a', (Act::Accept, "test-7", Rejected));
    check("4", 'd', (Act::Delete, "test-7", Rejected));
    check("5", 's', (Act::Resume, "old", Suspended));
    check("5", 'r', (Act::Reject, "old", Suspended));
    check("5", 'd', (Act::Delete, "old", Suspended));
}

#[test]
fn what_cannot_be_done_says_why_and_asks_nothing() {
    for (keys, why) in [
        ("1s", "only an accepted key can be suspended"),
        ("2a", "the id is held by another, accepted key"),
        ("3a", "accepted already"),
        ("5a", "cannot accept old: suspended; s lets it in again"),
        ("u", "nothing was done from here yet"),
        ("/nosuch\na", "no key here"),
    ] {
        let mut app = app(fleet());
        assert_eq!(press(&mut app, keys), []);
        assert!(app.over.is_none(), "{keys}");
        assert!(message(&app).contains(why), "{keys}: {}", message(&app));
    }
}

#[test]
fn no_is_the_default_answer() {
    for answer in [KeyCode::Enter, KeyCode::Esc, KeyCode::Char('n'), KeyCode::Char('q')] {
        let mut app = app(fleet());
        press(&mut app, "d");
        assert_eq!(stroke(&mut app, answer), []);
        assert!(app.over.is_none() && app.batch.is_none());
        assert_eq!(message(&app), "nothing was done");
    }
    let mut app = app(fleet());
    press(&mut app, "d");
    for other in ['d', 'a', ' ', 'u', '5', '*', 'j'] {
        assert_eq!(stroke(&mut app, KeyCode::Char(other)), []);
        ask(&app);
    }
    assert_eq!(control(&mut app, 'y'), [], "only a plain y is a yes");
    ask(&app);
}

#[test]
fn cutting_off_more_than_ten_wants_their_number_too() {
    let accepted = |count| (0..count).map(|n| key(&format!("web{n:02}"), n, KeyState::Accepted));
    for wish in ["r", "d", "s"] {
        let mut app = app(accepted(11));
        press(&mut app, &format!("3*{wish}"));
        assert_eq!(press(&mut app, "y"), [], "{wish}");
        assert_eq!(acts(&press(&mut app, "11\n")).len(), 11, "{wish}");
        let mut ten = self::app(accepted(10));
        assert_eq!(acts(&press(&mut ten, &format!("3*{wish}y"))).len(), 10, "{wish}");
    }
    // An undo is no less of an act.
    let mut app = app(pending(11));
    press(&mut app, "*a11\n");
    news(&mut app, News::Acted(vec![Outcome::Done; 11]));
    news(&mut app, News::ActsOver);
    press(&mut app, "\nu");
    assert!(ask(&app).is_undo);
    assert_eq!(press(&mut app, "y"), []);
    assert_eq!(acts(&press(&mut app, "11\n")).len(), 11);
}

#[test]
fn more_than_ten_accepts_want_their_number() {
    let mut app = app(pending(11));
    press(&mut app, "*a");
    assert_eq!(ask(&app).title(), "Accept 11 keys?");
    assert_eq!(press(&mut app, "y"), []);
    assert!(ask(&app).hint.as_deref().unwrap().contains("11"));
    assert_eq!(press(&mut app, "1\n"), [], "another number is no yes");
    assert!(ask(&app).hint.as_deref().unwrap().contains("1 is not 11"));
    assert_eq!(acts(&press(&mut app, "11\n")).len(), 11);

    let mut app = self::app(pending(11));
    press(&mut app, "*a");
    assert_eq!(press(&mut app, "\n"), [], "Enter alone is a no");
    assert!(app.over.is_none());
    assert_eq!(acts(&press(&mut app, "ry")).len(), 11, "to reject who waits is easy");

    let mut ten = self::app(pending(10));
    assert_eq!(acts(&press(&mut ten, "*ay")).len(), 10);
}

#[test]
fn acts_are_for_what_is_selected_and_shown() {
    let mut app = app(pending(5));
    press(&mut app, " j ");
    assert_eq!(app.list.selected.len(), 2);
    assert_eq!(acts(&press(&mut app, "ay")).len(), 2);

    let mut app = self::app(pending(5));
    press(&mut app, "*/03\n");
    press(&mut app, "a");
    assert_eq!((ask(&app).plan.steps.len(), ask(&app).hidden), (1, 4));
    press(&mut app, "n\u{1b}/nosuch\na");
    assert!(message(&app).contains("5 selected keys not shown"), "{}", message(&app));
}

#[test]
fn of_several_keys_that_claim_one_id_a_person_chooses() {
    let mut app = app(fleet());
    press(&mut app, "*");
    assert_eq!(press(&mut app, "a"), []);
    assert!(message(&app).contains("2 of these keys claim twin"), "{}", message(&app));
    // One of them, with a warning.
    press(&mut app, "*G a");
    let warnings = ask(&app).warnings(&app.keys);
    assert!(warnings[0].contains("2 keys claim twin"), "{warnings:?}");
    assert_eq!(acts(&press(&mut app, "y")), [(Act::Accept, "twin".to_owned(), Some(KeyState::Pending))]);
}

#[test]
fn an_id_that_had_another_key_is_warned_of() {
    let mut app = app(fleet());
    press(&mut app, "a");
    assert!(ask(&app).warnings(&app.keys)[0].contains("db1 had another key before"));
    press(&mut app, "nr");
    assert!(ask(&app).warnings(&app.keys).is_empty(), "to reject it is no risk");
}

#[test]
fn a_denied_key_is_accepted_once_nothing_holds_its_id() {
    let mut fleet = fleet();
    fleet.retain(|key| key.state != KeyState::Accepted);
    let mut app = app(fleet);
    assert_eq!(acts(&press(&mut app, "2ay")), [(Act::Accept, "web1".to_owned(), Some(KeyState::Denied))]);
}

#[test]
fn mixed_selections_do_what_fits_and_tell_the_rest() {
    let mut app = app(fleet());
    press(&mut app, "6*s");
    let plan = &ask(&app).plan;
    assert_eq!(plan.steps.len(), 2, "the accepted ones");
    assert!(plan.steps.iter().all(|step| step.act == Act::Suspend));
    assert!(plan.left_alone.len() >= 3, "{:?}", plan.left_alone);
    press(&mut app, "nr");
    let plan = &ask(&app).plan;
    assert!(
        plan.consequences.iter().any(|text| text.starts_with("2 keys (accepted now): their sessions end"))
    );
    assert!(
        plan.consequences.iter().any(|text| text.starts_with("4 keys (pending now): their minions are told"))
    );
}

#[test]
fn a_reason_goes_along() {
    let mut app = app(fleet());
    press(&mut app, "a\tnew rack, yes");
    assert!(ask(&app).slip.is_typing, "y in a reason is a letter");
    let done = press(&mut app, "\ny");
    let [Effect::Act { reason, .. }] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(reason.as_deref(), Some("new rack, yes"));
    let done = press(&mut self::app(fleet()), "ay");
    assert!(matches!(&done[..], [Effect::Act { reason: None, .. }]));
}

#[test]
fn what_became_of_one_key_is_in_the_status_line() {
    let mut app = app(fleet());
    press(&mut app, "ay");
    assert_eq!(news(&mut app, News::Acted(vec![Outcome::Done])), []);
    news(&mut app, News::ActsOver);
    assert_eq!(message(&app), "db1 is accepted; u undoes that");
    assert!(app.over.is_none() && app.batch.is_none());
}

#[test]
fn a_conflict_is_shown_and_the_key_fetched_anew() {
    let mut app = app(fleet());
    press(&mut app, "a");
    // Somebody else is faster: the open question says so, and what was shown is what is asked for.
    let mut rejected = key("db1", 3, KeyState::Rejected);
    rejected.known_before = true;
    news(&mut app, News::KeysOf(id("db1"), rows([rejected])));
    let changed = ask(&app).changed(&app.keys);
    assert_eq!(changed, ["db1 changed meanwhile: it is rejected now, not pending"]);
    let done = press(&mut app, "y");
    assert_eq!(acts(&done), [(Act::Accept, "db1".to_owned(), Some(KeyState::Pending))]);
    let why = "the key of db1 changed meanwhile: it is rejected, not pending";
    let effects = news(&mut app, News::Acted(vec![refused(why)]));
    assert_eq!(effects, [Effect::Refetch(Some(id("db1")))]);
    news(&mut app, News::ActsOver);
    assert!(message(&app).contains(why), "{}", message(&app));
    assert_eq!(app.message.as_ref().unwrap().tone, Tone::Bad);
    press(&mut app, "u");
    assert!(message(&app).contains("nothing was done from here"), "what was refused cannot be undone");
}

#[test]
fn many_keys_show_progress_and_a_result_each() {
    let mut app = app(pending(5));
    press(&mut app, "*ry");
    assert!(matches!(app.over, Some(Over::Batch)));
    news(&mut app, News::Acted(vec![Outcome::Done, refused("no")]));
    assert_eq!(app.batch.as_ref().unwrap().sentence(), "1 of 5 rejected, 1 refused");
    press(&mut app, "\n");
    assert!(app.over.is_none(), "its window can be closed");
    press(&mut app, "a");
    assert!(message(&app).contains("under way"), "one thing at a time");
    assert_eq!(control(&mut app, 'c'), [], "leaving it half done takes a second stroke");
    press(&mut app, "j");
    assert_eq!(press(&mut app, "q"), [], "leaving it half done takes a second q");
    assert!(app.is_leaving && message(&app).contains("leaves the rest undone"));
    assert_eq!(control(&mut app, 'c'), [Effect::Quit]);
    news(&mut app, News::Acted(vec![Outcome::Done; 3]));
    news(&mut app, News::ActsOver);
    assert!(matches!(app.over, Some(Over::Batch)), "the end is told");
    let batch = app.batch.as_ref().unwrap();
    assert_eq!(batch.sentence(), "4 keys rejected, 1 refused");
    let lines = batch.lines();
    assert_eq!(lines.len(), 5);
    assert_eq!(*lines[0].1, refused("no"), "what was refused comes first");
    assert!(app.list.selected.is_empty());
    press(&mut app, "\n");
    assert!(app.over.is_none() && app.batch.is_none());
    // All went well and nobody watches: a line is enough.
    press(&mut app, "4*dy\n");
    news(&mut app, News::Acted(vec![Outcome::Done; 4]));
    news(&mut app, News::ActsOver);
    assert!(app.over.is_none() && app.batch.is_none());
    assert_eq!(message(&app), "4 keys deleted");
}

#[test]
fn what_was_done_is_in_the_list_before_the_master_tells_of_it() {
    let mut app = app(pending(5));
    done(&mut app, "ay");
    assert_eq!(app.list.counts[..3], [4, 0, 1]);
    // A list that was on its way while it was done.
    news(&mut app, News::Keys(rows(pending(5))));
    assert_eq!(app.list.counts[..3], [4, 0, 1]);
    press(&mut app, "u");
    assert_eq!(ask(&app).plan.steps.len(), 1, "{}", message(&app));
    press(&mut app, "n");
    // What somebody decides then counts, and so does a list that comes much later.
    news(&mut app, decided("web00", 0, "deleted"));
    news(&mut app, News::Keys(rows(pending(5))));
    assert_eq!(app.list.counts[..3], [5, 0, 0]);
    done(&mut app, "ay");
    app.update(Input::Tick(seconds_ago(-6)));
    news(&mut app, News::Keys(rows(pending(5))));
    assert_eq!(app.list.counts[..3], [5, 0, 0]);
    done(&mut app, "dy");
    assert_eq!(app.list.counts[5], 4);
}

#[test]
fn a_twin_that_knocks_while_the_question_waits_is_warned_of() {
    let mut app = app(pending(2));
    press(&mut app, "a");
    assert!(ask(&app).warnings(&app.keys).is_empty());
    let twins = rows([key("web00", 0, KeyState::Pending), key("web00", 99, KeyState::Pending)]);
    news(&mut app, News::KeysOf(id("web00"), twins));
    assert!(ask(&app).warnings(&app.keys)[0].contains("2 keys claim web00"));
}

#[test]
fn the_key_of_an_open_detail_is_the_one_decided_about() {
    let mut app = app(pending(5));
    press(&mut app, " jj \n");
    let shown = app.detail.as_ref().unwrap().name.id.to_string();
    assert!(!app.list.selected.iter().any(|name| name.id.as_str() == shown));
    press(&mut app, "r");
    assert!(ask(&app).plan.left_alone[0].contains("2 selected keys left alone"));
    assert_eq!(acts(&press(&mut app, "y")), [(Act::Reject, shown, Some(KeyState::Pending))]);
}

#[test]
fn a_list_that_has_just_moved_is_not_decided_about() {
    for wish in ["a", "r", "d"] {
        let mut app = app(pending(5));
        press(&mut app, "j");
        news(&mut app, News::KeysOf(id("web01"), Vec::new()));
        app.update(Input::Tick(Timestamp(NOW.0 + 900_000)));
        press(&mut app, wish);
        assert!(app.over.is_none() && message(&app).contains("cursor is on web02"), "{}", message(&app));
        app.update(Input::Tick(Timestamp(NOW.0 + 1_000_000)));
        press(&mut app, wish);
        assert!(ask(&app).title().contains("web02"));
    }
    // Whoever moved the cursor since saw where it is.
    let mut app = app(pending(5));
    press(&mut app, "j");
    news(&mut app, News::KeysOf(id("web01"), Vec::new()));
    press(&mut app, "ja");
    assert!(ask(&app).title().contains("web03"));
    // Nor is it a surprise where one's own act moves it.
    done(&mut app, "y");
    press(&mut app, "a");
    assert!(ask(&app).title().contains("web04"));
}

#[test]
fn strangers_do_not_own_the_status_line() {
    let by_rule = || {
        News::Decided(Decided {
            id: id("evil"),
            fingerprint: Some(crate::samples::fingerprint(66)),
            what: "rejected".to_owned(),
            by: Some("rule:autoreject_file".to_owned()),
        })
    };
    let mut app = app(fleet());
    news(&mut app, by_rule());
    news(&mut app, decided("evil", 66, "pending"));
    assert_eq!(message(&app), "");
    news(&mut app, decided("web1", 1, "rotated"));
    assert!(message(&app).contains("web1 was rotated by root"));
    press(&mut app, "u");
    let wrong = message(&app).to_owned();
    news(&mut app, decided("web1", 1, "suspended"));
    news(&mut app, News::Back(Box::new(contact(Role::Admin, fleet()))));
    assert_eq!(message(&app), wrong, "what went wrong stays until somebody does something");
}

#[test]
fn a_viewer_sees_and_is_told_that_the_role_cannot_act() {
    let size = Size::new(80, 24);
    let mut app = App::new(contact(Role::Viewer, fleet()), "salt".to_owned(), size, NOW);
    for key in ["a", "r", "d", "s", "u"] {
        assert_eq!(press(&mut app, key), []);
        assert!(app.over.is_none());
        assert!(message(&app).contains("victor is a viewer"), "{}", message(&app));
    }
    assert_eq!(press(&mut app, "\n"), [Effect::History(id("db1"))]);
    app.whoami.role = Role::Operator;
    press(&mut app, "a");
    assert!(message(&app).contains("is an operator here"), "{}", message(&app));
    let mut operator = App::new(contact(Role::Operator, fleet()), "salt".to_owned(), size, NOW);
    assert_eq!(acts(&press(&mut operator, "ay")).len(), 1);
}

#[test]
fn what_others_decide_is_told_and_what_we_decide_is_not_told_twice() {
    let decided = |what: &str, n| {
        News::Decided(Decided {
            id: id("db1"),
            fingerprint: Some(crate::samples::fingerprint(n)),
            what: what.to_owned(),
            by: Some("unix:1000 (alice)".to_owned()),
        })
    };
    let mut app = app(fleet());
    news(&mut app, decided("rejected", 3));
    assert_eq!(message(&app), "db1 was rejected by alice");
    press(&mut app, "ay");
    news(&mut app, decided("accepted", 3));
    assert_eq!(message(&app), "", "our own");
    news(&mut app, decided("accepted", 3));
    assert_eq!(message(&app), "db1 was accepted by alice", "the second is somebody else's");
}

#[test]
fn pasted_text_never_decides() {
    let mut app = app(fleet());
    for _ in 0..2 {
        assert_eq!(app.update(Input::Paste("ayday\ny".to_owned())), []);
        assert!(app.batch.is_none());
        press(&mut app, "d");
    }
    press(&mut app, "\t");
    app.update(Input::Paste("ticket\n12".to_owned()));
    assert_eq!(ask(&app).slip.reason.text(), "ticket 12");
}
