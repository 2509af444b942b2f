//! What pairing looks like: the records to choose from, the question, what became of it, and what
//! the list says of records.

use brine_protocol::control::Server;

use super::*;
use crate::samples::{beside, limited, linked, server, server_id};

fn records(app: &mut App, servers: impl IntoIterator<Item = Server>) {
    app.update(Input::News(News::Records(Ok(servers.into_iter().collect()))));
}

/// Records as a school district has them, one of which names db1.
fn some() -> Vec<Server> {
    let mut database = server(1, "Base de données du rectorat");
    database.record.minion_id = Some(id("db1"));
    database.record.site = Some("Salle serveurs, 2e étage".to_owned());
    let mut reserved = server(2, "db1-old");
    reserved.record.minion_id = Some(id("db1-old"));
    let mut mail = server(3, "db1.mail");
    (mail.record.zone, mail.record.model) = (None, "seshat-4".to_owned());
    vec![server(4, "Collège Éluard"), reserved, database, mail, server(5, "Lycée Carnot")]
}

#[test]
fn choosing_a_record() {
    let mut app = app(fleet());
    told(&mut app, &[("p", "pick_loading", &[USUAL])]);
    records(&mut app, some());
    told(&mut app, &[("j", "pick", &SIZES), ("/e l", "pick_filtering", &[LOW, USUAL])]);
    told(&mut app, &[("xx", "pick_no_match", &[USUAL]), ("\u{15}\n", "pick", &[])]);
}

#[test]
fn there_may_be_nothing_to_choose() {
    let mut app = app(fleet());
    press(&mut app, "p");
    app.update(Input::News(News::Records(Err("the master is at a limit; try later".to_owned()))));
    seen(&mut app, "pick_failed", &[USUAL]);
    records(&mut app, []);
    seen(&mut app, "pick_empty", &[LOW, USUAL]);
    let mut limited = limited(&["Dijon", "Beaune"], fleet());
    press(&mut limited, "p");
    records(&mut limited, []);
    seen(&mut limited, "pick_empty_limited", &[USUAL]);
}

#[test]
fn the_question_names_record_id_and_the_whole_fingerprint() {
    let mut app = app(fleet());
    press(&mut app, "p");
    records(&mut app, some());
    told(&mut app, &[("\n", "pair", &SIZES), ("\tticket 4711", "pair_reason", &[LOW])]);
    for (columns, rows) in SIZES {
        let shown = screen(&mut app, columns, rows);
        let whole = crate::samples::fingerprint(3).to_string();
        let digits: String = shown.chars().filter(char::is_ascii_hexdigit).collect();
        assert!(digits.contains(&whole.replace(':', "")), "{shown}");
        assert!(shown.contains("Base de données du rectorat") && shown.contains("db1"), "{shown}");
    }
}

/// The machine of web1 with another key, and its record.
fn reinstalled() -> App {
    let school = linked(server(7, "Collège Éluard"), "web1", 1);
    let mut keys = fleet();
    keys[0].server = Some(beside(&school, true));
    let mut app = app(keys);
    press(&mut app, "2p");
    records(&mut app, some().into_iter().chain([school]));
    app
}

#[test]
fn re_pairing_says_that_the_old_key_is_revoked_and_shows_both() {
    let mut app = reinstalled();
    told(&mut app, &[("", "pick_again", &[USUAL]), ("\n", "pair_again", &SIZES)]);
    let shown = screen(&mut app, 80, 24);
    for n in [1, 9] {
        for line in crate::text::fingerprint_lines(crate::samples::fingerprint(n), 4) {
            assert!(shown.contains(&line), "{shown}");
        }
    }
    let mut app = reinstalled();
    press(&mut app, "j\n");
    seen(&mut app, "pick_hint", &[LOW]);
}

#[test]
fn what_became_of_it_is_said() {
    let asked = || {
        let mut app = app(fleet());
        press(&mut app, "p");
        records(&mut app, some());
        press(&mut app, "\ny");
        app
    };
    let mut app = asked();
    seen(&mut app, "pairing", &[USUAL]);
    app.update(Input::News(News::Paired(Outcome::Done)));
    seen(&mut app, "paired", &[USUAL]);
    for (name, outcome) in [
        ("pair_refused", Outcome::Refused("the record of db1 was linked to db9 meanwhile".to_owned())),
        (
            "pair_no_master",
            Outcome::Refused(
                "brine-master is not running: nobody listens on /run/brine/control.sock".to_owned(),
            ),
        ),
    ] {
        let mut app = asked();
        app.update(Input::News(News::Paired(outcome)));
        seen(&mut app, name, &[LOW]);
    }
}

