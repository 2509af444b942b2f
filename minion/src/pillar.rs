//! The minion's pillar, as its master told it: in memory and nowhere else.
//!
//! **Invariant:** `Debug` of anything here shows no values, and nothing here is written to a disk
//! or to the log.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A pillar. Cheap to clone.
#[derive(Clone, Default, PartialEq)]
pub struct Held(Arc<Map<String, Value>>);

impl From<Map<String, Value>> for Held {
    fn from(pillar: Map<String, Value>) -> Self {
        Self(Arc::new(pillar))
    }
}

impl Deref for Held {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} keys)", self.0.len())
    }
}

/// A job that wants the pillar anew: told when it is here, or why it is not.
pub type Ask = oneshot::Sender<Result<(), String>>;

/// What [`Pillars::refresh`] gives.
pub type Refreshing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The pillar that jobs see, and their way to ask for it anew.
#[derive(Debug, Default)]
pub struct Pillars {
    held: RwLock<Held>,
    asks: Option<mpsc::UnboundedSender<Ask>>,
}

/// The pillar of a minion with a master, and where its jobs' asking ends. Empty until the master
/// has told it.
#[must_use]
pub fn channel() -> (Arc<Pillars>, mpsc::UnboundedReceiver<Ask>) {
    let (asks, received) = mpsc::unbounded_channel();
    (Arc::new(Pillars { held: RwLock::default(), asks: Some(asks) }), received)
}

impl Pillars {
    /// The pillar as it is now.
    #[must_use]
    pub fn all(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pillar is this from now on.
    pub fn set(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Has the master read its files again and tell the pillar anew, and waits until it is here,
    /// but no longer than `patience`.
    #[must_use]
    pub fn refresh(&self, patience: Duration) -> Refreshing {
        let asks = self.asks.clone();
        Box::pin(async move {
            let Some(asks) = asks else {
                return Err("there is no master to ask: run brine.refresh_pillar on this minion from there"
                    .to_owned());
            };
            let (told, is_told) = oneshot::channel();
            let stopping = || "the minion stops".to_owned();
            asks.send(told).map_err(|_| stopping())?;
            match timeout(patience, is_told).await {
                Ok(answer) => answer.map_err(|_| stopping())?,
                Err(_) => Err(format!(
                    "the master has not sent the pillar within {} s; what this minion had stays until it does",
                    patience.as_secs_f64()
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(value: &Value) -> Held {
        value.as_object().unwrap().clone().into()
    }

    #[test]
    fn what_is_held_does_not_show() {
        let (pillars, _asks) = channel();
        pillars.set(held(&json!({"password": "canary"})));
        assert_eq!(pillars.all()["password"], "canary");
        let shown = format!("{pillars:?} {:?}", pillars.all());
        assert!(!shown.contains("canary") && !shown.contains("password"), "{shown}");
    }

    #[tokio::test]
    async fn a_refresh_waits_for_the_driver_but_not_for_ever() {
        let (pillars, mut asks) = channel();
        for answer in [Ok(()), Err("the files are broken".to_owned())] {
            let job = tokio::spawn(pillars.refresh(Duration::from_secs(10)));
            asks.recv().await.unwrap().send(answer.clone()).unwrap();
            assert_eq!(job.await.unwrap(), answer);
        }
        let job = tokio::spawn(pillars.refresh(Duration::from_millis(20)));
        let ask = asks.recv().await.unwrap();
        assert!(job.await.unwrap().unwrap_err().contains("within 0.02 s"));
        assert!(ask.is_closed());
        drop(asks);
        assert_eq!(pillars.refresh(Duration::from_secs(1)).await, Err("the minion stops".to_owned()));
        let why = Pillars::default().refresh(Duration::from_secs(1)).await.unwrap_err();
        assert!(why.contains("no master"), "{why}");
    }
}
