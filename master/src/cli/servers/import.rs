//! Makes many records from a file.

use std::io::Read;
use std::path::Path;

use brine_client::Exit;
use brine_local::file::{self, FileError};
use brine_local::output::escape;
use brine_protocol::control::{IMPORT_MAX, ImportServers, PreseedWish, ServerImported, ServerRequest};
use brine_protocol::server::{ServerId, ServerRecord};
use serde::Serialize;

use super::Desk;
use super::preseed::wait;
use super::read::{Entry, read};
use crate::cli::failure::Failure;
use crate::cli::options::servers::{Form, Import};

/// The largest file: what a master takes in one request.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// What became of the whole.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    /// Records that were made, or with `dry_run` would be.
    made: usize,
    /// Records that were there already, with the same content.
    there: usize,
    faults: usize,
    dry_run: bool,
    records: Vec<Told>,
}

/// What became of one record.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<ServerId>,
    made: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// The line where a record begins, and the record or what is wrong with it.
pub type Imported = (usize, Result<ServerRecord, String>);

/// The records of a file whose name tells its form, as `brine server import` takes them: each with the
/// line where it begins, and what is wrong with those that make no sense.
///
/// # Errors
/// The name tells no form, or the file cannot be taken apart at all; one sentence.
pub fn imported_records(name: &Path, bytes: &[u8]) -> Result<Vec<Imported>, String> {
    let form = form(name, None).map_err(|failure| failure.to_string())?;
    Ok(read(bytes, form)?.into_iter().map(|entry| (entry.line, entry.record)).collect())
}

pub(super) async fn run(desk: &mut Desk<'_>, what: &Import) -> Result<Exit, Failure> {
    let form = form(&what.file, what.format)?;
    let bytes = whole(desk, &what.file)?;
    let refused = |why: String| Failure::Nothing(format!("{}: {why}", what.file.display()));
    let entries = read(&bytes, form).map_err(refused)?;
    if entries.is_empty() {
        return Err(refused("there is no record in it".to_owned()));
    }
    if !what.keep_going && entries.len() > IMPORT_MAX {
        return Err(refused(format!(
            "{} records are more than the {IMPORT_MAX} of which all are made or none; split it, or make those \
             that are good with --keep-going",
            entries.len()
        )));
    }
    let results = send(desk, &entries, what).await?;
    let report = report(entries, results, what);
    for told in &report.records {
        if let Some(fault) = &told.refused {
            desk.note(&format!("line {}: {}", told.line, escape(fault)))?;
        }
    }
    desk.show(&summary(&report, what.keep_going), &report)?;
    Ok(if report.faults == 0 { Exit::Ok } else { Exit::Failed })
}

/// Has the good ones made, in as many requests as it takes.
async fn send(desk: &mut Desk<'_>, entries: &[Entry], what: &Import) -> Result<Vec<ServerImported>, Failure> {
    let is_spoilt = !what.keep_going && entries.iter().any(|entry| entry.record.is_err());
    let good: Vec<(usize, &ServerRecord)> =
        entries.iter().filter_map(|entry| Some((entry.line, entry.record.as_ref().ok()?))).collect();
    let mut results = Vec::with_capacity(good.len());
    for part in good.chunks(IMPORT_MAX) {
        let import = ImportServers {
            servers: part.iter().map(|(_, record)| request((*record).clone())).collect(),
            keep_going: what.keep_going,
            // A fault makes nothing, but whoever mends the file wants to hear of all of them at once.
            dry_run: what.dry_run || is_spoilt,
            reason: what.reason.clone(),
        };
        match wait(desk, desk.client.import_servers(&import), "brine server list").await {
            Ok(done) => results.extend(done),
            Err(failure) => {
                if let (false, false, Some((line, _))) = (results.is_empty(), what.dry_run, part.first()) {
                    // The failure itself is what matters, should this line not reach anybody.
                    let _ = desk.note(&format!(
                        "the records before line {line} are dealt with, those from there on are not"
                    ));
                }
                return Err(failure);
            }
        }
    }
    Ok(results)
}

fn form(path: &Path, said: Option<Form>) -> Result<Form, Failure> {
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    let by_name = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("csv" | "tsv") => Some(Form::Csv),
        Some("json") => Some(Form::Json),
        Some("jsonl" | "ndjson") => Some(Form::Jsonl),
        _ => None,
    };
    said.or(by_name).ok_or_else(|| {
        Failure::Usage(format!(
            "the name {} does not tell what it is; say --format csv, json or jsonl",
            path.display()
        ))
    })
}

