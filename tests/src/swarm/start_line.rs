//! Where signed Hellos wait for each other, once.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Barrier;

/// Opens when as many wait as it was made for, and stays open.
pub(super) struct StartLine {
    is_open: AtomicBool,
    barrier: Barrier,
}

impl StartLine {
    pub(super) fn of(count: usize) -> Self {
        Self { is_open: AtomicBool::new(count <= 1), barrier: Barrier::new(count.max(1)) }
    }

    pub(super) async fn wait(&self) {
        if !self.is_open.load(Ordering::Relaxed) {
            self.barrier.wait().await;
            self.is_open.store(true, Ordering::Relaxed);
        }
    }
}
