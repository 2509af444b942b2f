//! The master goes away and comes back.

use super::*;

#[test]
fn filter_tab_cursor_and_selection_outlive_a_lost_connection() {
    let mut app = app(fleet());
    press(&mut app, "6/web\nj *");
    let before = (shown(&app), cursor(&app), app.list.selected.clone());
    news(&mut app, News::Lost("brine-master is not running".to_owned()));
    assert!(matches!(&app.connection, Connection::Lost { why, .. } if why.contains("not running")));
    assert_eq!(before, (shown(&app), cursor(&app), app.list.selected.clone()));
    let mut again = fleet();
    again.push(key("web0", 42, KeyState::Pending));
    news(&mut app, News::Back(Box::new(contact(Role::Admin, again))));
    assert_eq!(app.connection, Connection::Live);
    assert_eq!((app.list.filter.as_str(), app.list.tab), ("web", Tab::All));
    assert_eq!((cursor(&app), app.list.selected.clone()), (before.1, before.2));
    assert_eq!(shown(&app), ["web0", "web1", "web1", "web2"], "and what is new is there");
}

#[test]
fn a_list_that_is_empty_for_a_while_loses_no_cursor() {
    let mut app = app(fleet());
    press(&mut app, "jj");
    let at = app.list.row(&app.keys).map(Row::name);
    news(&mut app, News::Keys(Vec::new()));
    assert_eq!(cursor(&app), "");
    news(&mut app, News::Back(Box::new(contact(Role::Admin, fleet()))));
    assert_eq!(app.list.row(&app.keys).map(Row::name), at);
}

#[test]
fn another_master_is_said_and_nothing_is_undone_there() {
    let mut app = app(fleet());
    press(&mut app, "3sy");
    news(&mut app, News::Acted(vec![Outcome::Done]));
    news(&mut app, News::ActsOver);
    let mut other = contact(Role::Admin, fleet());
    other.health.fingerprint = crate::samples::fingerprint(201);
    let start = crate::text::fingerprint_start(other.health.fingerprint, 2);
    news(&mut app, News::Back(Box::new(other)));
    assert!(message(&app).contains("another key now") && message(&app).contains(&start));
    press(&mut app, "u");
    assert!(message(&app).contains("another one now"), "{}", message(&app));
}

#[test]
fn it_is_lost_since_the_first_failure() {
    let mut app = app(fleet());
    news(&mut app, News::Lost("one".to_owned()));
    app.update(Input::Tick(seconds_ago(-60)));
    news(&mut app, News::Lost("two".to_owned()));
    assert_eq!(app.connection, Connection::Lost { why: "two".to_owned(), since: NOW });
}

#[test]
fn nothing_is_decided_while_nobody_listens() {
    let mut app = app(fleet());
    press(&mut app, "a");
    news(&mut app, News::Lost("gone".to_owned()));
    assert_eq!(press(&mut app, "y"), [], "the question was put before");
    assert!(message(&app).contains("nothing was done"));
    for key in ["a", "r", "d", "u"] {
        assert_eq!(press(&mut app, key), []);
        assert!(app.over.is_none() && message(&app).contains("not connected"));
    }
    news(&mut app, News::Back(Box::new(contact(Role::Admin, fleet()))));
    assert_eq!(acts(&press(&mut app, "ay")).len(), 1);
}

#[test]
fn roles_are_read_anew_and_an_open_detail_too() {
    let mut app = app(fleet());
    press(&mut app, "\n");
    news(&mut app, News::Lost("gone".to_owned()));
    let effects = news(&mut app, News::Back(Box::new(contact(Role::Viewer, fleet()))));
    assert_eq!(effects, [Effect::History(id("db1"))]);
    assert!(!app.may_act());
}

#[test]
fn a_selected_key_that_is_gone_is_not_selected() {
    let mut app = app(fleet());
    press(&mut app, "*");
    assert_eq!(app.list.selected.len(), 4);
    news(&mut app, News::KeysOf(id("twin"), Vec::new()));
    assert_eq!(app.list.selected.len(), 2);
    assert!(
        !app.list.selected.contains(&Name { id: id("twin"), fingerprint: crate::samples::fingerprint(5) })
    );
}
