//! What is on the screen, at several sizes. The snapshots are read by people: look at them when
//! they change.

use brine_protocol::control::{Key, KeyState};
use brine_protocol::permission::Role;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::style::Color;

use super::{Theme, draw};
use crate::app::batch::Outcome;
use crate::app::{App, Input, News};
use crate::samples::{app, contact, decision, fleet, id, key, seconds_ago};

mod pairing;

fn render(app: &mut App, columns: u16, rows: u16, theme: Theme) -> Buffer {
    app.update(Input::Resize(Size::new(columns, rows)));
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(app, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The text on the screen, without what is blank at the ends of lines.
fn screen(app: &mut App, columns: u16, rows: u16) -> String {
    let buffer = render(app, columns, rows, Theme::new(true));
    let mut lines = Vec::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(crate::text::width(symbol)).unwrap().max(1);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        app.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
}

const LOW: (u16, u16) = (60, 15);
const USUAL: (u16, u16) = (80, 24);

/// The sizes that matter.
const SIZES: [(u16, u16); 4] = [LOW, USUAL, (120, 40), (200, 50)];

/// What is to be seen of a state at these sizes.
fn seen(app: &mut App, name: &str, sizes: &[(u16, u16)]) {
    for (columns, rows) in sizes.iter().copied() {
        let shown = screen(app, columns, rows);
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), shown);
    }
}

/// Keys to press, what is to be seen then, and at which sizes.
type Told<'a> = (&'a str, &'a str, &'a [(u16, u16)]);

/// Keys that are pressed one after the other, and what is to be seen after each of them.
fn told(app: &mut App, steps: &[Told<'_>]) {
    for (keys, name, sizes) in steps {
        press(app, keys);
        seen(app, name, sizes);
    }
}

#[test]
fn the_list() {
    told(
        &mut app(fleet()),
        &[
            ("", "list", &SIZES),
            ("6", "all", &SIZES),
            (" /web", "filtering", &[USUAL]),
            ("9", "no_match", &[USUAL]),
        ],
    );
}

#[test]
fn nothing_yet() {
    told(&mut app([]), &[("", "empty", &SIZES), ("3", "empty_accepted", &[USUAL])]);
}

#[test]
fn the_detail_of_a_key_whose_id_is_held() {
    let mut app = app(fleet());
    press(&mut app, "2\n");
    let decisions = vec![
        decision(1, "accept", 11, None),
        decision(2, "delete", 11, Some("reinstalled, ticket 4711")),
        decision(3, "accept", 1, None),
    ];
    app.update(Input::News(News::History(id("web1"), Ok(decisions))));
    seen(&mut app, "detail", &SIZES);
    // Scrolled where there is something to scroll.
    screen(&mut app, 60, 15);
    for _ in 0..9 {
        app.update(Input::Key(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE)));
    }
    seen(&mut app, "detail_end", &[LOW]);
}

#[test]
fn questions() {
    told(
        &mut app(fleet()),
        &[
            ("a", "ask_accept", &SIZES),
            ("\tnew rack", "ask_reason", &[LOW]),
            ("\nn3*d", "ask_delete", &[USUAL]),
            ("n1Gd", "ask_delete", &[LOW]),
        ],
    );
}

#[test]
fn a_question_about_many() {
    let mut app = app((0..37).map(|n| key(&format!("web{n:02}"), n, KeyState::Pending)));
    told(&mut app, &[("*a3", "ask_many", &[LOW, USUAL])]);
    press(&mut app, "7\n");
    let results = (0..20).map(|n| {
        if n % 9 == 4 {
            Outcome::Refused(format!("the key of web{n:02} changed meanwhile: it is rejected, not pending"))
        } else {
            Outcome::Done
        }
    });
    app.update(Input::News(News::Acted(results.collect())));
    seen(&mut app, "batch", &[LOW]);
    app.update(Input::News(News::Acted(vec![Outcome::Done; 17])));
    app.update(Input::News(News::ActsOver));
    seen(&mut app, "batch_over", &[USUAL]);
}