fn whole(desk: &mut Desk<'_>, path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() != "-" {
        return Ok(file::read(path, FILE_MAX)?);
    }
    let failed = |reason| FileError::System { doing: "read", path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    (&mut *desk.input).take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FileError::TooLarge { path: path.to_owned(), max: FILE_MAX }.into());
    }
    Ok(bytes)
}

fn request(record: ServerRecord) -> ServerRequest {
    let ServerRecord { name, model, zone, site, labels, minion_id, external_id } = record;
    ServerRequest {
        name,
        model,
        zone,
        site,
        labels,
        minion_id,
        external_id,
        preseed: false,
        bundle: PreseedWish::default(),
        reason: None,
    }
}

/// Puts the master's results, which are about the good records, back among all of them.
fn report(entries: Vec<Entry>, results: Vec<ServerImported>, what: &Import) -> Report {
    let mut results = results.into_iter();
    let mut report = Report { dry_run: what.dry_run, ..Report::default() };
    for Entry { line, record } in entries {
        let told = match record {
            Err(fault) => Told { line, id: None, made: false, refused: Some(fault) },
            Ok(_) => {
                let result = results.next().expect("the client checks that each record has a result");
                Told { line, id: result.id, made: result.made, refused: result.refused }
            }
        };
        match (&told.refused, told.made) {
            (Some(_), _) => report.faults += 1,
            (None, true) => report.made += 1,
            (None, false) => report.there += 1,
        }
        report.records.push(told);
    }
    if report.faults > 0 && !what.keep_going {
        report.made = 0;
        for told in &mut report.records {
            told.made = false;
        }
    }
    report
}

fn summary(report: &Report, keep_going: bool) -> String {
    let Report { made, there, faults, dry_run, records } = report;
    let all = records.len();
    if *faults > 0 && !keep_going {
        return format!(
            "{faults} of {all} records cannot be made, so none was; mend them, or make the others with --keep-going\n"
        );
    }
    let done = if *dry_run { "would be made" } else { "made" };
    let mut text = format!("{made} of {all} records {done}");
    if *there > 0 {
        text.push_str(&format!(", {there} there already"));
    }
    if *faults > 0 {
        text.push_str(&format!(", {faults} refused"));
    }
    text.push_str(if *dry_run { "; nothing was changed\n" } else { "\n" });
    text
}

#[cfg(test)]
mod tests {
    use brine_protocol::control::{Problem, ProblemKind};
    use serde_json::{Value, json};

    use super::super::tests::{Fake, refusal, server};
    use super::*;

    /// Refuses what is called `bad`, and knows `old` already.
    fn fake() -> Fake {
        Fake::new(|line, body| {
            assert_eq!(line, "POST /v1/servers/import");
            let is_dry = body["dry_run"] == json!(true);
            let servers = body["servers"].as_array().expect("a list").iter();
            servers
                .map(|request| {
                    let name = request["name"].as_str().expect("a name");
                    let refused =
                        (name == "bad").then(|| "another record has this external id\u{1b}".to_owned());
                    let id = (refused.is_none() && !is_dry).then(|| server(1, "").id);
                    json!(ServerImported { id, made: refused.is_none() && name != "old", refused })
                })
                .collect()
        })
    }

    const GOOD: &str = "name,model\nweb1,m\nold,m\n";
    const BAD: &str = "name,model\nweb1,m\nweb2,\nbad,m\nold,m\n";

    #[tokio::test]
    async fn all_or_nothing() {
        let fake = fake();
        let ran = fake.run("server import - --format csv", GOOD).await;
        assert_eq!((ran.exit(), ran.out.as_str()), (Exit::Ok, "1 of 2 records made, 1 there already\n"));

        let ran = fake.run("server import - --format csv", BAD).await;
        assert_eq!(ran.exit(), Exit::Failed);
        assert_eq!(
            ran.err, "line 3: the model is empty\nline 4: another record has this external id\\u{1b}\n",
            "all faults at once"
        );
        assert!(ran.out.starts_with("2 of 4 records cannot be made, so none was;"), "{}", ran.out);

        let ran = fake.run("server import - --format csv --keep-going --out json", BAD).await;
        assert_eq!(ran.exit(), Exit::Failed);
        let report: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((&report["made"], &report["there"], &report["faults"]), (&json!(1), &json!(1), &json!(2)));
        assert_eq!(report["records"][0], json!({"line": 2, "id": server(1, "").id, "made": true}));
        assert_eq!(report["records"][1], json!({"line": 3, "made": false, "refused": "the model is empty"}));
    }

