//! Answers that go on: a job's rows as they come, and the event stream (server-sent events,
//! WHATWG HTML §9.2).

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use brine_protocol::control::{Event, JobEvent, Problem, ProblemKind};
use brine_protocol::job::Job;
use brine_protocol::{Jid, MinionId, glob};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::reply::Reply;
use super::{Api, unexpected};
use crate::driver::Follow;
use crate::engine::{Answer, Ask};
use crate::roles::Principal;

/// Query of `GET /v1/events`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Only events whose tag matches.
    #[serde(default)]
    tag: Option<String>,
}

/// A job that the caller may see.
pub(super) async fn visible_job(api: &Arc<Api>, principal: &Principal, jid: Jid) -> Result<Job, Problem> {
    let job = api.read(move |store| store.job(jid)).await?;
    match job {
        Some(job) if principal.may_see_job_of(&job.principal) => Ok(job),
        Some(_) => Err(Problem::new(ProblemKind::Forbidden, format!("{principal} may not see job {jid}"))),
        None => Err(Problem::new(
            ProblemKind::NotFound,
            format!("there is no job {jid}, or it is no longer kept"),
        )),
    }
}

/// The events of a job that was just made.
pub(super) fn live(received: mpsc::UnboundedReceiver<JobEvent>) -> Response {
    job_stream(VecDeque::new(), received, BTreeSet::new())
}

/// The events of any job: what has ended first, then what ends.
pub(super) async fn follow(api: &Arc<Api>, principal: Principal, jid: Jid) -> Reply {
    let job = visible_job(api, &principal, jid).await?;
    let (events, received) = mpsc::unbounded_channel();
    let follow = Follow { jid: Some(jid), events };
    let Answer::Following { is_open } = api.ask(principal, Ask::Follow(jid), Some(follow)).await? else {
        return Err(unexpected().into());
    };
    // Rows that are stored from here on come live as well; the stream leaves out the second copy.
    let rows = api.read(move |store| store.rows(jid)).await?;
    let mut past = VecDeque::from([JobEvent::Job(Box::new(job))]);
    let seen: BTreeSet<MinionId> = rows.keys().cloned().collect();
    past.extend(rows.into_values().map(|row| JobEvent::Row(Box::new(row))));
    if !is_open {
        past.push_back(JobEvent::End);
    }
    Ok(job_stream(past, received, seen))
}

struct JobFeed {
    past: VecDeque<JobEvent>,
    live: mpsc::UnboundedReceiver<JobEvent>,
    seen: BTreeSet<MinionId>,
    number: u64,
    is_over: bool,
}

fn job_stream(
    past: VecDeque<JobEvent>,
    live: mpsc::UnboundedReceiver<JobEvent>,
    seen: BTreeSet<MinionId>,
) -> Response {
    let feed = JobFeed { past, live, seen, number: 0, is_over: false };
    let events = stream::unfold(feed, async |mut feed| {
        let event = feed.next().await?;
        feed.number += 1;
        feed.is_over = event == JobEvent::End;
        let sent = Sent::default().event(event.name()).id(feed.number.to_string());
        let data = serde_json::to_string(&event).expect("a job's events are plain data");
        Some((Ok(sent.data(data)), feed))
    });
    respond(events)
}

impl JobFeed {
    async fn next(&mut self) -> Option<JobEvent> {
        if self.is_over {
            return None;
        }
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        loop {
            match self.live.recv().await? {
                JobEvent::Row(row) if self.seen.contains(&row.id) => {}
                event => return Some(event),
            }
        }
    }
}

/// The event stream. Job events are for those who may see everybody's jobs; a job's own events
/// are at `/v1/jobs/<jid>/follow`.
pub(super) fn events(
    api: &Arc<Api>,
    principal: &Principal,
    query: EventsQuery,
    headers: &HeaderMap,
) -> Reply {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Problem::new(ProblemKind::BadRequest, "Last-Event-ID is not a number"))?)
        }
    };
    let principal = principal.clone();
    let (past, live, is_gap) = api.desk.events_since(last);
    let wanted = move |event: &Event| {
        principal.sees_event(event) && query.tag.as_deref().is_none_or(|tag| glob::matches(tag, &event.tag))
    };
    let mut first = VecDeque::new();
    if is_gap {
        first.push_back(gap());
    }
    first.extend(past.iter().filter(|event| wanted(event)).map(|event| sent(event)));
    let events = stream::unfold((first, live, wanted), async |(mut first, mut live, wanted)| {
        if let Some(event) = first.pop_front() {
            return Some((Ok(event), (first, live, wanted)));
        }
        loop {
            match live.recv().await {
                Ok(event) if wanted(&event) => return Some((Ok(sent(&event)), (first, live, wanted))),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some((Ok(gap()), (first, live, wanted))),
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(respond(events))
}

fn sent(event: &Event) -> Sent {
    let data = serde_json::to_string(event).expect("an event is plain data");
    Sent::default().event(&event.tag).id(event.id.to_string()).data(data)
}

/// Told when events were missed: what is shown has to be read anew.
fn gap() -> Sent {
    Sent::default().event("brine/gap").data("{}")
}

fn respond(events: impl Stream<Item = Result<Sent, Infallible>> + Send + 'static) -> Response {
    let beat = KeepAlive::new().interval(Duration::from_secs(10)).text("beat");
    Sse::new(events).keep_alive(beat).into_response()
}
