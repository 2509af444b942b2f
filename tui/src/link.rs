//! The one place that talks to the master: follows its events, fetches what changed, performs
//! acts, and comes back by itself when the master does.
//!
//! **Invariant:** the event stream is open before the list is fetched, so nothing falls between
//! the two.

mod dirty;
mod records;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, EventStream};
use brine_protocol::MinionId;
use brine_protocol::control::{Event, Key, KeyActRequest, KeysQuery, PairRequest};
use brine_protocol::server::ServerId;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

use crate::app::batch::Outcome;
use crate::app::keys::Row;
use crate::app::plan::Step;
use crate::app::{Contact, Decided, News};
use dirty::{Dirty, Fetch};
use records::Records;

/// What happens to keys, to server records, to the minions that come and go, and to the master's
/// own key. One glob is what the master takes.
const TAGS: &str = "brine/[kms]*";

/// Keys in one request of an act: small enough that progress shows, large enough that it is not
/// the requests that take the time.
const ACTS_AT_ONCE: usize = 20;

/// Between two attempts to reach a master that went away.
const RETRY: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_secs(1), Duration::from_secs(2)];

/// Health is fetched with keys, and no more often than this: counting keys is work for a master.
const HEALTH_PAUSE: Duration = Duration::from_secs(3);

/// What the screen asks for.
#[derive(Debug)]
pub(crate) enum Order {
    Act { steps: Vec<Step>, reason: Option<String> },
    Pair { server: ServerId, request: PairRequest },
    Records(BTreeSet<ServerId>),
    NoRecords,
    History(MinionId),
    Refetch(Option<MinionId>),
}

/// Opens the event stream and fetches everything there is to show.
///
/// # Errors
/// There is no master, or it says no.
pub(crate) async fn contact(client: &Client) -> Result<(EventStream, Contact), ClientError> {
    let events = client.events(Some(TAGS), None).await?;
    let whoami = client.whoami().await?;
    let health = client.health().await?;
    let rows = fetch(client, None).await?;
    Ok((events, Contact { whoami, health, rows }))
}

/// The keys, without the public keys: those are most of an answer, and nobody reads them here.
async fn fetch(client: &Client, id: Option<MinionId>) -> Result<Vec<Row>, ClientError> {
    let query = KeysQuery { id, public_key: false };
    let keys: Vec<Key> = client.keys_of(&query).await?;
    Ok(keys.into_iter().map(Row::new).collect())
}

/// Follows the master until nobody listens any more.
pub(crate) async fn follow(
    client: Client,
    events: EventStream,
    news: mpsc::Sender<News>,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    let (dirty, records) = (Dirty::default(), Records::default());
    let mut link = Link { client, news, orders, dirty, records, last_health: None };
    let mut events = events;
    link.dirty.clean(Instant::now());
    loop {
        let Some(why) = link.live(events).await else { return };
        if link.tell(News::Lost(why)).await.is_err() {
            return;
        }
        match link.come_back().await {
            Some(again) => events = again,
            None => return,
        }
    }
}

/// Nobody listens any more.
struct Gone;

struct Link {
    client: Client,
    news: mpsc::Sender<News>,
    orders: mpsc::UnboundedReceiver<Order>,
    dirty: Dirty,
    records: Records,
    last_health: Option<Instant>,
}

impl Link {
    async fn tell(&self, news: News) -> Result<(), Gone> {
        self.news.send(news).await.map_err(|_| Gone)
    }

