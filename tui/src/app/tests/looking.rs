//! Moving, filtering, sorting, selecting, the detail, the mouse.

use super::*;
use ratatui::crossterm::event::MouseEvent;

#[test]
fn keys_move_the_cursor() {
    let mut app = app(pending(100));
    app.update(Input::Resize(Size::new(80, 24)));
    let height = usize::from(areas(&app).rows.height);
    assert_eq!(height, 18);
    let mut check = |code: KeyCode, at: usize| {
        stroke(&mut app, code);
        assert_eq!(app.list.at, at, "{code:?}");
        assert!((app.list.top..app.list.top + height).contains(&app.list.at), "it is on the screen");
    };
    check(KeyCode::Char('j'), 1);
    check(KeyCode::Down, 2);
    check(KeyCode::Char('k'), 1);
    check(KeyCode::Up, 0);
    check(KeyCode::Up, 0);
    check(KeyCode::Char('G'), 99);
    check(KeyCode::Down, 99);
    check(KeyCode::PageUp, 82);
    check(KeyCode::Home, 0);
    check(KeyCode::PageDown, 17);
    check(KeyCode::End, 99);
    check(KeyCode::Char('g'), 0);
    control(&mut app, 'd');
    assert_eq!(app.list.at, 9);
    control(&mut app, 'f');
    assert_eq!(app.list.at, 26);
    control(&mut app, 'b');
    control(&mut app, 'u');
    assert_eq!(app.list.at, 0);
}

#[test]
fn tabs_turn_and_count() {
    let mut app = app(fleet());
    assert_eq!(app.list.counts, [4, 1, 2, 1, 1, 9]);
    let order = [KeyState::Denied, KeyState::Accepted, KeyState::Rejected, KeyState::Suspended];
    for state in order {
        stroke(&mut app, KeyCode::Tab);
        assert_eq!(app.list.tab, Tab::Of(state));
    }
    stroke(&mut app, KeyCode::Tab);
    assert_eq!((app.list.tab, shown(&app).len()), (Tab::All, 9));
    stroke(&mut app, KeyCode::Tab);
    assert_eq!(app.list.tab, Tab::Of(KeyState::Pending));
    stroke(&mut app, KeyCode::BackTab);
    assert_eq!(app.list.tab, Tab::All);
    stroke(&mut app, KeyCode::Left);
    assert_eq!(app.list.tab, Tab::Of(KeyState::Suspended));
    press(&mut app, "2");
    assert_eq!(shown(&app), ["web1"]);
}

#[test]
fn filters_find_in_everything_that_is_known() {
    let fingerprint = crate::samples::fingerprint(4).to_string();
    for filter in [
        "new-machine",
        "NEW-mach",
        "10.0.0.4",
        &fingerprint,
        &fingerprint[30..53].to_uppercase(),
        &fingerprint.replace(':', "")[..16],
        &crate::text::fingerprint_lines(crate::samples::fingerprint(4), 8)[0],
        "host:machine.example os:DEBIAN",
    ] {
        let mut app = app(fleet());
        press(&mut app, "/");
        press(&mut app, filter);
        assert_eq!(shown(&app), ["new-machine"], "{filter}");
    }
    let mut app = app(fleet());
    press(&mut app, "6/");
    press(&mut app, &fingerprint[3..5]);
    assert!(shown(&app).is_empty(), "two digits are in many fingerprints");
    let mut app = self::app(fleet());
    press(&mut app, "6/os:deb");
    assert_eq!(shown(&app).len(), 9);
    press(&mut app, " web");
    assert_eq!(shown(&app), ["web1", "web1", "web2"], "all words have to match");
    assert_eq!(app.list.matching, [0, 1, 2, 0, 0, 3]);
}

#[test]
fn a_stranger_does_not_get_into_a_selection_by_his_claims() {
    let mut stranger = key("evil", 66, KeyState::Pending);
    stranger.claims.host = "web01.example".to_owned();
    stranger.claims.os = "web01 os:web01".to_owned();
    let mut app = app(pending(3).into_iter().chain([stranger]));
    press(&mut app, "/web01\n*");
    assert_eq!(shown(&app), ["web01"]);
    assert_eq!(app.list.selected.len(), 1);
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut app = app(fleet());
    press(&mut app, "/ay");
    assert!(app.over.is_none(), "letters are letters while it is typed");
    stroke(&mut app, KeyCode::Backspace);
    press(&mut app, "\u{8}");
    control(&mut app, 'u');
    press(&mut app, "twin\n");
    assert_eq!((shown(&app).len(), app.filtering.is_none()), (2, true));
    press(&mut app, "/");
    assert_eq!(app.filtering.as_ref().unwrap().text(), "twin", "it is changed, not typed anew");
    press(&mut app, "\u{1b}");
    assert_eq!((shown(&app).len(), app.list.filter.as_str()), (4, ""));
    press(&mut app, "/twin\n\u{1b}");
    assert_eq!(app.list.filter, "", "Esc clears a kept one too");
}

