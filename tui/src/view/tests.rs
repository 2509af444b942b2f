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
use crate::app::{App, Input, News};
use crate::samples::{app, contact, decision, fleet, id, key, seconds_ago};

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

/// The same state at the sizes that matter.
macro_rules! at_sizes {
    ($app:expr, $name:literal) => {
        for (columns, rows) in [(60, 15), (80, 24), (120, 40), (200, 50)] {
            let shown = screen($app, columns, rows);
            insta::assert_snapshot!(format!("{}_{columns}x{rows}", $name), shown);
        }
    };
}

#[test]
fn the_list() {
    let mut app = app(fleet());
    at_sizes!(&mut app, "list");
    press(&mut app, "6");
    at_sizes!(&mut app, "all");
    press(&mut app, " /web");
    insta::assert_snapshot!("filtering_80x24", screen(&mut app, 80, 24));
    press(&mut app, "9");
    insta::assert_snapshot!("no_match_80x24", screen(&mut app, 80, 24));
}

#[test]
fn nothing_yet() {
    let mut app = app([]);
    at_sizes!(&mut app, "empty");
    press(&mut app, "3");
    insta::assert_snapshot!("empty_accepted_80x24", screen(&mut app, 80, 24));
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
    at_sizes!(&mut app, "detail");
    for _ in 0..9 {
        app.update(Input::Key(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE)));
    }
    insta::assert_snapshot!("detail_end_60x15", screen(&mut app, 60, 15));
}

#[test]
fn questions() {
    let mut app = app(fleet());
    press(&mut app, "a");
    at_sizes!(&mut app, "ask_accept");
    press(&mut app, "\tnew rack");
    insta::assert_snapshot!("ask_reason_60x15", screen(&mut app, 60, 15));
    press(&mut app, "\nn3*d");
    insta::assert_snapshot!("ask_delete_80x24", screen(&mut app, 80, 24));
    press(&mut app, "n1Gd");
    insta::assert_snapshot!("ask_delete_60x15", screen(&mut app, 60, 15));
}

#[test]
fn a_question_about_many() {
    let mut app = app((0..37).map(|n| key(&format!("web{n:02}"), n, KeyState::Pending)));
    press(&mut app, "*a3");
    insta::assert_snapshot!("ask_many_60x15", screen(&mut app, 60, 15));
    insta::assert_snapshot!("ask_many_80x24", screen(&mut app, 80, 24));
    press(&mut app, "7\n");
    let results = (0..20).map(|n| {
        (n % 9 == 4).then(|| format!("the key of web{n:02} changed meanwhile: it is rejected, not pending"))
    });
    app.update(Input::News(News::Acted(results.collect())));
    insta::assert_snapshot!("batch_60x15", screen(&mut app, 60, 15));
    app.update(Input::News(News::Acted(vec![None; 17])));
    app.update(Input::News(News::ActsOver));
    insta::assert_snapshot!("batch_over_80x24", screen(&mut app, 80, 24));
}

#[test]
fn help() {
    let mut app = app(fleet());
    press(&mut app, "?");
    at_sizes!(&mut app, "help");
}

#[test]
fn not_connected_and_other_notices() {
    let mut app = app(fleet());
    app.health.notices = vec!["auto_accept is on: every key is accepted unseen".to_owned()];
    insta::assert_snapshot!("notice_80x24", screen(&mut app, 80, 24));
    app.update(Input::News(News::Lost(
        "brine-master is not running: nobody listens on /run/brine/control.sock any more; start it again"
            .to_owned(),
    )));
    app.update(Input::Tick(seconds_ago(-5)));
    insta::assert_snapshot!("lost_60x15", screen(&mut app, 60, 15));
    insta::assert_snapshot!("lost_80x24", screen(&mut app, 80, 24));
}

#[test]
fn a_viewer() {
    let size = Size::new(80, 24);
    let mut app = App::new(contact(Role::Viewer, fleet()), "salt".to_owned(), size, crate::samples::NOW);
    press(&mut app, "a");
    insta::assert_snapshot!("viewer_80x24", screen(&mut app, 80, 24));
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
    at_sizes!(&mut app, "claims");
    press(&mut app, "jj\n");
    insta::assert_snapshot!("claims_detail_80x24", screen(&mut app, 80, 24));
    press(&mut app, "a");
    insta::assert_snapshot!("claims_ask_80x24", screen(&mut app, 80, 24));
    for (columns, rows) in [(60, 15), (120, 40)] {
        let shown = screen(&mut app, columns, rows);
        let is_harmless = |c: char| !c.is_control() || c == '\n';
        assert!(shown.chars().all(is_harmless) && !shown.contains('\u{202e}'), "{shown:?}");
    }
}

#[test]
fn ten_thousand_keys() {
    let keys = (0..10_000u32).map(|n| {
        let mut key = key(&format!("host-{n:05}"), (n % 251) as u8, KeyState::Pending);
        key.attempts = u64::from(n);
        key
    });
    let mut app = app(keys);
    press(&mut app, "G");
    insta::assert_snapshot!("ten_thousand_80x24", screen(&mut app, 80, 24));
    press(&mut app, "/host-0424\n*");
    insta::assert_snapshot!("ten_thousand_filtered_60x15", screen(&mut app, 60, 15));
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
