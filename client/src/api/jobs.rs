//! Jobs: lists of them, the end of one, signals.

use brine_protocol::Jid;
use brine_protocol::control::{
    JOBS_NEXT, JobSummary, JobsQuery, JobsState, Minion, MinionsQuery, SignalRequest, Signalled,
};
use brine_protocol::signal::SignalName;
use hyper::Method;

use super::{Client, percent};
use crate::error::ClientError;

/// A page of a list of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobsPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
    /// What to ask for as `before` to go on. With fewer jobs than were asked for, the master has
    /// read as much as it does for one request, and there may be more.
    pub next: Option<Jid>,
}

impl Client {
    /// `GET /v1/minions`: only those that are up, or only the others.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn minions_of(&self, query: &MinionsQuery) -> Result<Vec<Minion>, ClientError> {
        let up = query.up.map(|up| format!("?up={up}")).unwrap_or_default();
        self.read(&format!("/v1/minions{up}")).await
    }

    /// `GET /v1/jobs`, newest first: one page, without a word about further ones.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn jobs(&self, query: &JobsQuery) -> Result<Vec<JobSummary>, ClientError> {
        self.jobs_page(query).await.map(|page| page.jobs)
    }

    /// `GET /v1/jobs`, newest first, and where the next page begins.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn jobs_page(&self, query: &JobsQuery) -> Result<JobsPage, ClientError> {
        let path = format!("/v1/jobs?{}", written(query));
        let answer = self.exchange(Method::GET, &path, None, &[]).await?;
        let next = match answer.response.headers().get(JOBS_NEXT) {
            None => None,
            Some(jid) => Some(jid.to_str().ok().and_then(|jid| jid.parse().ok()).ok_or_else(|| {
                ClientError::Protocol(format!("{path}: its header {JOBS_NEXT} has no jid"))
            })?),
        };
        Ok(JobsPage { jobs: self.decode(&path, answer).await?, next })
    }

    /// `POST /v1/jobs/<jid>/signal`: signals its processes on the minions that run it.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn signal(&self, jid: Jid, signal: SignalName) -> Result<Signalled, ClientError> {
        self.write(&format!("/v1/jobs/{jid}/signal"), Some(&SignalRequest { signal })).await
    }
}

fn written(query: &JobsQuery) -> String {
    let JobsQuery { active, state, function, user, target, minion, since, until, before, limit } = query;
    let state = state.map(|state| match state {
        JobsState::Active => "active",
        JobsState::Failed => "failed",
    });
    let mut words = vec![format!("active={active}")];
    let mut say = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name}={}", percent(&value))));
    };
    say("state", state.map(str::to_owned));
    say("function", function.clone());
    say("user", user.clone());
    say("target", target.clone());
    say("minion", minion.as_ref().map(ToString::to_string));
    say("since", since.map(String::from));
    say("until", until.map(String::from));
    say("before", before.map(String::from));
    say("limit", limit.map(|limit| limit.to_string()));
    words.join("&")
}

#[cfg(test)]
mod tests {
    use brine_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_asked_for_is_written_so_that_it_can_be_read() {
        assert_eq!(written(&JobsQuery::default()), "active=false");
        let query = JobsQuery {
            active: true,
            state: Some(JobsState::Failed),
            function: Some("cmd.*".to_owned()),
            user: Some("unix:0 (a&b)".to_owned()),
            target: Some("G@os:Debian and é".to_owned()),
            minion: Some("web1".parse().expect("an id")),
            since: Some(Timestamp(0)),
            until: Some(Timestamp(1)),
            before: Some("20261122060732000100".parse().expect("a jid")),
            limit: Some(3),
        };
        assert_eq!(
            written(&query),
            "active=true&state=failed&function=cmd.%2A&user=unix%3A0%20%28a%26b%29\
             &target=G%40os%3ADebian%20and%20%C3%A9&minion=web1&since=1970-01-01T00%3A00%3A00.000000Z\
             &until=1970-01-01T00%3A00%3A00.000001Z&before=20261122060732000100&limit=3"
        );
    }
}
