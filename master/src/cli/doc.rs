//! `-d`: what functions do, as minions tell it. Each is shown once, however many minions have it.

use std::io;

use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, escape, render};
use brine_protocol::control::{JobRequest, Minion, Presence};
use brine_protocol::glob;
use brine_protocol::job::{Call, Delivery};
use brine_protocol::target::Target;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::options::RunLine;
use super::show::{Show, Wishes};
use super::{print, run, timeout_of};

const FUNCTION: &str = "sys.doc";

/// Asks for documentation and prints it.
pub(super) async fn run(line: &RunLine) -> Result<Exit, Failure> {
    let client = line.common.client();
    let (target, names) = whom_and_what(&client, line).await?;
    let arguments = names.iter().map(|name| Value::String(name.clone())).collect();
    let request = JobRequest {
        target,
        calls: vec![Call { function: FUNCTION.to_owned(), arguments, keywords: Map::new() }],
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
    };
    // One document, as a program would take it; what else there is to say goes to stderr.
    let style = Style { format: Format::Json, indent: Some(-1), colours: false };
    let wishes = Wishes { style, is_static: true, ..Wishes::default() };
    let mut returns = Vec::new();
    let show = Show::new(wishes, &mut returns, io::stderr());
    let timeout = timeout_of(&line.common, &line.running)?;
    let exit = run::run(&client, &request, timeout, line.common.hint_options(), show).await?;
    if !matches!(exit, Exit::Ok | Exit::Retcode | Exit::NoReturn) {
        return Ok(exit);
    }
    let returns: Map<String, Value> = serde_json::from_slice(&returns).unwrap_or_default();
    let docs = merged(&returns);
    print(&shown(&docs, &line.common.style()))?;
    if docs.is_empty() && !returns.is_empty() {
        eprintln!("{}", nothing(&names, &returns));
        return Ok(exit.max(Exit::Retcode));
    }
    Ok(exit)
}

/// Whose documentation, and of what. One word alone is a target if a minion has such an id, and else a
/// function of whichever minion is there.
async fn whom_and_what(client: &Client, line: &RunLine) -> Result<(Target, Vec<String>), Failure> {
    let mut words: Vec<String> = line.words.clone();
    // As Salt's own sentence would have it: '*' sys.doc test.ping.
    if words.get(1).is_some_and(|word| word == FUNCTION) {
        words.remove(1);
    } else if let [target, ..] = words.as_slice()
        && (words.len() > 1 || line.whom.has_kind())
    {
        return Ok((line.whom.target(target)?, words.split_off(1)));
    } else if line.whom.has_kind() {
        return Err(Failure::Usage("that option says how a target is written, and there is none".to_owned()));
    }
    let minions = client.minions().await?;
    choose(words, &minions)
}

fn choose(mut words: Vec<String>, minions: &[Minion]) -> Result<(Target, Vec<String>), Failure> {
    let is_target = |word: &String| {
        words.len() > 1 || minions.iter().any(|minion| glob::matches(word, minion.id.as_str()))
    };
    if words.first().is_some_and(is_target) {
        let names = words.split_off(1);
        return Ok((Target::glob(&words[0]), names));
    }
    let is_there = |minion: &&Minion| matches!(minion.presence, Presence::Up | Presence::Running);
    let teller = minions.iter().filter(is_there).min_by_key(|minion| &minion.id).ok_or_else(|| {
        Failure::Nothing(
            "minions tell what their functions do, and none is connected; see: brine minions".to_owned(),
        )
    })?;
    Ok((Target::glob(teller.id.as_str()), words))
}

/// What the minions told, by function; of several texts the first one.
fn merged(returns: &Map<String, Value>) -> Map<String, Value> {
    let mut docs: Vec<(&String, &Value)> = Vec::new();
    for told in returns.values().filter_map(Value::as_object) {
        docs.extend(told.iter().filter(|(_, doc)| doc.as_str().is_some_and(|text| !text.is_empty())));
    }
    // The sort keeps the order of equals: the first one wins.
    docs.sort_by_key(|(name, _)| *name);
    docs.dedup_by_key(|(name, _)| *name);
    docs.into_iter().map(|(name, doc)| (name.clone(), doc.clone())).collect()
}