    /// Follows events until the master goes away; returns why, or none when nobody listens.
    async fn live(&mut self, mut events: EventStream) -> Option<String> {
        loop {
            let due = self.dirty.due().into_iter().chain(self.records.due()).min();
            tokio::select! {
                event = events.next() => match event {
                    Ok(Some(event)) => self.on_event(&event).await.ok()?,
                    Ok(None) => {
                        self.dirty.everything(Instant::now());
                        self.records.touch(Instant::now());
                        self.tell(News::Missed).await.ok()?;
                    }
                    Err(error) => return Some(error.to_string()),
                },
                order = self.orders.recv() => self.on_order(order?),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if let Err(error) = self.refresh().await {
                        return Some(error?.to_string());
                    }
                }
            }
        }
    }

    async fn on_event(&mut self, event: &Event) -> Result<(), Gone> {
        match heard(event) {
            Heard::Key(id, decided) => {
                self.dirty.id(id, Instant::now());
                match decided {
                    Some(decided) => self.tell(News::Decided(decided)).await,
                    None => Ok(()),
                }
            }
            Heard::Presence(id) => {
                self.dirty.id(id, Instant::now());
                Ok(())
            }
            Heard::Record(id, minion) => {
                self.records.touch(Instant::now());
                match minion {
                    Some(minion) => self.dirty.id(minion, Instant::now()),
                    // Any key that waits may be one that the record expects, or that names it.
                    None => self.dirty.everything(Instant::now()),
                }
                self.tell(News::Record(id)).await
            }
            Heard::Master => {
                self.last_health = None;
                self.dirty.everything(Instant::now());
                Ok(())
            }
            Heard::Nothing => Ok(()),
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Act { steps, reason } => {
                tokio::spawn(act(self.client.clone(), self.news.clone(), steps, reason));
            }
            Order::Pair { server, request } => {
                tokio::spawn(pair(self.client.clone(), self.news.clone(), server, request));
            }
            Order::Records(also) => self.records.want(also, Instant::now()),
            Order::NoRecords => self.records.forget(),
            Order::History(id) => {
                tokio::spawn(history(self.client.clone(), self.news.clone(), id));
            }
            Order::Refetch(Some(id)) => self.dirty.id(id, Instant::now()),
            Order::Refetch(None) => {
                self.dirty.everything(Instant::now());
                self.records.touch(Instant::now());
            }
        }
    }

    /// Fetches what is due.
    ///
    /// # Errors
    /// Why the master gave no answer; none when nobody listens any more.
    async fn refresh(&mut self) -> Result<(), Option<ClientError>> {
        if let Some(also) = self.records.take(Instant::now()) {
            let answer = match records::fetch(&self.client, also).await {
                Ok(servers) => Ok(servers),
                // Not to be shown records is no reason to be shown nothing.
                Err(error @ (ClientError::Refused(_) | ClientError::Protocol(_))) => Err(error.to_string()),
                Err(error @ ClientError::Unreachable { .. }) => return Err(Some(error)),
            };
            self.tell(News::Records(answer)).await.map_err(|Gone| None)?;
        }
        match self.dirty.take(Instant::now()) {
            None => return Ok(()),
            Some(Fetch::Whole) => {
                let rows = fetch(&self.client, None).await?;
                self.tell(News::Keys(rows)).await.map_err(|Gone| None)?;
            }
            Some(Fetch::Ids(ids)) => {
                for id in ids {
                    let rows = fetch(&self.client, Some(id.clone())).await?;
                    self.tell(News::KeysOf(id, rows)).await.map_err(|Gone| None)?;
                }
            }
        }
        if self.last_health.is_none_or(|last| last.elapsed() >= HEALTH_PAUSE) {
            self.last_health = Some(Instant::now());
            let health = Box::new(self.client.health().await?);
            self.tell(News::Health(health)).await.map_err(|Gone| None)?;
        }
        Ok(())
    }

    /// Tries until the master answers; none when nobody listens any more.
    async fn come_back(&mut self) -> Option<EventStream> {
        let mut pauses = RETRY.iter().copied().chain(std::iter::repeat(RETRY[RETRY.len() - 1]));
        loop {
            let pause = sleep(pauses.next()?);
            tokio::pin!(pause);
            // Orders are not kept for later: what somebody wants then may be something else.
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    order = self.orders.recv() => self.refuse(order?).await?,
                }
            }
            match contact(&self.client).await {
                Ok((events, contact)) => {
                    self.dirty.clean(Instant::now());
                    self.records.touch(Instant::now());
                    self.tell(News::Back(Box::new(contact))).await.ok()?;
                    return Some(events);
                }
                Err(error) => self.tell(News::Lost(error.to_string())).await.ok()?,
            }
        }
    }

    async fn refuse(&mut self, order: Order) -> Option<()> {
        let why = "not connected to the master".to_owned();
        match order {
            Order::Act { steps, .. } => {
                self.tell(News::Acted(vec![Outcome::Refused(why); steps.len()])).await.ok()?;
                self.tell(News::ActsOver).await.ok()
            }
            Order::Pair { .. } => self.tell(News::Paired(Outcome::Refused(why))).await.ok(),
            Order::Records(also) => {
                // They are fetched when the master is back, unless they are no longer wanted then.
                self.records.want(also, Instant::now());
                self.tell(News::Records(Err(why))).await.ok()
            }
            Order::NoRecords => {
                self.records.forget();
                Some(())
            }
            Order::History(id) => self.tell(News::History(id, Err(why))).await.ok(),
            Order::Refetch(_) => Some(()),
        }
    }
}

