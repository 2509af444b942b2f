//! `brine target get`, and targets that cannot be read.

use brine_client::{Client, ClientError, Exit};
use brine_local::output::{Format, Style, escape, render_value, table};
use brine_protocol::control::{Matched, MatchedMinion, TargetRequest, nobody_matches};
use brine_protocol::target::Target;

use super::failure::Failure;
use super::minions::presence_text;
use super::{document, print};

/// How much of a long expression is shown on each side of the column that an error names.
const SHOWN: usize = 50;

/// Says whom a target means.
pub(super) async fn get(client: &Client, target: Target, style: &Style) -> Result<Exit, Failure> {
    let request = TargetRequest { target, explain: true };
    let matched = match client.targets(&request).await {
        Ok(matched) => matched,
        Err(error) => return Err(read_failure(error.into(), &request.target.expression)),
    };
    let is_table = matches!(style.format, Format::Nested | Format::Txt);
    if matched.minions.is_empty() {
        if !is_table {
            print(&render_value(&document(&matched), style))?;
        }
        let written = escape(&request.target.expression);
        eprintln!("brine: {}", nobody_matches(&written, matched.accepted, matched.unjudged));
        return Ok(Exit::Usage);
    }
    if is_table {
        print(&list(&matched.minions))?;
        eprintln!("{}", counted(&matched));
    } else {
        print(&render_value(&document(&matched), style))?;
    }
    Ok(Exit::Ok)
}

/// Names whom a target means, as Salt's `--preview-target` does.
pub(super) async fn preview(client: &Client, target: Target, style: &Style) -> Result<Exit, Failure> {
    let request = TargetRequest { target, explain: false };
    let matched = match client.targets(&request).await {
        Ok(matched) => matched,
        Err(error) => return Err(read_failure(error.into(), &request.target.expression)),
    };
    let ids: Vec<&str> = matched.minions.iter().map(|minion| minion.id.as_str()).collect();
    print(&render_value(&document(&ids), style))?;
    if ids.is_empty() {
        let written = escape(&request.target.expression);
        eprintln!("brine: {}", nobody_matches(&written, matched.accepted, matched.unjudged));
        return Ok(Exit::Usage);
    }
    Ok(Exit::Ok)
}

fn list(minions: &[MatchedMinion]) -> String {
    let row = |minion: &MatchedMinion| {
        let terms =
            minion.why.iter().map(|(term, holds)| format!("{term} {}", if *holds { "yes" } else { "no" }));
        let why: Vec<String> = terms.collect();
        vec![minion.id.to_string(), presence_text(&minion.presence), why.join(", ")]
    };
    let rows: Vec<Vec<String>> = minions.iter().map(row).collect();
    table::table(&["ID", "PRESENCE", "WHY"], &rows)
}

fn counted(matched: &Matched) -> String {
    let Matched { matched, offline, accepted, unjudged, .. } = matched;
    let mut text = format!("{matched} of {accepted} accepted minions match, {offline} of them offline");
    if *unjudged > 0 {
        text += &format!("; {unjudged} could not be judged, because their grains are not known yet");
    }
    text
}

/// What the master says of a target that it cannot read, with the place under the target itself.
pub(super) fn read_failure(failure: Failure, expression: &str) -> Failure {
    match failure {
        Failure::Client(ClientError::Refused(problem)) => match problem.column {
            Some(column) => {
                Failure::Usage(format!("{}\n{}", escape(&problem.detail), pointed(expression, column)))
            }
            None => Failure::Client(ClientError::Refused(problem)),
        },
        other => other,
    }
}

/// The expression, or what of a long one is near the column, with a caret under that.
fn pointed(expression: &str, column: usize) -> String {
    let letters: Vec<char> = expression.chars().collect();
    // The end of the expression is a place too, one behind its last character.
    let at = column.saturating_sub(1).min(letters.len());
    let (from, to) = (at.saturating_sub(SHOWN), (at + SHOWN).min(letters.len()));
    let shown = |part: &[char]| escape(&part.iter().collect::<String>());
    let (cut_before, cut_behind) =
        (if from > 0 { "…" } else { "" }, if to < letters.len() { "…" } else { "" });
    let before = format!("{cut_before}{}", shown(&letters[from..at]));
    let behind = format!("{}{cut_behind}", shown(&letters[at..to]));
    format!("  {before}{behind}\n  {}^", " ".repeat(before.chars().count()))
}

#[cfg(test)]
mod tests {
    use brine_protocol::control::{Presence, Problem, ProblemKind};

    use super::*;

    #[test]
    fn the_caret_stands_under_the_column() {
        for (expression, column, expected) in [
            ("a adn b", 3, "  a adn b\n    ^"),
            ("", 1, "  \n  ^"),
            ("web1 and", 9, "  web1 and\n          ^"),
            ("web1 and", 99, "  web1 and\n          ^"),
            ("é\u{1b}x (", 4, "  é\\u{1b}x (\n          ^"),
        ] {
            assert_eq!(pointed(expression, column), expected, "{expression:?}");
        }
        let long = "x".repeat(500);
        assert_eq!(
            pointed(&long, 251),
            format!("  …{}…\n  {}^", "x".repeat(2 * SHOWN), " ".repeat(SHOWN + 1))
        );
    }

    #[test]
    fn only_an_error_with_a_place_is_drawn() {
        let failure = |column| {
            let mut problem = Problem::new(ProblemKind::BadRequest, "a word is missing");
            problem.column = column;
            read_failure(Failure::Client(ClientError::Refused(problem)), "a and")
        };
        assert_eq!(failure(Some(6)).to_string(), "a word is missing\n  a and\n       ^");
        assert_eq!(failure(Some(6)).exit(), Exit::Usage);
        assert_eq!(failure(None).to_string(), "a word is missing");
    }

    #[test]
    fn a_table_says_why() {
        let minion = |id: &str, presence, why: &[(&str, bool)]| MatchedMinion {
            id: id.parse().expect("an id"),
            presence,
            why: why.iter().map(|(term, holds)| ((*term).to_owned(), *holds)).collect(),
        };
        let minions = [
            minion("web1", Presence::Up, &[("G@role:web", true), ("m1", false)]),
            minion("db1", Presence::Offline { since: None }, &[("G@role:web", true), ("m1", false)]),
        ];
        assert_eq!(
            list(&minions),
            "ID    PRESENCE  WHY\nweb1  up        G@role:web yes, m1 no\ndb1   offline   G@role:web yes, m1 no\n"
        );
        let matched = Matched { minions: Vec::new(), matched: 2, offline: 1, accepted: 9, unjudged: 3 };
        assert_eq!(
            counted(&matched),
            "2 of 9 accepted minions match, 1 of them offline; 3 could not be judged, because their grains are \
             not known yet"
        );
    }
}
