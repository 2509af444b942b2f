//! Keys for server records, and their bundles.
//!
//! A key is made beside the loop, one at a time. Files of bundles are written, read and wiped only
//! here, in the loop, so that they and the ledger's lines about them have one order; and a key
//! whose making outlives the process's hold on its ledger is never written.

use std::sync::Arc;

use brine_pki::key::PrivateKey;

use super::Driver;
use super::keys::{Done, KeyWork};
use crate::bundles::Head;
use crate::engine::{BundleDone, BundleStep, BundleWish, Input, MadeKey};

/// A key for a server record that was made, or could not be.
pub(super) struct Made {
    wish: BundleWish,
    key: Result<PrivateKey, String>,
}

impl KeyWork {
    /// Makes a key on a thread of its own when it is its turn. The end of the process does not wait
    /// for it.
    fn preseed(&self, wish: BundleWish, bits: usize) {
        let (done, makers) = (self.done.clone(), Arc::clone(&self.makers));
        tokio::spawn(async move {
            let Ok(permit) = makers.acquire_owned().await else { return };
            let report = done.clone();
            let failed = Made { wish: wish.clone(), key: Err(String::new()) };
            let make = move || {
                let key = PrivateKey::generate(bits).map_err(|error| error.to_string());
                drop(permit);
                // Nobody listens when the master stops.
                let _ = report.send(Done::Preseeded(Box::new(Made { wish, key })));
            };
            if let Err(error) = std::thread::Builder::new().name("make-key".to_owned()).spawn(make) {
                let key = Err(format!("cannot start a thread: {error}"));
                let _ = done.send(Done::Preseeded(Box::new(Made { key, ..failed })));
            }
        });
    }
}

impl Driver {
    pub(super) fn on_bundle_step(&mut self, step: BundleStep, work: &KeyWork) {
        match step {
            BundleStep::Make(mut wish) => {
                wish.master = wish.master.or_else(|| self.master_address.clone());
                work.preseed(wish, self.config.keysize);
            }
            BundleStep::Keep(server) => {
                if let Err(error) = self.bundles.keep(server) {
                    tracing::error!(%error, "a new bundle is not in its place; the next start puts it there");
                }
            }
            BundleStep::Drop(server) => {
                if let Err(error) = self.bundles.drop_new(server) {
                    tracing::error!(%error, "a bundle that nobody gets is not gone; the next start removes it");
                }
            }
            BundleStep::Take { server, key } => {
                let taken = self.bundles.take(server, key).map_err(|error| error.to_string());
                self.engine.handle(Input::Bundle(BundleDone::Taken { server, taken }), self.clock.now());
            }
            BundleStep::Wipe(server) => {
                if let Err(error) = self.bundles.wipe(server) {
                    tracing::error!(%error, "a bundle that nobody needs is not gone; the next start removes it");
                }
            }
        }
    }

    /// A key was made: its bundle is on disk before the ledger hears of it.
    pub(super) fn on_preseeded(&mut self, made: Made) -> Input {
        let Made { wish, key } = made;
        let (server, number, until) = (wish.server, wish.number, wish.until(self.clock.now().wall));
        let made = key.and_then(|key| {
            let no_address = "this master does not know where minions reach it: set master_address";
            let head = Head {
                server,
                minion: wish.minion,
                master: wish.master.ok_or(no_address)?,
                publish_port: self.state.publish_port,
                ret_port: self.state.ret_port,
                until,
            };
            let bundle = head.bundle(&key, self.keys.key().public());
            self.bundles.write(server, &bundle).map_err(|error| error.to_string())?;
            Ok(MadeKey { key: key.public().clone(), until })
        });
        Input::Bundle(BundleDone::Made { server, number, made, gone: self.desk.gone() })
    }
}