/// What an event means for the screen.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Keys of this id changed, by a decision or not.
    Key(MinionId, Option<Decided>),
    /// A minion came or went.
    Presence(MinionId),
    /// This record came, changed or went, or its link did; its minion, if only that is concerned.
    Record(ServerId, Option<MinionId>),
    /// The master's own key.
    Master,
    Nothing,
}

fn heard(event: &Event) -> Heard {
    let parts: Vec<&str> = event.tag.split('/').collect();
    match parts.as_slice() {
        ["brine", "key", id, what] => {
            let Ok(id) = id.parse::<MinionId>() else { return Heard::Nothing };
            let text = |field: &str| event.data.get(field).and_then(|value| value.as_str());
            let fingerprint = text("fingerprint").and_then(|text| text.parse().ok());
            let decided = text("by").map(|by| Decided {
                id: id.clone(),
                fingerprint,
                what: (*what).to_owned(),
                by: Some(by.to_owned()),
            });
            Heard::Key(id, decided)
        }
        ["brine", "minion", id, "start" | "stop"] => id.parse().map_or(Heard::Nothing, Heard::Presence),
        ["brine", "server", id, what] => {
            let minion = || event.data.get("minion")?.as_str()?.parse().ok();
            let minion = minion().filter(|_| matches!(*what, "linked" | "unlinked"));
            id.parse().map_or(Heard::Nothing, |id| Heard::Record(id, minion))
        }
        ["brine", "master", ..] => Heard::Master,
        _ => Heard::Nothing,
    }
}

async fn history(client: Client, news: mpsc::Sender<News>, id: MinionId) {
    let history = client.history(&id).await.map_err(|error| error.to_string());
    // Nobody listens any more: then nobody misses it.
    let _ = news.send(News::History(id, history)).await;
}

/// Pairs a key with a record, and tells what became of it.
async fn pair(client: Client, news: mpsc::Sender<News>, server: ServerId, request: PairRequest) {
    let outcome = client.pair(server, &request).await.map_or_else(|error| failed(&error), |_| Outcome::Done);
    // Nobody listens any more: then nobody misses it.
    let _ = news.send(News::Paired(outcome)).await;
}

/// Performs steps in parts, and tells of each part what became of it.
async fn act(client: Client, news: mpsc::Sender<News>, steps: Vec<Step>, reason: Option<String>) {
    let mut is_lost = false;
    for part in parts(&steps) {
        let results = if is_lost {
            vec![Outcome::Refused("not tried, because the master went away".to_owned()); part.len()]
        } else {
            let keys = part.iter().map(Step::key_name).collect();
            let request = KeyActRequest { act: part[0].act, keys, reason: reason.clone() };
            match client.act(&request).await {
                Ok(results) => {
                    let outcome = |refused: Option<String>| refused.map_or(Outcome::Done, Outcome::Refused);
                    results.into_iter().map(|result| outcome(result.refused)).collect()
                }
                Err(error) => {
                    is_lost = matches!(error, ClientError::Unreachable { .. });
                    vec![failed(&error); part.len()]
                }
            }
        };
        if news.send(News::Acted(results)).await.is_err() {
            return;
        }
    }
    let _ = news.send(News::ActsOver).await;
}

/// Runs of the same act, in the size of one request.
fn parts(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|a, b| a.act == b.act).flat_map(|run| run.chunks(ACTS_AT_ONCE))
}

fn failed(error: &ClientError) -> Outcome {
    if error.leaves_doubt() {
        Outcome::Unknown(format!("it is not known whether it was done: {error}"))
    } else {
        Outcome::Refused(error.to_string())
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
