//! The state as a pure function of what comes in.

use brine_protocol::control::{Act, KeyState};
use brine_protocol::permission::Role;
use ratatui::crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEventKind};

use super::*;
use crate::app::keys::Name;
use crate::app::list::{Sort, Tab};
use crate::samples::{NOW, app, contact, decision, fleet, id, key, name, rows, seconds_ago};

mod acts;
mod looking;
mod losing;
mod pairing;
mod undoing;

/// Presses one key.
fn stroke(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn control(app: &mut App, letter: char) -> Vec<Effect> {
    app.update(Input::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

/// Types text; returns what the last key asks for.
fn press(app: &mut App, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in text.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        effects = stroke(app, code);
    }
    effects
}

fn news(app: &mut App, news: News) -> Vec<Effect> {
    app.update(Input::News(news))
}

/// What is done, of an effect that does something to keys.
fn acts(effects: &[Effect]) -> Vec<(Act, String, Option<KeyState>)> {
    let [Effect::Act { steps, .. }] = effects else { panic!("an act, not {effects:?}") };
    steps.iter().map(|step| (step.act, step.name.id.to_string(), step.key_name().state)).collect()
}

fn message(app: &App) -> &str {
    app.message.as_ref().map_or("", |message| &message.text)
}

/// The ids that the list shows.
fn shown(app: &App) -> Vec<String> {
    app.list.shown.iter().map(|place| app.keys.rows()[*place].key.id.to_string()).collect()
}

fn cursor(app: &App) -> String {
    app.list.row(&app.keys).map(|row| row.key.id.to_string()).unwrap_or_default()
}

fn ask(app: &App) -> &Ask {
    let Some(Over::Ask(ask)) = &app.over else { panic!("a question, not {:?}: {}", app.over, message(app)) };
    ask
}

fn pending(count: u8) -> Vec<brine_protocol::control::Key> {
    (0..count).map(|n| key(&format!("web{n:02}"), n, KeyState::Pending)).collect()
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused(why.to_owned())
}

/// Says yes to what was asked, and lets the master do it.
fn done(app: &mut App, keys: &str) {
    let count = acts(&press(app, keys)).len();
    news(app, News::Acted(vec![Outcome::Done; count]));
    news(app, News::ActsOver);
}

fn decided(of: &str, n: u8, what: &str) -> News {
    News::Decided(Decided {
        id: id(of),
        fingerprint: Some(crate::samples::fingerprint(n)),
        what: what.to_owned(),
        by: Some("unix:0 (root)".to_owned()),
    })
}
