//! Broadcasts, as a crowd in one process hears them.
//!
//! Each minion keeps its own epochs and its own sequence numbers, and refuses what a real one
//! refuses. What is the same for all of them is done once: the signature of a broadcast is
//! verified, its frame opened and its order parsed by the first who hears it, and whoever gets the
//! same bytes afterwards gets that order. Ten thousand machines have ten thousand processors for
//! it; this process would take them from the master. `check_each` does without.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use brine_pki::publish::{OVERHEAD, Reader};
use brine_protocol::MinionId;
use brine_protocol::message::{Epoch, Order, ToMinion};
use brine_protocol::target::{Expression, Known, Nodegroups};
use bytes::Bytes;
use serde_json::{Map, Value};

/// Broadcasts remembered: those that some minion may not have heard yet.
const RECENT_MAX: usize = 64;

/// Epochs of which some minion may still have the key.
const EPOCHS_MAX: usize = 1024;

/// Epochs that one minion keeps, and broadcasts it holds until their key comes; as the real one.
const EPOCHS_KEPT: usize = 64;
const HELD_MAX: usize = 64;

/// An order with its target read.
#[derive(Debug)]
pub struct Heard {
    /// The order.
    pub order: Arc<Order>,
    expression: Result<Expression, String>,
}

impl Heard {
    /// Reads the target of an order.
    #[must_use]
    pub fn new(order: Order) -> Self {
        let expression =
            Expression::parse(&order.target, &Nodegroups::new()).map_err(|error| error.to_string());
        Self { order: Arc::new(order), expression }
    }

    /// Whether the target means this minion; of a pillar, which the simulated one does not keep,
    /// the master's word is taken.
    ///
    /// # Errors
    /// Why not.
    pub fn is_meant(&self, id: &MinionId, grains: impl FnOnce() -> Map<String, Value>) -> Result<(), String> {
        let target = &self.order.target;
        let expression = self
            .expression
            .as_ref()
            .map_err(|error| format!("its target {:?} cannot be read here: {error}", target.to_string()))?;
        let uses = expression.uses();
        let grains = uses.grains.then(grains);
        let known = Known { id, grains: grains.as_ref(), pillar: None, record: None };
        if uses.pillar || expression.matches(&known) {
            Ok(())
        } else {
            Err(format!("no longer matches: {id} is not in the target {:?}", target.to_string()))
        }
    }
}

/// What all minions of a process share of broadcasts.
#[derive(Debug)]
pub struct Airwaves {
    check_each: bool,
    epochs: Mutex<HashMap<[u8; 16], Arc<Epoch>>>,
    recent: Mutex<VecDeque<(Bytes, Arc<Heard>)>>,
    checked: AtomicU64,
}

impl Airwaves {
    /// Nothing heard yet. With `check_each` nothing is shared.
    #[must_use]
    pub fn new(check_each: bool) -> Self {
        Self { check_each, epochs: Mutex::default(), recent: Mutex::default(), checked: AtomicU64::new(0) }
    }

    /// Signatures of broadcasts verified so far.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    fn keep(&self, epoch: Epoch) -> Arc<Epoch> {
        let mut epochs = self.epochs.lock().expect("no holder panics");
        if let Some(known) = epochs.get(&epoch.id)
            && known.key == epoch.key
            && known.verify == epoch.verify
        {
            return Arc::clone(known);
        }
        if epochs.len() >= EPOCHS_MAX {
            epochs.retain(|_, epoch| Arc::strong_count(epoch) > 1);
        }
        let kept = Arc::new(epoch);
        epochs.insert(kept.id, Arc::clone(&kept));
        kept
    }

    fn open(&self, epoch: &Epoch, sequence: u64, body: &Bytes) -> Result<Arc<Heard>, String> {
        if self.check_each {
            return self.check(epoch, sequence, body);
        }
        // Held while it is opened, so that one of the crowd does it and the others wait.
        let mut recent = self.recent.lock().expect("no holder panics");
        if let Some((_, heard)) = recent.iter().rev().find(|(known, _)| known == body) {
            return Ok(Arc::clone(heard));
        }
        let heard = self.check(epoch, sequence, body)?;
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((body.clone(), Arc::clone(&heard)));
        Ok(heard)
    }

    fn check(&self, epoch: &Epoch, sequence: u64, body: &Bytes) -> Result<Arc<Heard>, String> {
        self.checked.fetch_add(1, Ordering::Relaxed);
        let mut reader = Reader::new();
        let from_here = Epoch { next: sequence, ..epoch.clone() };
        reader.install(&from_here).map_err(|error| error.to_string())?;
        let opened = reader.open(body.clone()).map_err(|error| error.to_string())?;
        let frame = opened.ok_or("a broadcast is of another epoch than it says")?;
        match ToMinion::from_frame(&frame).map_err(|error| error.to_string())? {
            ToMinion::Order(order) => Ok(Arc::new(Heard::new(*order))),
            _ => Err("the master broadcast something other than an order".to_owned()),
        }
    }
}

#[derive(Debug)]
struct Ear {
    epoch: Arc<Epoch>,
    first: u64,
    next: u64,
}

