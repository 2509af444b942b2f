//! Pairing a key that waits with a server record, from the keystroke to what became of it.

use std::collections::BTreeSet;

use brine_protocol::control::{KeyName, PairRequest, Server};

use super::*;
use crate::app::pair::Confirm;
use crate::app::pick::{Fit, Picker};
use crate::samples::{beside, fingerprint, limited, linked, server, server_id};

fn picker(app: &App) -> &Picker {
    let Some(Over::Pick(picker)) = &app.over else { panic!("records: {}", message(app)) };
    picker
}

fn confirm(app: &App) -> &Confirm {
    let Some(Over::Pair(confirm)) = &app.over else { panic!("a question: {}", message(app)) };
    confirm
}

/// Tells of these records.
fn records(app: &mut App, servers: impl IntoIterator<Item = Server>) {
    assert_eq!(news(app, News::Records(Ok(servers.into_iter().collect()))), []);
}

/// The names of the records that are shown.
fn names(app: &App) -> Vec<&str> {
    let picker = picker(app);
    let choices = picker.choices.as_deref().unwrap_or_default();
    picker.shown.iter().map(|place| choices[*place].name.as_str()).collect()
}

fn at(app: &App) -> &str {
    picker(app).choice().map_or("", |choice| &choice.name)
}

/// A few records, of which `Database 1` fits db1.
fn some() -> [Server; 4] {
    let mut database = server(1, "Database 1");
    database.record.minion_id = Some(id("db1"));
    [server(2, "Collège Éluard"), database, server(3, "db10"), server(4, "Lycée Carnot")]
}

#[test]
fn a_key_is_paired_with_the_record_that_is_chosen() {
    let mut app = app(fleet());
    assert_eq!(press(&mut app, "p"), [Effect::Records(BTreeSet::new())]);
    assert!(picker(&app).choices.is_none(), "it is loading");
    assert_eq!(press(&mut app, "\n"), [], "there is nothing to choose yet");
    records(&mut app, some());
    assert_eq!(names(&app), ["Database 1", "db10", "Collège Éluard", "Lycée Carnot"]);
    assert_eq!(press(&mut app, "j\n"), []);
    let hint = picker(&app).hint.as_deref().unwrap();
    assert!(hint.contains("db1 is expected by Database 1") && hint.contains("server update"), "{hint}");
    assert_eq!(press(&mut app, "k\n"), []);
    let pairing = &confirm(&app).pairing;
    assert_eq!((pairing.server.id, &pairing.gives_up), (server_id(1), &None));
    let done = press(&mut app, "\tnew rack\ny");
    let key = KeyName { id: id("db1"), fingerprint: fingerprint(3), state: Some(KeyState::Pending) };
    let request = PairRequest { key, replace: false, gives_up: None, reason: Some("new rack".to_owned()) };
    assert_eq!(done, [Effect::Pair { server: server_id(1), request }, Effect::NoRecords]);
    assert!(app.over.is_none());
    assert_eq!(app.under_way().as_deref(), Some("db1 is being paired with Database 1"));
    // Its event may come before the answer, and is ours.
    news(&mut app, decided("db1", 3, "accepted"));
    assert_eq!(message(&app), "");
    assert_eq!(news(&mut app, News::Paired(Outcome::Done)), [Effect::Refetch(Some(id("db1")))]);
    assert_eq!(message(&app), "db1 is accepted and linked to Database 1");
    assert_eq!(app.list.counts[..3], [3, 1, 3], "the list knows before the master tells of it");
    assert_eq!(app.under_way(), None);
}

#[test]
fn no_is_the_default_answer() {
    for answer in [KeyCode::Enter, KeyCode::Esc, KeyCode::Char('n'), KeyCode::Char('q')] {
        let mut app = app(fleet());
        press(&mut app, "p");
        records(&mut app, some());
        press(&mut app, "\n");
        for other in ['p', 'a', ' ', '5', 'j'] {
            assert_eq!(stroke(&mut app, KeyCode::Char(other)), []);
            confirm(&app);
        }
        assert_eq!(control(&mut app, 'y'), [], "only a plain y is a yes");
        assert_eq!(stroke(&mut app, answer), [Effect::NoRecords]);
        assert!(app.over.is_none() && app.pairing.is_none());
        assert_eq!(message(&app), "nothing was done");
    }
    for leaving in ["\u{1b}", "q"] {
        let mut app = app(fleet());
        press(&mut app, "p");
        assert_eq!(press(&mut app, leaving), [Effect::NoRecords], "it no longer wants records");
        assert_eq!(message(&app), "nothing was done");
    }
}