#[test]
fn help() {
    told(&mut app(fleet()), &[("?", "help", &SIZES)]);
}

#[test]
fn not_connected_and_other_notices() {
    let mut app = app(fleet());
    app.health.notices = vec!["auto_accept is on: every key is accepted unseen".to_owned()];
    seen(&mut app, "notice", &[USUAL]);
    app.update(Input::News(News::Lost(
        "brine-master is not running: nobody listens on /run/brine/control.sock any more; start it again"
            .to_owned(),
    )));
    app.update(Input::Tick(seconds_ago(-5)));
    seen(&mut app, "lost", &[LOW, USUAL]);
}

#[test]
fn a_viewer() {
    let size = Size::new(80, 24);
    let mut app = App::new(contact(Role::Viewer, fleet()), "salt".to_owned(), size, crate::samples::NOW);
    told(&mut app, &[("a", "viewer", &[USUAL])]);
}

/// A stranger may claim anything.
fn claims() -> Vec<Key> {
    let hosts =
        ["服务器-12.例え", "🦀 crab", "\u{1b}[31mred\u{7}", "evil\u{202e}gpj.exe", "e\u{301}le\u{300}ve"];
    let claimed = hosts.iter().zip(1..).map(|(host, n)| {
        let mut key = key(&format!("m{n}"), n, KeyState::Pending);
        key.claims.host = (*host).to_owned();
        key.claims.os = format!("{host}\r\n\u{9b}2J");
        key
    });
    claimed.collect()
}

#[test]
fn wide_and_hostile_claims() {
    let mut app = app(claims());
    let steps =
        [("", "claims", &SIZES[..]), ("jj\n", "claims_detail", &[USUAL]), ("a", "claims_ask", &[USUAL])];
    told(&mut app, &steps);
    for (columns, rows) in [(60, 15), (120, 40)] {
        let shown = screen(&mut app, columns, rows);
        let is_harmless = |c: char| !c.is_control() || c == '\n';
        assert!(shown.chars().all(is_harmless) && !shown.contains('\u{202e}'), "{shown:?}");
    }
}

/// An id as long as they can be.
fn long(end: &str) -> String {
    format!("{}{end}", "long-name-with-a-number-of-parts.".repeat(8))[..250].to_owned() + end
}

#[test]
fn long_ids_are_whole_where_they_are_decided_about() {
    let twins = [1, 2].map(|n| key(&long("one"), n, KeyState::Pending));
    for (columns, rows) in [(60, 15), (80, 24), (120, 40)] {
        let mut app = app(twins.clone());
        let shown = screen(&mut app, columns, rows);
        assert!(shown.contains('…') && shown.contains("one"), "both ends in the list: {shown}");
        press(&mut app, "\n");
        // Beside the list, or in its place.
        let shown = screen(&mut app, columns, rows);
        let detail: String =
            shown.lines().filter_map(|line| line.rsplit('│').next()).map(str::trim).collect();
        assert!(detail.contains(&long("one")), "{shown}");
        press(&mut app, "a");
        let shown = screen(&mut app, columns, rows);
        let question: String =
            shown.lines().filter_map(|line| line.split('│').nth(1)).map(str::trim).collect();
        assert!(question.contains(&long("one")), "{shown}");
        assert!(screen(&mut app, columns, rows).contains("n no (Enter, Esc)"), "the answers are there");
    }
}

#[test]
fn how_to_answer_is_always_on_the_screen() {
    let keys = (0..3).flat_map(|n| {
        let mut twins = [1, 2].map(|m| key(&long(&format!("{n}")), n * 10 + m, KeyState::Pending));
        twins[0].known_before = true;
        twins
    });
    let mut app = app(keys);
    press(&mut app, " j j a");
    app.over.as_ref().expect("a question");
    for (columns, rows) in [(60, 15), (80, 24)] {
        assert!(screen(&mut app, columns, rows).contains("n no (Enter, Esc)"));
    }
    // What there is no room for is further down.
    assert!(screen(&mut app, 60, 15).contains("more lines below"));
    press(&mut app, "jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj");
    let shown = screen(&mut app, 60, 15);
    assert!(shown.contains("get orders from now on") && shown.contains("n no"), "{shown}");
    assert!(shown.contains("0 more lines below"), "{shown}");
}