#[test]
fn esc_leaves_one_thing_at_a_time() {
    let mut app = app(fleet());
    press(&mut app, "*/db\n\n");
    assert!(app.detail.is_some());
    press(&mut app, "\u{1b}");
    assert!(app.detail.is_none() && !app.list.filter.is_empty());
    press(&mut app, "\u{1b}");
    assert!(app.list.filter.is_empty() && !app.list.selected.is_empty());
    press(&mut app, "\u{1b}");
    assert!(app.list.selected.is_empty());
    // Esc and a letter that arrive together.
    press(&mut app, "/db\n");
    let both = KeyEvent::new(KeyCode::Char('2'), KeyModifiers::ALT);
    app.update(Input::Key(both));
    assert_eq!((app.list.filter.as_str(), app.list.tab), ("", Tab::Of(KeyState::Denied)));
}

#[test]
fn sorting_goes_round_and_back() {
    let mut app = app(fleet());
    let mut check = |stroke: &str, sort: Sort, expected: [&str; 4]| {
        press(&mut app, stroke);
        assert_eq!(app.list.sort, sort);
        assert_eq!(shown(&app), expected, "{stroke} {sort:?}");
    };
    check("", Sort::Id, ["db1", "new-machine", "twin", "twin"]);
    check("O", Sort::Id, ["twin", "twin", "new-machine", "db1"]);
    check("o", Sort::FirstSeen, ["db1", "new-machine", "twin", "twin"]);
    check("O", Sort::FirstSeen, ["twin", "twin", "new-machine", "db1"]);
    check("o", Sort::LastSeen, ["db1", "new-machine", "twin", "twin"]);
    check("o", Sort::Address, ["db1", "new-machine", "twin", "twin"]);
    check("o", Sort::Id, ["db1", "new-machine", "twin", "twin"]);
}

#[test]
fn addresses_sort_as_numbers_and_unknown_ones_last() {
    let mut keys = pending(4);
    for (key, address) in keys.iter_mut().zip([Some("10.0.0.100"), None, Some("10.0.0.9"), Some("9.9.9.9")]) {
        key.address = address.map(str::to_owned);
    }
    let mut app = app(keys);
    press(&mut app, "ooo");
    assert_eq!(app.list.sort, Sort::Address);
    assert_eq!(shown(&app), ["web03", "web02", "web00", "web01"]);
}

#[test]
fn star_selects_what_the_filter_shows() {
    let mut app = app(pending(20));
    press(&mut app, "/web1\n*");
    assert_eq!(app.list.selected.len(), 10);
    press(&mut app, "*");
    assert!(app.list.selected.is_empty());
    press(&mut app, " *");
    assert_eq!(app.list.selected.len(), 10, "some selected becomes all selected");
}

#[test]
fn the_cursor_stays_on_its_key_while_the_list_moves() {
    let mut app = app(pending(10));
    press(&mut app, "jjj");
    let mut more = pending(10);
    more.push(key("aaa", 77, KeyState::Pending));
    news(&mut app, News::Keys(rows(more)));
    assert_eq!((cursor(&app).as_str(), app.list.at), ("web03", 4));
    news(&mut app, News::KeysOf(id("web03"), rows([key("web03", 3, KeyState::Accepted)])));
    assert_eq!((cursor(&app).as_str(), app.list.at), ("web04", 4), "the next one takes its line");
    news(&mut app, News::KeysOf(id("web04"), Vec::new()));
    assert_eq!(cursor(&app), "web05");
    news(&mut app, News::KeysOf(id("other"), rows([key("web05", 5, KeyState::Rejected)])));
    assert_eq!(cursor(&app), "web05", "keys of another id than asked for are not taken in");
}

#[test]
fn the_detail_follows_the_cursor_and_fetches_the_history() {
    let mut app = app(fleet());
    assert_eq!(press(&mut app, "\n"), [Effect::History(id("db1"))]);
    assert_eq!(app.detail.as_ref().unwrap().history, detail::History::Awaited);
    news(&mut app, News::History(id("other"), Ok(vec![])));
    assert_eq!(app.detail.as_ref().unwrap().history, detail::History::Awaited, "another id's");
    news(&mut app, News::History(id("db1"), Ok(vec![decision(1, "accept", 50, None)])));
    assert!(matches!(&app.detail.as_ref().unwrap().history, detail::History::Here(all) if all.len() == 1));
    assert_eq!(press(&mut app, "j"), [Effect::History(id("new-machine"))]);
    assert_eq!(app.detail.as_ref().unwrap().name, name("new-machine", 4));
    assert_eq!(press(&mut app, "jj"), [], "the second key of an id shares its history");
    assert_eq!(press(&mut app, "\n"), []);
    assert!(app.detail.is_none());
}

