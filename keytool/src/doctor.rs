//! `brine-key doctor`: whether everything about keys is as it should be, and what to do if not.
//!
//! It looks and changes nothing: it takes no lock, makes no file, cuts nothing off.

mod files;
mod keys;
mod master;

use brine_client::{Client, ClientError, Exit};
use brine_local::output::screen::Screen;
use brine_local::output::{Colour, Format, escape, render_value};
use brine_protocol::control::Health;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::options::Common;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Grade::Ok => Colour::Green,
            Grade::Warn => Colour::Yellow,
            Grade::Fail => Colour::Red,
        }
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    about: &'static str,
    grade: Grade,
    says: String,
    /// What to do, where there is something to do.
    advice: Option<String>,
}

impl Check {
    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, grade: Grade::Ok, says: says.into(), advice: None }
    }

    fn warn(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Warn, says: says.into(), advice: Some(advice.into()) }
    }

    fn fail(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Fail, says: says.into(), advice: Some(advice.into()) }
    }

    fn document(&self) -> Value {
        json!({
            "about": self.about,
            "grade": self.grade.word().to_lowercase(),
            "says": self.says,
            "advice": self.advice,
        })
    }

    fn line(&self, colours: bool) -> String {
        let grade = self.grade.colour().paint(&format!("{:<4}", self.grade.word()), colours);
        let mut line = format!("{grade}  {:<12}  {}\n", self.about, escape(&self.says));
        if let Some(advice) = &self.advice {
            line.push_str(&format!("{:20}-> {}\n", "", escape(advice)));
        }
        line
    }
}

pub(crate) async fn run(common: &Common, screen: &mut Screen) -> Result<Exit, Failure> {
    let paths = common.paths();
    let client = Client::new(&paths.control_socket()).acting_as(common.act_as.clone());
    let health = client.health().await;
    let mut checks = master::socket(&paths, &health);
    let health = health.ok();
    checks.extend(health.iter().flat_map(master::health));
    let (ledger, entries) = files::ledger(&paths, health.is_some());
    checks.extend(ledger);
    checks.extend(files::waiting(&paths));
    checks.extend(files::master_keys(&paths, health.as_ref(), entries.as_deref()));
    checks.extend(files::room(&paths));
    if health.is_some() {
        checks.extend(keys::judge(client.keys_of(&keys::QUERY).await));
        checks.extend(master::rotation(client.master_rotation().await));
    } else if let Some(entries) = &entries {
        checks.push(keys::of_ledger(entries));
    }
    show(&checks, common, screen)?;
    let has_failed = checks.iter().any(|check| check.grade == Grade::Fail);
    Ok(if has_failed { Exit::Failed } else { Exit::Ok })
}

fn show(checks: &[Check], common: &Common, screen: &mut Screen) -> Result<(), Failure> {
    match common.out {
        None | Some(Format::Nested | Format::Txt) => {
            let wanted = |check: &&Check| !common.quiet || check.grade != Grade::Ok;
            let colours = common.style().colours;
            let text: String = checks.iter().filter(wanted).map(|check| check.line(colours)).collect();
            screen.print(&text)?;
        }
        Some(_) => {
            let document: Value = checks.iter().map(Check::document).collect();
            screen.print(&render_value(&document, &common.style()))?;
        }
    }
    Ok(())
}

/// What the master said of itself, or why not.
type Said = Result<Health, ClientError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do() {
        let check = Check::fail("ledger", "broken\u{1b}", "run: brine-key ledger repair");
        assert_eq!(
            check.line(false),
            "FAIL  ledger        broken\\u{1b}\n                    -> run: brine-key ledger repair\n"
        );
        assert_eq!(Check::ok("disk", "9 GiB are free").line(false), "ok    disk          9 GiB are free\n");
        assert_eq!(check.document()["grade"], "fail");
    }
}