#[test]
fn a_machine_that_was_installed_anew_is_offered_its_record_and_its_old_key_is_given_up() {
    let school = linked(server(7, "School"), "web1", 1);
    let mut keys = fleet();
    keys[0].server = Some(beside(&school, true));
    let mut app = app(keys);
    assert_eq!(press(&mut app, "2p"), [Effect::Records(BTreeSet::from([server_id(7)]))]);
    records(&mut app, some().into_iter().chain([school]));
    assert_eq!((names(&app)[0], picker(&app).choice().unwrap().fit), ("School", Fit::Again));
    // The others would take the id away from it.
    press(&mut app, "j\n");
    assert!(picker(&app).hint.as_deref().unwrap().contains("web1 is linked to School"));
    press(&mut app, "g\n");
    assert_eq!(confirm(&app).pairing.gives_up.as_ref().unwrap().name, name("web1", 1));
    let done = press(&mut app, "y");
    let [Effect::Pair { request, .. }, _] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!((request.replace, request.gives_up), (true, Some(fingerprint(1))), "and no other");
    assert_eq!(request.key.state, Some(KeyState::Denied));
    news(&mut app, decided("web1", 1, "rejected"));
    news(&mut app, decided("web1", 9, "accepted"));
    assert_eq!(message(&app), "", "both events are ours");
    news(&mut app, News::Paired(Outcome::Done));
    assert_eq!(message(&app), "web1 is accepted and linked to School, and the old key is revoked");
    let state = |n| app.keys.get(&name("web1", n)).map(|row| row.key.state);
    assert_eq!((state(1), state(9)), (Some(KeyState::Rejected), Some(KeyState::Accepted)));
}

#[test]
fn an_id_that_is_held_without_a_record_is_given_up_too() {
    let mut app = app(fleet());
    press(&mut app, "2p");
    records(&mut app, some());
    press(&mut app, "/carnot\n\n");
    let done = press(&mut app, "y");
    let is_it = |request: &PairRequest| request.replace && request.gives_up == Some(fingerprint(1));
    assert!(matches!(&done[0], Effect::Pair { request, .. } if is_it(request)), "{done:?}");
}

#[test]
fn a_yes_to_cutting_off_one_key_does_not_cut_off_another() {
    let school = linked(server(7, "School"), "web1", 1);
    let mut keys = fleet();
    keys[0].server = Some(beside(&school, true));
    let why = "the key that gives way is another by now";
    // The record got another minion meanwhile.
    let mut app = app(keys);
    press(&mut app, "2p");
    records(&mut app, some().into_iter().chain([school.clone()]));
    press(&mut app, "g\n");
    records(&mut app, some().into_iter().chain([linked(server(7, "School"), "web1", 77)]));
    assert_eq!(press(&mut app, "y"), []);
    assert!(message(&app).starts_with(why), "{}", message(&app));
    assert!(confirm(&app).changed(&app.keys).iter().any(|line| line.starts_with(why)));
    records(&mut app, some().into_iter().chain([school]));
    assert_eq!(press(&mut app, "y").len(), 2, "it is the one that was shown again");
    // Another key holds the id by now, or one does that none did.
    for was in [KeyState::Accepted, KeyState::Denied] {
        let mut keys = fleet();
        keys[0].state = was;
        let mut app = self::app(keys);
        press(&mut app, if was == KeyState::Accepted { "2p" } else { "2jp" });
        assert_eq!(picker(&app).step.name, name("web1", 9));
        records(&mut app, some());
        press(&mut app, "/carnot\n\n");
        assert_eq!(confirm(&app).pairing.gives_up.is_some(), was == KeyState::Accepted);
        let holder = key("web1", 55, KeyState::Accepted);
        news(&mut app, News::KeysOf(id("web1"), rows([holder, key("web1", 9, KeyState::Denied)])));
        assert_eq!(press(&mut app, "y"), [], "{was:?}");
        assert!(message(&app).starts_with(why), "{}", message(&app));
    }
}

