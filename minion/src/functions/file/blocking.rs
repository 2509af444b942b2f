//! Work that waits for disks, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::Fault;

/// Tells work on another thread that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub(in crate::functions) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends work that was cancelled. Loops over files and blocks ask at each step.
    pub(in crate::functions) fn check(&self) -> Result<(), Fault> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Fault::Execution("the job was ended".to_owned()));
        }
        Ok(())
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread that may wait. Dropping the future tells the work to stop; a single
/// change to a file is done as a whole even then.
pub(in crate::functions) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let guard = StopOnDrop(Stop::default());
    let stop = guard.0.clone();
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Fault::Execution("the minion is stopping".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_to_stop() {
        let (tell, told) = mpsc::channel();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let work = blocking(move |stop| -> Result<(), Fault> {
            begin.send(()).unwrap();
            while stop.check().is_ok() {
                std::thread::yield_now();
            }
            tell.send(()).unwrap();
            Ok(())
        });
        tokio::select! {
            _ = work => panic!("it only ends when it is dropped"),
            begun = begun => begun.unwrap(),
        }
        let stopped =
            tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(10))).await.unwrap();
        assert!(stopped.is_ok());
    }
}