#[test]
fn a_caller_who_is_limited_to_zones_sees_it() {
    let mut app = limited(&["Dijon", "Côte-d'Or *"], fleet());
    told(
        &mut app,
        &[("", "limited", &SIZES), ("a", "limited_accept", &[LOW]), ("?G", "limited_help", &[USUAL])],
    );
    let mut empty = limited(&["Dijon"], []);
    seen(&mut empty, "limited_empty", &[USUAL]);
}

#[test]
fn the_list_and_the_detail_show_the_record_of_a_key() {
    let mut keys = fleet();
    keys[3].server = Some(beside(&server(1, "Collège Éluard"), false));
    keys[3].claims.server = Some("eluard-4711".to_owned());
    keys[0].server = Some(beside(&server(2, "服务器 Carnot"), true));
    let mut app = app(keys);
    told(&mut app, &[("6", "records", &SIZES), ("\n", "record_detail", &[USUAL])]);
}

#[test]
fn what_records_say_is_harmless_and_as_wide_as_it_is_drawn() {
    let evil = "x\u{202e}y\u{1b}[2J👍\u{1f3fd}服务器";
    let mut hostile = server(6, evil);
    hostile.record.model = evil.repeat(5);
    (hostile.record.zone, hostile.record.site) = (Some(evil.to_owned()), Some(evil.to_owned()));
    let mut keys = fleet();
    keys[3].server = Some(beside(&hostile, false));
    keys[3].claims.server = Some(evil.to_owned());
    let mut app = limited(&[evil], keys);
    let check = |app: &mut App| {
        for (columns, rows) in SIZES {
            let shown = screen(app, columns, rows);
            assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{1f3fd}']), "{shown}");
            assert!(shown.contains("x\\u{202e}y") || columns < 80, "{shown}");
        }
    };
    check(&mut app);
    press(&mut app, "\n");
    check(&mut app);
    press(&mut app, "p");
    records(&mut app, [hostile.clone(), server(7, &"服".repeat(85))]);
    check(&mut app);
    press(&mut app, "j");
    seen(&mut app, "pick_wide", &[LOW, USUAL]);
    press(&mut app, "k\n");
    check(&mut app);
    press(&mut app, "y");
    check(&mut app);
    app.update(Input::News(News::Paired(Outcome::Refused(evil.to_owned()))));
    check(&mut app);
    press(&mut app, "p");
    app.update(Input::News(News::Records(Err(evil.to_owned()))));
    check(&mut app);
    assert_eq!(hostile.id, server_id(6));
}

#[test]
fn every_size_can_be_drawn() {
    for keys in ["", "/x", "\n", "\n\tbecause", "jj\n"] {
        let mut app = reinstalled();
        press(&mut app, keys);
        for columns in (1..220).step_by(9) {
            for rows in [1, 14, 15, 16, 19, 20, 30, 60] {
                render(&mut app, columns, rows, Theme::new(true));
            }
        }
        let plain = render(&mut app, 120, 40, Theme::new(false));
        assert!(plain.content().iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    }
}

#[test]
fn how_to_answer_is_always_on_the_screen() {
    let mut long = linked(server(7, &"long name ".repeat(25)), "web1", 1);
    long.record.model = "m".repeat(256);
    let mut keys = fleet();
    keys[0].server = Some(beside(&long, true));
    let mut app = app(keys);
    press(&mut app, "2p");
    records(&mut app, [long]);
    press(&mut app, "\n");
    for (columns, rows) in [LOW, USUAL] {
        assert!(screen(&mut app, columns, rows).contains("n no (Enter, Esc)"));
    }
    assert!(screen(&mut app, 60, 15).contains("more lines below"));
    press(&mut app, &"j".repeat(60));
    let shown = screen(&mut app, 60, 15);
    assert!(shown.contains("gets orders from now on") && shown.contains("0 more lines below"), "{shown}");
}