#[test]
fn a_record_of_another_minion_is_no_choice() {
    let other = linked(server(8, "Other"), "mail", 40);
    let mut keys = fleet();
    keys[3].server = Some(beside(&other, false));
    let mut app = app(keys);
    assert_eq!(press(&mut app, "p"), [Effect::Records(BTreeSet::from([server_id(8)]))]);
    let mut for_another = server(9, "db1");
    for_another.record.minion_id = Some(id("db9"));
    records(&mut app, [other, for_another]);
    assert_eq!(names(&app), ["db1"]);
    assert_eq!(picker(&app).taken.as_deref(), Some("Other"));
    assert_eq!(press(&mut app, "\n"), []);
    let hint = picker(&app).hint.clone().unwrap();
    assert!(hint.contains("for a minion db9") && hint.contains("brine server update"), "{hint}");
    press(&mut app, "j");
    assert_eq!(picker(&app).hint, None);
}

#[test]
fn what_cannot_be_paired_says_why() {
    let mut keys = fleet();
    keys[2].server = Some(beside(&linked(server(7, "School"), "web2", 2), true));
    for (strokes, why) in [
        ("3p", "web1 does not wait: brine server pair links"),
        ("3jp", "web2 is linked to School already; brine server unpair"),
        ("4p", "test-7 was rejected: delete the key"),
        ("5p", "old does not wait"),
        ("  p", "one at a time"),
        ("*/nosuch\np", "4 selected keys not shown here"),
        ("/nosuch\np", "there is no key here"),
    ] {
        let mut app = app(keys.clone());
        assert_eq!(press(&mut app, strokes), [], "{strokes}");
        assert!(app.over.is_none() && message(&app).contains(why), "{strokes}: {}", message(&app));
    }
    let size = Size::new(80, 24);
    let mut viewer = App::new(contact(Role::Viewer, fleet()), "salt".to_owned(), size, NOW);
    assert_eq!(press(&mut viewer, "p"), []);
    assert!(message(&viewer).contains("victor is a viewer here"), "{}", message(&viewer));
    assert!(message(&viewer).contains("not pair them with records"));
}

#[test]
fn one_selected_key_and_the_key_of_the_detail_are_the_ones() {
    let mut app = app(pending(3));
    press(&mut app, "j kp");
    assert_eq!(picker(&app).step.name, name("web01", 1), "what is selected, not the cursor's");
    let mut app = self::app(pending(3));
    press(&mut app, " j\nj");
    assert_eq!(press(&mut app, "p"), [Effect::Records(BTreeSet::new())]);
    assert_eq!(picker(&app).step.name.id, app.detail.as_ref().unwrap().name.id);
}

#[test]
fn the_filter_finds_records_by_all_that_is_said_of_them() {
    let mut app = app(fleet());
    press(&mut app, "p");
    let mut attic = server(5, "Attic");
    attic.record.labels.insert("role".to_owned(), "Backup".to_owned());
    attic.record.external_id = Some("Z-4711".to_owned());
    records(&mut app, some().into_iter().chain([attic]));
    for (typed, found) in [
        ("éluard", "Collège Éluard"),
        ("CARNOT dijon", "Lycée Carnot"),
        ("backup", "Attic"),
        ("z-4711", "Attic"),
        ("05050505-0505", "Attic"),
    ] {
        press(&mut app, &format!("/{typed}\n"));
        assert_eq!(names(&app), [found], "{typed}");
        press(&mut app, "\u{1b}");
        assert_eq!(names(&app).len(), 5, "Esc clears it");
    }
    press(&mut app, "/q");
    app.update(Input::Paste("x\n".to_owned()));
    assert!(names(&app).is_empty());
    assert_eq!(picker(&app).filtering.as_ref().unwrap().text(), "qx ", "q is a letter of a filter");
    assert_eq!(press(&mut app, "\n\n"), [], "there is nothing to choose");
    picker(&app);
}

