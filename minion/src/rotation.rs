//! How a job asks for another key: from `brine.rotate_key` to the driver and back.
//!
//! The driver owns the keys; a job only asks and waits. What it asked for goes on when it stops
//! waiting: a next key stays on disk until the master's answer is known.

use std::pin::Pin;
use std::time::Duration;

use brine_protocol::{Fingerprint, Jid};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long a job waits for the master's answer, once the next key is on disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// One key gave way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// The key that is worth nothing now.
    pub old: Fingerprint,
    /// The minion's key.
    pub new: Fingerprint,
}

/// A job that asks the driver for another key.
#[derive(Debug)]
pub struct Ask {
    /// The job.
    pub jid: Option<Jid>,
    /// Told when the next key is on disk; or why there is none.
    pub prepared: oneshot::Sender<Result<Fingerprint, String>>,
    /// Told when the next key has taken over; or why it never will.
    pub done: oneshot::Sender<Result<Turned, String>>,
}

/// What [`KeyChange::rotate`] gives.
pub type Rotating = Pin<Box<dyn Future<Output = Result<Turned, String>> + Send>>;

/// Who changes the minion's key.
pub trait KeyChange: Send + Sync {
    /// Makes a new key and waits until the master knows it, within reason.
    fn rotate(&self, jid: Option<Jid>) -> Rotating;
}

/// Nobody: the world of a call without a master.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMaster;

impl KeyChange for NoMaster {
    fn rotate(&self, _jid: Option<Jid>) -> Rotating {
        let why = "the key is rotated by the running minion together with its master: run brine.rotate_key on \
                   this minion from there";
        Box::pin(std::future::ready(Err(why.to_owned())))
    }
}

/// Asks the driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rotator {
    asks: mpsc::UnboundedSender<Ask>,
    patience: Duration,
}

/// The way to the driver, and its end there.
#[must_use]
pub fn channel() -> (Rotator, mpsc::UnboundedReceiver<Ask>) {
    let (asks, received) = mpsc::unbounded_channel();
    (Rotator { asks, patience: PATIENCE }, received)
}

impl KeyChange for Rotator {
    fn rotate(&self, jid: Option<Jid>) -> Rotating {
        let (asks, patience) = (self.asks.clone(), self.patience);
        Box::pin(async move {
            let stopping = || "the minion stops".to_owned();
            let ((prepared, is_prepared), (done, is_done)) = (oneshot::channel(), oneshot::channel());
            asks.send(Ask { jid, prepared, done }).map_err(|_| stopping())?;
            let next = is_prepared.await.map_err(|_| stopping())??;
            match timeout(patience, is_done).await {
                Ok(answer) => answer.map_err(|_| stopping())?,
                Err(_) => Err(format!(
                    "the new key {next} is prepared, and the master has not answered within {} s; the next session \
                     with it finishes the rotation, until then the old key works on",
                    patience.as_secs_f64()
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Fingerprint = Fingerprint([1; 32]);
    const NEW: Fingerprint = Fingerprint([2; 32]);

    #[tokio::test]
    async fn the_answer_is_the_drivers() {
        let (rotator, mut asks) = channel();
        let turned = Turned { old: OLD, new: NEW };
        for (prepared, done, expected) in [
            (Ok(NEW), Ok(turned), Ok(turned)),
            (Ok(NEW), Err("known here".to_owned()), Err("known here".to_owned())),
            (Err("no room".to_owned()), Ok(turned), Err("no room".to_owned())),
        ] {
            let job = tokio::spawn(rotator.rotate(None));
            let ask = asks.recv().await.unwrap();
            ask.prepared.send(prepared).unwrap();
            let _ = ask.done.send(done);
            assert_eq!(job.await.unwrap(), expected);
        }
        drop(asks);
        assert_eq!(rotator.rotate(None).await, Err("the minion stops".to_owned()));
    }

    #[tokio::test]
    async fn a_job_does_not_wait_for_ever_and_says_what_goes_on() {
        let (mut rotator, mut asks) = channel();
        rotator.patience = Duration::from_millis(20);
        let job = tokio::spawn(rotator.rotate(None));
        let ask = asks.recv().await.unwrap();
        ask.prepared.send(Ok(NEW)).unwrap();
        let why = job.await.unwrap().unwrap_err();
        assert!(why.contains("prepared") && why.contains(&NEW.to_string()), "{why}");
        assert!(why.contains("next session"), "{why}");
        assert!(ask.done.is_closed());
    }

    #[tokio::test]
    async fn without_a_master_it_is_refused_with_a_sentence() {
        assert!(NoMaster.rotate(None).await.unwrap_err().contains("from there"));
    }
}