#[test]
fn the_detail_stays_with_its_key_until_the_operator_goes_on() {
    let mut app = app(fleet());
    press(&mut app, "\n");
    news(&mut app, News::History(id("db1"), Ok(vec![decision(1, "accept", 50, None)])));
    // Accepted elsewhere, it leaves this tab; then it is gone altogether.
    news(&mut app, News::KeysOf(id("db1"), rows([key("db1", 3, KeyState::Accepted)])));
    assert_eq!(cursor(&app), "new-machine");
    assert_eq!(app.detail.as_ref().unwrap().name, name("db1", 3));
    assert_eq!(app.detail.as_ref().unwrap().was, KeyState::Pending);
    news(&mut app, News::KeysOf(id("db1"), Vec::new()));
    app.update(Input::Tick(seconds_ago(-10)));
    assert_eq!(app.detail.as_ref().unwrap().name, name("db1", 3));
    press(&mut app, "a");
    assert!(app.over.is_none() && message(&app).contains("no key here"), "{}", message(&app));
    assert_eq!(press(&mut app, "j"), [Effect::History(id("twin"))]);
    assert_eq!(app.detail.as_ref().unwrap().name.id, id("twin"));
}

#[test]
fn what_is_scrolled_to_its_end_comes_back_at_once() {
    let mut app = app(fleet());
    app.update(Input::Resize(Size::new(60, 15)));
    press(&mut app, "?G");
    let Some(Over::Help(end)) = app.over else { panic!("the help") };
    assert!((1..200).contains(&end));
    press(&mut app, "k");
    assert!(matches!(app.over, Some(Over::Help(top)) if top == end - 1));
    press(&mut app, "q\n");
    for _ in 0..50 {
        stroke(&mut app, KeyCode::PageDown);
    }
    let end = app.detail.as_ref().unwrap().top;
    assert!(end > 0);
    stroke(&mut app, KeyCode::PageUp);
    assert!(app.detail.as_ref().unwrap().top < end);
}

#[test]
fn connected_keys_were_seen_last() {
    let mut keys = pending(3);
    keys[2].connected = true;
    let mut app = app(keys);
    press(&mut app, "oo");
    assert_eq!(shown(&app), ["web02", "web00", "web01"]);
}

#[test]
fn a_decision_about_the_shown_id_fetches_its_history_anew() {
    let mut app = app(fleet());
    press(&mut app, "\n");
    let decided = |of: &str| {
        News::Decided(Decided {
            id: id(of),
            fingerprint: None,
            what: "rejected".to_owned(),
            by: Some("root".to_owned()),
        })
    };
    assert_eq!(news(&mut app, decided("web2")), []);
    assert_eq!(news(&mut app, decided("db1")), [Effect::History(id("db1"))]);
}

#[test]
fn a_denied_key_is_held_beside_the_key_that_holds_its_id() {
    let mut app = app(fleet());
    press(&mut app, "2\n");
    let rivals = |app: &App| app.detail.as_ref().unwrap().rivals(&app.keys);
    assert_eq!(rivals(&app).len(), 1);
    assert_eq!(rivals(&app)[0].what, "holds the id");
    assert_eq!(rivals(&app)[0].state, Some(KeyState::Accepted));
    let decisions = [(1, "accept", 11), (2, "delete", 11), (3, "accept", 1), (4, "reject", 12)];
    let history = decisions.map(|(seq, act, n)| decision(seq, act, n, None)).to_vec();
    news(&mut app, News::History(id("web1"), Ok(history)));
    assert_eq!(rivals(&app).len(), 2);
    assert_eq!(rivals(&app)[1].fingerprint, crate::samples::fingerprint(11));
    assert_eq!((rivals(&app)[1].what, rivals(&app)[1].state), ("held the id before", None));
}

#[test]
fn twins_are_held_beside_each_other() {
    let mut app = app(fleet());
    press(&mut app, "G\n");
    let rivals = app.detail.as_ref().unwrap().rivals(&app.keys);
    assert_eq!((rivals.len(), rivals[0].what), (1, "wants the id too"));
}

#[test]
fn marks_are_words() {
    let app = app(fleet());
    let mark = |of: &str| app.keys.of(&id(of)).iter().map(Row::mark).collect::<Vec<_>>();
    assert_eq!(mark("db1"), ["!key"]);
    assert_eq!(mark("twin"), ["2 keys", "2 keys"]);
    assert_eq!(mark("test-7"), ["rule"]);
    assert_eq!(mark("web1"), ["", "!key"]);
}

