//! `brine jobs`: lists, one job in full, the end of one.

use brine_client::{Client, Exit};
use brine_local::output::{Colour, Format, Style, render_one, render_value, table};
use brine_protocol::control::{JobRow, JobSummary, JobView, JobsQuery, JobsState, Presence};
use brine_protocol::job::{Call, Delivery, Ending};
use brine_protocol::signal::SignalName;
use brine_protocol::target::TargetKind;
use brine_protocol::{Jid, MinionId};
use serde_json::{Value, json};

use super::failure::Failure;
use super::minions::presence_text;
use super::options::nouns::{JobFilters, JobsVerb};
use super::watch::reason;
use super::{document, print};

/// How many jobs are listed when it is not said.
const LISTED: u32 = 50;

/// The most jobs that a master lists for one request.
const PAGE: usize = 10_000;

pub(super) async fn run(client: &Client, verb: Option<JobsVerb>, style: &Style) -> Result<Exit, Failure> {
    match verb.unwrap_or(JobsVerb::List(JobFilters::default())) {
        JobsVerb::List(filters) => list(client, query(filters, false), style).await,
        JobsVerb::Active(filters) => list(client, query(filters, true), style).await,
        JobsVerb::Last(filters) => last(client, query(filters, false), style).await,
        JobsVerb::Show { jid } => show(client, jid, style).await,
        JobsVerb::Kill { jid } => kill(client, jid, style).await,
        JobsVerb::Term { jid } => signal(client, jid, SignalName::TERM, style).await,
        JobsVerb::Signal { jid, signal: which } => signal(client, jid, which, style).await,
    }
}

fn query(filters: JobFilters, active: bool) -> JobsQuery {
    let JobFilters { function, user, target, minion, since, until, failed, limit } = filters;
    JobsQuery {
        active,
        state: failed.then_some(JobsState::Failed),
        function,
        user,
        target,
        minion,
        since,
        until,
        before: None,
        limit: Some(usize::try_from(limit.unwrap_or(LISTED)).unwrap_or(usize::MAX)),
    }
}

async fn list(client: &Client, query: JobsQuery, style: &Style) -> Result<Exit, Failure> {
    let jobs = found(client, query).await?;
    match style.format {
        Format::Nested | Format::Txt => print(&list_table(&jobs))?,
        _ => print(&render_value(&document(&jobs), style))?,
    }
    Ok(Exit::Ok)
}

/// As many as are asked for, page by page: a master reads only so much for one request, and may
/// have found few of those that match by then.
async fn found(client: &Client, mut query: JobsQuery) -> Result<Vec<JobSummary>, Failure> {
    let wanted = query.limit.unwrap_or(PAGE);
    let mut jobs = Vec::new();
    loop {
        query.limit = Some((wanted - jobs.len()).min(PAGE));
        let page = client.jobs_page(&query).await?;
        jobs.extend(page.jobs);
        if page.next.is_none() || jobs.len() >= wanted {
            return Ok(jobs);
        }
        query.before = page.next;
    }
}

async fn last(client: &Client, query: JobsQuery, style: &Style) -> Result<Exit, Failure> {
    match found(client, JobsQuery { limit: Some(1), ..query }).await?.first() {
        Some(job) => show(client, job.jid, style).await,
        None => Err(Failure::Usage("there is no such job, or it is no longer kept".to_owned())),
    }
}