    #[tokio::test]
    async fn a_dry_run_says_what_would_be() {
        let fake = fake();
        let ran = fake.run("server import - --format csv --dry-run", GOOD).await;
        assert_eq!(
            (ran.exit(), ran.out.as_str()),
            (Exit::Ok, "1 of 2 records would be made, 1 there already; nothing was changed\n")
        );
        let ran = fake.run("server import - --format csv --dry-run --keep-going", BAD).await;
        assert_eq!(ran.exit(), Exit::Failed);
        assert_eq!(
            ran.out,
            "1 of 4 records would be made, 1 there already, 2 refused; nothing was changed\n"
        );
    }

    #[tokio::test]
    async fn what_is_too_much_for_one_request_goes_in_several_or_not_at_all() {
        let fake = Fake::new(|_, body| {
            let servers = body["servers"].as_array().expect("a list");
            assert!(servers.len() <= IMPORT_MAX, "a master takes no more");
            if servers.iter().any(|request| request["name"] == json!("stop")) {
                return refusal(&Problem::new(ProblemKind::Busy, "later"));
            }
            servers.iter().map(|_| json!(ServerImported { id: None, made: true, refused: None })).collect()
        });
        let many = format!("name,model\n{}", "web,m\n".repeat(IMPORT_MAX));
        let ran = fake.run("server import - --format csv", &many).await;
        assert_eq!((ran.exit(), fake.asked("POST")), (Exit::Ok, 1));
        fake.forget();
        let more = format!("{many}web,\nweb,m\n");
        for line in ["server import - --format csv", "server import - --format csv --dry-run"] {
            let (exit, why) = fake.run(line, &more).await.failure();
            assert_eq!((exit, fake.asked("POST")), (Exit::Failed, 0), "{line}");
            assert!(why.starts_with("-: 10002 records") && why.contains("split it"), "{why}");
        }
        let ran = fake.run("server import - --format csv --keep-going", &more).await;
        assert_eq!((ran.out.as_str(), fake.asked("POST")), ("10001 of 10002 records made, 1 refused\n", 2));
        assert_eq!(ran.err, "line 10002: the model is empty\n", "in the file's own lines");
        let ran = fake.run("server import - --format csv --keep-going", &format!("{many}stop,m\n")).await;
        assert!(ran.err.contains("the records before line 10002 are dealt with"), "{}", ran.err);
        assert_eq!(ran.failure().1, "later");
    }

    #[tokio::test]
    async fn files_tell_by_their_names_what_they_are() {
        let fake = fake();
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("a.csv", "name,model\nweb1,m\n"),
            ("a.JSON", "[{\"name\": \"web1\", \"model\": \"m\"}]"),
            ("a.jsonl", "{\"name\": \"web1\", \"model\": \"m\"}\n"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            let ran = fake.run(&format!("server import {}", path.display()), "").await;
            assert_eq!(ran.out, "1 of 1 records made\n", "{name}");
        }
        fake.forget();
        for (line, input, expected) in [
            ("server import -", GOOD, (Exit::Usage, "--format")),
            ("server import - --format csv", "name,model\n", (Exit::Failed, "-: there is no record in it")),
            ("server import - --format json", GOOD, (Exit::Failed, "-: line 1: a JSON file is an array")),
            ("server import /no/such.csv", "", (Exit::Failed, "cannot read /no/such.csv")),
        ] {
            let (exit, why) = fake.run(line, input).await.failure();
            assert!(exit == expected.0 && why.contains(expected.1), "{line}: {why}");
        }
        let large = "x".repeat(FILE_MAX as usize + 1);
        let (exit, why) = fake.run("server import - --format csv", &large).await.failure();
        assert!(exit == Exit::Failed && why.contains("larger than"), "{why}");
        assert_eq!(fake.asked(""), 0);
    }
}