/// Salt's form for people, a map from function to text for programs.
fn shown(docs: &Map<String, Value>, style: &Style) -> String {
    if style.format.is_for_programs() {
        return render(docs, style, 0);
    }
    let mut page = String::new();
    for (name, doc) in docs {
        page.push_str(&format!("{}:\n\n", escape(name)));
        for line in doc.as_str().unwrap_or_default().lines() {
            let line = format!("    {}", escape(line));
            page.push_str(&format!("{}\n", line.trim_end()));
        }
        page.push('\n');
    }
    page
}

fn nothing(names: &[String], returns: &Map<String, Value>) -> String {
    let names = names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(", ");
    let who = match returns.keys().next() {
        Some(id) if returns.len() == 1 => format!("{id} has"),
        _ => format!("{} minions have", returns.len()),
    };
    format!("ERROR: {who} no function or module {names}; what there is: brine '*' sys.list_functions")
}

#[cfg(test)]
mod tests {
    use brine_local::output::Format;
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).expect("a map")
    }

    fn minions() -> Vec<Minion> {
        let minion = |id: &str, presence: Presence| {
            serde_json::from_value(json!({"id": id, "presence": presence})).expect("a minion")
        };
        vec![
            minion("db1", Presence::Offline { since: None }),
            minion("web2.lan", Presence::Up),
            minion("web1", Presence::Running),
        ]
    }

    #[test]
    fn one_word_is_a_minion_or_a_function() {
        for (words, target, names) in [
            (&["web1"][..], "web1", &[][..]),
            (&["web*"], "web*", &[]),
            (&["web2.lan"], "web2.lan", &[]),
            (&["db1"], "db1", &[]),
            (&["test.ping"], "web1", &["test.ping"]),
            (&["cmd"], "web1", &["cmd"]),
            (&[], "web1", &[]),
            (&["*", "cmd"], "*", &["cmd"]),
        ] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let (whom, what) = choose(words.clone(), &minions()).expect("somebody is there");
            assert_eq!(
                (whom.expression.as_str(), what),
                (target, names.iter().map(|&n| n.to_owned()).collect()),
                "{words:?}"
            );
        }
        let failure = choose(vec!["test.ping".to_owned()], &minions()[..1]).expect_err("nobody is there");
        assert!(failure.to_string().contains("none is connected"), "{failure}");
    }

    #[test]
    fn each_function_once_and_sorted() {
        let docs = merged(&map(json!({
            "m2": {"test.ping": "Pings.\n\nMore\u{1b}.", "cmd.run": "Runs."},
            "m1": {"test.ping": "Another text.", "own.thing": "Own.", "empty.doc": ""},
            "m3": "ERROR: no",
        })));
        let page = shown(&docs, &Style::default());
        assert_eq!(
            page,
            "cmd.run:\n\n    Runs.\n\nown.thing:\n\n    Own.\n\ntest.ping:\n\n    Pings.\n\n    More\\u{1b}.\n\n"
        );
        let json = shown(&docs, &Style { format: Format::Json, indent: Some(-1), colours: false });
        assert!(json.starts_with("{\"cmd.run\": \"Runs.\", "), "{json}");
    }

    #[test]
    fn what_nobody_has_is_said() {
        let names = ["no.such".to_owned()];
        assert!(
            nothing(&names, &map(json!({"m1": {}})))
                .starts_with("ERROR: m1 has no function or module no.such; ")
        );
        let two = map(json!({"m1": {}, "m2": {}}));
        assert!(nothing(&names, &two).starts_with("ERROR: 2 minions have no function or module no.such; "));
    }
}