#[test]
fn eight_bytes_of_each_fingerprint_are_shown_of_many() {
    let mut app = app((0..5).map(|n| key(&long(&format!("{n}")), n, KeyState::Pending)));
    press(&mut app, "*a");
    for (columns, rows) in [(60, 15), (80, 24), (200, 50)] {
        let shown = screen(&mut app, columns, rows);
        let start = crate::text::fingerprint_start(crate::samples::fingerprint(0), 2);
        assert!(shown.contains(start.trim_end_matches('…')), "{shown}");
    }
}

#[test]
fn what_changed_while_the_question_waits_is_on_the_screen() {
    let mut app = app(fleet());
    press(&mut app, "a");
    let rejected = key("db1", 3, KeyState::Rejected);
    app.update(Input::News(News::KeysOf(id("db1"), crate::samples::rows([rejected]))));
    let shown = screen(&mut app, 80, 24);
    assert!(shown.contains("! db1 changed meanwhile: it is rejected now, not pending"), "{shown}");
}

#[test]
fn a_detail_says_what_became_of_its_key() {
    let mut app = app(fleet());
    press(&mut app, "\n");
    let accepted = key("db1", 3, KeyState::Accepted);
    app.update(Input::News(News::KeysOf(id("db1"), crate::samples::rows([accepted]))));
    assert!(screen(&mut app, 80, 24).contains("It is accepted now; it was pending"));
    app.update(Input::News(News::KeysOf(id("db1"), Vec::new())));
    let shown = screen(&mut app, 80, 24);
    assert!(shown.contains("db1") && shown.contains("This key is gone"), "{shown}");
}

#[test]
fn who_is_connected_is_seen_now() {
    let mut app = app(fleet());
    press(&mut app, "3");
    let shown = screen(&mut app, 80, 24);
    assert_eq!(shown.matches(" now").count(), 2, "{shown}");
}

#[test]
fn a_viewer_is_offered_no_acts_in_the_detail() {
    let size = Size::new(80, 24);
    let mut app = App::new(contact(Role::Viewer, fleet()), "salt".to_owned(), size, crate::samples::NOW);
    press(&mut app, "\n");
    let shown = screen(&mut app, 80, 24);
    assert!(!shown.contains("a accept") && shown.contains("Esc back"), "{shown}");
}

#[test]
fn claims_leave_no_marks_behind() {
    let zalgo = format!("Z{}x👍\u{1f3fd}", "\u{301}".repeat(60));
    let mut key = key("m1", 1, KeyState::Pending);
    (key.claims.host, key.claims.os) = (zalgo.clone(), zalgo.clone());
    key.claims.version = zalgo.clone();
    key.claims.grains.insert("role".to_owned(), zalgo);
    let mut app = app([key]);
    for keys in ["", "\n", "a"] {
        press(&mut app, keys);
        let shown = screen(&mut app, 120, 40);
        assert!(shown.contains("Z\u{301}\u{301}x👍"), "{shown}");
        assert!(!shown.contains("\u{301}\u{301}\u{301}") && !shown.contains('\u{1f3fd}'), "{shown}");
    }
}