fn mouse(app: &mut App, kind: MouseEventKind, column: u16, row: u16) -> Vec<Effect> {
    app.update(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

#[test]
fn the_mouse_clicks_rows_tabs_and_headings() {
    let click = MouseEventKind::Down(MouseButton::Left);
    let mut app = app(fleet());
    app.update(Input::Resize(Size::new(120, 30)));
    let areas = areas(&app);
    assert_eq!(mouse(&mut app, click, 10, areas.rows.y + 1), []);
    assert_eq!(cursor(&app), "new-machine");
    mouse(&mut app, click, 1, areas.rows.y + 2);
    assert_eq!(app.list.selected.len(), 1, "the margin selects");
    assert_eq!(mouse(&mut app, click, 10, areas.rows.y + 2), [Effect::History(id("twin"))]);
    assert!(app.detail.is_some(), "a click on the cursor's row opens it");
    mouse(&mut app, click, 10, areas.rows.y + 15);
    assert_eq!(cursor(&app), "twin", "below the rows is nothing");
    let tab = crate::view::layout::tabs(&app)[2].clone();
    mouse(&mut app, click, tab.x + 2, areas.tabs.y);
    assert_eq!(app.list.tab, Tab::Of(KeyState::Accepted));
    mouse(&mut app, click, 5, areas.heading.y);
    assert!(app.list.is_reversed, "the heading it is sorted by turns the order round");
    press(&mut app, "a?");
    mouse(&mut app, click, 10, areas.rows.y);
    assert!(app.over.is_some(), "what is below a window is out of reach");
}

#[test]
fn the_wheel_moves_what_it_is_over() {
    let mut app = app(pending(50));
    app.update(Input::Resize(Size::new(140, 20)));
    mouse(&mut app, MouseEventKind::ScrollDown, 5, 10);
    assert_eq!(app.list.at, 3);
    press(&mut app, "\n");
    mouse(&mut app, MouseEventKind::ScrollDown, 130, 10);
    assert_eq!((app.list.at, app.detail.as_ref().unwrap().top), (3, 3));
    mouse(&mut app, MouseEventKind::ScrollUp, 5, 10);
    assert_eq!(app.list.at, 0);
    press(&mut app, "?");
    mouse(&mut app, MouseEventKind::ScrollDown, 5, 10);
    assert!(matches!(app.over, Some(Over::Help(3))));
}

#[test]
fn leaving() {
    let mut app = app(fleet());
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
    assert_eq!(press(&mut app, "\nq"), [Effect::Quit]);
    assert_eq!(press(&mut app, "?q"), [], "q closes the help");
    assert!(app.over.is_none());
    assert_eq!(press(&mut app, "/q"), [], "q is a letter of a filter");
    assert_eq!(control(&mut app, 'c'), [Effect::Quit]);
    assert_eq!(control(&mut app, 'z'), [Effect::Background]);
    assert_eq!(control(&mut app, 'l'), [Effect::Redraw, Effect::Refetch(None)]);
}

#[test]
fn messages_go_away_by_themselves_unless_they_matter() {
    let mut app = app(fleet());
    press(&mut app, "o");
    assert!(!message(&app).is_empty());
    app.update(Input::Tick(seconds_ago(-11)));
    assert!(!message(&app).is_empty());
    app.update(Input::Tick(seconds_ago(-12)));
    assert!(message(&app).is_empty());
    press(&mut app, "s");
    app.update(Input::Tick(seconds_ago(-3600)));
    assert!(!message(&app).is_empty(), "what went wrong stays until somebody does something");
    press(&mut app, "j");
    assert!(message(&app).is_empty());
}

#[test]
fn no_sequence_of_keys_breaks_it() {
    // A small generator: the same strokes each run.
    let mut state = 7u32;
    let mut app = app(fleet());
    let mut paired = 0;
    let letters: Vec<char> = "ardsuynppyy *?/oOjkgGhl123456\n\n\n\t\u{1b}\u{1b}xq".chars().collect();
    for step in 0..20_000u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let letter = letters[(state >> 16) as usize % letters.len()];
        let effects = press(&mut app, &letter.to_string());
        let outcome = match step % 4 {
            0 => Outcome::Refused("no".to_owned()),
            1 => Outcome::Unknown("who knows".to_owned()),
            _ => Outcome::Done,
        };
        match effects.first() {
            Some(Effect::Act { steps, .. }) => {
                news(&mut app, News::Acted(vec![outcome; steps.len()]));
                news(&mut app, News::ActsOver);
            }
            Some(Effect::Pair { .. }) => {
                paired += 1;
                news(&mut app, News::Paired(outcome));
            }
            Some(Effect::Records(_)) => {
                let records = (0..step % 3).map(|n| crate::samples::server(n as u8, "web1")).collect();
                news(&mut app, News::Records(Ok(records)));
                continue;
            }
            _ => continue,
        }
        news(&mut app, News::Keys(rows(fleet())));
    }
    assert_eq!(app.keys.rows().len(), 9);
    assert!(paired > 0, "the strokes reach far");
}