/// What one session has heard.
#[derive(Debug, Default)]
pub struct Ears {
    known: VecDeque<Ear>,
    held: Vec<Bytes>,
}

impl Ears {
    /// Whether the key of any epoch has come.
    #[must_use]
    pub fn can_hear(&self) -> bool {
        !self.known.is_empty()
    }

    /// Learns an epoch, and opens what was held for it.
    ///
    /// # Errors
    /// Any error ends the session.
    pub fn learn(&mut self, epoch: Epoch, air: &Airwaves) -> Result<Vec<Arc<Heard>>, String> {
        let next = epoch.next;
        self.known.retain(|ear| ear.epoch.id != epoch.id);
        if self.known.len() == EPOCHS_KEPT {
            self.known.pop_front();
        }
        self.known.push_back(Ear { epoch: air.keep(epoch), first: next, next });
        let mut heard = Vec::new();
        for body in std::mem::take(&mut self.held) {
            heard.extend(self.hear(body, air)?);
        }
        Ok(heard)
    }

    /// Hears a broadcast; nothing comes of it while its key has not come, or when it was never
    /// meant for this session.
    ///
    /// # Errors
    /// Any error ends the session.
    pub fn hear(&mut self, body: Bytes, air: &Airwaves) -> Result<Option<Arc<Heard>>, String> {
        if body.len() < OVERHEAD {
            return Err("a broadcast is shorter than its envelope".to_owned());
        }
        // protocol.md: epoch id 16, sequence number 8, the rest.
        let (id, sequence) = (&body[..16], u64::from_be_bytes(body[16..24].try_into().expect("eight bytes")));
        let Some(ear) = self.known.iter_mut().find(|ear| ear.epoch.id == *id) else {
            if self.held.len() == HELD_MAX {
                return Err("too many broadcasts of an epoch whose key has not arrived".to_owned());
            }
            self.held.push(body);
            return Ok(None);
        };
        if sequence < ear.first {
            return Ok(None);
        }
        if sequence != ear.next {
            return Err(format!("broadcast {sequence} arrived where {} is due", ear.next));
        }
        let heard = air.open(&ear.epoch, sequence, &body)?;
        ear.next += 1;
        Ok(Some(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brine_pki::publish::Writer;
    use brine_protocol::target::Target;

    fn order(number: u64) -> ToMinion {
        ToMinion::Order(Box::new(Order {
            jid: "20261122060732000100".parse().unwrap(),
            number,
            calls: Vec::new(),
            target: Target::glob("a*"),
            job_timeout_ms: None,
            expires_in_ms: None,
            principal: String::new(),
            detach: false,
        }))
    }

    #[test]
    fn a_crowd_checks_a_broadcast_once_and_each_keeps_its_own_count() {
        for (check_each, checks) in [(false, 3), (true, 5)] {
            let air = Airwaves::new(check_each);
            let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
            let (mut early, mut late) = (Ears::default(), Ears::default());
            early.learn(writer.epoch(), &air).unwrap();
            let zero = writer.seal(&order(0).to_frame());
            late.learn(writer.epoch(), &air).unwrap();
            assert!(late.hear(zero.clone(), &air).unwrap().is_none(), "never meant for it");
            assert_eq!(early.hear(zero.clone(), &air).unwrap().unwrap().order.number, 0);
            assert!(early.hear(zero, &air).is_err(), "a replay");
            let bodies: Vec<Bytes> = (1..3).map(|n| writer.seal(&order(n).to_frame())).collect();
            assert!(late.hear(bodies[1].clone(), &air).is_err(), "a gap");
            for (n, body) in bodies.iter().enumerate() {
                for ears in [&mut early, &mut late] {
                    let heard = ears.hear(body.clone(), &air).unwrap().unwrap();
                    assert_eq!(heard.order.number, n as u64 + 1);
                }
            }
            assert_eq!(air.checked(), checks);
        }
    }

    #[test]
    fn what_is_not_signed_by_the_master_is_refused_and_remembered_by_nobody() {
        let air = Airwaves::new(false);
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let mut ears = Ears::default();
        ears.learn(writer.epoch(), &air).unwrap();
        let good = writer.seal(&order(0).to_frame());
        let mut bad = good.to_vec();
        bad[30] ^= 1;
        assert!(ears.hear(bad.into(), &air).is_err());
        assert!(ears.hear(good, &air).unwrap().is_some());
    }

    #[test]
    fn what_comes_before_its_key_is_held() {
        let air = Airwaves::new(false);
        let mut writer = Writer::new([1; 16], [2; 32], &[3; 32]);
        let epoch = writer.epoch();
        let body = writer.seal(&order(7).to_frame());
        let mut ears = Ears::default();
        assert!(ears.hear(body, &air).unwrap().is_none());
        let heard = ears.learn(epoch, &air).unwrap();
        assert_eq!(heard.len(), 1);
        let meant = |id: &str| heard[0].is_meant(&id.parse().unwrap(), Map::new);
        assert!(meant("a1").is_ok() && meant("b1").unwrap_err().contains("no longer matches"));
    }
}