#[test]
fn the_cursor_stays_on_its_record_while_others_come_and_go() {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(&mut app, some());
    press(&mut app, "jj");
    assert_eq!(at(&app), "Collège Éluard");
    let mut more = some().to_vec();
    more.extend([server(10, "db1"), server(11, "db1.example"), server(12, "Abc")]);
    records(&mut app, more);
    assert_eq!((at(&app), picker(&app).at), ("Collège Éluard", 5));
    // It is gone: somebody else has it.
    records(&mut app, some().into_iter().skip(1));
    assert_eq!(at(&app), "Lycée Carnot");
    press(&mut app, "g");
    assert_eq!(at(&app), "Database 1");
}

#[test]
fn thousands_of_records_are_paged_through() {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(
        &mut app,
        (0..5000u32).map(|n| {
            let mut server = server(1, &format!("site-{n:04}"));
            server.id = brine_protocol::server::ServerId::from_random((u128::from(n) << 64).to_be_bytes());
            server
        }),
    );
    stroke(&mut app, KeyCode::PageDown);
    let page = picker(&app).at;
    stroke(&mut app, KeyCode::PageDown);
    assert!(page > 5 && picker(&app).at == 2 * page && picker(&app).top > 0, "{page}");
    stroke(&mut app, KeyCode::PageUp);
    stroke(&mut app, KeyCode::PageUp);
    assert_eq!((picker(&app).at, picker(&app).top), (0, 0));
    press(&mut app, "G");
    assert_eq!(picker(&app).at, 4999);
    control(&mut app, 'b');
    assert_eq!(picker(&app).at, 4999 - page);
    press(&mut app, "/site-4242");
    assert_eq!(names(&app), ["site-4242"]);
}

#[test]
fn the_question_says_what_changed_meanwhile() {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(&mut app, some());
    press(&mut app, "\n");
    assert!(confirm(&app).changed(&app.keys).is_empty());
    records(&mut app, some());
    assert!(confirm(&app).changed(&app.keys).is_empty(), "nothing changed");
    records(&mut app, some().into_iter().skip(2));
    assert!(confirm(&app).changed(&app.keys)[0].contains("the record changed meanwhile"));
    news(&mut app, News::KeysOf(id("db1"), rows([key("db1", 3, KeyState::Rejected)])));
    let changed = confirm(&app).changed(&app.keys);
    assert_eq!(changed[0], "db1 changed meanwhile: it is rejected now, not pending");
    // What was shown is what is asked for, and the master refuses it.
    let done = press(&mut app, "y");
    assert!(matches!(&done[0], Effect::Pair { request, .. } if request.key.state == Some(KeyState::Pending)));
    let why = "the key of db1 changed meanwhile: it is rejected, not pending";
    assert_eq!(news(&mut app, News::Paired(refused(why))), [Effect::Refetch(Some(id("db1")))]);
    assert_eq!(message(&app), format!("db1 was not paired with Database 1: {why}"));
    assert_eq!(app.message.as_ref().unwrap().tone, Tone::Bad);
    assert_eq!(app.under_way(), None);
}

/// Asks for db1 to be paired with Database 1.
fn asked() -> App {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(&mut app, some());
    assert_eq!(press(&mut app, "\ny").len(), 2);
    app
}

#[test]
fn an_answer_that_is_lost_is_found_out_from_the_next_list() {
    for was_done in [true, false] {
        let mut app = asked();
        news(&mut app, News::Lost("killed".to_owned()));
        let lost = news(&mut app, News::Paired(Outcome::Unknown("it is not known".to_owned())));
        assert_eq!(lost, [Effect::Refetch(None)]);
        assert!(message(&app).contains("it is not known"));
        let mut now = fleet();
        if was_done {
            now[3].state = KeyState::Accepted;
            now[3].server = Some(beside(&some()[1], true));
        }
        news(&mut app, News::Back(Box::new(contact(Role::Admin, now))));
        let expected = if was_done {
            "db1 is accepted and linked to Database 1"
        } else {
            "db1 was not paired with Database 1: the answer was lost, and it is pending"
        };
        assert_eq!((message(&app), app.under_way()), (expected, None));
    }
}

