//! `brine-key rotate-master`: a new key for the master, with a grace in which minions learn it.

use std::io;

use brine_client::prompt::{self, Answer};
use brine_client::{Client, Exit};
use brine_local::output::screen::Screen;
use brine_local::output::{Format, escape, render_value};
use brine_protocol::control::{MasterRotation, RotateMaster};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::long::seen;
use crate::options::{Common, Rotation};

/// So many minions are named; the rest is counted. `--out json` has all.
const NAMED_MAX: usize = 50;

pub(crate) async fn run(
    client: &Client,
    what: &Rotation,
    common: &Common,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let current = client.master_rotation().await?;
    if what.status {
        return status(current.as_ref(), common, screen);
    }
    let question = match (&current, what.finish, what.withdraw) {
        (Some(rotation), true, _) => finish_question(rotation),
        (Some(rotation), _, true) => withdraw_question(rotation),
        (None, true, _) | (None, _, true) => {
            return Err(Failure::Nothing("no rotation of the master's key is under way".to_owned()));
        }
        (Some(rotation), false, false) => {
            return Err(Failure::Refused(format!(
                "a rotation to {} is under way already, until {}; see --status, or end it with --finish or \
                 --withdraw",
                rotation.to,
                seen(rotation.until)
            )));
        }
        (None, false, false) => start_question(client.health().await?.fingerprint, what.grace),
    };
    eprintln!("{question}");
    if !common.yes {
        match prompt::proceed(&mut io::stdin().lock(), &mut io::stderr(), false)? {
            Answer::Yes => {}
            Answer::No => return Ok(Exit::Ok),
            Answer::NoInput => {
                return Err(Failure::Nothing("no answer, so nothing was changed; -y answers yes".to_owned()));
            }
        }
    }
    let (done, rotation) = if what.finish {
        ("The new key has taken over", client.finish_master_rotation().await?)
    } else if what.withdraw {
        ("The rotation is withdrawn; the old key stays", client.withdraw_master_rotation().await?)
    } else {
        let request = RotateMaster { grace_s: what.grace, reason: common.reason.clone() };
        ("The new key is announced", client.rotate_master(&request).await?)
    };
    show(&format!("{done}.\n{}", page(&rotation)), &json!(rotation), common, screen)
}

fn status(current: Option<&MasterRotation>, common: &Common, screen: &mut Screen) -> Result<Exit, Failure> {
    let text = current.map_or("No rotation of the master's key is under way.\n".to_owned(), page);
    show(&text, &json!(current), common, screen)
}

fn show(text: &str, document: &Value, common: &Common, screen: &mut Screen) -> Result<Exit, Failure> {
    match common.out {
        None | Some(Format::Nested | Format::Txt) if common.quiet => {}
        None | Some(Format::Nested | Format::Txt) => screen.print(text)?,
        Some(_) => screen.print(&render_value(document, &common.style()))?,
    }
    Ok(Exit::Ok)
}

fn start_question(now: brine_protocol::Fingerprint, grace: u64) -> String {
    let how = if grace == 0 {
        "The new key takes over as soon as connected minions can have learned it. Every minion that is not connected now will refuse this master"
            .to_owned()
    } else {
        format!(
            "Minions that are connected learn the new key now, others when they come within {}; the old key \
             signs for it. Then the new key takes over. A minion that is away all that time will refuse this \
             master",
            spoken(grace)
        )
    };
    format!(
        "The master's key is {now}.\nA new one will be made and announced. {how} until somebody runs on it: \
         brine-minion trust-master NEW-FINGERPRINT"
    )
}

fn finish_question(rotation: &MasterRotation) -> String {
    format!(
        "The key {} takes over now instead of at {}. {}",
        rotation.to,
        seen(rotation.until),
        missing(rotation)
    )
}

fn withdraw_question(rotation: &MasterRotation) -> String {
    format!(
        "The master keeps its key {}. The new key {} is forgotten, also by the {} minions that have learned it.",
        rotation.from, rotation.to, rotation.learned
    )
}

/// Who has not learned the new key, and what that will mean.
fn missing(rotation: &MasterRotation) -> String {
    if rotation.missing.is_empty() {
        return format!("All {} accepted minions have learned it.", rotation.learned);
    }
    let named: Vec<String> = rotation.missing.iter().take(NAMED_MAX).map(|id| escape(id.as_str())).collect();
    let more = rotation.missing.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more (--out json names all)") };
    format!(
        "{} minions have learned it; {} have not: {}{more}. Those will refuse this master from then on, until \
         somebody runs on each: brine-minion trust-master {}",
        rotation.learned,
        rotation.missing.len(),
        named.join(", "),
        rotation.to
    )
}

fn page(rotation: &MasterRotation) -> String {
    format!(
        "  old key    {}\n  new key    {}\n  announced  {}\n  takes over {}\n{}\n",
        rotation.from,
        rotation.to,
        seen(rotation.since),
        seen(rotation.until),
        missing(rotation)
    )
}

/// A grace as it is said: `7 days`, `1 day 12 hours`.
fn spoken(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (word, unit) in [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use brine_protocol::Fingerprint;
    use brine_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn times_as_people_say_them() {
        assert_eq!(spoken(129_600), "1 day 12 hours");
        assert_eq!(spoken(604_861), "7 days 1 minute 1 second");
    }

    #[test]
    fn what_will_happen_is_said_before() {
        let at_once = start_question(Fingerprint([7; 32]), 0);
        assert!(at_once.contains("07:07:") && at_once.contains("takes over as soon as"), "{at_once}");
        let later = start_question(Fingerprint([7; 32]), 604_800);
        assert!(later.contains("within 7 days") && later.contains("brine-minion trust-master"), "{later}");
        let mut rotation = MasterRotation {
            from: Fingerprint([1; 32]),
            to: Fingerprint([2; 32]),
            since: Timestamp(0),
            until: Timestamp(1_000_000),
            learned: 2,
            missing: vec!["web1".parse().expect("an id")],
        };
        let shown = finish_question(&rotation);
        for part in ["1 have not: web1.", "trust-master 02:02:", "1970-01-01T00:00:01Z"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(withdraw_question(&rotation).contains("keeps its key 01:01:"));
        rotation.missing.clear();
        assert!(page(&rotation).contains("All 2 accepted minions have learned it."));
    }
}