/// Whatever comes from elsewhere reaches the screen without what moves the cursor.
#[test]
fn nothing_foreign_reaches_the_terminal_raw() {
    let evil = "x\u{1b}[2J\u{202e}y";
    let is_clean = |shown: &str| !shown.contains(['\u{1b}', '\u{202e}']);
    let check = |app: &mut App, escaped: &str| {
        let shown = screen(app, 120, 40);
        assert!(is_clean(&shown) && shown.contains(escaped), "{shown}");
    };
    let mut hostile = key("m1", 1, KeyState::Pending);
    hostile.address = Some(evil.to_owned());
    hostile.claims.version = evil.to_owned();
    hostile.claims.grains.insert(evil.to_owned(), evil.to_owned());
    let mut app = app([hostile, key("m2", 2, KeyState::Pending)]);
    check(&mut app, "\\u{1b}[2J");
    press(&mut app, "\n");
    check(&mut app, "\\u{1b}[2J");
    app.update(Input::News(News::History(id("m1"), Err(evil.to_owned()))));
    check(&mut app, "\\u{1b}[2J");
    press(&mut app, "a");
    check(&mut app, "\\u{1b}[2J");
    press(&mut app, "y");
    app.update(Input::News(News::Acted(vec![Outcome::Refused(evil.to_owned())])));
    app.update(Input::News(News::ActsOver));
    check(&mut app, "m1 was not accepted: x\\u{1b}[2J");
    press(&mut app, "\n*ry");
    let refused = vec![Outcome::Refused(evil.to_owned()), Outcome::Unknown(evil.to_owned())];
    app.update(Input::News(News::Acted(refused)));
    check(&mut app, "m2: x\\u{1b}[2J");
    let mut app = self::app(fleet());
    app.update(Input::News(News::Decided(crate::app::Decided {
        id: id("m1"),
        fingerprint: None,
        what: "rejected".to_owned(),
        by: Some(evil.to_owned()),
    })));
    check(&mut app, "m1 was rejected by x\\u{1b}[2J");
    app.update(Input::News(News::Lost(evil.to_owned())));
    check(&mut app, "x\\u{1b}[2J");
}

#[test]
fn ten_thousand_keys() {
    let keys = (0..10_000u32).map(|n| {
        let mut key = key(&format!("host-{n:05}"), (n % 251) as u8, KeyState::Pending);
        key.attempts = u64::from(n);
        key
    });
    let mut app = app(keys);
    let steps = [("G", "ten_thousand", &[USUAL][..]), ("/host-0424\n*", "ten_thousand_filtered", &[LOW])];
    told(&mut app, &steps);
}

#[test]
fn too_small_a_screen_says_so() {
    let mut app = app(fleet());
    assert_eq!(
        screen(&mut app, 59, 15).trim_end(),
        "This needs 60 columns and 15 rows, and has 59 and 15. Make\nthe window larger, or press q."
    );
    for (columns, rows) in [(1, 1), (0, 0), (60, 14), (10, 200), (300, 3)] {
        render(&mut app, columns, rows, Theme::new(true));
    }
}

#[test]
fn every_size_can_be_drawn_in_every_situation() {
    let situations = ["", "2\n", "a", "?", "/x", "*a", "6*d", "\t\t", "6\n", "?jjjj"];
    for keys in situations {
        let mut app = app(fleet());
        app.health.notices = vec!["a notice that is rather long ".repeat(9)];
        press(&mut app, keys);
        for columns in (60..220).step_by(7) {
            for rows in [15, 16, 19, 20, 21, 30, 60] {
                render(&mut app, columns, rows, Theme::new(true));
            }
        }
    }
}

#[test]
fn without_colours_there_are_none_and_nothing_is_lost() {
    for keys in ["6", "6\n", "a", "?", "*", "2\n"] {
        let mut app = app(fleet());
        press(&mut app, keys);
        let plain = render(&mut app, 120, 40, Theme::new(false));
        for cell in plain.content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
        let coloured = render(&mut app, 120, 40, Theme::new(true));
        let text = |buffer: &Buffer| {
            buffer.content().iter().map(|cell| cell.symbol().to_owned()).collect::<String>()
        };
        assert_eq!(text(&plain), text(&coloured), "colours say nothing that words do not");
    }
}

#[test]
fn colours_are_the_named_sixteen_and_backgrounds_stay() {
    let mut app = app(fleet());
    press(&mut app, "6\n");
    for cell in render(&mut app, 200, 50, Theme::new(true)).content() {
        assert!(
            !matches!(cell.fg, Color::Rgb(..) | Color::Indexed(_) | Color::Black | Color::White),
            "{:?}",
            cell.fg
        );
        assert_eq!(cell.bg, Color::Reset);
    }
}
