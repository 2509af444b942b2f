//! Server records, links and tokens.

use std::collections::BTreeSet;

use brine_protocol::ServerId;
use brine_protocol::control::{KeyFate, Way};
use brine_protocol::server::ServerRecord;

use super::*;
use crate::key::tests::fixed;
use crate::registry::servers::Linked;

mod crash;
mod links;
mod listed;
mod preseeds;
mod records;
mod tokens;

pub(super) const WHO: &str = "unix:0 (root)";

pub(super) type Fleet = Trust<MemoryLedger>;

/// Trust with one unlinked server per name, numbered from 1.
pub(super) fn fleet(names: &[&str]) -> Fleet {
    let mut trust = Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap();
    let wanted: Vec<_> = (1..).zip(names).map(|(n, name)| (server(n), record(name))).collect();
    let made = trust.create_servers(&wanted, false, false, WHO, None, at(0)).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    trust
}

/// Lets a key knock, and pairs it.
pub(super) fn paired(trust: &mut Fleet, n: u8, of: &str, key: &str) -> ServerDone {
    trust.knock(knocker(of, key, "192.0.2.1"), at(1));
    trust.pair(server(n), &name(of, key), false, WHO, None, at(1)).unwrap()
}

pub(super) fn link(trust: &Fleet, n: u8) -> Option<&Linked> {
    trust.registry().servers().get(server(n))?.link.as_ref()
}

/// The minion that a server is linked to, and where its key stands.
pub(super) fn linked(trust: &Fleet, n: u8) -> Option<(String, KeyState)> {
    let link = link(trust, n)?;
    Some((link.minion.to_string(), trust.standing(&link.minion, link.fingerprint).state()))
}

pub(super) fn acts(done: &ServerDone) -> Vec<(Act, String, Option<KeyState>)> {
    let told = |(act, done): &(Act, Done)| (*act, done.id.to_string(), done.is.map(Verdict::state));
    done.keys.iter().map(told).collect()
}

/// What holds whatever was decided, among these minion ids.
#[track_caller]
pub(super) fn check(registry: &Registry, minions: &[MinionId]) {
    let servers = registry.servers();
    let (mut minion_ids, mut externals, mut unarrived) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (id, entry) in servers.iter() {
        let record = &entry.record;
        assert!(servers.named(&record.name).contains(&id) && servers.named(&id.to_string()) == [id]);
        let mut zones = servers.meant(&record.name).zones();
        assert!(
            zones.any(|zone| zone == record.zone.as_deref()),
            "the zones of a name are those of its records"
        );
        if let Some(minion) = &record.minion_id {
            assert!(minion_ids.insert(minion), "{minion} is named by two records");
            assert_eq!(servers.expecting(minion), Some(id));
        }
        if let Some(external) = &record.external_id {
            assert!(externals.insert(external), "{external} is the external id of two records");
            assert_eq!(servers.by_external(external), Some(id));
        }
        let Some(link) = &entry.link else { continue };
        let holder = registry.holder(&link.minion).expect("the minion of a link has a key");
        assert_eq!(holder.fingerprint, link.fingerprint, "the link's key holds the id");
        assert_eq!(servers.of_minion(&link.minion).map(|(id, _)| id), Some(id), "a minion has one server");
        assert_eq!(servers.of_key(&link.minion, link.fingerprint), Some(id));
        if link.preseed.is_some() {
            assert_eq!(link.way, Way::Preseeded);
            unarrived.push(id);
        }
    }
    assert_eq!(servers.unarrived().map(|(id, _)| id).collect::<Vec<_>>(), unarrived);
    for minion in minions {
        let of_minion = servers.of_minion(minion).map(|(_, entry)| entry.link.as_ref().expect("a link"));
        assert!(of_minion.is_none_or(|link| link.minion == *minion));
        let expecting = servers.expecting(minion).map(|id| servers.get(id).expect("a record"));
        assert!(expecting.is_none_or(|entry| entry.record.minion_id.as_ref() == Some(minion)));
        assert!(registry.keys_of(minion).filter(|key| is_holder(key.state)).count() <= 1);
    }
}

/// What the ledger says again is what is true.
#[track_caller]
pub(super) fn check_trust(trust: &Fleet, minions: &[&str]) {
    let minions: Vec<_> = minions.iter().map(|minion| id(minion)).collect();
    check(trust.registry(), &minions);
    assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
}

pub(super) fn servers_of(decisions: &[brine_protocol::control::ServerDecision]) -> Vec<String> {
    decisions
        .iter()
        .map(|decision| {
            let minion = decision.minion.as_ref().map(|minion| format!(" {minion}")).unwrap_or_default();
            format!("{}{minion}", decision.act)
        })
        .collect()
}

pub(super) fn keys_of(trust: &Fleet, of: &str) -> Vec<String> {
    let told =
        |decision: &Decision| format!("{}: {}", decision.act, decision.reason.as_deref().unwrap_or_default());
    trust.registry().history(&id(of)).iter().map(told).collect()
}

pub(super) fn named_server(trust: &Fleet, text: &str) -> Vec<ServerId> {
    trust.registry().servers().named(text)
}