fn list_table(jobs: &[JobSummary]) -> String {
    let row = |job: &JobSummary| {
        vec![
            job.jid.to_string(),
            seconds(&job.submitted.to_string()),
            job.principal.clone(),
            job.target.clone(),
            job.functions.clone(),
            job.minions.to_string(),
            job.open.to_string(),
            job.failed.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    table::table(&["JID", "SUBMITTED", "BY", "TARGET", "FUNCTION", "MINIONS", "OPEN", "FAILED"], &rows)
}

/// A time without its fraction.
pub(super) fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

async fn show(client: &Client, jid: Jid, style: &Style) -> Result<Exit, Failure> {
    let view = client.job(jid).await?;
    match style.format {
        Format::Nested | Format::Txt => print(&page(&view, style))?,
        _ => print(&render_value(&document(&view), style))?,
    }
    Ok(Exit::Ok)
}

fn page(view: &JobView, style: &Style) -> String {
    let job = &view.job;
    let target = match job.target.kind {
        TargetKind::Glob => job.target.expression.clone(),
        kind => format!("-{} {}", kind.letter(), job.target.expression),
    };
    let open = view.rows.iter().filter(|row| row.ending.is_none()).count();
    let mut head = vec![
        ("jid", job.jid.to_string()),
        ("function", job.calls.iter().map(call_text).collect::<Vec<_>>().join("; ")),
        ("target", target),
        ("by", job.principal.clone()),
        ("submitted", job.submitted.to_string()),
        ("minions", format!("{}, {open} open", view.rows.len())),
    ];
    if let Delivery::Queue { ttl_ms } = job.delivery {
        head.push(("queued", format!("for {} s", ttl_ms as f64 / 1000.0)));
    }
    if let Some(limit) = job.job_timeout_ms {
        head.push(("job timeout", format!("{} s", limit as f64 / 1000.0)));
    }
    if job.detach {
        head.push(("detached", "yes".to_owned()));
    }
    let mut page = String::new();
    for (name, value) in head {
        page.push_str(&format!("{:<12} {}\n", format!("{name}:"), brine_local::output::escape(&value)));
    }
    for row in &view.rows {
        page.push('\n');
        page.push_str(&row_text(row, style));
    }
    page
}

/// A call as it was typed, more or less: words in JSON where they are not plain.
fn call_text(call: &Call) -> String {
    let word = |value: &Value| match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => text.clone(),
        other => other.to_string(),
    };
    let arguments = call.arguments.iter().map(word);
    let keywords = call.keywords.iter().map(|(name, value)| format!("{name}={}", word(value)));
    let words: Vec<String> =
        std::iter::once(call.function.clone()).chain(arguments).chain(keywords).collect();
    words.join(" ")
}

fn row_text(row: &JobRow, style: &Style) -> String {
    let nested = Style { format: Format::Nested, ..*style };
    let id = row.id.as_str();
    let mut text = match &row.ending {
        Some(Ending::Returned(returned)) => {
            let shown = render_one(id, &returned.value, &nested, returned.retcode);
            let cut = if returned.truncated { ", output cut off" } else { "" };
            shown + &format!("    [retcode {}, {} ms{cut}]\n", returned.retcode, returned.duration_ms)
        }
        Some(other) => {
            let sentence = match other.retcode() {
                Some(_) => format!("ERROR: {}", reason(other)),
                None => format!("Minion did not return. [{}]", reason(other)),
            };
            render_one(id, &json!(sentence), &nested, 1)
        }
        None => {
            let doing = match &row.presence {
                Some(Presence::Running) => "running".to_owned(),
                Some(presence) => format!("no return yet; {}", presence_text(presence)),
                None => "no return yet".to_owned(),
            };
            format!("{}:\n    [{doing}]\n", Colour::Yellow.paint(id, style.colours))
        }
    };
    for late in &row.late {
        let said = match late {
            Ending::Returned(returned) => format!("returned with retcode {}", returned.retcode),
            other => reason(other),
        };
        text.push_str(&format!("    [later, and without effect: {}]\n", brine_local::output::escape(&said)));
    }
    text
}

async fn kill(client: &Client, jid: Jid, style: &Style) -> Result<Exit, Failure> {
    let killed = client.kill(jid).await?;
    if style.format.is_for_programs() {
        print(&render_value(&document(&killed), style))?;
    } else if killed.cancelled.is_empty() {
        print("The job is not open on any minion: there is nothing to kill.\n")?;
    } else {
        let ids: Vec<&str> = killed.cancelled.iter().map(MinionId::as_str).collect();
        print(&format!("Job {jid} is being ended on: {}\n", ids.join(", ")))?;
    }
    Ok(Exit::Ok)
}

async fn signal(client: &Client, jid: Jid, signal: SignalName, style: &Style) -> Result<Exit, Failure> {
    let told = client.signal(jid, signal).await?;
    if style.format.is_for_programs() {
        print(&render_value(&document(&told), style))?;
    } else if told.signalled.is_empty() {
        print("The job runs on no minion that is connected: there is nothing to signal.\n")?;
    } else {
        let ids: Vec<&str> = told.signalled.iter().map(MinionId::as_str).collect();
        print(&format!("{signal} for job {jid} was sent to: {}\n", ids.join(", ")))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_every_minion() {
        let view: JobView = serde_json::from_value(json!({
            "jid": "20261122060732123407",
            "calls": [{"function": "cmd.run", "arguments": ["sleep 5", 3], "keywords": {"cwd": "/tmp"}}],
            "target": {"kind": "glob", "expression": "*"},
            "delivery": "now",
            "principal": "unix:0 (root)",
            "submitted": "2026-11-22T06:07:32.123400Z",
            "number": 4,
            "minions": [["m1", 1], ["m2", 1], ["m3", 1]],
            "rows": [
                {"id": "m1", "ending": {"state": "returned", "value": "a\nb", "retcode": 3, "duration_ms": 12}},
                {"id": "m2", "ending": {"state": "offline", "since": null},
                 "late": [{"state": "returned", "value": 1, "retcode": 0, "duration_ms": 1}]},
                {"id": "m3", "presence": {"is": "running"}},
            ],
        }))
        .expect("a job view");
        assert_eq!(
            page(&view, &Style::default()),
            "jid:         20261122060732123407\n\
             function:    cmd.run \"sleep 5\" 3 cwd=/tmp\n\
             target:      *\n\
             by:          unix:0 (root)\n\
             submitted:   2026-11-22T06:07:32.123400Z\n\
             minions:     3, 1 open\n\n\
             m1:\n    a\n    b\n    [retcode 3, 12 ms]\n\n\
             m2:\n    Minion did not return. [offline: never connected since its key was accepted]\n    \
             [later, and without effect: returned with retcode 0]\n\n\
             m3:\n    [running]\n"
        );
    }
}