#[test]
fn one_thing_at_a_time_and_leaving_it_takes_two_strokes() {
    let mut app = asked();
    for key in ["a", "p", "u"] {
        assert_eq!(press(&mut app, key), []);
        assert!(app.over.is_none() && message(&app).contains("under way"), "{key}");
    }
    assert_eq!(press(&mut app, "q"), []);
    assert!(message(&app).contains("db1 is being paired with Database 1"), "{}", message(&app));
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn nothing_is_paired_while_nobody_listens() {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(&mut app, some());
    press(&mut app, "\n");
    news(&mut app, News::Lost("gone".to_owned()));
    assert_eq!(press(&mut app, "y"), [Effect::NoRecords]);
    assert!(app.pairing.is_none() && message(&app).contains("not connected"), "{}", message(&app));
    assert_eq!(press(&mut app, "p"), []);
    assert!(message(&app).contains("not connected"));
}

#[test]
fn an_undo_after_a_pairing_is_not_of_what_was_done_before() {
    let mut app = app(fleet());
    done(&mut app, "3sy");
    press(&mut app, "1p");
    records(&mut app, some());
    press(&mut app, "\ny");
    news(&mut app, News::Paired(Outcome::Done));
    assert_eq!(press(&mut app, "u"), []);
    assert!(app.over.is_none() && message(&app).contains("brine server unpair"), "{}", message(&app));
    assert_eq!(acts(&press(&mut app, "uy")), [(Act::Resume, "web1".to_owned(), Some(KeyState::Suspended))]);
}

#[test]
fn records_that_cannot_be_fetched_say_why_and_old_ones_stay() {
    let mut app = app(fleet());
    press(&mut app, "p");
    news(&mut app, News::Records(Err("the disk is full".to_owned())));
    assert_eq!(picker(&app).failure.as_deref(), Some("the disk is full"));
    records(&mut app, some());
    assert_eq!(picker(&app).failure, None);
    news(&mut app, News::Records(Err("again".to_owned())));
    assert_eq!(names(&app).len(), 4);
    press(&mut app, "\u{1b}");
    records(&mut app, some());
    assert!(app.over.is_none(), "what comes too late opens nothing");
}

#[test]
fn a_record_that_changes_has_its_keys_fetched_anew() {
    let mut keys = fleet();
    keys[3].server = Some(beside(&server(1, "one"), false));
    keys[5].server = Some(beside(&server(2, "two"), false));
    keys[6].server = Some(beside(&server(2, "two"), false));
    let mut app = app(keys);
    assert_eq!(news(&mut app, News::Record(server_id(1))), [Effect::Refetch(Some(id("db1")))]);
    assert_eq!(news(&mut app, News::Record(server_id(2))), [Effect::Refetch(Some(id("twin")))]);
    assert_eq!(news(&mut app, News::Record(server_id(3))), []);
    let same = (0..20).map(|n| {
        let mut key = key(&format!("web{n:02}"), n, KeyState::Pending);
        key.server = Some(beside(&server(1, "one"), false));
        key
    });
    let mut app = self::app(same);
    assert_eq!(news(&mut app, News::Record(server_id(1))), [Effect::Refetch(None)]);
}

#[test]
fn who_is_limited_to_zones_pairs_and_does_not_accept() {
    for (strokes, whom) in [("a", "db1"), ("*a", "4 keys"), ("\na", "db1"), ("2a", "web1")] {
        let mut app = limited(&["Dijon"], fleet());
        press(&mut app, strokes);
        let said = message(&app);
        assert!(app.over.is_none() && said.starts_with(whom), "{strokes}: {said}");
        assert!(said.contains("limited to zones") && said.contains("p pairs"), "{said}");
    }
    let mut app = limited(&["Dijon"], fleet());
    assert_eq!(press(&mut app, "p"), [Effect::Records(BTreeSet::new())]);
    press(&mut app, "q");
    assert_eq!(acts(&press(&mut app, "ry")).len(), 1, "to reject is not to accept");
}

#[test]
fn keys_are_found_by_their_record_and_zone() {
    let mut keys = fleet();
    keys[3].server = Some(beside(&server(1, "Collège Éluard"), false));
    let mut app = app(keys);
    for (typed, count) in [("record:éluard", 1), ("zone:dijon", 1), ("zone:beaune", 0), ("éluard", 0)] {
        press(&mut app, &format!("/\u{1b}/{typed}\n"));
        assert_eq!(shown(&app).len(), count, "{typed}");
    }
}
